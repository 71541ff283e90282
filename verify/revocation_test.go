package verify_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

// byIndex answers per certificate.
func byIndex(answers ...verify.Revocation) func([]*x509.Certificate, envelope.Purpose) []verify.Revocation {
	return func([]*x509.Certificate, envelope.Purpose) []verify.Revocation { return answers }
}

func TestRevocationFollowsTheLevel(t *testing.T) {
	none := verify.Revocation{Status: verify.StatusNoSource}
	over, overRevoked := good, revoked
	over.NextUpdate, overRevoked.NextUpdate = now.Add(-time.Second), now.Add(-time.Second)
	bad := func(err error) verify.Revocation {
		return verify.Revocation{Status: verify.StatusUnavailable, Err: err}
	}
	broken := &shuin.Error{Code: shuin.CodeMalformed, Message: "read ocsp response"}
	malformed, tooLarge := bad(fmt.Errorf("ocsp: %w", broken)), bad(&shuin.Error{Code: shuin.CodeLimit, Message: "crl is too large"})
	mixed := bad(errors.Join(errors.New("timeout"), errors.Join(nil, broken)))
	tests := []struct {
		name      string
		answers   []verify.Revocation
		strict    shuin.Result
		code      shuin.Code
		outcome   shuin.Outcome
		elsewhere shuin.Result // permissive and audit
	}{
		{"REV-01 all good", []verify.Revocation{good, good, good, none}, shuin.Verified, "", shuin.Passed, shuin.Verified},
		{"REV-01 an intermediate revoked", []verify.Revocation{good, revoked, good, none}, shuin.NotVerified, shuin.CodeRevoked, shuin.Failed, shuin.Verified},
		{"REV-01 one unavailable", []verify.Revocation{good, unavailable, good, none}, shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.Unknown, shuin.Verified},
		{"REV-01 revoked decides over unavailable", []verify.Revocation{revoked, unavailable, good, none}, shuin.NotVerified, shuin.CodeRevoked, shuin.Failed, shuin.Verified},
		{"REV-01 revoked decides over unavailable below", []verify.Revocation{unavailable, revoked, good, none}, shuin.NotVerified, shuin.CodeRevoked, shuin.Failed, shuin.Verified},
		{"an answer that is not one", []verify.Revocation{{}, good, good, none}, shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.Unknown, shuin.Verified},
		{"REV-03 a good answer that is over at the time of judging", []verify.Revocation{good, over, good, none}, shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.Unknown, shuin.Verified},
		{"REV-03 a revoked one that is over stays revoked", []verify.Revocation{overRevoked, over, good, none}, shuin.NotVerified, shuin.CodeRevoked, shuin.Failed, shuin.Verified},
		{"REV-04 a malformed answer is bad, not undecided", []verify.Revocation{good, malformed, good, none}, shuin.NotVerified, shuin.CodeMalformed, shuin.Failed, shuin.Verified},
		{"REV-02 an answer over a limit is bad, not undecided", []verify.Revocation{tooLarge, good, good, none}, shuin.NotVerified, shuin.CodeLimit, shuin.Failed, shuin.Verified},
		{"REV-01 a malformed answer decides over an unreachable responder", []verify.Revocation{unavailable, malformed, unavailable, none}, shuin.NotVerified, shuin.CodeMalformed, shuin.Failed, shuin.Verified},
		{"REV-01 so it does among the sources of one certificate", []verify.Revocation{mixed, good, good, none}, shuin.NotVerified, shuin.CodeMalformed, shuin.Failed, shuin.Verified},
		{"REV-01 revoked decides over malformed", []verify.Revocation{malformed, revoked, good, none}, shuin.NotVerified, shuin.CodeRevoked, shuin.Failed, shuin.Verified},
		{"an answer for fewer certificates", []verify.Revocation{good}, shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.Unknown, shuin.Verified},
	}
	for _, tt := range tests {
		for _, level := range []string{"strict", "permissive", "audit"} {
			t.Run(tt.name+" under "+level, func(t *testing.T) {
				s := newScene(t)
				s.level = level
				s.withSources(byIndex(tt.answers...))
				r := s.run(t.Context())
				result, code := tt.strict, tt.code
				if level != "strict" {
					result, code = tt.elsewhere, ""
				}
				want(t, r, result, code, "")
				if c := check(t, r, shuin.CheckRevocation); c.Outcome != tt.outcome || c.Enforced != (level == "strict") {
					t.Errorf("check is %s, enforced %t", c.Outcome, c.Enforced)
				}
			})
		}
	}
}

