//go:build e2e

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheDemoEndsAsExpectedAndLeavesNothing(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"shuin", "shuind"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(bin, name), "github.com/shuin/shuin/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out strings.Builder
	if err := run(t.Context(), &out, filepath.Join(bin, "shuin"), filepath.Join(bin, "shuind")); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), "shuin-demo-") || strings.HasPrefix(e.Name(), "shuind-") {
			t.Errorf("%s is left over", e.Name())
		}
	}
}
