package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/seal"
)

// evidenceFile is a file that --from names.
type evidenceFile struct {
	name string
	*seal.File
}

// redeemed is a file whose image was found in the registry.
type redeemed struct {
	sealTarget
	file    string
	subject seal.Subject
	named   string // the digest that the file names, and what it calls it
	matched string // what it is in the registry
	stages  []seal.Evidence
}

// sealRedeem seals what was pushed for the stages that were recorded before.
func (a *app) sealRedeem(ctx context.Context, o *sealOptions, p *pipeline.Policy) error {
	files, err := a.readEvidence(ctx, o)
	if err != nil {
		return err
	}
	stages, err := wantedStages(o, files)
	if err != nil {
		return err
	}
	ref, repo, err := a.openImages(ctx, o)
	if err != nil {
		return err
	}
	signers, err := a.sealSigners(ctx, o, p, stages)
	if err != nil {
		return err
	}
	artifact, err := resolveForSeal(ctx, o, repo, ref)
	if err != nil {
		return err
	}
	a.logResolved(artifact)
	pushed, err := readPushed(ctx, repo, artifact, files, o.recursive)
	if err != nil {
		return err
	}
	found, err := pushed.redeem(files, o.recursive)
	if err != nil {
		return err
	}
	works, err := redeemedWorks(pushed, found, stages, o.recursive)
	if err != nil {
		return err
	}
	done, err := a.sealAll(ctx, repo, signers, works, storing{})
	return a.printSeals(o, artifact, done, found, err)
}

// readEvidence reads the files, and refuses what is too old.
func (a *app) readEvidence(ctx context.Context, o *sealOptions) ([]evidenceFile, error) {
	if len(o.from) > limits.EvidenceFiles {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d evidence files are more than %d (limit EvidenceFiles)", len(o.from), limits.EvidenceFiles)}
	}
	var files []evidenceFile
	for i, name := range o.from {
		f, err := readEvidenceFile(ctx, name)
		if err != nil && i >= len(o.from)-o.files {
			return nil, &shuin.Error{Code: shuin.CodeOf(err), Err: err,
				Message: fmt.Sprintf("%s was taken for the image, and %s for evidence, as all arguments after the image are", o.reference, name),
				Hint:    "the image is the first argument, and the evidence files follow: shuin seal IMAGE --from " + strings.Join(o.from[:len(o.from)-o.files], " ") + " FILE"}
		}
		if err != nil {
			return nil, err
		}
		for _, e := range f.Stages {
			if len(o.stages) > 0 && !slices.Contains(o.stages, e.Stage) {
				continue
			}
			if err := e.CheckAge(a.now(), time.Duration(o.maxAge)); err != nil {
				return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: name, Err: err,
					Hint: "run the stage again, or raise --max-evidence-age if the evidence may be that old"}
			}
		}
		files = append(files, evidenceFile{name, f})
	}
	return files, nil
}

func readEvidenceFile(ctx context.Context, name string) (*seal.File, error) {
	data, err := readFile(ctx, name, limits.EvidenceBytes, "EvidenceBytes")
	if err != nil {
		return nil, &shuin.Error{Code: codeOrInvalid(err), Message: "read evidence", Err: err}
	}
	f, err := seal.Parse(data)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeOf(err), Message: name, Err: err, Hint: shuin.HintOf(err)}
	}
	return f, nil
}

func codeOrInvalid(err error) shuin.Code {
	if c := shuin.CodeOf(err); c != shuin.CodeInternal {
		return c
	}
	return shuin.CodeInvalidInput
}

// wantedStages are those of the files, in their order, or those asked for.
func wantedStages(o *sealOptions, files []evidenceFile) ([]string, error) {
	var recorded []string
	for _, f := range files {
		for _, e := range f.Stages {
			if !slices.Contains(recorded, e.Stage) {
				recorded = append(recorded, e.Stage)
			}
		}
	}
	for _, s := range o.stages {
		if !slices.Contains(recorded, s) {
			return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("stage %s is not in the evidence", s),
				Hint: "recorded are " + strings.Join(recorded, ", ")}
		}
	}
	if len(o.stages) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(o.stages))), nil
	}
	return recorded, nil
}

// pushedImage is what a reference names in the registry, as far as evidence may
// name it.
type pushedImage struct {
	sealTarget
	is        seal.Pushed
	platforms []pushedImage // of an index, each manifest once
}

// readPushed reads what is needed to compare: nothing where all evidence names
// the digest itself; else the configuration's digest, or of an index those of
// its platforms' images.
func readPushed(ctx context.Context, repo imageTarget, artifact shuin.Artifact, files []evidenceFile, recursive bool) (*pushedImage, error) {
	p := &pushedImage{sealTarget: sealTarget{artifact: artifact}, is: seal.Pushed{Digest: artifact.Digest()}}
	direct := !slices.ContainsFunc(files, func(f evidenceFile) bool { return f.Subject.Match(p.is) == "" })
	if direct && !recursive {
		return p, nil
	}
	targets, err := platformTargets(ctx, repo, artifact)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		p.is.Config, err = configOf(ctx, repo, artifact)
		return p, err
	}
	for _, t := range targets {
		image := pushedImage{sealTarget: t, is: seal.Pushed{Digest: t.artifact.Digest()}}
		if !direct {
			if image.is.Config, err = configOf(ctx, repo, t.artifact); err != nil {
				return nil, err
			}
		}
		p.platforms = append(p.platforms, image)
	}
	return p, nil
}

