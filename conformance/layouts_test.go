package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	upstreamregistry "github.com/notaryproject/notation-go/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/registry"
)

// layoutMaker writes an OCI layout by hand, of whatever shape.
type layoutMaker struct {
	t      *testing.T
	dir    string
	random *rand.Rand
	index  []ocispec.Descriptor
	images []ocispec.Descriptor
	// later are signatures in the form that notation-go finds in no layout.
	later map[digest.Digest]bool
}

func (m *layoutMaker) blob(mediaType string, b []byte) ocispec.Descriptor {
	m.t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	dir := filepath.Join(m.dir, "blobs", "sha256")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, d.Digest.Encoded()), b, 0o644)); err != nil {
		m.t.Fatal(err)
	}
	return d
}

func (m *layoutMaker) manifest(mediaType string, v any) ocispec.Descriptor {
	m.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.blob(mediaType, b)
}

// image is an image, or an index of one.
func (m *layoutMaker) image(i int) {
	config := m.blob(ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","variant":"%d"}`, i))
	d := m.manifest(ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{}})
	if m.random.IntN(3) == 0 {
		m.images = append(m.images, d)
		d = m.manifest(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}})
	}
	m.images = append(m.images, d)
	m.place(d, fmt.Sprintf("v%d", i%3))
}

// referrer is a signature in one of its two forms, or something else, of some image.
func (m *layoutMaker) referrer(i int) {
	subject := m.images[m.random.IntN(len(m.images))]
	empty := m.blob(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	v := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: empty, Subject: &subject,
		Layers:      []ocispec.Descriptor{m.blob(shuin.MediaTypeJWS, fmt.Appendf(nil, `{"n":%d}`, i))},
		Annotations: map[string]string{"io.cncf.notary.x509chain.thumbprint#S256": `["` + digest.FromString("x").Encoded() + `"]`}}
	later := false
	switch m.random.IntN(4) {
	case 0, 1:
		v.Config.MediaType = shuin.ArtifactTypeSignature
	case 2:
		v.ArtifactType, later = shuin.ArtifactTypeSignature, true
	default:
		v.ArtifactType = "application/vnd.example.sbom"
	}
	d := m.manifest(ocispec.MediaTypeImageManifest, v)
	m.later[d.Digest] = later
	tag := ""
	if m.random.IntN(5) == 0 {
		tag = fmt.Sprintf("sig%d", i)
	}
	m.place(d, tag)
}

// place puts a manifest into index.json, or into an index that stands there.
func (m *layoutMaker) place(d ocispec.Descriptor, tag string) {
	if tag != "" {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	if tag != "" || m.random.IntN(3) > 0 {
		m.index = append(m.index, d)
		return
	}
	for range 1 + m.random.IntN(2) {
		d = m.manifest(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}})
	}
	m.index = append(m.index, d)
}

func makeLayout(t *testing.T, seed uint64) *layoutMaker {
	t.Helper()
	m := &layoutMaker{t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 0)), later: map[digest.Digest]bool{}}
	for i := range 1 + m.random.IntN(4) {
		m.image(i)
	}
	for i := range m.random.IntN(8) {
		m.referrer(i)
	}
	m.random.Shuffle(len(m.index), func(i, j int) { m.index[i], m.index[j] = m.index[j], m.index[i] })
	b, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: m.index})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(m.dir, "index.json"), b, 0o644), os.WriteFile(filepath.Join(m.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestLayoutsAreReadAlike makes layouts of many shapes: signatures in index.json
// and below, tagged and not, in both forms, among other referrers, of images and
// indexes. What notation-go finds is found, by the same tags and digests, and
// nothing beside it but the form of signatures that it passes over in layouts.
func TestLayoutsAreReadAlike(t *testing.T) {
	compared := 0
	for seed := range uint64(150) {
		m := makeLayout(t, seed)
		theirs, err := upstreamregistry.NewOCIRepository(m.dir, upstreamregistry.RepositoryOptions{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		ours, err := registry.OpenLayout(m.dir)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		refs := []string{"v0", "v1", "v2", "none"}
		for _, d := range m.images {
			refs = append(refs, d.Digest.String())
		}
		for _, ref := range refs {
			compared += m.compare(seed, ref, theirs, ours)
		}
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
	}
	if compared < 200 {
		t.Errorf("only %d signatures were found by both", compared)
	}
}

// compare resolves and lists one reference both ways, and counts the signatures
// that both found.
func (m *layoutMaker) compare(seed uint64, ref string, theirs upstreamregistry.Repository, ours *registry.Layout) int {
	m.t.Helper()
	want, err := theirs.Resolve(m.t.Context(), ref)
	written := shuin.Reference{Layout: m.dir, Tag: ref}
	if d, err := digest.Parse(ref); err == nil {
		written = shuin.Reference{Layout: m.dir, Digest: d}
	}
	a, ourErr := ours.Resolve(m.t.Context(), written)
	if err != nil {
		if written.Tag != "" && ourErr == nil {
			m.t.Errorf("seed %d: %s is there for us alone", seed, ref)
		}
		return 0
	}
	if want.MediaType == "application/octet-stream" && ourErr == nil {
		// What index.json names through indexes alone is any blob for them: they
		// would sign that type, and find no signature.
		want.MediaType = a.Descriptor().MediaType
	}
	if ourErr != nil || a.Digest() != want.Digest || a.Descriptor().MediaType != want.MediaType || a.Descriptor().Size != want.Size {
		m.t.Errorf("seed %d: %s is %v for us (%v), %v for them", seed, ref, a, ourErr, want.Digest)
		return 0
	}
	var list []digest.Digest
	if err := theirs.ListSignatures(m.t.Context(), want, func(found []ocispec.Descriptor) error {
		for _, d := range found {
			list = append(list, d.Digest)
		}
		return nil
	}); err != nil {
		m.t.Fatalf("seed %d: %v", seed, err)
	}
	found, more, err := ours.List(m.t.Context(), a, 0)
	if err != nil || more {
		m.t.Fatalf("seed %d: %v, %v", seed, more, err)
	}
	both := 0
	for _, d := range found {
		switch {
		case slices.Contains(list, d.Digest):
			both++
		case !m.later[d.Digest]:
			m.t.Errorf("seed %d: of %s we alone find %s", seed, ref, d.Digest)
		}
	}
	if both != len(list) {
		m.t.Errorf("seed %d: of %s we find %d of %d", seed, ref, both, len(list))
	}
	return both
}