func TestRevocationWithoutACheckerIsUnavailable(t *testing.T) {
	s := newScene(t)
	s.withSources(nil)
	s.verifier.Revocation = nil
	want(t, s.run(t.Context()), shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.CheckRevocation)
}

func TestNothingIsFetchedForStrangers(t *testing.T) {
	for name, spoil := range map[string]func(s *scene){
		"untrusted root, authenticity only logged": func(s *scene) {
			s.level, s.override = "audit", map[string]string{"revocation": "enforce"}
			s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()}
		},
		"untrusted root":                 func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} },
		"identity not trusted":           func(s *scene) { s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Example, CN=x"} },
		"expired, which fails it anyway": func(s *scene) { s.env.Expiry = now },
		"metadata not signed":            func(s *scene) { s.options.Metadata = map[string]string{"a": "b"} },
		"another artifact":               func(s *scene) { s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			asked := s.withSources(all(good))
			spoil(s)
			if r := s.run(t.Context()); r.Result != shuin.NotVerified {
				t.Errorf("%s: %v", r.Result, r.Err)
			}
			if len(asked.asked) != 0 {
				t.Errorf("revocation was asked %d times", len(asked.asked))
			}
		})
	}
}

func TestRevocationIsAskedForTheAuthenticatedTimeOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *scene)
		at     time.Time
	}{
		"REV-03 no authentic time": {func(*scene) {}, time.Time{}},
		"REV-04 a signing authority's time": {func(s *scene) {
			s.env.Scheme, s.trusts = shuintest.SchemeSigningAuthority, []string{"signingAuthority:acme"}
		}, now.Add(-time.Hour)},
		"REV-03 a verified timestamp, at its latest": {func(s *scene) {
			s.stamped(now.Add(-time.Minute), func(c *shuintest.TSA) { c.Accuracy = 2 * time.Second })
		}, now.Add(-time.Minute + 2*time.Second)},
		"a timestamp that failed and was only logged": {func(s *scene) {
			s.level, s.override = "permissive", map[string]string{"revocation": "enforce"}
			s.stamped(now, func(c *shuintest.TSA) { c.Mutate = func(k *shuintest.Token) { k.BadSignature = true } })
		}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			asked := s.withSources(all(good))
			tt.change(s)
			want(t, s.run(t.Context()), shuin.Verified, "", "")
			if len(asked.at) != 1 || !asked.at[0].Equal(tt.at) {
				t.Errorf("asked for %v, want once for %s", asked.at, tt.at)
			}
		})
	}
}

func TestAReportIsStaleWhenTheFirstOfItsGroundsIs(t *testing.T) {
	soon := verify.Revocation{Status: verify.StatusGood, NextUpdate: now.Add(time.Hour)}
	sooner := verify.Revocation{Status: verify.StatusGood, NextUpdate: now.Add(time.Minute)}
	none := verify.Revocation{Status: verify.StatusNoSource}
	for name, tt := range map[string]struct {
		change func(s *scene)
		want   time.Time
	}{
		"the certificates' end":             {func(*scene) {}, end},
		"the first certificate's end":       {func(s *scene) { s.issue(level(1, func(c *x509.Certificate) { c.NotAfter = now.Add(time.Hour) })) }, now.Add(time.Hour)},
		"the signature's expiry":            {func(s *scene) { s.env.Expiry = now.Add(time.Hour) }, now.Add(time.Hour)},
		"the first revocation answer's end": {func(s *scene) { s.withSources(byIndex(soon, sooner, good, none)) }, now.Add(time.Minute)},
		"nothing, under a signing authority": {func(s *scene) {
			s.env.Scheme, s.trusts = shuintest.SchemeSigningAuthority, []string{"signingAuthority:acme"}
		}, time.Time{}},
		"nothing, with a timestamp": {func(s *scene) { s.stamped(now, nil) }, time.Time{}},
		"the timestamp's revocation answer": {func(s *scene) {
			s.revocableTSA(byIndex(soon, good, none))
			s.stamped(now, nil)
		}, now.Add(time.Hour)},
		"not what is only logged": {func(s *scene) {
			s.level = "permissive"
			s.env.Expiry = now.Add(time.Hour)
			s.withSources(byIndex(soon, sooner, good, none))
		}, time.Time{}},
		"the end of a certificate whose timestamp is not looked at yet": {func(s *scene) {
			s.stamped(now, nil)
			s.timestamps = "afterCertExpiry"
		}, end},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			tt.change(s)
			r := s.run(t.Context())
			want(t, r, shuin.Verified, "", "")
			if !r.StaleUntil.Equal(tt.want) {
				t.Errorf("stale until %s, want %s", r.StaleUntil, tt.want)
			}
		})
	}
}
