package verify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// Facts is what is so about one signature, whatever any policy says of it. It
// is made once, by [Examine], and may be judged many times. Not changed after.
type Facts struct {
	// Envelope is the parsed envelope; nil when it could not be read. Its
	// fields are claims as long as Integrity is not nil.
	Envelope *envelope.Envelope
	// Chain is the parsed certificate chain, leaf first; nil when it breaks a
	// rule. It may be shared between Facts.
	Chain []*x509.Certificate
	// Payload is the signed payload; zero when it could not be read.
	Payload envelope.Payload
	// Integrity is nil when the envelope is well formed, the certificates obey
	// the rules of the specification, each is signed by the next, and the
	// signature is the leaf's (VER-01, CERT-01). It is [ErrUnexamined] as it
	// stands when that was not looked into.
	Integrity error
	// Artifact is nil when the payload names the artifact: same digest, media
	// type and size (VER-02).
	Artifact error
	chain    *chainEntry // what Chain is of
	plugin   pluginAttributes
}

// ErrUnexamined is the Integrity of Facts whose envelope and chain have the
// right form and lead to none of the trust stores ([Examiner.AnchoredOnly]): no
// signature was checked and the payload not read. No judgement of such facts is
// ever Verified.
var ErrUnexamined = errors.New("the signature was not checked: its certificate chain leads to no trust store")

// unexamined: nothing is wrong with the form, and nothing else is known.
func (f *Facts) unexamined() bool { return f.Integrity == ErrUnexamined }

// interval is the time in which every certificate of a chain is valid.
type interval struct{ from, to time.Time }

func validityOf(chain []*x509.Certificate) interval {
	v := interval{chain[0].NotBefore, chain[0].NotAfter}
	for _, c := range chain[1:] {
		v = v.and(interval{c.NotBefore, c.NotAfter})
	}
	return v
}

// and is the time in which both hold.
func (v interval) and(o interval) interval {
	if o.from.After(v.from) {
		v.from = o.from
	}
	if o.to.Before(v.to) {
		v.to = o.to
	}
	return v
}

// holds reports whether every certificate is valid throughout [from, to].
func (v interval) holds(from, to time.Time) bool { return !from.Before(v.from) && !to.After(v.to) }

// Examiner makes Facts. The zero value remembers nothing.
type Examiner struct {
	// Chains remembers verified chains; nil: each chain is verified anew.
	Chains *ChainCache
	// Anchors gives the trust stores the facts may be judged by, for a
	// signing scheme. A chain that they anchor may be remembered, and the
	// signature by itself of a root that they hold is not checked: it is
	// trusted by equality. Nil: nothing is remembered, everything is checked.
	Anchors func(envelope.Scheme) []*trust.Store
	// AnchoredOnly says whether chains that Anchors anchors nowhere are left
	// unexamined, beyond their form: what a stranger made costs next to
	// nothing then. For statements that enforce authenticity, whose stores
	// loaded. Nil: everything is examined.
	AnchoredOnly func(envelope.Scheme) bool

	// checks counts signature checks: limits.ChecksInVain is held against it.
	// Nil: not counted.
	checks *atomic.Int64
}

// Examine makes the facts of one signature: envelope bytes of the given media
// type, said to be over a. Nothing is fetched.
func (x *Examiner) Examine(mediaType string, data []byte, a shuin.Artifact) *Facts {
	return x.examine(mediaType, data, func(_ *envelope.Envelope, signed shuin.Descriptor) error {
		return sameContent(signed, a.Descriptor())
	})
}

