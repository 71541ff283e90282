//go:build e2e

package awscli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	region   = "ap-northeast-1"
	account  = "111122223333"
	foreign  = "444455556666"
	platform = "Notation-OCI-SHA384-ECDSA"
	format   = "application/vnd.cncf.notary.payload.v1+json"
)

// tools are what all tests share: the binaries and the AWS CLI.
type tools struct {
	shuin, shuind string
	cli           *CLI
}

var (
	prepare  sync.Once
	prepared tools
	failed   error
)

// theTools builds the binaries as they are released, once.
func theTools(t *testing.T) tools {
	t.Helper()
	prepare.Do(func() {
		dir, err := os.MkdirTemp("", "shuin-awscli-")
		if err != nil {
			failed = err
			return
		}
		shared = dir
		prepared.shuin, prepared.shuind = filepath.Join(dir, "shuin"), filepath.Join(dir, "shuind")
		for _, p := range []string{prepared.shuin, prepared.shuind} {
			build := exec.Command("go", "build", "-trimpath", "-o", p, "github.com/shuin/shuin/cmd/"+filepath.Base(p))
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				failed = fmt.Errorf("%w: %s", err, out)
				return
			}
		}
		prepared.cli, failed = FindCLI(context.Background(), dir)
	})
	if failed != nil {
		t.Fatal(failed)
	}
	return prepared
}

var shared string

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != "" {
		_ = os.RemoveAll(shared)
	}
	os.Exit(code)
}

// world is one server with its own data directory, and everything that was
// written while it ran.
type world struct {
	tools
	dir      string // configuration, data, homes
	port     string
	endpoint string
	admin    key
	written  *everything
	server   *process
}

// key is an access key.
type key struct{ id, secret string }

// everything is what programs printed, for the search for secrets.
type everything struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (e *everything) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.b.Write(p)
}

func (e *everything) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.b.String()
}

// process is a program that runs until it is stopped.
type process struct {
	cmd    *exec.Cmd
	output *everything
	done   chan struct{}
	err    error
}

func start(t *testing.T, env []string, out *everything, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), output: out, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop asks the process to end, and wants that it does with status 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("the server ended with %v: %s", p.err, tail(p.output.String()))
		}
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		t.Error("the server did not end within a minute")
	}
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// baseEnv is an environment with nothing of this machine's user in it.
func baseEnv(home string, path ...string) []string {
	return []string{
		"HOME=" + home, "PATH=" + strings.Join(append(path, os.Getenv("PATH")), ":"), "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"LC_ALL=C.UTF-8", "TMPDIR=" + os.TempDir(),
	}
}

// newWorld makes a CA, an administrator's key, and a server that runs.
func newWorld(t *testing.T, settings string) *world {
	t.Helper()
	w := newCold(t, settings)
	w.admin = w.credential(t, account, "admin", "signer:*", "*")
	w.serve(t)
	return w
}

// newCold is a world whose server does not run yet.
func newCold(t *testing.T, settings string) *world {
	t.Helper()
	w := &world{tools: theTools(t), dir: t.TempDir(), port: freePort(t), written: &everything{}}
	w.endpoint = "http://localhost:" + w.port
	config := "listen: 127.0.0.1:" + w.port + "\nname: localhost:" + w.port + "\nregion: " + region + `
data: data
identity: {file: identity.txt}
log: {level: debug, format: json}
` + settings
	if !strings.Contains(settings, "ca: ") {
		config += "ca: {subject: {country: JP, province: Tokyo, organization: Example}}\n"
	}
	if err := os.WriteFile(w.config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "passphrase"), []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(t, "identity", "new", filepath.Join(w.dir, "identity.txt"))
	w.must(t, "ca", "init", "--config", w.config(), "--root-passphrase-file", filepath.Join(w.dir, "passphrase"))
	return w
}

func (w *world) config() string { return filepath.Join(w.dir, "shuind.yaml") }

// must runs shuind and wants success.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, status := w.run(t, nil, w.shuind, args...)
	if status != 0 {
		t.Fatalf("shuind %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
	}
	return stdout
}

