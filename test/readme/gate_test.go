//go:build e2e

package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheFirstFiveMinutesOfTheGateRunAsWritten runs the first example of
// docs/gate.md with bash: a registry, a key, a gate, and what it answers.
func TestTheFirstFiveMinutesOfTheGateRunAsWritten(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"shuin", "shuind"} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, name), "github.com/shuin/shuin/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "gate.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"localhost:5000", "127.0.0.1:8080"} {
		requireFree(t, address)
	}
	// A reader types on when a background command is ready; a script waits.
	script := block(t, string(text), "## Five minutes")
	var b strings.Builder
	b.WriteString("set -euo pipefail\ntrap 'kill %1 %2; wait' EXIT\n")
	ready := []string{"http://localhost:5000/v2/", "http://127.0.0.1:8080/readyz"}
	for line := range strings.Lines(script) {
		command, _, _ := strings.Cut(line, "  #")
		b.WriteString(line)
		if strings.HasSuffix(strings.TrimSpace(command), " &") {
			b.WriteString("for i in $(seq 300); do curl -fs -o up " + ready[0] + " && break; sleep 0.1; done\n")
			ready = ready[1:]
		}
	}
	if len(ready) > 0 {
		t.Fatalf("the example starts not what is awaited: %s\n%s", ready, script)
	}
	cmd := exec.Command("bash", "-c", b.String())
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + bin + ":" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "AWS_EC2_METADATA_DISABLED=true"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, b.String(), out)
	}
	for _, want := range []string{
		"Principal ci, known by a token", `"outcome":"deny","allowed":false`, `"code":"unsigned"`, "Sealed stage build",
		`"outcome":"admit","allowed":true`, `"kind":"decision"`, `"principal":"ci"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}
