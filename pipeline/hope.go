package pipeline

import (
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Hope is bounded in two steps. First every signature that could be a seal
// counts wherever it could be one. Where that would be enough, a second look
// deals out those of which not even the stage is known: a signature names one
// stage, or counts for one alone, so that it seals one at most.

// realistic says whether r could still be satisfied if each signature seals one
// stage at most. It errs towards yes: where the search grows too large, and for
// signatures that are open for some of several stages.
func (e *evaluation) realistic(r *requirement) bool {
	if e.incomplete != nil { // there may be any number of others
		return true
	}
	s := &search{hopeful: true, units: map[int][]int{}}
	loose := map[*Candidate]bool{}
	times := map[int]int{}
	r.count(times)
	for st, most := range times {
		n := 0
		for i := range e.stages[st].open {
			if o := &e.stages[st].open[i]; o.stranger {
				n++
				loose[o.candidate] = true
			}
		}
		for i := range min(n, most) {
			key := e.key("unit", string(rune(st))+"\x00"+string(rune(i)))
			s.units[st] = append(s.units[st], key)
			s.all = s.all.with(key)
		}
	}
	if s.room = len(loose); s.room == 0 {
		return true
	}
	ways, cut := e.deal(r, s)
	return len(ways) > 0 || cut
}

// count adds how often each stage is listed in r.
func (r *requirement) count(times map[int]int) {
	if r.op == isStage {
		times[r.stage]++
	}
	for _, one := range r.of {
		one.count(times)
	}
}

// deal finds the ways to satisfy r by the signatures that they take of those
// that may be for any stage. Signers count inside an atLeast alone.
func (e *evaluation) deal(r *requirement, s *search) (out []witness, cut bool) {
	var short bool
	switch r.op {
	case isStage:
		out = e.sealWitnesses(r.stage, s, nil)
	case anyOf:
		for _, one := range r.of {
			w, short := e.deal(one, s)
			out, cut = append(out, w...), cut || short
		}
	case allOf:
		out = []witness{{}}
		for _, one := range r.of {
			w, more := e.deal(one, s)
			out, short = e.product(out, w, s)
			cut = cut || short || more
		}
	case atLeast:
		left := e.strange(r)
		items, more := e.itemWitnesses(r, s, left)
		out, short = e.choose(items, r.n, limits.WitnessSets, left, s)
		cut = more || short
	}
	for i := range out {
		out[i] = witness{out[i].signers.only(s.all), time.Time{}}
	}
	out, short = fewest(out)
	return out, cut || short
}
