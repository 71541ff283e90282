package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
)

// Survey is what each signature of an artifact amounts to for each of several
// statements. One signature is examined once, whatever the number of
// statements.
type Survey struct {
	Signatures []Surveyed
	// Err says why the signatures are not all there are: the listing failed
	// (its code is Undecided), or a limit was hit (shuin.CodeLimit). Nil: they are.
	Err error
}

// Surveyed is one candidate.
type Surveyed struct {
	// Report is what can be said of the signature whatever the statement: its
	// Result, Err and Checks are those of the answer that came nearest.
	Report shuin.SignatureReport
	// Answers are the judgements, one per statement asked about, in their order.
	Answers []Judgement
	// Metadata is the signed user metadata; empty where no answer is
	// Authentic or where the envelope does not hold together: then it is a
	// stranger's word. It may be large: limits.PayloadBytes bounds it.
	Metadata map[string]string
	// Grounds are what the signature rests on that may be revoked; none where no
	// answer is Verified.
	Grounds []Ground
	// ClaimedStage is the stage that the payload names ([shuin.MetadataStage]),
	// whoever wrote it: it tells what a signature was meant for, and makes
	// nothing good.
	ClaimedStage string
	// Err says that the candidate could not be fetched or read, and is then
	// the reason in every answer.
	Err error
}

// Survey judges every candidate signature of a by each of the statements,
// where [Verifier.Verify] stops at the first good one of one statement.
// Evidence that several judgements want (revocation, timestamps, AWS Signer's
// status) is asked for once. Statements of level skip are not allowed here.
//
// The limits are Verify's; signature checks on a signature that is good for
// one of the statements are not in vain.
func (v *Verifier) Survey(ctx context.Context, a shuin.Artifact, sigs Signatures, statements []*policy.Statement, o Options) *Survey {
	out := &Survey{}
	if slices.ContainsFunc(statements, func(s *policy.Statement) bool { return s == nil || s.Level.Skip() }) {
		out.Err = &shuin.Error{Code: shuin.CodeInternal, Message: "a survey was asked about a statement that verifies nothing"}
		return out
	}
	r := &run{v: v, ctx: ctx, artifact: a, o: o, statements: statements, loaded: make([]typedAnchors, len(statements)),
		survey: out, report: &shuin.Report{Artifact: a, VerifiedBy: -1}}
	more, listing, refused := r.candidates(sigs)
	switch {
	case refused != nil:
		out.Err = refused
	case more:
		out.Err = &shuin.Error{
			Code: shuin.CodeLimit, Hint: fewerSignatures,
			Message: fmt.Sprintf("the artifact has more than %d signatures", r.maximum),
		}
	default:
		out.Err = listing
	}
	return out
}

// surveyed judges one candidate by each statement.
func (r *run) surveyed(s shuin.Signature, e *examination) (good bool) {
	out := Surveyed{Answers: make([]Judgement, len(r.statements)), Err: s.Err}
	nearest, authentic := &Judgement{Result: shuin.NotVerified, Err: errNothingAsked}, false
	for i := range r.statements {
		j := e.answer(s, i)
		out.Answers[i] = *j
		authentic = authentic || j.Authentic
		if i == 0 || nearer(j, nearest) {
			nearest = &out.Answers[i]
		}
	}
	out.Report = signatureReport(s, e.facts, nearest)
	if authentic && e.facts.Integrity == nil {
		out.Metadata = e.facts.Payload.TargetArtifact.Annotations
	}
	out.ClaimedStage, out.Grounds = claimedStage(e.facts), e.grounds(out.Answers)
	r.report.Signatures = append(r.report.Signatures, out.Report)
	r.survey.Signatures = append(r.survey.Signatures, out)
	return nearest.Result == shuin.Verified
}

// claimedStage reads it from a payload of moderate size, also where nobody
// checked whose it is.
func claimedStage(f *Facts) string {
	if f == nil || f.Envelope == nil {
		return ""
	}
	p := f.Payload
	if p.TargetArtifact.Digest == "" && len(f.Envelope.Payload) <= limits.ClaimBytes {
		p, _ = envelope.ParsePayload(f.Envelope.Payload)
	}
	if stage := p.TargetArtifact.Annotations[shuin.MetadataStage]; len(stage) <= limits.ClaimedStageBytes {
		return strings.Clone(stage)
	}
	return ""
}

var errNothingAsked = &shuin.Error{Code: shuin.CodeNoPolicy, Message: "no statement was asked about"}

// nearer says whether a came nearer to being good than b.
func nearer(a, b *Judgement) bool {
	if x, y := resultRank(a.Result), resultRank(b.Result); x != y {
		return x < y
	}
	if a.Authentic != b.Authentic {
		return a.Authentic
	}
	return rankOf(a.Err) < rankOf(b.Err)
}

func resultRank(r shuin.Result) int {
	return slices.Index([]shuin.Result{shuin.Verified, shuin.Undecided, shuin.NotVerified}, r)
}

// authenticate says whose signature it is, also where something else fails it
// and identities were not looked at for that reason.
func (c *Case) authenticate(j *Judgement) {
	f := c.Facts
	if f.Chain == nil || anchoredAt(f.Envelope.Chain, c.Anchors.Stores) < 0 {
		return
	}
	if j.Identity != "" {
		j.Authentic = true
		return
	}
	look := &judging{Case: c, out: &Judgement{TrustStore: j.TrustStore}}
	if look.out.TrustStore == "" {
		look.anchor()
	}
	switch {
	case look.builtIn():
		if look.signer(); look.out.Signed.Job.ID == "" {
			return
		}
	case look.can(CapabilityTrustedIdentity) || f.plugin.Name != "" && c.Plugin == nil:
		// The identity is the plugin's to judge. Where it was not asked, the
		// signature may be anybody's that the store anchors: it counts as one
		// that could be this signer's.
		answer, answered := c.Plugin.answerTo(CapabilityTrustedIdentity)
		j.Authentic = !answered || answer
		return
	}
	look.checks[iAuthenticity] = shuin.Check{}
	look.identity()
	j.Identity, j.Authentic = look.out.Identity, look.out.Identity != ""
}

// answerTo is what the plugin said about check, where it was asked.
func (p *PluginEvidence) answerTo(check string) (passed, answered bool) {
	if p == nil || !p.Answered {
		return false, false
	}
	r, ok := p.Answer.Results[check]
	return r.Success, ok
}
