//go:build e2e

package awscli

import (
	_ "embed"
	"os/exec"
	"testing"
)

//go:embed testdata/client.py
var clientPy string

// TestBoto3 runs testdata/client.py: paginators, waiter, error shapes, an
// empty and a full page, tags with hard characters, the host prefix.
func TestBoto3(t *testing.T) {
	w := newWorld(t, "")
	stdout, stderr, status := w.run(t, append(w.env(w.admin), "SHUIND="+w.endpoint, "ACCOUNT="+account), python(t), "-c", clientPy)
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	t.Log(stdout)
}

// python is the first of the usual ones that has boto3.
func python(t *testing.T) string {
	t.Helper()
	for _, candidate := range []string{"python3", "/usr/bin/python3"} {
		if path, err := exec.LookPath(candidate); err == nil && exec.Command(path, "-c", "import boto3").Run() == nil {
			return path
		}
	}
	t.Fatal("the tests need python3 with boto3 (on Debian: sudo apt-get install python3-boto3)")
	return ""
}
