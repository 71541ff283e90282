package verify_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// statement is the scene's statement with changes of one's own.
func (s *scene) statement(change func(map[string]any)) *policy.Statement {
	s.tb.Helper()
	st := map[string]any{"name": "app", "registryScopes": []string{repository}, "signatureVerification": map[string]any{"level": s.level},
		"trustStores": s.trusts, "trustedIdentities": s.identities}
	if change != nil {
		change(st)
	}
	data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{st}})
	if err != nil {
		s.tb.Fatal(err)
	}
	doc, err := policy.ParseOCI(data)
	if err != nil {
		s.tb.Fatal(err)
	}
	return &doc.Statements[0]
}

func (s *scene) survey(ctx context.Context, statements ...*policy.Statement) *verify.Survey {
	s.tb.Helper()
	s.setUp()
	return s.verifier.Survey(ctx, s.artifact, s.list, statements, s.options)
}

func set(key string, value any) func(map[string]any) {
	return func(m map[string]any) { m[key] = value }
}

func TestASurveyExaminesASignatureOnceForAllStatements(t *testing.T) {
	s := newScene(t)
	s.issue(func(o *shuintest.ChainOptions) { o.CRL = []string{"http://crl.example/a"} })
	s.stamped(now.Add(-time.Hour), nil)
	doors := &responders{answer: all(good)}
	s.verifier.Revocation = doors
	count := verify.CountChecks(s.verifier)
	same := s.statement(nil)
	anybody := s.statement(set("trustedIdentities", []string{anyone}))
	stranger := s.statement(set("trustStores", []string{"ca:other", "tsa:clock"}))
	out := s.survey(t.Context(), same, anybody, stranger, same)
	if out.Err != nil || len(out.Signatures) != 1 || len(out.Signatures[0].Answers) != 4 {
		t.Fatalf("%+v", out)
	}
	a := out.Signatures[0].Answers
	for i, want := range []shuin.Result{shuin.Verified, shuin.Verified, shuin.NotVerified, shuin.Verified} {
		if a[i].Result != want || a[i].Authentic != (want == shuin.Verified) {
			t.Errorf("statement %d: %s, authentic %t, %v", i, a[i].Result, a[i].Authentic, a[i].Err)
		}
	}
	if n := count.Load(); n != 4 {
		t.Errorf("%d signature checks, want 4", n)
	}
	if len(doors.asked) != 1 {
		t.Errorf("revocation was asked %d times", len(doors.asked))
	}
	if s.stores.loads != 3 {
		t.Errorf("%d trust stores were loaded, want ca:acme, ca:other and tsa:clock once each", s.stores.loads)
	}
	if r := out.Signatures[0].Report; r.Result != shuin.Verified || r.TrustStore != "ca:acme" {
		t.Errorf("the report says %+v", r)
	}
}

// Each way to spoil a signature is judged alike by Verify and by Survey.
func TestASurveySaysWhatVerifySays(t *testing.T) {
	for name, spoil := range map[string]func(*scene){
		"good":             func(*scene) {},
		"expired":          func(s *scene) { s.env.Expiry = now },
		"tampered":         func(s *scene) { s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) } },
		"a stranger's":     func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} },
		"another identity": func(s *scene) { s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=X"} },
		"of another image": func(s *scene) { s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1, nil) },
		"revoked": func(s *scene) {
			s.issue(func(o *shuintest.ChainOptions) { o.CRL = []string{"http://crl.example/a"} })
			s.verifier.Revocation = &responders{answer: all(revoked)}
		},
		"revocation not reachable": func(s *scene) {
			s.issue(func(o *shuintest.ChainOptions) { o.CRL = []string{"http://crl.example/a"} })
			s.verifier.Revocation = &responders{answer: all(unavailable)}
		},
		"a store that cannot be read": func(s *scene) { s.trusts = []string{"ca:gone"} },
		"permissive, and expired":     func(s *scene) { s.level, s.env.Expiry = "permissive", now },
		"timestamped":                 func(s *scene) { s.stamped(now.Add(-time.Hour), nil) },
		"a listing that failed":       func(s *scene) { s.list = &listed{err: &shuin.Error{Code: shuin.CodeUnavailable}} },
		"not fetched":                 func(s *scene) { s.list = &listed{found: []shuin.Signature{failing(shuin.CodeThrottled)}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			spoil(s)
			r := s.run(t.Context())
			other := s.statement(set("trustStores", []string{"ca:other"}))
			out := s.survey(t.Context(), s.statement(nil), other)
			if len(out.Signatures) != len(r.Signatures) {
				t.Fatalf("%d signatures, Verify found %d", len(out.Signatures), len(r.Signatures))
			}
			if shuin.CodeOf(out.Err) != shuin.CodeOf(s.list.err) {
				t.Errorf("incomplete for %v", out.Err)
			}
			for i := range r.Signatures {
				got := out.Signatures[i].Answers[0]
				if got.Result != r.Signatures[i].Result || fmt.Sprint(got.Err) != fmt.Sprint(r.Signatures[i].Err) {
					t.Errorf("survey: %s (%v)\nverify: %s (%v)", got.Result, got.Err, r.Signatures[i].Result, r.Signatures[i].Err)
				}
				if want := r.Signatures[i].Checks; !reflect.DeepEqual(checkNames(got.Checks), checkNames(want)) {
					t.Errorf("survey checked %v, verify %v", checkNames(got.Checks), checkNames(want))
				}
			}
		})
	}
}

func checkNames(list []shuin.Check) (out []string) {
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s %s %t", c.Name, c.Outcome, c.Enforced))
	}
	return out
}

