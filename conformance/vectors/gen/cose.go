package main

import (
	"bytes"
	"crypto"
	"sort"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// item is one entry of a CBOR map.
type item struct{ key, value any }

func cb(v any) []byte { return must(cbor.Marshal(v)) }

// raw is CBOR as it stands.
func raw(b ...byte) cbor.RawMessage { return cbor.RawMessage(b) }

func head(major byte, n int) []byte {
	b := cb(uint64(n))
	b[0] |= major << 5
	return b
}

// cborMap writes the entries sorted by their encoded keys (RFC 8949 section
// 4.2.1) unless asked to keep their order; duplicates stay.
func cborMap(items []item, keepOrder bool) []byte {
	type entry struct{ k, v []byte }
	es := make([]entry, len(items))
	for i, it := range items {
		es[i] = entry{cb(it.key), cb(it.value)}
	}
	if !keepOrder {
		sort.SliceStable(es, func(i, j int) bool { return bytes.Compare(es[i].k, es[j].k) < 0 })
	}
	out := head(5, len(es))
	for _, e := range es {
		out = append(append(out, e.k...), e.v...)
	}
	return out
}

func putItem(items []item, key, value any) []item {
	for i := range items {
		if items[i].key == key {
			items[i].value = value
			return items
		}
	}
	return append(items, item{key, value})
}

func dropItem(items []item, key any) []item {
	var kept []item
	for _, it := range items {
		if it.key != key {
			kept = append(kept, it)
		}
	}
	return kept
}

// epoch is CBOR tag 1.
func epoch(t time.Time) cbor.Tag { return cbor.Tag{Number: 1, Content: t.Unix()} }

// coseDraft is a COSE_Sign1 about to be put together; cases change it.
type coseDraft struct {
	protected    []item
	protectedRaw []byte // instead of protected, if not nil
	keepOrder    bool
	payload      []byte
	unprotected  []item
	hash         crypto.Hash
	key          *key
	context      string // of the Sig_structure
	aad          []byte
	sign         func(signed []byte) []byte
	tag          int // 18; 0 writes none
	change       func(protected, payload, sig *[]byte)
	bytes        func([]byte) []byte
	timestamp    func(sig []byte) []byte
}

// protectChain moves the chain of every COSE envelope into the protected
// header, before it is signed: what else is decided must not depend on it.
var protectChain bool

func (d *coseDraft) moveChain() {
	for _, it := range d.protected {
		if it.key == 33 {
			return // the case is about that
		}
	}
	for _, it := range d.unprotected {
		if it.key == 33 {
			d.protected = append(d.protected, it)
		}
	}
	d.unprotected = dropItem(d.unprotected, 33)
}

func (d *coseDraft) build() []byte {
	if protectChain && d.protectedRaw == nil {
		d.moveChain()
	}
	protected := d.protectedRaw
	if protected == nil {
		protected = cborMap(d.protected, d.keepOrder)
	}
	signed := cb([]any{d.context, protected, d.aad, d.payload})
	var sig []byte
	if d.sign != nil {
		sig = d.sign(signed)
	} else {
		sig = d.key.raw(d.hash, signed)
	}
	if d.timestamp != nil {
		d.unprotected = putItem(d.unprotected, "io.cncf.notary.timestampSignature", d.timestamp(sig))
	}
	payload := d.payload
	if d.change != nil {
		d.change(&protected, &payload, &sig)
	}
	var out []byte
	if d.tag != 0 {
		out = head(6, d.tag)
	}
	out = append(out, head(4, 4)...)
	out = append(out, cb(protected)...)
	out = append(out, cborMap(d.unprotected, d.keepOrder)...)
	out = append(out, cb(payload)...)
	out = append(out, cb(sig)...)
	if d.bytes != nil {
		out = d.bytes(out)
	}
	return out
}

func byteStrings(chain [][]byte) []any {
	out := make([]any, len(chain))
	for i, c := range chain {
		out[i] = c
	}
	return out
}
