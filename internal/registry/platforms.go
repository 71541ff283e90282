package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// platform is of a descriptor in an index (OCI image specification,
// image-index.md).
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// unknown is how attestations are marked in an index (BuildKit). No container
// runtime takes such an entry for its host, and that is why it may be left out.
// An annotation that says the same of an entry with a platform is not believed:
// a runtime would run that entry.
func (p *platform) unknown() bool {
	return p != nil && p.OS == "unknown" && p.Architecture == "unknown"
}

// memberNames are the members of an index, a manifest, a descriptor and a
// platform that a container runtime may act on (OCI image specification,
// image-index.md, manifest.md, descriptor.md).
var memberNames = []string{
	"schemaVersion", "mediaType", "artifactType", "manifests", "config", "layers", "subject", "annotations",
	"digest", "size", "platform", "os", "architecture", "variant", "os.version", "os.features", "data", "urls",
}

// decodeAsRuntimes decodes what a container runtime will read too, and refuses
// what it would read otherwise. The runtimes' decoder (Go's encoding/json)
// takes "OS" and even "o\u017f" for "os", and the last of several; ours takes
// the exact name alone.
func decodeAsRuntimes(b []byte, v any) error {
	if err := decode(b, v); err != nil {
		return err
	}
	return checkNames(jsontext.NewDecoder(bytes.NewReader(b)))
}

// checkNames reads one value and refuses a member of it, or of what the
// members known by name hold, whose name is a known one in other letters.
func checkNames(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '[':
		return elements(dec, func(int) error { return checkNames(dec) })
	case '{':
	default:
		return dec.SkipValue()
	}
	if err := opens(dec, '{', "not an object"); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		i := slices.IndexFunc(memberNames, func(known string) bool { return strings.EqualFold(known, name) })
		switch {
		case i >= 0 && memberNames[i] != name:
			return fmt.Errorf("it has a member %q: container runtimes take it for %q", printable(name), memberNames[i])
		case i >= 0 && name != "annotations": // whose members have any name
			err = checkNames(dec)
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// imageEntry is an entry of an index as far as finding platforms uses it.
type imageEntry struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	Platform  *platform     `json:"platform,omitempty"`
}

func (e imageEntry) plain() shuin.Descriptor {
	return shuin.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size}
}

// imageEntries are at most twice limits.Platforms.
type imageEntries []imageEntry

// UnmarshalJSONFrom stops at the bound.
func (l *imageEntries) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = nil
	return elements(dec, func(n int) error {
		if n > 2*limits.Platforms { // every image may have its attestation
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("more than %d entries (limit Platforms, doubled)", 2*limits.Platforms)}
		}
		var e imageEntry
		if err := json.UnmarshalDecode(dec, &e); err != nil {
			return err
		}
		if err := e.plain().Validate(); err != nil {
			return fmt.Errorf("entry %d: %w", n-1, err)
		}
		*l = append(*l, e)
		return nil
	})
}

// imageIndex is an OCI image index or a Docker manifest list.
type imageIndex struct {
	SchemaVersion int            `json:"schemaVersion"`
	MediaType     string         `json:"mediaType"`
	Manifests     imageEntries   `json:"manifests"`
	Config        jsontext.Value `json:"config,omitempty"`
	Layers        jsontext.Value `json:"layers,omitempty"`
}

// parseImageIndex reads an index of images. What could be taken for a manifest
// too is refused: another reader might take it so.
func parseImageIndex(b []byte, mediaType string) (imageIndex, error) {
	var ix imageIndex
	if err := decodeAsRuntimes(b, &ix); err != nil {
		return ix, fmt.Errorf("not an image index: %w", err)
	}
	switch {
	case ix.SchemaVersion != 2:
		return ix, fmt.Errorf("not an image index: schemaVersion is %d, not 2", ix.SchemaVersion)
	case ix.MediaType != "" && ix.MediaType != mediaType:
		return ix, fmt.Errorf("not an image index but %q", printable(ix.MediaType))
	case ix.Config != nil || ix.Layers != nil:
		return ix, errors.New("both an image index and an image manifest: it has config or layers")
	}
	return ix, nil
}

