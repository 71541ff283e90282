package issue_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/shuin/shuin/issue"
)

// TestALeafComesOutTheSameFromATemplate: what an authority encodes for the
// second time is, byte for byte, what x509 encodes.
func TestALeafComesOutTheSameFromATemplate(t *testing.T) {
	key := mustKey(t, issue.P384)
	root, err := issue.NewRoot(subject("Example Root"), key, mustSerial(t), now.Add(-year), now.Add(30*year))
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	tbs := func(a *issue.Authority, r issue.Request) []byte {
		t.Helper()
		p, err := a.Prepare(r)
		if err != nil {
			t.Fatal(err)
		}
		made, err := a.Issue(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return made.Certificate.RawTBSCertificate
	}
	plain := leafRequest(mustKey(t, issue.P384).Public())
	tbs(root, plain) // its template is what the others are made of
	for _, c := range []struct {
		name   string
		key    crypto.PublicKey
		change func(*issue.Request)
	}{
		{name: "another P-384 key", key: mustKey(t, issue.P384).Public()},
		{name: "a P-256 key", key: mustKey(t, issue.P256).Public()},
		{name: "an RSA key", key: rsaKey.Public()},
		{name: "a serial number with its top bit set", change: func(r *issue.Request) { r.Serial.SetBytes(bytes.Repeat([]byte{0xff}, 19)) }},
		{name: "a short serial number", change: func(r *issue.Request) { r.Serial.SetInt64(1) }},
		{name: "an end after 2049", change: func(r *issue.Request) { r.NotAfter = now.Add(29 * year) }},
		{name: "a beginning in another zone", change: func(r *issue.Request) { r.NotBefore = r.NotBefore.Local() }},
		{name: "another profile", change: func(r *issue.Request) { r.Subject.CommonName = "other" }},
		{name: "no URI", change: func(r *issue.Request) { r.URI = nil }},
		{name: "no CRL", change: func(r *issue.Request) { r.CRL = "" }},
		{name: "the first again"},
	} {
		r := leafRequest(plain.PublicKey)
		r.Serial = mustSerial(t)
		if c.key != nil {
			r.PublicKey = c.key
		}
		if c.change != nil {
			c.change(&r)
		}
		fresh, err := issue.NewAuthority(root.Chain(), key)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := tbs(root, r), tbs(fresh, r); !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%x\nwant\n%x", c.name, got, want)
		}
	}
}
