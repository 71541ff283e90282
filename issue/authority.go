package issue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

// Authority is a CA that can sign: Chain is its own certificate first, the
// root last. Key is a crypto.Signer (software), or, for a sign.Key in
// hardware, what [KeySigner] makes of it. Safe for concurrent use when Key is.
type Authority struct {
	chain     []*x509.Certificate
	key       crypto.Signer
	algorithm x509.SignatureAlgorithm
	// The span in which every certificate of the chain is valid.
	notBefore, notAfter time.Time
	template            atomic.Pointer[template] // of the last certificate prepared
}

// NewAuthority checks that key is the one of chain[0], that chain is valid CA
// by CA up to its self-signed root, and that it may sign certificates and
// CRLs. It makes one signature check for each certificate; where the upper
// chain is an Authority already, [Authority.Below] makes one in all.
func NewAuthority(chain []*x509.Certificate, key crypto.Signer) (*Authority, error) {
	if len(chain) == 0 {
		return nil, errors.New("authority: certificate chain is empty")
	}
	if slices.Contains(chain, nil) {
		return nil, errors.New("authority: certificate chain has a nil certificate")
	}
	a := &Authority{chain: slices.Clone(chain), key: key}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("authority %q: %w", chain[0].Subject, err)
	}
	if err := envelope.CheckLinks(a.chain, nil); err != nil {
		return nil, fmt.Errorf("authority %q: %w", chain[0].Subject, err)
	}
	if err := envelope.CheckRoot(a.chain); err != nil {
		return nil, fmt.Errorf("authority %q: %w", chain[0].Subject, err)
	}
	return a, nil
}

// Below is the authority of a CA certificate that a issued. Only the link
// between the two is checked: a's own chain was when a was made.
func (a *Authority) Below(cert *x509.Certificate, key crypto.Signer) (*Authority, error) {
	if cert == nil {
		return nil, errors.New("authority: no certificate")
	}
	b := &Authority{chain: append([]*x509.Certificate{cert}, a.chain...), key: key}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("authority %q: %w", cert.Subject, err)
	}
	if err := cert.CheckSignatureFrom(a.chain[0]); err != nil {
		return nil, fmt.Errorf("authority %q is not issued by %q: %w", cert.Subject, a.chain[0].Subject, err)
	}
	return b, nil
}

// NewRoot makes a self-signed root. Its path length is not limited.
func NewRoot(s Subject, key crypto.Signer, serial *big.Int, notBefore, notAfter time.Time) (*Authority, error) {
	if key == nil {
		return nil, errors.New("new root: no key")
	}
	r := Request{CA: true, MaxPathLen: -1, Subject: s, PublicKey: key.Public(), Serial: serial, NotBefore: notBefore, NotAfter: notAfter}
	algorithm, err := signatureAlgorithm(key)
	if err != nil {
		return nil, fmt.Errorf("new root: %w", err)
	}
	// A root is its own authority: self stands in until there is a certificate.
	self := &Authority{key: key, algorithm: algorithm, notBefore: seconds(notBefore), notAfter: seconds(notAfter)}
	p, err := self.Prepare(r)
	if err != nil {
		return nil, fmt.Errorf("new root: %w", err)
	}
	made, err := self.Issue(context.Background(), p)
	if err != nil {
		return nil, fmt.Errorf("new root: %w", err)
	}
	return NewAuthority(made.Chain, key)
}

// NewCA is Prepare, Issue and Below in one: a CA below a whose key is key and
// whose certificate says what r says. r.CA and r.PublicKey are set from them.
func (a *Authority) NewCA(ctx context.Context, r Request, key crypto.Signer) (*Authority, error) {
	if key == nil {
		return nil, errors.New("new CA: no key")
	}
	r.CA, r.PublicKey = true, key.Public()
	p, err := a.Prepare(r)
	if err != nil {
		return nil, fmt.Errorf("new CA: %w", err)
	}
	made, err := a.Issue(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("new CA: %w", err)
	}
	return a.Below(made.Certificate, key)
}

// Chain is the authority's certificate first, the root last. Not to be changed.
func (a *Authority) Chain() []*x509.Certificate { return a.chain }

// Validity is the span in which every certificate of the chain is valid, and
// which certificates it issues must lie in.
func (a *Authority) Validity() (notBefore, notAfter time.Time) { return a.notBefore, a.notAfter }

// check holds the chain against the rules that need no signature check, and
// the key against its certificate.
func (a *Authority) check() error {
	cert := a.chain[0]
	if a.key == nil {
		return errors.New("no key")
	}
	if len(a.chain)+1 > limits.ChainLength {
		return fmt.Errorf("chain of %d certificates leaves no room for a leaf, limit %d", len(a.chain), limits.ChainLength)
	}
	var err error
	if a.algorithm, err = signatureAlgorithm(a.key); err != nil {
		return err
	}
	if !sameKey(a.key.Public(), cert.PublicKey) {
		return errors.New("the private key is not the certificate's")
	}
	if err := checkCAChain(a.chain); err != nil {
		return err
	}
	switch {
	case cert.KeyUsage&x509.KeyUsageCRLSign == 0:
		return errors.New("key usage lacks cRLSign: what it issues could not be revoked")
	case len(cert.SubjectKeyId) == 0:
		return errors.New("certificate has no subject key identifier, which its CRLs must name (RFC 5280 section 5.2.1)")
	}
	for _, c := range a.chain[:len(a.chain)-1] {
		if !forCodeSigning(c) {
			return fmt.Errorf("certificate %q is for other uses than code signing (extended key usage)", c.Subject)
		}
	}
	a.notBefore, a.notAfter = cert.NotBefore, cert.NotAfter
	for _, c := range a.chain[1:] {
		if c.NotBefore.After(a.notBefore) {
			a.notBefore = c.NotBefore
		}
		if c.NotAfter.Before(a.notAfter) {
			a.notAfter = c.NotAfter
		}
	}
	if a.notAfter.Before(a.notBefore) {
		return errors.New("no time at which the whole chain is valid")
	}
	return nil
}

// forCodeSigning: a CA that names uses hands down no others. Notary verifiers
// do not look at it; those that follow a path as TLS does would refuse.
func forCodeSigning(ca *x509.Certificate) bool {
	if len(ca.ExtKeyUsage)+len(ca.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(ca.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) || slices.Contains(ca.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// signatureAlgorithm is what key signs certificates and CRLs with.
func signatureAlgorithm(key crypto.Signer) (x509.SignatureAlgorithm, error) {
	if k, ok := key.(*keySigner); ok {
		return k.signatureAlgorithm(), nil
	}
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			return x509.ECDSAWithSHA256, nil
		case elliptic.P384():
			return x509.ECDSAWithSHA384, nil
		case elliptic.P521():
			return x509.ECDSAWithSHA512, nil
		}
		return 0, errors.New("key is on another curve than P-256, P-384 or P-521")
	case *rsa.PublicKey:
		if pub.N.BitLen() < 2048 {
			return 0, fmt.Errorf("RSA key has %d bits, want 2048 or more", pub.N.BitLen())
		}
		return x509.SHA256WithRSA, nil
	}
	return 0, fmt.Errorf("key of type %T cannot be an authority's (ECDSA, RSA)", key.Public())
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
