package verify_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// repeated is n candidates with one envelope.
func repeated(sig shuin.Signature, n int) []shuin.Signature {
	out := make([]shuin.Signature, n)
	for i := range out {
		out[i] = sig
		out[i].Manifest.Digest = digest.FromString(fmt.Sprint(i))
	}
	return out
}

// withDER is a chain that says it is another one than its keys are of.
func withDER(c *shuintest.Chain, der [][]byte) *shuintest.Chain {
	return &shuintest.Chain{Certs: c.Certs, DER: der, Keys: c.Keys}
}

func TestNoSignatureOfAStrangerIsCheckedWhereAuthenticityIsEnforced(t *testing.T) {
	for level, checked := range map[string]bool{"strict": false, "permissive": false, "audit": true} {
		t.Run(level, func(t *testing.T) {
			s := newScene(t)
			s.level = level
			foreign := s.foreign()
			s.list = &listed{found: []shuin.Signature{foreign}}
			count := verify.CountChecks(s.verifier)
			r := s.run(t.Context())
			if checked {
				want(t, r, shuin.Verified, "", "")
			} else {
				want(t, r, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity)
			}
			if got := count.Load(); (got > 0) != checked {
				t.Errorf("%d signature checks", got)
			}
			if c := check(t, r, shuin.CheckIntegrity); (c.Outcome == shuin.Passed) != checked || (c.Outcome == shuin.Skipped) == checked {
				t.Errorf("integrity is reported as %s", c.Outcome)
			}
			if !checked && (r.Signatures[0].Signer != nil || r.Signatures[0].SigningTime != nil) {
				t.Errorf("the report says %+v", r.Signatures[0])
			}
		})
	}
}

// A genuine certificate under somebody else's root of the same name: nobody
// knows whether its owner signed.
func TestTheReportNamesNoSignerWhoseSignatureWasNotChecked(t *testing.T) {
	s := newScene(t)
	o := chainOptions()
	o.Family = 77
	fake := shuintest.MustChain(o)
	s.chain = withDER(signingChain, append(append([][]byte{}, signingChain.DER[:3]...), fake.DER[3]))
	s.stores.certs["ca:acme"] = []*x509.Certificate{signingChain.Root()}
	r := s.run(t.Context())
	want(t, r, shuin.NotVerified, shuin.CodeUntrusted, shuin.CheckAuthenticity)
	if signer := r.Signatures[0].Signer; signer != nil {
		t.Errorf("the report names %q", signer.Subject)
	}
}

func TestAStrangersSignatureOfNoFormIsStillTampered(t *testing.T) {
	badLeaf := shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Family: 7, CA: "Other",
		Mutate: func(level int, c *x509.Certificate) {
			if level == 0 {
				c.KeyUsage = x509.KeyUsageCertSign
			}
		}})
	for name, spoil := range map[string]func(*scene){
		"JWS-01 its envelope is cut off":              func(s *scene) { s.spoil = func(b []byte) []byte { return b[:len(b)-9] } },
		"CERT-06 its certificate may not sign":        func(s *scene) { s.chain = badLeaf },
		"JWS-02 its algorithm is not that of its key": func(s *scene) { s.env.Protected = func(h map[any]any) { h["alg"] = "PS256" } },
		"CERT-10 its chain is without its root":       func(s *scene) { s.chain = withDER(otherChain, otherChain.DER[:2]) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.chain = otherChain
			s.stores.certs["ca:acme"] = []*x509.Certificate{signingChain.Root()}
			spoil(s)
			count := verify.CountChecks(s.verifier)
			want(t, s.run(t.Context()), shuin.NotVerified, shuin.CodeTampered, shuin.CheckIntegrity)
			if got := count.Load(); got != 0 {
				t.Errorf("%d signature checks", got)
			}
		})
	}
}

