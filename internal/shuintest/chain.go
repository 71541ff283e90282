package shuintest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"
)

// ChainOptions says what chain to make. The zero value gives a good
// code-signing chain of three P-256 certificates, valid for a day before and a
// year after now.
type ChainOptions struct {
	// Length is the number of certificates, 3 when zero. 1 is a self-signed
	// certificate that obeys the leaf rules (CERT-10).
	Length int
	// Key is the leaf's key type, CAKey that of every CA; P256 when zero.
	Key, CAKey KeyType
	// Keys gives the type per level, leaf first; it overrides Key and CAKey
	// where it has a value.
	Keys []KeyType
	// Family selects the keys: chains of different families share none, chains
	// of the same family share all of the same type and level.
	Family int
	// Subject is the leaf's; C=JP, ST=Tokyo, O=Example, CN=signer when empty.
	Subject pkix.Name
	// CA is the organization of every CA certificate; "Example" when empty.
	CA string
	// NotBefore and NotAfter hold for all certificates, unless Mutate says otherwise.
	NotBefore, NotAfter time.Time
	// OCSP and CRL are addresses named by every certificate except the root.
	OCSP, CRL []string
	// FreshestCRL are addresses of delta CRLs named by every certificate except the root.
	FreshestCRL []string
	// Timestamping makes a TSA chain: the leaf has the critical EKU timeStamping (CERT-08).
	Timestamping bool
	// Mutate changes a template before it is signed; level 0 is the leaf.
	// Extensions put into ExtraExtensions replace those made from the fields.
	Mutate func(level int, t *x509.Certificate)
	// Rewrite changes the signed part of a finished certificate; it is signed
	// anew with the same key. For what x509.CreateCertificate refuses to make.
	Rewrite func(level int, tbs *TBSCertificate)
}

// Chain is a certificate chain with all its keys, leaf first.
type Chain struct {
	Certs []*x509.Certificate
	DER   [][]byte
	Keys  []crypto.Signer
}

var serial atomic.Int64

// NextSerial is a serial number that no other certificate of the process has.
func NextSerial() *big.Int {
	return new(big.Int).Add(big.NewInt(0x5eed_0000_0000), big.NewInt(serial.Add(1)))
}

// MustChain is [NewChain] for options known to work; it panics on an error.
func MustChain(o ChainOptions) *Chain {
	c, err := NewChain(o)
	if err != nil {
		panic(err)
	}
	return c
}

// NewChain makes a chain.
func NewChain(o ChainOptions) (*Chain, error) {
	if o.Length == 0 {
		o.Length = 3
	}
	c := &Chain{Certs: make([]*x509.Certificate, o.Length), DER: make([][]byte, o.Length), Keys: make([]crypto.Signer, o.Length)}
	for level := o.Length - 1; level >= 0; level-- {
		if err := c.issue(o, level); err != nil {
			return nil, fmt.Errorf("make certificate %d: %w", level, err)
		}
	}
	return c, nil
}

// NewLeaf makes a chain with a new leaf, new serial number included, under the
// same CA certificates. Length is ignored.
func (c *Chain) NewLeaf(o ChainOptions) (*Chain, error) {
	n := len(c.Certs)
	if n < 2 {
		return nil, fmt.Errorf("a chain of %d has no issuer", n)
	}
	o.Length = n
	d := &Chain{
		Certs: append([]*x509.Certificate{nil}, c.Certs[1:]...),
		DER:   append([][]byte{nil}, c.DER[1:]...),
		Keys:  append([]crypto.Signer{nil}, c.Keys[1:]...),
	}
	if err := d.issue(o, 0); err != nil {
		return nil, err
	}
	return d, nil
}

func (o ChainOptions) keyType(level int) KeyType {
	if level < len(o.Keys) && o.Keys[level] != 0 {
		return o.Keys[level]
	}
	k := o.Key
	if level > 0 {
		k = o.CAKey
	}
	if k == 0 {
		k = P256
	}
	return k
}

func (c *Chain) issue(o ChainOptions, level int) error {
	kt := o.keyType(level)
	key, err := Key(kt, o.Family*64+level)
	if err != nil {
		return err
	}
	t, err := o.template(level, key)
	if err != nil {
		return err
	}
	if o.Mutate != nil {
		o.Mutate(level, t)
	}
	parent, signer := t, key
	if level+1 < o.Length {
		parent, signer = c.Certs[level+1], c.Keys[level+1]
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	if o.Rewrite != nil {
		if der, err = RewriteCertificate(der, signer, func(t *TBSCertificate) { o.Rewrite(level, t) }); err != nil {
			return err
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	c.Certs[level], c.DER[level], c.Keys[level] = cert, der, key
	return nil
}

func (o ChainOptions) template(level int, key crypto.Signer) (*x509.Certificate, error) {
	id, err := KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          NextSerial(),
		Subject:               o.subject(level),
		NotBefore:             o.NotBefore,
		NotAfter:              o.NotAfter,
		BasicConstraintsValid: true,
		SubjectKeyId:          id,
	}
	now := time.Now().UTC().Truncate(time.Second)
	if t.NotBefore.IsZero() {
		t.NotBefore = now.Add(-24 * time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = now.AddDate(1, 0, 0)
	}
	root := level == o.Length-1
	if level == 0 {
		t.KeyUsage = x509.KeyUsageDigitalSignature
		if o.Timestamping {
			t.ExtraExtensions = append(t.ExtraExtensions, ExtKeyUsage(true, OIDTimeStamping))
		} else {
			t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}
	} else {
		t.IsCA = true
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if !root || o.Length == 1 {
		t.OCSPServer, t.CRLDistributionPoints = o.OCSP, o.CRL
		if len(o.FreshestCRL) > 0 {
			t.ExtraExtensions = append(t.ExtraExtensions, FreshestCRL(o.FreshestCRL...))
		}
	}
	return t, nil
}

func (o ChainOptions) subject(level int) pkix.Name {
	if level == 0 {
		if s := o.Subject; len(s.ToRDNSequence()) > 0 {
			return s
		}
		cn := "signer"
		if o.Timestamping {
			cn = "tsa"
		}
		return pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: cn}
	}
	ca := o.CA
	if ca == "" {
		ca = "Example"
	}
	cn := fmt.Sprintf("%s Issuing CA %d", ca, level)
	if level == o.Length-1 {
		cn = ca + " Root CA"
	}
	return pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{ca}, CommonName: cn}
}

// Leaf is the signing certificate.
func (c *Chain) Leaf() *x509.Certificate { return c.Certs[0] }

// Root is the last certificate.
func (c *Chain) Root() *x509.Certificate { return c.Certs[len(c.Certs)-1] }

// Key is the leaf's private key.
func (c *Chain) Key() crypto.Signer { return c.Keys[0] }

// PEM is the whole chain, leaf first.
func (c *Chain) PEM() []byte { return CertsPEM(c.Certs...) }

// RootPEM is the root alone, as a trust store holds it.
func (c *Chain) RootPEM() []byte { return CertsPEM(c.Root()) }

// KeyPEM is the leaf's private key as PKCS #8 PEM.
func (c *Chain) KeyPEM() []byte {
	b, err := KeyPEM(c.Key())
	if err != nil {
		panic(err) // every key of ours can be marshalled
	}
	return b
}

// CertsPEM is certificates as PEM, in the order given.
func CertsPEM(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	return b.Bytes()
}

// KeyID is the SHA-1 key identifier of RFC 5280, section 4.2.1.2 (1).
func KeyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, err
	}
	sum := sha1.Sum(spki.Key.Bytes)
	return sum[:], nil
}