// examine is Examine, with holds to say whether what is signed is the artifact:
// nil, or why not. It is asked only of a signature that holds together.
func (x *Examiner) examine(mediaType string, data []byte, holds func(e *envelope.Envelope, signed shuin.Descriptor) error) *Facts {
	f := &Facts{}
	if f.Envelope, f.Integrity = envelope.Parse(mediaType, data); f.Integrity != nil {
		f.Envelope = nil
		f.Integrity = tampered("read signature envelope", f.Integrity)
		return f
	}
	var stores []*trust.Store
	if x.Anchors != nil {
		stores = x.Anchors(f.Envelope.Scheme)
	}
	f.plugin = readPluginAttributes(f.Envelope)
	if f.Integrity = x.integrity(f, stores); f.Integrity != nil {
		return f
	}
	payload, err := envelope.ParsePayload(f.Envelope.Payload)
	if err != nil {
		f.Artifact = tampered("read signed payload", err)
		return f
	}
	f.Payload, f.Artifact = payload, holds(f.Envelope, payload.TargetArtifact)
	return f
}

// integrity checks the chain and the one payload signature.
func (x *Examiner) integrity(f *Facts, stores []*trust.Store) error {
	strangers := x.AnchoredOnly != nil && x.AnchoredOnly(f.Envelope.Scheme) && anchoredAt(f.Envelope.Chain, stores) < 0
	entry, err := x.chain(f.Envelope.Chain, envelope.CodeSigning, stores, strangers)
	if err != nil {
		return tampered("check certificate chain", err)
	}
	leaf := entry.certs[0]
	// JWS-02, COSE-02: the algorithm follows from the key, or a weaker one
	// could be put in its place.
	want, err := envelope.AlgorithmOf(leaf.PublicKey)
	if err != nil {
		return tampered("check signing key", err)
	}
	if want != f.Envelope.Algorithm {
		return tampered("check signature algorithm", fmt.Errorf("the signing certificate's key makes %s, the envelope says %s", want, f.Envelope.Algorithm))
	}
	f.Chain, f.chain = entry.certs, entry
	if strangers {
		return ErrUnexamined
	}
	x.count()
	if err := f.Envelope.VerifySignature(leaf.PublicKey); err != nil {
		return tampered("check signature", err)
	}
	return nil
}

// sameContent: the payload names the artifact (PAY-01, PAY-02, VER-02).
func sameContent(signed, want shuin.Descriptor) error {
	var err error
	switch {
	case signed.SameContent(want):
		return nil
	case signed.Digest != want.Digest:
		err = fmt.Errorf("it signs %s, not %s", signed.Digest, want.Digest)
	case signed.MediaType != want.MediaType:
		err = fmt.Errorf("it signs media type %.200q, the artifact has %q", signed.MediaType, want.MediaType)
	default:
		err = fmt.Errorf("it signs a size of %d bytes, the artifact has %d", signed.Size, want.Size)
	}
	return anotherArtifact(err)
}

func anotherArtifact(err error) error {
	return &shuin.Error{
		Code: shuin.CodeTampered, Message: "signature is of another artifact", Err: err,
		Hint: "the signature was attached to an artifact it was not made for; sign this one",
	}
}

// chain parses a chain and checks its rules and links, or recalls that it was
// done. It makes len(der)-1 signature checks when the root is in one of the
// stores, one more when it is not: the signature by itself of a root that is
// trusted by equality adds nothing. (A single certificate's is always checked.)
// With formOnly it makes none.
func (x *Examiner) chain(der [][]byte, purpose envelope.Purpose, stores []*trust.Store, formOnly bool) (*chainEntry, error) {
	cache := x.Chains
	if len(stores) == 0 || formOnly {
		cache = nil
	}
	var whole, path chainKey
	if cache != nil {
		whole = keyOf(wholeChain, der, purpose, stores)
		if e := cache.lookup(whole); e != nil {
			return e, nil
		}
	}
	certs, path, known, err := x.parse(der, purpose, stores, cache)
	if err != nil {
		return nil, err
	}
	if err := envelope.CheckChain(certs, purpose); err != nil {
		return nil, err
	}
	if formOnly {
		return newChainEntry(certs), nil
	}
	anchor := anchoredAt(der, stores)
	if rootTrusted(der, stores) {
		anchor = len(der) - 1
	}
	if err := x.links(certs, known != nil, anchor); err != nil {
		return nil, err
	}
	e := newChainEntry(certs)
	if cache == nil {
		return e, nil
	}
	if anchor < 0 {
		return e, nil // a stranger's chain holds together too; it is not worth a place
	}
	if known == nil && anchoredAt(der[1:], stores) >= 0 {
		cache.store(path, &chainEntry{certs: certs[1:]})
	}
	cache.store(whole, e)
	return e, nil
}

