//go:build e2e

package openssl

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/keys/file"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/timestamp"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

const scope = "registry.example/shop/web"

// stores are trust stores in memory.
type stores map[string][]*x509.Certificate

func (s stores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	certs, ok := s[name.String()]
	if !ok {
		return nil, fmt.Errorf("no trust store %s", name)
	}
	return trust.NewStore(name, certs, nil)
}

// listed is what a registry would list.
type listed []shuin.Signature

func (l listed) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	return l, false, nil
}

func artifact(t *testing.T) shuin.Artifact {
	t.Helper()
	ref, err := shuin.ParseReference(scope + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	a, err := shuin.NewArtifact(ref, shuin.Descriptor{
		MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("an image"), Size: 8,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signed signs with name's key; tsa is empty for no timestamp.
func (p *pki) signed(t *testing.T, name, mediaType, tsa string) listed {
	t.Helper()
	key, err := file.Load(p.path(name+".key"), p.path(name+"-chain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s := &sign.Signer{Key: key}
	if tsa != "" {
		s.Timestamper = &timestamp.Client{URL: tsa, RootCerts: []*x509.Certificate{p.cert("ca")}}
	}
	out, err := s.Sign(t.Context(), artifact(t), sign.Options{MediaType: mediaType, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return listed{{
		Manifest:          shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromBytes(out.Envelope), Size: 1},
		EnvelopeMediaType: out.MediaType, Envelope: out.Envelope,
	}}
}

// verified verifies under a level, now or later, with both stores trusted.
func (p *pki) verified(t *testing.T, l listed, level string, now time.Time) *shuin.Report {
	t.Helper()
	return p.verifiedBy(t, l, level, `"ca:openssl","tsa:openssl"`, now)
}

func (p *pki) verifiedBy(t *testing.T, l listed, level, trustStores string, now time.Time) *shuin.Report {
	t.Helper()
	doc, err := policy.ParseOCI(fmt.Appendf(nil, `{"version":"1.0","trustPolicies":[{"name":"shop","registryScopes":[%q],
		"signatureVerification":{"level":%q},"trustStores":[%s],"trustedIdentities":["*"]}]}`, scope, level, trustStores))
	if err != nil {
		t.Fatal(err)
	}
	root := []*x509.Certificate{p.cert("ca")}
	var r *shuin.Report
	for range 3 {
		r = p.newVerifier(t, root).Verify(t.Context(), artifact(t), l, doc, verify.Options{Now: now})
		// A process on a busy machine may miss the two seconds of REV-04.
		if len(r.Signatures) == 0 || !errors.Is(check(r.Signatures[0], shuin.CheckRevocation).Err, context.DeadlineExceeded) {
			break
		}
	}
	return r
}

func (p *pki) newVerifier(t *testing.T, root []*x509.Certificate) *verify.Verifier {
	return &verify.Verifier{
		Stores: stores{"ca:openssl": root, "tsa:openssl": root},
		Revocation: &revocation.Checker{
			HTTP:  &fetch.Client{AllowPrivateAddresses: true},
			Cache: &revocation.FileCache{Dir: t.TempDir()},
		},
	}
}

// expect compares the result and, for a failure, the only signature's reason.
func expect(t *testing.T, r *shuin.Report, result shuin.Result, code shuin.Code) shuin.SignatureReport {
	t.Helper()
	if len(r.Signatures) != 1 {
		t.Fatalf("%d signatures in the report: %v", len(r.Signatures), r.Err)
	}
	s := r.Signatures[0]
	if r.Result != result || shuin.CodeOf(s.Err) != code {
		t.Errorf("result %s with %q, want %s with %q: %v", r.Result, shuin.CodeOf(s.Err), result, code, s.Err)
	}
	return s
}

func check(s shuin.SignatureReport, name shuin.CheckName) shuin.Check {
	for _, c := range s.Checks {
		if c.Name == name {
			return c
		}
	}
	return shuin.Check{}
}

func TestATimestampedSignatureIsGoodAfterItsLeafExpired(t *testing.T) {
	p := newPKI(t)
	tsa := p.tsa()
	for _, key := range []string{"p256", "rsa2048"} {
		p.issue("short-"+key, "plain", key, "-days", "1")
		p.issue("bare-"+key, "plain", key, "-days", "1")
		for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
			t.Run(key+" "+mediaType, func(t *testing.T) {
				stamped := p.signed(t, "short-"+key, mediaType, tsa)
				expect(t, p.verified(t, stamped, "strict", time.Now()), shuin.Verified, "")

				later := p.cert("short-" + key).NotAfter.Add(30 * 24 * time.Hour)
				s := expect(t, p.verified(t, stamped, "strict", later), shuin.Verified, "")
				if s.TimeSource != shuin.TimeSourceTimestamp || s.TimestampTime == nil {
					t.Errorf("time source %q at %v", s.TimeSource, s.TimestampTime)
				}
				// Without a timestamp, or without trusting the authority, the same
				// signature is worth nothing then.
				expect(t, p.verifiedBy(t, stamped, "strict", `"ca:openssl"`, later), shuin.NotVerified, shuin.CodeExpired)
				bare := p.signed(t, "bare-"+key, mediaType, "")
				r := p.verified(t, bare, "strict", later)
				if r.Result != shuin.NotVerified {
					t.Errorf("without a timestamp: %s", r.Result)
				}
				if c := check(r.Signatures[0], shuin.CheckAuthenticTimestamp); c.Outcome != shuin.Failed || !c.Enforced {
					t.Errorf("without a timestamp: %s, enforced %v", c.Outcome, c.Enforced)
				}
			})
		}
	}
}

func TestARevokedLeafIsRefused(t *testing.T) {
	for _, by := range []string{"ocsp", "crl"} {
		t.Run("by "+by, func(t *testing.T) {
			p := newPKI(t)
			tsa := p.tsa()
			p.issue("leaf", "named_"+by, "p256")
			p.issue("other", "named_"+by, "p256")
			signature, other := p.signed(t, "leaf", shuin.MediaTypeJWS, tsa), p.signed(t, "other", shuin.MediaTypeCOSE, tsa)
			p.revoke("leaf")
			if by == "crl" {
				p.gencrl()
			} else {
				p.respond()
			}
			s := expect(t, p.verified(t, signature, "strict", time.Now()), shuin.NotVerified, shuin.CodeRevoked)
			if c := check(s, shuin.CheckRevocation); c.Outcome != shuin.Failed || !c.Enforced {
				t.Errorf("revocation check %s, enforced %v", c.Outcome, c.Enforced)
			}
			expect(t, p.verified(t, other, "strict", time.Now()), shuin.Verified, "")

			// Permissive and audit only tell.
			for _, level := range []string{"permissive", "audit"} {
				s := expect(t, p.verified(t, signature, level, time.Now()), shuin.Verified, "")
				if c := check(s, shuin.CheckRevocation); c.Outcome != shuin.Failed || c.Enforced || shuin.CodeOf(c.Err) != shuin.CodeRevoked {
					t.Errorf("%s: revocation check %s, enforced %v, %v", level, c.Outcome, c.Enforced, c.Err)
				}
			}
		})
	}
}

func TestCRLDecidesWhereTheResponderIsUnreachable(t *testing.T) {
	p := newPKI(t)
	tsa := p.tsa()
	p.issue("leaf", "named_both", "p256")
	signature := p.signed(t, "leaf", shuin.MediaTypeJWS, tsa)
	p.gencrl()
	expect(t, p.verified(t, signature, "strict", time.Now()), shuin.Verified, "")
	p.revoke("leaf")
	p.gencrl()
	expect(t, p.verified(t, signature, "strict", time.Now()), shuin.NotVerified, shuin.CodeRevoked)
}

func TestAnUnreachableResponderIsNotTakenForAnAnswer(t *testing.T) {
	p := newPKI(t)
	tsa := p.tsa()
	for _, by := range []string{"ocsp", "crl", "both"} {
		p.issue("leaf-"+by, "named_"+by, "p256")
		signature := p.signed(t, "leaf-"+by, shuin.MediaTypeJWS, tsa)
		t.Run(by+" under strict", func(t *testing.T) {
			s := expect(t, p.verified(t, signature, "strict", time.Now()), shuin.Undecided, shuin.CodeRevocationUnavailable)
			if c := check(s, shuin.CheckRevocation); c.Outcome != shuin.Unknown || !c.Enforced {
				t.Errorf("revocation check %s, enforced %v", c.Outcome, c.Enforced)
			}
		})
		for _, level := range []string{"permissive", "audit"} {
			t.Run(by+" under "+level, func(t *testing.T) {
				s := expect(t, p.verified(t, signature, level, time.Now()), shuin.Verified, "")
				w := s.Warnings()
				if len(w) != 1 || w[0].Name != shuin.CheckRevocation || w[0].Outcome != shuin.Unknown || shuin.CodeOf(w[0].Err) != shuin.CodeRevocationUnavailable {
					t.Errorf("warnings %+v", w)
				}
				if len(w) == 1 && !strings.Contains(w[0].Err.Error(), "127.0.0.1") {
					t.Errorf("the warning does not say what was asked: %v", w[0].Err)
				}
			})
		}
	}
}
