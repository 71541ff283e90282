package verify

import (
	"context"

	"github.com/shuin/shuin"
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
	// Metadata is the signed user metadata; empty where no answer's
	// authenticity passed: then it is a stranger's word.
	Metadata map[string]string
}

// Survey judges every candidate signature of a by each of the statements,
// where [Verifier.Verify] stops at the first good one of one statement.
// Evidence that several judgements want (revocation, timestamps, AWS Signer's
// status) is asked for once. Statements of level skip are not allowed here.
func (v *Verifier) Survey(ctx context.Context, a shuin.Artifact, sigs Signatures, statements []*policy.Statement, o Options) *Survey {
	panic("unimplemented")
}
