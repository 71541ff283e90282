// Package audit is the append-only Merkle log of what a signer was asked and
// what it did (golang.org/x/mod/sumdb/tlog, RFC 6962 hashes). It computes
// leaves, hashes, checkpoints and proofs from values; a store keeps them. It
// serves nothing to the outside and signs no checkpoints.
package audit

import "time"

// Kind says what an entry records. The zero value is invalid.
type Kind string

// The kinds. "Attempt" is written before the act, "result" after it. One is
// never renamed, removed or put to another use: leaves of old logs have it.
const (
	SignAttempt      Kind = "sign-attempt"
	SignResult       Kind = "sign-result"
	IssueAttempt     Kind = "issue-attempt" // a CA or shared leaf certificate; a leaf of one signature is in the sign entries
	IssueResult      Kind = "issue-result"
	ProfileChange    Kind = "profile-change"
	PermissionChange Kind = "permission-change"
	Revocation       Kind = "revocation" // of a signature or a profile version by its account; the root's CRL
	CredentialChange Kind = "credential-change"
	TagChange        Kind = "tag-change"

	// An operator's. The first two were logged as Revocation before they had
	// kinds of their own; their Action tells them apart there.
	CertificateRevocation Kind = "certificate-revocation"
	CheckpointAcceptance  Kind = "checkpoint-acceptance" // a log was taken for complete without the checkpoint beside it
	ClockAcceptance       Kind = "clock-acceptance"      // signing times go on from another time than the newest
	CertificateChange     Kind = "certificate-change"    // a signing certificate with its key was brought along, or deleted

	// The gate's, where it runs beside the signer.
	Decision Kind = "decision" // whether images may run; its detail commits to the record of the decision
)

// known tells a Kind of this package from any other text.
func (k Kind) known() bool {
	switch k {
	case SignAttempt, SignResult, IssueAttempt, IssueResult, ProfileChange,
		PermissionChange, Revocation, CredentialChange, TagChange,
		CertificateRevocation, CheckpointAcceptance, ClockAcceptance, CertificateChange, Decision:
		return true
	}
	return false
}

// result tells the kinds that answer an attempt.
func (k Kind) result() bool { return k == SignResult || k == IssueResult }

// Entry is one line of the log. Its leaf is [Entry.Leaf]; fields that do not
// apply to its Kind are empty.
type Entry struct {
	Kind           Kind
	Time           time.Time // whole seconds or finer, UTC
	Principal      string    // ARN of who asked
	RequestID      string
	Action         string // signer:SignPayload, …
	Outcome        string // result entries: "ok" or the error's code
	Reason         string // why it was refused
	Attempt        int64  // result entries: index of their attempt, -1: none
	ProfileVersion string // ARN
	Job            string // ARN
	PayloadSHA256  string // hexadecimal, of the payload that was asked to be signed
	SigningInput   string // hexadecimal SHA-256 of the signed bytes (JWS signing input)
	Certificate    string // hexadecimal SHA-256 of the leaf (or issued) certificate
	Serial         string // hexadecimal serial number of a certificate to be issued or revoked
	PublicKey      string // hexadecimal SHA-256 of the SubjectPublicKeyInfo to be certified
	Detail         string // what changed, for the kinds that change something
}