func TestASurveySaysWhoseSignatureItIsWhateverElseIsWrong(t *testing.T) {
	note := map[string]string{shuin.MetadataStage: "scan"}
	for name, tt := range map[string]struct {
		spoil               func(*scene)
		authentic, metadata bool
	}{
		"good":             {func(*scene) {}, true, true},
		"expired":          {func(s *scene) { s.env.Expiry = now }, true, true},
		"of another image": {func(s *scene) { s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1, note) }, true, true},
		"tampered": {func(s *scene) { s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) } },
			true, false},
		"not stamped where it has to be": {func(s *scene) { s.trusts = append(s.trusts, "tsa:clock") }, true, true},
		"revoked": {func(s *scene) {
			s.issue(func(o *shuintest.ChainOptions) { o.CRL = []string{"http://crl.example/a"} })
			s.verifier.Revocation = &responders{answer: all(revoked)}
		}, true, true},
		"a stranger's":     {func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} }, false, false},
		"another identity": {func(s *scene) { s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=X"} }, false, false},
		"another, expired": {func(s *scene) { s.identities, s.env.Expiry = []string{"x509.subject: C=JP, ST=Tokyo, O=X"}, now }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.env.Payload = payloadOf(s.artifact, note)
			tt.spoil(s)
			got := s.survey(t.Context(), s.statement(nil)).Signatures[0]
			if a := got.Answers[0]; a.Authentic != tt.authentic || (a.Identity == signer) != tt.authentic {
				t.Errorf("authentic %t, identity %q: %v", a.Authentic, a.Identity, a.Err)
			}
			if (got.Metadata[shuin.MetadataStage] == "scan") != tt.metadata {
				t.Errorf("metadata %v", got.Metadata)
			}
			if got.ClaimedStage != "scan" {
				t.Errorf("it claims stage %q", got.ClaimedStage)
			}
		})
	}
}

func TestASurveyStopsAtTheLimits(t *testing.T) {
	t.Run("more signatures than are judged", func(t *testing.T) {
		s := newScene(t)
		s.list = &listed{found: repeated(s.signature(), 5)}
		s.verifier.MaxSignatures = 3
		out := s.survey(t.Context(), s.statement(nil))
		if shuin.CodeOf(out.Err) != shuin.CodeLimit || len(out.Signatures) != 3 {
			t.Errorf("%d signatures, %v", len(out.Signatures), out.Err)
		}
	})
	t.Run("work on bad ones", func(t *testing.T) {
		s := newScene(t)
		s.issue(func(o *shuintest.ChainOptions) { o.Length = limits.ChainLength })
		s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature("", b)) }
		s.list = &listed{found: append(repeated(failing(shuin.CodeUnavailable), 1), repeated(s.signature(), limits.Signatures-1)...)}
		if out := s.survey(t.Context(), s.statement(nil)); shuin.CodeOf(out.Err) != shuin.CodeLimit {
			t.Errorf("%d signatures, %v", len(out.Signatures), out.Err)
		}
	})
	t.Run("work on good ones is not in vain", func(t *testing.T) {
		s := newScene(t)
		s.issue(func(o *shuintest.ChainOptions) { o.Length = limits.ChainLength })
		s.list = &listed{found: repeated(s.signature(), limits.Signatures)}
		other := s.statement(set("trustStores", []string{"ca:other"}))
		if out := s.survey(t.Context(), other, s.statement(nil)); out.Err != nil || len(out.Signatures) != limits.Signatures {
			t.Errorf("%d signatures, %v", len(out.Signatures), out.Err)
		}
	})
	t.Run("the caller's time", func(t *testing.T) {
		s := newScene(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if out := s.survey(ctx, s.statement(nil)); shuin.CodeOf(out.Err) != shuin.CodeDeadline || len(out.Signatures) != 0 {
			t.Errorf("%d signatures, %v", len(out.Signatures), out.Err)
		}
	})
	t.Run("a statement that verifies nothing", func(t *testing.T) {
		s := newScene(t)
		skip := &policy.Statement{Name: "skip", Level: policy.Level{Name: policy.LevelSkip}}
		if out := s.survey(t.Context(), s.statement(nil), skip); shuin.CodeOf(out.Err) != shuin.CodeInternal || s.list.calls != 0 {
			t.Errorf("%+v", out)
		}
	})
}

// What leads to none of the stores is not examined; where one of the
// statements only logs authenticity, it is.
func TestASurveySpendsNothingOnStrangersToEveryStatement(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(map[string]any)
		checks int64
	}{
		"all enforce":      {nil, 0},
		"one only logs it": {set("signatureVerification", map[string]any{"level": "audit"}), 5}, // its root's own, too
		"one knows it":     {set("trustStores", []string{"ca:stranger"}), 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			foreign := s.foreign()
			s.list = &listed{found: []shuin.Signature{foreign}}
			s.stores.certs["ca:stranger"] = []*x509.Certificate{rootOf(t, foreign)}
			count := verify.CountChecks(s.verifier)
			out := s.survey(t.Context(), s.statement(nil), s.statement(tt.change))
			if n := count.Load(); n != tt.checks {
				t.Errorf("%d signature checks, want %d: %v", n, tt.checks, out.Signatures[0].Report.Err)
			}
			if out.Signatures[0].Answers[0].Result != shuin.NotVerified {
				t.Error("a stranger's signature verified")
			}
		})
	}
}

func rootOf(t *testing.T, s shuin.Signature) *x509.Certificate {
	e, err := envelope.Parse(s.EnvelopeMediaType, s.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(e.Chain[len(e.Chain)-1])
	if err != nil {
		t.Fatal(err)
	}
	return c
}
