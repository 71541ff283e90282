package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// CacheVariable names the environment variable with the folder for built
// programs, in place of shuin/kube in the user's cache directory.
const CacheVariable = "SHUIN_KUBE_CACHE"

// programs are what the module in ../server builds: the package's last path
// element, as `go build` names its program, and our name for it.
var programs = map[string]string{
	"server": "etcd", "kube-apiserver": "kube-apiserver", "kube-controller-manager": "kube-controller-manager", "kubectl": "kubectl", "helm": "helm",
}

const (
	modulePath = "github.com/shuin/shuin/test/kube"
	keptUnused = 30 * 24 * time.Hour // programs of other pins that nothing asked for in so long are removed
)

// Programs are the built programs of a control plane and its clients.
type Programs struct {
	Dir     string // holds etcd, kube-apiserver, kube-controller-manager, kubectl and helm
	Version string // of Kubernetes, as v1.36.3
}

// Path is the path of one of the programs.
func (p Programs) Path(name string) string { return filepath.Join(p.Dir, name) }

// Build returns the programs, building them if the cache has none for the pins
// in ../server/go.mod, this Go version and this platform. Building takes about
// 15 minutes of CPU time, 2 GB of memory and the network for the modules; one
// process builds while others wait.
func Build(ctx context.Context) (Programs, error) {
	source, err := sourceDir(ctx)
	if err != nil {
		return Programs{}, err
	}
	server := filepath.Join(source, "test", "kube", "server")
	versions, err := pinned(ctx, server)
	if err != nil {
		return Programs{}, err
	}
	key, err := cacheKey(ctx, server)
	if err != nil {
		return Programs{}, err
	}
	cache, err := cacheDir()
	if err != nil {
		return Programs{}, err
	}
	built := Programs{Dir: filepath.Join(cache, key), Version: versions["k8s.io/kubernetes"]}
	lock := flock.New(filepath.Join(cache, "lock"))
	if locked, err := lock.TryLock(); err != nil {
		return Programs{}, fmt.Errorf("lock the cache of built programs: %w", err)
	} else if !locked {
		fmt.Fprintf(os.Stderr, "waiting for another process that uses %s\n", lock.Path())
		if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
			return Programs{}, fmt.Errorf("wait for another build of the control plane (%s): %w", lock.Path(), err)
		}
	}
	defer lock.Unlock()
	if _, err := os.Stat(built.Dir); err == nil {
		now := time.Now()
		return built, os.Chtimes(built.Dir, now, now)
	}
	if err := buildInto(ctx, server, built.Dir, versions); err != nil {
		return Programs{}, fmt.Errorf("build a control plane for tests from %s: %w", server, err)
	}
	return built, removeUnused(cache)
}

func buildInto(ctx context.Context, server, dir string, versions map[string]string) error {
	fmt.Fprintf(os.Stderr, "building Kubernetes %s for tests, once (about 15 minutes of CPU time) into %s\n", versions["k8s.io/kubernetes"], dir)
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "unfinished-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unfinished)
	command := goCommand(ctx, server, append(append([]string{"build"}, buildFlags...), "-ldflags", linkFlags(versions), "-o", unfinished+string(filepath.Separator), "tool")...)
	command.Env = append(command.Env, "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".exe"
	}
	for from, to := range programs {
		if err := os.Rename(filepath.Join(unfinished, from+suffix), filepath.Join(unfinished, to+suffix)); err != nil {
			return err
		}
	}
	return os.Rename(unfinished, dir)
}

var buildFlags = []string{"-mod=readonly", "-trimpath", "-buildvcs=false"}

// linkFlags make the programs say their releases, which else say v0.0.0.
func linkFlags(versions map[string]string) string {
	const version = " -X k8s.io/component-base/version."
	kube := versions["k8s.io/kubernetes"]
	number := strings.SplitN(strings.TrimPrefix(kube, "v"), ".", 3)
	return "-s -w" + version + "gitVersion=" + kube + version + "gitMajor=" + number[0] + version + "gitMinor=" + number[1] +
		" -X helm.sh/helm/v4/internal/version.version=" + versions["helm.sh/helm/v4"]
}

// cacheKey names all that decides what is built.
func cacheKey(ctx context.Context, server string) (string, error) {
	h := sha256.New()
	toolchain, err := goCommand(ctx, server, "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", describe(err))
	}
	fmt.Fprintf(h, "%s%q\n", toolchain, buildFlags)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(server, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(data))
	}
	return hex.EncodeToString(h.Sum(nil))[:24], nil
}

func cacheDir() (string, error) {
	dir := os.Getenv(CacheVariable)
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: set %s to a folder for the built control plane", err, CacheVariable)
		}
		dir = filepath.Join(user, "shuin", "kube")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// removeUnused removes programs of other pins, and what ended builds left.
// The caller holds the lock.
func removeUnused(cache string) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !e.IsDir()) {
			continue
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), "unfinished-") || time.Since(info.ModTime()) > keptUnused {
			if err := os.RemoveAll(filepath.Join(cache, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// sourceDir is the root of Shuin's source.
func sourceDir(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if err != nil {
		return "", fmt.Errorf("find Shuin's source (run this in test/kube): %w", describe(err))
	}
	return filepath.Dir(filepath.Dir(strings.TrimSpace(string(out)))), nil
}

// pinned are the versions of the modules whose releases are told to the linker.
func pinned(ctx context.Context, server string) (map[string]string, error) {
	out, err := goCommand(ctx, server, "list", "-m", "k8s.io/kubernetes", "helm.sh/helm/v4").Output()
	if err != nil {
		return nil, fmt.Errorf("read the pins in %s: %w", server, describe(err))
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(out)) {
		module, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		versions[module] = version
	}
	if n := strings.Count(versions["k8s.io/kubernetes"], "."); n != 2 {
		return nil, fmt.Errorf("%s pins k8s.io/kubernetes at %q, which is no release", server, versions["k8s.io/kubernetes"])
	}
	return versions, nil
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOWORK=off")
	return c
}

// describe adds what a command wrote to its error.
func describe(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
