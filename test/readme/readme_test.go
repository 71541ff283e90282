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

// TestREADMECommandsRunAsWritten runs the 30-second example of both READMEs
// with bash. The calls of make are run by CI itself.
func TestREADMECommandsRunAsWritten(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "shuin"), "github.com/shuin/shuin/cmd/shuin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, readme := range []string{"README.md", "README.ja.md"} {
		t.Run(readme, func(t *testing.T) {
			requireFree(t, "localhost:5000")
			script := script(t, filepath.Join("..", "..", readme))
			// The reader starts the registry with & and types on; a script has to
			// wait for it, and to end it.
			script = "set -euo pipefail\ntrap 'kill %1' EXIT\n" + strings.Replace(script, " &\n", ` &
for i in $(seq 100); do curl -fs -o up http://localhost:5000/v2/ && break; sleep 0.1; done
`, 1)
			cmd := exec.Command("bash", "-c", script)
			cmd.Dir = t.TempDir()
			cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + bin + ":" + os.Getenv("PATH")}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, script, out)
			}
			if !strings.Contains(string(out), "Successfully verified signature for localhost:5000/shop@sha256:") {
				t.Errorf("not verified:\n%s", out)
			}
		})
	}
}

// requireFree fails in words where another registry is in the example's way.
func requireFree(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the example needs %s: %v", address, err)
	}
	l.Close()
}

// script is the first console block of a README without its prompts.
func script(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "```console\n")
	block, _, closed := strings.Cut(block, "```")
	if !ok || !closed || strings.Count(block, "$ shuin ") < 4 {
		t.Fatalf("%s has no console block with the example", path)
	}
	var b strings.Builder
	for line := range strings.Lines(block) {
		b.WriteString(strings.TrimPrefix(line, "$ "))
	}
	return b.String()
}
