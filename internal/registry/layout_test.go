package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
)

// newLayout writes a layout with one image, tagged v1, without any library.
func newLayout(t *testing.T) (string, shuin.Artifact) {
	t.Helper()
	dir := t.TempDir()
	image := imageManifest("layout")
	d := digest.FromBytes(image)
	writeBlob(t, dir, []byte("{}"))
	writeBlob(t, dir, image)
	put(t, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	put(t, dir, "index.json", fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"v1"},"platform":{"os":"linux","architecture":"amd64"}}]}`,
		mediaTypeImageManifest, d, len(image)))
	return dir, artifact(t, shuin.Reference{Layout: dir, Tag: "v1"}, d, image)
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeBlob(t *testing.T, dir string, b []byte) {
	t.Helper()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(blobs, digest.FromBytes(b).Encoded()), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *Layout {
	t.Helper()
	l, err := OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLayoutSignAndFind(t *testing.T) {
	dir, a := newLayout(t)
	l := open(t, dir)
	var want []shuin.Descriptor
	for i := range 3 {
		d, err := l.PushSignature(t.Context(), a, shuin.MediaTypeJWS, envelopeOf(i), annotationsOf(i))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, d)
	}
	for _, ref := range []shuin.Reference{{Layout: dir, Tag: "v1"}, {Layout: dir, Digest: a.Digest()}} {
		got, sigs, err := open(t, dir).Discover(t.Context(), ref)
		if err != nil || !got.Descriptor().SameContent(a.Descriptor()) {
			t.Fatalf("%s: %v %v", ref, got.Descriptor(), err)
		}
		found, more, err := sigs.Signatures(t.Context(), got, 0)
		if err != nil || more || len(found) != 3 {
			t.Fatalf("%d signatures %v %v", len(found), more, err)
		}
		for i, s := range found {
			if s.Err != nil || s.Manifest.Digest != want[i].Digest || !bytes.Equal(s.Envelope, envelopeOf(i)) || len(s.Thumbprints) != 1 {
				t.Errorf("signature %d: %+v", i, s)
			}
		}
	}
	if got, more, err := l.List(t.Context(), a, 2); err != nil || !more || len(got) != 2 {
		t.Errorf("list of 2: %v %v %v", got, more, err)
	}
	sig, err := l.Resolve(t.Context(), shuin.Reference{Layout: dir, Digest: want[0].Digest})
	if err != nil {
		t.Fatal(err)
	}
	if subject, ok, err := l.SignatureOf(t.Context(), sig); err != nil || !ok || !subject.SameContent(a.Descriptor()) {
		t.Errorf("subject %v %v %v", subject, ok, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "index.json")); err != nil || !strings.Contains(string(b), `"architecture":"amd64"`) {
		t.Errorf("index.json lost what it held: %s %v", b, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*", ".shuin-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// orasFind is how notation looks for signatures in a layout: what points to the
// artifact, with the config's media type as its type.
func orasFind(t *testing.T, dir string, a shuin.Artifact) []ocispec.Descriptor {
	t.Helper()
	store, err := oci.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := a.Descriptor()
	nodes, err := store.Predecessors(t.Context(), ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	if err != nil {
		t.Fatal(err)
	}
	var out []ocispec.Descriptor
	for _, n := range nodes {
		b, err := content.FetchAll(t.Context(), store, n)
		if err != nil {
			t.Fatal(err)
		}
		m, signature, err := parseManifest(b)
		if err == nil && signature && m.Config.MediaType == shuin.ArtifactTypeSignature {
			out = append(out, n)
		}
	}
	return out
}

func TestLayoutIsReadByOras(t *testing.T) {
	dir, a := newLayout(t)
	d, err := open(t, dir).PushSignature(t.Context(), a, shuin.MediaTypeCOSE, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := orasFind(t, dir, a)
	if len(got) != 1 || got[0].Digest != d.Digest {
		t.Errorf("oras found %v, want %v", got, d.Digest)
	}
}

// TestLayoutWrittenByOras: signatures as oras (and so notation) writes them, in
// index.json, and under the referrers tag as a copy of a repository has them.
func TestLayoutWrittenByOras(t *testing.T) {
	for name, f := range map[string]form{"config form, as notation writes": formConfig, "artifactType form": formArtifactType} {
		t.Run(name, func(t *testing.T) {
			dir, a := newLayout(t)
			store, err := oci.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			ad := a.Descriptor()
			blob, err := oras.PushBytes(t.Context(), store, shuin.MediaTypeJWS, envelopeOf(7))
			if err != nil {
				t.Fatal(err)
			}
			o := oras.PackManifestOptions{
				Subject: &ocispec.Descriptor{MediaType: ad.MediaType, Digest: ad.Digest, Size: ad.Size},
				Layers:  []ocispec.Descriptor{blob}, ManifestAnnotations: annotationsOf(7),
			}
			artifactType := shuin.ArtifactTypeSignature
			if f == formConfig {
				artifactType = ""
				o.ConfigDescriptor = &ocispec.Descriptor{MediaType: shuin.ArtifactTypeSignature, Digest: ocispec.DescriptorEmptyJSON.Digest, Size: 2}
			}
			d, err := oras.PackManifest(t.Context(), store, oras.PackManifestVersion1_1, artifactType, o)
			if err != nil {
				t.Fatal(err)
			}
			found, _, err := open(t, dir).Signatures(t.Context(), a, 0)
			if err != nil || len(found) != 1 || found[0].Err != nil || found[0].Manifest.Digest != d.Digest || string(found[0].Envelope) != string(envelopeOf(7)) {
				t.Errorf("%+v %v", found, err)
			}
		})
	}
}

func TestLayoutSignatureUnderTheReferrersTag(t *testing.T) {
	dir, a := newLayout(t)
	m, d, err := newManifest(formArtifactType, a.Descriptor(), shuin.MediaTypeJWS, envelopeOf(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	ix := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, mediaTypeImageIndex, entryOf(m))
	for _, b := range [][]byte{m, envelopeOf(1), ix} {
		writeBlob(t, dir, b)
	}
	old, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "index.json", strings.TrimSuffix(string(old), "]}")+fmt.Sprintf(`,{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":%q}}]}`,
		mediaTypeImageIndex, digest.FromBytes(ix), len(ix), fallbackTag(a.Digest())))
	found, _, err := open(t, dir).Signatures(t.Context(), a, 0)
	if err != nil || len(found) != 1 || found[0].Err != nil || found[0].Manifest.Digest != d.Digest {
		t.Errorf("%+v %v", found, err)
	}
}

