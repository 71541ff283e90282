package bundle_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// people is who signs policies: another CA than that of images.
var people = shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Family: 5, CA: "People"})

// stores are the trust stores of whoever verifies.
type stores map[string]*x509.Certificate

func (s stores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	cert := s[name.String()]
	if cert == nil {
		return nil, errors.New("no trust store " + name.String())
	}
	return trust.NewStore(name, []*x509.Certificate{cert}, nil)
}

// revocations answers the same for every leaf.
type revocations verify.Revocation

func (r revocations) Check(_ context.Context, chain []*x509.Certificate, _ envelope.Purpose, _, _ time.Time) []verify.Revocation {
	out := make([]verify.Revocation, len(chain))
	for i := range out {
		out[i] = verify.Revocation{Status: verify.StatusNoSource}
	}
	out[0] = verify.Revocation(r)
	return out
}

func statement(tb testing.TB) *policy.Statement {
	tb.Helper()
	s, err := bundle.Signer{Identities: []string{signerName}, TrustStores: []string{"ca:people"}}.Statement()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// signed is an envelope over data as a Notary Project signer makes it.
func signed(tb testing.TB, data []byte, change func(o *shuintest.EnvelopeOptions)) bundle.Signature {
	tb.Helper()
	o := shuintest.EnvelopeOptions{Chain: people, Time: now.Add(-time.Hour)}
	if change != nil {
		change(&o)
	}
	if o.Payload == nil {
		h, err := shuintest.HashOf(o.Chain.Leaf().PublicKey)
		if err != nil {
			tb.Fatal(err)
		}
		o.Payload = payload(tb, data, h, bundle.MediaType)
	}
	env, err := shuintest.NewEnvelope(o)
	if err != nil {
		tb.Fatal(err)
	}
	if o.MediaType == "" {
		o.MediaType = shuin.MediaTypeJWS
	}
	return bundle.Signature{MediaType: o.MediaType, Envelope: env}
}

func payload(tb testing.TB, data []byte, h crypto.Hash, mediaType string) []byte {
	tb.Helper()
	a, err := bundle.Artifact(data, h)
	if err != nil {
		tb.Fatal(err)
	}
	return shuintest.Payload(mediaType, a.Digest().String(), int64(len(data)), map[string]string{"why": "INC-1"})
}

func TestSignedByWhoMay(t *testing.T) {
	data := build(t, content())
	for _, key := range shuintest.KeyTypes {
		for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
			chain := shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Family: 5, CA: "People", Key: key})
			sig := signed(t, data, func(o *shuintest.EnvelopeOptions) {
				o.Chain, o.MediaType, o.Expiry = chain, mediaType, now.Add(time.Hour)
			})
			got, err := bundle.Verify(t.Context(), verify.Verifier{Stores: stores{"ca:people": chain.Root()}}, statement(t), data, sig, now)
			if err != nil {
				t.Errorf("%v, %s: %v", key, mediaType, err)
				continue
			}
			if got.Identity != signerName || got.TrustStore != "ca:people" || !got.Time.IsZero() || !got.Ends.Equal(now.Add(time.Hour)) {
				t.Errorf("%v, %s: signed %+v", key, mediaType, got)
			}
		}
	}
}

