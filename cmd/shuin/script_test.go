//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/shuintest"
)

// The scripts run main itself in processes of their own, under both names,
// against a dev registry that each script has on a loopback port.

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"shuin":                       scriptMain,
		"notation":                    scriptMain,
		"notation-" + pluginInTests:   pluginMain,
		"notation-" + envelopeInTests: pluginMain,
		"notation-" + verifierInTests: pluginMain,
		"notation-" + blobsInTests:    pluginMain,
	})
}

func TestScripts(t *testing.T) {
	for _, dir := range []string{"cli", "image", "blob", "plugin"} {
		t.Run(dir, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:                 filepath.Join("testdata", dir),
				Setup:               setupScript,
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") == "1",
				Cmds: pluginCmds(blobCmds(sealCmds(map[string]func(*testscript.TestScript, bool, []string){
					"status":       cmdStatus,
					"unprivileged": cmdUnprivileged,
					"registry":     cmdRegistry,
					"image":        cmdImage,
					"retag":        cmdRetag,
					"requests":     cmdRequests,
					"resolved":     cmdResolved,
					"chain":        cmdChain,
					"localkey":     cmdLocalKey,
					"tsa":          cmdTSA,
					"plugin":       cmdPlugin,
					"subst":        cmdSubst,
					"tamper":       cmdTamper,
					"capture":      cmdCapture,
					"pki":          cmdPKI,
					"interrupted":  cmdInterrupted,
					"layout":       cmdLayout,
					"garble":       cmdGarble,
					"status-stdin": cmdStatusStdin,
					"signer":       cmdSigner,
					"ecr":          cmdECR,
					"ecs":          cmdECS,
					"aws":          cmdAWS,
					"job":          cmdJob,
					"jobid":        cmdJobID,
					"version":      cmdVersion,
					"wiring":       cmdWiring,
				}))),
			})
		})
	}
}

// scriptWorld is what a script has around it.
type scriptWorld struct {
	registry *devregistry.Registry
	signer   *scriptSigner
	ecr      *scriptECR
	ecs      *scriptECS
	aws      *scriptAWS
	world    *shuintest.World
	images   int
}

type worldKey struct{}

func setupScript(env *testscript.Env) error {
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: reg}
	go srv.Serve(ln)
	env.Defer(func() { srv.Close() })
	w := &scriptWorld{registry: reg, world: shuintest.StartWorld()}
	env.Defer(w.world.Close)
	env.Values[worldKey{}] = w
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	env.Setenv("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
	env.Setenv("CONFIG", filepath.Join(home, ".config", "notation"))
	env.Setenv("CACHE", filepath.Join(home, ".cache", "notation"))
	env.Setenv("REG", "localhost:"+port)
	env.Setenv("PORT", port)
	noAWS(env)
	bin, err := exec.LookPath("shuin")
	if err != nil {
		return err
	}
	env.Setenv("BIN", filepath.Dir(bin))
	return os.MkdirAll(home, 0o755)
}

func worldOf(ts *testscript.TestScript) *scriptWorld {
	return ts.Value(worldKey{}).(*scriptWorld)
}

// check fails the script on an error.
func check(ts *testscript.TestScript, err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

// cmdStatus runs a program and wants that exit status: status N program args.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [args]")
	}
	want, err := strconv.Atoi(args[0])
	check(ts, err)
	runAs(context.Background(), ts, want, nil, args[1:])
}

// cmdStatusStdin is status with the file given as the script's stdin:
// status-stdin N file program args.
func cmdStatusStdin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: status-stdin N file program [args]")
	}
	want, err := strconv.Atoi(args[0])
	check(ts, err)
	in, err := os.Open(ts.MkAbs(args[1]))
	check(ts, err)
	defer in.Close()
	runAs(context.Background(), ts, want, func(cmd *exec.Cmd) { cmd.Stdin = in }, args[2:])
}

// cmdInterrupted is status for a program that is sent SIGINT as soon as it has
// printed a line, or once the dev registry has answered it REQUESTS times (0:
// wait for the line): interrupted N REQUESTS program args.
func cmdInterrupted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: interrupted N REQUESTS program [args]")
	}
	want, err := strconv.Atoi(args[0])
	check(ts, err)
	requests, err := strconv.Atoi(args[1])
	check(ts, err)
	reg := worldOf(ts).registry
	reg.ResetLog()
	ctx, interrupt := context.WithCancel(context.Background())
	printed, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer interrupt()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for requests == 0 || len(reg.Log()) < requests {
			select {
			case <-printed:
				return
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	defer wg.Wait()
	defer close(done)
	silent, open, err := os.Pipe() // a stdin that never says anything
	check(ts, err)
	defer silent.Close()
	defer open.Close()
	runAs(ctx, ts, want, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout = silent, &firstLine{w: cmd.Stdout, printed: printed}
	}, args[2:])
}

