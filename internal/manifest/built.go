package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/imagename"
	"github.com/shuin/shuin/internal/limits"
)

// Built is an image that a build tool says it made: its digest, and the
// references it was given, written out in full. A file that holds a digest
// alone names none.
type Built struct {
	Names  []shuin.Reference
	Digest digest.Digest // SHA-256
}

// ReadBuilt reads what build tools write of the images they made:
//
//   - docker buildx build --metadata-file, buildah build --metadata-file: an object with
//     "containerimage.digest", and "image.name" with the references, comma-separated
//   - docker buildx bake --metadata-file: an object of such objects, by target
//   - buildah push --digestfile, podman and skopeo likewise: a digest and nothing else
//   - ko build --image-refs: a reference with a digest on each line
//
// Members of the objects that are not named here are passed over; a repeated
// one is refused. Every digest is SHA-256, which is all that these tools write.
// An image's own ID (--iidfile) has the form of a digest file, and cannot be
// told from one: no registry knows it as a manifest. The caller bounds data
// (limits.BuiltFileBytes).
func ReadBuilt(data []byte) ([]Built, error) {
	text := strings.TrimSpace(string(data))
	var images []Built
	var err error
	switch {
	case text == "":
		return nil, errors.New("the file is empty")
	case text[0] == '{':
		images, err = readBuildx(data)
	default:
		images, err = readBuiltLines(text)
	}
	if err == nil && len(images) > limits.BuiltImages {
		err = &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d images are more than %d (limit BuiltImages)", len(images), limits.BuiltImages)}
	}
	if err != nil {
		return nil, err
	}
	return images, nil
}

// members are those of an object, each as it was written.
type members map[string]jsontext.Value

// buildNotes begin the names of what buildx says of a build, not of an image.
const buildNotes = "buildx.build."

// readBuildx reads one image's metadata, or those of the targets of a bake.
func readBuildx(data []byte) ([]Built, error) {
	var top members
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, fmt.Errorf("not the JSON of a build tool: %w", err)
	}
	if top.ofImage() {
		b, err := top.built()
		return []Built{b}, err
	}
	var images []Built
	for _, target := range sortedNames(top) {
		var m members
		if strings.HasPrefix(target, buildNotes) || top[target].Kind() != '{' {
			continue
		}
		if err := json.Unmarshal(top[target], &m); err != nil {
			return nil, fmt.Errorf("target %q: %w", target, err)
		}
		if !m.ofImage() {
			continue // another output than an image
		}
		b, err := m.built()
		if err != nil {
			return nil, fmt.Errorf("target %q: %w", target, err)
		}
		images = append(images, b)
	}
	if len(images) == 0 {
		return nil, errors.New("containerimage.digest is missing: this is no build tool's metadata, or the build made no image")
	}
	return images, nil
}

func sortedNames(m members) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ofImage reports whether the object says anything of an image.
func (m members) ofImage() bool {
	for name := range m {
		if name == "image.name" || strings.HasPrefix(name, "containerimage.") {
			return true
		}
	}
	return false
}

func (m members) built() (Built, error) {
	var b Built
	written, ok, err := m.text("containerimage.digest")
	switch {
	case err != nil:
		return b, err
	case !ok:
		return b, errors.New("containerimage.digest is missing: the build was not pushed, or made no image")
	}
	if b.Digest, err = builtDigest(written); err != nil {
		return b, fmt.Errorf("containerimage.digest: %w", err)
	}
	if err := m.checkDescriptor(b.Digest); err != nil {
		return b, err
	}
	names, ok, err := m.text("image.name")
	if err != nil || !ok {
		return b, err
	}
	for name := range strings.SplitSeq(names, ",") {
		ref, err := imagename.Expand(name)
		if err != nil {
			return b, fmt.Errorf("image.name %q: %w", name, err)
		}
		if len(b.Names) == limits.BuiltImages {
			return b, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("image.name holds more than %d names (limit BuiltImages)", limits.BuiltImages)}
		}
		b.Names = append(b.Names, ref)
	}
	return b, nil
}

// text is a member that has to be a string.
func (m members) text(name string) (s string, ok bool, err error) {
	v, ok := m[name]
	if !ok {
		return "", false, nil
	}
	if err := json.Unmarshal(v, &s); err != nil || v.Kind() != '"' {
		return "", false, fmt.Errorf("%s is not a string", name)
	}
	return s, true, nil
}

// checkDescriptor refuses a descriptor of another manifest than the digest's.
func (m members) checkDescriptor(want digest.Digest) error {
	const name = "containerimage.descriptor"
	v, ok := m[name]
	if !ok {
		return nil
	}
	var d struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal(v, &d); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if d.Digest != want.String() {
		return fmt.Errorf("%s names %q, and containerimage.digest %s: which is meant is not clear", name, d.Digest, want)
	}
	return nil
}

// readBuiltLines reads a digest, or references that each have one.
func readBuiltLines(text string) ([]Built, error) {
	lines := strings.Split(text, "\n")
	if len(lines) > limits.BuiltImages {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d lines are more than %d (limit BuiltImages)", len(lines), limits.BuiltImages)}
	}
	if len(lines) == 1 && !strings.Contains(text, "/") {
		d, err := builtDigest(text)
		if err != nil {
			return nil, fmt.Errorf("neither a build tool's JSON, nor a digest, nor references with digests: %w", err)
		}
		return []Built{{Digest: d}}, nil
	}
	var images []Built
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		ref, err := imagename.Expand(line)
		if err == nil && ref.Digest == "" {
			err = fmt.Errorf("%q has no digest", line)
		}
		if err == nil {
			_, err = builtDigest(ref.Digest.String())
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		images = append(images, Built{Names: []shuin.Reference{ref}, Digest: ref.Digest})
	}
	return images, nil
}

func builtDigest(s string) (digest.Digest, error) {
	d := digest.Digest(s)
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("%s is no digest: %w", quoted(s), err)
	}
	if d.Algorithm() != digest.SHA256 {
		return "", fmt.Errorf("%s is %s: build tools name images by sha256", quoted(s), d.Algorithm())
	}
	return d, nil
}

// quoted is the beginning of a text that may be anything.
func quoted(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%.*q…", most, s)
	}
	return fmt.Sprintf("%q", s)
}

// DigestsIn are the digests of the images that are in the repository of ref, or
// of which the file does not say where they are, each once. Registries and
// repositories are compared in their one spelling (shuin.Reference.Canonical).
func DigestsIn(images []Built, ref shuin.Reference) []digest.Digest {
	want := ref.Canonical().Name()
	var found []digest.Digest
	for _, b := range images {
		in := len(b.Names) == 0 || slices.ContainsFunc(b.Names, func(n shuin.Reference) bool { return n.Canonical().Name() == want })
		if in && !slices.Contains(found, b.Digest) {
			found = append(found, b.Digest)
		}
	}
	return found
}

// Repositories are those that the images name, sorted, each once.
func Repositories(images []Built) []string {
	var names []string
	for _, b := range images {
		for _, n := range b.Names {
			names = append(names, n.Canonical().Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
