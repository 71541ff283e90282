package pipeline

import (
	"math/bits"
	"slices"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// Two items of an atLeast have to be satisfied by different signers. A signer
// is known by several keys: the identities that match its certificate and the
// certificate's subject, or a signing profile's ARN. Two seals with a key in
// common are by one signer. Of the identities those count that signers of the
// atLeast's own stages have: what the rest of the file says is nothing to it.

// keyset is a set of keys, as bits. The empty one shares nothing with any.
type keyset []uint64

func (k keyset) with(i int) keyset {
	for len(k) <= i/64 {
		k = append(k, 0)
	}
	k[i/64] |= 1 << (i % 64)
	return k
}

// meets says whether k and o have a key in common that is not left out.
func (k keyset) meets(o, left keyset) bool {
	for i := range min(len(k), len(o)) {
		both := k[i] & o[i]
		if i < len(left) {
			both &^= left[i]
		}
		if both != 0 {
			return true
		}
	}
	return false
}

func (k keyset) without(left keyset) keyset {
	out := slices.Clone(k)
	for i := range min(len(out), len(left)) {
		out[i] &^= left[i]
	}
	return out
}

func (k keyset) only(o keyset) keyset {
	out := slices.Clone(k)
	for i := range out {
		if i < len(o) {
			out[i] &= o[i]
		} else {
			out[i] = 0
		}
	}
	return out
}

// common is how many keys k and o have in common.
func (k keyset) common(o keyset) int {
	n := 0
	for i := range min(len(k), len(o)) {
		n += bits.OnesCount64(k[i] & o[i])
	}
	return n
}

func (k keyset) union(o keyset) keyset {
	out := slices.Clone(k)
	for i, w := range o {
		if i < len(out) {
			out[i] |= w
		} else {
			out = append(out, w)
		}
	}
	return out
}

// within says whether all of k is in o.
func (k keyset) within(o keyset) bool {
	for i, w := range k {
		if i >= len(o) {
			if w != 0 {
				return false
			}
		} else if w&^o[i] != 0 {
			return false
		}
	}
	return true
}

func (e *evaluation) key(kind, s string) int {
	if e.keys == nil {
		e.keys = map[string]int{}
	}
	s = kind + "\x00" + s
	i, ok := e.keys[s]
	if !ok {
		i = len(e.keys)
		e.keys[s] = i
	}
	return i
}

// identityKey is the key of an identity, however it is written, that a signer
// of the policy has.
func (e *evaluation) identityKey(identity string, signer int) int {
	i := e.key("identity", e.policy.canonical(identity))
	for len(e.by) <= i {
		e.by = append(e.by, nil)
	}
	e.by[i] = e.by[i].with(signer)
	return i
}

// signersOf are the keys of the signer of c, as its seal for one signer of a
// policy counts. A profile's ARN counts alone: other profiles' certificates may
// have its subject. It counts too where another stage knows the same signer by
// its subject. "*" is an identity where it is the one that the seal counts by.
func (e *evaluation) signersOf(c *Candidate, signer int, a *Answer) keyset {
	if !e.counts {
		return nil
	}
	var k keyset
	for i := range c.Answers {
		if p := e.policy.signers[i].Profile; p != "" && (c.Answers[i].Authentic || i == signer) {
			k = k.with(e.key("profile", p))
		}
	}
	if e.policy.signers[signer].Profile != "" {
		return k
	}
	k = k.with(e.identityKey(a.Identity, signer))
	for i := range c.Answers {
		other := &c.Answers[i]
		if other.Authentic && e.policy.signers[i].Profile == "" && other.Identity != "" && other.Identity != trust.PrefixAny {
			k = k.with(e.identityKey(other.Identity, i))
		}
	}
	if c.Subject != "" {
		k = k.with(e.key("subject", c.Subject))
	}
	return k
}

// canonical is the form of an identity in which it is compared.
func (p *Policy) canonical(identity string) string {
	if c, ok := p.identities[identity]; ok {
		return c
	}
	if id, err := trust.ParseIdentity(identity); err == nil {
		return id.Canonical()
	}
	return identity
}

// strange are the keys that an atLeast leaves out: identities that none of its
// stages' signers has.
func (e *evaluation) strange(r *requirement) keyset {
	if left, ok := e.left[r]; ok {
		return left
	}
	var own, left keyset
	for _, st := range r.stages(nil) {
		for _, i := range e.policy.stages[st].signers {
			own = own.with(i)
		}
	}
	for key, by := range e.by {
		if len(by) > 0 && !by.meets(own, nil) {
			left = left.with(key)
		}
	}
	if e.left == nil {
		e.left = map[*requirement]keyset{}
	}
	e.left[r] = left
	return left
}

// search is how ways to satisfy a requirement are looked for.
type search struct {
	hopeful bool // with what could be a seal
	// Where signatures are dealt out that may be for any stage (see realistic),
	// keys that stand for one of them, by stage, all of them, and how many
	// signatures there are.
	units map[int][]int
	all   keyset
	room  int
}

// fits says whether there are as many signatures as w takes.
func (s *search) fits(w witness) bool { return s.units == nil || w.signers.common(s.all) <= s.room }

// witness is one way to satisfy a requirement: by these signers.
type witness struct {
	signers keyset
	stale   time.Time
}

// differentSigners decides an atLeast.
func (e *evaluation) differentSigners(r *requirement, hopeful bool) (ok bool, stale time.Time, cut bool) {
	s := &search{hopeful: hopeful}
	left := e.strange(r)
	items, cut := e.itemWitnesses(r, s, left)
	found, short := e.choose(items, r.n, 1, left, s)
	if len(found) == 0 {
		return false, time.Time{}, cut || short
	}
	return true, found[0].stale, cut || short
}

func (e *evaluation) itemWitnesses(r *requirement, s *search, left keyset) (items [][]witness, cut bool) {
	for _, one := range r.of {
		w, short := e.witnesses(one, s, left)
		items, cut = append(items, w), cut || short
	}
	return items, cut
}

// witnesses are the ways to satisfy r, at most limits.WitnessSets, without the
// keys that are left out; cut says that there were more.
func (e *evaluation) witnesses(r *requirement, s *search, left keyset) (out []witness, cut bool) {
	if r.op == isStage {
		return fewest(e.sealWitnesses(r.stage, s, left))
	}
	items, cut := e.itemWitnesses(r, s, left)
	var short bool
	switch r.op {
	case anyOf:
		out = slices.Concat(items...)
	case allOf:
		out = []witness{{}}
		for _, item := range items {
			if out, short = e.product(out, item, s); short {
				cut = true
			}
		}
	case atLeast:
		if out, short = e.choose(items, r.n, limits.WitnessSets, e.strange(r), s); short {
			cut = true
		}
	}
	out, short = fewest(out)
	return out, cut || short
}

func (e *evaluation) sealWitnesses(stage int, s *search, left keyset) (out []witness) {
	st := &e.stages[stage]
	for i := range st.seals {
		out = append(out, witness{st.seals[i].signers.without(left), st.seals[i].stale})
	}
	if s.hopeful {
		for i := range st.open {
			if s.units == nil || !st.open[i].stranger {
				out = append(out, witness{st.open[i].signers.without(left), time.Time{}})
			}
		}
	}
	for _, key := range s.units[stage] {
		out = append(out, witness{keyset{}.with(key), time.Time{}})
	}
	return out
}

// product combines each way of two items: one signer may satisfy both.
func (e *evaluation) product(a, b []witness, s *search) (out []witness, cut bool) {
	for _, x := range a {
		for _, y := range b {
			w := witness{x.signers.union(y.signers), earlier(x.stale, y.stale)}
			if !s.fits(w) {
				continue
			}
			if s.units != nil && len(out) >= limits.WitnessDealt {
				out, _ = fewest(out)
				return out, true
			}
			out = append(out, w)
		}
	}
	return fewest(out)
}

// fewest leaves out ways that take more signers than another does, or the same
// for a shorter time.
func fewest(list []witness) (out []witness, cut bool) {
	for i, w := range list {
		worse := slices.ContainsFunc(out, func(o witness) bool { return o.atLeastAsGood(w) }) ||
			slices.ContainsFunc(list[i+1:], func(o witness) bool { return o.atLeastAsGood(w) })
		if worse {
			continue
		}
		if len(out) == limits.WitnessSets {
			return out, true
		}
		out = append(out, w)
	}
	return out, false
}

func (w witness) atLeastAsGood(o witness) bool {
	return w.signers.within(o.signers) && (w.stale.IsZero() || !o.stale.IsZero() && !w.stale.Before(o.stale))
}

// choose finds up to most ways to satisfy n of the items by signers of whom no
// two are the same, but for keys that are left out. cut: it gave up.
func (e *evaluation) choose(items [][]witness, n, most int, left keyset, s *search) (out []witness, cut bool) {
	items = slices.DeleteFunc(slices.Clone(items), func(i []witness) bool { return len(i) == 0 })
	slices.SortStableFunc(items, func(a, b []witness) int { return len(a) - len(b) })
	steps := 0
	var try func(i, wanted int, taken witness) bool // false: stop
	try = func(i, wanted int, taken witness) bool {
		if wanted == 0 {
			out = append(out, taken)
			return len(out) < most
		}
		if len(items)-i < wanted {
			return true
		}
		for _, w := range items[i] {
			steps++
			if e.steps++; steps > limits.WitnessSteps || e.steps > limits.WitnessStepsAll {
				cut = true
				return false
			}
			if w.signers.meets(taken.signers, left) {
				continue
			}
			next := witness{taken.signers.union(w.signers), earlier(taken.stale, w.stale)}
			if s.fits(next) && !try(i+1, wanted-1, next) {
				return false
			}
		}
		return try(i+1, wanted, taken)
	}
	if !try(0, n, witness{}) && len(out) >= most && most > 1 {
		cut = true
	}
	return out, cut
}
