// Package issue is a certificate authority for signing certificates: it lints
// a certificate before it exists (Prepare), issues it once (Issue), compares
// what was made with what was asked, and makes CRLs. It stores nothing and
// asks no clock; times are handed in. It makes no other certificates than CAs
// and code signing leaves, answers no OCSP, and does not know whether a serial
// number was given before: 16 random octets are.
package issue

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sync/atomic"
	"time"
)

// KeyType is the type of a CA's or leaf's key. The zero value is invalid.
type KeyType string

// The key types of authorities and leaves.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	RSA3072 KeyType = "rsa3072" // roots and intermediates brought along only
)

// RootCRLLife is how long the CRL is good for that a root makes in its
// ceremony, after which the root may go off-line.
const RootCRLLife = 180 * 24 * time.Hour

// Subject is what a server puts into a signing certificate; C, ST and O are
// required by the Notary Project's x509.subject identities.
type Subject struct {
	Country, Province, Organization string
	OrganizationalUnit              string // the account
	CommonName                      string // the profile
}

// Request is what a certificate is asked to be.
type Request struct {
	CA                  bool // an issuing CA; else a code signing leaf
	MaxPathLen          int  // CAs: how many CAs may follow below it
	Subject             Subject
	PublicKey           crypto.PublicKey
	Serial              *big.Int  // positive, at most 20 octets (RFC 5280 section 4.1.2.2)
	NotBefore, NotAfter time.Time // cut to whole seconds
	URI                 *url.URL  // leaves: the profile version's ARN; nil: none
	CRL                 string    // http address of the CRL this certificate would be listed in; empty: none
}

// Prepared is a certificate that passed the lint and may be issued once, by
// the authority that prepared it.
type Prepared struct {
	by        *Authority
	request   Request
	keyID     []byte
	tbs       []byte            // the TBSCertificate that was linted and will be signed
	algorithm []byte            // the AlgorithmIdentifier in it
	linted    *x509.Certificate // read back, without a signature
	spent     atomic.Bool
}

// Issued is a finished certificate, compared with its Request.
type Issued struct {
	Certificate *x509.Certificate
	Chain       []*x509.Certificate // it, then the authority's chain
}

// ErrSpent: a Prepared was issued, or tried to be, before.
var ErrSpent = errors.New("this prepared certificate was issued before")

// NewKey makes a key (P256 and P384 only).
func NewKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	return nil, fmt.Errorf("make key: no key of type %q is made here (p256, p384)", t)
}

// NewSerial is a random positive serial number of 16 octets.
func NewSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	// The top bit off: no 17th octet when encoded. The next one on: always 16.
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:]), nil
}

// seconds is t as a certificate can say it.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
