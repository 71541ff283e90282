package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// reporter makes a report. It is used by one goroutine but where it says so.
type reporter struct {
	app      *app
	o        *repositoryReportOptions
	head     *repositoryReport
	gate     *gate.Gate
	sources  *reportSources
	state    *reportState
	progress *reportProgress
	brake    *brake
	blobs    registry.Blobs
	clients  map[string]*registry.Client // by registry
}

func (a *app) newReporter(ctx context.Context, o *repositoryReportOptions, p *pipeline.Policy, now time.Time) (*reporter, error) {
	rules, err := gate.NewRules(ctx, p, a.trustStores())
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "policy " + o.policy + " cannot be used", Err: err}
	}
	engine, _ := buildinfo.Version()
	r := &reporter{
		app: a, o: o, blobs: a.blobs(), clients: map[string]*registry.Client{},
		sources: &reportSources{open: map[string]*reportSource{}},
		head: &repositoryReport{
			MediaType: mediaTypeRepositoryReport, Time: now.UTC(), Policy: p.Digest(), Trust: rules.TrustHash(), Engine: engine,
			Where: o.where(), Stages: p.Stages(), Repositories: []*reportedRepository{},
		},
	}
	if r.head.Stages == nil {
		r.head.Stages = []string{}
	}
	o.survey = true
	if r.gate, err = a.newGate(ctx, p, &o.gateFlags, r.sources, true); err != nil {
		return nil, err
	}
	r.state, err = openReportState(o.state, r.head, now)
	if r.state != nil && r.state.note != "" {
		a.warnf("%s", r.state.note)
	}
	return r, err
}

// reportSources give the gate the repositories that are reported on.
type reportSources struct {
	mu   sync.Mutex
	open map[string]*reportSource // by name
}

func (s *reportSources) Open(access string, ref shuin.Reference) (gate.Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.open[ref.Name()]; src != nil && access == "" {
		return src, nil
	}
	return nil, &shuin.Error{Code: shuin.CodeInternal, Message: ref.Name() + " is not reported on"}
}

// reportSource is a repository, and what its listing found already: that is
// not asked again. Safe for concurrent use.
type reportSource struct {
	repo *registry.Repository
	ref  shuin.Reference

	mu      sync.Mutex
	known   map[digest.Digest]shuin.Descriptor
	indexes map[digest.Digest][]shuin.Platform
}

// Resolve satisfies gate.Source.
func (s *reportSource) Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	s.mu.Lock()
	d, ok := s.known[ref.Digest]
	s.mu.Unlock()
	if ok {
		return shuin.NewArtifact(ref, d)
	}
	return s.repo.Resolve(ctx, ref)
}

// Discover satisfies gate.Source.
func (s *reportSource) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	s.mu.Lock()
	d, ok := s.known[ref.Digest]
	s.mu.Unlock()
	if ok {
		a, err := shuin.NewArtifact(ref, d)
		return a, s.repo, err
	}
	return s.repo.Discover(ctx, ref)
}

// Signatures satisfies gate.Source.
func (s *reportSource) Signatures(ctx context.Context, a shuin.Artifact, max int) ([]shuin.Signature, bool, error) {
	return s.repo.Signatures(ctx, a, max)
}

// Platforms satisfies gate.Source.
func (s *reportSource) Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error) {
	s.mu.Lock()
	p, ok := s.indexes[a.Digest()]
	s.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := s.repo.Platforms(ctx, a)
	if err == nil {
		s.mu.Lock()
		s.indexes[a.Digest()] = p
		s.mu.Unlock()
	}
	return p, err
}

func (r *reporter) source(ref shuin.Reference) (*reportSource, error) {
	client := r.clients[ref.Registry]
	if client == nil {
		client = r.app.clientFor(ref, &r.o.registryFlags, false)
		client.Blobs = r.blobs
		r.clients[ref.Registry] = client
	}
	repo, err := client.Repository(ref)
	if err != nil {
		return nil, err
	}
	src := &reportSource{repo: repo, ref: ref, known: map[digest.Digest]shuin.Descriptor{}, indexes: map[digest.Digest][]shuin.Platform{}}
	r.sources.mu.Lock()
	defer r.sources.mu.Unlock()
	r.sources.open[ref.Name()] = src
	return src, nil
}

// repository lists one repository and asks about each of its images.
func (r *reporter) repository(ctx context.Context, ref shuin.Reference) *reportedRepository {
	out := &reportedRepository{Name: ref.Name(), Listing: listsTags, Images: []*reportedImage{}}
	r.brake = newBrake(wait, r.app.now)
	r.progress.begin(ref.Name())
	src, err := r.source(ref)
	if err == nil {
		err = r.list(ctx, src, out)
	}
	if err != nil {
		out.err, out.Reason = err, reasonOfError(r.app, err)
	}
	if src != nil {
		r.platforms(ctx, src, out)
		r.askAll(ctx, src, out)
	}
	if err := r.brake.leaving(); err != nil && out.err == nil {
		out.err, out.Reason = err, reasonOfError(r.app, err)
	}
	for _, i := range out.Images {
		if i.Tags == nil {
			i.Tags = []string{}
		}
		if i.Stages == nil {
			i.Stages = []reportedStage{}
		}
	}
	out.count()
	out.sort()
	r.sources.mu.Lock()
	delete(r.sources.open, ref.Name())
	r.sources.mu.Unlock()
	return out
}

