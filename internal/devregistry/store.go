package devregistry

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin/internal/limits"
)

// store is the content of a registry. The maps are the truth while it runs;
// with a disk, each change is on disk before it is in the maps.
type store struct {
	mu       sync.RWMutex
	disk     *disk // nil: in memory
	repos    map[string]*repository
	contents map[digest.Digest]*content
	uploads  map[string]*upload
	seq      int64 // order in which manifests came
}

// repository is one repository's names for content.
type repository struct {
	blobs     map[digest.Digest]struct{}
	manifests map[digest.Digest]*manifest
	tags      map[string]digest.Digest
	referrers map[digest.Digest][]*manifest // by subject, oldest first
}

// content is the bytes of a blob, shared by the repositories that have it.
type content struct {
	size int64
	data []byte // nil when on disk
	refs int    // repositories that have it
}

// manifest is a stored manifest and what the referrers API says of it.
type manifest struct {
	mediaType string
	digest    digest.Digest
	body      []byte
	seq       int64
	fields    fields
}

// upload is a blob on its way.
type upload struct {
	mu      sync.Mutex
	id      string
	repo    string
	touched time.Time
	ended   bool // stored, cancelled or pushed out: its bytes are gone
	size    int64
	buf     []byte   // in memory
	file    *os.File // on disk
}

func newStore() *store {
	return &store{
		repos:    map[string]*repository{},
		contents: map[digest.Digest]*content{},
		uploads:  map[string]*upload{},
	}
}

func openStore(dir string) (*store, error) {
	s := newStore()
	if dir == "" {
		return s, nil
	}
	d, err := openDisk(dir)
	if err != nil {
		return nil, err
	}
	s.disk = d
	if err := d.load(s); err != nil {
		d.close()
		return nil, err
	}
	return s, nil
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uploads {
		u.discard()
	}
	clear(s.uploads)
	if s.disk == nil {
		return nil
	}
	return s.disk.close()
}

// repo returns the repository, nil when nothing was ever put there.
func (s *store) repo(name string) *repository { return s.repos[name] }

// makeRepo returns the repository, a new one if need be.
func (s *store) makeRepo(name string) *repository {
	r := s.repos[name]
	if r == nil {
		r = &repository{
			blobs:     map[digest.Digest]struct{}{},
			manifests: map[digest.Digest]*manifest{},
			tags:      map[string]digest.Digest{},
			referrers: map[digest.Digest][]*manifest{},
		}
		s.repos[name] = r
	}
	return r
}

// link makes blob d, whose content is known, part of a repository.
func (s *store) link(name string, d digest.Digest) error {
	r := s.makeRepo(name)
	if _, ok := r.blobs[d]; ok {
		return nil
	}
	if s.disk != nil {
		if err := s.disk.link(name, d); err != nil {
			return err
		}
	}
	r.blobs[d] = struct{}{}
	s.contents[d].refs++
	return nil
}

// addBlob stores an upload, whose digest was checked, as blob d.
func (s *store) addBlob(name string, d digest.Digest, u *upload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.contents[d] == nil {
		c := &content{size: u.size, data: u.buf}
		if s.disk != nil {
			if err := s.disk.adopt(d, u.file); err != nil {
				return err
			}
			u.file = nil
		}
		s.contents[d] = c
	}
	return s.link(name, d)
}

// mount makes d part of name when repository from has it; an empty from means
// any repository.
func (s *store) mount(name, from string, d digest.Digest) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.contents[d] == nil {
		return false, nil
	}
	if from != "" {
		r := s.repo(from)
		if r == nil {
			return false, nil
		}
		if _, ok := r.blobs[d]; !ok {
			return false, nil
		}
	}
	return true, s.link(name, d)
}

