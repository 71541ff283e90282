package pipeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/shuin/shuin"
)

// Decide answers from the candidates of the image. incomplete says why they
// are not all (verify.Survey.Err): an Undecided code leaves open what is not
// sealed, any other denies it. Pure.
func (s *Selection) Decide(candidates []Candidate, incomplete error, now time.Time) *Decision {
	d := &Decision{Outcome: Admit}
	if s.NeedsSignatures || len(candidates) > 0 || s.Exception == nil && s.rule != nil && s.rule.require != nil {
		d.Stages = make([]StageResult, 0, len(s.policy.stages))
	}
	e := &evaluation{policy: s.policy, selection: s, candidates: candidates, incomplete: incomplete, now: now}
	e.judge(d)
	switch {
	case s.Exception != nil:
		d.StaleUntil = s.Exception.Expires
	case s.rule == nil:
		if !s.policy.admits {
			d.Outcome, d.Err = Deny, s.noRule()
		}
	case s.rule.require != nil:
		e.require(d)
	case s.rule.unsigned || s.rule.allows(s.question.Digest):
	default:
		d.Outcome, d.Err = Deny, &shuin.Error{
			Code:    shuin.CodeNotAllowed,
			Message: fmt.Sprintf("rule %q allows %d digest(s), and this image is none of them%s", s.Rule, len(s.rule.digests), s.expired()),
			Hint:    "deploy a listed digest, or add this one to allow.digests of the rule",
		}
	}
	return d
}

// evaluation is a decision in the making.
type evaluation struct {
	policy     *Policy
	selection  *Selection
	candidates []Candidate
	incomplete error
	now        time.Time
	stages     []sealing // in step with policy.stages

	counts bool           // signers count: there is an atLeast
	keys   map[string]int // of signers
	by     []keyset       // of keys that are identities: the policy's signers that have them
	left   map[*requirement]keyset
	known  map[asked]satisfaction
	steps  int
}

type asked struct {
	*requirement
	hopeful bool
}

type satisfaction struct {
	ok    bool
	stale time.Time
	cut   bool
}

// judge fills d.Stages.
func (e *evaluation) judge(d *Decision) {
	if d.Stages == nil {
		return
	}
	var required []int
	if r := e.selection.rule; r != nil {
		required = r.require.stages(nil)
		e.counts = r.require.countsSigners()
	}
	e.stages = make([]sealing, len(e.policy.stages))
	for i := range e.policy.stages {
		if e.policy.trustPolicy && !slices.Contains(required, i) {
			continue // what other statements think of a signature is of no interest
		}
		s := &e.stages[i]
		for k := range e.candidates {
			c := &e.candidates[k]
			if len(c.Answers) > len(e.policy.signers) { // of another policy: nobody knows what they are about
				continue
			}
			e.candidate(s, i, c)
		}
		s.place = len(d.Stages)
		d.Stages = append(d.Stages, e.result(s, i, slices.Contains(required, i)))
	}
}

// earlier of two times of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later of two times of which zero is never.
func later(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && a.After(b) {
		return a
	}
	return b
}

// definite is why what is not sealed is denied: the candidates are not all,
// and that is no accident.
func (e *evaluation) definite() bool {
	return e.incomplete != nil && !shuin.CodeOf(e.incomplete).Undecided()
}

// result is what is told of a stage.
func (e *evaluation) result(s *sealing, index int, required bool) StageResult {
	st := &e.policy.stages[index]
	r := StageResult{Stage: st.name, Required: required, Outcome: shuin.Passed}
	switch {
	case len(s.seals) > 0:
		best := &s.seals[0]
		for i := range s.seals[1:] {
			if one := &s.seals[i+1]; !one.stale.Equal(best.stale) && later(one.stale, best.stale).Equal(one.stale) {
				best = one
			}
		}
		r.Seal, r.Identity, r.SealedAt, r.StaleUntil = best.candidate.Digest, best.identity, best.time, best.stale
	case e.definite():
		r.Outcome, r.Err = shuin.Failed, e.incomplete
	case e.incomplete != nil:
		r.Outcome, r.Err = shuin.Unknown, e.incomplete
		s.leaveOpen(seal{}, e.incomplete)
	case len(s.open) > 0:
		r.Outcome, r.Err = shuin.Unknown, s.unknown
	case s.failure.rank > 0:
		r.Outcome, r.Err = shuin.Failed, s.failure.err
	default:
		r.Outcome, r.Err = shuin.Failed, &shuin.Error{
			Code: shuin.CodeStageMissing, Message: "no seal of stage " + st.name, Hint: e.sealHint(st.name),
		}
	}
	if len(s.seals) > 0 && e.incomplete != nil && !e.definite() {
		s.leaveOpen(seal{}, e.incomplete) // somebody else's seal may be there too
	}
	if e.definite() {
		s.open = nil
	}
	return r
}

// require decides by the rule's requirement.
func (e *evaluation) require(d *Decision) {
	r := e.selection.rule.require
	ok, stale, cut := e.satisfied(r, false)
	if ok {
		d.StaleUntil = stale
		return
	}
	for _, i := range e.unsatisfied(r, true) {
		st := e.told(d, i)
		st.Missing = st.Outcome == shuin.Failed
	}
	could, _, cutToo := e.satisfied(r, true)
	if could && !e.realistic(r) {
		d.Outcome, d.Err = Deny, e.hopeless(d, r)
		return
	}
	if could {
		d.Outcome, d.Err = Undecided, e.undecided(d, r)
		return
	}
	d.Outcome, d.Err = Deny, e.denial(d, r, cut || cutToo)
}

// told is what the decision says of a stage.
func (e *evaluation) told(d *Decision, stage int) *StageResult {
	return &d.Stages[e.stages[stage].place]
}

// satisfied says whether the seals suffice, until when they do, and whether a
// search was cut short; hopeful counts those that could be seals as such. A
// requirement is Unknown where the hopeful answer is yes and the other no.
func (e *evaluation) satisfied(r *requirement, hopeful bool) (ok bool, stale time.Time, cut bool) {
	key := asked{r, hopeful}
	if s, known := e.known[key]; known {
		return s.ok, s.stale, s.cut
	}
	if ok, stale, cut = e.satisfies(r, hopeful); r.op != isStage {
		if e.known == nil {
			e.known = map[asked]satisfaction{}
		}
		e.known[key] = satisfaction{ok, stale, cut}
	}
	return ok, stale, cut
}

func (e *evaluation) satisfies(r *requirement, hopeful bool) (ok bool, stale time.Time, cut bool) {
	switch r.op {
	case isStage:
		s := &e.stages[r.stage]
		for i := range s.seals {
			if i == 0 {
				stale = s.seals[i].stale
			}
			stale = later(stale, s.seals[i].stale)
		}
		return len(s.seals) > 0 || hopeful && len(s.open) > 0, stale, false
	case allOf:
		for _, one := range r.of {
			yes, until, short := e.satisfied(one, hopeful)
			cut = cut || short
			if !yes {
				return false, time.Time{}, cut
			}
			stale = earlier(stale, until)
		}
		return true, stale, cut
	case anyOf:
		for _, one := range r.of {
			yes, until, short := e.satisfied(one, hopeful)
			cut = cut || short
			if yes && ok {
				until = later(stale, until)
			}
			if yes {
				ok, stale = true, until
			}
		}
		return ok, stale, cut
	}
	return e.differentSigners(r, hopeful)
}
