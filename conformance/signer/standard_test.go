package signer

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/signing"
	"github.com/shuin/shuin/verify"
)

// cut is a network that is cut.
type cut struct{}

func (cut) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("the network is cut: " + r.URL.Host)
}

// online is Shuin's revocation checker, which may ask loopback addresses.
func online() *revocation.Checker {
	return &revocation.Checker{HTTP: &fetch.Client{AllowPrivateAddresses: true}}
}

func chainOf(t *testing.T, envelope []byte) []*x509.Certificate {
	t.Helper()
	e, err := signature.ParseEnvelope("application/jose+json", envelope)
	if err != nil {
		t.Fatal(err)
	}
	content, err := e.Content()
	if err != nil {
		t.Fatal(err)
	}
	return content.SignerInfo.CertificateChain
}

func TestSignaturesOfAStandardProfile(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindStandard)
	bad, good := w.sign(t, p), w.sign(t, p)
	policy := w.trusting("x509.subject: C=JP, ST=Tokyo, O=Example")
	open := &http.Client{Timeout: time.Minute}
	theirs := func(m made, client *http.Client, cache string) error {
		return theyVerify(t, w.artifact, policy, m.envelope, nil, client, cache)
	}
	accept := func(when string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: notation-go: %v", when, err)
		}
	}
	refuse := func(when string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("%s: notation-go: %v, want it to say revoked", when, err)
		}
	}

	before := t.TempDir()
	accept("before RevokeSignature", theirs(bad, open, before))
	accept("before RevokeSignature", theirs(good, open, before))
	accept("before RevokeSignature, network cut, CRL cached", theirs(bad, nobody, before))
	if err := theirs(bad, nobody, t.TempDir()); err == nil {
		t.Error("network cut, nothing cached: notation-go accepts")
	}

	w.revokeSignature(t, bad)
	after := t.TempDir()
	refuse("after RevokeSignature", theirs(bad, open, after))
	accept("the signature beside it", theirs(good, open, after))
	refuse("after RevokeSignature, network cut, CRL cached", theirs(bad, nobody, after))
	accept("the signature beside it, network cut, CRL cached", theirs(good, nobody, after))

	t.Run("and Shuin says the same", func(t *testing.T) {
		checker := func(dir string, h *fetch.Client) verify.RevocationChecker {
			return &revocation.Checker{HTTP: h, Cache: &revocation.FileCache{Dir: dir}}
		}
		kept := t.TempDir()
		online := &fetch.Client{AllowPrivateAddresses: true}
		offline := &fetch.Client{AllowPrivateAddresses: true, Wrap: func(http.RoundTripper) http.RoundTripper { return cut{} }}
		for _, tt := range []struct {
			name   string
			m      made
			by     verify.RevocationChecker
			result shuin.Result
			code   shuin.Code
		}{
			{"revoked", bad, checker(kept, online), shuin.NotVerified, shuin.CodeRevoked},
			{"good", good, checker(kept, online), shuin.Verified, ""},
			{"revoked, network cut", bad, checker(kept, offline), shuin.NotVerified, shuin.CodeRevoked},
			{"good, network cut", good, checker(kept, offline), shuin.Verified, ""},
			{"network cut, nothing kept", good, checker(t.TempDir(), offline), shuin.Undecided, shuin.CodeRevocationUnavailable},
		} {
			if r := w.weVerify(t, policy, tt.m.envelope, tt.by); r.Result != tt.result || shuin.CodeOf(r.Err) != tt.code {
				t.Errorf("%s: %s: %v", tt.name, r.Result, r.Err)
			}
		}
	})
}

func TestAStandardProfilesRevocationReachesWhatItSignedAfterTheEffectiveTime(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindStandard)
	first := w.sign(t, p)
	w.ahead.Add(int64(time.Minute))
	second := w.sign(t, p)
	w.ahead.Add(int64(time.Minute))
	w.revokeProfile(t, p, signedAt(t, first.envelope).Add(30*time.Second))
	policy := w.trusting("x509.subject: C=JP, ST=Tokyo, O=Example")
	cache := t.TempDir()
	for _, client := range []*http.Client{{Timeout: time.Minute}, nobody} { // from the service, and kept
		if err := theyVerify(t, w.artifact, policy, first.envelope, nil, client, cache); err != nil {
			t.Errorf("signed before the effective time: notation-go: %v", err)
		}
		if err := theyVerify(t, w.artifact, policy, second.envelope, nil, client, cache); err == nil || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("signed after the effective time: notation-go: %v", err)
		}
	}
	checker := online()
	if r := w.weVerify(t, policy, first.envelope, checker); r.Result != shuin.Verified {
		t.Errorf("signed before the effective time: Shuin: %v", r.Err)
	}
	if r := w.weVerify(t, policy, second.envelope, checker); r.Result != shuin.NotVerified || shuin.CodeOf(r.Err) != shuin.CodeRevoked {
		t.Errorf("signed after the effective time: Shuin: %s: %v", r.Result, r.Err)
	}
}

