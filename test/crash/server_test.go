//go:build e2e

package crash

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/sqlstore"
)

const (
	region  = "ap-northeast-1"
	account = "111122223333"
)

// server is a data directory and the process that serves it, when one runs.
type server struct {
	binary, dir string
	address     string
	endpoint    string
	log         *os.File
	id, secret  string // access key
	cmd         *exec.Cmd
	ended       chan error
}

// newServer builds shuind, makes a CA and an access key, and starts nothing.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), address: freeAddress(t)}
	s.binary = filepath.Join(s.dir, "shuind")
	_, port, _ := net.SplitHostPort(s.address)
	s.endpoint = "http://localhost:" + port
	build := exec.Command("go", "build", "-trimpath", "-o", s.binary, "github.com/shuin/shuin/cmd/shuind")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build shuind: %v\n%s", err, out)
	}
	config := "listen: " + s.address + "\nname: localhost:" + port + "\nregion: " + region + `
data: data
identity: {file: identity.txt}
ca: {subject: {country: JP, province: Tokyo, organization: Example}}
requests: {perSecond: 100000, burst: 100000}
`
	for name, text := range map[string]string{"shuind.yaml": config, "passphrase": "correct horse battery staple\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.must(t, "identity", "new", "identity.txt")
	s.must(t, "ca", "init", "--config", "shuind.yaml", "--root-passphrase-file", "passphrase")
	out := s.must(t, "credential", "create", "--config", "shuind.yaml", "--account", account, "--user", "crash",
		"--actions", "signer:*", "--profiles", "*", "--env")
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		switch name {
		case "AWS_ACCESS_KEY_ID":
			s.id = value
		case "AWS_SECRET_ACCESS_KEY":
			s.secret = value
		}
	}
	if s.id == "" || s.secret == "" {
		t.Fatal("no access key was made")
	}
	var err error
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill(t); s.log.Close() })
	return s
}

// freeAddress is a port below those that outgoing connections get: a client
// that tries a port nobody listens on must not meet itself there.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		if ln, err := net.Listen("tcp", address); err == nil {
			ln.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func (s *server) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.binary, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"HOME=" + s.dir, "TMPDIR=" + os.TempDir(), "PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true"}
	return cmd
}

func (s *server) must(t *testing.T, args ...string) string {
	t.Helper()
	cmd := s.command(args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("shuind %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = s.command("serve", "--config", "shuind.yaml")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	s.ended = ended
	go func(cmd *exec.Cmd) { ended <- cmd.Wait() }(s.cmd)
}

// waitReady waits until the server answers that it is ready.
func (s *server) waitReady(t *testing.T) {
	t.Helper()
	for range 6000 {
		select {
		case err := <-s.ended:
			t.Fatalf("the server ended: %v\n%s", err, s.tail())
		default:
		}
		if res, err := http.Get(s.endpoint + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the server is not ready after half a minute\n%s", s.tail())
}

// kill is kill -9. A server that ended by itself before is a failure.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	select {
	case err := <-s.ended:
		t.Errorf("the server ended by itself: %v\n%s", err, s.tail())
	default:
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	s.cmd = nil
}

// stop asks the server to end and wants that it does well.
func (s *server) stop(t *testing.T) {
	t.Helper()
	_ = s.cmd.Process.Signal(os.Interrupt)
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("the server ended with %v\n%s", err, s.tail())
		}
		s.cmd = nil
	case <-time.After(time.Minute):
		t.Error("the server did not end within a minute")
	}
}

func (s *server) tail() string {
	data, _ := os.ReadFile(s.log.Name())
	return string(data[max(0, len(data)-4000):])
}

// options are how shuind opens its database.
func (s *server) options() sqlstore.Options {
	return sqlstore.Options{Path: filepath.Join(s.dir, "data", "shuin.db"), Checkpoint: filepath.Join(s.dir, "data", "checkpoint"), Origin: "localhost/log"}
}
