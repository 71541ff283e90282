package verify

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// Case is everything one judgement depends on. Judging it twice gives the
// same answer.
type Case struct {
	Facts     *Facts
	Statement *policy.Statement
	Now       time.Time
	Metadata  map[string]string // must be signed; may be empty
	// Anchors are the stores the statement names of the one type that the
	// signing scheme allows (SCH-04, SCH-05): see [StoreTypeOf].
	Anchors Anchors

	// What follows has to be asked for. A judgement that lacks it says so in
	// Wants; it is never needed for a signature that fails anyway.

	Timestamp  *TimestampEvidence
	Revocation []Revocation // of Facts.Chain, one each
	Plugin     *PluginEvidence

	// BuiltIn: signatures that name AWS Signer's plugin are judged here, by the
	// plugin's rules, and the plugin is not asked for. SignerStatus then has to
	// be asked for like the above.
	BuiltIn      bool
	SignerStatus *SignerEvidence
}

// Anchors are loaded trust stores, or why they could not be loaded.
type Anchors struct {
	Stores []*trust.Store
	Err    error
}

// StoreTypeOf is the type of the trust stores that may anchor a chain under a
// scheme: ca for notary.x509 (SCH-04), signingAuthority, and never ca, for
// notary.x509.signingAuthority (SCH-05).
func StoreTypeOf(s envelope.Scheme) trust.StoreType {
	if s == envelope.SchemeSigningAuthority {
		return trust.SigningAuthority
	}
	return trust.CA
}

// Wants are kinds of evidence that a judgement lacks.
type Wants uint8

// The kinds.
const (
	WantTimestamp           Wants = 1 << iota // Case.Timestamp
	WantTimestampRevocation                   // Case.Timestamp.Revocation
	WantPlugin                                // Case.Plugin
	WantRevocation                            // Case.Revocation
	WantPluginAnswer                          // Case.Plugin.Answer
	WantSignerStatus                          // Case.SignerStatus, for StatusQuery
)

// Judgement is what was decided about one signature.
type Judgement struct {
	// Result is Verified, NotVerified or Undecided; it stands only when Wants
	// is zero.
	Result shuin.Result
	Err    error // the reason for the other two
	Checks []shuin.Check
	Wants  Wants

	TrustStore string // "type:name" of the store that anchors the chain; empty: none does
	Identity   string // the trusted identity that matched
	// Authentic: the chain leads to one of the statement's stores and one of
	// its identities matches, whatever else is wrong with the signature. [Judge]
	// leaves off at the first enforced failure and does not say: set by
	// [Verifier.Survey] alone.
	Authentic  bool
	TimeSource string
	// Time is the authenticated time the signature existed at, latest bound;
	// zero: there is none. Revocation is asked for it (REV-03, REV-04).
	Time time.Time
	// TimestampTime is the verified timestamp's own time; zero: none.
	TimestampTime time.Time
	// StaleUntil is when the first of the enforced checks may turn out
	// otherwise; zero: never. Set for Verified only.
	StaleUntil time.Time
	// Ends is when the first of the enforced checks fails that ask nobody: the
	// signature's own expiry, or its certificates' end where no time is
	// authenticated; zero: never. Set for Verified only.
	Ends time.Time
	// PluginChecks are the checks to ask the plugin for.
	PluginChecks []string
	// StatusQuery is what to ask AWS Signer.
	StatusQuery awsprofile.StatusQuery
	// Signed is what AWS Signer signed beside the artifact; zero where the
	// signature was not judged by its rules.
	Signed awsprofile.Signed
}

// reportOrder is the order of checks in a Report; telling is the order in
// which the first failure becomes the signature's reason.
var (
	reportOrder = [...]shuin.CheckName{
		shuin.CheckIntegrity, shuin.CheckAuthenticity, shuin.CheckAuthenticTimestamp, shuin.CheckExpiry,
		shuin.CheckRevocation, shuin.CheckArtifact, shuin.CheckUserMetadata, shuin.CheckPlugin,
	}
	telling = [...]int{iIntegrity, iArtifact, iAuthenticity, iExpiry, iTimestamp, iRevocation, iPlugin, iMetadata}
)

// Indexes into reportOrder.
const (
	iIntegrity = iota
	iAuthenticity
	iTimestamp
	iExpiry
	iRevocation
	iArtifact
	iMetadata
	iPlugin
)

// judging is a judgement in the making.
type judging struct {
	*Case
	out    *Judgement
	checks [len(reportOrder)]shuin.Check
	dead   bool              // an enforced check failed: nothing more is asked for
	signed awsprofile.Signed // where builtIn
}

