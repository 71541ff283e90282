package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // SHA-1 certificates are what CERT-12 forbids
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"hash"
	"io"
	"log"
	"math/big"
	"strings"
	"time"
)

//go:embed keys.pem
var rsaKeys []byte

// fixed points in time; every vector's own time is now unless it says so
var (
	caFrom   = date(2020, 1, 1)
	caTo     = date(2050, 1, 1)
	leafFrom = date(2024, 1, 1)
	leafTo   = date(2034, 1, 1)
	signedAt = date(2025, 3, 1)
	now      = time.Date(2025, 6, 15, 12, 0, 0, 0, time.UTC)
)

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// key is a private key whose signatures take no randomness.
type key struct {
	crypto.Signer
	name string
}

var keyCache = map[string]*key{}

// newKey derives an EC key from its name ("p256/leaf"), or takes an RSA key
// from keys.pem ("rsa2048/0").
func newKey(name string) *key {
	if k, ok := keyCache[name]; ok {
		return k
	}
	kind, which, _ := strings.Cut(name, "/")
	k := &key{name: name}
	switch kind {
	case "p224", "p256", "p384", "p521":
		curve := map[string]elliptic.Curve{"p224": elliptic.P224(), "p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}[kind]
		d := make([]byte, 0, 80)
		for i := 0; len(d) < 66; i++ {
			h := sha256.Sum256([]byte{byte(i), byte(len(name))})
			g := sha256.Sum256(append(h[:], name...))
			d = append(d, g[:]...)
		}
		size := (curve.Params().BitSize + 7) / 8
		d = d[:size]
		d[0] &= 0x00 // below every order
		k.Signer = must(ecdsa.ParseRawPrivateKey(curve, d))
	default:
		k.Signer = rsaKey(kind, which)
	}
	keyCache[name] = k
	return k
}

func rsaKey(kind, which string) *rsa.PrivateKey {
	bits := map[string]int{"rsa1024": 1024, "rsa2041": 2041, "rsa2048": 2048, "rsa2048e": 2048, "rsa3072": 3072, "rsa4096": 4096}[kind]
	n := len(which) // "", "x", "xx": the first, second and third of that size
	for rest := rsaKeys; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			log.Fatalf("keys.pem has no %s/%s", kind, which)
		}
		k := must(x509.ParsePKCS8PrivateKey(block.Bytes)).(*rsa.PrivateKey)
		if k.N.BitLen() != bits || (k.E != 65537) != (kind == "rsa2048e") {
			continue
		}
		if n == 0 {
			return k
		}
		n--
	}
}

// Sign ignores the source of randomness.
func (k *key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(nil, digest, opts)
}

// raw signs message as envelopes want it: r||s for EC, PSS for RSA.
func (k *key) raw(h crypto.Hash, message []byte) []byte {
	w := h.New()
	w.Write(message)
	digest := w.Sum(nil)
	switch p := k.Signer.(type) {
	case *ecdsa.PrivateKey:
		der := must(p.Sign(nil, digest, h))
		var rs struct{ R, S *big.Int }
		must(asn1.Unmarshal(der, &rs))
		size := (p.Curve.Params().BitSize + 7) / 8
		out := make([]byte, 2*size)
		rs.R.FillBytes(out[:size])
		rs.S.FillBytes(out[size:])
		return out
	case *rsa.PrivateKey:
		return signPSS(p, h, digest, h.Size())
	}
	panic("unknown key")
}

// signPSS is RSASSA-PSS (RFC 8017 section 8.1.1) with a salt made of the
// digest, so that output is the same every time.
func signPSS(k *rsa.PrivateKey, h crypto.Hash, digest []byte, saltLen int) []byte {
	emBits := k.N.BitLen() - 1
	emLen := (emBits + 7) / 8
	salt := mgf1(h.New(), append([]byte("salt"), digest...), saltLen)
	w := h.New()
	w.Write(make([]byte, 8))
	w.Write(digest)
	w.Write(salt)
	hh := w.Sum(nil)
	db := make([]byte, emLen-h.Size()-1)
	db[len(db)-saltLen-1] = 1
	copy(db[len(db)-saltLen:], salt)
	for i, m := range mgf1(h.New(), hh, len(db)) {
		db[i] ^= m
	}
	db[0] &= 0xff >> (8*emLen - emBits)
	em := append(append(db, hh...), 0xbc)
	s := new(big.Int).Exp(new(big.Int).SetBytes(em), k.D, k.N)
	return s.FillBytes(make([]byte, k.Size()))
}

func mgf1(h hash.Hash, seed []byte, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		h.Reset()
		h.Write(seed)
		h.Write(binary.BigEndian.AppendUint32(nil, i))
		out = h.Sum(out)
	}
	return out[:n]
}

// cert is a certificate with its key.
type cert struct {
	*x509.Certificate
	key *key
}

// spec is what a certificate is made from. Zero fields take the defaults of
// leafSpec or caSpec.
type spec struct {
	*x509.Certificate
	key    *key
	change func(tbs *tbsCertificate) // after signing: the certificate is signed again
	sha1   bool
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
)

func name(cn string) pkix.Name {
	return pkix.Name{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: cn}
}

