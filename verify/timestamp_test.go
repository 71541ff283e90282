package verify_test

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// later is after the signing certificates ended and while the TSA's hold.
var later = end.AddDate(1, 0, 0)

func TestTimestampsDecide(t *testing.T) {
	signed := now.Add(-time.Hour)
	noop := func(*scene) {}
	tests := []struct {
		name   string
		change func(s *scene)
		result shuin.Result
		code   shuin.Code
		source string
	}{
		{"TSA-02 a good timestamp outlives the certificates", func(s *scene) {
			s.stamped(signed, nil)
			s.options.Now = later
		}, shuin.Verified, "", shuin.TimeSourceTimestamp},
		{"TSA-02 always: verified while the certificates are valid too", func(s *scene) { s.stamped(signed, nil) }, shuin.Verified, "", shuin.TimeSourceTimestamp},
		{"TSA-02 always: a missing timestamp fails", func(s *scene) { s.trusts = append(s.trusts, "tsa:clock") }, shuin.NotVerified, shuin.CodeUntrusted, ""},
		{"TSA-02 a missing timestamp and an expired certificate", func(s *scene) {
			s.trusts = append(s.trusts, "tsa:clock")
			s.options.Now = later
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TSA-02 afterCertExpiry: not looked at while the certificates are valid", func(s *scene) {
			s.stamped(signed, nil)
			s.env.TSA.Mutate = func(k *shuintest.Token) { k.BadSignature = true }
			s.timestamps = "afterCertExpiry"
		}, shuin.Verified, "", shuin.TimeSourceNone},
		{"TSA-02 afterCertExpiry: not missed while the certificates are valid", func(s *scene) {
			s.trusts, s.timestamps = append(s.trusts, "tsa:clock"), "afterCertExpiry"
		}, shuin.Verified, "", shuin.TimeSourceNone},
		{"TSA-02 afterCertExpiry: looked at when one certificate expired", func(s *scene) {
			s.issue(level(2, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }))
			s.stamped(signed, nil)
			s.timestamps = "afterCertExpiry"
		}, shuin.Verified, "", shuin.TimeSourceTimestamp},
		{"TSA-02 afterCertExpiry: not looked at before the certificates begin", func(s *scene) {
			s.stamped(signed, nil)
			s.timestamps, s.options.Now = "afterCertExpiry", begin.Add(-time.Second)
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TSA-02 no tsa store: a timestamp is not looked at and does not help", func(s *scene) {
			s.stamped(signed, nil)
			s.trusts, s.options.Now = s.trusts[:1], later
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TSA-03 token changed", func(s *scene) {
			s.stamped(signed, func(c *shuintest.TSA) { c.Mutate = func(k *shuintest.Token) { k.BadSignature = true } })
		}, shuin.NotVerified, shuin.CodeTampered, ""},
		{"TSA-03 token over another signature", func(s *scene) {
			s.stamped(signed, func(c *shuintest.TSA) {
				c.Mutate = func(k *shuintest.Token) { k.Imprint = bytes.Repeat([]byte{1}, len(k.Imprint)) }
			})
		}, shuin.NotVerified, shuin.CodeTampered, ""},
		{"TSA-03 no signing-certificate-v2", func(s *scene) {
			s.stamped(signed, func(c *shuintest.TSA) {
				c.Mutate = func(k *shuintest.Token) { k.SigningCertificate = shuintest.SigningCertificateNone }
			})
		}, shuin.NotVerified, shuin.CodeTampered, ""},
		{"TSA-03 a TSA that no named store anchors", func(s *scene) {
			s.stamped(signed, nil)
			s.stores.certs["tsa:clock"] = []*x509.Certificate{otherChain.Root()}
		}, shuin.NotVerified, shuin.CodeUntrusted, ""},
		{"TSA-03 the signer's own root as TSA root", func(s *scene) {
			s.stamped(signed, nil)
			s.stores.certs["tsa:clock"] = []*x509.Certificate{signingChain.Root()}
		}, shuin.NotVerified, shuin.CodeUntrusted, ""},
		{"TSA-03 a token without the root, completed from the store", func(s *scene) {
			s.stamped(signed, func(c *shuintest.TSA) { c.OmitRoot = true })
		}, shuin.Verified, "", shuin.TimeSourceTimestamp},
		{"TSA-03 TSA certificates not valid at the token's time", func(s *scene) {
			s.env.Time = begin.Add(time.Hour)
			s.tsa = shuintest.MustChain(shuintest.ChainOptions{Length: 3, NotBefore: now, NotAfter: later, Family: 9, CA: "TSA", Timestamping: true})
			s.stamped(begin.Add(2*time.Hour), nil)
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TSA-04 timestamp after the signing certificates ended", func(s *scene) {
			s.stamped(end.Add(time.Minute), nil)
			s.options.Now = later
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TSA-04 timestamp in the last second", func(s *scene) {
			s.stamped(end, nil)
			s.options.Now = later
		}, shuin.Verified, "", shuin.TimeSourceTimestamp},
		{"TSA-04 timestamp in the last second, a second of accuracy", func(s *scene) {
			s.stamped(end, func(c *shuintest.TSA) { c.Accuracy = time.Second })
			s.options.Now = later
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TSA-04 timestamp in the last second under the baseline policy", func(s *scene) {
			s.stamped(end, func(c *shuintest.TSA) { c.Policy = shuintest.OIDBaselinePolicy })
			s.options.Now = later
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TSA-04 timestamp in the first second, a second of accuracy", func(s *scene) {
			s.stamped(begin, func(c *shuintest.TSA) { c.Accuracy = time.Second })
		}, shuin.NotVerified, shuin.CodeExpired, ""},
		{"TS-02 the tsa store cannot be loaded", func(s *scene) {
			s.stamped(signed, nil)
			s.trusts[1] = "tsa:missing"
		}, shuin.NotVerified, shuin.CodeInvalidInput, ""},
		{"ATT-11 under a signing authority no timestamp is looked for", func(s *scene) {
			s.env.Scheme, s.trusts = shuintest.SchemeSigningAuthority, []string{"signingAuthority:acme", "tsa:clock"}
			s.options.Now = later
		}, shuin.Verified, "", shuin.TimeSourceSigningAuthority},
		{"VER-05 without a tsa store only the certificates count", noop, shuin.Verified, "", shuin.TimeSourceNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onBothKinds(t, func(t *testing.T, s *scene) {
				tt.change(s)
				r := s.run(t.Context())
				want(t, r, tt.result, tt.code, "")
				if tt.result != shuin.Verified {
					want(t, r, tt.result, tt.code, shuin.CheckAuthenticTimestamp)
					return
				}
				if got := r.Signatures[0].TimeSource; got != tt.source {
					t.Errorf("time source %q, want %q", got, tt.source)
				}
				if stamped := tt.source == shuin.TimeSourceTimestamp; (r.Signatures[0].TimestampTime != nil) != stamped {
					t.Errorf("timestamp time %v under time source %q", r.Signatures[0].TimestampTime, tt.source)
				}
			})
		})
	}
}