func TestSignaturesRefused(t *testing.T) {
	data := build(t, content())
	edge := func(change func(o *shuintest.EnvelopeOptions)) func(testing.TB) bundle.Signature {
		return func(tb testing.TB) bundle.Signature { return signed(tb, data, change) }
	}
	namesOCSP := shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Family: 5, CA: "People", OCSP: []string{"http://ocsp.invalid"}})
	for _, c := range []struct {
		name       string
		sig        func(testing.TB) bundle.Signature
		data       []byte
		now        time.Time
		revocation verify.RevocationChecker
		code       shuin.Code
	}{
		{name: "none", sig: func(testing.TB) bundle.Signature { return bundle.Signature{MediaType: shuin.MediaTypeJWS} }, code: shuin.CodeTampered},
		{name: "junk", sig: func(testing.TB) bundle.Signature {
			return bundle.Signature{MediaType: shuin.MediaTypeJWS, Envelope: []byte("junk")}
		}, code: shuin.CodeTampered},
		{name: "a JWS that is said to be COSE", sig: func(tb testing.TB) bundle.Signature {
			return bundle.Signature{MediaType: shuin.MediaTypeCOSE, Envelope: signed(tb, data, nil).Envelope}
		}, code: shuin.CodeTampered},
		{name: "an unknown media type", sig: func(tb testing.TB) bundle.Signature {
			return bundle.Signature{MediaType: "application/x", Envelope: signed(tb, data, nil).Envelope}
		}, code: shuin.CodeTampered},
		{name: "2 MB", sig: func(testing.TB) bundle.Signature {
			return bundle.Signature{MediaType: shuin.MediaTypeJWS, Envelope: make([]byte, 2<<20)}
		}, code: shuin.CodeLimit},
		{name: "by the key of images", sig: edge(func(o *shuintest.EnvelopeOptions) { o.Chain = images }), code: shuin.CodeUntrusted},
		{name: "by somebody else of the same CA", sig: edge(func(o *shuintest.EnvelopeOptions) {
			o.Chain = shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Family: 5, CA: "People", Mutate: func(level int, c *x509.Certificate) {
				if level == 0 {
					c.Subject.CommonName = "somebody"
				}
			}})
		}), code: shuin.CodeUntrusted},
		{name: "by another key under the signer's certificate", sig: edge(func(o *shuintest.EnvelopeOptions) { o.Key = others.Key() }), code: shuin.CodeTampered},
		{name: "over other bytes: a byte changed", sig: edge(nil), data: bytes.Replace(data, []byte(`"sequence": 7`), []byte(`"sequence": 9`), 1), code: shuin.CodeTampered},
		{name: "over other bytes: a byte more", sig: edge(nil), data: append(bytes.Clone(data), '\n'), code: shuin.CodeTampered},
		{name: "of another media type", sig: edge(func(o *shuintest.EnvelopeOptions) {
			o.Payload = payload(t, data, crypto.SHA256, "application/vnd.oci.image.manifest.v1+json")
		}), code: shuin.CodeTampered},
		{name: "with a digest in another hash than the key's", sig: edge(func(o *shuintest.EnvelopeOptions) {
			o.Payload = payload(t, data, crypto.SHA512, bundle.MediaType)
		}), code: shuin.CodeTampered},
		{name: "of another size", sig: edge(func(o *shuintest.EnvelopeOptions) {
			a, _ := bundle.Artifact(data, crypto.SHA256)
			o.Payload = shuintest.Payload(bundle.MediaType, a.Digest().String(), int64(len(data)+1), nil)
		}), code: shuin.CodeTampered},
		{name: "expired", sig: edge(func(o *shuintest.EnvelopeOptions) { o.Expiry = now }), now: now.Add(time.Second), code: shuin.CodeExpired},
		{name: "of an expired certificate, whatever time the signer says", sig: edge(func(o *shuintest.EnvelopeOptions) { o.Time = end.Add(-time.Hour) }), now: end.Add(time.Hour), code: shuin.CodeExpired},
		{name: "of a certificate of a time to come, whatever time the signer says", sig: edge(nil), now: begin.Add(-time.Hour), code: shuin.CodeExpired},
		{name: "revoked", sig: edge(func(o *shuintest.EnvelopeOptions) { o.Chain = namesOCSP }),
			revocation: revocations{Status: verify.StatusRevoked, Method: "ocsp", RevokedAt: begin, Reason: 1}, code: shuin.CodeRevoked},
		{name: "revocation could not be asked", sig: edge(func(o *shuintest.EnvelopeOptions) { o.Chain = namesOCSP }),
			revocation: revocations{Status: verify.StatusUnavailable, Method: "ocsp", Err: errors.New("timeout")}, code: shuin.CodeRevocationUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.data == nil {
				c.data = data
			}
			if c.now.IsZero() {
				c.now = now
			}
			root := people.Root()
			if c.revocation != nil {
				root = namesOCSP.Root()
			}
			got, err := bundle.Verify(t.Context(), verify.Verifier{Stores: stores{"ca:people": root}, Revocation: c.revocation}, statement(t), c.data, c.sig(t), c.now)
			if err == nil || got != nil {
				t.Fatalf("it is good: %+v", got)
			}
			if shuin.CodeOf(err) != c.code {
				t.Errorf("code %s (%v), want %s", shuin.CodeOf(err), err, c.code)
			}
			if said := strings.Contains(err.Error(), "could not be checked"); said != c.code.Undecided() {
				t.Errorf("it says %q", err)
			}
		})
	}
}

func TestAMissingTrustStoreIsNotAGoodSignature(t *testing.T) {
	data := build(t, content())
	if _, err := bundle.Verify(t.Context(), verify.Verifier{Stores: stores{}}, statement(t), data, signed(t, data, nil), now); err == nil {
		t.Error("it is good")
	}
	if _, err := bundle.Verify(t.Context(), verify.Verifier{Stores: stores{"ca:people": people.Root()}}, nil, data, signed(t, data, nil), now); err == nil {
		t.Error("it is good without a statement")
	}
}

// Whoever could verify less than strictly would be told "verified" of what
// failed a check that is only logged.
func TestBundlesAreVerifiedStrictly(t *testing.T) {
	data := build(t, content())
	weak := *statement(t)
	weak.Level, _ = policy.NewLevel(policy.LevelAudit, nil)
	_, err := bundle.Verify(t.Context(), verify.Verifier{Stores: stores{"ca:people": people.Root()}}, &weak, data, signed(t, data, nil), now)
	if shuin.CodeOf(err) != shuin.CodeInternal {
		t.Errorf("error %v", err)
	}
}

