package gate

import (
	"net/http"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
)

// Certificates that name a revocation list: what the list says, and that it
// could not be had, is the same answer at every entrance.
func TestRevocationListsAreAskedAtEveryEntrance(t *testing.T) {
	ci := authorities()["ca:ci"].root
	for _, c := range []struct {
		name          string
		change        func(crl *shuintest.CRL, of *shuintest.Chain)
		repository    string
		outcome, code string
		allowed       bool
	}{
		{"a list that does not name it", func(*shuintest.CRL, *shuintest.Chain) {}, "lenient/api", "admit", "", true},
		{"a list that names it", func(crl *shuintest.CRL, of *shuintest.Chain) {
			crl.Revoke(of.Leaf().SerialNumber, time.Now().Add(-time.Hour), shuintest.KeyCompromise, time.Time{})
		}, "lenient/api", "deny", "revoked", false},
		{"no list to be had", func(crl *shuintest.CRL, _ *shuintest.Chain) {
			crl.Fault.Status = http.StatusInternalServerError
		}, "any/api", "undecided", "revocation-unavailable", false},
		{"no list to be had, under a rule that admits it", func(crl *shuintest.CRL, _ *shuintest.Chain) {
			crl.Fault.Status = http.StatusInternalServerError
		}, "lenient/api", "undecided", "revocation-unavailable", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			crl := &shuintest.CRL{Issuer: ci.Certs[1], Key: ci.Keys[1]}
			chain, err := ci.NewLeaf(shuintest.ChainOptions{
				NotBefore: began, NotAfter: ends, Family: 9000, Subject: subjectOf("ci-build"), CRL: []string{shuintest.NewWorld(t).Handle("ci.crl", crl)},
			})
			if err != nil {
				t.Fatal(err)
			}
			c.change(crl, chain)
			im := s.single(c.repository, "")
			s.seal(im, sealed{By: "build", chain: chain})
			q := s.about("three", s.digested(im))
			q.private = true
			for _, e := range entrances() {
				v := e.ask(t, q)
				got, code := v.Images[0], ""
				if got.Reason != nil {
					code = got.Reason.Code
				}
				if got.Outcome != c.outcome || code != c.code || got.Allowed != c.allowed {
					t.Errorf("%s: %s, %q, allowed %t: %v", e.name, got.Outcome, code, got.Allowed, got.Reason)
				}
			}
		})
	}
}