func isIndexType(mediaType string) bool {
	return mediaType == mediaTypeImageIndex || mediaType == mediaTypeDockerList
}

// Platforms are the images of the index a, those of indexes inside it included,
// in the index's order; none where a is no index: then nothing is sent. What is
// marked as of no platform (unknown/unknown: attestations) is left out; all else
// counts, for a runtime may run it. Each manifest's descriptor has media type,
// digest and size, and is not fetched.
func (r *Repository) Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error) {
	return r.entries(ctx, a, false)
}

// entries are Platforms, where all is wanted with what is marked as of no
// platform.
func (r *Repository) entries(ctx context.Context, a shuin.Artifact, all bool) ([]shuin.Platform, error) {
	op := "list platforms of " + a.String()
	return platformsOf(op, a, all, func(d shuin.Descriptor) ([]byte, error) {
		if d.Digest == a.Digest() {
			return r.manifest(ctx, op, d)
		}
		return r.content(ctx, op, "manifests/", d, "ManifestBytes")
	})
}

// Platforms is as that of a Repository.
func (l *Layout) Platforms(_ context.Context, a shuin.Artifact) ([]shuin.Platform, error) {
	op := "list platforms of " + a.String()
	return platformsOf(op, a, false, func(d shuin.Descriptor) ([]byte, error) {
		b, err := l.blob(op, d, limits.ManifestBytes, "ManifestBytes")
		if err != nil && d.Digest != a.Digest() {
			err = listedButMissing(err)
		}
		return b, err
	})
}

// platformsOf walks the index a, all of it or without attestations; read gives
// the checked content of an index.
func platformsOf(op string, a shuin.Artifact, all bool, read func(shuin.Descriptor) ([]byte, error)) ([]shuin.Platform, error) {
	if !isIndexType(a.Descriptor().MediaType) {
		return nil, nil
	}
	w := &platformWalk{op: op, all: all, read: read, seen: map[digest.Digest]bool{}}
	if err := w.index(a.Descriptor(), 0); err != nil {
		return nil, err
	}
	return w.found, nil
}

type platformWalk struct {
	op    string
	all   bool // attestations too
	read  func(shuin.Descriptor) ([]byte, error)
	seen  map[digest.Digest]bool // indexes
	found []shuin.Platform
}

