package cluster

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"k8s.io/client-go/rest"
)

// Call is one run of kubectl, helm or another program as a user would run it.
type Call struct {
	Program string       // kubectl, helm, or the path of another program
	As      *rest.Config // nil: Admin
	Stdin   io.Reader    // nil: empty
	Dir     string       // working directory; empty: the test's
	Env     []string     // NAME=value, beside KUBECONFIG, HOME and PATH
}

// Result is how a program ended.
type Result struct {
	Stdout, Stderr string
	Code           int // exit code
}

// Run runs a program with a home of its own and the cluster as the current
// context. Only a program that cannot be run fails the test; its exit code is
// the caller's to judge.
func (c *Cluster) Run(tb testing.TB, call Call, args ...string) Result {
	tb.Helper()
	path := call.Program
	if path == "kubectl" || path == "helm" {
		path = c.Programs.Path(path)
	}
	as := call.As
	if as == nil {
		as = c.Admin
	}
	kubeconfig, err := c.Kubeconfig(as)
	if err != nil {
		tb.Fatalf("kubeconfig for %s: %v", call.Program, err)
	}
	defer os.Remove(kubeconfig)
	command := exec.CommandContext(tb.Context(), path, args...)
	command.Dir, command.Stdin = call.Dir, call.Stdin
	command.Env = append([]string{
		"KUBECONFIG=" + kubeconfig, "HOME=" + c.home(tb), "PATH=" + c.Programs.Dir + string(os.PathListSeparator) + os.Getenv("PATH"), "TMPDIR=" + c.Dir,
	}, call.Env...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		tb.Fatalf("run %s %q: %v", call.Program, args, err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: command.ProcessState.ExitCode()}
}

// home is one folder for all runs, so that kubectl asks for the API's
// resources once, as at a user's.
func (c *Cluster) home(tb testing.TB) string {
	tb.Helper()
	dir := c.file("home")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Kubectl runs kubectl as Admin.
func (c *Cluster) Kubectl(tb testing.TB, args ...string) Result {
	tb.Helper()
	return c.Run(tb, Call{Program: "kubectl"}, args...)
}

// Apply runs kubectl apply on manifests in YAML or JSON, as Admin; more are
// more arguments, as --dry-run=server.
func (c *Cluster) Apply(tb testing.TB, manifests string, more ...string) Result {
	tb.Helper()
	return c.Run(tb, Call{Program: "kubectl", Stdin: bytes.NewReader([]byte(manifests))}, append([]string{"apply", "-f", "-"}, more...)...)
}

// Helm runs helm as Admin.
func (c *Cluster) Helm(tb testing.TB, args ...string) Result {
	tb.Helper()
	return c.Run(tb, Call{Program: "helm"}, args...)
}

// OK fails the test unless the program ended well, and returns its output.
func (r Result) OK(tb testing.TB) string {
	tb.Helper()
	if r.Code != 0 {
		tb.Fatalf("exit code %d\nstdout: %s\nstderr: %s", r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}
