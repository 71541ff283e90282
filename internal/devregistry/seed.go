package devregistry

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
)

// PutBlob stores a blob without a request, for tests that need much content.
func (r *Registry) PutBlob(repo string, data []byte) (digest.Digest, error) {
	r.mu.RLock()
	s := r.store
	r.mu.RUnlock()
	d := digest.FromBytes(data)
	u := &upload{repo: repo, touched: time.Now()}
	if s.disk == nil {
		u.buf, u.size = append([]byte{}, data...), int64(len(data))
		return d, s.addBlob(repo, d, u)
	}
	f, err := s.disk.stage()
	if err != nil {
		return "", err
	}
	u.file = f
	defer u.discard()
	n, err := f.Write(data)
	if err != nil {
		return "", err
	}
	u.size = int64(n)
	return d, s.addBlob(repo, d, u)
}

// PutManifest stores a manifest without a request and points tags at it. What
// it names need not be there.
func (r *Registry) PutManifest(repo, mediaType string, body []byte, tags ...string) (digest.Digest, error) {
	r.mu.RLock()
	s := r.store
	r.mu.RUnlock()
	f, err := parseFields(body)
	if err != nil {
		return "", fmt.Errorf("parse manifest: %w", err)
	}
	m := &manifest{mediaType: mediaType, digest: digest.FromBytes(body), body: append([]byte{}, body...), fields: f}
	_, _, err = s.addManifest(repo, m, tags, "", nil, true)
	return m.digest, err
}

// Manifest returns what a tag or digest names, ok false for nothing.
func (r *Registry) Manifest(repo, ref string) (mediaType string, body []byte, ok bool) {
	r.mu.RLock()
	s := r.store
	r.mu.RUnlock()
	m := s.findManifest(repo, ref)
	if m == nil {
		return "", nil, false
	}
	return m.mediaType, append([]byte{}, m.body...), true
}

// PutSample stores an image whose one layer is a file that holds its own name,
// so that a trial has something to sign. ref names repository and tag; the same
// name is the same image, byte for byte.
func (r *Registry) PutSample(ref shuin.Reference) (digest.Digest, error) {
	if ref.Repository == "" || ref.Tag == "" || ref.Digest != "" {
		return "", fmt.Errorf("a sample image needs repository:tag, not %q", ref)
	}
	layer, err := sampleLayer(ref.Repository + ":" + ref.Tag + "\n")
	if err != nil {
		return "", fmt.Errorf("pack a sample image: %w", err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []digest.Digest{digest.FromBytes(layer)}},
	})
	if err != nil {
		return "", err
	}
	var described [2]shuin.Descriptor
	for i, blob := range []struct {
		mediaType string
		data      []byte
	}{{"application/vnd.oci.image.config.v1+json", config}, {"application/vnd.oci.image.layer.v1.tar", layer}} {
		d, err := r.PutBlob(ref.Repository, blob.data)
		if err != nil {
			return "", fmt.Errorf("store a sample image: %w", err)
		}
		described[i] = shuin.Descriptor{MediaType: blob.mediaType, Digest: d, Size: int64(len(blob.data))}
	}
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaType, "config": described[0], "layers": described[1:],
	})
	if err != nil {
		return "", err
	}
	return r.PutManifest(ref.Repository, mediaType, manifest, ref.Tag)
}

// sampleLayer is a tar archive with one file, hello.txt.
func sampleLayer(text string) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "hello.txt", Mode: 0o644, Size: int64(len(text))}); err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return nil, err
	}
	err := w.Close()
	return buf.Bytes(), err
}
