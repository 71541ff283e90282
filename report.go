package shuin

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// Outcome is the result of one check. The zero value is invalid, so that a
// check nobody decided is never taken for one that passed.
type Outcome uint8

// Outcomes of a check.
const (
	// Passed: checked, and good.
	Passed Outcome = iota + 1
	// Failed: checked, and bad.
	Failed
	// Skipped: the policy says not to check, or there is nothing to check.
	Skipped
	// Unknown: could not be checked.
	Unknown
)

var outcomeNames = map[Outcome]string{Passed: "passed", Failed: "failed", Skipped: "skipped", Unknown: "unknown"}

func (o Outcome) String() string {
	if s, ok := outcomeNames[o]; ok {
		return s
	}
	return "invalid"
}

// MarshalText refuses the zero value.
func (o Outcome) MarshalText() ([]byte, error) {
	if s, ok := outcomeNames[o]; ok {
		return []byte(s), nil
	}
	return nil, fmt.Errorf("outcome %d is not valid", o)
}

// UnmarshalText reads the names that MarshalText writes.
func (o *Outcome) UnmarshalText(b []byte) error {
	for k, v := range outcomeNames {
		if v == string(b) {
			*o = k
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", b)
}

// CheckName names a check. The first five are the validation types of the
// trust policy specification ("Signature verification details").
type CheckName string

// The checks, in the order a Report lists them.
const (
	CheckIntegrity          CheckName = "integrity"
	CheckAuthenticity       CheckName = "authenticity"
	CheckAuthenticTimestamp CheckName = "authenticTimestamp"
	CheckExpiry             CheckName = "expiry"
	CheckRevocation         CheckName = "revocation"
	CheckArtifact           CheckName = "artifact"     // the payload names this artifact
	CheckUserMetadata       CheckName = "userMetadata" // the metadata asked for is signed
	CheckPlugin             CheckName = "plugin"       // what a verification plugin had to say
)

// Check is one question asked of one signature, and its answer.
type Check struct {
	Name    CheckName
	Outcome Outcome
	// Enforced says whether a Failed or Unknown outcome fails the signature
	// (enforce) or is only told (log).
	Enforced bool
	// Err says why, for Failed and Unknown; its code is in the tree.
	Err error
}

// MarshalJSON writes {"name","outcome","enforced"} and, where there is an
// error, {"code","message","hint"}.
func (c Check) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name     CheckName `json:"name"`
		Outcome  Outcome   `json:"outcome"`
		Enforced bool      `json:"enforced"`
		*reason
	}{c.Name, c.Outcome, c.Enforced, reasonOf(c.Err)})
}

// reason is how an error appears in JSON.
type reason struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func reasonOf(err error) *reason {
	if err == nil {
		return nil
	}
	return &reason{Code: CodeOf(err), Message: err.Error(), Hint: HintOf(err)}
}

// Result is the decision of a whole Report.
type Result string

// Results. There is no zero result: an empty one is a fault.
const (
	// Verified: a signature passed everything the policy enforces.
	Verified Result = "verified"
	// NotVerified: no signature did.
	NotVerified Result = "not-verified"
	// Undecided: it could not be checked.
	Undecided Result = "undecided"
	// PolicySkip: the policy's level is skip; nothing was checked.
	PolicySkip Result = "skipped"
	// Listed: a listing; nothing was to be decided.
	Listed Result = "listed"
)

// Time sources of a signature.
const (
	TimeSourceTimestamp        = "timestamp"        // RFC 3161 countersignature, verified
	TimeSourceSigningAuthority = "signingAuthority" // authentic signing time of a trusted signing authority
	TimeSourceNone             = "none"             // the signer's own claim; never used for a decision
)

// Signer says who made a signature. All of it comes from the certificates and
// counts only as far as the checks beside it passed.
type Signer struct {
	Subject     string `json:"subject"`
	Issuer      string `json:"issuer,omitempty"`
	Fingerprint string `json:"sha256Fingerprint"` // of the leaf certificate, lower-case hex
	Root        string `json:"root,omitempty"`    // subject of the last certificate
}

