package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// question is one digest to be judged, as one flight does it. All of it is in
// the flight's key.
type question struct {
	g      *Gate
	m      *memory
	rules  *Rules
	sel    *pipeline.Selection // without exceptions
	access string
	ref    shuin.Reference // with the digest, without a tag
	// artifact is what a tag was resolved to just now; zero: only the digest is
	// known.
	artifact shuin.Artifact
	key      key
}

// answer judges, repeats what could not be checked as long as the rule says,
// and remembers what may be.
func (q *question) answer(ctx context.Context) *answer {
	if a, _, ok := q.m.verdicts.get(q.key, q.g.o.Now()); ok {
		return a // found by somebody between the asker's look and this flight
	}
	var a *answer
	q.g.retry(ctx, q.sel.RetryFor, func() bool {
		a = q.turn(ctx)
		return a.decision.Outcome == pipeline.Undecided && passing(a.decision.Err)
	})
	if a == nil {
		return q.failed(notBegun(ctx, "its time was over"))
	}
	q.remember(a)
	return a
}

func (q *question) remember(a *answer) {
	q.m.mu.Lock()
	defer q.m.mu.Unlock()
	if q.m.overSince(a) {
		return
	}
	q.m.verdicts.put(q.key, a, a.at, a.until())
	switch {
	case a.good():
		q.m.lastGood.put(q.key, a, a.at, a.at.Add(limits.GateLastGoodLife))
	case a.decision.Outcome == pipeline.Deny && !a.fault:
		// It is bad now, or looks so for all the junk around it: no outage makes it
		// good again.
		q.m.lastGood.drop(q.key)
	}
}

// failed is the answer when nothing could be surveyed, for err.
func (q *question) failed(err error) *answer {
	now := q.g.o.Now()
	return &answer{artifact: q.artifact, at: now, decision: q.sel.Decide(nil, flat(err), now), fault: true}
}

// turn waits for a turn with the registry and makes one attempt in it: who
// pauses between two holds up nobody.
func (q *question) turn(ctx context.Context) *answer {
	done, err := q.g.talk(ctx, q.ref.Registry)
	if err != nil {
		return q.failed(err)
	}
	defer done()
	return q.attempt(ctx)
}

// attempt surveys what the rule's platforms ask for, once.
func (q *question) attempt(ctx context.Context) *answer {
	now, turn := q.g.o.Now(), q.m.begun()
	source, err := q.g.o.Sources.Open(q.access, q.ref)
	if err != nil {
		return q.failed(err)
	}
	artifact, signatures := q.artifact, verify.Signatures(source)
	if artifact.Digest() == "" {
		if artifact, signatures, err = source.Discover(ctx, q.ref); err != nil {
			return q.failed(inTime(ctx, err))
		}
	}
	a := &answer{artifact: artifact, at: now, turn: turn}
	index := isIndex(artifact)
	if q.sel.Platforms != pipeline.Each || !index {
		a.whole, a.reports = q.survey(ctx, artifact, signatures, "", now)
	}
	if index && q.sel.Platforms != pipeline.Index && (a.whole == nil || a.whole.decide(q.sel, now).Outcome != pipeline.Admit) {
		if err := q.platforms(ctx, source, a, now); err != nil {
			return q.failed(inTime(ctx, err))
		}
	}
	a.decision = flatDecision(compose(q.sel, artifact.Digest(), a.whole, a.parts, now))
	a.fault = shuin.CodeOf(a.decision.Err) == shuin.CodeInternal
	if a.good() {
		a.grounds = groundsOf(a)
	}
	a.whole = a.whole.settled(a.good())
	for i, p := range a.parts {
		a.parts[i] = p.settled(a.good())
	}
	if !a.good() {
		a.parts = nil
	}
	return a
}