// run runs a program to its end. What it printed is kept for the search for
// secrets, but for shuind credential create, which is there to show one.
func (w *world) run(t *testing.T, env []string, program string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	home := filepath.Join(w.dir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Env, cmd.Dir = append(baseEnv(home, w.cli.Bin), env...), home
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if len(args) < 2 || args[0] != "credential" || args[1] != "create" {
		fmt.Fprintln(w.written, program, strings.Join(args, " "), out.String(), errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// credential makes an access key with the real command.
func (w *world) credential(t *testing.T, account, user, actions, profiles string) key {
	t.Helper()
	out := w.must(t, "credential", "create", "--config", w.config(), "--account", account, "--user", user, "--actions", actions, "--profiles", profiles, "--env")
	var k key
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "export AWS_ACCESS_KEY_ID="); ok {
			k.id = v
		}
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "export AWS_SECRET_ACCESS_KEY="); ok {
			k.secret = v
		}
	}
	if len(k.id) != 20 || len(k.secret) != 40 {
		t.Fatalf("no access key in %q", out)
	}
	return k
}

// serve starts the server and waits until it is ready.
func (w *world) serve(t *testing.T) {
	t.Helper()
	w.server = start(t, baseEnv(w.dir), w.written, w.shuind, "serve", "--config", w.config())
	w.waitReady(t)
}

func (w *world) waitReady(t *testing.T) {
	t.Helper()
	for range 300 {
		select {
		case <-w.server.done:
			t.Fatalf("the server ended: %v: %s", w.server.err, tail(w.written.String()))
		default:
		}
		if res, err := http.Get(w.endpoint + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the server is not ready: %s", tail(w.written.String()))
}

// env are the settings of a client with that key.
func (w *world) env(k key) []string {
	return append([]string{
		"AWS_ACCESS_KEY_ID=" + k.id, "AWS_SECRET_ACCESS_KEY=" + k.secret, "AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
		"AWS_ENDPOINT_URL_SIGNER=" + w.endpoint, "AWS_DISABLE_HOST_PREFIX_INJECTION=true",
	}, w.cli.Env...)
}

// aws runs `aws signer …` and wants success; the answer is its JSON.
func (w *world) aws(t *testing.T, k key, args ...string) map[string]any {
	t.Helper()
	stdout, stderr, status := w.run(t, w.env(k), filepath.Join(w.cli.Bin, "aws"), append([]string{"--output", "json", "signer"}, args...)...)
	if status != 0 {
		t.Fatalf("aws signer %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
	}
	answer := map[string]any{}
	if strings.TrimSpace(stdout) != "" {
		if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
			t.Fatalf("aws signer %s: %v: %s", args[0], err, stdout)
		}
	}
	return answer
}

// awsRefused wants the AWS error code, and each text in the message.
func (w *world) awsRefused(t *testing.T, k key, code string, texts []string, args ...string) {
	t.Helper()
	stdout, stderr, status := w.run(t, w.env(k), filepath.Join(w.cli.Bin, "aws"), append([]string{"signer"}, args...)...)
	if status == 0 {
		t.Errorf("aws signer %s: succeeded: %s", strings.Join(args, " "), stdout)
		return
	}
	for _, text := range append([]string{"(" + code + ")"}, texts...) {
		if !strings.Contains(stderr, text) {
			t.Errorf("aws signer %s: the error lacks %q: %s", strings.Join(args, " "), text, stderr)
		}
	}
}

// payload writes a signing payload and names it as the CLI wants it.
func (w *world) payload(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, fmt.Sprintf("payload-%d.json", time.Now().UnixNano()))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "fileb://" + path
}

const artifact = `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:3e4226c2301b5c56286be66a0b1768b684bb0765b96021378be8aef2646d6a85","size":411}}`

func text(t *testing.T, answer map[string]any, name string) string {
	t.Helper()
	s, ok := answer[name].(string)
	if !ok || s == "" {
		t.Fatalf("no %s in %v", name, answer)
	}
	return s
}
