// Package issue is a certificate authority for signing certificates: it lints
// a certificate before it exists (Prepare), issues it once (Issue), compares
// what was made with what was asked, and makes CRLs. It stores nothing and
// asks no clock; times are handed in.
package issue

import (
	"context"
	"crypto"
	"crypto/x509"
	"math/big"
	"net/url"
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

// NewKey makes a key (P256 and P384 only).
func NewKey(t KeyType) (crypto.Signer, error) { panic("unimplemented") }

// Authority is a CA that can sign: Chain is its own certificate first, the
// root last. Key is a crypto.Signer (software), or, for a sign.Key in
// hardware, what [KeySigner] makes of it. Safe for concurrent use when Key is.
type Authority struct {
	chain []*x509.Certificate
	key   crypto.Signer
}

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
	Serial              *big.Int // positive, at most 20 octets (RFC 5280 section 4.1.2.2)
	NotBefore, NotAfter time.Time
	URI                 *url.URL // leaves: the profile version's ARN; nil: none
	CRL                 string   // address of the CRL this certificate would be listed in; empty: none
}

// Prepared is a certificate that passed the lint and may be issued once.
type Prepared struct{ unexported }
type unexported struct{}

// Issued is a finished certificate, compared with its Request.
type Issued struct {
	Certificate *x509.Certificate
	Chain       []*x509.Certificate // it, then the authority's chain
}

// Revoked is one line of a CRL.
type Revoked struct {
	Serial         *big.Int
	At             time.Time
	Reason         int       // RFC 5280 section 5.3.1; 0: unspecified, and then left out
	InvalidityDate time.Time // zero: none (RFC 5280 section 5.3.2)
}

// NewAuthority checks that key is the one of chain[0], that chain is valid CA
// by CA up to its self-signed root, and that it may sign certificates and CRLs.
func NewAuthority(chain []*x509.Certificate, key crypto.Signer) (*Authority, error) {
	panic("unimplemented")
}

// NewRoot makes a self-signed root.
func NewRoot(s Subject, key crypto.Signer, serial *big.Int, notBefore, notAfter time.Time) (*Authority, error) {
	panic("unimplemented")
}

// NewSerial is a random positive serial number of 16 octets.
func NewSerial() (*big.Int, error) { panic("unimplemented") }

// Chain is the authority's certificate first, the root last. Not to be changed.
func (a *Authority) Chain() []*x509.Certificate { return a.chain }

// Prepare lints: every rule of envelope's certificate checks, and ours
// (validity within the authority's, subject complete, serial, URI, CRL address).
func (a *Authority) Prepare(r Request) (*Prepared, error) { panic("unimplemented") }

// Issue spends p (a second time is an error), signs, and compares every field
// of the result with the Request.
func (a *Authority) Issue(ctx context.Context, p *Prepared) (*Issued, error) { panic("unimplemented") }

// CRL makes a full CRL, DER (RFC 5280 section 5).
func (a *Authority) CRL(revoked []Revoked, number *big.Int, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	panic("unimplemented")
}