// askAll asks the gate about each image that has no answer yet.
func (r *reporter) askAll(ctx context.Context, src *reportSource, out *reportedRepository) {
	var open []*reportedImage
	for _, i := range out.Images {
		if i.Digest == "" {
			continue
		}
		if i.known.Digest != "" {
			src.known[i.Digest] = i.known
		}
		open = append(open, i)
	}
	r.progress.more(len(open))
	parallel(r.o.concurrency, open, func(i *reportedImage) {
		defer r.progress.one()
		if ctx.Err() != nil {
			return
		}
		var kept bool
		if i.reportedAnswer, kept = r.state.image(src.ref.Name(), i.Digest, r.app.now()); kept {
			return
		}
		i.reportedAnswer = r.ask(ctx, src, i.Digest)
		if i.Outcome == outcomeUndecided {
			return
		}
		if err := r.state.keepImage(src.ref.Name(), i.Digest, i.reportedAnswer); err != nil {
			r.app.warnf("%s", oneLine(err.Error()))
		}
	})
}

// ask asks the gate about one image, as about a workload that names it by its
// digest. Safe for concurrent use.
func (r *reporter) ask(ctx context.Context, src *reportSource, d digest.Digest) reportedAnswer {
	ref := src.ref
	ref.Digest = d
	w := gate.Workload{Images: []gate.Image{{Written: ref.String()}}, Where: r.o.where(), Pins: true}
	var answer reportedAnswer
	err := r.brake.try(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, limits.ReportImageTime)
		defer cancel()
		v := r.gate.Decide(ctx, w)
		if len(v.Images) != 1 {
			return &shuin.Error{Code: shuin.CodeInternal, Message: fmt.Sprintf("asked about one image, the gate answered about %d", len(v.Images))}
		}
		answer = answerOf(r.app, &v.Images[0])
		if v.Images[0].Outcome == pipeline.Undecided {
			return v.Images[0].Err
		}
		return nil
	})
	if answer.Outcome == "" || err != nil && answer.Outcome != outcomeUndecided {
		return notAsked(r.app, err)
	}
	return answer
}

// brake holds everybody back while a registry throttles or does not answer,
// and gives up on one that goes on so. Safe for concurrent use.
type brake struct {
	wait func(context.Context, time.Duration) error
	now  func() time.Time

	mu     sync.Mutex
	until  time.Time
	pause  time.Duration
	silent time.Time // since when there was no answer; zero: there was one
	left   bool      // for good
}

func newBrake(wait func(context.Context, time.Duration) error, now func() time.Time) *brake {
	return &brake{wait: wait, now: now, pause: limits.ReportPause}
}

// try calls f, again after a pause as long as the registry gives no answer.
func (b *brake) try(ctx context.Context, f func(context.Context) error) error {
	for n := 1; ; n++ {
		d, left := b.held()
		if left {
			return b.leaving()
		}
		if d > 0 {
			if err := b.wait(ctx, d); err != nil {
				return &shuin.Error{Code: shuin.CodeDeadline, Message: "wait for the registry", Err: err}
			}
		}
		err := f(ctx)
		if !noAnswer(err) || ctx.Err() != nil {
			b.answered()
			return err
		}
		b.hold()
		if n == limits.ReportTries {
			return err
		}
	}
}

// leaving is why nothing more is asked; nil where it is.
func (b *brake) leaving() error {
	if _, left := b.held(); !left {
		return nil
	}
	return &shuin.Error{
		Code: shuin.CodeUnavailable, Message: "the registry was left", Err: errLeft,
		Hint: "find out what is wrong with the registry, or ask about fewer images at a time (--concurrency)",
	}
}

func (b *brake) held() (d time.Duration, left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.left = b.left || !b.silent.IsZero() && now.Sub(b.silent) >= limits.ReportSilence
	return b.until.Sub(now), b.left
}

// hold lets everybody wait: longer each time, until there is an answer.
func (b *brake) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.silent.IsZero() {
		b.silent = now
	}
	if !now.Before(b.until) {
		b.until = now.Add(b.pause)
		b.pause = min(2*b.pause, limits.ReportPauseMost)
	}
}

func (b *brake) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pause, b.silent = limits.ReportPause, time.Time{}
}

// errLeft is the reason of what was not asked any more.
var errLeft = fmt.Errorf("it gave no answer for %v (limit ReportSilence)", limits.ReportSilence)