func TestTenConcurrentSignersOfALayout(t *testing.T) {
	dir, a := newLayout(t)
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		l := open(t, dir)
		wg.Go(func() { _, errs[i] = l.PushSignature(t.Context(), a, shuin.MediaTypeJWS, envelopeOf(i), nil) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if got, _, err := open(t, dir).List(t.Context(), a, 0); err != nil || len(got) != 10 {
		t.Errorf("%d of 10, %v", len(got), err)
	}
}

func TestLayoutsThatAreNotWhatTheySay(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T, dir string, a shuin.Artifact)
		code   shuin.Code
	}{
		"no oci-layout": {code: shuin.CodeInvalidInput, change: func(t *testing.T, dir string, _ shuin.Artifact) { remove(t, dir, "oci-layout") }},
		"another version": {code: shuin.CodeInvalidInput, change: func(t *testing.T, dir string, _ shuin.Artifact) {
			put(t, dir, "oci-layout", `{"imageLayoutVersion":"2.0.0"}`)
		}},
		"no index.json":         {code: shuin.CodeNotFound, change: func(t *testing.T, dir string, _ shuin.Artifact) { remove(t, dir, "index.json") }},
		"index.json is rubbish": {code: shuin.CodeMalformed, change: func(t *testing.T, dir string, _ shuin.Artifact) { put(t, dir, "index.json", `{"schemaVersion":2`) }},
		"index.json has a digest path": {code: shuin.CodeMalformed, change: func(t *testing.T, dir string, _ shuin.Artifact) {
			put(t, dir, "index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,"digest":"sha256:../../../../etc/passwd"}]}`)
		}},
		"the manifest is another": {code: shuin.CodeMalformed, change: func(t *testing.T, dir string, a shuin.Artifact) {
			put(t, dir, blobPath(a.Digest()), string(imageManifest("Layout")))
		}},
		"the manifest is longer": {code: shuin.CodeMalformed, change: func(t *testing.T, dir string, a shuin.Artifact) {
			put(t, dir, blobPath(a.Digest()), string(imageManifest("layout"))+" ")
		}},
		"the manifest is not there":  {code: shuin.CodeNotFound, change: func(t *testing.T, dir string, a shuin.Artifact) { remove(t, dir, blobPath(a.Digest())) }},
		"a blob is a link out of it": {code: shuin.CodeMalformed, change: linkBlob},
		"blobs is a link out of it":  {code: shuin.CodeMalformed, change: linkBlobs},
		"index.json is a link out of it": {code: shuin.CodeMalformed, change: func(t *testing.T, dir string, _ shuin.Artifact) {
			outside := filepath.Join(t.TempDir(), "index.json")
			if err := os.Rename(filepath.Join(dir, "index.json"), outside); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, filepath.Join(dir, "index.json")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, a := newLayout(t)
			tc.change(t, dir, a)
			l, err := OpenLayout(dir)
			if err == nil {
				defer l.Close()
				_, err = l.Resolve(t.Context(), shuin.Reference{Layout: dir, Tag: "v1"})
			}
			if shuin.CodeOf(err) != tc.code {
				t.Errorf("%v (%s), want %s", err, shuin.CodeOf(err), tc.code)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func linkBlob(t *testing.T, dir string, a shuin.Artifact) {
	outside := filepath.Join(t.TempDir(), "blob")
	name := filepath.Join(dir, blobPath(a.Digest()))
	if err := os.Rename(name, outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, name); err != nil {
		t.Fatal(err)
	}
}

func linkBlobs(t *testing.T, dir string, _ shuin.Artifact) {
	outside := filepath.Join(t.TempDir(), "blobs")
	if err := os.Rename(filepath.Join(dir, "blobs"), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsWrittenOutsideALayout(t *testing.T) {
	dir, a := newLayout(t)
	l := open(t, dir)
	outside := t.TempDir()
	if err := os.RemoveAll(filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.PushSignature(t.Context(), a, shuin.MediaTypeJWS, []byte("{}"), nil); err == nil {
		t.Error("signed through a link")
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Errorf("wrote %v %v", left, err)
	}
}

func TestLayoutCandidatesKeepTheirReason(t *testing.T) {
	dir, a := newLayout(t)
	l := open(t, dir)
	if _, err := l.PushSignature(t.Context(), a, shuin.MediaTypeJWS, envelopeOf(1), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.PushSignature(t.Context(), a, shuin.MediaTypeJWS, envelopeOf(2), nil); err != nil {
		t.Fatal(err)
	}
	put(t, dir, blobPath(digest.FromBytes(envelopeOf(1))), "{}")
	remove(t, dir, blobPath(digest.FromBytes(envelopeOf(2))))
	found, _, err := l.Signatures(t.Context(), a, 0)
	if err != nil || len(found) != 2 {
		t.Fatalf("%+v %v", found, err)
	}
	for i, s := range found {
		if shuin.CodeOf(s.Err) != shuin.CodeMalformed || s.Envelope != nil {
			t.Errorf("candidate %d: %v", i, s.Err)
		}
	}
}

func TestLayoutTellsWhatItLacks(t *testing.T) {
	dir, _ := newLayout(t)
	l := open(t, dir)
	for _, ref := range []shuin.Reference{{Layout: dir, Tag: "v2"}, {Layout: dir, Digest: digest.FromString("x")}} {
		if _, err := l.Resolve(t.Context(), ref); shuin.CodeOf(err) != shuin.CodeNotFound {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := l.Resolve(t.Context(), shuin.Reference{Layout: dir}); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("no tag: %v", err)
	}
	if _, err := OpenLayout(filepath.Join(dir, "oci-layout")); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("a file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Resolve(ctx, shuin.Reference{Layout: dir, Digest: digest.FromString("x")}); shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Errorf("ended: %v", err)
	}
}

func FuzzLayoutIndex(f *testing.F) {
	image := imageManifest("layout")
	good := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`,
		mediaTypeImageManifest, digest.FromBytes(image), len(image))
	for _, s := range []string{good, strings.Replace(good, "sha256:", "sha256:../", 1), `{}`, `{"schemaVersion":2}`} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		f.Fatal(err)
	}
	for name, b := range map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "blobs/sha256/" + digest.FromBytes(image).Encoded(): image} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		put(t, dir, "index.json", string(b))
		l := open(t, dir)
		a, err := l.Resolve(t.Context(), shuin.Reference{Layout: dir, Tag: "v1"})
		if err != nil {
			return
		}
		if a.Digest() != digest.FromBytes(image) || a.Descriptor().Size != int64(len(image)) {
			t.Fatalf("resolved to what is not there: %v", a.Descriptor())
		}
		if _, _, err := l.Signatures(t.Context(), a, 0); err != nil && shuin.CodeOf(err) == shuin.CodeInternal {
			t.Fatal(err)
		}
	})
}

// FuzzLayoutContent puts any bytes into a layout as what index.json names: a
// manifest, an index or a Docker list. Whatever they are, what is found is there
// and signs the image, and what is found can be signed beside.
func FuzzLayoutContent(f *testing.F) {
	image := imageManifest("layout")
	kinds := []string{mediaTypeImageManifest, mediaTypeImageIndex, mediaTypeDockerList}
	subject := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromBytes(image), Size: int64(len(image))}
	for kind := range kinds {
		for _, form := range []form{formConfig, formArtifactType} {
			m, _, err := newManifest(form, subject, shuin.MediaTypeJWS, envelopeOf(1), annotationsOf(1))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(m, uint8(kind))
			f.Add(m, uint8(129+kind)) // a multiple of three on
			f.Add(fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, kinds[kind], entryOf(m)), uint8(kind))
		}
		f.Add(image, uint8(kind))
		f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":-1,"digest":"sha256:../x"}]}`), uint8(kind))
	}
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		dir, a := newLayout(t)
		writeBlob(t, dir, envelopeOf(1))
		writeBlob(t, dir, b)
		old, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, "index.json", strings.TrimSuffix(string(old), "]}")+fmt.Sprintf(`,{"mediaType":%q,"digest":%q,"size":%d}]}`,
			kinds[int(kind)%len(kinds)], digest.FromBytes(b), len(b)))
		l := open(t, dir)
		found, _, err := l.Signatures(t.Context(), a, 0)
		if err != nil && shuin.CodeOf(err) == shuin.CodeInternal {
			t.Fatal(err)
		}
		for _, s := range found {
			if s.Err == nil && (s.Manifest.Digest != digest.FromBytes(b) || len(s.Envelope) == 0) {
				t.Fatalf("found what is not there: %+v", s)
			}
		}
		if err != nil || kind < 128 { // writing waits for the disk
			return
		}
		d, err := l.PushSignature(t.Context(), a, shuin.MediaTypeCOSE, envelopeOf(2), nil)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := l.List(t.Context(), a, 0)
		if err != nil || len(again) != len(found)+1 || !slices.ContainsFunc(again, func(x shuin.Descriptor) bool { return x.Digest == d.Digest }) {
			t.Fatalf("%d signatures, then %d: %v", len(found), len(again), err)
		}
	})
}

func TestTemporaryFilesOfAKilledWriterAreRemovedByTheNext(t *testing.T) {
	dir, a := newLayout(t)
	left := filepath.Join(dir, tempPrefix+"0123"+tempSuffix)
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).PushSignature(t.Context(), a, shuin.MediaTypeJWS, envelopeOf(0), annotationsOf(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
