//go:build e2e

package kube

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A Pod runs by an exception, which ends by its date. Nothing else changes, and
// the next sweep by the schedule is an hour away.
func TestAPodWhoseExceptionEndsIsToldBeforeTheNextSweep(t *testing.T) {
	w := newWorld(t, "shop/unsigned:v1")
	definition, err := os.ReadFile("testdata/policyreports.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if r := w.Apply(t, string(definition)); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	ns := w.Namespace(t)
	image := w.registry + "/shop/unsigned@" + w.digest("shop/unsigned", "v1")
	if r := w.Kubectl(t, "run", "web", "-n", ns, "--image="+image); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	if r := w.install(w.policy("enforce")); r.Code != 0 {
		t.Fatalf("install: %s\n%s", r.Stderr, w.gate.Log(t))
	}
	report := func(want string) func() error {
		return func() error {
			r := w.Kubectl(t, "get", "policyreport", "shuin", "-n", ns, "-o=jsonpath={.summary.fail} {.summary.skip} {.results[0].result}")
			if got := strings.TrimSpace(r.Stdout); got != want {
				return fmt.Errorf("the report says %q, want %q; %s", got, want, r.Stderr)
			}
			return nil
		}
	}
	w.eventually(time.Minute, report("1 0 fail"))
	ends := time.Now().Add(2 * time.Minute)
	r := w.Apply(t, fmt.Sprintf(`
apiVersion: shuin.dev/v1alpha1
kind: PolicyException
metadata: {name: hotfix, namespace: %s}
spec: {images: [%q], reason: INC-1, owner: sre@example.com, expires: %q}
`, ns, image, ends.UTC().Format(time.RFC3339)))
	if r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	w.eventually(100*time.Second, report("0 1 skip"))
	if !time.Now().Before(ends) {
		t.Fatal("the exception ended before a report knew of it")
	}
	w.eventually(time.Until(ends)+100*time.Second, report("1 0 fail"))
	if time.Now().Before(ends) {
		t.Error("the exception ended before its time")
	}
}