// SignatureReport is the result for one signature: each check and each reason.
type SignatureReport struct {
	// Digest is the signature manifest's digest.
	Digest digest.Digest `json:"digest"`
	// EnvelopeMediaType is empty when the manifest could not be read.
	EnvelopeMediaType string  `json:"envelopeMediaType,omitempty"`
	Result            Result  `json:"result"`
	Scheme            string  `json:"signingScheme,omitempty"`
	Algorithm         string  `json:"signatureAlgorithm,omitempty"`
	Signer            *Signer `json:"signer,omitempty"`
	TrustStore        string  `json:"trustStore,omitempty"` // "type:name" that anchored the chain
	Identity          string  `json:"trustedIdentity,omitempty"`
	// SigningProfile (with its version) and SigningJob are the ARNs that a
	// signer with the AWS Signer API signed, where the signature is its:
	// authenticity passed, and was not merely logged.
	SigningProfile string            `json:"signingProfile,omitempty"`
	SigningJob     string            `json:"signingJob,omitempty"`
	SigningTime    *time.Time        `json:"signingTime,omitempty"`
	TimeSource     string            `json:"timeSource,omitempty"`
	TimestampTime  *time.Time        `json:"timestampTime,omitempty"`
	Expiry         *time.Time        `json:"expiry,omitempty"`
	Metadata       map[string]string `json:"userMetadata,omitempty"`
	Checks         []Check           `json:"checks,omitempty"`
	// Err is the reason the signature did not count; nil when it did.
	Err error `json:"-"`
}

// Warnings are the checks that failed or could not be made, and were only to be logged.
func (s SignatureReport) Warnings() []Check {
	var w []Check
	for _, c := range s.Checks {
		if !c.Enforced && (c.Outcome == Failed || c.Outcome == Unknown) {
			w = append(w, c)
		}
	}
	return w
}

// MarshalJSON adds Err as "reason".
func (s SignatureReport) MarshalJSON() ([]byte, error) {
	type plain SignatureReport
	return json.Marshal(struct {
		plain
		Reason *reason `json:"reason,omitempty"`
	}{plain(s), reasonOf(s.Err)})
}

// PolicyUsed names the trust policy statement a Report was judged by.
type PolicyUsed struct {
	Statement string `json:"statement"`
	Level     string `json:"level"`
	Scope     string `json:"scope,omitempty"` // the registryScopes value that matched
}

// Report is the decided result for one artifact. It is a value: the same
// Report becomes text, JSON and an exit status.
type Report struct {
	Artifact   Artifact
	Result     Result
	Policy     *PolicyUsed
	Signatures []SignatureReport // every candidate, in the order judged
	// VerifiedBy is the index in Signatures of the one that verified; -1 when none did.
	VerifiedBy int
	// StaleUntil is when the answer should be asked for again at the latest;
	// zero when nothing in it depends on time.
	StaleUntil time.Time
	// Err is the reason for NotVerified and Undecided.
	Err error
}

// Accepted is the signature that verified, or nil.
func (r *Report) Accepted() *SignatureReport {
	if r.Result != Verified || r.VerifiedBy < 0 || r.VerifiedBy >= len(r.Signatures) {
		return nil
	}
	return &r.Signatures[r.VerifiedBy]
}

// MarshalJSON writes the versioned form, media type [MediaTypeReport].
func (r *Report) MarshalJSON() ([]byte, error) {
	type artifact struct {
		Reference string        `json:"reference"`
		Written   string        `json:"written,omitempty"`
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
	}
	a := artifact{Reference: r.Artifact.String(), MediaType: r.Artifact.desc.MediaType, Digest: r.Artifact.Digest(), Size: r.Artifact.desc.Size}
	if w := r.Artifact.Written().String(); w != a.Reference {
		a.Written = w
	}
	sigs := r.Signatures
	if sigs == nil {
		sigs = []SignatureReport{}
	}
	var verifiedBy digest.Digest
	if s := r.Accepted(); s != nil {
		verifiedBy = s.Digest
	}
	var stale *time.Time
	if !r.StaleUntil.IsZero() {
		stale = &r.StaleUntil
	}
	return json.Marshal(struct {
		MediaType  string            `json:"mediaType"`
		Artifact   artifact          `json:"artifact"`
		Result     Result            `json:"result"`
		Reason     *reason           `json:"reason,omitempty"`
		Policy     *PolicyUsed       `json:"policy,omitempty"`
		VerifiedBy digest.Digest     `json:"verifiedBy,omitempty"`
		StaleUntil *time.Time        `json:"staleUntil,omitempty"`
		Signatures []SignatureReport `json:"signatures"`
	}{MediaTypeReport, a, r.Result, reasonOf(r.Err), r.Policy, verifiedBy, stale, sigs})
}
