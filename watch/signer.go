package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// SignerEvent is one call of the AWS Signer API (or of a signer of ours), as
// CloudTrail tells it (eventSource signer.amazonaws.com). Failed calls are
// events too.
type SignerEvent struct {
	// Action is CloudTrail's eventName: SignPayload, PutSigningProfile,
	// AddProfilePermission, RemoveProfilePermission, CancelSigningProfile,
	// RevokeSigningProfile, RevokeSignature, TagResource, UntagResource,
	// StartSigningJob. Others may be given, and are of no interest.
	Action string
	// Principal is who called: sessionContext.sessionIssuer.arn of an assumed
	// role (arn:aws:iam::ACCOUNT:role/…), else userIdentity.arn. Empty where an
	// AWS service called for itself: InvokedBy names it.
	Principal string
	Session   string // userIdentity.arn as written; may be empty
	// Caller tells callers without an ARN apart (those of other accounts, of a
	// web's identities): "TYPE ACCOUNT PRINCIPALID". It is never matched against
	// a list; may be empty.
	Caller    string
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

	// Why it cannot be judged now (no policy can be read); nil: it can.
	Why error
	// Last: nobody will bring it again, as of an [Observation].
	Last bool
}

// The actions that are told apart. What only reads is of no interest; all else,
// what AWS adds one day too, administers.
var (
	signs   = []string{"SignPayload", "StartSigningJob"}
	revokes = []string{"CancelSigningProfile", "RevokeSigningProfile", "RevokeSignature"}
	reads   = []string{"Get", "List", "Describe"} // as names begin
)

// SignerReads says whether a call of AWS Signer changes nothing and signs
// nothing, as its name tells.
func SignerReads(action string) bool {
	return slices.ContainsFunc(reads, func(prefix string) bool { return strings.HasPrefix(action, prefix) })
}

// check refuses an event that nobody could judge.
func (e *SignerEvent) check() error {
	for _, t := range []struct{ name, text string }{{"action", e.Action}, {"id", e.ID}, {"account", e.Account}} {
		if t.text == "" {
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read the signer's event: it has no " + t.name}
		}
	}
	for _, t := range []string{e.Action, e.ID, e.Account, e.Region, e.Principal, e.Session, e.Caller, e.InvokedBy, e.Profile, e.Job, e.Grantee, e.Granted, e.Statement, e.Resource, e.Reason} {
		if len(t) > limits.WatchARNBytes {
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("read the signer's event %s: a text in it is longer than %d bytes", oneLine(e.ID, 100), limits.WatchARNBytes)}
		}
	}
	return nil
}

// JudgeSigner says what about e the policy does not foresee. Where the policy
// names neither signerAdmins nor principals, that is nothing: it does not say
// who is meant to do what. So it is of one half where it names only the other.
//
//   - Somebody signs with a stage's profile who is none of the principals of
//     the stages that list it (of those that name some): WrongPrincipal.
//   - Something is signed with a profile that no stage lists: UnknownProfile.
//     It seals nothing. So is told, too, what was signed or tried with a profile
//     that the event does not name (of what was refused CloudTrail may leave out
//     the parameters): whether a stage lists it is not known then.
//   - A profile, its permissions or its tags are changed, or a call is made that
//     is not known here and does not only read, by somebody who is none of
//     signerAdmins: NotAdmin; cancelled or revoked, or a signature revoked:
//     RevokedBy.
//   - One of signerAdmins signs with a stage's profile, or a principal of a
//     stage administers: BothDuties, whatever else it is.
//
// A call that AWS refused for want of permission was an attempt: the same
// findings with severity Low, and told once however often it is tried, and with
// how many profiles that no stage lists. Calls
// that failed for another reason (throttled, no such profile, a parameter)
// changed nothing and say nothing: no finding. What signs is told once for
// profile and principal; what administers, each time.
//
// Time and Policy of the findings are the caller's to set.
func JudgeSigner(p *pipeline.Policy, e SignerEvent) []Finding {
	if p == nil || !p.NamesPrincipals() || e.failed() {
		return nil
	}
	j := &signerJudge{p: p, e: &e}
	j.find()
	switch {
	case slices.Contains(signs, e.Action):
		j.signed()
	case slices.Contains(revokes, e.Action):
		j.administered(RevokedBy)
	case !SignerReads(e.Action):
		j.administered(NotAdmin)
	}
	return j.out
}

// failed says whether the call failed for another reason than that its caller
// lacked the permission.
func (e *SignerEvent) failed() bool { return e.ErrorCode != "" && !refused(e.ErrorCode) }

