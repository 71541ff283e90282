package sign

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Arrange chooses the chain of a key out of certificates in any order: the one
// whose public key is pub first, each certificate's issuer behind it, a
// self-signed root last (CERT-10, CERT-11). What is not of the chain is left
// out. It does not look whether the chain may sign: CheckChain does. The error
// has code shuin.CodeInvalidInput and says which certificate is missing.
func Arrange(certs []*x509.Certificate, pub crypto.PublicKey) ([]*x509.Certificate, error) {
	own, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	var leaf *x509.Certificate
	for _, c := range certs {
		if !ok || !own.Equal(c.PublicKey) || leaf != nil && leaf.Equal(c) {
			continue
		}
		if leaf != nil {
			return nil, chainFault("leave the one that is to sign", "two certificates are the private key's: serial numbers %x and %x", leaf.SerialNumber, c.SerialNumber)
		}
		leaf = c
	}
	if leaf == nil {
		return nil, chainFault("give the certificate that was issued for this key",
			"none of the %d certificates belongs to the private key (the first one's subject is %q)", len(certs), subjectOfFirst(certs))
	}
	a := arrangement{certs: certs, seen: map[*x509.Certificate]bool{}, last: leaf}
	if !a.extend(leaf) {
		return nil, chainFault("add the issuer's certificate, and those above it up to the root",
			"the certificate of %q, which issued %q, is missing", a.last.Issuer, a.last.Subject)
	}
	return a.chain, nil
}

func subjectOfFirst(certs []*x509.Certificate) string {
	if len(certs) == 0 {
		return ""
	}
	return certs[0].Subject.String()
}

func chainFault(hint, format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// arrangement is a search from a leaf to a root. A certificate is tried once:
// what leads to no root from one place leads to none from another.
type arrangement struct {
	certs []*x509.Certificate
	seen  map[*x509.Certificate]bool
	chain []*x509.Certificate
	last  *x509.Certificate // the furthest from the leaf that was reached
	depth int
}

// extend puts c and all above it on the chain, if a root is reached.
func (a *arrangement) extend(c *x509.Certificate) bool {
	a.seen[c] = true
	a.chain = append(a.chain, c)
	if len(a.chain) > a.depth {
		a.last, a.depth = c, len(a.chain)
	}
	if issued(c, c) {
		return true
	}
	for _, above := range a.certs {
		if !a.seen[above] && !above.Equal(c) && issued(above, c) && a.extend(above) {
			return true
		}
	}
	a.chain = a.chain[:len(a.chain)-1]
	return false
}

// issued: c is signed in the name and with the key of by. A leaf that signed
// itself is no CA, so that its own signature is looked at alone.
func issued(by, c *x509.Certificate) bool {
	if !bytes.Equal(by.RawSubject, c.RawIssuer) {
		return false
	}
	if key, ok := by.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > limits.RSABits {
		return false
	}
	return by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
