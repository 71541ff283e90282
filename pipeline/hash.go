package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/policy"
)

// hasher hashes fields, each with its length before it, lists with their count.
type hasher struct{ hash.Hash }

func newHash() hasher { return hasher{sha256.New()} }

func (h hasher) number(n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

func (h hasher) text(s string) {
	h.number(int64(len(s)))
	h.Write([]byte(s))
}

func (h hasher) texts(list []string) {
	h.number(int64(len(list)))
	for _, s := range list {
		h.text(s)
	}
}

func (h hasher) flag(b bool) {
	if b {
		h.number(1)
	} else {
		h.number(0)
	}
}

func (h hasher) duration(d time.Duration) { h.number(int64(d)) }

func (h hasher) sum() []byte { return h.Sum(nil) }

func (h hasher) digest() digest.Digest { return digest.NewDigestFromBytes(digest.SHA256, h.sum()) }

// statement hashes what a statement judges by: not its name and scopes.
func (h hasher) statement(s *policy.Statement) {
	h.level(s)
	h.number(int64(len(s.TrustStores)))
	for _, n := range s.TrustStores {
		h.text(n.String())
	}
	h.number(int64(len(s.TrustedIdentities)))
	for _, id := range s.TrustedIdentities {
		h.text(id.String())
	}
	h.flag(s.SigningProfiles)
}

// level hashes what a statement enforces.
func (h hasher) level(s *policy.Statement) {
	h.number(int64(len(s.Level.Actions)))
	for _, check := range slices.Sorted(maps.Keys(s.Level.Actions)) {
		h.text(string(check))
		h.number(int64(s.Level.Actions[check]))
	}
	h.flag(s.Level.Skip())
	h.text(string(s.VerifyTimestamp))
}

// stages hashes all stages: a signer of any of them may make a seal ambiguous.
func (h hasher) stages(p *Policy) {
	h.flag(p.trustPolicy)
	h.number(int64(len(p.stages)))
	for i := range p.stages {
		st := &p.stages[i]
		h.text(st.name)
		h.duration(st.maxAge)
		h.number(int64(len(st.metadata)))
		for _, k := range slices.Sorted(maps.Keys(st.metadata)) {
			h.text(k)
			h.text(st.metadata[k])
		}
		h.number(int64(len(st.signers)))
		for _, s := range st.signers {
			h.text(p.signers[s].Profile)
			h.statement(p.signers[s].Statement)
		}
	}
}

func (h hasher) rule(r *rule) {
	h.text(r.name)
	h.number(int64(len(r.patterns)))
	for i := range r.patterns {
		h.text(r.patterns[i].text)
	}
	h.texts(r.place.clusters)
	h.texts(r.place.namespaces)
	h.require(r.require)
	h.number(int64(len(r.digests)))
	for _, d := range r.digests {
		h.text(d.String())
	}
	h.flag(r.unsigned)
	h.number(int64(r.mode))
	h.number(int64(r.tags))
	h.number(int64(r.platforms))
	h.flag(r.undecidedAdmits)
	h.duration(r.retryFor)
}

func (h hasher) require(r *requirement) {
	if r == nil {
		h.number(0)
		return
	}
	h.number(int64(r.op))
	h.number(int64(r.n))
	h.number(int64(r.stage))
	h.number(int64(len(r.of)))
	for _, one := range r.of {
		h.require(one)
	}
}
