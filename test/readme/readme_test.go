//go:build e2e

package readme

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shuin/shuin/test/awscli"
)

// example is a console block of the READMEs: how its background process is
// waited for, what it needs, and what its output has to hold.
type example struct {
	name      string
	heading   string // in both languages, the block is the first one after it
	ready     string // an address that answers when the first command is ready
	addresses []string
	wants     []string
}

var examples = map[string][]example{
	"README.md":    all("## In 30 seconds", "## Every stage, or it does not sail", "## A signer of your own"),
	"README.ja.md": all("## 30 秒で", "## 全段階の印がなければ出港させない", "## 自前の署名サービス"),
}

func all(first, stages, second string) []example {
	return []example{
		{"sign and verify", first, "http://localhost:5000/v2/", []string{"localhost:5000"},
			[]string{"Successfully verified signature for localhost:5000/shop@sha256:"}},
		{"every stage", stages, "http://localhost:8080/readyz", []string{"localhost:5000", "localhost:8080"},
			[]string{"Sealed stage build of localhost:5000/shop@sha256:", "the tests failed: no seal", "3 of 3 tests passed",
				"missing stages: scan (no seal)", "denied: scan is missing", "Deployment shop   localhost:5000/shop:v1   shop   ✓       ✓           ✓      admitted",
				"1 image with 1 tag: 1 admitted, 0 denied, 0 undecided", `"outcome":"admit","allowed":true`}},
		{"a signer of your own", second, "http://localhost:8080/readyz", []string{"localhost:5000", "localhost:8080"},
			[]string{`"profileVersionArn"`, `"signature"`, "Successfully verified signature for localhost:5000/shop@sha256:",
				"AWS Signer says this is revoked", "refused: the signature was revoked"}},
	}
}

// TestREADMECommandsRunAsWritten runs the examples of both READMEs with bash.
// The calls of make are run by CI itself.
func TestREADMECommandsRunAsWritten(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"shuin", "shuind"} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, name), "github.com/shuin/shuin/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	cli, err := awscli.FindCLI(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for readme, list := range examples {
		text, err := os.ReadFile(filepath.Join("..", "..", readme))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(text), "$ shuin"); got != count(t, string(text), list) {
			t.Errorf("%s has %d calls of shuin and shuind, and not all are in an example that is run", readme, got)
		}
		for _, e := range list {
			t.Run(readme+" "+e.name, func(t *testing.T) {
				if e.heading == list[1].heading {
					e.wants = append(e.wants, policyFile(t, string(text), e.heading))
				}
				e.run(t, block(t, string(text), e.heading), bin, cli)
			})
		}
	}
}

func count(t *testing.T, text string, list []example) (n int) {
	t.Helper()
	for _, e := range list {
		n += strings.Count(block(t, text, e.heading), "\nshuin")
	}
	return n
}

func (e example) run(t *testing.T, script, bin string, cli *awscli.CLI) {
	for _, address := range e.addresses {
		requireFree(t, address)
	}
	// The reader starts the first command with & and types on; a script has to
	// wait for it, and to end it.
	script = "set -euo pipefail\ntrap 'kill %1; wait %1' EXIT\n" + strings.Replace(script, " &\n", ` &
for i in $(seq 300); do curl -fs -o up `+e.ready+` && break; sleep 0.1; done
sleep 1 # a signer refuses what was signed before it started, and requests name whole seconds
`, 1)
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{
		"HOME=" + t.TempDir(), "PATH=" + bin + ":" + cli.Bin + ":" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	}, cli.Env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	for _, want := range e.wants {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

// requireFree fails in words where another server is in the example's way.
func requireFree(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the example needs %s: %v", address, err)
	}
	l.Close()
}

// policyFile is the first YAML block after a heading: the policy that the
// example prints.
func policyFile(t *testing.T, text, heading string) string {
	t.Helper()
	_, text, _ = strings.Cut(text, "\n"+heading+"\n")
	_, text, ok := strings.Cut(text, "```yaml\n")
	text, _, closed := strings.Cut(text, "```")
	if !ok || !closed {
		t.Fatalf("no YAML block after %q", heading)
	}
	return text
}

// block is the first console block after a heading, without its prompts.
func block(t *testing.T, text, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", heading)
	}
	_, text, ok = strings.Cut(text, "```console\n")
	text, _, closed := strings.Cut(text, "```")
	if !ok || !closed || strings.Count(text, "$ shuin") < 4 {
		t.Fatalf("no console block with an example after %q", heading)
	}
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimPrefix(line, "$ "))
	}
	return b.String()
}