// firstLine closes printed at the first write.
type firstLine struct {
	w       io.Writer
	printed chan struct{}
	once    sync.Once
}

func (f *firstLine) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.once.Do(func() { close(f.printed) })
	return n, err
}

func runAs(ctx context.Context, ts *testscript.TestScript, want int, prepare func(*exec.Cmd), args []string) {
	path, err := exec.LookPath(args[0])
	check(ts, err)
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Args[0] = args[0]
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "PATH", "TMPDIR", "NOTATION_CONFIG", "NOTATION_CACHE",
		"NOTATION_LIBEXEC", "NOTATION_USERNAME", "NOTATION_PASSWORD", "NOTATION_EXPERIMENTAL", "DOCKER_CONFIG",
		"HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN", "AWS_REGION", "AWS_PROFILE", "AWS_MAX_ATTEMPTS", "AWS_DISABLE_HOST_PREFIX_INJECTION", "AWS_USE_FIPS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SIGNER", "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_ECR_PUBLIC", "AWS_ENDPOINT_URL_ECS", envTestRoot} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	if prepare != nil {
		prepare(cmd)
	}
	err = cmd.Run()
	if cmd.ProcessState == nil {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdRegistry sets switches of the dev registry, by the names of its fields.
func cmdRegistry(ts *testscript.TestScript, _ bool, args []string) {
	set := map[string]any{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			set[name] = true
			continue
		}
		if n, err := strconv.Atoi(value); err == nil {
			set[name] = n
			continue
		}
		set[name] = value
	}
	b, err := json.Marshal(set)
	check(ts, err)
	check(ts, worldOf(ts).registry.Configure(func(o *devregistry.Options) {
		*o = devregistry.Options{}
		check(ts, json.Unmarshal(b, o))
	}))
}

// cmdImage pushes a new image and sets a variable to its digest: image VAR repo [tag...].
func cmdImage(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: image VAR repo [tag...]")
	}
	w := worldOf(ts)
	w.images++
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"n":"%d"}},"rootfs":{"type":"layers","diff_ids":[]}}`, w.images)
	d, err := w.registry.PutBlob(args[1], config)
	check(ts, err)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},"layers":[]}`, d, len(config))
	d, err = w.registry.PutManifest(args[1], "application/vnd.oci.image.manifest.v1+json", manifest, args[2:]...)
	check(ts, err)
	ts.Setenv(args[0], d.String())
}

// cmdRetag moves a tag to what another reference names: retag repo ref tag.
func cmdRetag(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	mediaType, body, ok := w.registry.Manifest(args[0], args[1])
	if !ok {
		ts.Fatalf("no manifest %s in %s", args[1], args[0])
	}
	_, err := w.registry.PutManifest(args[0], mediaType, body, args[2])
	check(ts, err)
}

// cmdRequests wants at most N requests since the last time: requests N.
func cmdRequests(ts *testscript.TestScript, _ bool, args []string) {
	max, err := strconv.Atoi(args[0])
	check(ts, err)
	log := worldOf(ts).registry.Log()
	worldOf(ts).registry.ResetLog()
	if len(log) > max {
		ts.Fatalf("%d requests, want at most %d: %+v", len(log), max, log)
	}
}

// cmdResolved wants a tag to have been asked for N times since the
// last "requests":
// resolved repo tag N.
func cmdResolved(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[2])
	check(ts, err)
	log := worldOf(ts).registry.Log()
	got := 0
	for _, r := range log {
		if r.Repo == args[0] && r.Ref == args[1] {
			got++
		}
	}
	if got != want {
		ts.Fatalf("%s:%s was asked for %d times, want %d: %+v", args[0], args[1], got, want, log)
	}
}

// cmdSubst replaces $VARS in files: subst file...
func cmdSubst(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		b, err := os.ReadFile(path)
		check(ts, err)
		check(ts, os.WriteFile(path, []byte(os.Expand(string(b), ts.Getenv)), 0o600))
	}
}

// cmdCapture sets a variable to the n-th digest of the last command's stdout:
// capture VAR n (from 1).
func cmdCapture(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	check(ts, err)
	rest := ts.ReadFile("stdout")
	for ; n > 0; n-- {
		i := strings.Index(rest, "sha256:")
		if i < 0 || len(rest) < i+71 {
			ts.Fatalf("stdout has fewer than %s digests", args[1])
		}
		ts.Setenv(args[0], rest[i:i+71])
		rest = rest[i+71:]
	}
}
