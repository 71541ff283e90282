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
	"fmt"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
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
	// AnyCluster: where it will run is not known yet, and Where.Cluster not
	// looked at. Each image is judged in every cluster that the policy tells
	// apart for it, and has the mildest answer: what one cluster would admit is
	// not bad, and what could not be checked in one is not denied in all. So two
	// images, each good in another cluster, are both admitted though no cluster
	// would start them together: it is for who starts them there to find out.
	AnyCluster bool
	// Pins: who asks will deploy the pinned references of the verdict. Without
	// it a tag alone is refused where the rule says pin.
	Pins bool
}

// ImageVerdict is the answer about one image.
type ImageVerdict struct {
	Image   Image
	Outcome pipeline.Outcome
	// Allowed says what to do: Admit is allowed; Deny only where the rule does
	// not enforce; Undecided there too, where the last good answer serves
	// (LastGood), or where the rule admits what could not be checked and the
	// reason is not that there is no such image.
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
	LastGood  time.Time
	TrustHash digest.Digest
	// StaleUntil is when it is worth asking again: always set but for an Admit
	// that nothing ends.
	StaleUntil time.Time
	// Elsewhere are the answers in other clusters, none of them milder, where
	// the workload is for AnyCluster. They are not part of its JSON.
	Elsewhere []ImageVerdict
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

// Options are what a Gate is made of.
type Options struct {
	Sources Sources
	// Verifier judges signatures; its Stores are the Rules' own. Give it a
	// verify.ChainCache, or each digest pays for its signers' chains.
	Verifier verify.Verifier
	// PluginConfig is handed to verification plugins, and to who is asked for
	// AWS Signer's status.
	PluginConfig map[string]string
	Now          func() time.Time
	// Wait waits, or ends with ctx. Nil: nothing is tried again.
	Wait func(ctx context.Context, d time.Duration) error
	// Engine is the version of this program: part of every key.
	Engine string
	// Record is given every verdict before it is returned, not to keep or
	// change it; its failure makes what was admitted Undecided, and not allowed
	// where the rule enforces. Nil: none.
	Record func(ctx context.Context, w Workload, v *Verdict) error
	// Remember: results outlive the request (a server); without it nothing
	// does (a command).
	Remember bool
	// Survey: signatures are looked at also where the answer does not depend on
	// them (an exception, a list of digests, no rule), so that every stage is
	// told. The answer stays what it is.
	Survey bool
}

// Gate decides. Safe for concurrent use.
type Gate struct {
	o      Options
	rules  atomic.Pointer[Rules]
	memory *memory // nil where nothing outlives a decision
	places *shared // of limits.GateFlights: by access, and in it by registry
	talks  *shared // of limits.GateSurveys: by registry
}

// New makes a gate that decides by rules.
func New(o Options, rules *Rules) *Gate {
	g := &Gate{
		o:      o,
		places: newShared(limits.GateFlights, limits.GateAccessPart, limits.GateFlightPart, limits.GateFlights),
		talks:  newShared(limits.GateSurveys, 1, limits.GateSurveyPart, limits.GatePerRegistry),
	}
	if o.Remember {
		g.memory = newMemory(true)
	}
	g.Use(rules)
	return g
}

// Use replaces the rules: decisions that have begun keep theirs. What is
// remembered under the parts of a policy that did not change stays.
func (g *Gate) Use(rules *Rules) { g.rules.Store(rules) }

// Rules are those in use.
func (g *Gate) Rules() *Rules { return g.rules.Load() }

// Decide answers for a workload within ctx's deadline. What is not known by
// then is Undecided with shuin.CodeDeadline; the work goes on where the gate
// remembers, so that asking again finds it done. What the verdict points to is
// shared with other verdicts: it is not to be changed.
func (g *Gate) Decide(ctx context.Context, w Workload) *Verdict {
	return g.recorded(ctx, w, g.decide(ctx, g.rules.Load(), w))
}

// Place is what a workload's place adds to the rules in use, as a namespace
// with a policy of its own does. The zero value adds nothing.
type Place struct {
	Rules *Rules // have to admit it too; nil: there are none
	Err   error  // why there should be some, and none can be used; counts where Rules is nil
}

// DecideIn is Decide, narrowed by the place: of each image the worse answer
// counts, so that a place can only refuse more, whatever its rules say; policy,
// engine and time are those of the rules in use. Where both judged a tag that
// named two digests meanwhile, nobody judged what would run by both: that is
// Undecided, and not allowed where either enforces. Rules that cannot be used
// leave Undecided what the others allow.
func (g *Gate) DecideIn(ctx context.Context, w Workload, place Place) *Verdict {
	v := g.decide(ctx, g.rules.Load(), w)
	switch {
	case !v.Allowed:
	case place.Rules != nil:
		v = narrow(v, g.decide(ctx, place.Rules, w))
	case place.Err != nil:
		v = unasked(v, place.Err)
	}
	return g.recorded(ctx, w, v)
}

// decide decides by rules. What is remembered, and who waits for what, is
// shared by all rules, as far as rule and trust stores are the same.
func (g *Gate) decide(ctx context.Context, rules *Rules, w Workload) *Verdict {
	d := deciding{g: g, m: g.memory, rules: rules, w: &w, now: g.o.Now()}
	v := &Verdict{Policy: d.rules.policy.Digest(), Engine: g.o.Engine, Time: d.now}
	if fault := unfit(&w); fault != nil {
		v.Images = make([]ImageVerdict, max(1, min(len(w.Images), limits.GateImages)))
		for i := range v.Images {
			if i < len(w.Images) {
				v.Images[i].Image = w.Images[i]
			}
			t := task{iv: &v.Images[i]}
			t.settle(pipeline.Deny, fault)
			t.bound(d.now)
		}
	} else {
		if d.m == nil {
			d.m = newMemory(false)
		}
		v.Images = make([]ImageVerdict, len(w.Images))
		for i := range w.Images {
			v.Images[i].Image = w.Images[i]
		}
		if w.AnyCluster {
			d.anyCluster(ctx, v.Images)
		} else {
			d.images(ctx, v.Images)
		}
	}
	v.sum()
	return v
}

// recorded is v once it is recorded.
func (g *Gate) recorded(ctx context.Context, w Workload, v *Verdict) *Verdict {
	if g.o.Record != nil {
		// The record is written also where the caller has gone.
		if err := g.o.Record(context.WithoutCancel(ctx), w, v); err != nil {
			v.unrecorded(err)
		}
	}
	return v
}

// unfit says why a workload cannot be judged at all.
func unfit(w *Workload) error {
	switch {
	case len(w.Images) == 0:
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the workload names no image", Hint: "name at least one image"}
	case len(w.Images) > limits.GateImages:
		return &shuin.Error{
			Code: shuin.CodeLimit, Message: fmt.Sprintf("the workload has %d images, more than %d (limit GateImages)", len(w.Images), limits.GateImages),
			Hint: "ask about fewer images at a time",
		}
	}
	return nil
}

// sum makes the whole's answer of the images'.
func (v *Verdict) sum() {
	v.Allowed, v.Outcome, v.StaleUntil = true, pipeline.Admit, time.Time{}
	for i := range v.Images {
		iv := &v.Images[i]
		v.StaleUntil = earlier(v.StaleUntil, iv.StaleUntil)
		switch {
		case !iv.Allowed && v.Allowed: // the first that is not: what is allowed does not count any more
			v.Allowed, v.Outcome = false, iv.Outcome
		case iv.Allowed == v.Allowed && worse(iv.Outcome, v.Outcome):
			v.Outcome = iv.Outcome
		}
	}
}

// unrecorded: what nobody can look up later is not let in where the rule
// enforces.
func (v *Verdict) unrecorded(err error) {
	for i := range v.Images {
		iv := &v.Images[i]
		if iv.Outcome == pipeline.Deny {
			continue // denied it stays
		}
		iv.Outcome, iv.Allowed, iv.LastGood = pipeline.Undecided, iv.Mode != pipeline.Enforce, time.Time{}
		iv.StaleUntil = earlier(iv.StaleUntil, v.Time.Add(limits.GateDenyLife))
		iv.Err = &shuin.Error{
			Code: shuin.CodeUnavailable, Message: "the decision could not be recorded", Err: err,
			Hint: "make room or repair where decisions are recorded",
		}
	}
	v.sum()
}
