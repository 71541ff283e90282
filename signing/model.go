// Package signing is a signing service: profiles and their versions,
// permissions, jobs, revocation, access keys, and signing itself, in the words
// of the AWS Signer API. It decides from values and from what its [Store]
// holds; it knows no HTTP, no SQL and no clock but the one handed in, and
// lets no signature out before its job and log entry are durable.
package signing

import (
	"time"

	"github.com/shuin/shuin/awsprofile"
)

// Kind says what envelopes of a profile look like. The zero value is invalid.
type Kind string

// The kinds. A profile gets its kind by the signing parameter "profileKind" of
// PutSigningProfile, else the service's default.
const (
	// KindAWS: AWS Signer's six critical attributes; revocation is asked of
	// the service (GetRevocationStatus).
	KindAWS Kind = "aws"
	// KindStandard: no plugin attributes, a certificate for each signature
	// that names the profile version and a CRL: plain notation verifies.
	KindStandard Kind = "standard"
)

// ParameterKind is the signing parameter that chooses the Kind.
const ParameterKind = "profileKind"

// ProfileStatus and JobStatus are AWS's words.
type ProfileStatus string

const (
	ProfileActive   ProfileStatus = "Active"
	ProfileCanceled ProfileStatus = "Canceled"
	ProfileRevoked  ProfileStatus = "Revoked"
)

// JobStatus is the state of a signing job. SignPayload makes finished jobs only.
type JobStatus string

const JobSucceeded JobStatus = "Succeeded"

// Validity is how long signatures of a profile are good for.
type Validity struct {
	Value int
	Type  string // DAYS, MONTHS, YEARS
}

// Profile is one version of a signing profile.
type Profile struct {
	ARN        awsprofile.Profile // with its version
	Kind       Kind
	Validity   Validity
	Parameters map[string]string
	Status     ProfileStatus
	Reason     string // of the status
	Created    time.Time
	StatusBy   string
	StatusAt   time.Time
	Revocation *ProfileRevocation
	Current    bool // the version new signatures are made with
	// Certificate is the imported one that signs, with its key; zero: the
	// service makes keys and certificates itself. Only of KindAWS.
	Certificate awsprofile.Certificate
}

// ProfileRevocation is what RevokeSigningProfile set.
type ProfileRevocation struct {
	EffectiveFrom time.Time
	RevokedAt     time.Time
	RevokedBy     string
	Reason        string
}

// JobRevocation is what RevokeSignature set.
type JobRevocation struct {
	Reason    string
	RevokedAt time.Time
	RevokedBy string
}

// Job is one signature that was made.
type Job struct {
	ARN            awsprofile.Job
	Profile        awsprofile.Profile // with its version
	Kind           Kind
	RequestedBy    string // principal ARN
	Invoker        string // account of the principal
	Created        time.Time
	Completed      time.Time
	SignedAt       time.Time // the authentic signing time
	Expires        time.Time
	Status         JobStatus
	Revocation     *JobRevocation
	PayloadSHA256  string
	SignatureInput string                 // hexadecimal SHA-256 of the signed bytes
	Authority      string                 // id of the issuing CA; empty: Certificate signed
	Certificate    awsprofile.Certificate // imported one that signed; zero: none
	Serial         string                 // hexadecimal, of the leaf
	CertificateIDs []string               // the leaf's; those above it are the same for all of its authority
	Entry          int64                  // index of the sign-result entry in the log
}

// Certificate is a signing certificate of an account's own, imported with its
// key and chain.
type Certificate struct {
	ARN       awsprofile.Certificate
	Chain     [][]byte // DER, its own certificate first, root last
	IDs       []string // awsprofile.CertificateIDs of Chain
	SealedKey []byte   // PKCS#8 by [Sealer]; none once it was deleted
	// The span in which every certificate of the chain is valid.
	NotBefore, NotAfter time.Time
	Imported            time.Time
	Deleted             time.Time // zero: not
}

// Permission is one statement of a profile's resource policy.
type Permission struct {
	StatementID    string
	Action         string // signer:SignPayload, signer:GetSigningProfile, signer:RevokeSignature
	Principal      string // account id or principal ARN
	ProfileVersion string // empty: every version
}

// Authority is an issuing CA of one profile version, or the intermediate that
// such CAs are made by.
type Authority struct {
	ID        string             // hexadecimal, part of the CRL's address
	Profile   awsprofile.Profile // zero: the intermediate
	Chain     [][]byte           // DER, its own certificate first, root last
	SealedKey []byte             // PKCS#8 by [Sealer]; none for the intermediate
	NotBefore time.Time
	NotAfter  time.Time
	CRLNumber int64
	CRL       []byte    // newest, DER; none for an issuing CA of KindAWS, which no certificate names
	CRLNext   time.Time // its next update; zero: a new one is due at once
	Revoked   *AuthorityRevocation
}

// AuthorityRevocation lists an issuing CA in its issuer's CRL.
type AuthorityRevocation struct {
	At             time.Time
	InvalidityDate time.Time
}

// RevokedCertificate is a leaf listed in its authority's CRL, and whose id
// GetRevocationStatus reports.
type RevokedCertificate struct {
	Authority string
	Serial    string
	At        time.Time
	Job       string
}

// Credential is an access key and what it may do.
type Credential struct {
	AccessKeyID  string
	SealedSecret []byte
	Account      string
	Principal    string   // arn:PARTITION:iam::ACCOUNT:user/NAME
	Actions      []string // signer:SignPayload, …, "signer:*"
	Profiles     []string // names or ARNs; "*": all of the account
	Created      time.Time
	Expires      time.Time // zero: never
	Disabled     bool
}

// Reply is kept for a while so that an SDK's retry gets the same job, and the
// same envelope byte for byte.
type Reply struct {
	Principal    string
	InvocationID string
	BodySHA256   string
	Job          awsprofile.Job
	Envelope     []byte // what it cannot be made of again from job and request: signature, then leaf
	Created      time.Time
}
