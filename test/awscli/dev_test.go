//go:build e2e

package awscli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheCommandsThatShuindDevPrintsWorkWordForWord takes them out of its
// output and runs them with a shell, with an empty HOME.
func TestTheCommandsThatShuindDevPrintsWorkWordForWord(t *testing.T) {
	tools := theTools(t)
	dir := t.TempDir()
	out := &everything{}
	p := start(t, append(baseEnv(dir), "TMPDIR="+dir), out, tools.shuind, "dev", "--listen", "localhost:0", "--registry", "localhost:0")
	script := printedCommands(t, p)
	w := &world{tools: tools, dir: dir, written: &everything{}}
	stdout, stderr, status := w.run(t, append([]string{"PATH=" + filepath.Dir(tools.shuin) + ":" + tools.cli.Bin + ":" + os.Getenv("PATH")}, tools.cli.Env...),
		"bash", "-euo", "pipefail", "-c", script)
	if status != 0 {
		t.Fatalf("status %d\n%s\n%s\n%s", status, script, stdout, stderr)
	}
	for _, want := range []string{
		`"revokedEntities": []`,
		"Successfully verified signature for localhost:",
		"Successfully signed localhost:",
		`"outcome":"deny","allowed":false`,
		"missing stages: build (revoked), unit-test (no seal), scan (no seal)",
		"denied, as it should be: scan is missing",
		`"outcome":"admit","allowed":true`,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the output lacks %q:\n%s", want, stdout)
		}
	}
	if got := strings.Count(stdout, "refused, as it should be"); got != 2 {
		t.Errorf("%d verifications were refused after a revocation, want 2:\n%s%s", got, stdout, stderr)
	}
	for _, want := range []string{"AWS Signer says this is revoked: signing job", "is revoked since"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the reasons lack %q:\n%s", want, stderr)
		}
	}
	p.stop(t)
	if left, err := filepath.Glob(filepath.Join(dir, "shuind-dev-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// printedCommands waits for what lies between the two marks.
func printedCommands(t *testing.T, p *process) string {
	t.Helper()
	for range 300 {
		if _, rest, ok := strings.Cut(p.output.String(), "# ---- copy from here"); ok {
			if script, _, ok := strings.Cut(rest, "# ---- to here ----"); ok {
				return "# " + script
			}
		}
		select {
		case <-p.done:
			t.Fatalf("shuind dev ended: %v: %s", p.err, p.output)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("shuind dev printed no commands: %s", p.output)
	return ""
}

// TestShuindDevGoesOnWithItsData: the second run has the first one's CA and
// jobs, and its commands work too.
func TestShuindDevGoesOnWithItsData(t *testing.T) {
	tools := theTools(t)
	dir := t.TempDir()
	w := &world{tools: tools, dir: dir, written: &everything{}}
	var roots []string
	for range 2 {
		out := &everything{}
		p := start(t, append(baseEnv(dir), "TMPDIR="+dir), out, tools.shuind, "dev", "--listen", "localhost:0", "--registry", "localhost:0", "--data", filepath.Join(dir, "data"))
		script := printedCommands(t, p)
		_, second, ok := strings.Cut(script, "\n# 2. ")
		second, _, closed := strings.Cut(second, "\n# 3. ")
		if !ok || !closed {
			t.Fatalf("no second part in %s", script)
		}
		settings, _, _ := strings.Cut(script, "\n# 1. ")
		put := "\naws signer put-signing-profile --profile-name build --platform-id " + platform + "\n"
		stdout, stderr, status := w.run(t, append([]string{"PATH=" + filepath.Dir(tools.shuin) + ":" + tools.cli.Bin + ":" + os.Getenv("PATH")}, tools.cli.Env...),
			"bash", "-euo", "pipefail", "-c", settings+put+"# "+second)
		if status != 0 || !strings.Contains(stdout, "Successfully verified") || !strings.Contains(stdout, "refused, as it should be") {
			t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
		}
		roots = append(roots, string(read(t, filepath.Join(dir, "data", "ca", "root.pem"))))
		p.stop(t)
	}
	if roots[0] != roots[1] {
		t.Error("the second run has another CA")
	}
}

func TestShuindDevServesLoopbackOnly(t *testing.T) {
	w := &world{tools: theTools(t), dir: t.TempDir(), written: &everything{}}
	for _, args := range [][]string{{"--listen", "0.0.0.0:0"}, {"--registry", ":5000"}, {"--listen", "192.0.2.1:8080"}} {
		_, stderr, status := w.run(t, nil, w.shuind, append([]string{"dev"}, args...)...)
		if status == 0 || !strings.Contains(stderr, "loopback") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}