// refused says whether a CloudTrail errorCode means that the caller lacked the
// permission.
func refused(code string) bool {
	return strings.Contains(code, "AccessDenied") || strings.Contains(code, "Unauthorized") || strings.Contains(code, "NotAuthorized")
}

// signerJudge holds one event against one policy.
type signerJudge struct {
	p       *pipeline.Policy // nil: there is none, and no stage is known
	e       *SignerEvent
	profile awsprofile.Profile // zero: the event names none
	stages  []string           // that list it
	out     []Finding
}

// find finds out which profile it is about.
func (j *signerJudge) find() {
	e := j.e
	named := e.Profile
	if named == "" {
		named = e.Resource
	}
	if profile, err := awsprofile.ParseProfile(named); err == nil {
		j.profile = profile.Unversioned()
	} else if awsprofile.ValidName(named) {
		j.profile = awsprofile.Profile{Partition: e.partition(), Region: e.Region, Account: cmp.Or(e.ProfileOwner, e.Account), Name: named}
	} else {
		return
	}
	if j.p != nil {
		j.stages = j.p.StagesOf(j.profile)
	}
}

// partition is that of the caller's ARN; of the region where there is none.
func (e *SignerEvent) partition() string {
	if f := strings.SplitN(cmp.Or(e.Principal, e.Session), ":", 3); len(f) == 3 && awsprofile.ValidPartition(f[1]) {
		return f[1]
	}
	return awsprofile.PartitionOf(e.Region)
}

// among says whether the caller is one of list.
func (j *signerJudge) among(list []pipeline.Principal) bool {
	return slices.ContainsFunc(list, func(one pipeline.Principal) bool { return one.Matches(j.e.Principal) || one.Matches(j.e.Session) })
}

// sealsFor are the stages whose principal the caller is.
func (j *signerJudge) sealsFor() (stages []string) {
	for _, s := range j.p.Stages() {
		if j.among(j.p.Principals(s)) {
			stages = append(stages, s)
		}
	}
	return stages
}

// signed judges a signature.
func (j *signerJudge) signed() {
	if len(j.stages) == 0 {
		severity := Low
		own := j.sealsFor()
		if len(own) > 0 {
			severity = Medium // somebody of ours, with what is not ours
		}
		if j.profile == (awsprofile.Profile{}) {
			j.add(UnknownProfile, severity, "sign", j.acted()+": whether a stage of the policy lists it is not known",
				"look for the call in CloudTrail by its event's id, and ask its caller")
			return
		}
		j.add(UnknownProfile, severity, "sign", j.acted()+", which no stage of the policy lists",
			"nothing it signs seals an image; if it should, list the profile as a signer of its stage")
		return
	}
	var named bool
	var may bool
	for _, s := range j.stages {
		list := j.p.Principals(s)
		named, may = named || len(list) > 0, may || j.among(list)
	}
	if named && !may {
		j.add(WrongPrincipal, High, "sign", fmt.Sprintf("%s of %s, and is none of the stage's principals", j.acted(), stagesText(j.stages)),
			fmt.Sprintf("if this is meant, add it to stages.%s.principals; else take its signer:SignPayload away, find out what it signed%s, and revoke that", j.stages[0], j.job()))
	}
	if j.among(j.p.SignerAdmins()) {
		j.add(BothDuties, High, "sign", fmt.Sprintf("%s of %s, and is one of signerAdmins", j.acted(), stagesText(j.stages)),
			"whoever administers the signer should sign nothing: use another role for one of the two")
	}
}

// administered judges a change of profiles, permissions or tags, or a
// revocation.
func (j *signerJudge) administered(kind Kind) {
	ours := len(j.stages) > 0 || j.profile == (awsprofile.Profile{})
	severity := High
	if !ours {
		severity = Medium
	}
	doing := j.acted()
	if len(j.p.SignerAdmins()) > 0 && !j.among(j.p.SignerAdmins()) {
		hint := "if this is meant, add it to signerAdmins; else find out how it came by the permission, and undo what it did"
		if kind == RevokedBy {
			hint = "what was signed may be refused from now on: if this was not meant, have what runs sealed anew before it has to start again, and take the permission away"
		}
		j.add(kind, severity, "administer", doing+", and is none of signerAdmins", hint)
	}
	if own := j.sealsFor(); len(own) > 0 {
		j.add(BothDuties, severity, "administer", doing+", and may sign for "+stagesText(own), "whoever signs should not administer the signer: use another role for one of the two")
	}
}