// TestTimestampFailuresFollowTheLevel: existence, integrity, authenticity and
// revocation of a timestamp are all enforced or logged as authenticTimestamp
// is (TSA-02, TP-04).
func TestTimestampFailuresFollowTheLevel(t *testing.T) {
	for _, spoil := range []struct {
		name  string
		spoil func(s *scene)
	}{
		{"missing", func(s *scene) { s.trusts = append(s.trusts, "tsa:clock") }},
		{"changed", func(s *scene) {
			s.stamped(now, func(c *shuintest.TSA) { c.Mutate = func(k *shuintest.Token) { k.BadSignature = true } })
		}},
		{"of a stranger", func(s *scene) {
			s.stamped(now, nil)
			s.stores.certs["tsa:clock"] = []*x509.Certificate{otherChain.Root()}
		}},
		{"revoked", func(s *scene) {
			s.revocableTSA(all(revoked))
			s.stamped(now, nil)
		}},
	} {
		for level, result := range map[string]shuin.Result{"strict": shuin.NotVerified, "permissive": shuin.Verified, "audit": shuin.Verified} {
			t.Run(spoil.name+" under "+level, func(t *testing.T) {
				s := newScene(t)
				s.level = level
				spoil.spoil(s)
				r := s.run(t.Context())
				if r.Result != result {
					t.Errorf("%s (%v), want %s", r.Result, r.Err, result)
				}
				if c := check(t, r, shuin.CheckAuthenticTimestamp); c.Outcome != shuin.Failed || c.Enforced != (level == "strict") {
					t.Errorf("check is %s, enforced %t", c.Outcome, c.Enforced)
				}
				if src := r.Signatures[0].TimeSource; src != shuin.TimeSourceNone {
					t.Errorf("a bad timestamp became time source %q", src)
				}
			})
		}
	}
}

