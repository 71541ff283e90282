package watch

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
)

// MediaTypeFinding is the media type of a [Finding] as JSON.
const MediaTypeFinding = "application/vnd.shuin.finding.v1+json"

// Kind is what a finding is of. Empty is invalid. Kinds are part of the
// interface: filters name them, and they are never renamed.
type Kind string

// The kinds.
const (
	// NotAdmitted: an image that the policy would not admit, or (outcome
	// Undecided) that could not be checked.
	NotAdmitted Kind = "image-not-admitted"
	// WrongPrincipal: a stage's signing profile signed for somebody who is none
	// of the stage's principals.
	WrongPrincipal Kind = "signer-wrong-principal"
	// UnknownProfile: something was signed with, or done to, a signing profile
	// that no stage of the policy names.
	UnknownProfile Kind = "signer-unknown-profile"
	// NotAdmin: a signing profile or its permissions were changed by somebody
	// who is none of signerAdmins.
	NotAdmin Kind = "signer-not-admin"
	// RevokedBy: a signing profile was cancelled or revoked, or a signature
	// revoked, by somebody who is none of signerAdmins.
	RevokedBy Kind = "signer-revoked"
	// BothDuties: somebody who administers the signer signs, or the other way
	// round.
	BothDuties Kind = "signer-both-duties"
	// NotJudged: something was signed, or a signer administered, and there was
	// no policy to judge it by (outcome Undecided).
	NotJudged Kind = "signer-not-judged"
)

// Severity orders findings for people. Empty is invalid.
type Severity string

// The severities.
const (
	High   Severity = "high"   // something is wrong where the policy enforces
	Medium Severity = "medium" // where it warns, or it could not be checked
	Low    Severity = "low"    // where it audits; an attempt that was refused
)

// Finding is something running, or registered to run, that the policy would
// not admit; or an act of the signer's people that it does not foresee.
type Finding struct {
	// ID says what it is about: 32 hexadecimal digits, the same for all
	// subjects of one group with the same container and repository. Digests are
	// not in it.
	ID string
	// State changes when there is something new to tell: another digest,
	// reason, rule, outcome or missing stage.
	State    digest.Digest
	Kind     Kind
	Severity Severity
	// Resolved: of what was told under this ID, Ends is over.
	Resolved bool
	// Ends are the states that are over, where Resolved, of those that were told
	// to whom it is sent. What is open may go on in other states of the ID.
	Ends []digest.Digest
	// Reminder: it was told before, and still is so. Set by the Watcher where
	// it sends it.
	Reminder bool

	Subject Subject
	Phase   Phase
	Event   string    // id of the event that showed it; may be empty
	By      string    // who did it; may be empty
	At      time.Time // when it was observed
	Time    time.Time // when it was judged

	// Of an image. Repository is "registry/name" as judged.
	Container  string
	Image      string // as written
	Repository string
	Digest     digest.Digest // judged; empty: not resolved
	Running    digest.Digest // reported to run, which may be the image of one platform; empty: nothing was
	Missing    []string      // stages that are wanted and not sealed

	Outcome pipeline.Outcome // Deny or Undecided; Admit where Resolved
	Mode    pipeline.Mode    // of the rule
	Rule    string           // empty: the policy's default, or none
	Policy  digest.Digest    // of the policy that was asked

	// Signer says more of a finding of the signer's people; nil for others.
	Signer *SignerAct

	Code    shuin.Code // empty where there is none
	Message string     // what is wrong, lower case, one line
	Hint    string     // what to do next, one line
}

// SignerAct is what somebody did to a signer.
type SignerAct struct {
	Action    string   // CloudTrail's eventName: SignPayload, PutSigningProfile, …
	Profile   string   // the profile's ARN without version; its name where no more is known
	Stages    []string // those whose profile it is
	Principal string
	Session   string // userIdentity.arn, where it says more
	InvokedBy string // the AWS service in between; may be empty
	Job       string // id of the signing job; may be empty
	Refused   string // the error code with which AWS refused the attempt; empty: it was done
}
