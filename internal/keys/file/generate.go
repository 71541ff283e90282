package file

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/shuin/shuin"
)

// testKeyLife is how long the certificate of a test key is valid, as notation has it.
const testKeyLife = 24 * time.Hour

// TestKey is a generated RSA key and its self-signed certificate.
type TestKey struct {
	KeyPEM         []byte // PKCS#8; secret
	CertificatePEM []byte
	Certificate    *x509.Certificate
}

// GenerateTest makes an RSA key of bits (2048, 3072 or 4096) and a self-signed
// code-signing certificate for it, no CA, with subject
// CN=commonName,O=Notary,L=Seattle,ST=WA,C=US, valid for a day from now: what
// `notation cert generate-test` makes.
func GenerateTest(commonName string, bits int, now time.Time) (*TestKey, error) {
	switch bits {
	case 2048, 3072, 4096:
	default:
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput,
			Message: fmt.Sprintf("RSA key of %d bits cannot sign: the Notary Project allows 2048, 3072 and 4096", bits)}
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("generate RSA key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject: pkix.Name{
			Organization: []string{"Notary"},
			Country:      []string{"US"},
			Province:     []string{"WA"},
			Locality:     []string{"Seattle"},
			CommonName:   commonName,
		},
		NotBefore:   now,
		NotAfter:    now.Add(testKeyLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode RSA key: %w", err)
	}
	return &TestKey{
		KeyPEM:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		CertificatePEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Certificate:    cert,
	}, nil
}

// String names the certificate's subject, never the key.
func (k *TestKey) String() string { return "test key of " + k.Certificate.Subject.String() }

// Format prints what String does, whatever the verb.
func (k *TestKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue keeps the key out of logs.
func (k *TestKey) LogValue() slog.Value { return slog.StringValue(k.String()) }