func TestWhoSignsPoliciesIsWrittenAsAStagesSigner(t *testing.T) {
	const profile = "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/policy"
	for _, c := range []struct {
		name   string
		signer bundle.Signer
		want   string // in the error; empty: none
	}{
		{"identities", bundle.Signer{Identities: []string{signerName}, TrustStores: []string{"ca:people", "tsa:corp"}}, ""},
		{"a signing profile", bundle.Signer{SigningProfile: profile, TrustStores: []string{"signingAuthority:aws-signer-ts"}}, ""},
		{"nobody", bundle.Signer{TrustStores: []string{"ca:people"}}, "who signs"},
		{"both", bundle.Signer{SigningProfile: profile, Identities: []string{signerName}, TrustStores: []string{"ca:people"}}, "either"},
		{"anybody", bundle.Signer{Identities: []string{"*"}, TrustStores: []string{"ca:people"}}, `may not be "*"`},
		{"no trust store", bundle.Signer{Identities: []string{signerName}}, "trustStores"},
		{"a trust store that is none", bundle.Signer{Identities: []string{signerName}, TrustStores: []string{"people"}}, "trustStores"},
		{"a signing profile that any CA could claim", bundle.Signer{SigningProfile: profile, TrustStores: []string{"ca:people"}}, "signing authority alone"},
		{"an identity that is none", bundle.Signer{Identities: []string{"x509.subject: CN=x"}, TrustStores: []string{"ca:people"}}, "identities"},
		{"a timestamping authority alone", bundle.Signer{Identities: []string{signerName}, TrustStores: []string{"tsa:corp"}}, "trustStores"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := c.signer.Statement()
			switch {
			case c.want == "":
				if err != nil || s.Level.Name != policy.LevelStrict {
					t.Errorf("error %v", err)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("error %v, want %q in it", err, c.want)
			case strings.Contains(err.Error(), "stages"), strings.Contains(err.Error(), "line"):
				t.Errorf("the error is of a file that nobody wrote: %v", err)
			}
		})
	}
}

func TestASignaturesNameSaysItsType(t *testing.T) {
	for name, want := range map[string]string{
		"a/policy.json" + bundle.JWSSuffix: shuin.MediaTypeJWS, "policy.json" + bundle.COSESuffix: shuin.MediaTypeCOSE, "policy.json": "", "policy.jws": "", "": "",
	} {
		if got := bundle.SignatureType(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestASignatureFitsTheBytesItWasMadeOver(t *testing.T) {
	data := build(t, content())
	good := signed(t, data, nil)
	broken := bundle.Signature{MediaType: good.MediaType, Envelope: bytes.Replace(bytes.Clone(good.Envelope), []byte(`"signature":"`), []byte(`"signature":"AAAA`), 1)}
	for _, c := range []struct {
		name string
		sig  bundle.Signature
		data []byte
		want shuin.Code // empty: it fits
	}{
		{"JWS", good, data, ""},
		{"COSE", signed(t, data, func(o *shuintest.EnvelopeOptions) { o.MediaType = shuin.MediaTypeCOSE }), data, ""},
		{"of whomever", signed(t, data, func(o *shuintest.EnvelopeOptions) {
			o.Chain = shuintest.MustChain(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Family: 2, CA: "Other"})
		}), data, ""},
		{"over other bytes", good, append(bytes.Clone(data), ' '), shuin.CodeTampered},
		{"that is no signature of its key", broken, data, shuin.CodeTampered},
		{"that is none", bundle.Signature{MediaType: shuin.MediaTypeJWS, Envelope: []byte("{}")}, data, shuin.CodeTampered},
		{"of a type that nobody knows", bundle.Signature{Envelope: good.Envelope}, data, shuin.CodeTampered},
		{"too large", bundle.Signature{MediaType: shuin.MediaTypeJWS, Envelope: make([]byte, limits.BundleSignatureBytes+1)}, data, shuin.CodeLimit},
	} {
		if err := c.sig.Fits(c.data); shuin.CodeOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v (%s), want %q", c.name, err, shuin.CodeOf(err), c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	data := build(f, content())
	f.Add(data, signed(f, data, nil).Envelope, false)
	f.Add(data, signed(f, data, func(o *shuintest.EnvelopeOptions) { o.MediaType = shuin.MediaTypeCOSE }).Envelope, true)
	s := statement(f)
	good := map[bool][]byte{false: signed(f, data, nil).Envelope}
	f.Fuzz(func(t *testing.T, fuzzed, env []byte, cose bool) {
		if len(fuzzed) > limits.BundleBytes {
			return
		}
		mediaType := shuin.MediaTypeJWS
		if cose {
			mediaType = shuin.MediaTypeCOSE
		}
		_, err := bundle.Verify(context.Background(), verify.Verifier{Stores: stores{"ca:people": people.Root()}}, s, fuzzed, bundle.Signature{MediaType: mediaType, Envelope: env}, now)
		if err == nil && !bytes.Equal(fuzzed, data) {
			t.Fatalf("bytes that nobody signed are good (envelope %q, a good one is %q)", env, good[false])
		}
	})
}
