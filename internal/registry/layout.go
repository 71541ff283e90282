package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

const (
	layoutFile        = "oci-layout"
	indexFileName     = "index.json"
	annotationRefName = "org.opencontainers.image.ref.name"
)

// Layout is an OCI image layout directory (OCI image specification,
// image-layout.md). It has the methods of [Repository]. Nothing outside the
// directory is read or written, whatever links are in it. Close it when done.
//
// A signature is found by its subject, wherever its manifest is: in index.json,
// as notation writes it, or in an index that index.json names, such as the one
// under the referrers tag, which copies of a repository bring along.
type Layout struct {
	path string
	root *os.Root
}

// OpenLayout opens an existing OCI image layout.
func OpenLayout(dir string) (*Layout, error) {
	op := "open OCI layout " + dir
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: op, Err: err}
	}
	l := &Layout{path: dir, root: root}
	if err := l.checkVersion(); err != nil {
		_ = root.Close()
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: op, Hint: "it has to be a directory with the files oci-layout and index.json", Err: err}
	}
	return l, nil
}

// Close releases the directory.
func (l *Layout) Close() error { return l.root.Close() }

func (l *Layout) checkVersion() error {
	b, err := l.read(layoutFile, limits.ErrorBodyBytes)
	if err != nil {
		return err
	}
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := decode(b, &v); err != nil {
		return fmt.Errorf("%s: %w", layoutFile, err)
	}
	if v.Version != "1.0.0" {
		return fmt.Errorf("%s: version %q is not supported, only 1.0.0", layoutFile, printable(v.Version))
	}
	return nil
}

// read reads a regular file of at most max bytes. A symbolic link is refused
// even inside the layout: content is named by its digest, and index.json and
// oci-layout are replaced, which would replace the link.
func (l *Layout) read(name string, max int64) ([]byte, error) {
	info, err := l.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	// What was put in its place meanwhile is neither waited for nor read.
	f, err := l.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, errors.Join(err, fmt.Errorf("%s was replaced while it was opened", name))
	}
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s has more than %d bytes", name, max)}
	}
	return b, nil
}

func blobPath(d digest.Digest) string {
	return path.Join("blobs", d.Algorithm().String(), d.Encoded())
}

// blob reads what d names and checks that it is that.
func (l *Layout) blob(op string, d shuin.Descriptor, max int64, limit string) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, malformed(op, "%w", err)
	}
	if d.Size > max {
		return nil, exceeded(op, limit, "it has %d bytes, more than %d", d.Size, max)
	}
	b, err := l.read(blobPath(d.Digest), max)
	if err != nil {
		return nil, &shuin.Error{Code: layoutCode(err), Message: op, Err: err}
	}
	if err := checkContent(op, b, d); err != nil {
		return nil, err
	}
	return b, nil
}

// layoutCode is the code of a failure to read a local file: nothing there, or
// something that is not what the layout specification says.
func layoutCode(err error) shuin.Code {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return shuin.CodeNotFound
	case errors.Is(err, fs.ErrPermission):
		return shuin.CodeForbidden
	case shuin.CodeOf(err) == shuin.CodeLimit:
		return shuin.CodeLimit
	}
	return shuin.CodeMalformed
}

// readIndexFile reads index.json.
func (l *Layout) readIndexFile(op string) (index, []byte, error) {
	b, err := l.read(indexFileName, limits.ReferrersBytes)
	if err != nil {
		return index{}, nil, &shuin.Error{Code: layoutCode(err), Message: op, Err: err}
	}
	ix, err := parseIndex(b)
	if err != nil {
		return index{}, nil, unreadable(op, fmt.Errorf("%s: %w", indexFileName, err))
	}
	return ix, b, nil
}

// Resolve finds ref in index.json: a tag by the annotation
// org.opencontainers.image.ref.name (the last entry wins, as oras has it), a
// digest also below the indexes that index.json names. The manifest is read
// and checked.
func (l *Layout) Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	op := "resolve " + ref.String()
	_, err := target(ref)
	if err == nil && ref.Layout != l.path {
		err = fmt.Errorf("%q is not in the layout %s", ref.String(), l.path)
	}
	if err != nil {
		return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: op, Err: err}
	}
	var hit *descriptor
	if ref.Digest == "" {
		ix, _, err := l.readIndexFile(op)
		if err != nil {
			return shuin.Artifact{}, err
		}
		for i, d := range ix.Manifests {
			if d.Annotations[annotationRefName] == ref.Tag {
				hit = &ix.Manifests[i]
			}
		}
	} else if err := l.walk(ctx, op, func(d descriptor, _ []byte) error {
		if d.Digest == ref.Digest && hit == nil {
			hit = &d
		}
		return nil
	}); err != nil {
		return shuin.Artifact{}, err
	}
	if hit == nil {
		return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeNotFound, Message: op, Err: errors.New("not found in the OCI layout")}
	}
	d := hit.plain()
	d.Annotations = nil
	if _, err := l.blob(op, d, limits.ManifestBytes, "ManifestBytes"); err != nil {
		return shuin.Artifact{}, err
	}
	return newArtifact(op, ref, d)
}

