package verify_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

// foreign is a well-made signature by somebody the policy does not trust.
func (s *scene) foreign() shuin.Signature {
	o := s.env
	o.Chain, o.Key = otherChain, nil
	data := shuintest.MustEnvelope(o)
	return shuin.Signature{Manifest: shuin.Descriptor{Digest: digest.FromBytes(data)}, EnvelopeMediaType: shuin.MediaTypeJWS, Envelope: data}
}

func failing(code shuin.Code) shuin.Signature {
	return shuin.Signature{Manifest: shuin.Descriptor{Digest: digest.FromString(string(code))}, Err: &shuin.Error{Code: code, Message: "fetch signature"}}
}

func prints(c *shuintest.Chain) []string {
	var out []string
	for _, der := range c.DER {
		sum := sha256.Sum256(der)
		out = append(out, strings.ToUpper(hex.EncodeToString(sum[:])))
	}
	return out
}

func TestOneGoodSignatureAmongManyIsEnough(t *testing.T) {
	s := newScene(t)
	good := s.signature()
	for name, list := range map[string]*listed{
		"WF-04 after one of a stranger":                 {found: []shuin.Signature{s.foreign(), good}},
		"WF-03 after one of an unknown kind":            {found: []shuin.Signature{{EnvelopeMediaType: "application/pkcs7", Envelope: []byte("x")}, good}},
		"after one that could not be fetched":           {found: []shuin.Signature{failing(shuin.CodeUnavailable), good}},
		"after a malformed one":                         {found: []shuin.Signature{failing(shuin.CodeMalformed), good}},
		"although there are more than may be judged":    {found: []shuin.Signature{good}, more: true},
		"although the list broke off":                   {found: []shuin.Signature{good}, err: &shuin.Error{Code: shuin.CodeUnavailable}},
		"although the list broke off for a good reason": {found: []shuin.Signature{good}, err: &shuin.Error{Code: shuin.CodeMalformed}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.list = list
			r := s.run(t.Context())
			want(t, r, shuin.Verified, "", "")
			if r.VerifiedBy != len(list.found)-1 || r.Accepted().Digest != good.Manifest.Digest {
				t.Errorf("verified by %d", r.VerifiedBy)
			}
			if len(r.Signatures) != len(list.found) {
				t.Errorf("%d signatures in the report, want %d", len(r.Signatures), len(list.found))
			}
		})
	}
}