// Facts that were made without cryptography must not verify anywhere else.
func TestUnexaminedFactsAreNeverVerified(t *testing.T) {
	for _, level := range []string{"strict", "audit"} {
		s := newScene(t)
		s.level = level
		s.setUp()
		sig, doc := s.list.found[0], s.document()
		acme, err := s.stores.Store(t.Context(), trust.StoreName{Type: trust.CA, Name: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		x := &verify.Examiner{AnchoredOnly: func(envelope.Scheme) bool { return true }}
		f := x.Examine(sig.EnvelopeMediaType, sig.Envelope, s.artifact)
		if f.Integrity != verify.ErrUnexamined {
			t.Fatalf("integrity: %v", f.Integrity)
		}
		for _, stores := range [][]*trust.Store{nil, {acme}} {
			j := verify.Judge(&verify.Case{Facts: f, Statement: &doc.Statements[0], Now: now, Anchors: verify.Anchors{Stores: stores}})
			if j.Result != shuin.NotVerified || j.Err == nil || j.Wants != 0 {
				t.Errorf("%s: %s, wants %b, %v", level, j.Result, j.Wants, j.Err)
			}
		}
	}
}

// Somebody who puts a trusted root on top of certificates of his own has one
// of their links checked, not all.
func TestAChainIsCheckedFromItsAnchorOutwards(t *testing.T) {
	o := shuintest.ChainOptions{Length: limits.ChainLength, NotBefore: begin, NotAfter: end}
	o.Family = 40
	root := shuintest.MustChain(o).Root()
	o.Family = 41
	long := shuintest.MustChain(o)
	s := newScene(t)
	s.chain = withDER(long, append(append([][]byte{}, long.DER[:limits.ChainLength-1]...), root.Raw))
	s.stores.certs["ca:acme"] = []*x509.Certificate{root}
	count := verify.CountChecks(s.verifier)
	want(t, s.run(t.Context()), shuin.NotVerified, shuin.CodeTampered, shuin.CheckIntegrity)
	if got := count.Load(); got != 1 {
		t.Errorf("%d signature checks, want 1", got)
	}
}

func TestTheWorkSpentOnBadSignaturesIsBounded(t *testing.T) {
	s := newScene(t)
	s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) }
	s.list = &listed{found: append(repeated(failing(shuin.CodeUnavailable), 1), repeated(s.signature(), limits.Signatures-1)...)}
	// Without a cache each costs its whole chain of four.
	count := verify.CountChecks(s.verifier)
	if r := s.run(t.Context()); r.Result != shuin.Undecided || count.Load() != 4*(limits.Signatures-1) {
		t.Fatalf("as many as there may be: %s, %d checks, %v", r.Result, count.Load(), r.Err)
	}
	s = newScene(t)
	s.issue(func(o *shuintest.ChainOptions) { o.Length = limits.ChainLength })
	s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) }
	s.list = &listed{found: append(repeated(failing(shuin.CodeUnavailable), 1), repeated(s.signature(), limits.Signatures-1)...)}
	count = verify.CountChecks(s.verifier)
	r := s.run(t.Context())
	// Never undecided, although one could not be fetched.
	want(t, r, shuin.NotVerified, shuin.CodeLimit, "")
	if most := int64(limits.ChecksInVain*limits.Signatures + limits.ChainLength); count.Load() > most {
		t.Errorf("%d signature checks, want no more than %d", count.Load(), most)
	}
}

func TestTheDeadlineIsLookedAtBetweenCandidates(t *testing.T) {
	s := newScene(t)
	s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) }
	s.list = &listed{found: repeated(s.signature(), 50)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := s.run(ctx)
	want(t, r, shuin.Undecided, shuin.CodeDeadline, "")
	if len(r.Signatures) != 0 {
		t.Errorf("%d judged after the end", len(r.Signatures))
	}
}

func TestAReportKeepsNothingThatAStrangerWrote(t *testing.T) {
	note := map[string]string{"build": "1"}
	for name, tt := range map[string]struct {
		change func(*scene)
		kept   bool
	}{
		"trusted":                              {func(*scene) {}, true},
		"trusted, and expired":                 {func(s *scene) { s.env.Expiry = now }, true},
		"a stranger's":                         {func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} }, false},
		"a stranger's that fails where it may": {func(s *scene) { s.level = "audit"; s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} }, true},
		"somebody's who is not trusted":        {func(s *scene) { s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=X"} }, false},
		"of another artifact":                  {func(s *scene) { s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1, note) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.env.Payload = payloadOf(s.artifact, note)
			tt.change(s)
			if r := s.run(t.Context()); (len(r.Signatures[0].Metadata) > 0) != tt.kept {
				t.Errorf("metadata %v", r.Signatures[0].Metadata)
			}
		})
	}
}