// did is the caller, and what he did or tried.
func (j *signerJudge) did(done, tried string) string {
	who := j.e.Principal
	switch {
	case who == "" && j.e.InvokedBy != "":
		who = "the AWS service " + j.e.InvokedBy
	case who == "":
		who = cmp.Or(j.e.Session, j.e.Caller, "somebody whom the event does not name")
	case j.e.InvokedBy != "":
		who += " (through " + j.e.InvokedBy + ")"
	}
	if j.e.ErrorCode != "" {
		done = tried
	}
	return oneLine(who, 300) + " " + done
}

// what is the profile, as something that is signed with.
func (j *signerJudge) what() string {
	if j.profile == (awsprofile.Profile{}) {
		return "with a signing profile that the event does not name"
	}
	return "with the signing profile " + j.profile.String()
}

// upon is what an administrative call was about.
func (j *signerJudge) upon() string {
	var b strings.Builder
	switch {
	case j.profile != (awsprofile.Profile{}):
		b.WriteString(" for the signing profile " + j.profile.String())
	case j.e.Job != "":
		b.WriteString(" for the signing job " + oneLine(j.e.Job, 200))
	case j.e.Resource != "":
		b.WriteString(" for " + oneLine(j.e.Resource, 300))
	}
	if len(j.stages) > 0 {
		b.WriteString(" of " + stagesText(j.stages))
	}
	if j.e.Grantee != "" {
		fmt.Fprintf(&b, ", which lets %s call %s", oneLine(j.e.Grantee, 300), oneLine(cmp.Or(j.e.Granted, "it"), 100))
	} else if j.e.Statement != "" {
		fmt.Fprintf(&b, " (statement %s)", oneLine(j.e.Statement, 100))
	}
	if j.e.Reason != "" {
		fmt.Fprintf(&b, " (reason given: %s)", oneLine(j.e.Reason, 200))
	}
	return b.String()
}

// job names the signing job in a hint.
func (j *signerJudge) job() string {
	if j.e.Job == "" {
		return ""
	}
	return " (signing job " + oneLine(j.e.Job, 200) + ")"
}

func stagesText(stages []string) string {
	if len(stages) == 1 {
		return "stage " + stages[0]
	}
	return "stages " + strings.Join(stages, ", ")
}

// add makes a finding. way is what is told apart beside the kind.
func (j *signerJudge) add(kind Kind, severity Severity, way, message, hint string) {
	e := j.e
	s := Subject{Kind: Signer, Account: e.Account, Region: e.Region}
	switch {
	case j.profile != (awsprofile.Profile{}):
		s.ARN, s.Group, s.Account, s.Region = j.profile.String(), "profile:"+j.profile.Name, j.profile.Account, j.profile.Region
	default:
		s.ARN = cmp.Or(e.Resource, e.Profile, e.Job, "arn:"+e.partition()+":signer:"+e.Region+":"+e.Account+":/signing-profiles")
	}
	by := cmp.Or(e.Principal, e.InvokedBy, e.Session, e.Caller)
	parts := []string{string(kind), way, e.ErrorCode}
	if e.ErrorCode != "" {
		severity = Low
		message += "; it was refused (" + oneLine(e.ErrorCode, 100) + ")"
	}
	id := append(append([]string{string(kind)}, j.where(&s)...), by)
	if way == "administer" {
		id = append(id, e.Action)
		if e.ErrorCode == "" {
			parts = append(parts, e.ID) // each is something else
		}
	}
	j.out = append(j.out, Finding{
		ID: idOf(id...), State: stateOf(parts...), Kind: kind, Severity: severity, Subject: s, Event: e.ID, By: by, At: e.At, Outcome: pipeline.Deny,
		Signer: &SignerAct{
			Action: e.Action, Profile: j.profileText(), Stages: j.stages, Principal: e.Principal, Session: e.Session,
			InvokedBy: e.InvokedBy, Job: e.Job, Refused: e.ErrorCode,
		},
		Message: oneLine(message, limits.WatchMessageBytes), Hint: oneLine(hint, limits.WatchHintBytes),
	})
}

// where is what a finding is told once for, of all that the call was about. Who
// may do nothing can try it with as many names as he likes to make up: of what was
// refused only a profile that a stage lists tells it from others.
func (j *signerJudge) where(s *Subject) []string {
	if j.e.ErrorCode != "" && len(j.stages) == 0 {
		return []string{j.e.Account, j.e.Region, ""}
	}
	return []string{s.Account, s.Region, s.ARN}
}

func (j *signerJudge) profileText() string {
	if j.profile == (awsprofile.Profile{}) {
		return j.e.Profile
	}
	return j.profile.String()
}
