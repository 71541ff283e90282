package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/seal"
)

// sealRecord runs a stage's command on an image that is not pushed yet, and
// writes down that it succeeded. What is wrong with the file is told before.
func (a *app) sealRecord(ctx context.Context, o *sealOptions, p *pipeline.Policy, s streams) error {
	e, err := a.evidence(o)
	if err != nil {
		return err
	}
	if p != nil {
		flags := *o
		flags.key = "any" // which key will sign is asked when it does
		if _, err := profileOf(p, &flags, e.Stage); err != nil {
			return err
		}
	}
	subject, image, again, err := a.localImage(ctx, o)
	if err != nil {
		return err
	}
	if _, err := evidenceFor(ctx, o.record, subject); err != nil {
		return err
	}
	if err := checkWritable(o.record); err != nil {
		return err
	}
	if err := a.runStage(ctx, o, &e, image, s); err != nil {
		return err
	}
	if err := again(); err != nil {
		return notSealed(e.Stage, err)
	}
	file, err := addEvidence(ctx, o.record, subject, e, o.stops)
	if err != nil {
		return notSealed(e.Stage, err)
	}
	if err := a.printRecorded(o, file, subject, e.Stage); err != nil {
		return fmt.Errorf("stage %s of %s is recorded in %s, and that could not be printed: %w", e.Stage, subject, o.record, err)
	}
	return nil
}

func (a *app) printRecorded(o *sealOptions, file *seal.File, subject seal.Subject, stage string) error {
	defer brokenPipes()()
	if o.output.value == "json" {
		out := recordedJSON{MediaType: mediaTypeRecorded, File: o.record, Subject: subject, Stage: stage}
		for _, e := range file.Stages {
			out.Stages = append(out.Stages, e.Stage)
		}
		return writeJSON(a.stdout, out)
	}
	_, err := fmt.Fprintf(a.stdout, "Recorded stage %s of %s in %s\n", stage, subject, o.record)
	return err
}

// localImage is what evidence is bound to, and how the command may name it.
// again says whether it still is that.
func (a *app) localImage(ctx context.Context, o *sealOptions) (s seal.Subject, image string, again func() error, err error) {
	if o.layout != "" {
		return layoutImage(ctx, o.layout)
	}
	id := o.imageID
	if !strings.Contains(id, ":") {
		id = "sha256:" + id // as Podman writes it
	}
	s.ImageID = digest.Digest(id)
	if err := s.Check(); err != nil {
		return s, "", nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("flag --image-id: %q is no whole image ID", o.imageID), Err: err,
			Hint: "docker image inspect --format '{{.Id}}' NAME prints it; a name may come to mean another image"}
	}
	return s, id, func() error { return nil }, nil // an ID names its content
}

// layoutImage is an image in an OCI layout: the one under the tag, or the only
// one.
func layoutImage(ctx context.Context, written string) (s seal.Subject, image string, again func() error, err error) {
	ref, err := layoutReference(ctx, written)
	if err != nil {
		return s, "", nil, err
	}
	layout, err := registry.OpenLayout(ref.Layout)
	if err != nil {
		return s, "", nil, err
	}
	defer layout.Close()
	artifact, err := layout.Resolve(ctx, ref)
	if err != nil {
		return s, "", nil, err
	}
	config, err := configOf(ctx, layout, artifact)
	if err != nil {
		return s, "", nil, err
	}
	s = seal.Subject{Manifest: artifact.Digest(), Config: seal.ConfigOf(config)}
	return s, artifact.String(), func() error { return checkLayout(ctx, written, artifact) }, s.Check()
}

// checkLayout says whether the layout still holds the same under that name.
func checkLayout(ctx context.Context, written string, artifact shuin.Artifact) error {
	ref, err := layoutReference(ctx, written)
	if err != nil {
		return err
	}
	layout, err := registry.OpenLayout(ref.Layout)
	if err != nil {
		return err
	}
	defer layout.Close()
	now, err := layout.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	if now.Digest() != artifact.Digest() {
		return &shuin.Error{Code: shuin.CodeTagMoved, Message: fmt.Sprintf("%s holds %s now, not %s", written, now.Digest(), artifact.Digest()),
			Hint: "do not write the layout while it is tested"}
	}
	return nil
}

// layoutReference reads "directory", "directory:tag" or "directory@digest".
func layoutReference(ctx context.Context, written string) (shuin.Reference, error) {
	info, err := os.Stat(written)
	if err != nil || !info.IsDir() {
		return parseLayoutReference(written)
	}
	name := filepath.Join(written, "index.json")
	data, err := readFile(ctx, name, limits.ReferrersBytes, "ReferrersBytes")
	if err != nil {
		return shuin.Reference{}, &shuin.Error{Code: codeOrInvalid(err), Message: "read OCI layout", Err: err}
	}
	var index struct {
		Manifests []struct {
			Digest digest.Digest `json:"digest"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return shuin.Reference{}, &shuin.Error{Code: shuin.CodeMalformed, Message: "read " + name, Err: err}
	}
	if len(index.Manifests) != 1 {
		return shuin.Reference{}, invalidf("%s holds %d images: say which, as %s:TAG or %s@DIGEST", written, len(index.Manifests), written, written)
	}
	return shuin.Reference{Layout: written, Digest: index.Manifests[0].Digest}, nil
}

// evidenceFor is the file as it is, empty where there is none; that of another
// image is refused.
func evidenceFor(ctx context.Context, name string, subject seal.Subject) (*seal.File, error) {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &seal.File{Subject: subject}, nil
	case err != nil:
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "flag --record", Err: err}
	case !info.Mode().IsRegular():
		return nil, invalidf("flag --record: %s is not a regular file", name)
	case info.Size() == 0: // as mktemp makes it
		return &seal.File{Subject: subject}, nil
	}
	f, err := readEvidenceFile(ctx, name)
	if err != nil {
		return nil, err
	}
	if f.Subject != subject {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput,
			Message: fmt.Sprintf("%s is evidence of another image: of %s, not of %s", name, f.Subject, subject),
			Hint:    "record to another file, or remove this one first: evidence of the image before says nothing of this one"}
	}
	return f, nil
}

// addEvidence puts the stage into the file, beside what others put there
// meanwhile; nothing where shuin was asked to stop.
func addEvidence(ctx context.Context, name string, subject seal.Subject, e seal.Evidence, st *stops) (*seal.File, error) {
	within, cancel := context.WithTimeout(ctx, limits.EvidenceLockTime)
	defer cancel()
	unlock, err := lockFile(within, name)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	defer unlock()
	f, err := evidenceFor(within, name, subject)
	if err != nil {
		return nil, err
	}
	if err := f.Add(e); err != nil {
		return nil, err
	}
	data, err := f.Marshal()
	if err != nil {
		return nil, err
	}
	if err := replaceWith(name, data, func() error { return st.check(ctx) }); err != nil {
		return nil, fmt.Errorf("write evidence: %w", err)
	}
	return f, nil
}

// checkWritable tries whether a file can be made beside name.
func checkWritable(name string) error {
	f, err := newBeside(name)
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "flag --record", Err: err}
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// newBeside is a new file in the directory of name that nobody else may read.
func newBeside(name string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
}

// replaceWith writes a file whole or not at all. last is asked when all of it is
// on disk, and may say no.
func replaceWith(name string, data []byte, last func() error) error {
	f, err := newBeside(name)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := last(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
