package verify_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/verify"
)

func onBothKinds(t *testing.T, f func(t *testing.T, s *scene)) {
	for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
		t.Run(mediaType, func(t *testing.T) {
			s := newScene(t)
			s.env.MediaType = mediaType
			f(t, s)
		})
	}
}

func TestAGoodSignatureVerifies(t *testing.T) {
	for _, key := range shuintest.KeyTypes {
		t.Run(key.String(), func(t *testing.T) {
			onBothKinds(t, func(t *testing.T, s *scene) {
				s.issue(func(o *shuintest.ChainOptions) { o.Key = key })
				s.env.Expiry = end.AddDate(-1, 11, 0)
				s.env.Payload = payloadOf(s.artifact, map[string]string{"stage": "build"})
				r := s.run(t.Context())
				want(t, r, shuin.Verified, "", "")
				sig := r.Accepted()
				if sig == nil {
					t.Fatal("no accepted signature")
				}
				if sig.TrustStore != "ca:acme" || sig.Identity != signer || sig.TimeSource != shuin.TimeSourceNone || sig.Metadata["stage"] != "build" {
					t.Errorf("report says store %q, identity %q, time source %q, metadata %v", sig.TrustStore, sig.Identity, sig.TimeSource, sig.Metadata)
				}
				if !r.StaleUntil.Equal(s.env.Expiry) {
					t.Errorf("stale until %s, want the expiry %s", r.StaleUntil, s.env.Expiry)
				}
			})
		})
	}
}

func TestChainsOfAnyLengthVerify(t *testing.T) {
	for n := 1; n <= 6; n++ {
		s := newScene(t)
		s.issue(func(o *shuintest.ChainOptions) { o.Length = n })
		want(t, s.run(t.Context()), shuin.Verified, "", "")
	}
}

