package gate

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// subject is one manifest that was surveyed: the image itself, or the image of
// one platform of it.
type subject struct {
	artifact shuin.Artifact
	platform string // empty: the image itself
	// seals are the candidates, with the end of each answer as
	// verify.Judgement.Ends has it.
	seals      []pipeline.Candidate
	ends       [][]time.Time
	incomplete error           // why they are not all
	grounds    []verify.Ground // of all of them; empty once the answer has them
}

// answer is what a survey led to. It is shared and never changed.
type answer struct {
	artifact shuin.Artifact // zero: it could not be resolved
	// whole is the image itself and parts its platforms, as far as they were
	// surveyed; nil: they were not.
	whole *subject
	parts []*subject
	// decision is what follows from them at the time the survey was made.
	decision *pipeline.Decision
	reports  []shuin.SignatureReport
	// grounds are what the good seals rest on, those of the parts too, where the
	// answer is good; sorted, each once.
	grounds []verify.Ground
	at      time.Time
	turn    uint64 // of the memory, when it was begun
	fault   bool   // nothing was surveyed, or a fault of ours: not to be remembered
}

// good says whether the answer admits.
func (a *answer) good() bool { return a.decision.Outcome == pipeline.Admit }

// until is how long the answer may be given again; it is not after a.at where
// it may not.
func (a *answer) until() time.Time {
	life := limits.GateAdmitLife
	switch {
	case a.fault || a.decision.Outcome == pipeline.Undecided:
		return a.at
	case a.decision.Outcome == pipeline.Deny:
		life = limits.GateDenyLife
	}
	end := a.at.Add(life)
	if s := a.decision.StaleUntil; !s.IsZero() && s.Before(end) {
		return s
	}
	return end
}

// decide answers for one subject.
func (s *subject) decide(sel *pipeline.Selection, now time.Time) *pipeline.Decision {
	return sel.Decide(s.seals, s.incomplete, now)
}

// compose answers for an image from what was surveyed of it. Three-valued: a
// platform that is denied decides each, one way that admits decides either.
func compose(sel *pipeline.Selection, index digest.Digest, whole *subject, parts []*subject, now time.Time) *pipeline.Decision {
	if whole == nil {
		return each(sel, index, parts, now)
	}
	d := whole.decide(sel, now)
	if parts == nil || d.Outcome == pipeline.Admit {
		return d
	}
	p := each(sel, index, parts, now)
	switch {
	case p.Outcome == pipeline.Admit:
		return p
	case d.Outcome == pipeline.Deny && p.Outcome == pipeline.Undecided:
		return p
	}
	return d
}

// each joins what is so of every platform. What to do is told of the platform
// and not of the index it is in.
func each(sel *pipeline.Selection, index digest.Digest, parts []*subject, now time.Time) *pipeline.Decision {
	var out *pipeline.Decision
	for _, s := range parts {
		d := s.decide(sel, now)
		if d.Err != nil {
			own := s.artifact.Digest().String()
			d.Err = &shuin.Error{
				Code: shuin.CodeOf(d.Err), Hint: strings.ReplaceAll(shuin.HintOf(d.Err), index.String(), own), Err: d.Err,
				Message: "platform " + s.platform + " (" + own + ")",
			}
		}
		if out == nil {
			first := *d
			first.Stages = slices.Clone(d.Stages)
			out = &first
			continue
		}
		out.Stages = worseStages(out.Stages, d.Stages)
		out.StaleUntil = earlier(out.StaleUntil, d.StaleUntil)
		if worse(d.Outcome, out.Outcome) || d.Outcome == pipeline.Undecided && out.Outcome == pipeline.Undecided && absent(d.Err) && !absent(out.Err) {
			out.Outcome, out.Err = d.Outcome, d.Err
		}
	}
	if out == nil {
		return sel.Decide(nil, errNoPlatform, now)
	}
	return out
}

// errNoPlatform: nothing sealed is not everything sealed.
var errNoPlatform = &shuin.Error{
	Code: shuin.CodeMalformed, Message: "the image is an index that holds no image of any platform",
	Hint: "push an index with images, or set platforms of the rule to index",
}