// walk calls f for each manifest and index that index.json names, directly or
// through indexes, each digest once, with its bytes; nil where the layout does
// not have it (a sparse layout) or it is too large for a manifest. Content that
// cannot be read, or is not what its digest says, is an error: what it would
// name is unknown.
func (l *Layout) walk(ctx context.Context, op string, f func(d descriptor, b []byte) error) error {
	ix, _, err := l.readIndexFile(op)
	if err != nil {
		return err
	}
	seen := map[digest.Digest]bool{}
	level := ix.Manifests
	for depth := 0; len(level) > 0; depth++ {
		if depth > limits.LayoutDepth {
			return exceeded(op, "LayoutDepth", "indexes inside indexes deeper than %d", limits.LayoutDepth)
		}
		var below []descriptor
		for _, d := range level {
			if err := ctx.Err(); err != nil {
				return &shuin.Error{Code: shuin.CodeDeadline, Message: op, Err: err}
			}
			if seen[d.Digest] {
				continue
			}
			if seen[d.Digest] = true; len(seen) > limits.LayoutManifests {
				return exceeded(op, "LayoutManifests", "more than %d manifests", limits.LayoutManifests)
			}
			b, err := l.blob(op, d.plain(), limits.ManifestBytes, "ManifestBytes")
			if c := shuin.CodeOf(err); err != nil && c != shuin.CodeNotFound && c != shuin.CodeLimit {
				return err
			}
			if err := f(d, b); err != nil {
				return err
			}
			inner, err := entries(d.MediaType, b)
			if err != nil {
				return unreadable(op, fmt.Errorf("index %s: %w", d.Digest, err))
			}
			below = append(below, inner...)
		}
		level = below
	}
	return nil
}

// entries are what an index names, a Docker manifest list included. Of another
// media type: nothing.
func entries(mediaType string, b []byte) ([]descriptor, error) {
	switch {
	case b == nil:
		return nil, nil
	case mediaType == mediaTypeImageIndex:
		ix, err := parseIndex(b)
		return ix.Manifests, err
	case mediaType == mediaTypeDockerList:
		ix, err := parseList(b, mediaTypeDockerList)
		return ix.Manifests, err
	}
	return nil, nil
}

// candidates are the signature manifests whose subject is a.
func (l *Layout) candidates(ctx context.Context, a shuin.Artifact) ([]descriptor, error) {
	op := "list signatures of " + a.String()
	var out []descriptor
	err := l.walk(ctx, op, func(d descriptor, b []byte) error {
		if d.MediaType != mediaTypeImageManifest || b == nil {
			return nil
		}
		m, signature, err := parseManifest(b)
		if err != nil || !signature || m.Subject == nil || m.Subject.Digest != a.Digest() {
			return nil
		}
		if len(out) >= limits.Referrers {
			return exceeded(op, "Referrers", "more than %d signatures", limits.Referrers)
		}
		d.Annotations = m.Annotations
		out = append(out, d)
		return nil
	})
	return out, err
}

// List lists the signature manifests of a, up to max (0: limits.Signatures).
func (l *Layout) List(ctx context.Context, a shuin.Artifact, max int) ([]shuin.Descriptor, bool, error) {
	descs, more, err := l.take(ctx, a, max)
	out := make([]shuin.Descriptor, len(descs))
	for i, d := range descs {
		out[i] = d.plain()
	}
	return out, more, err
}

func (l *Layout) take(ctx context.Context, a shuin.Artifact, max int) ([]descriptor, bool, error) {
	if max <= 0 {
		max = limits.Signatures
	}
	descs, err := l.candidates(ctx, a)
	if err != nil {
		return nil, false, err
	}
	return descs[:min(max, len(descs))], len(descs) > max, nil
}

// Signatures satisfies verify.Signatures.
func (l *Layout) Signatures(ctx context.Context, a shuin.Artifact, max int) ([]shuin.Signature, bool, error) {
	descs, more, err := l.take(ctx, a, max)
	if err != nil {
		return nil, false, err
	}
	sigs := make([]shuin.Signature, len(descs))
	layers := make([]descriptor, len(descs))
	boundManifests(sigs, descs)
	for i, d := range descs {
		if sigs[i].Manifest = d.plain(); sigs[i].Err != nil {
			continue
		}
		op := "read signature manifest " + d.Digest.String()
		b, err := l.blob(op, d.plain(), limits.SignatureManifestBytes, "SignatureManifestBytes")
		if err != nil {
			sigs[i].Err = listedButMissing(err)
			continue
		}
		layers[i] = readManifest(op, b, a.Descriptor(), &sigs[i])
	}
	boundTotal(sigs, layers)
	for i := range sigs {
		if sigs[i].Err != nil || sigs[i].Envelope != nil {
			continue
		}
		b, err := l.blob("read signature envelope "+layers[i].Digest.String(), layers[i].plain(), limits.EnvelopeBytes, "EnvelopeBytes")
		if err != nil {
			sigs[i].Err = listedButMissing(err)
			continue
		}
		sigs[i].Envelope = b
	}
	return sigs, more, nil
}

// listedButMissing makes a missing blob of a listed signature what it is: a
// malformed layout, not something that could not be checked.
func listedButMissing(err error) error {
	var e *shuin.Error
	if errors.As(err, &e) && e.Code == shuin.CodeNotFound {
		return &shuin.Error{Code: shuin.CodeMalformed, Message: e.Message, Err: e.Err}
	}
	return err
}

// Discover resolves ref; the layout itself gives the signatures.
func (l *Layout) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	a, err := l.Resolve(ctx, ref)
	if err != nil {
		return a, nil, err
	}
	return a, l, nil
}

// SignatureOf reports whether a is itself a signature manifest, and of what.
func (l *Layout) SignatureOf(_ context.Context, a shuin.Artifact) (subject shuin.Descriptor, ok bool, err error) {
	d := a.Descriptor()
	if d.MediaType != mediaTypeImageManifest || d.Size > limits.ManifestBytes {
		return subject, false, nil
	}
	b, err := l.blob("read "+a.String(), d, limits.ManifestBytes, "ManifestBytes")
	if err != nil {
		return subject, false, err
	}
	return signatureSubject(b)
}
