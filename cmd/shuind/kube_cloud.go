package main

import (
	"context"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/verify"
)

// asNobody is a repository that may be asked for nobody, for want of an identity
// at its cloud: where it refuses, or says that it has no such image, that is said
// too. Many registries tell the anonymous of what is not public that it is not
// there.
type asNobody struct {
	gate.Source
	why func() string // empty: it was asked for somebody
}

func (s asNobody) told(err error) error {
	switch shuin.CodeOf(err) {
	case shuin.CodeUnauthorized, shuin.CodeForbidden, shuin.CodeNotFound:
	default:
		return err
	}
	why := s.why()
	if why == "" {
		return err
	}
	return &shuin.Error{
		Code: shuin.CodeOf(err), Message: why, Err: err,
		Hint: "unless everybody may read the repository, see to the workload identity of the gate's service account, or give it a password for that registry",
	}
}

func (s asNobody) Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	a, err := s.Source.Resolve(ctx, ref)
	return a, s.told(err)
}

func (s asNobody) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	a, found, err := s.Source.Discover(ctx, ref)
	if found != nil {
		found = listedAsNobody{found, s}
	}
	return a, found, s.told(err)
}

func (s asNobody) Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error) {
	all, err := s.Source.Platforms(ctx, a)
	return all, s.told(err)
}

func (s asNobody) Signatures(ctx context.Context, a shuin.Artifact, most int) ([]shuin.Signature, bool, error) {
	return listedAsNobody{s.Source, s}.Signatures(ctx, a, most)
}

// listedAsNobody are the signatures of such a repository.
type listedAsNobody struct {
	list verify.Signatures
	of   asNobody
}

func (l listedAsNobody) Signatures(ctx context.Context, a shuin.Artifact, most int) ([]shuin.Signature, bool, error) {
	found, more, err := l.list.Signatures(ctx, a, most)
	return found, more, l.of.told(err)
}
