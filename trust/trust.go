// Package trust holds named certificate sets (trust stores) and matches the
// subject of a certificate against trusted identities
// (trust-store-trust-policy.md). A store confers no trust unless a trust
// policy statement names it. It reads no disk: internal/notationdir does.
package trust

import (
	"crypto/sha256"
	"crypto/x509"
)

// StoreType is the type of a trust store.
type StoreType string

// The trust store types.
const (
	CA               StoreType = "ca"
	SigningAuthority StoreType = "signingAuthority"
	TSA              StoreType = "tsa"
)

// StoreName is "type:name", as trust policies write it.
type StoreName struct {
	Type StoreType
	Name string
}

// ParseStoreName reads "ca:acme". Names are [a-zA-Z0-9_.-]+.
func ParseStoreName(s string) (StoreName, error) { panic("unimplemented") }

func (n StoreName) String() string { return string(n.Type) + ":" + n.Name }

// Store is a loaded trust store: certificates, and roots pinned by the SHA-256
// fingerprint of their DER. Immutable after NewStore.
type Store struct {
	name   StoreName
	certs  []*x509.Certificate
	pinned map[[sha256.Size]byte]struct{}
	hash   [sha256.Size]byte // over name, certificates and pins: part of cache keys
}

// NewStore checks the certificates (CA or self-signed; for TSA self-issued
// roots) and makes a store. A store without certificates and pins is refused.
func NewStore(name StoreName, certs []*x509.Certificate, pinned [][sha256.Size]byte) (*Store, error) {
	panic("unimplemented")
}

func (s *Store) Name() StoreName                   { return s.name }
func (s *Store) Certificates() []*x509.Certificate { return s.certs }
func (s *Store) Hash() [sha256.Size]byte           { return s.hash }

// Anchors reports the index in chain (DER, leaf first) of the first
// certificate that equals one of the store's, or whose fingerprint is pinned
// (pins match the last certificate only); -1 when none does.
func (s *Store) Anchors(chain [][]byte) int { panic("unimplemented") }

// Identity is a parsed trusted identity: "*", or "x509.subject:" and a
// distinguished name, or another prefix left to plugins.
type Identity struct {
	text   string
	prefix string
	dn     map[string]string
}

// ParseIdentity reads a trustedIdentities value (TI-01, TI-02, TI-04): full
// or partial subject with C, ST (or S) and O; no multi-valued RDN, no
// duplicate types, no "=#".
func ParseIdentity(s string) (Identity, error) { panic("unimplemented") }

func (i Identity) String() string { return i.text }

// Prefix is "*", "x509.subject" or whatever stands before the first colon.
func (i Identity) Prefix() string { return i.prefix }

// Overlaps reports whether one of i and o matches everything the other does (TI-03).
func (i Identity) Overlaps(o Identity) bool { panic("unimplemented") }

// Matches reports whether every RDN of i stands in the certificate's subject.
func (i Identity) Matches(cert *x509.Certificate) (bool, error) { panic("unimplemented") }
