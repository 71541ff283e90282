package verify

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // many responders name certificates by it; it protects nothing there
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/shuin/shuin/envelope"
)

// What golang.org/x/crypto/ocsp does not tell, or tells too late: whom a
// response is about, and whose key its signature is about to be checked with
// (RFC 6960, section 4.2.1).
type (
	ocspOuter struct {
		Status   asn1.Enumerated
		Response struct {
			Type  asn1.ObjectIdentifier
			Basic []byte
		} `asn1:"explicit,tag:0,optional"`
	}
	ocspBasic struct {
		Data         ocspData
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	ocspData struct {
		Version   int `asn1:"optional,default:0,explicit,tag:0"`
		Responder asn1.RawValue
		Produced  asn1.RawValue
		Responses []ocspSingle
	}
	ocspSingle struct{ ID ocspCertID } // and more, which is not read here
	ocspCertID struct {
		Hash       pkix.AlgorithmIdentifier
		IssuerName []byte
		IssuerKey  []byte
		Serial     *big.Int
	}
)

var ocspHashes = []struct {
	id   asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, crypto.SHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

// outerOCSP checks what has to hold before the response's own signature is
// looked at: that it is about cert and not one of the same number from another
// issuer, and that the key of the certificate that came with it is of bearable
// size and certified by issuer. That certificate is returned; nil when there
// is none. A response that says it is none passes.
func outerOCSP(response []byte, cert, issuer *x509.Certificate) (*x509.Certificate, error) {
	var outer ocspOuter
	if err := unmarshalAll(response, &outer); err != nil {
		return nil, err
	}
	if outer.Status != 0 {
		return nil, nil
	}
	var basic ocspBasic
	if err := unmarshalAll(outer.Response.Basic, &basic); err != nil {
		return nil, err
	}
	if err := aboutCert(basic.Data.Responses, cert, issuer); err != nil {
		return nil, err
	}
	if len(basic.Certificates) == 0 {
		return nil, nil
	}
	// Of several only the first counts, as in golang.org/x/crypto/ocsp.
	delegate, err := x509.ParseCertificate(basic.Certificates[0].FullBytes)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(delegate.Raw, issuer.Raw) {
		return issuer, nil // it answers itself, and encloses what we have: who certified it is its own affair
	}
	if err := envelope.CheckKeySize(delegate); err != nil {
		return nil, err
	}
	if err := issuer.CheckSignature(delegate.SignatureAlgorithm, delegate.RawTBSCertificate, delegate.Signature); err != nil {
		return nil, fmt.Errorf("it comes with a certificate that %q did not issue: %w", issuer.Subject, err)
	}
	return delegate, nil
}

// aboutCert looks at the first answer with cert's serial number, which is the
// one that counts.
func aboutCert(answers []ocspSingle, cert, issuer *x509.Certificate) error {
	for _, a := range answers {
		if a.ID.Serial == nil || a.ID.Serial.Cmp(cert.SerialNumber) != 0 {
			continue
		}
		for _, h := range ocspHashes {
			if !a.ID.Hash.Algorithm.Equal(h.id) {
				continue
			}
			key, err := publicKeyBits(issuer)
			if err != nil {
				return err
			}
			if !bytes.Equal(digestOf(h.hash, issuer.RawSubject), a.ID.IssuerName) || !bytes.Equal(digestOf(h.hash, key), a.ID.IssuerKey) {
				return errors.New("it is about another issuer's certificate with the same serial number")
			}
			return nil
		}
		return fmt.Errorf("it names the issuer by hash algorithm %v, which is not supported", a.ID.Hash.Algorithm)
	}
	return errors.New("it is not about the certificate")
}

func digestOf(h crypto.Hash, data []byte) []byte {
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// publicKeyBits is the value of the subjectPublicKey of cert.
func publicKeyBits(cert *x509.Certificate) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if err := unmarshalAll(cert.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil, err
	}
	return info.Key.RightAlign(), nil
}

// unmarshalAll reads all of der into v.
func unmarshalAll(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	return errors.Join(err, trailing(rest))
}
