// Package gate decides whether a workload's images may run: one engine behind
// every entrance. It resolves each image to a digest, has its signatures
// surveyed, and asks the pipeline policy; it asks once for each distinct
// digest, remembers what it may, and never takes "could not check" for "bad".
//
// It knows images, not Pods or tasks; it speaks no HTTP, opens no file, reads
// no clock and holds no credential: sources and time are handed in.
package gate

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// Source is a repository as the gate needs it. internal/registry satisfies it.
type Source interface {
	// Signatures lists those of an artifact that was resolved before.
	verify.Signatures
	Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error)
	Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error)
	// Platforms are the images of the index a, nested ones included, without
	// what is no image (attestations); none when a is no index.
	Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error)
}

// Sources opens repositories. access names a set of credentials (empty: the
// gate's own); nothing that was fetched with one is ever shown to another.
type Sources interface {
	Open(access string, ref shuin.Reference) (Source, error)
}

// Image is one image of a workload.
type Image struct {
	Name    string        // of the container; may be empty
	Written string        // the reference as written
	Running digest.Digest // what was reported to run; empty: nothing yet
}

// Workload is what somebody wants to run, or runs.
type Workload struct {
	Images []Image
	Where  pipeline.Where
	Access string
	// Pins: who asks will deploy the pinned references of the verdict. Without
	// it a tag alone is refused where the rule says pin.
	Pins bool
}

// ImageVerdict is the answer about one image.
type ImageVerdict struct {
	Image   Image
	Outcome pipeline.Outcome
	// Allowed says what to do: Admit is allowed; Deny only where the rule does
	// not enforce; Undecided where the rule admits it, or where the last good
	// answer serves (LastGood).
	Allowed bool
	Mode    pipeline.Mode
	Rule    string
	// Exception is the exception by which the image is admitted.
	Exception *pipeline.Exception
	Err       error // the reason for Deny and Undecided; code and hint in its tree
	Stages    []pipeline.StageResult
	// Signatures are all that were found, each with its reason.
	Signatures []shuin.SignatureReport
	// Artifact is what was judged; zero when the reference was not resolved.
	Artifact shuin.Artifact
	// Pinned is the reference to deploy, "name@digest"; empty when not resolved.
	Pinned string
	// Unpinned: judged by the digest its tag had, and may run another.
	Unpinned bool
	// LastGood is when the answer was good the last time, where it serves
	// because the world could not be asked now; zero else.
	LastGood   time.Time
	TrustHash  digest.Digest
	StaleUntil time.Time
}

// Verdict is the answer about a workload.
type Verdict struct {
	// Outcome is the worst of the images': Deny, then Undecided, then Admit,
	// of those that are not allowed if there is one.
	Outcome    pipeline.Outcome
	Allowed    bool // all images are
	Images     []ImageVerdict
	Policy     digest.Digest
	Engine     string
	Time       time.Time
	StaleUntil time.Time
}

// Rules are a policy with the trust it names, loaded: what a decision is made
// by, from beginning to end.
type Rules struct {
	policy *pipeline.Policy
}

// NewRules loads every trust store that the policy names. The error says which
// cannot be used: then the rules are not fit for use.
func NewRules(ctx context.Context, p *pipeline.Policy, stores verify.Stores) (*Rules, error) {
	panic("unimplemented")
}

// Options are what a Gate is made of.
type Options struct {
	Sources Sources
	// Verifier judges signatures; its Stores are the Rules' own.
	Verifier verify.Verifier
	Now      func() time.Time
	// Wait waits, or ends with ctx.
	Wait func(ctx context.Context, d time.Duration) error
	// Engine is the version of this program: part of every key.
	Engine string
	// Record is given every verdict before it is returned; its failure makes
	// the verdict Undecided. Nil: none.
	Record func(ctx context.Context, w Workload, v *Verdict) error
	// Remember: results outlive the request (a server); without it nothing
	// does (a command).
	Remember bool
}

// Gate decides. Safe for concurrent use.
type Gate struct{ o Options }

// New makes a gate that decides by rules.
func New(o Options, rules *Rules) *Gate { panic("unimplemented") }

// Use replaces the rules: decisions that have begun keep theirs.
func (g *Gate) Use(rules *Rules) { panic("unimplemented") }

// Decide answers for a workload within ctx's deadline. What is not known by
// then is Undecided with shuin.CodeDeadline; the work goes on where the gate
// remembers, so that asking again finds it done.
func (g *Gate) Decide(ctx context.Context, w Workload) *Verdict { panic("unimplemented") }
