package signer

import (
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
	open := &http.Client{Timeout: time.Minute}
	if err := theyVerify(t, w.artifact, policy, first.envelope, nil, open, t.TempDir()); err != nil {
		t.Errorf("signed before the effective time: notation-go: %v", err)
	}
	if err := theyVerify(t, w.artifact, policy, second.envelope, nil, open, t.TempDir()); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("signed after the effective time: notation-go: %v", err)
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
		ours := w.weVerify(t, policy, m.envelope, &revocation.Checker{HTTP: &fetch.Client{AllowPrivateAddresses: true}})
		if (theirs == nil) != tt.ok || (ours.Result == shuin.Verified) != tt.ok {
			t.Errorf("%s: notation-go: %v; Shuin: %s: %v", tt.identity, theirs, ours.Result, ours.Err)
		}
	}
}