func (w *platformWalk) index(d shuin.Descriptor, depth int) error {
	if w.seen[d.Digest] {
		return nil
	}
	w.seen[d.Digest] = true
	switch {
	case depth > limits.PlatformDepth:
		return exceeded(w.op, "PlatformDepth", "indexes inside indexes deeper than %d", limits.PlatformDepth)
	case len(w.seen) > limits.Platforms:
		return exceeded(w.op, "Platforms", "more than %d indexes", limits.Platforms)
	case d.Size > limits.ManifestBytes:
		return exceeded(w.op, "ManifestBytes", "index %s has %d bytes, more than %d", d.Digest, d.Size, limits.ManifestBytes)
	}
	b, err := w.read(d)
	if err != nil {
		return err
	}
	ix, err := parseImageIndex(b, d.MediaType)
	if err != nil {
		return unreadable(w.op, fmt.Errorf("index %s: %w", d.Digest, err))
	}
	for _, e := range ix.Manifests {
		if e.Platform.unknown() && !w.all {
			continue
		}
		if isIndexType(e.MediaType) {
			if err := w.index(e.plain(), depth+1); err != nil {
				return err
			}
			continue
		}
		if err := w.add(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *platformWalk) add(e imageEntry) error {
	p := shuin.Platform{Descriptor: e.plain()}
	if e.Platform != nil {
		p.OS, p.Architecture, p.Variant = printable(e.Platform.OS), printable(e.Platform.Architecture), printable(e.Platform.Variant)
	}
	for _, f := range w.found {
		if f.Descriptor.SameContent(p.Descriptor) && f.String() == p.String() {
			return nil
		}
	}
	if len(w.found) >= limits.Platforms {
		return exceeded(w.op, "Platforms", "more than %d images in one index", limits.Platforms)
	}
	w.found = append(w.found, p)
	return nil
}

// manifest gets the manifest or index of an artifact that was resolved. Where
// it is gone, it could not be checked.
func (r *Repository) manifest(ctx context.Context, op string, d shuin.Descriptor) ([]byte, error) {
	if d.Size > limits.ManifestBytes {
		return nil, exceeded(op, "ManifestBytes", "it has %d bytes, more than %d", d.Size, limits.ManifestBytes)
	}
	a, err := r.do(ctx, request{
		op: op, method: http.MethodGet, url: r.at("manifests/" + d.Digest.String()), accept: d.MediaType,
		max: max(d.Size, 1), limit: "ManifestBytes",
	})
	switch {
	case errors.Is(err, errTooLong):
		return nil, malformed(op, "the registry sends more than the %d bytes it has", d.Size)
	case err != nil:
		return nil, err
	case a.status != http.StatusOK:
		return nil, statusError(op, a)
	}
	return a.body, checkContent(op, a.body, d)
}

// Config is the descriptor of the configuration of the image a: what names the
// image before it is pushed, for its digest is the image's ID. An index has
// none: that is shuin.CodeInvalidInput.
func (r *Repository) Config(ctx context.Context, a shuin.Artifact) (shuin.Descriptor, error) {
	op := "read the manifest of " + a.String()
	return configOf(op, a, func(d shuin.Descriptor) ([]byte, error) { return r.manifest(ctx, op, d) })
}

// Config is as that of a Repository.
func (l *Layout) Config(_ context.Context, a shuin.Artifact) (shuin.Descriptor, error) {
	op := "read the manifest of " + a.String()
	return configOf(op, a, func(d shuin.Descriptor) ([]byte, error) {
		return l.blob(op, d, limits.ManifestBytes, "ManifestBytes")
	})
}

func configOf(op string, a shuin.Artifact, read func(shuin.Descriptor) ([]byte, error)) (shuin.Descriptor, error) {
	desc := a.Descriptor()
	switch {
	case isIndexType(desc.MediaType):
		return shuin.Descriptor{}, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: op, Err: errors.New("it is an index of several platforms' images, and has no configuration of its own"),
			Hint: "name the image of one platform by its digest",
		}
	case desc.MediaType != mediaTypeImageManifest && desc.MediaType != mediaTypeDockerManifest:
		return shuin.Descriptor{}, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: op, Err: fmt.Errorf("it is no image manifest but %q", printable(desc.MediaType)),
		}
	}
	b, err := read(desc)
	if err != nil {
		return shuin.Descriptor{}, err
	}
	var m struct {
		SchemaVersion int            `json:"schemaVersion"`
		MediaType     string         `json:"mediaType"`
		Config        *descriptor    `json:"config"`
		Manifests     jsontext.Value `json:"manifests,omitempty"`
	}
	if err := decodeAsRuntimes(b, &m); err != nil {
		return shuin.Descriptor{}, unreadable(op, fmt.Errorf("not an image manifest: %w", err))
	}
	switch {
	case m.SchemaVersion != 2:
		return shuin.Descriptor{}, malformed(op, "schemaVersion is %d, not 2", m.SchemaVersion)
	case m.MediaType != "" && m.MediaType != desc.MediaType:
		return shuin.Descriptor{}, malformed(op, "mediaType is %q, not %q", printable(m.MediaType), desc.MediaType)
	case m.Manifests != nil:
		return shuin.Descriptor{}, malformed(op, "both an image manifest and an image index: it has manifests")
	case m.Config == nil:
		return shuin.Descriptor{}, malformed(op, "no config")
	}
	config := shuin.Descriptor{MediaType: m.Config.MediaType, Digest: m.Config.Digest, Size: m.Config.Size}
	if err := config.Validate(); err != nil {
		return shuin.Descriptor{}, malformed(op, "config: %w", err)
	}
	return config, nil
}

// IsIndex reports whether a media type is that of an index of images, OCI's or
// Docker's.
func IsIndex(mediaType string) bool { return isIndexType(mediaType) }
