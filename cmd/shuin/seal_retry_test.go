//go:build unix

package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shuin/shuin/internal/devregistry"
)

// sealHome is a registry with an image, and an environment with a default key.
func sealHome(t *testing.T) (shuin, reference, id string, env []string, reg *devregistry.Registry) {
	t.Helper()
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id, image := shopImage(t, reg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: reg}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	if shuin, err = exec.LookPath("shuin"); err != nil {
		t.Fatal(err)
	}
	env = []string{"HOME=" + filepath.Join(t.TempDir(), "home"), "PATH=/usr/bin:/bin"}
	generate := exec.Command(shuin, "cert", "generate-test", "--default", "ci.example.com")
	generate.Env = env
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return shuin, "localhost:" + port + "/shop@" + image, id, env, reg
}

// TestARegistryThatIsGoneForAMomentIsTriedAgain: the command is not run in vain.
func TestARegistryThatIsGoneForAMomentIsTriedAgain(t *testing.T) {
	shuin, reference, _, env, reg := sealHome(t)
	run := func(args ...string) (string, error) {
		cmd := exec.Command(shuin, append(append([]string{"seal", "--stage", "unit-test"}, args...), reference, "--", "true")...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	down := devregistry.Fault{Method: http.MethodPut, Kind: devregistry.KindManifest, Status: http.StatusServiceUnavailable, Times: -1}
	reg.FailNext(down)
	out, err := run("--retry-for", "0")
	_, digest, _ := strings.Cut(reference, "@")
	if err == nil || !strings.Contains(out, "Error: stage unit-test not sealed: ") || strings.Contains(out, "trying again") ||
		!strings.Contains(out, "run the same again, with its command, for "+reference) || !strings.Contains(out, "--record FILE --image-id "+digest+" --stage unit-test -- COMMAND") {
		t.Errorf("%v\n%s", err, out)
	}
	tries := puts(reg)
	reg.ClearFaults()
	down.Times = tries // as many as one try takes
	reg.FailNext(down)
	if out, err = run(); err != nil || !strings.Contains(out, "trying again in 500ms") || !strings.Contains(out, "Sealed stage unit-test of "+reference) {
		t.Errorf("%v\n%s", err, out)
	}
	before := puts(reg)
	reg.FailNext(devregistry.Fault{Method: http.MethodPut, Kind: devregistry.KindManifest, Status: http.StatusForbidden, Times: -1})
	if out, err = run(); err == nil || strings.Contains(out, "trying again") || puts(reg) != before+1 {
		t.Errorf("a refusal was tried again: %v\n%s", err, out)
	}
}

// puts counts the manifests that were to be stored.
func puts(reg *devregistry.Registry) (n int) {
	for _, r := range reg.Log() {
		if r.Method == http.MethodPut && r.Kind == devregistry.KindManifest {
			n++
		}
	}
	return n
}

// TestWhatWasSealedIsToldWhereNobodyReadsIt: the pipe is closed, which ends a
// process that does not look after it.
func TestWhatWasSealedIsToldWhereNobodyReadsIt(t *testing.T) {
	shuin, reference, id, env, _ := sealHome(t)
	evidence := filepath.Join(t.TempDir(), "e.json")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{reference}, "Sealed stage unit-test of " + reference + ", with the signature "},
		{[]string{reference, "--output", "json"}, "Error: 1 seal is stored, and that could not be printed: "},
		{[]string{"--record", evidence, "--image-id", id, "--", "true"}, "Error: stage unit-test of imageID " + id + " is recorded in " + evidence + ", and that could not be printed: "},
	} {
		cmd := exec.Command(shuin, append([]string{"seal", "--stage", "unit-test"}, c.args...)...)
		cmd.Env = env
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = w, &stderr
		_ = cmd.Run()
		w.Close()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%v: %s\n%s", c.args, cmd.ProcessState, stderr.String())
		}
	}
}