// TestAnySpoiltSignatureFailsForItsOwnReason has one row per rule.
func TestAnySpoiltSignatureFailsForItsOwnReason(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(s *scene)
		code   shuin.Code
		failed shuin.CheckName
	}{
		{"VER-01 payload changed after signing", func(s *scene) {
			s.spoil = func(b []byte) []byte { return must(shuintest.TamperPayload(s.env.MediaType, b)) }
		}, shuin.CodeTampered, shuin.CheckIntegrity},
		{"VER-01 signature value changed", func(s *scene) {
			s.spoil = func(b []byte) []byte { return must(shuintest.TamperSignature(s.env.MediaType, b)) }
		}, shuin.CodeTampered, shuin.CheckIntegrity},
		{"VER-01 envelope is no envelope", func(s *scene) {
			s.spoil = func([]byte) []byte { return []byte("{}") }
		}, shuin.CodeTampered, shuin.CheckIntegrity},
		{"VER-01 signed with another key than the leaf's", func(s *scene) { s.env.Key = otherChain.Key() }, shuin.CodeTampered, shuin.CheckIntegrity},
		{"VER-02 payload names another digest", func(s *scene) {
			s.env.Payload = shuintest.Payload(imageType, "sha256:"+zeros, 1234, nil)
		}, shuin.CodeTampered, shuin.CheckArtifact},
		{"VER-02 payload names another media type", func(s *scene) {
			s.env.Payload = shuintest.Payload("application/vnd.oci.image.index.v1+json", s.artifact.Digest().String(), 1234, nil)
		}, shuin.CodeTampered, shuin.CheckArtifact},
		{"VER-02 payload names another size", func(s *scene) {
			s.env.Payload = shuintest.Payload(imageType, s.artifact.Digest().String(), 1235, nil)
		}, shuin.CodeTampered, shuin.CheckArtifact},
		{"PAY-01 payload is no JSON", func(s *scene) { s.env.Payload = []byte("hello") }, shuin.CodeTampered, shuin.CheckArtifact},
		{"CERT-06 leaf with keyCertSign", func(s *scene) {
			s.issue(leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }))
		}, shuin.CodeTampered, shuin.CheckIntegrity},
		{"CERT-11 chain out of order", func(s *scene) {
			c := *s.chain
			c.DER = [][]byte{c.DER[0], c.DER[2], c.DER[1], c.DER[3]}
			c.Certs = []*x509.Certificate{c.Certs[0], c.Certs[2], c.Certs[1], c.Certs[3]}
			s.chain = &c
		}, shuin.CodeTampered, shuin.CheckIntegrity},
		{"CERT-11 issuer of the same name that did not sign", func(s *scene) {
			forged := shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Family: 3})
			c := *s.chain
			c.DER = [][]byte{forged.DER[0], c.DER[1], c.DER[2], c.DER[3]}
			c.Certs = append([]*x509.Certificate{forged.Certs[0]}, c.Certs[1:]...)
			s.env.Key = forged.Key()
			s.chain = &c
		}, shuin.CodeTampered, shuin.CheckIntegrity},
		{"VER-03 root in no named store", func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} }, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"TS-01 root in a store that the statement does not name", func(s *scene) { s.trusts = []string{"ca:other"} }, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"TS-02 named store cannot be loaded", func(s *scene) { s.stores.err = errors.New("is a symlink") }, shuin.CodeInvalidInput, shuin.CheckAuthenticity},
		{"VER-03 subject is no trusted identity", func(s *scene) {
			s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Example, CN=somebody"}
		}, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"TI-01 only identities of another kind", func(s *scene) { s.identities = []string{"signingProfile:arn:x"} }, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"SCH-04 notary.x509 with roots of a signing authority", func(s *scene) { s.trusts = []string{"signingAuthority:acme"} }, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"SCH-05 signing authority with roots of type ca", func(s *scene) { s.env.Scheme = shuintest.SchemeSigningAuthority }, shuin.CodeUntrusted, shuin.CheckAuthenticity},
		{"ATT-14 VER-04 expired at the very second", func(s *scene) { s.env.Expiry = now }, shuin.CodeExpired, shuin.CheckExpiry},
		{"VER-04 expired before", func(s *scene) { s.env.Expiry = now.Add(-time.Minute) }, shuin.CodeExpired, shuin.CheckExpiry},
		{"VER-05 leaf expired", func(s *scene) {
			s.issue(leaf(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }))
		}, shuin.CodeExpired, shuin.CheckAuthenticTimestamp},
		{"CERT-15 root expired", func(s *scene) {
			s.issue(level(3, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }))
		}, shuin.CodeExpired, shuin.CheckAuthenticTimestamp},
		{"VER-05 intermediate not valid yet", func(s *scene) {
			s.issue(level(2, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }))
		}, shuin.CodeExpired, shuin.CheckAuthenticTimestamp},
		{"ATT-04 ATT-13 a signing time within the validity does not help", func(s *scene) {
			s.env.Time = begin.Add(time.Hour)
			s.issue(leaf(func(c *x509.Certificate) { c.NotAfter = begin.Add(2 * time.Hour) }))
		}, shuin.CodeExpired, shuin.CheckAuthenticTimestamp},
		{"VER-05 signing authority signed before its certificate began", func(s *scene) {
			s.env.Scheme, s.trusts = shuintest.SchemeSigningAuthority, []string{"signingAuthority:acme"}
			s.env.Time = begin.Add(-time.Second)
		}, shuin.CodeExpired, shuin.CheckAuthenticTimestamp},
		{"VER-06 metadata not signed", func(s *scene) { s.options.Metadata = map[string]string{"stage": "build"} }, shuin.CodeMetadataMismatch, shuin.CheckUserMetadata},
		{"VER-06 metadata signed with another value", func(s *scene) {
			s.env.Payload = payloadOf(s.artifact, map[string]string{"stage": "test"})
			s.options.Metadata = map[string]string{"stage": "build"}
		}, shuin.CodeMetadataMismatch, shuin.CheckUserMetadata},
		{"ATT-08 critical attribute nobody knows", func(s *scene) {
			s.env.Critical = map[string]any{"com.example.must": "know"}
		}, shuin.CodeTooOld, shuin.CheckPlugin},
		{"REV-01 leaf revoked", func(s *scene) { s.withSources(all(revoked)) }, shuin.CodeRevoked, shuin.CheckRevocation},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onBothKinds(t, func(t *testing.T, s *scene) {
				tt.spoil(s)
				r := s.run(t.Context())
				want(t, r, shuin.NotVerified, tt.code, tt.failed)
				if r.VerifiedBy != -1 || r.Accepted() != nil {
					t.Error("the report names an accepted signature")
				}
				if shuin.HintOf(r.Err) == "" {
					t.Errorf("no hint for %v", r.Err)
				}
			})
		})
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func leaf(change func(*x509.Certificate)) func(*shuintest.ChainOptions) { return level(0, change) }