// Judge decides about one signature. It is pure: nothing is fetched, no clock
// is read. The order and meaning of the checks are those of the reference
// verifier; checks that cost nothing come first, so that nothing is asked
// about a signature that fails anyway. TP-13: checks that are only logged do
// not stop the others.
func Judge(c *Case) *Judgement {
	j := &judging{Case: c, out: &Judgement{TimeSource: shuin.TimeSourceNone}}
	j.run()
	j.conclude()
	return j.out
}

func (j *judging) run() {
	j.integrity()
	if j.dead {
		return
	}
	if j.Facts.unexamined() {
		j.unexamined()
		return
	}
	j.set(iArtifact, outcomeOf(j.Facts.Artifact), j.Facts.Artifact)
	anchored := j.anchor()
	j.expiry()
	due := j.timestampDue()
	if !due {
		j.presentTime()
	}
	j.metadata()
	if a := &j.Facts.plugin; a.err != nil {
		j.set(iPlugin, shuin.Failed, a.failed("", a.err))
	} else if a.Name == "" {
		if err := a.judgeUnknown(); err != nil {
			j.set(iPlugin, shuin.Failed, err)
		}
	} else if j.builtIn() {
		j.signer()
	} else {
		j.want(WantPlugin, j.Plugin == nil)
	}
	named := j.Facts.plugin.Name != ""
	if !named && !j.dead {
		j.identity() // before anything is spent on the timestamps of others
	}
	if due {
		j.timestampToken()
	}
	if j.dead || j.out.Wants != 0 {
		return
	}
	if j.plugin(); j.dead {
		return
	}
	if named && !j.can(CapabilityTrustedIdentity) {
		j.identity()
	}
	if due && !j.dead {
		j.timestampRevocation()
	}
	if j.dead || j.out.Wants != 0 {
		return
	}
	j.revocation(anchored)
	if j.dead || j.out.Wants != 0 {
		return
	}
	j.pluginAnswer()
}

// integrity is what the facts say of it (VER-01), or that they do not.
func (j *judging) integrity() {
	if j.Facts.unexamined() {
		j.set(iIntegrity, shuin.Skipped, nil)
		return
	}
	j.set(iIntegrity, outcomeOf(j.Facts.Integrity), j.Facts.Integrity)
}

// unexamined judges a signature whose cryptography was left out because its
// chain leads to no trust store: authenticity fails it. Where it does not, the
// facts were made for another statement, and nothing is known of integrity.
func (j *judging) unexamined() {
	j.anchor()
	if !j.dead {
		j.set(iIntegrity, shuin.Failed, &shuin.Error{Code: shuin.CodeInternal, Message: "the facts of the signature were made for other trust stores"})
	}
}

// can reports whether the plugin that the signature asks for makes a check in
// our place. A plugin nobody asked for makes none.
func (j *judging) can(capability string) bool {
	return j.Facts.plugin.Name != "" && j.Plugin.can(capability)
}

func outcomeOf(err error) shuin.Outcome {
	if err != nil {
		return shuin.Failed
	}
	return shuin.Passed
}

// set records a check. Integrity, the artifact, metadata and plugins are
// always enforced (TP-04, TP-05, VER-02, VER-06, PLG-09); the others as the
// level says.
func (j *judging) set(i int, o shuin.Outcome, err error) {
	name := reportOrder[i]
	enforced := true
	switch i {
	case iAuthenticity, iTimestamp, iExpiry, iRevocation:
		enforced = j.Statement.Level.Action(name) == policy.Enforce
	}
	j.checks[i] = shuin.Check{Name: name, Outcome: o, Enforced: enforced, Err: err}
	if enforced && o == shuin.Failed {
		j.dead = true
	}
}

// want asks for evidence if it is missing.
func (j *judging) want(w Wants, missing bool) {
	if missing {
		j.out.Wants |= w
	}
}

// fresh notes until when an enforced check holds.
func (j *judging) fresh(i int, until time.Time) {
	if until.IsZero() || j.Statement.Level.Action(reportOrder[i]) != policy.Enforce {
		return
	}
	if j.out.StaleUntil.IsZero() || until.Before(j.out.StaleUntil) {
		j.out.StaleUntil = until
	}
}

// ends notes when an enforced check will fail, whatever anybody answers.
func (j *judging) ends(i int, at time.Time) {
	j.fresh(i, at)
	if !at.IsZero() && j.Statement.Level.Action(reportOrder[i]) == policy.Enforce && (j.out.Ends.IsZero() || at.Before(j.out.Ends)) {
		j.out.Ends = at
	}
}

