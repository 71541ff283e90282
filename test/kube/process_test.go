//go:build e2e

package kube

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/shuin/shuin/internal/admission"
	golden "github.com/shuin/shuin/test/gate"
	"github.com/shuin/shuin/test/kube/cluster"
)

// gateProcess is shuind as the gate of the shared cluster, reached by URL: so
// measured is the gate, not the way to it. Policy and trust are files, its
// certificate one of the test's; all else is as the chart sets it up.
type gateProcess struct {
	images  *golden.Images
	program *cluster.Program
	url     string
	ca      []byte
}

// newGateProcess starts it, with additions to its environment (NAME=value), and
// waits until it is ready.
func newGateProcess(tb testing.TB, env ...string) *gateProcess {
	tb.Helper()
	authority, err := cluster.NewAuthority("Shuin test gate")
	if err != nil {
		tb.Fatal(err)
	}
	cert, key, err := authority.Serve("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	g := startGate(tb, golden.NewImages(tb), shared.Namespace(tb), func(dir string) string {
		write(tb, filepath.Join(dir, "tls.crt"), cert)
		write(tb, filepath.Join(dir, "tls.key"), key)
		return fmt.Sprintf("tls: {certificate: %[1]s/tls.crt, key: %[1]s/tls.key}", dir)
	}, env...)
	g.ca = authority.PEM
	return g
}

func write(tb testing.TB, file string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// startGate starts shuind for a namespace, with what certificate says of its
// serving certificate: a line of the section kubernetes, for files in dir.
func startGate(tb testing.TB, images *golden.Images, ns string, certificate func(dir string) string, env ...string) *gateProcess {
	tb.Helper()
	dir := tb.TempDir()
	kubeconfig, err := shared.Kubeconfig(shared.Admin)
	if err != nil {
		tb.Fatal(err)
	}
	if err := golden.WriteStores(filepath.Join(dir, "trust")); err != nil {
		tb.Fatal(err)
	}
	webhooks, operations := free(tb), free(tb)
	write(tb, filepath.Join(dir, "policy.yaml"), images.Policy())
	write(tb, filepath.Join(dir, "shuind.yaml"), fmt.Appendf(nil, `operations: {listen: %q}
gate: {policy: %[2]s/policy.yaml, trust: %[2]s/trust, cache: %[2]s/cache}
kubernetes:
  listen: %q
  cluster: prod-1
  namespace: %q
  kubeconfig: %q
  namespacePolicies: true
  %s
`, operations, dir, webhooks, ns, kubeconfig, certificate(dir)))
	command := exec.Command(shared.Product(tb, "shuind"), "serve", "--config", filepath.Join(dir, "shuind.yaml"))
	command.Env = append(os.Environ(), env...)
	g := &gateProcess{images: images, program: shared.StartProgram(tb, command), url: "https://" + webhooks}
	g.program.Await(tb, 2*time.Minute, func() error {
		res, err := http.Get("http://" + operations + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", res.Status)
		}
		return nil
	})
	return g
}

// admits puts the gate before Pods, and owners of Pods, of a namespace.
func (g *gateProcess) admits(tb testing.TB, ns string) {
	tb.Helper()
	place := cluster.Place{URL: g.url, CA: g.ca}
	admits(tb, place, "gate", ns, admission.MutatePath, admission.ValidatePath)
}

// admits registers a mutating and a validating webhook of one place.
func admits(tb testing.TB, place cluster.Place, name, ns, mutate, validate string) {
	tb.Helper()
	owners := append(cluster.PodRules(), cluster.Rule("apps", "v1", "deployments", "replicasets"))
	for _, h := range []struct {
		mutating bool
		kind     string
		path     string
		rules    []admissionv1.RuleWithOperations
	}{{true, "mutate", mutate, cluster.PodRules()}, {false, "validate", validate, owners}} {
		shared.Register(tb, cluster.Hook{
			Name: name + "." + ns + "." + h.kind + ".shuin.test", Mutating: h.mutating, URL: strings.TrimSuffix(place.URL, "/") + h.path, CA: place.CA, Namespace: ns, Rules: h.rules, Again: h.mutating,
		})
	}
}

// processorTime is what a process has used so far, user and system, counted in
// ticks of 10 ms (proc_pid_stat(5)).
func processorTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), ") ") // behind the program's name
	fields := strings.Fields(after)
	var ticks int
	for _, i := range []int{11, 12} { // utime, stime: fields 14 and 15 of all
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is a value of /proc/PID/status in MB: VmRSS, or VmHWM, its peak.
func memory(tb testing.TB, pid int, name string) float64 {
	tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				tb.Fatal(err)
			}
			return float64(kb) * 1024 / 1e6
		}
	}
	tb.Fatalf("no %s in %s", name, data)
	return 0
}
