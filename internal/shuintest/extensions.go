package shuintest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// Object identifiers of extensions and extended key usages.
var (
	OIDKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	OIDBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	OIDExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	OIDFreshestCRL      = asn1.ObjectIdentifier{2, 5, 29, 46}
	OIDDeltaCRL         = asn1.ObjectIdentifier{2, 5, 29, 27}
	OIDIssuingPoint     = asn1.ObjectIdentifier{2, 5, 29, 28}
	OIDInvalidityDate   = asn1.ObjectIdentifier{2, 5, 29, 24}
	OIDOCSPNoCheck      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

	OIDAnyUsage        = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	OIDServerAuth      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	OIDClientAuth      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	OIDCodeSigning     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	OIDEmailProtection = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}
	OIDTimeStamping    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	OIDOCSPSigning     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}
)

// mustMarshal is asn1.Marshal of a value known to be right.
func mustMarshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	return b
}

// ExtKeyUsage is an extended key usage extension.
func ExtKeyUsage(critical bool, oids ...asn1.ObjectIdentifier) pkix.Extension {
	return pkix.Extension{Id: OIDExtKeyUsage, Critical: critical, Value: mustMarshal(oids)}
}

// KeyUsage is a key usage extension with the criticality of your choice
// (x509.CreateCertificate always makes it critical).
func KeyUsage(critical bool, usage x509.KeyUsage) pkix.Extension {
	// RFC 5280, section 4.2.1.3: bit 0 is the highest of the first octet.
	var raw [2]byte
	last := 0
	for i := range 9 {
		if usage&(1<<i) != 0 {
			raw[i/8] |= 0x80 >> (i % 8)
			last = i + 1
		}
	}
	bits := asn1.BitString{Bytes: raw[:(last+7)/8], BitLength: last}
	return pkix.Extension{Id: OIDKeyUsage, Critical: critical, Value: mustMarshal(bits)}
}

// BasicConstraints is a basic constraints extension; pathLen below zero leaves
// the path length out.
func BasicConstraints(critical, isCA bool, pathLen int) pkix.Extension {
	value := struct {
		IsCA    bool `asn1:"optional"`
		PathLen int  `asn1:"optional,default:-1"`
	}{isCA, pathLen}
	return pkix.Extension{Id: OIDBasicConstraints, Critical: critical, Value: mustMarshal(value)}
}

// FreshestCRL is a freshest CRL extension (RFC 5280, sections 4.2.1.15 and
// 5.2.6), for a certificate or a base CRL.
func FreshestCRL(urls ...string) pkix.Extension {
	return pkix.Extension{Id: OIDFreshestCRL, Value: mustMarshal(distributionPoints(urls))}
}

type distributionPointName struct {
	FullName []asn1.RawValue `asn1:"optional,tag:0"`
}

type distributionPoint struct {
	Name distributionPointName `asn1:"optional,tag:0"`
}

func distributionPoints(urls []string) []distributionPoint {
	var points []distributionPoint
	for _, u := range urls {
		points = append(points, distributionPoint{Name: distributionPointName{
			FullName: []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u)}},
		}})
	}
	return points
}

// TBSCertificate is the signed part of a certificate, for [RewriteCertificate].
type TBSCertificate struct {
	Raw                asn1.RawContent
	Version            int `asn1:"optional,explicit,default:0,tag:0"`
	SerialNumber       *big.Int
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Issuer             asn1.RawValue
	Validity           asn1.RawValue
	Subject            asn1.RawValue
	PublicKey          asn1.RawValue
	UniqueID           asn1.BitString   `asn1:"optional,tag:1"`
	SubjectUniqueID    asn1.BitString   `asn1:"optional,tag:2"`
	Extensions         []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

type certificate struct {
	TBS       TBSCertificate
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

// Signature algorithm identifiers of certificates.
var (
	SHA1WithRSA     = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, Parameters: asn1.NullRawValue}
	SHA256WithRSA   = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}
	ECDSAWithSHA1   = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}}
	ECDSAWithSHA256 = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	ECDSAWithSHA384 = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}}
	ECDSAWithSHA512 = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}}
)

// RewriteCertificate changes the signed part of a certificate and signs it
// again with key, in whatever algorithm change leaves in SignatureAlgorithm.
func RewriteCertificate(der []byte, key crypto.Signer, change func(*TBSCertificate)) ([]byte, error) {
	var c certificate
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		return nil, err
	}
	change(&c.TBS)
	c.TBS.Raw = nil
	c.Algorithm = c.TBS.SignatureAlgorithm
	tbs, err := asn1.Marshal(c.TBS)
	if err != nil {
		return nil, err
	}
	c.TBS.Raw = tbs
	sig, err := signPKIX(key, c.Algorithm, tbs)
	if err != nil {
		return nil, err
	}
	c.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	return asn1.Marshal(c)
}

// WithSHA1 is a ChainOptions.Rewrite that signs the certificate of one level
// with SHA-1 (CERT-12).
func WithSHA1(level int) func(int, *TBSCertificate) {
	return func(l int, t *TBSCertificate) {
		if l != level {
			return
		}
		if t.SignatureAlgorithm.Algorithm.Equal(SHA256WithRSA.Algorithm) {
			t.SignatureAlgorithm = SHA1WithRSA
		} else {
			t.SignatureAlgorithm = ECDSAWithSHA1
		}
	}
}

// pkixHashes are the hashes of the algorithms above and of the RSA ones that
// x509.CreateCertificate chooses.
var pkixHashes = map[string]crypto.Hash{
	SHA1WithRSA.Algorithm.String():     crypto.SHA1,
	ECDSAWithSHA1.Algorithm.String():   crypto.SHA1,
	SHA256WithRSA.Algorithm.String():   crypto.SHA256,
	"1.2.840.113549.1.1.12":            crypto.SHA384,
	"1.2.840.113549.1.1.13":            crypto.SHA512,
	ECDSAWithSHA256.Algorithm.String(): crypto.SHA256,
	ECDSAWithSHA384.Algorithm.String(): crypto.SHA384,
	ECDSAWithSHA512.Algorithm.String(): crypto.SHA512,
}

// signPKIX signs as certificates and CMS do: RSA PKCS #1 v1.5 or ECDSA in DER.
func signPKIX(key crypto.Signer, alg pkix.AlgorithmIdentifier, data []byte) ([]byte, error) {
	hash, ok := pkixHashes[alg.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("cannot sign with algorithm %s", alg.Algorithm)
	}
	h := hash.New()
	h.Write(data)
	switch key.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey:
		return key.Sign(rand.Reader, h.Sum(nil), hash)
	}
	return nil, fmt.Errorf("cannot sign with a %T", key)
}
