//go:build e2e

package awscli

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"path/filepath"
	"testing"
)

// chainOf signs something and gives the chain of the envelope.
func chainOf(t *testing.T, w *world) []*x509.Certificate {
	t.Helper()
	made := w.aws(t, w.admin, "sign-payload", "--profile-name", "build", "--payload-format", format, "--payload", w.payload(t, artifact))
	envelope, err := base64.StdEncoding.DecodeString(text(t, made, "signature"))
	if err != nil {
		t.Fatal(err)
	}
	var jws struct {
		Header struct {
			X5c [][]byte `json:"x5c"`
		} `json:"header"`
	}
	if err := json.Unmarshal(envelope, &jws); err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	for _, der := range jws.Header.X5c {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, cert)
	}
	if len(chain) != 4 {
		t.Fatalf("a chain of %d, want leaf, issuing CA, intermediate, root", len(chain))
	}
	return chain
}

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(read(t, path))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestTheServerSignsUnderTheCAThatItIsGiven: its own, a new intermediate of
// the same root, and another CA's intermediate.
func TestTheServerSignsUnderTheCAThatItIsGiven(t *testing.T) {
	w := newWorld(t, "signing: {selfCheck: always}\nca: {issuingKey: p384, subject: {country: JP, province: Tokyo, organization: Example}}\n")
	w.aws(t, w.admin, "put-signing-profile", "--profile-name", "build", "--platform-id", platform)
	ca := filepath.Join(w.dir, "data", "ca")
	first := chainOf(t, w)
	if !first[2].Equal(certificate(t, filepath.Join(ca, "intermediate.pem"))) || !first[3].Equal(certificate(t, filepath.Join(ca, "root.pem"))) {
		t.Error("signed under another CA than ca init made")
	}

	w.server.stop(t)
	w.must(t, "ca", "intermediate", "new", "--config", w.config(), "--root-passphrase-file", filepath.Join(w.dir, "passphrase"))
	w.serve(t)
	second := chainOf(t, w)
	if second[2].Equal(first[2]) || !second[3].Equal(first[3]) || second[1].Equal(first[1]) {
		t.Error("the new intermediate is not used, or is another root's")
	}

	other := newCold(t, "")
	w.server.stop(t)
	theirs := filepath.Join(other.dir, "data", "ca")
	key := filepath.Join(w.dir, "their.key")
	write(t, key, decrypted(t, other, "intermediate.key.age"))
	w.must(t, "ca", "import", "--replace", "--config", w.config(), "--chain", filepath.Join(theirs, "intermediate.pem"), "--key", key)
	w.serve(t)
	third := chainOf(t, w)
	if !third[3].Equal(certificate(t, filepath.Join(theirs, "root.pem"))) {
		t.Error("the imported intermediate is not used")
	}
	for i, chain := range [][]*x509.Certificate{first, second, third} {
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(chain[3])
		between.AddCert(chain[1])
		between.AddCert(chain[2])
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("chain %d: %v", i, err)
		}
	}
	w.must(t, "log", "verify", "--config", w.config())
}