// revocableTSA gives the TSA's certificates OCSP addresses and an answer.
func (s *scene) revocableTSA(answer func([]*x509.Certificate, envelope.Purpose) []verify.Revocation) *responders {
	s.tsa = shuintest.MustChain(shuintest.ChainOptions{
		Length: 3, NotBefore: begin, NotAfter: end.AddDate(9, 0, 0), Family: 9, CA: "TSA", Timestamping: true, OCSP: []string{"http://ocsp.example"},
	})
	r := &responders{answer: answer}
	s.verifier.Revocation = r
	return r
}

func TestRevocationOfTheTimestampIsAskedWhateverThePolicySaysOfRevocation(t *testing.T) {
	for name, tt := range map[string]struct {
		answer verify.Revocation
		result shuin.Result
		code   shuin.Code
	}{
		"TSA-02 good":        {good, shuin.Verified, ""},
		"TSA-02 revoked":     {revoked, shuin.NotVerified, shuin.CodeRevoked},
		"TSA-02 unavailable": {unavailable, shuin.Undecided, shuin.CodeRevocationUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.override = map[string]string{"revocation": "skip"}
			asked := s.revocableTSA(all(tt.answer))
			s.stamped(now, nil)
			want(t, s.run(t.Context()), tt.result, tt.code, "")
			if len(asked.asked) != 1 || asked.asked[0] != envelope.Timestamping || !asked.at[0].IsZero() {
				t.Errorf("asked for purposes %v at %v", asked.asked, asked.at)
			}
		})
	}
}

// TestATimestampsOwnChainIsJudgedHere: whatever read the token, its chain is
// anchored and held against its time by the judgement itself (TSA-03).
func TestATimestampsOwnChainIsJudgedHere(t *testing.T) {
	s := newScene(t)
	s.stamped(now, nil)
	s.setUp()
	sig := s.list.found[0]
	facts := new(verify.Examiner).Examine(sig.EnvelopeMediaType, sig.Envelope, s.artifact)
	doc := s.document()
	load := func(name string) verify.Anchors {
		n, err := trust.ParseStoreName(name)
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.stores.Store(t.Context(), n)
		return verify.Anchors{Stores: []*trust.Store{st}, Err: err}
	}
	ended := shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: begin.Add(time.Hour), Family: 9, CA: "TSA", Timestamping: true})
	s.stores.certs["tsa:ended"] = []*x509.Certificate{ended.Root()}
	for name, tt := range map[string]struct {
		token   *envelope.Timestamp
		anchors verify.Anchors
		code    shuin.Code
	}{
		"good":              {&envelope.Timestamp{Chain: tsaChain.Certs, Time: now}, load("tsa:clock"), ""},
		"no token":          {nil, load("tsa:clock"), shuin.CodeTampered},
		"a stranger":        {&envelope.Timestamp{Chain: otherChain.Certs, Time: now}, load("tsa:clock"), shuin.CodeUntrusted},
		"only the TSA leaf": {&envelope.Timestamp{Chain: tsaChain.Certs[:1], Time: now}, load("tsa:clock"), shuin.CodeUntrusted},
		"ended before":      {&envelope.Timestamp{Chain: ended.Certs, Time: now}, load("tsa:ended"), shuin.CodeExpired},
	} {
		c := &verify.Case{
			Facts: facts, Statement: &doc.Statements[0], Now: now, Anchors: load("ca:acme"),
			Timestamp: &verify.TimestampEvidence{Anchors: tt.anchors, Token: tt.token},
		}
		if j := verify.Judge(c); shuin.CodeOf(j.Err) != tt.code {
			t.Errorf("%s: %v, want %q", name, j.Err, tt.code)
		}
	}
}

func TestNothingIsFetchedForAStrangersTimestamp(t *testing.T) {
	s := newScene(t)
	s.level = "audit"
	asked := s.revocableTSA(all(good))
	s.stamped(now, nil)
	s.stores.certs["tsa:clock"] = []*x509.Certificate{otherChain.Root()}
	s.run(t.Context())
	if len(asked.asked) != 0 {
		t.Errorf("revocation was asked %d times", len(asked.asked))
	}
}
