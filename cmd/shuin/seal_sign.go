package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/seal"
	"github.com/shuin/shuin/sign"
)

// stageSigner signs for a stage.
type stageSigner struct {
	*sign.Signer
	options sign.Options
}

// sealSigners are the signers of the stages, by name: of the flags, or of the
// policy where no flag chooses one. Nothing is sent.
func (a *app) sealSigners(ctx context.Context, o *sealOptions, p *pipeline.Policy, stages []string) (map[string]*stageSigner, error) {
	signers, made := map[string]*stageSigner{}, map[string]*stageSigner{}
	for _, stage := range stages {
		flags := o.signatureFlags
		if p != nil {
			profile, err := profileOf(p, o, stage)
			if err != nil {
				return nil, err
			}
			if profile != "" {
				flags.profile = profile
			}
		}
		if made[flags.profile] == nil {
			signer, so, err := a.signing(ctx, &flags)
			if err != nil {
				return nil, err
			}
			if err := seal.CheckUserMetadata(so.Metadata); err != nil {
				return nil, err
			}
			if err := a.addTimestamper(ctx, signer, &flags.timestampFlags); err != nil {
				return nil, err
			}
			made[flags.profile] = &stageSigner{signer, so}
		}
		signers[stage] = made[flags.profile]
	}
	return signers, nil
}

// chosen reports whether the flags say which key signs.
func (s *signerFlags) chosen() bool {
	return s.key != "" || s.id != "" || s.plugin != "" || s.profile != ""
}

// profileOf is the signing profile of a stage of the policy. With a signer
// chosen by flags it is empty, and only checked that there is such a stage.
func profileOf(p *pipeline.Policy, o *sealOptions, stage string) (string, error) {
	var profiles []string
	known, stages := false, map[string]bool{}
	for _, s := range p.Signers() {
		for _, name := range s.Stages {
			stages[name] = true
		}
		if !slices.Contains(s.Stages, stage) {
			continue
		}
		known = true
		if s.Profile != "" && !slices.Contains(profiles, s.Profile) {
			profiles = append(profiles, s.Profile)
		}
	}
	switch {
	case !known:
		return "", &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("policy %s has no stage %q", o.policy, stage),
			Hint: "its stages are " + strings.Join(slices.Sorted(maps.Keys(stages)), ", ")}
	case o.signerFlags.chosen():
		return "", nil
	case len(profiles) == 1:
		return profiles[0], nil
	}
	words := "names no signing profile"
	if len(profiles) > 1 {
		words = "names several signing profiles (" + strings.Join(profiles, ", ") + ")"
	}
	return "", &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("policy %s %s for stage %s, so that it does not say which key signs", o.policy, words, stage),
		Hint: "give --key, --profile, or --plugin and --id"}
}

// madeSeal is a seal that was made, and stored.
type madeSeal struct {
	sealWork
	metadata  map[string]string
	signature digest.Digest
	signed    *sign.Signed
}

// sealAll makes all seals before it stores the first, then stores them in
// order. With an error, done are those that were stored.
func (a *app) sealAll(ctx context.Context, repo target, signers map[string]*stageSigner, works []sealWork, how storing) (done []madeSeal, err error) {
	if len(works) > limits.SealSignatures {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d seals are more than the %d that are made at once (limit SealSignatures)", len(works), limits.SealSignatures)}
	}
	made := make([]madeSeal, len(works))
	for i, w := range works {
		err = a.again(ctx, how.retryFor, "sign", func() error {
			made[i], err = a.makeSeal(ctx, signers[w.evidence.Stage], w)
			return err
		})
		if err != nil {
			return nil, notSealed(w.evidence.Stage, err)
		}
	}
	if err := how.stops.check(ctx); err != nil {
		return nil, notSealed(works[0].evidence.Stage, err)
	}
	for i := range made {
		m := &made[i]
		var stored shuin.Descriptor
		err := a.again(ctx, how.retryFor, "store the seal", func() (err error) {
			stored, err = repo.PushSignature(ctx, m.artifact, m.signed.MediaType, m.signed.Envelope, m.signed.Annotations)
			return err
		})
		if err != nil {
			return made[:i], notStored(made, i, err)
		}
		m.signature = stored.Digest
	}
	return made, nil
}

// signedMetadata is what is signed with the artifact.
func (w sealWork) signedMetadata(user map[string]string) (map[string]string, error) {
	return w.evidence.Metadata(w.subject, user, func(metadata map[string]string) (int, error) {
		d := w.artifact.Descriptor()
		d.Annotations = merged(d.Annotations, metadata)
		b, err := envelope.Payload{TargetArtifact: d}.Marshal()
		return len(b), err
	})
}

// makeSeal signs, and stores nothing.
func (a *app) makeSeal(ctx context.Context, s *stageSigner, w sealWork) (madeSeal, error) {
	o := s.options
	var err error
	if o.Metadata, err = w.signedMetadata(s.options.Metadata); err != nil {
		return madeSeal{}, err
	}
	o.Time = a.now()
	signed, err := s.Sign(ctx, w.artifact, o)
	return madeSeal{sealWork: w, metadata: o.Metadata, signed: signed}, err
}

// notStored says of several seals which are there and which are not.
func notStored(made []madeSeal, failed int, err error) error {
	m := made[failed]
	if len(made) == 1 {
		return notSealed(m.evidence.Stage, err)
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Err: err,
		Message: fmt.Sprintf("%d of %d seals were stored, then that of stage %s of %s was not", failed, len(made), m.evidence.Stage, m.artifact),
		Hint:    "run the same again: what is sealed already may be sealed twice"}
}