// worse orders outcomes: Deny, Undecided, Admit.
func worse(a, b pipeline.Outcome) bool { return severity(a) > severity(b) }

func severity(o pipeline.Outcome) int {
	switch o {
	case pipeline.Admit:
		return 0
	case pipeline.Undecided:
		return 1
	}
	return 2
}

// worseStages says of each stage the worse of what is so of two platforms.
func worseStages(a, b []pipeline.StageResult) []pipeline.StageResult {
	rank := func(o shuin.Outcome) int {
		return slices.Index([]shuin.Outcome{shuin.Passed, shuin.Skipped, shuin.Unknown, shuin.Failed}, o)
	}
	for i := range min(len(a), len(b)) {
		stale := earlier(a[i].StaleUntil, b[i].StaleUntil)
		if rank(b[i].Outcome) > rank(a[i].Outcome) {
			a[i] = b[i]
		}
		if a[i].Outcome == shuin.Passed {
			a[i].StaleUntil = stale
		}
	}
	return a
}

// earlier is the earlier of two ends, zero being none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// again answers anew from the same seals, at a later time: what has ended
// since does not count any more.
func (a *answer) again(sel *pipeline.Selection, now time.Time) *pipeline.Decision {
	whole := a.whole
	if whole != nil {
		whole = whole.endedBy(now)
	}
	var parts []*subject
	for _, p := range a.parts {
		parts = append(parts, p.endedBy(now))
	}
	return compose(sel, a.artifact.Digest(), whole, parts, now)
}

// endedBy is s without what has ended by now.
func (s *subject) endedBy(now time.Time) *subject {
	out := *s
	out.seals = slices.Clone(s.seals)
	for i := range out.seals {
		for k, end := range s.ends[i] {
			if end.IsZero() || now.Before(end) {
				continue
			}
			out.seals[i].Answers = slices.Clone(out.seals[i].Answers)
			out.seals[i].Answers[k].Result = shuin.NotVerified
			out.seals[i].Answers[k].Err = &shuin.Error{Code: shuin.CodeExpired, Message: "it expired since it was last checked"}
		}
	}
	return &out
}

// newSubject makes values of a survey that hold on to nothing of it.
func newSubject(a shuin.Artifact, platform string, s *verify.Survey) (*subject, []shuin.SignatureReport) {
	out := &subject{artifact: a, platform: platform, incomplete: flat(s.Err)}
	var reports []shuin.SignatureReport
	for i := range s.Signatures {
		x := &s.Signatures[i]
		c := pipeline.Candidate{
			Digest: x.Report.Digest, Err: flat(x.Err), Metadata: x.Metadata, Claims: x.ClaimedStage,
			Answers: make([]pipeline.Answer, len(x.Answers)),
		}
		if x.Report.Signer != nil {
			c.Subject = x.Report.Signer.Subject
		}
		ends := make([]time.Time, len(x.Answers))
		var told error // the same reason for many statements is kept once
		for k := range x.Answers {
			j := &x.Answers[k]
			reason := flat(j.Err)
			if told != nil && reason != nil && told.Error() == reason.Error() {
				reason = told
			}
			told = reason
			c.Answers[k] = pipeline.Answer{
				Result: j.Result, Err: reason, Authentic: j.Authentic, Identity: identityOf(j), Time: j.Time, StaleUntil: j.StaleUntil,
			}
			ends[k] = j.Ends
		}
		out.seals, out.ends = append(out.seals, c), append(out.ends, ends)
		out.grounds = append(out.grounds, x.Grounds...)
		if len(reports) < limits.GateReports {
			reports = append(reports, slim(x.Report))
		}
	}
	return out, reports
}

// identityOf is who made the signature: a signing profile without its version,
// for all versions are one identity.
func identityOf(j *verify.Judgement) string {
	if j.Identity != "" && j.Signed.Job.ID != "" {
		return j.Signed.Profile.Unversioned().String()
	}
	return j.Identity
}

