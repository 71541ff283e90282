package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"sync"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// chainRules is raised when the rules a chain is checked by change, so that an
// entry made by older rules is never used (a cache may outlive its process one day).
const chainRules = 1

// ChainCache remembers that the links of a certificate chain hold, so that the
// same signer costs one signature check instead of one per certificate, and a
// new certificate under a known issuer costs two.
//
// An entry's key is the SHA-256 of everything its value depends on: the
// chain's DER, each with its length, the type and hash of the trust stores
// asked about, the purpose and the version of our rules. A changed store is a
// different key. Only chains that anchor in one of those stores are stored:
// strangers cannot fill it. Whether a certificate is valid now, or revoked, is
// judged at each use and not remembered.
//
// It is bounded and safe for concurrent use. Entries are dropped a generation
// at a time: simpler than an order of use, and a miss costs only time.
type ChainCache struct {
	mu    sync.RWMutex
	half  int // entries of one generation
	young map[chainKey]*chainEntry
	old   map[chainKey]*chainEntry
}

type chainKey [sha256.Size]byte

// chainEntry is a verified chain: its parsed certificates (leaf first, never
// changed), the interval in which all of them are valid, and the leaf's names
// as a Report spells them. The anchor is not part of it: comparing with the
// stores is cheap and done at each use.
type chainEntry struct {
	certs    []*x509.Certificate
	validity interval
	signer   shuin.Signer
}

func newChainEntry(certs []*x509.Certificate) *chainEntry {
	print := sha256.Sum256(certs[0].Raw)
	return &chainEntry{certs: certs, validity: validityOf(certs), signer: shuin.Signer{
		Subject:     nameString(certs[0].Subject),
		Issuer:      nameString(certs[0].Issuer),
		Fingerprint: hex.EncodeToString(print[:]),
		Root:        nameString(certs[len(certs)-1].Subject),
	}}
}

// NewChainCache makes a cache of at most entries chains and issuing paths
// together; zero or less means limits.ChainCacheEntries.
func NewChainCache(entries int) *ChainCache {
	if entries <= 0 {
		entries = limits.ChainCacheEntries
	}
	return &ChainCache{half: max(entries/2, 1), young: map[chainKey]*chainEntry{}}
}

// lookup finds an entry; c may be nil.
func (c *ChainCache) lookup(k chainKey) *chainEntry {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	e, inYoung := c.young[k]
	if !inYoung {
		e = c.old[k]
	}
	c.mu.RUnlock()
	if e != nil && !inYoung {
		c.store(k, e) // used again: keep it another generation
	}
	return e
}

// store adds an entry; c may be nil.
func (c *ChainCache) store(k chainKey, e *chainEntry) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.young[k]; !known && len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[chainKey]*chainEntry, c.half)
	}
	c.young[k] = e
}

// What a key is for: a whole chain, or the part of it above the leaf.
const (
	wholeChain  = 'c'
	issuingPath = 'p'
)

// keyOf is the key of a chain under the given stores.
func keyOf(kind byte, chain [][]byte, purpose envelope.Purpose, stores []*trust.Store) chainKey {
	h := sha256.New()
	var n [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	h.Write([]byte{chainRules, kind, byte(purpose)})
	binary.BigEndian.PutUint64(n[:], uint64(len(stores)))
	h.Write(n[:])
	for _, s := range stores {
		write([]byte(s.Name().Type))
		sum := s.Hash()
		write(sum[:])
	}
	for _, der := range chain {
		write(der)
	}
	return chainKey(h.Sum(nil))
}
