package watch

import (
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// SignerEvent is one call of the AWS Signer API (or of a signer of ours), as
// CloudTrail tells it (eventSource signer.amazonaws.com). Failed calls are
// events too.
type SignerEvent struct {
	// Action is CloudTrail's eventName: SignPayload, PutSigningProfile,
	// AddProfilePermission, RemoveProfilePermission, CancelSigningProfile,
	// RevokeSigningProfile, RevokeSignature, TagResource, UntagResource. Others
	// may be given, and are of no interest.
	Action string
	// Principal is who called: sessionContext.sessionIssuer.arn of an assumed
	// role (arn:aws:iam::ACCOUNT:role/…), else userIdentity.arn. Empty where an
	// AWS service called for itself: InvokedBy names it.
	Principal string
	Session   string // userIdentity.arn as written; may be empty
	InvokedBy string // userIdentity.invokedBy: the AWS service in between; may be empty
	Account   string // recipientAccountId
	Region    string // awsRegion
	ID        string // eventID
	At        time.Time
	ErrorCode string // of a call that failed; empty: it was done
	// Profile is the profile's ARN (with or without version) where the event
	// has one, else its name (requestParameters.profileName): Account, or
	// ProfileOwner where set, and Region then say whose it is.
	Profile      string
	ProfileOwner string
	// Job is the id or ARN of the signing job, of SignPayload and RevokeSignature.
	Job string
	// Grantee and Granted are requestParameters.principal and .action of an
	// AddProfilePermission; Statement the statementId of a permission.
	Grantee, Granted, Statement string
	// Resource is requestParameters.resourceArn of TagResource, UntagResource.
	Resource string
	// Reason is what a cancellation or revocation gives as its reason.
	Reason string
}

// check refuses an event that nobody could judge.
func (e *SignerEvent) check() error {
	for _, t := range []struct{ name, text string }{{"action", e.Action}, {"id", e.ID}, {"account", e.Account}} {
		if t.text == "" {
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read the signer's event: it has no " + t.name}
		}
	}
	for _, t := range []string{e.Action, e.ID, e.Account, e.Region, e.Principal, e.Session, e.InvokedBy, e.Profile, e.Job, e.Grantee, e.Granted, e.Statement, e.Resource, e.Reason} {
		if len(t) > limits.WatchARNBytes {
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("read the signer's event %s: a text in it is longer than %d bytes", oneLine(e.ID, 100), limits.WatchARNBytes)}
		}
	}
	return nil
}

// JudgeSigner says what about e the policy does not foresee: nothing where it
// names neither signerAdmins nor principals. Time and Policy of the findings
// are the caller's to set... they are set by [Watcher.ObserveSigner].
func JudgeSigner(p *pipeline.Policy, e SignerEvent) []Finding {
	panic("unimplemented")
}
