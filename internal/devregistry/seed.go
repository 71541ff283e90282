package devregistry

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
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