// settled drops what an answer that is remembered does not need: candidates
// that nobody vouches for, and metadata once it was judged where nothing can
// ask for it again.
func (s *subject) settled(good bool) *subject {
	if s == nil || !good {
		return nil
	}
	out := *s
	out.seals, out.ends, out.grounds = nil, nil, nil
	for i, c := range s.seals {
		if !slices.ContainsFunc(c.Answers, func(a pipeline.Answer) bool { return a.Authentic || a.Result == shuin.Verified }) {
			continue
		}
		if sizeOf(c.Metadata) > limits.GateMetadataBytes {
			stage, named := c.Metadata[shuin.MetadataStage]
			if c.Metadata = nil; named { // without it the seal would count for any stage
				c.Metadata = map[string]string{shuin.MetadataStage: clip(stage, limits.ClaimedStageBytes)}
			}
		}
		out.seals, out.ends = append(out.seals, c), append(out.ends, s.ends[i])
	}
	return &out
}

// slim is a report that is worth keeping: its reasons as text, and no more
// than they say where that is too much.
func slim(r shuin.SignatureReport) shuin.SignatureReport {
	r.Err = flat(r.Err)
	if sizeOf(r.Metadata) > limits.GateMetadataBytes {
		r.Metadata = nil
	}
	r.Checks = slices.Clone(r.Checks)
	for i := range r.Checks {
		if r.Checks[i].Err != nil && shuin.CodeOf(r.Checks[i].Err) == shuin.CodeOf(r.Err) && r.Err != nil {
			r.Checks[i].Err = r.Err
		} else {
			r.Checks[i].Err = flat(r.Checks[i].Err)
		}
	}
	if reportWeight(&r) > limits.GateReportBytes {
		return shuin.SignatureReport{Digest: r.Digest, EnvelopeMediaType: r.EnvelopeMediaType, Result: r.Result, Err: r.Err}
	}
	return r
}

func sizeOf(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v) + 32
	}
	return n
}

// flat is err as text: what it was made of (certificates, an envelope) is let
// go. Code and hint stay.
func flat(err error) error {
	if err == nil {
		return nil
	}
	return &shuin.Error{
		Code: shuin.CodeOf(err), Message: clip(err.Error(), limits.GateReasonBytes), Hint: clip(shuin.HintOf(err), limits.GateReasonBytes),
	}
}

// clip is at most n bytes of s, of its own memory, and says where it was cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return strings.Clone(s)
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func errorWeight(err error) int {
	var e *shuin.Error
	if err == nil || !errors.As(err, &e) {
		return 0
	}
	return 64 + len(e.Message) + len(e.Hint)
}

func reportWeight(r *shuin.SignatureReport) int {
	n := 512 + len(r.TrustStore) + len(r.Identity) + len(r.SigningProfile) + len(r.SigningJob) + sizeOf(r.Metadata) + errorWeight(r.Err)
	if r.Signer != nil {
		n += len(r.Signer.Subject) + len(r.Signer.Issuer) + len(r.Signer.Root) + 128
	}
	for i := range r.Checks {
		n += 64
		if r.Checks[i].Err != r.Err {
			n += errorWeight(r.Checks[i].Err)
		}
	}
	return n
}

// weight is about how many bytes the answer holds.
func (a *answer) weight() int {
	n := 512 + errorWeight(a.decision.Err) + len(a.grounds)*len(verify.Ground{})
	for i := range a.decision.Stages {
		n += 256 + errorWeight(a.decision.Stages[i].Err)
	}
	for i := range a.reports {
		n += reportWeight(&a.reports[i])
	}
	for _, s := range append(slices.Clone(a.parts), a.whole) {
		if s == nil {
			continue
		}
		n += 256
		for i := range s.seals {
			c := &s.seals[i]
			n += 256 + len(c.Subject) + sizeOf(c.Metadata)
			for k := range c.Answers {
				n += 128 + len(c.Answers[k].Identity) + errorWeight(c.Answers[k].Err)
			}
		}
	}
	return n
}