func serial(s string) *big.Int {
	h := sha256.Sum256([]byte(s))
	h[0] &= 0x7f
	return new(big.Int).SetBytes(h[:8])
}

func leafSpec(k *key, cn string) *spec {
	return &spec{key: k, Certificate: &x509.Certificate{
		SerialNumber: serial(cn + k.name), Subject: name(cn), NotBefore: leafFrom, NotAfter: leafTo,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}}
}

func caSpec(k *key, cn string) *spec {
	return &spec{key: k, Certificate: &x509.Certificate{
		SerialNumber: serial(cn + k.name), Subject: name(cn), NotBefore: caFrom, NotAfter: caTo,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}}
}

// issue makes the certificate; parent nil: self-signed.
func (s *spec) issue(parent *cert) *cert {
	p := &cert{Certificate: s.Certificate, key: s.key}
	if parent != nil {
		p = parent
	}
	der := must(x509.CreateCertificate(nil, s.Certificate, p.Certificate, s.key.Public(), p.key))
	if s.change != nil || s.sha1 {
		der = resign(der, p.key, s.change, s.sha1)
	}
	return &cert{Certificate: must(x509.ParseCertificate(der)), key: s.key}
}

// tbsCertificate is RFC 5280 section 4.1 as far as it is changed here.
type tbsCertificate struct {
	Raw          asn1.RawContent
	Version      int `asn1:"optional,explicit,default:0,tag:0"`
	SerialNumber *big.Int
	Algorithm    pkix.AlgorithmIdentifier
	Issuer       asn1.RawValue
	Validity     asn1.RawValue
	Subject      asn1.RawValue
	PublicKey    asn1.RawValue
	Extensions   []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

// drop removes an extension.
func (t *tbsCertificate) drop(id asn1.ObjectIdentifier) {
	var kept []pkix.Extension
	for _, e := range t.Extensions {
		if !e.Id.Equal(id) {
			kept = append(kept, e)
		}
	}
	t.Extensions = kept
}

// critical sets the criticality of an extension.
func (t *tbsCertificate) critical(id asn1.ObjectIdentifier, c bool) {
	for i := range t.Extensions {
		if t.Extensions[i].Id.Equal(id) {
			t.Extensions[i].Critical = c
		}
	}
}

func resign(der []byte, by *key, change func(*tbsCertificate), useSHA1 bool) []byte {
	var c struct {
		TBS       tbsCertificate
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	must(asn1.Unmarshal(der, &c))
	if change != nil {
		change(&c.TBS)
	}
	h := crypto.SHA256
	if useSHA1 {
		h = crypto.SHA1
		oid := asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1} // ecdsa-with-SHA1
		if _, ok := by.Signer.(*rsa.PrivateKey); ok {
			oid = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}
		}
		c.TBS.Algorithm.Algorithm, c.Algorithm.Algorithm = oid, oid
	}
	c.TBS.Raw = nil
	tbs := must(asn1.Marshal(c.TBS))
	var digest []byte
	if useSHA1 {
		d := sha1.Sum(tbs) //nolint:gosec // as above
		digest = d[:]
	} else {
		d := sha256.Sum256(tbs)
		digest = d[:]
	}
	sig := must(by.Sign(nil, digest, h))
	c.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	c.TBS.Raw = tbs
	return must(asn1.Marshal(c))
}

// Chains, leaf first. CAs are P-256 whatever the leaf is: small and quick.
var (
	rootCA  = caSpec(newKey("p256/root"), "Example Root").issue(nil)
	issuing = caSpec(newKey("p256/issuing"), "Example Issuing CA").issue(rootCA)
	leaf    = leafSpec(newKey("p256/leaf"), "Example Signer").issue(issuing)
	// strangerRoot is a root nobody trusts, with the same kind of chain.
	strangerRoot = caSpec(newKey("p256/stranger-root"), "Stranger Root").issue(nil)
	strangerLeaf = leafSpec(newKey("p256/stranger-leaf"), "Example Signer").issue(strangerRoot)
	// oldLeaf ended in 2025-04, after it signed and before now.
	oldLeaf = ended(leafSpec(newKey("p256/old-leaf"), "Example Signer"), date(2025, 4, 1)).issue(issuing)
)

func ended(s *spec, t time.Time) *spec { s.NotAfter = t; return s }

func chainOf(kind string) []*cert {
	switch kind {
	case "p256":
		return []*cert{leaf, issuing, rootCA}
	case "rsa2041", "rsa2048", "rsa3072", "rsa4096":
		return []*cert{leafSpec(newKey(kind), "Example Signer").issue(issuing), issuing, rootCA}
	}
	return []*cert{leafSpec(newKey(kind+"/leaf"), "Example Signer").issue(issuing), issuing, rootCA}
}

func under(l *spec, cas ...*cert) []*cert { return append([]*cert{l.issue(cas[0])}, cas...) }

func der(chain []*cert) [][]byte {
	out := make([][]byte, len(chain))
	for i, c := range chain {
		out[i] = c.Raw
	}
	return out
}

func pemOf(chain ...*cert) []byte {
	var b bytes.Buffer
	for _, c := range chain {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}
