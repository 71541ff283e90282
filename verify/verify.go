// Package verify is the only place that says whether a signature is good or
// bad. An [Examiner] makes policy-free [Facts] of an envelope, once; [Judge]
// decides from facts, a statement, trust and a time, and says what evidence it
// lacks. A [Verifier] joins the two for one artifact and asks the world,
// through the interfaces below, for what cannot be decided from values:
// trust stores, revocation status and verification plugins. AWS Signer's
// signatures can be judged without its plugin ([SignerStatus]). [EvaluateOCSP] and
// [EvaluateCRL] judge what a revocation door fetched.
//
// It fetches nothing, reads no clock, disk or environment, and logs nothing.
// It does not resolve tags, and it does not ask anybody about a chain that no
// named trust store anchors. "Bad" and "could not check" never mix: see
// [shuin.Code.Undecided].
package verify

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/trust"
)

// Stores gives the trust stores that a statement names. internal/notationdir
// satisfies it; implementations load a store once per change, not per call.
// An error means the store cannot be used (missing, symlink, bad certificate).
type Stores interface {
	Store(ctx context.Context, name trust.StoreName) (*trust.Store, error)
}

// Status is the revocation status of one certificate. Zero is invalid.
type Status uint8

// The statuses.
const (
	StatusGood        Status = iota + 1
	StatusNoSource           // names no OCSP responder and no CRL: counts as not revoked (REV-01)
	StatusRevoked            // Reason and At are set
	StatusUnavailable        // no answer that can be used; Err says why
)

// Revocation is what is known of one certificate's revocation.
type Revocation struct {
	Status     Status
	Method     string    // "ocsp", "crl" or ""
	Server     string    // the address asked, without credentials
	RevokedAt  time.Time // revocation date, or invalidity date where the responder gives one
	Reason     int       // CRLReason, RFC 5280 section 5.3.1
	NextUpdate time.Time // when the answer grows stale; zero: unknown
	// Err is set with StatusUnavailable. Where shuin.CodeLimit or
	// shuin.CodeMalformed is in its tree, an answer came and is bad; else none
	// could be had.
	Err error
}

// RevocationChecker asks OCSP responders and CRL distribution points. It is
// called only with a chain that anchors in a store the statement names.
type RevocationChecker interface {
	// Check returns one Revocation per certificate of chain (leaf first; the
	// root gets StatusNoSource), as things stand at now. at is the
	// authenticated signing time, zero when there is none: a certificate
	// revoked with an invalidity date after it is still good (REV-03, REV-04).
	Check(ctx context.Context, chain []*x509.Certificate, purpose envelope.Purpose, now, at time.Time) []Revocation
}

// Plugins finds verification plugins (plugin-extensibility.md, "Verification
// plugin"). internal/plugin satisfies it.
type Plugins interface {
	// Verifier returns the plugin with that name; an error when it is missing,
	// is no valid plugin or cannot tell its metadata.
	Verifier(ctx context.Context, name string) (PluginVerifier, error)
}

// PluginVerifier is a verification plugin.
type PluginVerifier interface {
	Version() string
	// Capabilities holds values such as "SIGNATURE_VERIFIER.TRUSTED_IDENTITY".
	Capabilities() []string
	VerifySignature(ctx context.Context, req PluginRequest) (PluginResponse, error)
}

// PluginRequest is the request of the verify-signature command.
type PluginRequest struct {
	Envelope          *envelope.Envelope
	Unprocessed       []envelope.Attribute // critical attributes the plugin has to process
	TrustedIdentities []string
	Checks            []string // "SIGNATURE_VERIFIER.TRUSTED_IDENTITY", "…REVOCATION_CHECK"
	Config            map[string]string
}

// PluginResponse is its answer.
type PluginResponse struct {
	Results   map[string]PluginResult // by check
	Processed []any                   // keys of the attributes processed
}

// PluginResult is the answer for one check.
type PluginResult struct {
	Success bool
	Reason  string
}

// Signatures lists and fetches the candidate signatures of an artifact.
// internal/registry satisfies it.
type Signatures interface {
	// Signatures returns every candidate found, up to max, each fetched and
	// checked against its digest; one that could not be fetched has Err set.
	// more is true when the artifact has more than max.
	Signatures(ctx context.Context, a shuin.Artifact, max int) (found []shuin.Signature, more bool, err error)
}
