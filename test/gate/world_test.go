package gate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the built command line, config its configuration directory with
// the trust stores; both are made once and only read.
var program, config string

func TestMain(m *testing.M) { os.Exit(withWorld(m)) }

// withWorld sets up what all tests share: the signer that is asked about
// revocation, the trust stores, and the command line.
func withWorld(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shuin-gate-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	status := httptest.NewServer(http.HandlerFunc(revocationStatus))
	defer status.Close()
	for name, value := range awsSettings(status.URL) {
		os.Setenv(name, value)
	}
	program, config = filepath.Join(dir, "shuin"), filepath.Join(dir, "notation")
	for _, step := range []func() error{buildProgram, func() error { return WriteStores(config) }} {
		if err := step(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func buildProgram() error {
	build := exec.Command("go", "build", "-o", program, "github.com/shuin/shuin/cmd/shuin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build shuin: %w\n%s", err, out)
	}
	return nil
}
