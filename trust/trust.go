// Package trust holds named certificate sets (trust stores) and matches the
// subject of a certificate against trusted identities
// (trust-store-trust-policy.md). A store confers no trust unless a trust
// policy statement names it. It builds no chains, checks no validity period
// and reads no disk: internal/notationdir loads stores, package verify judges.
package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// StoreType is the type of a trust store.
type StoreType string

// The trust store types (trust-store-trust-policy.md, "Trust Store").
const (
	CA               StoreType = "ca"
	SigningAuthority StoreType = "signingAuthority"
	TSA              StoreType = "tsa"
)

// StoreTypes lists the types in the order they are shown.
func StoreTypes() []StoreType { return []StoreType{CA, SigningAuthority, TSA} }

// Valid reports whether t is one of the three types.
func (t StoreType) Valid() bool { return t == CA || t == SigningAuthority || t == TSA }

// StoreName is "type:name", as trust policies write it.
type StoreName struct {
	Type StoreType
	Name string
}

// ErrMalformedStoreName is in the tree of the error of [ParseStoreName] when
// the value is not "type:name" at all.
var ErrMalformedStoreName = errors.New("malformed trust store value")

// ParseStoreName reads "ca:acme". Names are [a-zA-Z0-9_.-]+, and neither "."
// nor "..", which would leave the directory of their type.
func ParseStoreName(s string) (StoreName, error) {
	typ, name, ok := strings.Cut(s, ":")
	if !ok {
		return StoreName{}, fmt.Errorf("%w %q. The required format is <TrustStoreType>:<TrustStoreName>", ErrMalformedStoreName, s)
	}
	if !StoreType(typ).Valid() {
		return StoreName{}, fmt.Errorf("an unsupported trust store type %q in trust store value %q", typ, s)
	}
	if !ValidName(name) {
		return StoreName{}, fmt.Errorf("an unsupported trust store name %q in trust store value %q. Named store name needs to follow [a-zA-Z0-9_.-]+ format", name, s)
	}
	return StoreName{Type: StoreType(typ), Name: name}, nil
}

