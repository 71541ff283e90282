package pipeline

import (
	"slices"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Two items of an atLeast have to be satisfied by different signers. A signer
// is known by several keys: the identity that matched and the subject of the
// certificate, or a signing profile's ARN. Two seals with a key in common are
// by one signer.

// keyset is a set of keys, as bits. The empty one shares nothing with any.
type keyset []uint64

func (k keyset) with(i int) keyset {
	for len(k) <= i/64 {
		k = append(k, 0)
	}
	k[i/64] |= 1 << (i % 64)
	return k
}

func (k keyset) meets(o keyset) bool {
	for i := range min(len(k), len(o)) {
		if k[i]&o[i] != 0 {
			return true
		}
	}
	return false
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

// signersOf are the keys of the signer of c, as its seal for one signer of a
// policy counts. A profile's ARN counts alone: other profiles' certificates may
// have its subject. It counts too where another stage knows the same signer by
// its subject.
func (e *evaluation) signersOf(c *Candidate, signer int, a *Answer) keyset {
	var k keyset
	for i := range c.Answers {
		if p := e.policy.signers[i].Profile; p != "" && (c.Answers[i].Authentic || i == signer) {
			k = k.with(e.key("profile", p))
		}
	}
	if e.policy.signers[signer].Profile != "" {
		return k
	}
	k = k.with(e.key("identity", a.Identity))
	if c.Subject != "" {
		k = k.with(e.key("subject", c.Subject))
	}
	return k
}

// witness is one way to satisfy a requirement: by these signers.
type witness struct {
	signers keyset
	stale   time.Time
}

// differentSigners decides an atLeast.
func (e *evaluation) differentSigners(r *requirement, hopeful bool) (ok bool, stale time.Time, cut bool) {
	items, cut := e.itemWitnesses(r, hopeful)
	found, short := choose(items, r.n, 1)
	if len(found) == 0 {
		return false, time.Time{}, cut || short
	}
	return true, found[0].stale, cut || short
}

func (e *evaluation) itemWitnesses(r *requirement, hopeful bool) (items [][]witness, cut bool) {
	for _, one := range r.of {
		w, short := e.witnesses(one, hopeful)
		items, cut = append(items, w), cut || short
	}
	return items, cut
}

// witnesses are the ways to satisfy r, at most limits.WitnessSets; cut says
// that there were more.
func (e *evaluation) witnesses(r *requirement, hopeful bool) (out []witness, cut bool) {
	if r.op == isStage {
		s := &e.stages[r.stage]
		for i := range s.seals {
			out = append(out, witness{s.seals[i].signers, s.seals[i].stale})
		}
		if hopeful {
			for i := range s.open {
				out = append(out, witness{s.open[i].signers, time.Time{}})
			}
		}
		return fewest(out)
	}
	items, cut := e.itemWitnesses(r, hopeful)
	var short bool
	switch r.op {
	case anyOf:
		out = slices.Concat(items...)
	case allOf:
		out = []witness{{}}
		for _, item := range items {
			if out, short = product(out, item); short {
				cut = true
			}
		}
	case atLeast:
		if out, short = choose(items, r.n, limits.WitnessSets); short {
			cut = true
		}
	}
	out, short = fewest(out)
	return out, cut || short
}

// product combines each way of two items: one signer may satisfy both.
func product(a, b []witness) (out []witness, cut bool) {
	for _, x := range a {
		for _, y := range b {
			out = append(out, witness{x.signers.union(y.signers), earlier(x.stale, y.stale)})
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
// two are the same. cut: it gave up.
func choose(items [][]witness, n, most int) (out []witness, cut bool) {
	items = slices.DeleteFunc(slices.Clone(items), func(i []witness) bool { return len(i) == 0 })
	slices.SortStableFunc(items, func(a, b []witness) int { return len(a) - len(b) })
	steps := 0
	var try func(i, left int, taken witness) bool // false: stop
	try = func(i, left int, taken witness) bool {
		if left == 0 {
			out = append(out, taken)
			return len(out) < most
		}
		if len(items)-i < left {
			return true
		}
		for _, w := range items[i] {
			if steps++; steps > limits.WitnessSteps {
				cut = true
				return false
			}
			if w.signers.meets(taken.signers) {
				continue
			}
			next := witness{taken.signers.union(w.signers), earlier(taken.stale, w.stale)}
			if !try(i+1, left-1, next) {
				return false
			}
		}
		return try(i+1, left, taken)
	}
	if !try(0, n, witness{}) && len(out) >= most && most > 1 {
		cut = true
	}
	return out, cut
}