// openBlob returns the blob's bytes; nil when the repository does not have it.
func (s *store) openBlob(name string, d digest.Digest) (io.ReadSeekCloser, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repo(name)
	if r == nil {
		return nil, nil
	}
	if _, ok := r.blobs[d]; !ok {
		return nil, nil
	}
	if s.disk != nil {
		return s.disk.open(d)
	}
	return nopCloser{bytes.NewReader(s.contents[d].data)}, nil
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// removeBlob takes d out of a repository, and the bytes away with the last one.
func (s *store) removeBlob(name string, d digest.Digest) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repo(name)
	if r == nil {
		return false, nil
	}
	if _, ok := r.blobs[d]; !ok {
		return false, nil
	}
	c := s.contents[d]
	if s.disk != nil {
		if err := s.disk.unlink(name, d, c.refs == 1); err != nil {
			return false, err
		}
	}
	delete(r.blobs, d)
	if c.refs--; c.refs == 0 {
		delete(s.contents, d)
	}
	return true, nil
}

// precondition says whether a manifest may be put in the place of the current
// digest (empty: nothing there).
type precondition func(current digest.Digest) bool

// addManifest stores m and points tags at it. ok is false when the
// precondition does not hold; missing names content that m needs and the
// repository lacks.
func (s *store) addManifest(name string, m *manifest, tags []string, ref string, may precondition, sparse bool) (ok bool, missing digest.Digest, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.makeRepo(name)
	if may != nil && !may(r.resolve(ref)) {
		return false, "", nil
	}
	if !sparse {
		if d := r.lacks(m.fields); d != "" {
			return true, d, nil
		}
	}
	if r.manifests[m.digest] == nil || r.manifests[m.digest].mediaType != m.mediaType {
		m.seq = s.seq + 1
		if s.disk != nil {
			if err := s.disk.putManifest(name, m); err != nil {
				return false, "", err
			}
		}
		s.seq = m.seq
		r.add(m)
	}
	for _, t := range tags {
		if s.disk != nil {
			if err := s.disk.putTag(name, t, m.digest); err != nil {
				return false, "", err
			}
		}
		r.tags[t] = m.digest
	}
	return true, "", nil
}

// add puts m into the maps, replacing one of the same digest.
func (r *repository) add(m *manifest) {
	r.drop(m.digest)
	r.manifests[m.digest] = m
	if sub := m.fields.Subject; sub != nil {
		r.referrers[sub.Digest] = append(r.referrers[sub.Digest], m)
	}
}

// drop takes a manifest out of the maps.
func (r *repository) drop(d digest.Digest) {
	m := r.manifests[d]
	if m == nil {
		return
	}
	delete(r.manifests, d)
	if sub := m.fields.Subject; sub != nil {
		left := slices.DeleteFunc(slices.Clone(r.referrers[sub.Digest]), func(o *manifest) bool { return o == m })
		if len(left) == 0 {
			delete(r.referrers, sub.Digest)
		} else {
			r.referrers[sub.Digest] = left
		}
	}
}

// resolve is the digest that a tag or digest names, empty when it names none.
func (r *repository) resolve(ref string) digest.Digest {
	if d, ok := r.tags[ref]; ok {
		return d
	}
	if _, ok := r.manifests[digest.Digest(ref)]; ok {
		return digest.Digest(ref)
	}
	return ""
}

// lacks is the first thing a manifest names that is not in the repository. A
// subject may be missing, and so may layers that are fetched from elsewhere.
func (r *repository) lacks(f fields) digest.Digest {
	for _, d := range f.blobs() {
		if _, ok := r.blobs[d]; !ok {
			return d
		}
	}
	for _, m := range f.Manifests {
		_, isManifest := r.manifests[m.Digest]
		_, isBlob := r.blobs[m.Digest]
		if !isManifest && !isBlob {
			return m.Digest
		}
	}
	return ""
}

// findManifest returns what a tag or digest names, nil for nothing.
func (s *store) findManifest(name, ref string) *manifest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repo(name)
	if r == nil {
		return nil
	}
	return r.manifests[r.resolve(ref)]
}

