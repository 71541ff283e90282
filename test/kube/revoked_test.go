//go:build e2e

package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/shuintest"
)

// A Pod runs with a seal whose certificate is revoked then. Nothing else changes,
// and the next sweep by the schedule is an hour away.
func TestAPodWhoseSealIsRevokedIsToldBeforeTheNextSweep(t *testing.T) {
	w := newWorld(t, "shop/app:v1")
	world := shuintest.NewWorld(t)
	pki := world.MustPKI("ci", shuintest.NameCRL, shuintest.ChainOptions{})
	w.sealBy(pki.Chain, "shop/app")
	if err := os.WriteFile(filepath.Join(w.home, "truststore/x509/ca/ci/revocable.pem"), pki.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	definition, err := os.ReadFile("testdata/policyreports.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if r := w.Apply(t, string(definition)); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	ns := w.Namespace(t)
	image := w.registry + "/shop/app@" + w.digest("shop/app", "v1")
	if r := w.Kubectl(t, "run", "web", "-n", ns, "--image="+image); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	policy := strings.Replace(w.policy("enforce"), `"x509.subject: C=US, ST=WA, O=Notary, CN=ci"`, `"*"`, 1)
	if r := w.install(policy, "--set", "revocation.allowPrivateAddresses=true"); r.Code != 0 {
		t.Fatalf("install: %s\n%s", r.Stderr, w.gate.Log(t))
	}
	report := func(want string) func() error {
		return func() error {
			r := w.Kubectl(t, "get", "policyreport", "shuin", "-n", ns, "-o=jsonpath={.summary.pass} {.summary.fail} {.results[0].result} {.results[0].properties.code}")
			if got := strings.TrimSpace(r.Stdout); got != want {
				return fmt.Errorf("the report says %q, want %q; %s", got, want, r.Stderr)
			}
			return nil
		}
	}
	w.eventually(time.Minute, report("1 0 pass"))
	try := func() error {
		if r := w.Kubectl(t, "run", "again", "-n", ns, "--dry-run=server", "--image="+image); r.Code == 0 || !strings.Contains(r.Stderr, "[revoked]") {
			return fmt.Errorf("%d %s", r.Code, r.Stderr)
		}
		return nil
	}
	if try() == nil {
		t.Fatal("it was revoked before it was")
	}

	pki.CRL[0].Revoke(pki.Leaf().SerialNumber, time.Now(), shuintest.KeyCompromise, time.Time{})
	w.eventually(90*time.Second, try)
	w.eventually(2*time.Minute, report("0 1 fail revoked"))
	w.eventually(20*time.Second, func() error {
		r := w.Kubectl(t, "get", "events", "-n", ns, "-o", "jsonpath={range .items[*]}{.reason} {.involvedObject.name}: {.message}{\"\\n\"}{end}")
		if !strings.Contains(r.Stdout, "ImageNotAdmitted web:") || !strings.Contains(r.Stdout, "[revoked]") {
			return fmt.Errorf("events: %s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	if text, err := w.get("/metrics"); err != nil || !strings.Contains(text, `shuin_kube_revocation_changes_total{to="revoked"} 1`) {
		t.Errorf("metrics: %v", err)
	}
	if r := w.Kubectl(t, "get", "pod", "web", "-n", ns, "-o=jsonpath={.status.phase}"); r.Stdout != "Running" {
		t.Errorf("what ran is %q: %s", r.Stdout, r.Stderr)
	}
}

// sealBy signs what the tag v1 of a repository names with a chain's own key.
func (w *world) sealBy(chain *shuintest.Chain, repository string) {
	w.t.Helper()
	client := &registry.Client{PlainHTTP: func(string) bool { return true }}
	ref := shuin.Reference{Registry: w.registry, Repository: repository, Tag: "v1"}
	repo, err := client.Repository(ref)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := repo.Resolve(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	d := a.Descriptor()
	signed, err := shuintest.NewEnvelope(shuintest.EnvelopeOptions{Chain: chain, Payload: shuintest.Payload(d.MediaType, string(d.Digest), d.Size, nil)})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := repo.PushSignature(w.t.Context(), a, shuin.MediaTypeJWS, signed, nil); err != nil {
		w.t.Fatal(err)
	}
}
