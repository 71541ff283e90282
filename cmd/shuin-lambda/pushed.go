package main

import (
	"context"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/watch"
)

// observation completes what an event leaves out. Not relevant: what was
// pushed is no image.
func (f *function) observation(ctx context.Context, s *ecs.Seen) (o watch.Observation, relevant bool, err error) {
	switch {
	case s.Read != nil:
		got, err := f.ecs.TaskDefinitionImages(ctx, *s.Read)
		if err != nil {
			return o, false, err
		}
		o, err = s.WithTaskDefinition(got)
		return o, true, err
	case s.Push != nil:
		o, what := s.Observation, ""
		if what, o.Doubt = f.noImage(ctx, s.Push); what != "" {
			loggerOf(ctx).Info("nothing has to be done", "reason", what)
			return o, false, nil
		}
		return o, true, nil
	}
	return s.Observation, true, nil
}

// noImage says why what was pushed is none that could run, as its manifests have
// it; empty: it may be one. Its tag, which who pushed it chose, says only what is
// to be looked for: a list under the tag of referrers is none where nothing in it
// is one. The error says that nobody could look: whether it is anything that wants
// seals is not known then. What is looked at and cannot be read is for the gate to
// judge.
func (f *function) noImage(ctx context.Context, p *ecs.Push) (what string, doubt error) {
	ref := shuin.Reference{Registry: p.Registry, Repository: p.Repository, Digest: p.Digest}
	repo, err := f.sources.client.Repository(ref)
	if err != nil {
		return "", nil
	}
	a, err := repo.Resolve(ctx, ref)
	if err != nil {
		return "", unlooked(err)
	}
	index := registry.IsIndex(a.Descriptor().MediaType)
	if _, is := registry.ReferrersTag(p.Tag); index && !is {
		return "", nil
	}
	switch startable, err := repo.Startable(ctx, a); {
	case err != nil:
		return "", unlooked(err)
	case startable:
		return "", nil
	case index:
		return "a list of signatures, or of other things that are no images, was pushed", nil
	}
	return "a signature, or something else that is no image, was pushed", nil
}

// unlooked is err where it says that nobody could look.
func unlooked(err error) error {
	if code := shuin.CodeOf(err); !code.Undecided() {
		return nil
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Message: "whether an image was pushed could not be looked at", Err: err, Hint: shuin.HintOf(err)}
}

// counting is the context in which o is observed: what the gate says of what is in
// doubt is not what becomes of it, and so not counted.
func counting(ctx context.Context, o watch.Observation) context.Context {
	if o.Doubt == nil {
		return ctx
	}
	return withTally(ctx, &tally{})
}
