package devregistry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin/internal/limits"
)

// disk keeps a store in a directory, one small file per fact, each written
// beside its place and renamed into it, so that a killed process leaves whole
// files only:
//
//	lock
//	uploads/…                                      on their way; emptied at start
//	blobs/<algorithm>/<hex>                        bytes
//	repositories/<name>/_blobs/<algorithm>/<hex>   the repository has this blob (empty file)
//	repositories/<name>/_manifests/<algorithm>/<hex>  a line of JSON (manifestLine), then the manifest
//	repositories/<name>/_tags/<tag>                a digest
//
// No component of a repository's name starts with "_".
type disk struct {
	dir  string
	lock *flock.Flock
}

// manifestLine is the first line of a manifest's file.
type manifestLine struct {
	MediaType string `json:"mediaType"`
	Seq       int64  `json:"seq"`
}

func openDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &disk{dir: dir, lock: flock.New(filepath.Join(dir, "lock"))}
	ok, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("%s is used by another process", dir)
	}
	if err := os.RemoveAll(filepath.Join(dir, "uploads")); err != nil {
		return nil, errors.Join(err, d.close())
	}
	for _, sub := range []string{"uploads", "blobs", "repositories"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	return d, nil
}

func (d *disk) close() error { return d.lock.Unlock() }

func byDigest(base string, dg digest.Digest) string {
	return filepath.Join(base, dg.Algorithm().String(), dg.Encoded())
}

func (d *disk) blobPath(dg digest.Digest) string { return byDigest(filepath.Join(d.dir, "blobs"), dg) }

func (d *disk) repoPath(name, kind string) string {
	return filepath.Join(d.dir, "repositories", filepath.FromSlash(name), kind)
}

// stage makes a file for an upload.
func (d *disk) stage() (*os.File, error) {
	return os.CreateTemp(filepath.Join(d.dir, "uploads"), "upload-")
}

// write puts data at path, whole or not at all.
func (d *disk) write(path string, data []byte) error {
	f, err := d.stage()
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		return d.place(f, path)
	}
	f.Close()
	os.Remove(f.Name())
	return err
}

// place renames a finished file to path.
func (d *disk) place(f *os.File, path string) error {
	err := f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (d *disk) adopt(dg digest.Digest, f *os.File) error { return d.place(f, d.blobPath(dg)) }

func (d *disk) open(dg digest.Digest) (io.ReadSeekCloser, error) { return os.Open(d.blobPath(dg)) }

func (d *disk) link(name string, dg digest.Digest) error {
	return d.write(byDigest(d.repoPath(name, "_blobs"), dg), nil)
}

func (d *disk) unlink(name string, dg digest.Digest, last bool) error {
	if err := os.Remove(byDigest(d.repoPath(name, "_blobs"), dg)); err != nil {
		return err
	}
	if !last {
		return nil
	}
	return os.Remove(d.blobPath(dg))
}

func (d *disk) putManifest(name string, m *manifest) error {
	line, err := json.Marshal(manifestLine{m.mediaType, m.seq})
	if err != nil {
		return err
	}
	data := append(append(line, '\n'), m.body...)
	return d.write(byDigest(d.repoPath(name, "_manifests"), m.digest), data)
}

func (d *disk) removeManifest(name string, dg digest.Digest) error {
	return os.Remove(byDigest(d.repoPath(name, "_manifests"), dg))
}

func (d *disk) putTag(name, tag string, dg digest.Digest) error {
	return d.write(filepath.Join(d.repoPath(name, "_tags"), tag), []byte(dg))
}

func (d *disk) removeTag(name, tag string) error {
	return os.Remove(filepath.Join(d.repoPath(name, "_tags"), tag))
}

// load fills the maps of s. Content that no repository has (a process was
// killed between the bytes and the link) is removed.
func (d *disk) load(s *store) error {
	root := filepath.Join(d.dir, "blobs")
	err := walkFiles(root, func(path string, rel []string) error {
		if len(rel) != 2 {
			return fmt.Errorf("unexpected file %s", path)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		dg, err := digestOf(rel, path)
		if err == nil {
			s.contents[dg] = &content{size: info.Size()}
		}
		return err
	})
	if err != nil {
		return err
	}
	root = filepath.Join(d.dir, "repositories")
	if err := walkFiles(root, func(path string, rel []string) error { return d.loadEntry(s, path, rel) }); err != nil {
		return err
	}
	for dg, c := range s.contents {
		if c.refs == 0 {
			delete(s.contents, dg)
			if err := os.Remove(d.blobPath(dg)); err != nil {
				return err
			}
		}
	}
	for _, r := range s.repos {
		r.sortReferrers()
	}
	return nil
}

// loadEntry reads one file below repositories/.
func (d *disk) loadEntry(s *store, path string, rel []string) error {
	for i, part := range rel {
		if !strings.HasPrefix(part, "_") {
			continue
		}
		r := s.makeRepo(strings.Join(rel[:i], "/"))
		rest := rel[i+1:]
		switch part {
		case "_tags":
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			r.tags[rest[0]] = digest.Digest(data)
			return digest.Digest(data).Validate()
		case "_blobs":
			dg, err := digestOf(rest, path)
			if err != nil {
				return err
			}
			if s.contents[dg] == nil {
				return fmt.Errorf("%s: the blob itself is missing", path)
			}
			s.contents[dg].refs++
			r.blobs[dg] = struct{}{}
			return nil
		case "_manifests":
			return d.loadManifest(s, r, path, rest)
		}
		break
	}
	return fmt.Errorf("unexpected file %s", path)
}

func (d *disk) loadManifest(s *store, r *repository, path string, rest []string) error {
	dg, err := digestOf(rest, path)
	if err != nil {
		return err
	}
	data, err := readBounded(path, limits.ManifestBytes*4)
	if err != nil {
		return err
	}
	head, body, ok := bytes.Cut(data, []byte("\n"))
	var line manifestLine
	if !ok || json.Unmarshal(head, &line) != nil || dg.Algorithm().FromBytes(body) != dg {
		return fmt.Errorf("%s is damaged", path)
	}
	f, err := parseFields(body)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.add(&manifest{mediaType: line.MediaType, digest: dg, body: body, seq: line.Seq, fields: f})
	s.seq = max(s.seq, line.Seq)
	return nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, err
}

func digestOf(rel []string, path string) (digest.Digest, error) {
	if len(rel) != 2 {
		return "", fmt.Errorf("unexpected file %s", path)
	}
	dg := digest.NewDigestFromEncoded(digest.Algorithm(rel[0]), rel[1])
	if err := dg.Validate(); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return dg, nil
}

// walkFiles calls fn for each file below root with its path relative to root,
// split.
func walkFiles(root string, fn func(path string, rel []string) error) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return fn(path, strings.Split(filepath.ToSlash(rel), "/"))
	})
}
