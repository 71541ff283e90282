//go:build unix

package main

import (
	"bufio"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shuin/shuin/internal/devregistry"
)

// expiring is a registry that can end all tokens it has seen.
type expiring struct {
	http.Handler
	mu    sync.Mutex
	seen  map[string]bool
	ended map[string]bool
	used  int // requests with a token that had ended
}

func (e *expiring) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if token := r.Header.Get("Authorization"); strings.HasPrefix(token, "Bearer ") {
		e.mu.Lock()
		e.seen[token] = true
		if e.ended[token] {
			e.used++
			r.Header.Set("Authorization", "Bearer ended")
		}
		e.mu.Unlock()
	}
	e.Handler.ServeHTTP(w, r)
}

func (e *expiring) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended, e.seen = e.seen, map[string]bool{}
}

// TestTheRegistrysTokenMayEndWhileTheCommandRuns: tests run for longer than
// tokens of registries last.
func TestTheRegistrysTokenMayEndWhileTheCommandRuns(t *testing.T) {
	reg, err := devregistry.New(devregistry.Options{Token: true, Username: "user", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	_, image := shopImage(t, reg)
	e := &expiring{Handler: reg, seen: map[string]bool{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: e}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	shuin, err := exec.LookPath("shuin")
	if err != nil {
		t.Fatal(err)
	}
	home := []string{"HOME=" + filepath.Join(t.TempDir(), "home"), "PATH=/usr/bin:/bin", "NOTATION_USERNAME=user", "NOTATION_PASSWORD=secret"}
	generate := exec.Command(shuin, "cert", "generate-test", "--default", "ci.example.com")
	generate.Env = home
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	cmd := exec.Command(shuin, "seal", "--stage", "unit-test", "localhost:"+port+"/shop:v1", "--", "sh", "-c", "echo up; cat")
	cmd.Env = home
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "up" {
		t.Errorf("the command printed %q", lines.Text())
	}
	e.end()
	stdin.Close()
	var sealed bool
	for lines.Scan() {
		sealed = sealed || lines.Text() == "Sealed stage unit-test of localhost:"+port+"/shop@"+image
	}
	if err := cmd.Wait(); err != nil || !sealed || e.used == 0 {
		t.Errorf("%v, sealed: %v, requests with the ended token: %d\n%s", err, sealed, e.used, stderr.String())
	}
}