func TestAReportIsTheCallersOwn(t *testing.T) {
	s := newScene(t)
	s.verifier.Chains = verify.NewChainCache(0)
	r := s.run(t.Context())
	before := r.Signatures[0].Signer.Subject
	r.Signatures[0].Signer.Subject = "CN=somebody else"
	if again := s.run(t.Context()).Signatures[0].Signer.Subject; again != before {
		t.Errorf("the next report says %q", again)
	}
}

func TestAPluginNobodyAskedForChecksNothing(t *testing.T) {
	s := newScene(t)
	s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Somebody Else"}
	s.setUp()
	sig, doc := s.list.found[0], s.document()
	acme, err := s.stores.Store(t.Context(), doc.Statements[0].TrustStores[0])
	if err != nil {
		t.Fatal(err)
	}
	f := new(verify.Examiner).Examine(sig.EnvelopeMediaType, sig.Envelope, s.artifact)
	j := verify.Judge(&verify.Case{Facts: f, Statement: &doc.Statements[0], Now: now, Anchors: verify.Anchors{Stores: []*trust.Store{acme}},
		Plugin: &verify.PluginEvidence{Version: "1.0.0", Capabilities: []string{verify.CapabilityTrustedIdentity, verify.CapabilityRevocationCheck}}})
	if j.Result != shuin.NotVerified || shuin.CodeOf(j.Err) != shuin.CodeUntrusted {
		t.Errorf("%s: %v", j.Result, j.Err)
	}
}

// Ninety-nine good signatures of another team, each with a timestamp, must not
// use up what one artifact is worth.
func TestHonestTimestampsOfOthersDoNotHideTheGoodSignature(t *testing.T) {
	s := newScene(t)
	s.stamped(now.Add(-time.Hour), nil)
	mine := s.signature()
	other, err := signingChain.NewLeaf(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Family: 3,
		Subject: pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: "another team"}})
	if err != nil {
		t.Fatal(err)
	}
	s.chain = other
	s.list = &listed{found: append(repeated(s.signature(), limits.Signatures-1), mine)}
	r := s.run(t.Context())
	want(t, r, shuin.Verified, "", "")
	if check(t, r, shuin.CheckAuthenticTimestamp).Outcome != 0 || check(t, r, shuin.CheckAuthenticity).Outcome != shuin.Failed {
		t.Error("the timestamp of somebody who is not trusted was looked at")
	}
}

// What a timestamp costs counts: a good one what it took, a bad one the most
// that it may have taken.
func TestTheWorkSpentOnTimestampsIsBounded(t *testing.T) {
	const most = limits.ChecksInVain * limits.Signatures
	revokedSigner := func(s *scene) {
		s.issue(func(o *shuintest.ChainOptions) { o.CRL = []string{"http://crl.example/a"} })
		s.verifier.Revocation = &responders{answer: all(revoked)}
	}
	for name, tt := range map[string]struct {
		spoil  func(*scene)
		token  func(*shuintest.Token)
		judged int
	}{
		"good tokens of three certificates": {revokedSigner, nil, limits.Signatures},
		"good tokens of five certificates": {func(s *scene) {
			revokedSigner(s)
			s.tsa = shuintest.MustChain(shuintest.ChainOptions{Length: 5, NotBefore: begin, NotAfter: end, Family: 9, Timestamping: true})
		}, nil, most/(4+6) + 1},
		"TSA-03 tokens of other signatures": {func(*scene) {}, func(t *shuintest.Token) { t.Imprint = make([]byte, len(t.Imprint)) }, most/(4+limits.ChainLength) + 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			tt.spoil(s)
			s.stamped(now.Add(-time.Hour), func(tsa *shuintest.TSA) { tsa.Mutate = tt.token })
			s.list = &listed{found: repeated(s.signature(), limits.Signatures)}
			r := s.run(t.Context())
			if r.Result != shuin.NotVerified || len(r.Signatures) != tt.judged {
				t.Errorf("%s after %d signatures, want %d: %v", r.Result, len(r.Signatures), tt.judged, r.Err)
			}
			if limited := shuin.CodeOf(r.Err) == shuin.CodeLimit; limited != (tt.judged < limits.Signatures) {
				t.Errorf("reason %v", r.Err)
			}
		})
	}
}