func TestTheArtifactsReasonIsTheMostTellingOne(t *testing.T) {
	s := newScene(t)
	stranger := s.foreign()
	s.env.Expiry = now
	expired := s.signature()
	s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) }
	tampered := s.signature()
	tests := []struct {
		name   string
		list   listed
		result shuin.Result
		code   shuin.Code
	}{
		{"no signature", listed{}, shuin.NotVerified, shuin.CodeUnsigned},
		{"one of a stranger", listed{found: []shuin.Signature{stranger}}, shuin.NotVerified, shuin.CodeUntrusted},
		{"expired tells more than untrusted", listed{found: []shuin.Signature{stranger, expired, tampered}}, shuin.NotVerified, shuin.CodeExpired},
		{"untrusted tells more than tampered", listed{found: []shuin.Signature{tampered, stranger}}, shuin.NotVerified, shuin.CodeUntrusted},
		{"only a malformed manifest", listed{found: []shuin.Signature{failing(shuin.CodeMalformed)}}, shuin.NotVerified, shuin.CodeMalformed},
		{"an unknown kind of envelope", listed{found: []shuin.Signature{{EnvelopeMediaType: "application/pkcs7", Envelope: []byte("x")}}}, shuin.NotVerified, shuin.CodeTampered},
		{"one could not be fetched: it might have been good", listed{found: []shuin.Signature{stranger, failing(shuin.CodeThrottled)}}, shuin.Undecided, shuin.CodeThrottled},
		{"one was too large: it counts as bad", listed{found: []shuin.Signature{failing(shuin.CodeLimit)}}, shuin.NotVerified, shuin.CodeLimit},
		{"too many, none good", listed{found: []shuin.Signature{stranger}, more: true}, shuin.NotVerified, shuin.CodeLimit},
		{"too many, and some could not be fetched: junk must not leave it undecided", listed{found: []shuin.Signature{failing(shuin.CodeUnavailable)}, more: true}, shuin.NotVerified, shuin.CodeLimit},
		{"the list could not be fetched: 401", listed{err: &shuin.Error{Code: shuin.CodeUnauthorized}}, shuin.Undecided, shuin.CodeUnauthorized},
		{"the list could not be fetched: 403", listed{err: &shuin.Error{Code: shuin.CodeForbidden}}, shuin.Undecided, shuin.CodeForbidden},
		{"the list could not be fetched: 429", listed{err: &shuin.Error{Code: shuin.CodeThrottled}}, shuin.Undecided, shuin.CodeThrottled},
		{"the list could not be fetched: 5xx", listed{err: &shuin.Error{Code: shuin.CodeUnavailable}}, shuin.Undecided, shuin.CodeUnavailable},
		{"the list is malformed", listed{err: &shuin.Error{Code: shuin.CodeMalformed}}, shuin.NotVerified, shuin.CodeMalformed},
		{"the list has too many pages", listed{err: &shuin.Error{Code: shuin.CodeLimit}}, shuin.NotVerified, shuin.CodeLimit},
		{"an error nobody named", listed{err: errors.New("eh")}, shuin.NotVerified, shuin.CodeInternal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			s.list = &tt.list
			r := s.run(t.Context())
			want(t, r, tt.result, tt.code, "")
			if len(r.Signatures) != len(tt.list.found) {
				t.Errorf("%d signatures in the report, want %d", len(r.Signatures), len(tt.list.found))
			}
			for _, sig := range r.Signatures {
				if sig.Err == nil {
					t.Error("a signature without its reason")
				}
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestThumbprintsOrderAndNeverSelectOrReject(t *testing.T) {
	s := newScene(t)
	plain, foreign := s.signature(), s.foreign()
	claimed := plain
	claimed.Thumbprints = prints(signingChain)
	liar := foreign
	liar.Thumbprints = prints(signingChain)
	strange := plain
	strange.Thumbprints = []string{zeros, "not hex"}
	for name, tt := range map[string]struct {
		found  []shuin.Signature
		judged int
	}{
		"OCI-09 the one that names a trusted certificate is judged first": {[]shuin.Signature{foreign, foreign, claimed}, 1},
		"OCI-09 a liar is judged first and refused":                       {[]shuin.Signature{plain, liar}, 2},
		"OCI-06 wrong thumbprints reject nobody":                          {[]shuin.Signature{foreign, strange}, 2},
		"no thumbprints reject nobody":                                    {[]shuin.Signature{foreign, plain}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.list = &listed{found: tt.found}
			r := s.run(t.Context())
			want(t, r, shuin.Verified, "", "")
			if len(r.Signatures) != tt.judged {
				t.Errorf("%d signatures judged, want %d", len(r.Signatures), tt.judged)
			}
		})
	}
}

func TestTheBoundOnSignaturesHolds(t *testing.T) {
	s := newScene(t)
	s.verifier.MaxSignatures = 2
	s.list = &listed{found: []shuin.Signature{s.foreign(), s.foreign(), s.signature()}} // a registry that does not listen
	r := s.run(t.Context())
	want(t, r, shuin.NotVerified, shuin.CodeLimit, "")
	if len(r.Signatures) != 2 {
		t.Errorf("%d signatures judged", len(r.Signatures))
	}
}

func TestSkipVerifiesNothing(t *testing.T) {
	s := newScene(t)
	s.level = "skip"
	s.list = &listed{err: errors.New("must not be asked")}
	r := s.run(t.Context())
	if r.Result != shuin.PolicySkip || r.Err != nil || s.list.calls != 0 || s.stores.loads != 0 {
		t.Errorf("result %s (%v), registry asked %d times, stores %d", r.Result, r.Err, s.list.calls, s.stores.loads)
	}
	if r.Policy == nil || r.Policy.Level != "skip" {
		t.Errorf("policy %v", r.Policy)
	}
}

func TestWithoutAnApplicableStatementNothingIsVerified(t *testing.T) {
	s := newScene(t)
	s.options.Scope = "registry.example/other"
	want(t, s.run(t.Context()), shuin.NotVerified, shuin.CodeNoPolicy, "")
	if s.list.calls != 0 {
		t.Error("the registry was asked")
	}
	s.options.Scope = repository
	want(t, s.run(t.Context()), shuin.Verified, "", "")
	r := s.verifier.Verify(t.Context(), s.artifact, s.list, nil, s.options)
	want(t, r, shuin.NotVerified, shuin.CodeNoPolicy, "")
}

func TestStoresAreLoadedOncePerVerification(t *testing.T) {
	s := newScene(t)
	s.list = &listed{found: []shuin.Signature{s.foreign(), s.foreign(), s.foreign(), s.signature()}}
	s.run(t.Context())
	if s.stores.loads != 1 {
		t.Errorf("trust stores were loaded %d times", s.stores.loads)
	}
}

func TestTheCallersDeadlineLeavesItUndecided(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newScene(t)
	r := s.run(ctx)
	want(t, r, shuin.Undecided, shuin.CodeDeadline, "")

	// It ends while a responder is asked.
	ctx, cancel = context.WithCancel(t.Context())
	s = newScene(t)
	asked := s.withSources(all(unavailable))
	answer := asked.answer
	asked.answer = func(c []*x509.Certificate, p envelope.Purpose) []verify.Revocation {
		cancel()
		return answer(c, p)
	}
	want(t, s.run(ctx), shuin.Undecided, shuin.CodeDeadline, "")

	// It ends while a trust store is loaded.
	ctx, cancel = context.WithCancel(t.Context())
	s = newScene(t)
	s.stores.err, s.stores.loading = context.Canceled, cancel
	want(t, s.run(ctx), shuin.Undecided, shuin.CodeDeadline, "")

	// What is bad stays bad.
	s = newScene(t)
	ctx, cancel = context.WithCancel(t.Context())
	asked = s.withSources(all(revoked))
	answer = asked.answer
	asked.answer = func(c []*x509.Certificate, p envelope.Purpose) []verify.Revocation {
		cancel()
		return answer(c, p)
	}
	want(t, s.run(ctx), shuin.NotVerified, shuin.CodeRevoked, "")
}

func TestAVerifierCalledWrongly(t *testing.T) {
	s := newScene(t)
	s.options.Now = s.options.Now.Truncate(0)
	s.setUp()
	for _, r := range []*shuin.Report{
		s.verifier.Verify(t.Context(), s.artifact, s.list, s.document(), verify.Options{}),
		s.verifier.Verify(t.Context(), s.artifact, nil, s.document(), s.options),
		(&verify.Verifier{}).Verify(t.Context(), s.artifact, s.list, s.document(), s.options),
	} {
		want(t, r, shuin.NotVerified, shuin.CodeInternal, "")
	}
}
