//go:build e2e

package readme

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheExampleOfAPipelineRuns runs examples/02-pipeline as its README says.
// The first example is run by make.
func TestTheExampleOfAPipelineRuns(t *testing.T) {
	program := filepath.Join(t.TempDir(), "shuin")
	build := exec.Command("go", "build", "-o", program, "github.com/shuin/shuin/cmd/shuin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	tmp := t.TempDir()
	cmd := exec.Command(filepath.Join("..", "..", "examples", "02-pipeline", "run.sh"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "TMPDIR=" + tmp, "LC_ALL=C.UTF-8", "SHUIN=" + program, "PORT=" + port}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "All as it should be.") {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