func TestStandardSignaturesShareNoCertificateAndNameNoPlugin(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindStandard)
	m, other := w.sign(t, p), w.sign(t, p)
	protected, body, _ := parts(t, m.envelope)
	holds(t, protected, map[string]any{
		"alg": "ES384", "cty": "application/vnd.cncf.notary.payload.v1+json", "io.cncf.notary.signingScheme": "notary.x509.signingAuthority",
	}, []string{"io.cncf.notary.authenticSigningTime", "io.cncf.notary.expiry", "io.cncf.notary.signingScheme"})
	if !bytes.Equal(body, payload(w.artifact)) {
		t.Errorf("signed %s", body)
	}
	one, two := chainOf(t, m.envelope), chainOf(t, other.envelope)
	if len(one) != 4 || len(two) != 4 {
		t.Fatalf("%d and %d certificates", len(one), len(two))
	}
	if one[0].SerialNumber.Cmp(two[0].SerialNumber) == 0 || bytes.Equal(one[0].RawSubjectPublicKeyInfo, two[0].RawSubjectPublicKeyInfo) {
		t.Error("two signatures share a certificate or a key")
	}
	if !one[1].Equal(two[1]) {
		t.Error("two signatures of a profile version have two issuing CAs")
	}
	for i, c := range one[:2] {
		if len(c.CRLDistributionPoints) != 1 || len(c.OCSPServer) != 0 {
			t.Errorf("certificate %d names the CRLs %v, the responders %v", i, c.CRLDistributionPoints, c.OCSPServer)
		}
	}
}

func TestStandardSignaturesAreRefusedUnderOtherTrust(t *testing.T) {
	w := newWorld(t)
	m := w.sign(t, w.profile(t, "build_app", signing.KindStandard))
	for name, change := range map[string]func(*policyCase){
		"a ca store": func(c *policyCase) { c.Stores = []string{"ca:signer"} },
		"a root of the names": func(c *policyCase) {
			other, _ := tree(t)
			c.Roots = theirStores{"signingAuthority:signer": {rootOf(other)}}
		},
	} {
		policy := w.trusting("x509.subject: C=JP, ST=Tokyo, O=Example")
		change(&policy)
		theirs := theyVerify(t, w.artifact, policy, m.envelope, nil, &http.Client{Timeout: time.Minute}, t.TempDir())
		asked := &revocation.Checker{HTTP: &fetch.Client{Wrap: func(http.RoundTripper) http.RoundTripper {
			t.Errorf("%s: an address of a stranger was asked", name)
			return cut{}
		}}}
		ours := w.weVerify(t, policy, m.envelope, asked)
		if theirs == nil || ours.Result != shuin.NotVerified || shuin.CodeOf(ours.Err) != shuin.CodeUntrusted {
			t.Errorf("%s: notation-go: %v; Shuin: %s: %v", name, theirs, ours.Result, ours.Err)
		}
	}
}

func TestAStandardSignatureNamesItsSignerAndNoPlugin(t *testing.T) {
	w := newWorld(t)
	p := w.profile(t, "build_app", signing.KindStandard)
	m := w.sign(t, p)
	leaf := chainOf(t, m.envelope)[0]
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != p.String() {
		t.Errorf("URI names %v, want %s", leaf.URIs, p)
	}
	for _, tt := range []struct {
		identity string
		ok       bool
	}{
		{"x509.subject: C=JP, ST=Tokyo, O=Example", true},
		{"x509.subject: C=JP, ST=Tokyo, O=Example, OU=" + account + ", CN=build_app", true},
		{"x509.subject: C=JP, ST=Tokyo, O=Example, OU=" + account + ", CN=other", false},
		{"x509.subject: C=JP, ST=Tokyo, O=Example, OU=444455556666", false},
		{p.String(), false}, // an ARN is a plugin's identity, and no plugin is named
	} {
		policy := w.trusting(tt.identity)
		theirs := theyVerify(t, w.artifact, policy, m.envelope, nil, &http.Client{Timeout: time.Minute}, t.TempDir())
		ours := w.weVerify(t, policy, m.envelope, online())
		if (theirs == nil) != tt.ok || (ours.Result == shuin.Verified) != tt.ok {
			t.Errorf("%s: notation-go: %v; Shuin: %s: %v", tt.identity, theirs, ours.Result, ours.Err)
		}
	}
}
