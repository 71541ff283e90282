package gate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// key names what an answer is about: everything the answer depends on.
type key [sha256.Size]byte

// keyOf is the SHA-256 of the parts, each with its length before it.
func keyOf(parts ...string) key {
	var room [768]byte
	b := room[:0]
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

// memory is what one or all decisions share: what is under way, and, in a gate
// that remembers, what was found before. Nothing in it is found under another
// access than the one it was fetched with.
type memory struct {
	verdicts *cache[*answer]          // answers that may be given again
	lastGood *cache[*answer]          // the last good ones
	indexes  *cache[[]shuin.Platform] // what is in an index
	parsed   *otter.Cache[string, *parsed]
	surveys  flights[*answer]
	resolves flights[resolved]
	listings flights[listing]

	// mu is held to remember an answer, and to forget some.
	mu        sync.Mutex
	turn      uint64                       // how often Forget was called
	forgotten []map[verify.Ground]struct{} // by the last calls of it, the newest last
}

// newMemory makes the memory of a gate that remembers; or of one decision,
// where an answer is kept until the decision ends.
func newMemory(remember bool) *memory {
	m := &memory{}
	m.surveys.keep, m.resolves.keep, m.listings.keep = !remember, !remember, !remember
	if !remember {
		return m
	}
	m.verdicts = newCache(limits.GateVerdictBytes, (*answer).weight)
	m.lastGood = newCache(limits.GateLastGoodBytes, (*answer).weight)
	m.indexes = newCache(limits.GateIndexBytes, func(p []shuin.Platform) int { return 256 * len(p) })
	m.parsed = otter.Must(&otter.Options[string, *parsed]{MaximumSize: limits.GateParsedEntries})
	return m
}

// parsed is a reference as it was read.
type parsed struct {
	ref    shuin.Reference // with a tag or a digest
	name   string          // ref.Name()
	pinned string          // by the digest that was written; empty: there is none
	// last is the key that was made last for the digest that was written: the
	// same images are asked about under the same rules all day.
	last atomic.Pointer[lastKey]
}

// lastKey is a key with what it was made from, beside the reference.
type lastKey struct {
	key                 key
	rule, trust, access string
	platforms           pipeline.Platforms
}

// parse reads a reference, or recalls how it was read.
func (m *memory) parse(written string) (*parsed, error) {
	if m.parsed != nil {
		if p, ok := m.parsed.GetIfPresent(written); ok {
			return p, nil
		}
	}
	written = strings.Clone(written) // it may be a piece of a whole file
	ref, err := shuin.ParseReference(written)
	if err != nil {
		return nil, err
	}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = "latest" // as every runtime reads it
	}
	if c := ref.Canonical(); c != ref {
		return nil, &shuin.Error{
			Code:    shuin.CodeInvalidInput,
			Message: fmt.Sprintf("%s is another spelling of %s, and rules are matched by name", ref.Name(), c.Name()),
			Hint:    "write " + c.String(),
		}
	}
	p := &parsed{ref: ref, name: ref.Name()}
	if ref.Digest != "" {
		p.pinned = pinned(p.name, ref.Digest)
	}
	if m.parsed != nil && len(written) <= limits.GateParsedBytes {
		m.parsed.Set(written, p)
	}
	return p, nil
}

func pinned(name string, d digest.Digest) string { return name + "@" + string(d) }

// cache holds values until a time, within a weight in bytes. It may drop any
// of them before. Ends are held against the time of whoever asks.
type cache[V any] struct {
	c      *otter.Cache[key, entry[V]]
	weight func(V) int
}

type entry[V any] struct {
	value V
	from  time.Time
	until time.Time
}

func newCache[V any](most uint64, weight func(V) int) *cache[V] {
	return &cache[V]{weight: weight, c: otter.Must(&otter.Options[key, entry[V]]{
		MaximumWeight: most,
		Weigher: func(_ key, e entry[V]) uint32 {
			return uint32(min(limits.GateEntryBytes+weight(e.value), 1<<30)) //nolint:gosec // bounded
		},
	})}
}

// get finds what is good at now. Nothing that was put in after now is: a clock
// that was set back must not make an answer live longer.
func (c *cache[V]) get(k key, now time.Time) (v V, from time.Time, ok bool) {
	if c == nil {
		return v, from, false
	}
	e, found := c.c.GetIfPresent(k)
	if !found || !now.Before(e.until) || now.Before(e.from) {
		return v, from, false
	}
	return e.value, e.from, true
}

func (c *cache[V]) put(k key, v V, from, until time.Time) {
	if c != nil && from.Before(until) {
		c.c.Set(k, entry[V]{v, from, until})
	}
}

func (c *cache[V]) drop(k key) {
	if c != nil {
		c.c.Invalidate(k)
	}
}

// resolved is the answer to a tag.
type resolved struct {
	artifact shuin.Artifact
	err      error
}

// listing is the answer to the question what an index holds.
type listing struct {
	platforms []shuin.Platform
	err       error
}