// anchor checks that a certificate of the chain is in a named store of the
// right type (VER-03, SCH-04, SCH-05, TS-01). Identity follows in identity.
func (j *judging) anchor() bool {
	if j.Anchors.Err != nil {
		j.set(iAuthenticity, shuin.Failed, j.Anchors.Err)
		return false
	}
	for _, s := range j.Anchors.Stores {
		if s.Anchors(j.Facts.Envelope.Chain) >= 0 {
			j.out.TrustStore = s.Name().String()
			j.set(iAuthenticity, shuin.Passed, nil)
			return true
		}
	}
	j.set(iAuthenticity, shuin.Failed, j.notAnchored())
	return false
}

func (j *judging) notAnchored() error {
	t := StoreTypeOf(j.Facts.Envelope.Scheme)
	root := j.Facts.Chain[len(j.Facts.Chain)-1]
	if len(j.Anchors.Stores) == 0 {
		hint := fmt.Sprintf("name a %s: store in trustStores of the statement, if its signers are to be trusted", t)
		if s := signerStoreHint(j.Statement); s != "" && t == trust.SigningAuthority && j.Facts.plugin.Name == awsprofile.PluginName {
			hint = s
		}
		return &shuin.Error{
			Code:    shuin.CodeUntrusted,
			Hint:    hint,
			Message: fmt.Sprintf("signing scheme %s needs a trust store of type %q, and trust policy statement %q names none", j.Facts.Envelope.Scheme, t, j.Statement.Name),
		}
	}
	return &shuin.Error{
		Code:    shuin.CodeUntrusted,
		Message: fmt.Sprintf("the signer's certificate chain, with root %q, is in none of the trust stores of statement %q", root.Subject, j.Statement.Name),
		Hint:    fmt.Sprintf("if %q is to be trusted, add its root certificate to a %s trust store that the statement names", j.Facts.Chain[0].Subject, t),
	}
}

// identity checks the leaf's subject against the trusted identities (VER-03,
// TI-01). It adds to a passed anchor; a failed one stays the reason.
func (j *judging) identity() {
	if j.builtIn() {
		j.profileIdentity()
		return
	}
	if j.Statement.SigningProfiles {
		j.certificateProfile()
		return
	}
	name, err := matchIdentity(j.Statement, j.Facts.Chain[0])
	j.out.Identity = name
	if err != nil && j.checks[iAuthenticity].Err == nil {
		j.set(iAuthenticity, shuin.Failed, err)
	}
}

func matchIdentity(s *policy.Statement, leaf *x509.Certificate) (string, error) {
	usable := 0
	for _, id := range s.TrustedIdentities {
		switch id.Prefix() {
		case "*":
			return id.String(), nil
		case "x509.subject":
			usable++
			ok, err := id.Matches(leaf)
			if err != nil {
				return "", &shuin.Error{Code: shuin.CodeUntrusted, Message: "compare the signer's subject with the trusted identities", Err: err}
			}
			if ok {
				return id.String(), nil
			}
		}
	}
	if usable == 0 {
		return "", &shuin.Error{
			Code:    shuin.CodeUntrusted,
			Message: fmt.Sprintf("trust policy statement %q has no x509.subject among its trusted identities", s.Name),
			Hint:    "the other identities need the verification plugin they belong to, which this signature does not ask for",
		}
	}
	return "", &shuin.Error{
		Code:    shuin.CodeUntrusted,
		Message: fmt.Sprintf("the signer %q is none of the trusted identities of statement %q", leaf.Subject, s.Name),
		Hint:    "if this signer is to be trusted, add its subject to trustedIdentities of the statement",
	}
}

// expiry: a signature is expired when now is at or after its expiry (ATT-14,
// VER-04; the two places of the specification differ, this is the stricter).
func (j *judging) expiry() {
	end := j.Facts.Envelope.Expiry
	switch {
	case end.IsZero():
		j.set(iExpiry, shuin.Skipped, nil)
	case !j.Now.Before(end):
		j.set(iExpiry, shuin.Failed, &shuin.Error{
			Code: shuin.CodeExpired, Message: "the signature expired at " + stamp(end),
			Hint: "the signer gave it this end; have the artifact signed again",
		})
	default:
		j.set(iExpiry, shuin.Passed, nil)
		j.ends(iExpiry, end)
	}
}

// metadata: what was asked for must be signed, key and value (VER-06).
func (j *judging) metadata() {
	if len(j.Metadata) == 0 {
		return
	}
	var err error
	missing := ""
	signed := j.Facts.Payload.TargetArtifact.Annotations
	for k, v := range j.Metadata {
		if got, ok := signed[k]; (!ok || got != v) && (missing == "" || k < missing) {
			missing = k
		}
	}
	if missing != "" {
		err = &shuin.Error{
			Code:    shuin.CodeMetadataMismatch,
			Message: fmt.Sprintf("the signature does not carry the user metadata %s=%s", missing, j.Metadata[missing]),
			Hint:    "inspect the signature to see what metadata was signed",
		}
	}
	j.set(iMetadata, outcomeOf(err), err)
}

