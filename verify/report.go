package verify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

// signatureReport is what a Report says of one candidate. facts is nil when
// the candidate could not be fetched.
func signatureReport(s shuin.Signature, facts *Facts, j *Judgement) shuin.SignatureReport {
	out := shuin.SignatureReport{
		Digest: s.Manifest.Digest, EnvelopeMediaType: s.EnvelopeMediaType,
		Result: j.Result, Err: j.Err, Checks: j.Checks,
		TrustStore: j.TrustStore, Identity: j.Identity, TimeSource: j.TimeSource,
	}
	out.TimestampTime = timeOrNil(j.TimestampTime)
	if facts == nil || facts.Envelope == nil {
		return out
	}
	e := facts.Envelope
	out.Scheme, out.Algorithm = string(e.Scheme), e.Algorithm.String()
	if facts.chain != nil && !facts.unexamined() {
		signer := facts.chain.signer // a copy: the chain may be shared by others
		out.Signer = &signer
	}
	if facts.Integrity != nil {
		return out // the rest is nobody's word
	}
	if e.Scheme == envelope.SchemeSigningAuthority {
		out.SigningTime = timeOrNil(e.AuthenticSigningTime)
	} else {
		out.SigningTime = timeOrNil(e.SigningTime)
	}
	out.Expiry = timeOrNil(e.Expiry)
	if j.Result == shuin.Verified || passed(j, shuin.CheckArtifact) && passed(j, shuin.CheckAuthenticity) {
		// Not a stranger's: a Report may have many of those, a megabyte each.
		out.Metadata = facts.Payload.TargetArtifact.Annotations
		if j.Signed.Job.ID != "" && passed(j, shuin.CheckAuthenticity) { // nor where that is only logged
			out.SigningProfile, out.SigningJob = j.Signed.Profile.String(), j.Signed.Job.String()
		}
	}
	return out
}

func passed(j *Judgement, name shuin.CheckName) bool {
	return slices.ContainsFunc(j.Checks, func(c shuin.Check) bool { return c.Name == name && c.Outcome == shuin.Passed })
}

// timeOrNil copies, so that a Report does not keep the envelope alive.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// resultOf is the result an error alone leads to.
func resultOf(err error) shuin.Result {
	if shuin.CodeOf(err).Undecided() {
		return shuin.Undecided
	}
	return shuin.NotVerified
}

// fail ends a run that judged nothing.
func (r *run) fail(err error) *shuin.Report {
	r.report.Result, r.report.Err = resultOf(err), err
	return r.report
}

// conclude makes the Report of an artifact without a good signature. A limit
// that was hit fails, or junk could keep a verifier from deciding; after that,
// whatever could not be checked might have been the good one.
func (r *run) conclude(more bool, listing error) *shuin.Report {
	if more {
		return r.fail(&shuin.Error{
			Code:    shuin.CodeLimit,
			Message: fmt.Sprintf("none of the first %d signatures verified, and the artifact has more", r.maximum),
			Hint:    fewerSignatures,
			Err:     r.mostTelling(shuin.NotVerified),
		})
	}
	if listing != nil {
		return r.fail(listing)
	}
	if len(r.report.Signatures) == 0 {
		return r.fail(&shuin.Error{
			Code:    shuin.CodeUnsigned,
			Message: "the artifact has no signature",
			Hint:    "sign it, or check that the signatures were copied along with it",
		})
	}
	if err := r.mostTelling(shuin.Undecided); err != nil {
		return r.fail(r.summary(err))
	}
	return r.fail(r.summary(r.mostTelling(shuin.NotVerified)))
}

// tooMuchWork ends a run in which bad signatures took all the work that one
// artifact is worth. It is never "could not check": junk must not decide that.
func (r *run) tooMuchWork(most int) error {
	e := &shuin.Error{
		Code: shuin.CodeLimit, Hint: fewerSignatures,
		Message: fmt.Sprintf("none of the first %d signatures verified, and they took more than %d signature checks (limit ChecksInVain)", len(r.report.Signatures), most),
		Err:     r.mostTelling(shuin.NotVerified),
	}
	if r.survey != nil {
		e.Message, e.Err = fmt.Sprintf("of the first %d signatures, bad ones took more than %d signature checks (limit ChecksInVain)", len(r.report.Signatures), most), nil
	}
	return e
}

const fewerSignatures = "remove signatures nobody needs, or raise the number of signatures verified for one artifact"

// summary says how many signatures there were; the reason's code and hint stay.
func (r *run) summary(err error) error {
	msg := "the signature does not verify"
	n := len(r.report.Signatures)
	switch undecided := resultOf(err) == shuin.Undecided; {
	case undecided && n == 1:
		msg = "the signature could not be checked"
	case undecided:
		msg = fmt.Sprintf("none of the %d signatures verifies, and not all could be checked", n)
	case n > 1:
		msg = fmt.Sprintf("none of the %d signatures verifies; the nearest", n)
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Message: msg, Hint: shuin.HintOf(err), Err: err}
}

// nearness orders reasons by how far a signature came: one that is revoked was
// made by somebody trusted, one by a stranger says less, and one that cannot
// be read says least.
var nearness = []shuin.Code{
	shuin.CodeRevoked, shuin.CodeExpired, shuin.CodeMetadataMismatch, shuin.CodePluginFailed, shuin.CodeTooOld,
	shuin.CodeInvalidInput, shuin.CodeUntrusted, shuin.CodeTampered, shuin.CodeLimit, shuin.CodeMalformed,
}

// rankOf is the place of err among the reasons, nearest first.
func rankOf(err error) int {
	if n := slices.Index(nearness, shuin.CodeOf(err)); n >= 0 {
		return n
	}
	return len(nearness)
}

// mostTelling is the reason of the signature with that result that came
// nearest to being good; the first of equals. Nil when there is none.
func (r *run) mostTelling(result shuin.Result) error {
	var best error
	rank := len(nearness) + 1
	for i := range r.report.Signatures {
		s := &r.report.Signatures[i]
		if s.Result != result || s.Err == nil {
			continue
		}
		if n := rankOf(s.Err); n < rank {
			best, rank = s.Err, n
		}
	}
	return best
}

// deadline is the reason when the caller's time was over.
func deadline(ctx context.Context, during error) error {
	e := &shuin.Error{Code: shuin.CodeDeadline, Message: "verification was stopped", Hint: "give it more time", Err: context.Cause(ctx)}
	if during != nil {
		e.Err = fmt.Errorf("%w: %w", e.Err, during)
	}
	return e
}