// survey asks what the signatures of one manifest are for every statement that
// the decision may depend on.
func (q *question) survey(ctx context.Context, a shuin.Artifact, sigs verify.Signatures, platform string, now time.Time) (*subject, []shuin.SignatureReport) {
	v := q.g.o.Verifier
	v.Stores = q.rules.stores
	statements, asked := q.rules.statements, q.sel.Asked()
	if asked != nil {
		statements = make([]*policy.Statement, len(asked))
		for i, k := range asked {
			statements[i] = q.rules.statements[k]
		}
	}
	s := v.Survey(ctx, a, sigs, statements, verify.Options{Now: now, PluginConfig: q.g.o.PluginConfig})
	for i := range s.Signatures {
		if x := &s.Signatures[i]; asked != nil { // in the places that the policy knows them by
			all := make([]verify.Judgement, len(q.rules.statements))
			for n, k := range asked {
				all[k] = x.Answers[n]
			}
			x.Answers = all
		}
	}
	if s.Err != nil {
		s.Err = inTime(ctx, s.Err)
	}
	return newSubject(a, platform, s)
}

// platforms surveys every image of the index, a few at a time.
func (q *question) platforms(ctx context.Context, source Source, a *answer, now time.Time) error {
	found, err := source.Platforms(ctx, a.artifact)
	if err != nil {
		return err
	}
	if len(found) > limits.Platforms {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the index has %d images, limit %d", len(found), limits.Platforms)}
	}
	k := keyOf(q.access, q.ref.Name(), a.artifact.Digest().String())
	q.m.indexes.put(k, found, now, now.Add(limits.GateIndexLife))
	var distinct []shuin.Platform
	for _, p := range found {
		if !holds(distinct, p.Descriptor.Digest) {
			distinct = append(distinct, p)
		}
	}
	a.parts = make([]*subject, len(distinct))
	reports := make([][]shuin.SignatureReport, len(distinct))
	errs := make([]error, len(distinct))
	together(len(distinct), limits.GatePlatforms, func(i int) {
		p := distinct[i]
		ref := q.ref
		ref.Digest = p.Descriptor.Digest
		artifact, err := shuin.NewArtifact(ref, p.Descriptor)
		if err != nil {
			errs[i] = &shuin.Error{Code: shuin.CodeMalformed, Message: "read the index", Err: err}
			return
		}
		a.parts[i], reports[i] = q.survey(ctx, artifact, source, p.String(), now)
	})
	for i := range distinct {
		if errs[i] != nil {
			return errs[i]
		}
		for _, r := range reports[i] {
			if len(a.reports) < limits.GateReports {
				a.reports = append(a.reports, r)
			}
		}
	}
	return nil
}

func holds(list []shuin.Platform, d digest.Digest) bool {
	for _, p := range list {
		if p.Descriptor.Digest == d {
			return true
		}
	}
	return false
}

// together runs n pieces of work, at most that many at a time. A panic in one
// of them is the caller's.
func together(n, most int, work func(int)) {
	if n == 1 {
		work(0)
		return
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var fault any
	slots := make(chan struct{}, most)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					mu.Lock()
					fault = p
					mu.Unlock()
				}
				<-slots
			}()
			work(i)
		})
	}
	wg.Wait()
	if fault != nil {
		panic(fault)
	}
}

// Media types of what holds the images of several platforms (OCI image
// specification, image-index.md; Docker image manifest version 2, schema 2).
const (
	mediaTypeIndex      = "application/vnd.oci.image.index.v1+json"
	mediaTypeDockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

func isIndex(a shuin.Artifact) bool {
	t := a.Descriptor().MediaType
	return t == mediaTypeIndex || t == mediaTypeDockerList
}

// inTime tells the end of our own time from what it looked like. What is bad
// stays bad.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() == nil || shuin.CodeOf(err).Undecided() || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return &shuin.Error{Code: shuin.CodeDeadline, Message: "the check was stopped", Hint: "ask again", Err: fmt.Errorf("%w: %w", context.Cause(ctx), err)}
}

// flatDecision lets go of what the reasons were made of.
func flatDecision(d *pipeline.Decision) *pipeline.Decision {
	out := *d
	out.Err = flat(d.Err)
	out.Stages = make([]pipeline.StageResult, len(d.Stages))
	for i, s := range d.Stages {
		s.Err = flat(s.Err)
		out.Stages[i] = s
	}
	return &out
}
