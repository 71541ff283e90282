package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// mediaTypeDockerConfig and mediaTypeImageConfig are of the configuration of an
// image that runtimes start.
const (
	mediaTypeImageConfig  = "application/vnd.oci.image.config.v1+json"
	mediaTypeDockerConfig = "application/vnd.docker.container.image.v1+json"
)

// Startable reports whether a container runtime might make a root file system of
// what a is, or of something in it where a is an index, whatever it is marked as
// there. It is false only where the manifests show that none does: each is a
// signature, whose one layer is an envelope, or says of what it is (subject) and
// has for its configuration an empty object under a type that is no image's, so
// that no layer of an image can be its. Docker refuses such. containerd does too
// where layers are of an image's types, and else makes nothing of them, in which
// somebody's volume may be run: what runs is judged, and not as it was pushed. An
// index of nothing is not startable.
//
// What could be read in two ways is, and what is larger than a signature's
// manifest may be (limits.SignatureManifestBytes), which is not read, and so is
// what the registry's limits keep from being looked at; an error of a code that is
// Undecided says that nobody could look. One that is startable decides, whatever
// the others.
func (r *Repository) Startable(ctx context.Context, a shuin.Artifact) (bool, error) {
	entries, err := r.entries(ctx, a, true)
	if err != nil {
		return true, err
	}
	if !isIndexType(a.Descriptor().MediaType) {
		entries = []shuin.Platform{{Descriptor: a.Descriptor()}}
	}
	for _, e := range entries {
		if e.Descriptor.MediaType != mediaTypeImageManifest || e.Descriptor.Size > limits.SignatureManifestBytes {
			return true, nil
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var found atomic.Bool
	faults := make([]error, len(entries))
	eachOf(len(entries), limits.LooksInFlight, func(i int) {
		is, err := r.startable(ctx, entries[i].Descriptor)
		if faults[i] = err; is && err == nil {
			found.Store(true)
			stop() // whatever the others are
		}
	})
	if found.Load() {
		return true, nil
	}
	err = errors.Join(faults...)
	for _, fault := range faults {
		if fault != nil && !shuin.CodeOf(fault).Undecided() {
			err = fault // no other try makes it better
		}
	}
	return err != nil, err
}

func (r *Repository) startable(ctx context.Context, d shuin.Descriptor) (bool, error) {
	b, err := r.content(ctx, "read the manifest "+d.Digest.String()+" of "+r.ref.Name(), "manifests/", d, "SignatureManifestBytes")
	if err != nil {
		return true, err
	}
	return startableManifest(b), nil
}

// startableManifest is Startable of the content of an OCI image manifest.
func startableManifest(b []byte) bool {
	var m struct {
		manifest
		Manifests jsontext.Value `json:"manifests,omitempty"`
	}
	if err := decodeAsRuntimes(b, &m); err != nil || m.Manifests != nil {
		return true // or a runtime reads it otherwise
	}
	if _, signature, err := signatureSubject(b); err == nil && signature {
		return false
	}
	imageConfig := func(t string) bool { return m.Config == nil || strings.EqualFold(t, m.Config.MediaType) }
	switch {
	case m.SchemaVersion != 2 || m.MediaType != mediaTypeImageManifest:
	case m.Subject == nil || m.Subject.plain().Validate() != nil:
	case slices.ContainsFunc([]string{mediaTypeImageConfig, mediaTypeDockerConfig}, imageConfig):
	case m.Config.Digest != digest.FromString(emptyJSON) || m.Config.Size != int64(len(emptyJSON)):
	default:
		return false
	}
	return true
}