// ValidName reports whether s can name a store, a test key or a file in a
// store: [a-zA-Z0-9_.-]+, and neither "." nor "..".
func ValidName(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

func (n StoreName) String() string { return string(n.Type) + ":" + n.Name }

// Store is a loaded trust store: certificates, and roots pinned by the SHA-256
// fingerprint of their DER. Immutable after [NewStore]; safe for concurrent use.
type Store struct {
	name   StoreName
	certs  []*x509.Certificate
	pinned [][sha256.Size]byte // sorted
	hash   [sha256.Size]byte   // over name, certificates and pins: part of cache keys
}

// NewStore checks the certificates with [CheckCertificate] and makes a store.
// A store without certificates and pins is refused.
func NewStore(name StoreName, certs []*x509.Certificate, pinned [][sha256.Size]byte) (*Store, error) {
	if !name.Type.Valid() {
		return nil, fmt.Errorf("unsupported trust store type: %s", name.Type)
	}
	if !ValidName(name.Name) {
		return nil, fmt.Errorf("trust store name needs to follow [a-zA-Z0-9_.-]+ format, %s is invalid", name.Name)
	}
	if len(certs)+len(pinned) == 0 {
		return nil, fmt.Errorf("no x509 certificates were found in trust store %q of type %q", name.Name, name.Type)
	}
	for _, c := range certs {
		if err := CheckCertificate(name.Type, c); err != nil {
			return nil, err
		}
	}
	s := &Store{name: name, certs: slices.Clone(certs), pinned: slices.Clone(pinned)}
	slices.SortFunc(s.pinned, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	s.hash = s.sum()
	return s, nil
}

// CheckCertificate says whether a store of type t may hold cert: a CA
// certificate or a self-signed one (TS-01); for [TSA] a self-issued root CA.
// It makes at most one signature check, and none for a CA in another store.
func CheckCertificate(t StoreType, cert *x509.Certificate) error {
	if t == TSA {
		if err := cert.CheckSignatureFrom(cert); err != nil {
			return fmt.Errorf("certificate with subject %q is not a root CA certificate: %w", cert.Subject, err)
		}
		if !bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			return fmt.Errorf("certificate with subject %q is not a root CA certificate: issuer (%s) and subject (%s) are not the same", cert.Subject, cert.Issuer, cert.Subject)
		}
		return nil
	}
	if cert.IsCA {
		return nil
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return fmt.Errorf("certificate with subject %q is not a CA certificate or self-signed signing certificate", cert.Subject)
	}
	return nil
}

// sum is independent of the order in which files were read.
func (s *Store) sum() [sha256.Size]byte {
	prints := make([][sha256.Size]byte, 0, len(s.certs))
	for _, c := range s.certs {
		prints = append(prints, sha256.Sum256(c.Raw))
	}
	slices.SortFunc(prints, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	h.Write([]byte(s.name.String()))
	for _, list := range [][][sha256.Size]byte{prints, s.pinned} {
		var n [9]byte // a zero byte, which no name holds, and the length
		binary.BigEndian.PutUint64(n[1:], uint64(len(list)))
		h.Write(n[:])
		for _, p := range list {
			h.Write(p[:])
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Name is the store's type and name.
func (s *Store) Name() StoreName { return s.name }

// Certificates are the store's certificates, not to be changed. A store of
// pins alone has none.
func (s *Store) Certificates() []*x509.Certificate { return s.certs }

// Hash identifies the store's name and content, whatever the order of its files.
func (s *Store) Hash() [sha256.Size]byte { return s.hash }

// Anchors reports the index in chain (DER, leaf first) of the first
// certificate that equals one of the store's, or whose fingerprint is pinned
// (pins match the last certificate only); -1 when none does (VER-03). It
// allocates nothing.
func (s *Store) Anchors(chain [][]byte) int {
	for i, der := range chain {
		for _, c := range s.certs {
			if bytes.Equal(c.Raw, der) {
				return i
			}
		}
	}
	if len(s.pinned) == 0 || len(chain) == 0 {
		return -1
	}
	last := len(chain) - 1
	if print := sha256.Sum256(chain[last]); slices.Contains(s.pinned, print) {
		return last
	}
	return -1
}

// Fingerprints of the root certificates of AWS Signer: SHA-256 of the DER,
// lower-case hex. They anchor the stores of the same name where the user has
// no directory of that name.
const (
	// AWSSignerRootG1 is CN=AWS Signer Code Signing Root CA G1, valid to 2122.
	AWSSignerRootG1 = "90a87d0543c3f094dbff9589b6649affe2f3d6e0f308799be2258461c686473f"
	// AWSSignerGovRootG1 is CN=AWS Signer Code Signing GovCloud (US) Root CA G1, valid to 2124.
	AWSSignerGovRootG1 = "673653ab76f41a10546cdeb4107ecd6df2c15c2c9a0d32ed97d271b4436fc3e8"
)

// Names of the AWS Signer stores, as AWS's installer makes them.
const (
	AWSSignerStore    = "aws-signer-ts"
	AWSSignerGovStore = "aws-us-gov-signer-ts"
)

// BuiltIn is the store that comes with Shuin under name, or false when there
// is none: signingAuthority:aws-signer-ts and signingAuthority:aws-us-gov-signer-ts,
// roots pinned by fingerprint. A Stores implementation offers it only where
// the user has no store of that name.
func BuiltIn(name StoreName) (*Store, bool) {
	if name.Type != SigningAuthority {
		return nil, false
	}
	var print string
	switch name.Name {
	case AWSSignerStore:
		print = AWSSignerRootG1
	case AWSSignerGovStore:
		print = AWSSignerGovRootG1
	default:
		return nil, false
	}
	var pin [sha256.Size]byte
	if _, err := hex.Decode(pin[:], []byte(print)); err != nil {
		return nil, false
	}
	s, err := NewStore(name, nil, [][sha256.Size]byte{pin})
	return s, err == nil
}
