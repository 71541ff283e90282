package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
)

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

func (e *evaluation) sealHint(stage string) string {
	if e.policy.trustPolicy {
		return "have the image signed by an identity that the trust policy names"
	}
	return fmt.Sprintf("when the step has passed, run \"shuin seal %s --policy FILE --stage %s -- COMMAND\"", e.selection.image(), stage)
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

// hopeless is the reason of a denial where what could not be checked could seal
// each missing stage, and cannot seal all of them.
func (e *evaluation) hopeless(d *Decision, r *requirement) error {
	return &shuin.Error{
		Code: shuin.CodeStageMissing, Hint: "run \"shuin policy explain " + e.selection.image() + "\"",
		Message: fmt.Sprintf("rule %q: %s; a signature seals one stage, and there are fewer that could not be checked than stages are missing%s", e.selection.Rule, e.list(d, r), e.selection.expired()),
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
