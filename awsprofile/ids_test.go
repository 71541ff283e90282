package awsprofile_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/shuintest"
)

// opensslHash is the SHA-384 of the signed part of a certificate, cut out and
// hashed by OpenSSL alone: the signed part is what stands at offset 4 of one
// whose length takes two bytes, as that of every real one does.
func opensslHash(t *testing.T, dir string, c *x509.Certificate) string {
	t.Helper()
	shuintest.WriteFile(t, dir, "cert.der", c.Raw)
	shuintest.OpenSSL(t, dir, "asn1parse", "-inform", "DER", "-in", "cert.der", "-strparse", "4", "-noout", "-out", "tbs.der")
	if tbs, err := os.ReadFile(filepath.Join(dir, "tbs.der")); err != nil || bytes.Equal(tbs, c.Raw) {
		t.Fatalf("openssl cut out %d bytes of %d: %v", len(tbs), len(c.Raw), err)
	}
	out := shuintest.OpenSSL(t, dir, "dgst", "-sha384", "-r", "tbs.der")
	hash, _, _ := strings.Cut(string(out), " ")
	if b, err := hex.DecodeString(hash); err != nil || len(b) != 48 {
		t.Fatalf("openssl says %q", out)
	}
	return hash
}

func TestCertificateIDsAreWhatOpenSSLComputes(t *testing.T) {
	for name, o := range map[string]shuintest.ChainOptions{
		"four certificates, P-384":    {Length: 4, Key: shuintest.P384, CAKey: shuintest.P384},
		"three certificates, RSA CAs": {Length: 3, CAKey: shuintest.RSA2048},
		"one, by itself":              {Length: 1},
	} {
		t.Run(name, func(t *testing.T) {
			o.NotBefore, o.NotAfter = time.Unix(1.7e9, 0), time.Unix(1.8e9, 0)
			chain := shuintest.MustChain(o)
			dir := t.TempDir()
			var want []string
			for i, c := range chain.Certs {
				issuer := chain.Certs[min(i+1, len(chain.Certs)-1)]
				want = append(want, opensslHash(t, dir, c)+opensslHash(t, dir, issuer))
			}
			got := awsprofile.CertificateIDs(chain.Certs)
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nopenssl has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for _, id := range got {
				if !awsprofile.ValidCertificateID(id) {
					t.Errorf("%s is no id", id)
				}
			}
		})
	}
}

func TestTheSameLeafUnderAnotherIssuerHasAnotherID(t *testing.T) {
	a := shuintest.MustChain(shuintest.ChainOptions{Length: 3})
	b := shuintest.MustChain(shuintest.ChainOptions{Length: 3})
	one := awsprofile.CertificateIDs(a.Certs)
	other := awsprofile.CertificateIDs([]*x509.Certificate{a.Certs[0], b.Certs[1], b.Certs[2]})
	if one[0] == other[0] || one[0][:96] != other[0][:96] {
		t.Errorf("ids %s and %s", one[0], other[0])
	}
	if len(awsprofile.CertificateIDs(nil)) != 0 {
		t.Error("ids of nothing")
	}
}
