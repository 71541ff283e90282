package verify

import (
	"context"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/policy"
)

// Verifier verifies artifacts. It is not changed by verifying and may be used
// concurrently when its parts may.
type Verifier struct {
	// Stores gives the trust stores statements name. Required.
	Stores Stores
	// Revocation asks responders; nil makes every certificate that names a
	// responder or CRL unavailable.
	Revocation RevocationChecker
	// Plugins finds verification plugins; nil: there are none.
	Plugins Plugins
	// Chains remembers verified chains; nil: nothing is remembered.
	Chains *ChainCache
	// MaxSignatures bounds the signatures judged for one artifact; 0:
	// limits.Signatures.
	MaxSignatures int
}

// Options are what differs from one verification to the next.
type Options struct {
	// Now is the time to judge by. Required.
	Now time.Time
	// Scope, where set, is the repository name the trust policy statement is
	// picked by, in place of the artifact's own (an OCI layout has none).
	Scope string
	// Metadata must be signed into the signature (VER-06).
	Metadata map[string]string
	// PluginConfig is handed to verification plugins.
	PluginConfig map[string]string
}

// ChainCache remembers certificate chains whose links were verified.
type ChainCache struct{}

// NewChainCache makes a cache for at most entries chains.
func NewChainCache(entries int) *ChainCache { return &ChainCache{} }

// Verify decides about one artifact.
func (v *Verifier) Verify(ctx context.Context, a shuin.Artifact, sigs Signatures, doc *policy.Document, o Options) *shuin.Report {
	return &shuin.Report{Artifact: a, Result: shuin.NotVerified, VerifiedBy: -1}
}
