//go:build e2e

package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// awsPolicy needs no trust store: AWS Signer's are built in.
const awsPolicy = `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{signingProfile: "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build", trustStores: ["signingAuthority:aws-signer-ts"]}]
rules:
  - name: shop
    match: {images: ["registry.example/shop/**"], clusters: [prod-1]}
    require: {all: [build]}
    mode: warn
`

// TestTheGateOfAClusterIsInstalledAsWritten prints, in place of applying, what
// both READMEs install; examples/06-kubernetes applies it.
func TestTheGateOfAClusterIsInstalledAsWritten(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "github.com/shuin/shuin/cmd/shuin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for readme, heading := range map[string]string{"README.md": "## On Kubernetes and EKS", "README.ja.md": "## Kubernetes と EKS"} {
		text, err := os.ReadFile(filepath.Join("..", "..", readme))
		if err != nil {
			t.Fatal(err)
		}
		_, script, ok := strings.Cut(string(text), "\n"+heading+"\n")
		_, script, there := strings.Cut(script, "```sh\n")
		script, _, closed := strings.Cut(script, "```")
		if !ok || !there || !closed {
			t.Fatalf("%s: no commands after %q", readme, heading)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(awsPolicy), 0o600); err != nil {
			t.Fatal(err)
		}
		ran := 0
		for line := range strings.Lines(script) {
			command, _, _ := strings.Cut(line, "  #")
			command = strings.TrimSpace(command)
			if !strings.HasPrefix(command, "shuin ") {
				continue
			}
			wants := []string{"Usage:\n  " + command}
			if with := strings.Replace(command, " --apply ", " --print ", 1); with != command {
				command = with
				wants = []string{"kind: ValidatingWebhookConfiguration", "image: \"registry.example/shuind:1.0\"", `cluster: "prod-1"`, "registry.example/shop/**"}
			} else {
				command += " --help"
			}
			cmd := exec.Command("bash", "-c", command)
			cmd.Dir = dir
			cmd.Env = []string{"HOME=" + dir, "PATH=" + bin + ":" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %s: %v\n%s", readme, command, err, out)
			}
			for _, want := range wants {
				if !strings.Contains(string(out), want) {
					t.Errorf("%s: %s prints no %q:\n%s", readme, command, want, out)
				}
			}
			ran++
		}
		if ran != 3 {
			t.Errorf("%s: %d commands after %q, not 3", readme, ran, heading)
		}
	}
}
