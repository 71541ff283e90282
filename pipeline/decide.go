package pipeline

import (
	"fmt"
	"slices"
	"strings"
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

func (s *Selection) noRule() error {
	where := ""
	if s.question.Where != (Where{}) {
		where = " in this place"
	}
	return &shuin.Error{
		Code:    shuin.CodeNoPolicy,
		Message: fmt.Sprintf("no rule matches %s%s, and the default is deny%s", s.question.Repository, where, s.expired()),
		Hint:    "run \"shuin policy explain " + s.image() + "\", and add a rule or its pattern",
	}
}

// image is the image asked about, as a command takes it.
func (s *Selection) image() string {
	if s.question.Digest == "" {
		return s.question.Repository
	}
	return s.question.Repository + "@" + s.question.Digest.String()
}

// expired tells of an exception that is over.
func (s *Selection) expired() string {
	if s.Expired == nil {
		return ""
	}
	return fmt.Sprintf("; the exception %q of %s expired at %s", s.Expired.Reason, s.Expired.Owner, s.Expired.Expires.Format(time.RFC3339))
}

// evaluation is a decision in the making.
type evaluation struct {
	policy     *Policy
	selection  *Selection
	candidates []Candidate
	incomplete error
	now        time.Time
	stages     []sealing // in step with policy.stages
	keys       map[string]int
}

// sealing is what the candidates amount to for one stage.
type sealing struct {
	seals   []seal // good
	open    []seal // could be
	failure failure
	unknown error // why some are open
	place   int   // in Decision.Stages
}

// seal is a signature that counts for a stage, or may.
type seal struct {
	candidate *Candidate
	identity  string
	time      time.Time
	stale     time.Time // zero: never
	signers   keyset
}

// failure is why a signature that concerns a stage is no seal.
type failure struct {
	err  error
	rank int // 0: there is none
}

// closest are the codes in the order of what is told where signatures fail for
// several reasons. What is not listed comes before stage-missing.
var closest = []shuin.Code{
	shuin.CodeRevoked, shuin.CodeExpired, shuin.CodeMetadataMismatch, shuin.CodeSealTooOld, shuin.CodeTampered,
	shuin.CodePluginFailed, shuin.CodeTooOld, shuin.CodeLimit, shuin.CodeMalformed, shuin.CodeUntrusted,
}

// telling is how much a reason tells: more is better.
func telling(err error) int {
	code := shuin.CodeOf(err)
	if code == shuin.CodeStageMissing {
		return 1
	}
	if i := slices.Index(closest, code); i >= 0 {
		return 2 + len(closest) - i
	}
	return 2
}

func (f *failure) consider(err error, authentic bool) {
	rank := telling(err)
	if authentic {
		rank += 100 // came nearer than any stranger's
	}
	if rank > f.rank {
		*f = failure{err, rank}
	}
}

// judge fills d.Stages.
func (e *evaluation) judge(d *Decision) {
	if d.Stages == nil {
		return
	}
	var required []int
	if r := e.selection.rule; r != nil {
		required = r.require.stages(nil)
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

// candidate adds what one signature is for one stage.
func (e *evaluation) candidate(s *sealing, index int, c *Candidate) {
	st := &e.policy.stages[index]
	if c.Err != nil {
		if shuin.CodeOf(c.Err).Undecided() {
			s.leaveOpen(seal{candidate: c}, c.Err)
		} else if e.policy.trustPolicy {
			s.failure.consider(c.Err, false)
		}
		return
	}
	named, claims := c.Metadata[shuin.MetadataStage], c.Claims
	if named != "" {
		claims = named
	}
	if e.policy.trustPolicy {
		named, claims = st.name, st.name
	}
	if claims != "" && claims != st.name {
		return
	}
	for _, index := range st.signers {
		if index < len(c.Answers) {
			e.answer(s, st, c, index, named != "", claims != "")
		}
	}
}

// answer adds what one signature is for one of a stage's signers.
func (e *evaluation) answer(s *sealing, st *stage, c *Candidate, signer int, named, claimed bool) {
	a := &c.Answers[signer]
	switch {
	case !claimed && !a.Authentic && a.Result != shuin.Verified && a.Result != shuin.Undecided:
		return // a stranger's, of which nothing says that it was meant for this stage
	case !named && e.ambiguous(st, c):
		s.failure.consider(&shuin.Error{
			Code:    shuin.CodeStageMissing,
			Message: fmt.Sprintf("a signature that could seal stage %s names no stage, and its signer is another stage's too", st.name),
			Hint:    "seal it again with \"shuin seal --stage " + st.name + "\", which signs the stage's name",
		}, true)
		return
	case a.Result != shuin.Verified && a.Result != shuin.Undecided:
		err := a.Err
		if err == nil {
			err = &shuin.Error{Code: shuin.CodeInternal, Message: "a signature was refused without a reason"}
		}
		s.failure.consider(err, a.Authentic)
		return
	}
	if err := e.wanting(st, c, a); err != nil {
		s.failure.consider(err, true)
		return
	}
	one := seal{candidate: c, identity: e.identity(signer, a), time: a.Time, stale: earlier(a.StaleUntil, e.maxAgeEnd(st, a)), signers: e.signersOf(c, signer, a)}
	if a.Result == shuin.Verified {
		s.seals = append(s.seals, one)
		return
	}
	if !a.Authentic {
		one.signers = keyset{} // nobody knows yet
	}
	s.leaveOpen(one, a.Err)
}

func (s *sealing) leaveOpen(one seal, err error) {
	s.open = append(s.open, one)
	if s.unknown == nil {
		s.unknown = err
	}
}

// ambiguous says whether a signature that names no stage may be for another
// stage than st: a signer of one made it.
func (e *evaluation) ambiguous(st *stage, c *Candidate) bool {
	for i := range e.policy.stages {
		other := &e.policy.stages[i]
		if other == st {
			continue
		}
		for _, index := range other.signers {
			if index < len(c.Answers) && c.Answers[index].Authentic {
				return true
			}
		}
	}
	return false
}

// wanting says what the stage wants of a seal that a good signature has not.
func (e *evaluation) wanting(st *stage, c *Candidate, a *Answer) error {
	var keys []string
	for k, v := range st.metadata {
		if got, ok := c.Metadata[k]; !ok || got != v {
			keys = append(keys, k)
		}
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		k := keys[0]
		got := "it has none"
		if v, ok := c.Metadata[k]; ok {
			got = fmt.Sprintf("it has %.100q", v)
		}
		return &shuin.Error{
			Code:    shuin.CodeMetadataMismatch,
			Message: fmt.Sprintf("stage %s wants signed metadata %s=%q, and %s", st.name, k, st.metadata[k], got),
			Hint:    "the step signed what it found: repair what it looked at, and run it again",
		}
	}
	switch {
	case st.maxAge == 0:
	case a.Time.IsZero():
		return &shuin.Error{
			Code:    shuin.CodeSealTooOld,
			Message: fmt.Sprintf("stage %s wants seals of the last %s, and this one has no time that can be believed", st.name, st.maxAge),
			Hint:    "have it sealed again, with a timestamp or by a signing profile",
		}
	case !e.now.Before(a.Time.Add(st.maxAge)):
		return &shuin.Error{
			Code:    shuin.CodeSealTooOld,
			Message: fmt.Sprintf("stage %s wants seals of the last %s, and this one is of %s", st.name, st.maxAge, a.Time.UTC().Format(time.RFC3339)),
			Hint:    "run the step again and seal its result",
		}
	}
	return nil
}

func (e *evaluation) maxAgeEnd(st *stage, a *Answer) time.Time {
	if st.maxAge == 0 || a.Time.IsZero() {
		return time.Time{}
	}
	return a.Time.Add(st.maxAge)
}

// identity is who sealed: a profile without its version, or what matched.
func (e *evaluation) identity(signer int, a *Answer) string {
	if p := e.policy.signers[signer].Profile; p != "" {
		return p
	}
	return a.Identity
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

func (e *evaluation) sealHint(stage string) string {
	if e.policy.trustPolicy {
		return "have the image signed by an identity that the trust policy names"
	}
	return fmt.Sprintf("when the step has passed, run \"shuin seal %s --stage %s -- COMMAND\"", e.selection.image(), stage)
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

// undecided is the reason of a decision that could not be made.
func (e *evaluation) undecided(d *Decision, r *requirement) error {
	var cause error
	for _, i := range e.unsatisfied(r, true) {
		if cause == nil && e.told(d, i).Outcome == shuin.Unknown {
			cause = e.told(d, i).Err
		}
	}
	if cause == nil { // all are sealed, and others may have sealed too: only then atLeast is open
		for _, i := range r.stages(nil) {
			if cause == nil {
				cause = e.stages[i].unknown
			}
		}
	}
	return &shuin.Error{
		Code: shuin.CodeOf(cause), Err: cause, Hint: shuin.HintOf(cause),
		Message: fmt.Sprintf("rule %q could not be checked: %s%s", e.selection.Rule, e.list(d, r), e.selection.expired()),
	}
}

// denial is the reason of a denial: every stage that is missing, and the code
// that tells most.
func (e *evaluation) denial(d *Decision, r *requirement, cut bool) error {
	out := &shuin.Error{Code: shuin.CodeStageMissing, Hint: "run \"shuin policy explain " + e.selection.image() + "\""}
	best := 0
	for _, i := range e.unsatisfied(r, true) {
		st := e.told(d, i)
		if st.Outcome != shuin.Failed {
			continue
		}
		if rank := telling(st.Err); rank > best {
			best, out.Code, out.Err, out.Hint = rank, shuin.CodeOf(st.Err), st.Err, shuin.HintOf(st.Err)
		}
	}
	switch {
	case e.definite():
		out.Code, out.Err, out.Hint = shuin.CodeOf(e.incomplete), e.incomplete, shuin.HintOf(e.incomplete)
	case len(e.candidates) == 0:
		out.Code, out.Err = shuin.CodeUnsigned, nil
	case cut:
		out.Code, out.Err = shuin.CodeLimit, nil
		out.Hint = "the image has more seals by different signers than are tried: have it sealed anew, or ask for fewer stages"
	case out.Code == shuin.CodeStageMissing:
		out.Err = nil // the list says it
	}
	if out.Hint == "" {
		out.Hint = "run \"shuin policy explain " + e.selection.image() + "\""
	}
	out.Message = fmt.Sprintf("rule %q: %s%s", e.selection.Rule, e.list(d, r), e.selection.expired())
	return out
}

// list names every stage that is missing, and what else is wanting.
func (e *evaluation) list(d *Decision, r *requirement) string {
	var items []string
	for _, i := range e.unsatisfied(r, true) {
		st := e.told(d, i)
		items = append(items, st.Stage+" ("+because(st)+")")
	}
	var parts []string
	if len(items) > 0 {
		parts = append(parts, "missing stages: "+strings.Join(items, ", "))
	}
	for _, one := range e.sameSigners(r) {
		parts = append(parts, fmt.Sprintf("%d different signers are wanted for %s, and some are the same", one.n, one.text(e.policy)))
	}
	return strings.Join(parts, "; ")
}

// because is a stage's reason in a word.
func because(s *StageResult) string {
	code := shuin.CodeOf(s.Err)
	switch {
	case s.Outcome == shuin.Unknown:
		return "could not check: " + string(code)
	case code == shuin.CodeStageMissing && shuin.HintOf(s.Err) != "" && strings.Contains(s.Err.Error(), "names no stage"):
		return "no seal names it"
	case code == shuin.CodeStageMissing:
		return "no seal"
	}
	return string(code)
}

// unsatisfied are the stages without a seal in those parts of r that are not
// satisfied.
func (e *evaluation) unsatisfied(r *requirement, top bool) []int {
	if ok, _, _ := e.satisfied(r, false); ok {
		return nil
	}
	if r.op == isStage {
		return []int{r.stage}
	}
	var out []int
	for _, one := range r.of {
		for _, i := range e.unsatisfied(one, false) {
			if !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	if top {
		slices.Sort(out)
	}
	return out
}

// sameSigners are the requirements for different signers in r that are not
// satisfied though enough of their items are.
func (e *evaluation) sameSigners(r *requirement) []*requirement {
	if ok, _, _ := e.satisfied(r, false); ok || r.op == isStage {
		return nil
	}
	var out []*requirement
	sealed := 0
	for _, one := range r.of {
		if ok, _, _ := e.satisfied(one, false); ok {
			sealed++
		}
		out = append(out, e.sameSigners(one)...)
	}
	if r.op == atLeast && sealed >= r.n {
		out = append(out, r)
	}
	return out
}
