package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/seal"
)

// imageTarget is a target of images: a repository, or an OCI layout.
type imageTarget interface {
	target
	// Config is the descriptor of an image's configuration.
	Config(ctx context.Context, a shuin.Artifact) (shuin.Descriptor, error)
	// Platforms are the images of an index, nested ones included.
	Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error)
}

// openImages is the door to the repository of the image to be sealed.
func (a *app) openImages(ctx context.Context, o *sealOptions) (shuin.Reference, imageTarget, error) {
	ref, err := o.pin.reference(ctx, o.reference, false)
	if err != nil {
		return ref, nil, err
	}
	repo, err := a.openTarget(ref, &o.registryFlags, &pushing{forceReferrersTag: o.forceReferrersTag})
	if err != nil {
		return ref, nil, err
	}
	images, ok := repo.(imageTarget)
	if !ok {
		return ref, nil, &shuin.Error{Code: shuin.CodeInternal, Message: "no images can be read there"}
	}
	return ref, images, nil
}

// sealPushed seals an image that is in its registry, after the command
// succeeded if there is one. All that can be wrong before is told before.
func (a *app) sealPushed(ctx context.Context, o *sealOptions, p *pipeline.Policy, s streams) error {
	e, err := a.evidence(o)
	if err != nil {
		return err
	}
	ref, repo, err := a.openImages(ctx, o)
	if err != nil {
		return err
	}
	signers, err := a.sealSigners(ctx, o, p, []string{e.Stage})
	if err != nil {
		return err
	}
	artifact, err := resolveForSeal(ctx, o, repo, ref)
	if err != nil {
		return err
	}
	a.logResolved(artifact)
	targets, err := targetsOf(ctx, o, repo, artifact)
	if err != nil {
		return notSealed(e.Stage, err)
	}
	if o.command == nil {
		if ref.Digest == "" {
			a.warnf("Always seal the artifact using digest(@sha256:...) rather than a tag(:%s) because tags are mutable and the tag may have moved since the stage's work was done.", ref.Tag)
		}
		done, err := a.sealAll(ctx, repo, signers, worksOn(targets, e), storing{})
		return a.printSeals(o, artifact, done, nil, err)
	}
	if err := checkRoom(o, signers[e.Stage], targets, e); err != nil {
		return notSealed(e.Stage, err)
	}
	if err := a.runStage(ctx, o, &e, artifact.String(), s); err != nil {
		return err
	}
	how := storing{o.stops, time.Duration(o.retryFor)}
	err = a.again(ctx, how.retryFor, "look up the tag", func() error { return checkTag(ctx, repo, artifact) })
	if err != nil {
		return goOn(artifact, e.Stage, notSealed(e.Stage, err))
	}
	done, err := a.sealAll(ctx, repo, signers, worksOn(targets, e), how)
	if len(done) == 0 {
		err = goOn(artifact, e.Stage, err)
	}
	return a.printSeals(o, artifact, done, nil, err)
}

// worksOn are seals of the same evidence.
func worksOn(targets []sealTarget, e seal.Evidence) []sealWork {
	var works []sealWork
	for _, t := range targets {
		works = append(works, sealWork{sealTarget: t, evidence: e})
	}
	return works
}

// checkRoom says before the command is run whether its seals will have room for
// what is signed, however long it runs.
func checkRoom(o *sealOptions, signer *stageSigner, targets []sealTarget, e seal.Evidence) error {
	var argv []string
	if !o.noCommand {
		argv = o.command
	}
	for _, w := range worksOn(targets, e.Longest(argv)) {
		if _, err := w.signedMetadata(signer.options.Metadata); err != nil {
			return err
		}
	}
	return nil
}

// resolveForSeal pins the reference. Of a tag beside a digest it wants the tag
// to name that digest: who writes both says that they belong together.
func resolveForSeal(ctx context.Context, o *sealOptions, repo target, ref shuin.Reference) (shuin.Artifact, error) {
	artifact, err := repo.Resolve(ctx, ref)
	if err != nil {
		return artifact, o.pin.unresolved(err)
	}
	if ref.Digest != "" {
		err = checkTag(ctx, repo, artifact)
	}
	return artifact, err
}

// checkTag says whether the tag that the artifact was written with, if any,
// still names it.
func checkTag(ctx context.Context, repo target, artifact shuin.Artifact) error {
	byTag := artifact.Written()
	if byTag.Tag == "" {
		return nil
	}
	byTag.Digest = ""
	hint := fmt.Sprintf("seal the digest that is to be deployed: %s, or what the tag names now, after its own test", artifact)
	now, err := repo.Resolve(ctx, byTag)
	switch {
	case shuin.CodeOf(err) == shuin.CodeNotFound:
		return &shuin.Error{Code: shuin.CodeTagMoved, Message: fmt.Sprintf("tag %s names nothing any more, and named %s", byTag.Tag, artifact.Digest()), Hint: hint}
	case err != nil:
		return fmt.Errorf("look up tag %s: %w", byTag.Tag, err)
	case now.Digest() != artifact.Digest():
		return &shuin.Error{Code: shuin.CodeTagMoved, Message: fmt.Sprintf("tag %s names %s now, not %s", byTag.Tag, now.Digest(), artifact.Digest()), Hint: hint}
	}
	return nil
}

// sealTarget is a manifest to be sealed.
type sealTarget struct {
	artifact shuin.Artifact
	platform string // empty: of none, or the index
}

// targetsOf are the manifests to be sealed: the artifact, after its platforms'
// with --recursive.
func targetsOf(ctx context.Context, o *sealOptions, repo imageTarget, artifact shuin.Artifact) ([]sealTarget, error) {
	var targets []sealTarget
	if o.recursive {
		var err error
		if targets, err = platformTargets(ctx, repo, artifact); err != nil {
			return nil, err
		}
	}
	return append(targets, sealTarget{artifact: artifact}), nil
}

// platformTargets are the images of an index, each manifest once, looked up in
// the repository: what an index says of them is not enough to sign it.
func platformTargets(ctx context.Context, repo imageTarget, artifact shuin.Artifact) ([]sealTarget, error) {
	platforms, err := repo.Platforms(ctx, artifact)
	if err != nil {
		return nil, err
	}
	var targets []sealTarget
	index := map[string]int{}
	for _, p := range platforms {
		name := platformName(p)
		if i, ok := index[p.Descriptor.Digest.String()]; ok {
			targets[i].platform += ", " + name
			continue
		}
		if len(targets) >= limits.SealTargets {
			return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s has more than %d images (limit SealTargets)", artifact, limits.SealTargets)}
		}
		ref := artifact.Written()
		ref.Tag, ref.Digest = "", p.Descriptor.Digest
		image, err := repo.Resolve(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("platform %s: %w", name, err)
		}
		if !image.Descriptor().SameContent(p.Descriptor) {
			return nil, &shuin.Error{Code: shuin.CodeMalformed, Message: fmt.Sprintf("platform %s: the index tells another media type or size of %s than the registry", name, image.Digest())}
		}
		index[p.Descriptor.Digest.String()] = len(targets)
		targets = append(targets, sealTarget{artifact: image, platform: name})
	}
	return targets, nil
}

func platformName(p shuin.Platform) string {
	if p.OS == "" && p.Architecture == "" {
		return "without a name"
	}
	return p.String()
}

// sealWork is one seal to be made.
type sealWork struct {
	sealTarget
	evidence seal.Evidence
	subject  string // what the evidence was bound to before the push
}
