// Package pipeline holds pipeline policies: which stages an image must have
// passed, where, and who may say so. It parses and checks the policy file,
// picks the rule for an image, and decides from what verification found which
// stages are sealed and whether that is enough.
//
// It makes no cryptographic check, fetches nothing and reads no clock: package
// verify judges signatures, package gate joins the two.
package pipeline

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/policy"
)

// APIVersion and Kind are what every policy file begins with.
const (
	APIVersion = "shuin.dev/v1"
	Kind       = "PipelinePolicy"
)

// Policy is a valid pipeline policy. Make one with [Parse] or
// [FromTrustPolicy]. It is not changed after that, and safe for concurrent use.
type Policy struct {
	digest     digest.Digest
	signers    []Signer
	stages     []stage
	rules      []rule
	exceptions []exception
	admins     []Principal
	admits     bool // what no rule matches
	// trustPolicy: compiled from one. What stage a signature names is not
	// looked at, and nothing makes it ambiguous.
	trustPolicy bool

	// From outside of the document, shared with other policies; nil: there are
	// none.
	added *exceptionIndex

	// Made by finish:
	excepted    *exceptionIndex   // of exceptions
	identities  map[string]string // canonical forms of the signers' identities
	defaultHash digest.Digest
}

// finish makes what follows from the rest.
func (p *Policy) finish() {
	base := newHash()
	base.stages(p)
	stages := string(base.sum())
	for i := range p.rules {
		h := newHash()
		h.text(stages)
		h.rule(&p.rules[i])
		p.rules[i].hash = h.digest()
	}
	h := newHash()
	h.text(stages)
	h.flag(p.admits)
	p.defaultHash = h.digest()
	p.excepted = indexExceptions(p.exceptions)
	p.identities = map[string]string{}
	for i := range p.signers {
		for _, id := range p.signers[i].Statement.TrustedIdentities {
			p.identities[id.String()] = id.Canonical()
		}
	}
}

// Digest is the SHA-256 of the file's bytes.
func (p *Policy) Digest() digest.Digest { return p.digest }

// Signers are all signers of all stages, each distinct statement once: what a
// survey has to ask about. Not to be changed.
func (p *Policy) Signers() []Signer { return p.signers }

// Stages are the names of all stages, in the policy's order.
func (p *Policy) Stages() []string {
	names := make([]string, len(p.stages))
	for i := range p.stages {
		names[i] = p.stages[i].name
	}
	return names
}

// Signer is one way to make a seal: a statement whose signatures count.
type Signer struct {
	Statement *policy.Statement
	// Stages name the stages that list it.
	Stages []string
	// Profile says that it is a signing profile's ARN and not a list of identities.
	Profile string
}

// Mode is what a denial does. Zero is Enforce.
type Mode uint8

// The modes.
const (
	Enforce Mode = iota
	Warn         // the workload is allowed, and told
	Audit        // the workload is allowed, and the denial recorded
)

// Outcome is the answer about an image. Zero is invalid.
type Outcome uint8

// The outcomes.
const (
	Admit Outcome = iota + 1
	Deny
	Undecided // could not check
)

// Tags says what to do with an image that is named by a tag alone.
type Tags uint8

// The ways.
const (
	Pin           Tags = iota // the deployer pins it to the digest that was judged; refused where it does not
	Refuse                    // refused
	AllowUnpinned             // judged by the digest it has now, and marked
)

// Platforms says what of a multi-platform image must be sealed.
type Platforms uint8

// The ways.
const (
	Index  Platforms = iota // the index itself
	Each                    // every platform's manifest
	Either                  // the index, or else every platform's manifest
)

// Where is the place a workload is to run. Empty fields are not known: a rule
// that names clusters or namespaces does not match them.
type Where struct {
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

// Question is what a policy is asked: an image (a repository's full name and,
// once resolved, its digest) in a place.
type Question struct {
	Repository string // "registry/repository", as shuin.Artifact.Name
	Digest     digest.Digest
	Where      Where
	Now        time.Time
}

// Selection is the part of a policy that decides about an image. Exactly one
// rule, or the default, applies; an exception may stand above it.
type Selection struct {
	// Rule is the name of the rule; empty: no rule matches and the default applies.
	Rule string
	// Pattern is the image pattern that matched.
	Pattern string
	// Exception is the exception in force, if there is one. Expired is one that
	// would have been and is over.
	Exception, Expired *Exception
	Mode               Mode
	Tags               Tags
	Platforms          Platforms
	// UndecidedAdmits: what could not be checked is admitted, after RetryFor.
	UndecidedAdmits bool
	RetryFor        time.Duration
	// NeedsSignatures: the decision depends on signatures. Without it Decide
	// may be asked with no candidates.
	NeedsSignatures bool
	// Hash covers everything in the policy the decision of this selection may
	// depend on, but for exceptions: the rule, its stages and their signers,
	// and every signer that could make a seal ambiguous.
	Hash digest.Digest

	policy   *Policy
	rule     *rule // nil: the default
	question Question
}

// Exception lets images in that would not be: dated and owned.
type Exception struct {
	// Name is where it stands, of one from outside of the policy's document
	// ([Policy.WithExceptions]), such as "PolicyException shop/hotfix".
	Name    string    `json:"name,omitempty"`
	Images  []string  `json:"images"`
	Reason  string    `json:"reason"`
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"`
	Where   []string  `json:"-"`
}

// Answer is what one signature is for one of Policy.Signers, in their order.
type Answer struct {
	Result shuin.Result // Verified, NotVerified or Undecided
	Err    error
	// Authentic: the signature's chain leads to the signer's trust store and
	// one of its identities matches, whatever else is wrong with it.
	Authentic bool
	Identity  string    // the identity that matched, or the profile's canonical ARN without version
	Time      time.Time // authentic or timestamped; zero: none
	// StaleUntil as in verify.Judgement.
	StaleUntil time.Time
}

// Candidate is one signature of the image.
type Candidate struct {
	Digest   digest.Digest
	Subject  string            // of the leaf certificate
	Metadata map[string]string // signed; empty where no answer is Authentic
	// Claims is the stage that the payload names, also where nobody who is
	// trusted says so: it makes no seal, but tells which stage a stranger's
	// signature was meant for. May be left empty.
	Claims  string
	Answers []Answer
	Err     error // it could not be fetched
}

// StageResult says whether a stage is sealed.
type StageResult struct {
	Stage    string
	Required bool // the rule's requirement names it
	// Missing: it is wanted and not sealed. A required stage that is not sealed
	// is not missing where others do in its place (any, atLeast).
	Missing bool
	// Outcome is Passed, Failed or Unknown.
	Outcome shuin.Outcome
	Err     error // the reason for the latter two
	// Of the seal that counts, where Outcome is Passed.
	Seal       digest.Digest
	Identity   string
	SealedAt   time.Time
	StaleUntil time.Time
}

// Decision is the answer about one digest.
type Decision struct {
	Outcome Outcome
	Err     error // the reason for Deny and Undecided
	// Stages are all stages of the policy, in its order; of a policy compiled
	// from a trust policy, the stage of the statement that applies. None where
	// no signature was asked for.
	Stages []StageResult
	// StaleUntil is when the answer may turn out otherwise; zero: never.
	StaleUntil time.Time
}
