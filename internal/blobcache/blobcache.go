// Package blobcache keeps signature manifests and envelopes on disk by their
// digest. What it gives back is checked against that digest; a damaged or
// foreign file is as good as none. It is bounded and may be deleted at any
// time. It never holds image layers, and trusts nothing it reads.
//
// It says nothing about who may see what it holds: whoever asks has to have
// been told the digest by a registry, with credentials of its own
// (internal/registry asks only for what a listing of this very request named).
package blobcache

import (
	"crypto/rand"
	_ "crypto/sha256" // digests of either algorithm can be checked
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
)

// Options are what a Cache is made of.
type Options struct {
	// Bytes and Files bound what is kept, together for all processes that use
	// the directory but for what each writes between two looks at it (a
	// sixteenth). Zero: limits.BlobCacheBytes and limits.BlobCacheFiles.
	Bytes int64
	Files int
	// Now is the clock: what was used longest ago goes first. Required.
	Now func() time.Time
	// Warn is told once why nothing can be kept. Nil: dropped.
	Warn func(err error)
}

// Cache is a directory of blobs. It may be used by many goroutines, and the
// directory by many processes.
type Cache struct {
	o    Options
	root *os.Root

	mu     sync.Mutex
	looked bool  // the directory was looked at
	bytes  int64 // in it then, and written by us since
	files  int
	left   int64 // bytes we may write before looking again
	turns  int   // files, likewise
	warned bool
}

// Open opens the directory, which is made if it is not there, readable by its
// owner alone. Links inside it are not followed.
func Open(dir string, o Options) (*Cache, error) {
	if o.Bytes <= 0 {
		o.Bytes = limits.BlobCacheBytes
	}
	if o.Files <= 0 {
		o.Files = limits.BlobCacheFiles
	}
	if o.Now == nil {
		return nil, errors.New("blob cache: no clock")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("blob cache: %w", err)
	}
	return &Cache{o: o, root: root}, nil
}

// Close releases the directory. After it nothing is found or kept.
func (c *Cache) Close() error { return c.root.Close() }

// unfinished begins the name of a file that is being written.
const unfinished = "new-"

// nameOf is the file of a digest, a name on every system; false for what is
// not kept.
func nameOf(d digest.Digest, size int64) (string, bool) {
	if d.Validate() != nil || size < 0 || size > limits.BlobCacheBlob {
		return "", false
	}
	return d.Algorithm().String() + "-" + d.Encoded(), true
}

// ours reports whether a file of that name is one of this package.
func ours(name string) bool {
	alg, hex, ok := strings.Cut(name, "-")
	return ok && digest.NewDigestFromEncoded(digest.Algorithm(alg), hex).Validate() == nil
}

// Get is the content of that digest and size, if it is there and whole. A file
// that is damaged is removed.
func (c *Cache) Get(d digest.Digest, size int64) ([]byte, bool) {
	name, ok := nameOf(d, size)
	if !ok {
		return nil, false
	}
	info, err := c.root.Lstat(name)
	if err != nil {
		return nil, false
	}
	if !info.Mode().IsRegular() || info.Size() != size {
		_ = c.root.Remove(name) // of a directory with content it does nothing
		return nil, false
	}
	b, err := c.read(name, size)
	if err != nil {
		return nil, false
	}
	if int64(len(b)) != size || d.Algorithm().FromBytes(b) != d {
		_ = c.root.Remove(name)
		return nil, false
	}
	if now := c.o.Now(); now.Sub(info.ModTime()) > limits.BlobCacheTouched {
		_ = c.root.Chtimes(name, now, now) // its use; one in a while is enough
	}
	return b, true
}

func (c *Cache) read(name string, size int64) ([]byte, error) {
	f, err := c.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, size+1))
}

// Put keeps content whose digest is d, or, where that cannot be done, does not.
func (c *Cache) Put(d digest.Digest, content []byte) {
	name, ok := nameOf(d, int64(len(content)))
	if !ok || d.Algorithm().FromBytes(content) != d {
		return
	}
	if info, err := c.root.Lstat(name); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(content)) {
		return
	}
	if err := c.makeRoom(int64(len(content))); err != nil {
		c.warn(err)
		return
	}
	if err := c.write(name, content); err != nil {
		c.warn(err)
	}
}

// write makes the file in one step. It is not flushed to the disk: a file that
// a crash cut short does not have its digest, and is as good as none.
func (c *Cache) write(name string, content []byte) error {
	temp := unfinished + rand.Text()
	f, err := c.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = c.root.Rename(temp, name)
	}
	if err != nil {
		_ = c.root.Remove(temp)
	}
	return err
}

func (c *Cache) warn(err error) {
	c.mu.Lock()
	again := c.warned
	c.warned = true
	c.mu.Unlock()
	if !again && c.o.Warn != nil && !errors.Is(err, os.ErrClosed) {
		c.o.Warn(fmt.Errorf("keep signatures on disk: %w", err))
	}
}

// makeRoom counts a file that will be written, and removes others where there
// are too many. The directory is looked at before the first one, and again
// after a sixteenth of the bound: other processes write too.
func (c *Cache) makeRoom(size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.looked || c.left < size || c.turns < 1 || c.bytes+size > c.o.Bytes || c.files+1 > c.o.Files {
		if err := c.tidy(size); err != nil {
			return err
		}
	}
	c.bytes, c.files = c.bytes+size, c.files+1
	c.left, c.turns = c.left-size, c.turns-1
	return nil
}

// kept is a file in the directory.
type kept struct {
	name string
	size int64
	used time.Time
}

// tidy looks at the directory, removes what was never finished, and, where
// there is no room for size bytes more, what was used longest ago, down to
// seven eighths of the bounds: one look then serves for long.
func (c *Cache) tidy(size int64) error {
	files, err := c.list()
	if err != nil {
		return err
	}
	c.bytes, c.files = 0, len(files)
	for _, f := range files {
		c.bytes += f.size
	}
	if c.bytes+size > c.o.Bytes || c.files+1 > c.o.Files {
		slices.SortFunc(files, func(a, b kept) int { return a.used.Compare(b.used) })
		for _, f := range files {
			if c.bytes+size <= c.o.Bytes/8*7 && c.files+1 <= max(c.o.Files*7/8, 1) {
				break
			}
			if err := c.root.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				continue // in use, on a system where that is an obstacle
			}
			c.bytes, c.files = c.bytes-f.size, c.files-1
		}
	}
	c.looked, c.left, c.turns = true, max(c.o.Bytes/16, size), max(c.o.Files/16, 1)
	if c.bytes+size > c.o.Bytes || c.files+1 > c.o.Files {
		c.looked = false
		return fmt.Errorf("no room for %d bytes", size)
	}
	return nil
}

// list is what the directory holds of ours. Other files are left alone.
func (c *Cache) list() ([]kept, error) {
	dir, err := c.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var out []kept
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			temp := strings.HasPrefix(e.Name(), unfinished)
			if !temp && !ours(e.Name()) {
				continue
			}
			info, err := e.Info()
			if err != nil || info.IsDir() {
				continue
			}
			if temp && c.o.Now().Sub(info.ModTime()) > limits.BlobCacheOrphan {
				_ = c.root.Remove(e.Name())
				continue
			}
			out = append(out, kept{e.Name(), info.Size(), info.ModTime()})
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
