package notationdir

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// storeCache holds the stores loaded so far.
type storeCache struct {
	mu     sync.Mutex
	loaded map[trust.StoreName]*loadedStore
}

// loadedStore is a store and the state of the directory it was read from.
// Its mutex makes concurrent callers load once.
type loadedStore struct {
	mu    sync.Mutex
	store *trust.Store
	state dirState
}

func (c *storeCache) entry(name trust.StoreName) *loadedStore {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded == nil {
		c.loaded = make(map[trust.StoreName]*loadedStore)
	}
	e := c.loaded[name]
	if e == nil {
		e = &loadedStore{}
		c.loaded[name] = e
	}
	return e
}

// Store is the trust store called name (TS-01). It is parsed once and again
// when a name, size, modification time or inode in its directory changes. A
// store that is missing, is a symlink or holds one (TS-02), or holds a file
// that is no certificate fails as a whole; sub-directories are ignored with a
// warning (TS-03). The AWS Signer stores exist without a directory. The code
// of every error is shuin.CodeInvalidInput or shuin.CodeLimit. The context is
// not used: a disk is read, nothing is waited for, and a caller out of time
// must not take that for a fault of the store.
func (d Dir) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	if err := checkStoreName(name); err != nil {
		return nil, err
	}
	e := d.stores.entry(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	for try := 1; ; try++ {
		s, err := d.storeNow(name, e)
		if !errors.Is(err, errVanished) || try == storeTries {
			return s, err
		}
	}
}

// errVanished is a file that was deleted while its store was read. Then all of
// the store is read again: what is left out must be gone, not just missed.
var errVanished = errors.New("changed while it was read")

// storeTries is how often a store is read that changes meanwhile.
const storeTries = 5

// storeNow is the store as it is now; the caller holds e's lock.
func (d Dir) storeNow(name trust.StoreName, e *loadedStore) (*trust.Store, error) {
	start := time.Now()
	state, err := readDirState(d.StorePath(name))
	if errors.Is(err, fs.ErrNotExist) {
		e.store = nil
		if s, ok := trust.BuiltIn(name); ok {
			return s, nil
		}
		return nil, invalid(fmt.Errorf("the trust store %q of type %q does not exist: %w", name.Name, name.Type, err),
			fmt.Sprintf("add its certificates with: cert add --type %s --store %s FILE", name.Type, name.Name))
	}
	if err != nil {
		return nil, storeError(name, d.StorePath(name), err)
	}
	if e.store != nil && e.state.same(state) {
		return e.store, nil
	}
	e.store = nil
	s, err := d.loadStore(name, state)
	if err != nil {
		return nil, err
	}
	if state.settledAt(start) {
		e.store, e.state = s, state
	}
	return s, nil
}

// storeError says why a store's directory cannot be used.
func storeError(name trust.StoreName, path string, err error) error {
	if errors.Is(err, errNotDirectory) { // TS-02
		return invalidf("the trust store %s of type %s with path %s is not a regular directory (symlinks are not supported)", name.Name, name.Type, path)
	}
	if shuin.CodeOf(err) == shuin.CodeLimit {
		return err
	}
	return invalidf("failed to access the trust store %q of type %q: %w", name.Name, name.Type, err)
}

// loadStore reads and checks every file of a store.
func (d Dir) loadStore(name trust.StoreName, state dirState) (*trust.Store, error) {
	path := d.StorePath(name)
	var certs []*x509.Certificate
	for _, info := range state.files {
		if info.IsDir() {
			d.warn(fmt.Sprintf("sub-directory %s of trust store %s of type %s is ignored", info.Name(), name.Name, name.Type))
			continue
		}
		if !info.Mode().IsRegular() { // TS-02
			return nil, invalidf("trusted certificate %s in trust store %s of type %s is not a regular file (directories or symlinks are not supported)", info.Name(), name.Name, name.Type)
		}
		found, err := readCertificates(filepath.Join(path, info.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %v", errVanished, err)
		}
		if err != nil {
			return nil, invalidf("failed to read the trusted certificate %s in trust store %s of type %s: %w", info.Name(), name.Name, name.Type, err)
		}
		for _, c := range found {
			if err := trust.CheckCertificate(name.Type, c); err != nil {
				return nil, invalidf("failed to validate the trusted certificate %s in trust store %s of type %s: %w", info.Name(), name.Name, name.Type, err)
			}
		}
		certs = append(certs, found...)
	}
	s, err := trust.NewStore(name, certs, nil)
	if err != nil {
		return nil, invalid(err, "")
	}
	return s, nil
}

// readCertificates reads a PEM or DER file of one or more certificates.
func readCertificates(path string) ([]*x509.Certificate, error) {
	data, err := readFile(path, limits.TrustStoreFile)
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs, nil
}

// parseCertificates reads PEM or DER with at least one certificate.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	block, rest := pem.Decode(data)
	if block == nil {
		var err error
		if certs, err = x509.ParseCertificates(data); err != nil {
			return nil, err
		}
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			return nil, fmt.Errorf("holds a PEM block of type %q, not only certificates", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no valid certificate found in the file")
	}
	return certs, nil
}

// errNotDirectory is a symlink or anything else where a store's directory is wanted.
var errNotDirectory = errors.New("not a regular directory")

// dirState is what tells whether a directory has changed.
type dirState struct {
	dir   fs.FileInfo
	files []fs.FileInfo // by name
}

// readDirState looks at a directory and its entries, following no symlink.
func readDirState(path string) (dirState, error) {
	dir, err := os.Lstat(path)
	if err != nil {
		return dirState{}, err
	}
	if !dir.IsDir() {
		return dirState{}, errNotDirectory
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return dirState{}, err
	}
	if len(entries) > limits.TrustStoreFiles {
		return dirState{}, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("trust store %s holds more than %d files", path, limits.TrustStoreFiles)}
	}
	s := dirState{dir: dir, files: make([]fs.FileInfo, 0, len(entries))}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return dirState{}, fmt.Errorf("%s %w: %v", path, errVanished, err)
		}
		s.files = append(s.files, info)
	}
	return s, nil
}

// same reports whether nothing that s can see has changed.
func (s dirState) same(o dirState) bool {
	if len(s.files) != len(o.files) || !sameInfo(s.dir, o.dir) {
		return false
	}
	for i := range s.files {
		if !sameInfo(s.files[i], o.files[i]) {
			return false
		}
	}
	return true
}

func sameInfo(a, b fs.FileInfo) bool {
	return a.Name() == b.Name() && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// coarsestTime is the coarsest modification time of a file system in use (FAT).
const coarsestTime = 2 * time.Second

// settledAt reports whether any later change must show: a file written again
// within the same tick of the file system's clock would look the same.
func (s dirState) settledAt(now time.Time) bool {
	if now.Sub(s.dir.ModTime()) < coarsestTime {
		return false
	}
	for _, f := range s.files {
		if now.Sub(f.ModTime()) < coarsestTime {
			return false
		}
	}
	return true
}