// configOf is zero for what is no image: evidence can name that by its digest.
func configOf(ctx context.Context, repo imageTarget, artifact shuin.Artifact) (shuin.Descriptor, error) {
	config, err := repo.Config(ctx, artifact)
	if shuin.CodeOf(err) == shuin.CodeInvalidInput {
		return shuin.Descriptor{}, nil
	}
	return config, err
}

// redeem finds for each file the image that it is evidence of.
func (p *pushedImage) redeem(files []evidenceFile, recursive bool) ([]redeemed, error) {
	var found []redeemed
	for _, f := range files {
		var of []redeemed
		candidates := p.platforms
		if f.Subject.Match(p.is) != "" {
			candidates = []pushedImage{*p}
		}
		for _, image := range candidates {
			if matched := f.Subject.Match(image.is); matched != "" {
				of = append(of, redeemed{sealTarget: image.sealTarget, file: f.name, subject: f.Subject,
					named: f.Subject.String(), matched: matched, stages: f.Stages})
			}
		}
		switch {
		case len(of) == 0:
			return nil, p.another(f)
		case of[0].platform != "" && !recursive:
			return nil, p.onlyPlatform(f, of[0])
		}
		found = append(found, of...)
	}
	return found, nil
}

// another says that evidence is of another image.
func (p *pushedImage) another(f evidenceFile) error {
	has := fmt.Sprintf("%s has the digest %s", p.artifact.Written(), p.artifact.Digest())
	if c := seal.ConfigOf(p.is.Config); c != "" {
		has += " and the config digest " + c.String()
	}
	if len(p.platforms) > 0 {
		has += fmt.Sprintf(", and none of its %d platforms' images has it", len(p.platforms))
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput,
		Message: fmt.Sprintf("%s is evidence of another image: it was recorded for %s, and %s", f.name, f.Subject, has),
		Hint:    "push the image that was tested, not one built anew; or test what was pushed: shuin seal IMAGE@DIGEST --stage STAGE -- COMMAND"}
}

func (p *pushedImage) onlyPlatform(f evidenceFile, r redeemed) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput,
		Message: fmt.Sprintf("%s is evidence of one platform of %s only: %s, %s", f.name, p.artifact, r.platform, r.artifact.Digest()),
		Hint: fmt.Sprintf("give the evidence of all platforms, with --recursive; or seal that image alone: %s",
			r.artifact)}
}

// redeemedWorks are the seals that the evidence is good for: of each image and,
// where it is an index, of it. An index some of whose images have no evidence is
// refused: nothing is sealed.
func redeemedWorks(p *pushedImage, found []redeemed, stages []string, recursive bool) ([]sealWork, error) {
	var works []sealWork
	for _, stage := range stages {
		of := map[string]sealWork{} // by digest
		for _, r := range found {
			for _, e := range r.stages {
				if e.Stage != stage {
					continue
				}
				d := r.artifact.Digest().String()
				if _, twice := of[d]; twice {
					return nil, invalidf("stage %s of %s is in more than one evidence file: name one of them", stage, r.artifact)
				}
				of[d] = sealWork{sealTarget: r.sealTarget, evidence: e, subject: r.named + " (" + r.matched + ")"}
			}
		}
		more, err := p.worksOf(of, stage, recursive)
		if err != nil {
			return nil, err
		}
		works = append(works, more...)
	}
	return works, nil
}

// worksOf are one stage's, images before the index.
func (p *pushedImage) worksOf(of map[string]sealWork, stage string, recursive bool) ([]sealWork, error) {
	whole, direct := of[p.artifact.Digest().String()]
	var works []sealWork
	var evidence []seal.Evidence
	var missing []string
	for _, image := range p.platforms {
		w, ok := of[image.artifact.Digest().String()]
		if !ok && direct {
			w, ok = whole, true
			w.sealTarget = image.sealTarget
		}
		switch {
		case !recursive:
		case ok:
			works, evidence = append(works, w), append(evidence, w.evidence)
		default:
			missing = append(missing, image.platform)
		}
	}
	switch {
	case direct:
		works = append(works, whole)
	case len(works) == 0:
	case len(missing) == 0:
		w := sealWork{sealTarget: p.sealTarget, evidence: seal.Common(evidence)}
		if len(evidence) == 1 {
			w.subject = works[0].subject
		}
		works = append(works, w)
	default:
		var have []string
		for _, w := range works {
			have = append(have, w.platform)
		}
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput,
			Message: fmt.Sprintf("nothing is sealed: of %s there is evidence of stage %s for %s, and none for %s", p.artifact, stage, strings.Join(have, ", "), strings.Join(missing, ", ")),
			Hint: fmt.Sprintf("give the evidence of all platforms (--from once for each), name the stages that all of them have (--stage), or seal one platform's image alone: shuin seal %s --from FILE",
				works[0].artifact)}
	}
	return works, nil
}
