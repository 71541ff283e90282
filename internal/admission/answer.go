package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// answer is what is sent, and what is told of it.
type answer struct {
	response
	outcome string // of an Observation
	code    shuin.Code
	err     error // of ours: for the log alone
}

// allowed lets it in without a question.
func skipped() answer { return answer{response: response{Allowed: true}, outcome: Skipped} }

// refuse does not let it in, for what is no verdict.
func refuse(err error) answer {
	a := answer{outcome: Denied, code: shuin.CodeOf(err)}
	if a.code.Undecided() {
		a.outcome = Undecided
	}
	text := printable(err.Error()) + " [" + string(a.code) + "]"
	if hint := shuin.HintOf(err); hint != "" {
		text += "; " + printable(hint)
	}
	a.Status = a.status(text)
	return a
}

// failed is a fault of ours: nothing is let in, and nothing told but that.
func failed(err error) answer {
	a := answer{outcome: Failed, code: shuin.CodeInternal, err: err}
	a.Status = a.status("the gate failed, and its log says how [" + string(shuin.CodeInternal) + "]; ask again, or tell who runs it")
	return a
}

// status says to the API server why. A denial is 403, which clients and
// controllers show; what could not be checked is 503, and with Retry-After,
// upon which clients of Kubernetes ask again by themselves, where asking again
// finds out more. (Not 504: controllers take that for "created".)
func (a *answer) status(text string) *status {
	s := &status{Status: "Failure", Message: cut(text, limits.AdmissionMessageBytes), Reason: "Forbidden", Code: 403}
	switch a.outcome {
	case Undecided:
		s.Reason, s.Code = "ServiceUnavailable", 503
		switch a.code {
		case shuin.CodeDeadline, shuin.CodeNotBegun:
			s.Details = &details{RetryAfterSeconds: limits.AdmissionRetryAfter}
		}
	case Failed:
		s.Reason, s.Code = "InternalError", 500
	}
	return s
}

// unreadable is why credentials that could not be read leave it undecided.
func unreadable(err error) error {
	code := shuin.CodeOf(err)
	if !code.Undecided() {
		code = shuin.CodeUnavailable
	}
	hint := shuin.HintOf(err)
	if hint == "" {
		hint = "let the gate read the service account and the pull secrets that the pod names"
	}
	return &shuin.Error{Code: code, Message: "read the credentials for the pod's images", Err: err, Hint: hint}
}

// validate answers a review that plan found images in.
func (s *Server) validate(ctx context.Context, q *question) answer {
	// A Pod's images have been pinned by now: what has no digest is judged as
	// what nobody pins. Those of owners will be, in their Pods.
	w, err := s.workload(ctx, q, !q.isPod())
	if err != nil {
		return refuse(unreadable(err))
	}
	v, err := s.decide(ctx, q, w)
	if err != nil {
		return failed(err)
	}
	q.verdict = v
	var a answer
	if a.Allowed = v.Allowed; a.Allowed {
		a.outcome, a.Warnings = Admitted, warnings(v)
	} else {
		a = s.denial(ctx, q, w, v)
	}
	a.Audit = audited(v)
	return a
}