// removeManifest removes a tag, or a digest with all its tags.
func (s *store) removeManifest(name, ref string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repo(name)
	if r == nil || r.resolve(ref) == "" {
		return false, nil
	}
	if _, isTag := r.tags[ref]; isTag {
		return true, s.untag(r, name, ref)
	}
	d := digest.Digest(ref)
	for t, at := range r.tags {
		if at == d {
			if err := s.untag(r, name, t); err != nil {
				return false, err
			}
		}
	}
	if s.disk != nil {
		if err := s.disk.removeManifest(name, d); err != nil {
			return false, err
		}
	}
	r.drop(d)
	return true, nil
}

func (s *store) untag(r *repository, name, tag string) error {
	if s.disk != nil {
		if err := s.disk.removeTag(name, tag); err != nil {
			return err
		}
	}
	delete(r.tags, tag)
	return nil
}

// tagsOf lists a repository's tags in lexical order.
func (s *store) tagsOf(name string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repo(name)
	if r == nil {
		return nil
	}
	tags := make([]string, 0, len(r.tags))
	for t := range r.tags {
		tags = append(tags, t)
	}
	slices.Sort(tags)
	return tags
}

// referrersOf lists what names subject, oldest first.
func (s *store) referrersOf(name string, subject digest.Digest) []*manifest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.repo(name)
	if r == nil {
		return nil
	}
	return slices.Clone(r.referrers[subject])
}

// begin starts an upload. The oldest goes when there are too many.
func (s *store) begin(repo, id string) (*upload, error) {
	u := &upload{id: id, repo: repo, touched: time.Now()}
	if s.disk != nil {
		f, err := s.disk.stage()
		if err != nil {
			return nil, err
		}
		u.file = f
	}
	s.mu.Lock()
	var oldest *upload
	if len(s.uploads) >= limits.DevRegistryUploads {
		for _, o := range s.uploads {
			if oldest == nil || o.touched.Before(oldest.touched) {
				oldest = o
			}
		}
		delete(s.uploads, oldest.id)
	}
	s.uploads[id] = u
	s.mu.Unlock()
	if oldest != nil {
		oldest.mu.Lock()
		oldest.discard()
		oldest.mu.Unlock()
	}
	return u, nil
}

// uploadOf finds an upload of a repository.
func (s *store) uploadOf(repo, id string) *upload {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if u := s.uploads[id]; u != nil && u.repo == repo {
		return u
	}
	return nil
}

// forget ends an upload; its bytes go unless they were stored.
func (s *store) forget(u *upload) {
	s.mu.Lock()
	delete(s.uploads, u.id)
	s.mu.Unlock()
	u.discard()
}

// append adds the bytes of r. On an error the upload is as it was before.
func (u *upload) append(r io.Reader) (int64, error) {
	var n int64
	var err error
	if u.file == nil {
		buf := bytes.NewBuffer(u.buf[:u.size:len(u.buf)])
		n, err = buf.ReadFrom(r)
		if err == nil {
			u.buf = buf.Bytes()
		}
	} else {
		n, err = io.Copy(u.file, r)
		if err != nil {
			_, serr := u.file.Seek(u.size, io.SeekStart)
			err = cmp.Or(serr, u.file.Truncate(u.size), err)
		}
	}
	if err != nil {
		return 0, err
	}
	u.size += n
	return n, nil
}

// cut drops what came after the first size bytes.
func (u *upload) cut(size int64) error {
	u.size = size
	if u.file == nil {
		u.buf = u.buf[:size]
		return nil
	}
	_, err := u.file.Seek(size, io.SeekStart)
	return cmp.Or(err, u.file.Truncate(size))
}

// is reports whether the bytes so far have digest d.
func (u *upload) is(d digest.Digest) (bool, error) {
	v := d.Verifier()
	var err error
	if u.file == nil {
		_, err = v.Write(u.buf)
	} else {
		_, err = io.Copy(v, io.NewSectionReader(u.file, 0, u.size))
	}
	return v.Verified(), err
}

// discard drops the bytes.
func (u *upload) discard() {
	u.ended = true
	u.buf = nil
	if u.file != nil {
		u.file.Close()
		os.Remove(u.file.Name())
		u.file = nil
	}
}