func level(n int, change func(*x509.Certificate)) func(*shuintest.ChainOptions) {
	return func(o *shuintest.ChainOptions) {
		o.Mutate = func(l int, t *x509.Certificate) {
			if l == n {
				change(t)
			}
		}
	}
}

// withSources gives the chain OCSP addresses and a checker with an answer.
func (s *scene) withSources(answer func([]*x509.Certificate, envelope.Purpose) []verify.Revocation) *responders {
	s.issue(func(o *shuintest.ChainOptions) { o.OCSP = []string{"http://ocsp.example"} })
	r := &responders{answer: answer}
	s.verifier.Revocation = r
	return r
}

func TestWhatMayDifferAndStillVerifies(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *scene)
	}{
		{"VER-03 an intermediate is the trust anchor", func(s *scene) { s.stores.certs["ca:acme"] = []*x509.Certificate{s.chain.Certs[1]} }},
		{"VER-03 the second named store holds the root", func(s *scene) { s.trusts = []string{"ca:other", "ca:acme"} }},
		{"TI-01 any identity", func(s *scene) { s.identities = []string{anyone} }},
		{"TI-01 a partial subject", func(s *scene) { s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Example"} }},
		{"SCH-05 signing authority under its own store, certificates long expired", func(s *scene) {
			s.env.Scheme, s.trusts = shuintest.SchemeSigningAuthority, []string{"signingAuthority:acme"}
			s.options.Now = end.AddDate(5, 0, 0)
		}},
		{"CERT-15 now is the last second of the certificates", func(s *scene) { s.options.Now = end }},
		{"CERT-14 a leaf that outlives its issuer", func(s *scene) {
			s.issue(leaf(func(c *x509.Certificate) { c.NotAfter = end.AddDate(9, 0, 0) }))
		}},
		{"VER-04 one second before the expiry", func(s *scene) { s.env.Expiry = now.Add(time.Second) }},
		{"VER-06 metadata signed, and more", func(s *scene) {
			s.env.Payload = payloadOf(s.artifact, map[string]string{"stage": "build", "run": "7"})
			s.options.Metadata = map[string]string{"stage": "build"}
		}},
		{"ATT-08 an unknown attribute that is not critical", func(s *scene) { s.env.Plain = map[string]any{"com.example.note": "x"} }},
		{"ATT-12 a strange signing agent", func(s *scene) { s.env.Agent = "\u0000 anything" }},
		{"REV-01 no certificate names a source, and nobody could be asked", func(s *scene) {}},
		{"REV-01 every certificate good", func(s *scene) { s.withSources(all(good)) }},
		{"TP-05 revocation is skipped", func(s *scene) {
			s.override = map[string]string{"revocation": "skip"}
			s.withSources(all(revoked))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onBothKinds(t, func(t *testing.T, s *scene) {
				tt.change(s)
				want(t, s.run(t.Context()), shuin.Verified, "", "")
			})
		})
	}
}