// denial says in one line why a verdict does not let the object in.
func (s *Server) denial(ctx context.Context, q *question, w gate.Workload, v *gate.Verdict) answer {
	told := v.Images
	if unpinned := s.whyUnpinned(ctx, q, w, v); unpinned != nil {
		told = unpinned
	}
	a := answer{outcome: Undecided}
	var lines []string
	for i := range told {
		iv := &told[i]
		if v.Images[i].Allowed {
			continue
		}
		if a.code == "" {
			a.code = shuin.CodeOf(iv.Err)
		}
		if iv.Outcome == pipeline.Deny && a.outcome != Denied {
			a.outcome, a.code = Denied, shuin.CodeOf(iv.Err)
		}
		if line := strings.TrimPrefix(iv.Line(), "denied: "); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	a.Status = a.status(joined(lines, limits.AdmissionMessageBytes))
	return a
}

// joined is the lines in one, as many as there is room for; the first is always
// among them.
func joined(lines []string, room int) string {
	const more = "; and %d more"
	left := room - len(more) - 4
	var b strings.Builder
	for i, line := range lines {
		if i == 0 {
			b.WriteString(cut(line, left))
			continue
		}
		if b.Len()+2+len(line) > left {
			fmt.Fprintf(&b, more, len(lines)-i)
			break
		}
		b.WriteString("; " + line)
	}
	return b.String()
}

// whyUnpinned finds the reason why images of a Pod came to validate by their
// tags alone: mutate pins what is admitted, so that asking its question again
// tells what is wrong with the image. The answer changes what is said, and
// nothing else. Nil: no image was refused for that.
func (s *Server) whyUnpinned(ctx context.Context, q *question, w gate.Workload, v *gate.Verdict) []gate.ImageVerdict {
	if w.Pins {
		return nil
	}
	var refused []int
	for i := range v.Images {
		if iv := &v.Images[i]; !iv.Allowed && !q.expanded[i].digested && shuin.CodeOf(iv.Err) == shuin.CodeTagRefused {
			refused = append(refused, i)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	w.Pins = true
	about := q.about()
	about.Explains = true
	pinned, err := s.decide(context.WithValue(ctx, callerKey{}, about), q, w)
	if err != nil {
		return nil
	}
	told := slices.Clone(v.Images)
	for _, i := range refused {
		told[i] = pinned.Images[i]
		if told[i].Allowed {
			tooLate(&told[i])
		}
	}
	return told
}

// tooLate makes of what would be let in pinned what is said of it unpinned.
func tooLate(iv *gate.ImageVerdict) {
	iv.Allowed, iv.LastGood, iv.Exception = false, time.Time{}, nil
	if iv.Pinned == "" && iv.Err != nil { // its rule lets in what could not be checked, but there is no digest to pin it to
		return
	}
	// It was not known in time, or nobody asked.
	iv.Outcome = pipeline.Undecided
	iv.Err = &shuin.Error{
		Code:    shuin.CodeNotBegun,
		Message: "it is let in by its digest, and came to be validated by its tag alone",
		Hint:    "try again; if that does not help, the mutating webhook of Shuin does not run, or another changes the image after it",
	}
}

// warnings are what the user is told of what was let in: what a rule would
// deny that only warns, what serves because the world could not be asked, and
// exceptions.
func warnings(v *gate.Verdict) []string {
	var out []string
	room := limits.AdmissionWarnings
	for i := range v.Images {
		text := cut(warning(&v.Images[i]), limits.AdmissionWarningBytes)
		if text == "" || slices.Contains(out, text) {
			continue
		}
		if room -= len(text); room < 0 {
			break
		}
		out = append(out, text)
	}
	return out
}

func warning(iv *gate.ImageVerdict) string {
	image := cut(printable(iv.Image.Written), limits.AdmissionWarningBytes/2)
	switch {
	case iv.Outcome == pipeline.Admit && iv.Exception != nil:
		e := iv.Exception
		name := "an exception"
		if e.Name != "" {
			name = printable(e.Name)
		}
		return fmt.Sprintf("shuin: %s is admitted by %s of %s until %s: %s", image, name, printable(e.Owner), date(e.Expires), printable(e.Reason))
	case iv.Outcome == pipeline.Admit || iv.Mode == pipeline.Audit:
		return ""
	case !iv.LastGood.IsZero():
		return fmt.Sprintf("shuin: %s could not be checked now, and was good at %s: %s", image, date(iv.LastGood), reason(iv))
	case iv.Mode == pipeline.Warn && iv.Outcome == pipeline.Deny:
		return fmt.Sprintf("shuin: %s would be denied: %s", image, reason(iv))
	}
	return fmt.Sprintf("shuin: %s could not be checked: %s", image, reason(iv))
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// reason is the code first, for the text may be cut.
func reason(iv *gate.ImageVerdict) string {
	if iv.Err == nil {
		return "no reason was given"
	}
	return "[" + string(shuin.CodeOf(iv.Err)) + "] " + printable(iv.Err.Error())
}

// The keys of audit annotations; the API server puts the webhook's name before.
const (
	auditOutcome = "outcome"
	auditPolicy  = "policy"
	auditRules   = "rules"
	auditReasons = "reasons" // of images that were not admitted, also where they were let in
)

// audited is what the API server's audit log keeps.
func audited(v *gate.Verdict) map[string]string {
	var rules, reasons []string
	add := func(list *[]string, text string) {
		if text != "" && !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for i := range v.Images {
		iv := &v.Images[i]
		add(&rules, printable(iv.Rule))
		if iv.Outcome != pipeline.Admit || iv.Exception != nil {
			add(&reasons, iv.Line())
		}
	}
	out := map[string]string{auditPolicy: v.Policy.String()}
	switch v.Outcome {
	case pipeline.Admit:
		out[auditOutcome] = "admit"
	case pipeline.Deny:
		out[auditOutcome] = "deny"
	default:
		out[auditOutcome] = "undecided"
	}
	if len(rules) > 0 {
		out[auditRules] = cut(strings.Join(rules, ","), limits.AdmissionAuditBytes)
	}
	if len(reasons) > 0 {
		out[auditReasons] = joined(reasons, limits.AdmissionAuditBytes)
	}
	return out
}
