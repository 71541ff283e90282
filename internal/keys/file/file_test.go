package file

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
)

var _ sign.Key = (*Key)(nil)

// write puts data into a new file.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func block(typ string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sec1(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// chain of three, with a leaf of the key type; made once for each.
var chains sync.Map

func chain(k shuintest.KeyType) *shuintest.Chain {
	make, _ := chains.LoadOrStore(k, sync.OnceValue(func() *shuintest.Chain {
		return shuintest.MustChain(shuintest.ChainOptions{Key: k})
	}))
	return make.(func() *shuintest.Chain)()
}

func TestLoadAndSign(t *testing.T) {
	ec, rs := chain(shuintest.P384), chain(shuintest.RSA2048)
	tests := []struct {
		name  string
		chain *shuintest.Chain
		key   []byte
		want  envelope.Algorithm
	}{
		{"ALG-02 PKCS#8 P-256", chain(shuintest.P256), block("PRIVATE KEY", pkcs8(t, chain(shuintest.P256).Key())), envelope.ES256},
		{"ALG-02 SEC 1 P-384", ec, block("EC PRIVATE KEY", sec1(t, ec.Key())), envelope.ES384},
		{"ALG-02 PKCS#8 P-521", chain(shuintest.P521), block("PRIVATE KEY", pkcs8(t, chain(shuintest.P521).Key())), envelope.ES512},
		{"ALG-02 PKCS#8 RSA 2048", rs, block("PRIVATE KEY", pkcs8(t, rs.Key())), envelope.PS256},
		{"ALG-02 PKCS#1 RSA 2048", rs, block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rs.Key().(*rsa.PrivateKey))), envelope.PS256},
		{"EC parameters before the key, as openssl writes them", ec, append(block("EC PARAMETERS", []byte{6, 5, 0x2b, 0x81, 4, 0, 0x22}), block("EC PRIVATE KEY", sec1(t, ec.Key()))...), envelope.ES384},
		{"certificate before the key in one file", ec, append(ec.PEM(), block("PRIVATE KEY", pkcs8(t, ec.Key()))...), envelope.ES384},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := Load(write(t, "k.key", tt.key), write(t, "c.crt", tt.chain.PEM()))
			if err != nil {
				t.Fatal(err)
			}
			if a, err := k.Algorithm(t.Context()); a != tt.want || err != nil {
				t.Errorf("algorithm %v, %v", a, err)
			}
			signed := []byte("to be signed")
			sig, der, err := k.Sign(t.Context(), signed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.chain.DER, der); diff != "" {
				t.Errorf("chain, leaf first: %s", diff)
			}
			if err := tt.want.VerifySignature(tt.chain.Leaf().PublicKey, signed, sig); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	ec := chain(shuintest.P256)
	other := shuintest.MustChain(shuintest.ChainOptions{Family: 7})
	key, certs := block("PRIVATE KEY", pkcs8(t, ec.Key())), ec.PEM()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	reversed := shuintest.CertsPEM(ec.Certs[2], ec.Certs[1], ec.Certs[0])
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")})
	tests := []struct {
		name       string
		key, certs []byte
		want       string
	}{
		{"key of another leaf", block("PRIVATE KEY", pkcs8(t, other.Key())), certs, "does not belong to the first certificate"},
		{"CERT-11 chain with the root first", key, reversed, "does not belong to the first certificate"},
		{"a certificate for a key", certs, certs, "it holds a certificate, not a private key"},
		{"a key for a certificate", key, key, "it holds no PEM certificate"},
		{"an empty key file", nil, certs, "it holds no PEM private key"},
		{"DER for PEM", pkcs8(t, ec.Key()), certs, "it holds no PEM private key"},
		{"an encrypted PKCS#8 key", block("ENCRYPTED PRIVATE KEY", []byte("x")), certs, "is encrypted"},
		{"an encrypted older key", encrypted, certs, "is encrypted"},
		{"a broken key", block("PRIVATE KEY", pkcs8(t, ec.Key())[:40]), certs, "is malformed, or neither PKCS#8, PKCS#1 nor SEC 1"},
		{"ALG-02 an Ed25519 key", block("PRIVATE KEY", pkcs8(t, ed)), certs, "ed25519.PrivateKey are not supported"},
		{"ALG-02 a P-224 key", chain(shuintest.P224).KeyPEM(), chain(shuintest.P224).PEM(), "P-256, P-384 or P-521"},
		{"a broken certificate", key, block("CERTIFICATE", ec.DER[0][:40]), "certificate 1:"},
		{"a huge key file", make([]byte, 1<<20+1), certs, "larger than 1048576 bytes"},
		{"a huge certificate file", key, make([]byte, 1<<20+1), "larger than 1048576 bytes"},
		{"a chain without end", key, bytes.Repeat(certs, 6), "holds more than 16 certificates"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keyPath, certPath := write(t, "k.key", tt.key), write(t, "c.crt", tt.certs)
			k, err := Load(keyPath, certPath)
			if err == nil || k != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
			if !strings.Contains(err.Error(), keyPath) && !strings.Contains(err.Error(), certPath) {
				t.Errorf("%q names neither file", err)
			}
			if c := shuin.CodeOf(err); c != shuin.CodeInvalidInput && c != shuin.CodeLimit {
				t.Errorf("code %s", c)
			}
			wantNoKey(t, fmt.Sprintf("%v %+v %#v", err, err, err), tt.key)
		})
	}
	good := write(t, "k", key)
	for name, paths := range map[string][2]string{
		"no key file":           {filepath.Join(t.TempDir(), "none"), good},
		"no certificate file":   {good, filepath.Join(t.TempDir(), "none")},
		"a directory for a key": {t.TempDir(), good},
	} {
		if _, err := Load(paths[0], paths[1]); err == nil || shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantNoKey looks for pieces of a PEM file's body in text.
func wantNoKey(t *testing.T, text string, keyPEM []byte) {
	t.Helper()
	for line := range strings.Lines(string(keyPEM)) {
		line = strings.TrimSpace(line)
		if len(line) > 30 && !strings.HasPrefix(line, "-----") && strings.Contains(text, line[:30]) {
			t.Errorf("key material in %q", text)
		}
	}
}

func TestNoWayOfPrintingShowsTheKey(t *testing.T) {
	ec := chain(shuintest.P256)
	k, err := Load(write(t, "k.key", ec.KeyPEM()), write(t, "c.crt", ec.PEM()))
	if err != nil {
		t.Fatal(err)
	}
	tk := testKey(t)
	raw, err := ec.Key().(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d := new(big.Int).SetBytes(raw)
	for _, v := range []any{k, tk} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", v)
		text := fmt.Sprintf("%v %+v %#v %s %d %x %q %v", v, v, v, v, v, v, v, []any{v}) + log.String()
		for _, secret := range []string{d.String(), d.Text(16), "PRIVATE KEY"} {
			if strings.Contains(text, secret) {
				t.Errorf("%T prints %q", v, text)
			}
		}
		wantNoKey(t, text, ec.KeyPEM())
		wantNoKey(t, text, tk.KeyPEM)
	}
	if want := fmt.Sprintf("key file (ECDSA-SHA-256, leaf sha256:%s)", shuinFingerprint(ec)); k.String() != want {
		t.Errorf("String = %q, want %q", k, want)
	}
	if (*Key)(nil).String() == "" {
		t.Error("a nil key prints nothing")
	}
}

func shuinFingerprint(c *shuintest.Chain) string {
	h := crypto.SHA256.New()
	h.Write(c.DER[0])
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestSignStopsWhenTheContextEnds(t *testing.T) {
	ec := chain(shuintest.P256)
	k, err := Load(write(t, "k.key", ec.KeyPEM()), write(t, "c.crt", ec.PEM()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := k.Sign(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLoadFollowsASymlink(t *testing.T) {
	ec := chain(shuintest.P256)
	key := write(t, "k.key", ec.KeyPEM())
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(key, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link, write(t, "c.crt", ec.PEM())); err != nil {
		t.Errorf("mounted secrets are symlinks: %v", err)
	}
}

var testTime = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

var generated = sync.OnceValues(func() (*TestKey, error) { return GenerateTest("wabbit-networks.io", 2048, testTime) })

func testKey(t *testing.T) *TestKey {
	t.Helper()
	k, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestGeneratedTestKeyIsWhatNotationMakes(t *testing.T) {
	k := testKey(t)
	c := k.Certificate
	if got := c.Subject.String(); got != "CN=wabbit-networks.io,O=Notary,L=Seattle,ST=WA,C=US" || c.Issuer.String() != got {
		t.Errorf("subject %s, issuer %s", got, c.Issuer)
	}
	if !c.NotBefore.Equal(testTime) || !c.NotAfter.Equal(testTime.AddDate(0, 0, 1)) {
		t.Errorf("valid from %v to %v", c.NotBefore, c.NotAfter)
	}
	if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature || !cmp.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}) || len(c.UnknownExtKeyUsage) > 0 {
		t.Errorf("CA %v, key usage %b, extended %v", c.IsCA, c.KeyUsage, c.ExtKeyUsage)
	}
	if c.SerialNumber.Sign() <= 0 {
		t.Errorf("serial number %v", c.SerialNumber)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		t.Errorf("CERT-10 not self-signed: %v", err)
	}
	if err := envelope.CheckChain([]*x509.Certificate{c}, envelope.CodeSigning); err != nil {
		t.Errorf("CERT-10: %v", err)
	}
	if b, rest := pem.Decode(k.KeyPEM); b == nil || b.Type != "PRIVATE KEY" || len(rest) > 0 {
		t.Error("the key is not one PKCS#8 block")
	}
	loaded, err := Load(write(t, "k.key", k.KeyPEM), write(t, "c.crt", k.CertificatePEM))
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := loaded.Algorithm(t.Context()); a != envelope.PS256 {
		t.Errorf("algorithm %v", a)
	}
}

func TestGenerateTestRefusesKeysThatCannotSign(t *testing.T) {
	for _, bits := range []int{-1, 0, 512, 1024, 2047, 2049, 8192} {
		if k, err := GenerateTest("x", bits, testTime); err == nil || k != nil || shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}
