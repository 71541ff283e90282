//go:build e2e

package deploy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/shuin/shuin/internal/devregistry"
)

const release = "9.9.9"

var (
	buildOnce sync.Once
	built     string // the program, as it is released
	buildErr  error
)

// program builds shuin once.
func program(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "shuin-deploy-")
		if err != nil {
			buildErr = err
			return
		}
		built = filepath.Join(dir, "shuin")
		cmd := exec.Command("go", "build", "-trimpath", "-o", built, "github.com/shuin/shuin/cmd/shuin")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			buildErr = fmt.Errorf("%w: %s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return built
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(filepath.Dir(built))
	}
	if motoDir != "" {
		_ = os.RemoveAll(motoDir)
	}
	os.Exit(code)
}

// ci is a machine of a CI system: a home with a signing key and a policy, a
// registry with an image, and a place with releases.
type ci struct {
	t                  *testing.T
	home, work, temp   string
	image              string // by its digest
	releases, checksum string
	policy             string
}

func newCI(t *testing.T) *ci {
	t.Helper()
	dir := t.TempDir()
	c := &ci{t: t, home: filepath.Join(dir, "home"), work: filepath.Join(dir, "work"), temp: filepath.Join(dir, "temp")}
	for _, d := range []string{c.home, c.work, c.temp} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c.serveRegistry()
	c.serveReleases()
	c.must("cert", "generate-test", "--default", "ci.example.com")
	c.policy = filepath.Join(c.work, "pipeline.yaml")
	c.write("pipeline.yaml", `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  unit-test:
    signers:
      - identities: ["x509.subject: C=US, ST=WA, L=Seattle, O=Notary, CN=ci.example.com"]
        trustStores: [ca:ci.example.com]
rules:
  - name: shop
    match: {images: ["localhost:*/**"], clusters: [prod]}
    require: {all: [unit-test]}
    tags: allowUnpinned
`)
	c.write("taskdef.json", `{"family":"shop","containerDefinitions":[{"name":"api","image":"`+c.image+`"}]}`)
	return c
}

func (c *ci) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.work, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// serveRegistry starts a registry with one image.
func (c *ci) serveRegistry() {
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	srv := httptest.NewServer(reg)
	c.t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},"layers":[]}`, digestOf(config), len(config))
	c.send(srv.URL+"/v2/shop/api/blobs/uploads/?digest="+digestOf(config), http.MethodPost, "application/octet-stream", config)
	c.send(srv.URL+"/v2/shop/api/manifests/v1", http.MethodPut, "application/vnd.oci.image.manifest.v1+json", []byte(manifest))
	c.image = "localhost:" + port + "/shop/api@" + digestOf([]byte(manifest))
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (c *ci) send(address, method, contentType string, body []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		c.t.Fatalf("%s %s: %s", method, address, resp.Status)
	}
}

// serveReleases serves the program as a release has it.
func (c *ci) serveReleases() {
	data, err := os.ReadFile(program(c.t))
	if err != nil {
		c.t.Fatal(err)
	}
	var archive bytes.Buffer
	z := gzip.NewWriter(&archive)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "shuin", Mode: 0o755, Size: int64(len(data))}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		c.t.Fatal(err)
	}
	path := fmt.Sprintf("/v%s/shuin_%s_%s_%s.tar.gz", release, release, runtime.GOOS, runtime.GOARCH)
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(out, r)
			return
		}
		_, _ = out.Write(archive.Bytes())
	}))
	c.t.Cleanup(srv.Close)
	c.releases, c.checksum = srv.URL, strings.TrimPrefix(digestOf(archive.Bytes()), "sha256:")
}

// env is the environment of a job: nothing of this machine's but the PATH.
func (c *ci) env(more map[string]string) []string {
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": c.home, "TMPDIR": c.temp, "NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1",
		"AWS_EC2_METADATA_DISABLED": "true",
	}
	maps.Copy(env, more)
	var out []string
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	return out
}

// shell runs a script in the work directory: its status and all it printed.
func (c *ci) shell(env map[string]string, shell []string, text string) (int, string) {
	c.t.Helper()
	path := filepath.Join(c.temp, "script")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(shell[0], append(shell[1:], path)...)
	cmd.Dir, cmd.Env = c.work, c.env(env)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// must runs the program itself.
func (c *ci) must(args ...string) string {
	c.t.Helper()
	cmd := exec.Command(program(c.t), args...)
	cmd.Dir, cmd.Env = c.work, c.env(nil)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("shuin %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// seals is how many signatures the image has.
func (c *ci) seals() int {
	c.t.Helper()
	return strings.Count(c.must("list", c.image), "sha256:") - 1
}

// runner is a job of GitHub Actions: steps of one job share PATH and temp.
type runner struct {
	*ci
	path string
}

// use runs the action with these inputs: the status of the step that failed,
// or 0, and all that was printed.
func (r *runner) use(inputs map[string]string) (int, string) {
	r.t.Helper()
	a := loadAction(r.t)
	values := map[string]string{}
	for name, in := range a.Inputs {
		values["inputs."+name] = in.Default
	}
	for name, value := range inputs {
		if _, ok := a.Inputs[name]; !ok {
			r.t.Fatalf("the action has no input %s", name)
		}
		values["inputs."+name] = value
	}
	all := ""
	for _, s := range a.Runs.Steps {
		if s.If != "" {
			r.t.Fatalf("step %s: this test does not know %q", s.ID, s.If)
		}
		env := map[string]string{
			"RUNNER_TEMP": r.temp, "GITHUB_PATH": filepath.Join(r.temp, "path"), "GITHUB_OUTPUT": filepath.Join(r.temp, "output"),
			"PATH": r.path + os.Getenv("PATH"),
		}
		for name, value := range s.Env {
			filled, err := fill(value, values)
			if err != nil {
				r.t.Fatalf("step %s: %v", s.ID, err)
			}
			env[name] = filled
		}
		status, out := r.shell(env, []string{"bash", "--noprofile", "--norc", "-eo", "pipefail"}, s.Run)
		all += out
		if status != 0 {
			return status, all
		}
		r.read(s.ID, values)
	}
	return 0, all
}

// read takes over what a step wrote for those after it.
func (r *runner) read(id string, values map[string]string) {
	for name, each := range map[string]func(line string){
		"path": func(line string) { r.path = line + ":" + r.path },
		"output": func(line string) {
			k, v, _ := strings.Cut(line, "=")
			values["steps."+id+".outputs."+k] = v
		},
	} {
		data, _ := os.ReadFile(filepath.Join(r.temp, name)) // no step has to write one
		_ = os.Remove(filepath.Join(r.temp, name))
		for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
			if line != "" {
				each(line)
			}
		}
	}
}