// revocation judges the signing chain (REV-01). Nothing is asked about a
// chain that no named store anchors: its addresses may be anybody's.
func (j *judging) revocation(anchored bool) {
	switch {
	case j.Statement.Level.Action(shuin.CheckRevocation) == policy.Skip:
		j.set(iRevocation, shuin.Skipped, nil)
	case j.can(CapabilityRevocationCheck):
		// pluginAnswer sets it.
	case !j.builtIn() && !namesSource(j.Facts.Chain):
		j.set(iRevocation, shuin.Passed, nil)
	case !anchored:
		j.set(iRevocation, shuin.Failed, &shuin.Error{
			Code: shuin.CodeUntrusted, Message: "revocation is not asked about a chain that no trust store anchors",
			Hint: "addresses in certificates of strangers are never contacted",
		})
	case j.builtIn() && j.checks[iAuthenticity].Err != nil:
		j.set(iRevocation, shuin.Failed, &shuin.Error{
			Code: shuin.CodeUntrusted, Message: "revocation is not asked about a signing profile that is no trusted identity",
			Hint: "signatures of strangers make nobody send requests with credentials",
		})
	case j.builtIn():
		j.signerRevocation()
	case j.Revocation == nil:
		j.want(WantRevocation, true)
	default:
		outcome, until, err := judgeRevocation(j.Revocation, j.Facts.Chain, j.Now, "signing certificate")
		j.set(iRevocation, outcome, err)
		j.fresh(iRevocation, until)
	}
}

// plugin judges the installed plugin, before it is asked anything.
func (j *judging) plugin() {
	a := &j.Facts.plugin
	if j.Plugin == nil || a.Name == "" {
		return
	}
	if err := a.judgeInstalled(j.Plugin); err != nil {
		j.set(iPlugin, shuin.Failed, err)
	}
}

// pluginAnswer asks the plugin for what it can check and the level does not
// skip, and takes its answer as the outcome of those checks (PLG-10).
func (j *judging) pluginAnswer() {
	a := &j.Facts.plugin
	if a.Name == "" || j.Plugin == nil {
		return
	}
	if j.can(CapabilityTrustedIdentity) {
		j.out.PluginChecks = append(j.out.PluginChecks, CapabilityTrustedIdentity)
	}
	if j.can(CapabilityRevocationCheck) && j.Statement.Level.Action(shuin.CheckRevocation) != policy.Skip {
		j.out.PluginChecks = append(j.out.PluginChecks, CapabilityRevocationCheck)
	}
	if len(j.out.PluginChecks) == 0 {
		// Nothing to ask: then nobody processes the attributes.
		if err := a.judgeUnknown(); err != nil {
			j.set(iPlugin, shuin.Failed, err)
		}
		return
	}
	if !j.Plugin.Answered {
		j.want(WantPluginAnswer, true)
		return
	}
	if err := a.judgeAnswer(j.out.PluginChecks, j.Plugin); err != nil {
		j.set(iPlugin, shuin.Failed, err)
		return
	}
	j.set(iPlugin, shuin.Passed, nil)
	for _, check := range j.out.PluginChecks {
		switch check {
		case CapabilityTrustedIdentity:
			if err := a.result(j.Plugin, check, shuin.CodeUntrusted); err != nil && j.checks[iAuthenticity].Err == nil {
				j.set(iAuthenticity, shuin.Failed, err)
			}
		case CapabilityRevocationCheck:
			err := a.result(j.Plugin, check, shuin.CodeRevoked)
			j.set(iRevocation, outcomeOf(err), err)
		}
	}
}

// conclude makes the result: one enforced failure decides, then one enforced
// check that could not be made.
func (j *judging) conclude() {
	out := j.out
	out.Checks = make([]shuin.Check, 0, len(j.checks))
	for _, c := range j.checks {
		if c.Outcome != 0 {
			out.Checks = append(out.Checks, c)
		}
	}
	if j.dead {
		out.Wants = 0
	}
	out.Result = shuin.Verified
	for _, o := range []struct {
		outcome shuin.Outcome
		result  shuin.Result
	}{{shuin.Failed, shuin.NotVerified}, {shuin.Unknown, shuin.Undecided}} {
		for _, i := range telling {
			if c := j.checks[i]; c.Enforced && c.Outcome == o.outcome && out.Result == shuin.Verified {
				out.Result, out.Err, out.StaleUntil, out.Ends = o.result, c.Err, time.Time{}, time.Time{}
			}
		}
	}
}