// parse parses the certificates. Those above the leaf are recalled where the
// issuing path is known, and a root that equals one of a store's is the
// store's, already parsed.
func (x *Examiner) parse(der [][]byte, purpose envelope.Purpose, stores []*trust.Store, cache *ChainCache) (certs []*x509.Certificate, path chainKey, known *chainEntry, err error) {
	if cache != nil && len(der) > 1 {
		path = keyOf(issuingPath, der[1:], purpose, stores)
		known = cache.lookup(path)
	}
	var tail []*x509.Certificate
	switch {
	case known != nil:
		tail = known.certs
	case len(der) > 1 && len(der) <= limits.ChainLength:
		if root := storedCertificate(der[len(der)-1], stores); root != nil {
			tail = []*x509.Certificate{root}
		}
	}
	certs, err = envelope.ParseChain(der[:len(der)-len(tail)])
	if err != nil {
		return nil, path, nil, err
	}
	return append(certs, tail...), path, known, nil
}

func storedCertificate(der []byte, stores []*trust.Store) *x509.Certificate {
	for _, s := range stores {
		for _, c := range s.Certificates() {
			if bytes.Equal(c.Raw, der) {
				return c
			}
		}
	}
	return nil
}

// links checks that each certificate is signed by the next. pathKnown: only
// the leaf's link is not known to hold. anchor is the index of a trusted
// certificate, or -1: the links are checked from there outwards, so that
// somebody who adds certificates of his own to a trusted one, of the largest
// keys that are allowed, has us check one of them.
func (x *Examiner) links(certs []*x509.Certificate, pathKnown bool, anchor int) error {
	check := func(child, parent *x509.Certificate) error {
		x.count()
		return child.CheckSignatureFrom(parent)
	}
	if pathKnown {
		return envelope.CheckLinks(certs[:2], check)
	}
	for i := anchor; i > 0; i-- {
		if err := envelope.CheckLinks(certs[i-1:i+1], check); err != nil {
			return err
		}
	}
	if anchor > 0 && anchor == len(certs)-1 {
		return nil // the root is trusted by equality
	}
	above := certs[max(anchor, 0):]
	if len(above) == 1 {
		x.count() // its own signature, made without check
	}
	if err := envelope.CheckLinks(above, check); err != nil || len(above) == 1 {
		return err
	}
	x.count()
	return envelope.CheckRoot(above)
}

func (x *Examiner) count() {
	if x.checks != nil {
		x.checks.Add(1)
	}
}

// anchoredAt is the lowest index of a certificate in chain that one of the
// stores trusts; -1 when there is none.
func anchoredAt(chain [][]byte, stores []*trust.Store) int {
	at := -1
	for _, s := range stores {
		if i := s.Anchors(chain); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	return at
}

func rootTrusted(chain [][]byte, stores []*trust.Store) bool {
	return len(chain) > 0 && anchoredAt(chain[len(chain)-1:], stores) >= 0
}

// tampered wraps what is wrong with a signature's own bytes. The code of the
// cause, where it has one, stays: a hit limit or an unknown critical
// attribute is not tampering.
func tampered(doing string, err error) error {
	code := shuin.CodeTampered
	var known *shuin.Error
	if errors.As(err, &known) && known.Code != "" {
		code = known.Code
	}
	hint := "the signature cannot be used; have the artifact signed again"
	if code == shuin.CodeTooOld {
		hint = "update this verifier"
	}
	return &shuin.Error{Code: code, Message: doing, Hint: hint, Err: err}
}
