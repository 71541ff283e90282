package notationdir

import (
	"bytes"
	"testing"

	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
)

// FuzzSigningKeys: no input panics, and what parses reads the same after it
// was written.
func FuzzSigningKeys(f *testing.F) {
	for _, s := range []string{"", "{}", keysText, `{"keys":[{"name":"a","hsm":true}],"x":[1]}`, `{"default":"a","keys":[]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseSigningKeys(data, "f")
		if err != nil {
			return
		}
		once, err := k.marshal()
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		again, err := parseSigningKeys(once, "f")
		if err != nil {
			t.Fatalf("%v in %s", err, once)
		}
		if again.Default != k.Default || len(again.Keys) != len(k.Keys) {
			t.Fatalf("%+v became %+v", k, again)
		}
		if twice, err := again.marshal(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s (%v)", once, twice, err)
		}
	})
}

// FuzzCertificateFile: no input panics, and what parses has a certificate that
// can be judged for every type of store.
func FuzzCertificateFile(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(root().Raw)
	f.Add(shuintest.CertsPEM(root(), leaf()))
	f.Add(chain().KeyPEM())
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := parseCertificates(data)
		if (err == nil) != (len(certs) > 0) {
			t.Fatalf("%d certificates, error %v", len(certs), err)
		}
		for _, c := range certs {
			for _, typ := range trust.StoreTypes() {
				_ = trust.CheckCertificate(typ, c)
			}
		}
	})
}
