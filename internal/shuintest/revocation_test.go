package shuintest

import (
	"bytes"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

func post(t *testing.T, url, contentType string, body []byte) []byte {
	t.Helper()
	resp, err := http.Post(url, contentType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %d %v %s", url, resp.StatusCode, err, b)
	}
	return b
}

func TestResponderAnswersForItsIssuer(t *testing.T) {
	w := NewWorld(t)
	p := w.MustPKI("a", NameOCSP|NameCRL, ChainOptions{})
	leaf, issuer := p.Certs[0], p.Certs[1]
	req, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() *ocsp.Response {
		t.Helper()
		resp, err := ocsp.ParseResponseForCert(post(t, leaf.OCSPServer[0], "application/ocsp-request", req), leaf, issuer)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if got := ask().Status; got != ocsp.Good {
		t.Errorf("status %d, want good", got)
	}
	invalid := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	p.OCSP[0].Revoke(leaf.SerialNumber, time.Now(), KeyCompromise, invalid)
	p.OCSP[0].Delegate = NewDelegate(p.Chain, 1, true, nil)
	got := ask()
	if got.Status != ocsp.Revoked || got.RevocationReason != KeyCompromise || got.Certificate == nil {
		t.Errorf("answer %+v, want revoked by a delegate", got)
	}
	if len(got.Extensions) != 1 || !got.Extensions[0].Id.Equal(OIDInvalidityDate) {
		t.Errorf("extensions %v, want invalidityDate", got.Extensions)
	}
}

func TestCRLListsBaseAndDelta(t *testing.T) {
	w := NewWorld(t)
	p := w.MustPKI("a", NameCRL, ChainOptions{})
	delta := &CRL{Issuer: p.Certs[1], Key: p.Keys[1], Number: big.NewInt(2), Base: big.NewInt(1)}
	delta.Revoke(p.Leaf().SerialNumber, time.Now(), CertificateHold, time.Now())
	p.CRL[0].Freshest = []string{w.Handle("delta", delta)}
	for name, c := range map[string]*CRL{"base": p.CRL[0], "delta": delta} {
		der, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.CheckSignatureFrom(p.Certs[1]); err != nil {
			t.Error(err)
		}
		if want := map[string]int{"base": 0, "delta": 1}[name]; len(list.RevokedCertificateEntries) != want {
			t.Errorf("%s: %d entries, want %d", name, len(list.RevokedCertificateEntries), want)
		}
	}
}
