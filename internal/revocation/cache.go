package revocation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/renameio/v2/maybe"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// FileCache keeps CRLs in a directory as notation does (its "crl" cache
// directory), so that both share it: one file per distribution point, named by
// the hex SHA-256 of its address, with the JSON object
//
//	{"baseCRL": base64 DER, "deltaCRL": base64 DER or absent}
//
// Files are replaced in one step. What they hold is trusted no more than what
// a server sends: signature and times are checked at each use.
type FileCache struct {
	// Dir is made on the first write.
	Dir string
	// MaxBytes is what the directory may hold: a list that takes more than an
	// eighth of it is not written, and the files written longest ago go. Zero: no
	// bound, as notation has none.
	MaxBytes int64

	writing sync.Mutex
}

// errMiss: there is no file.
var errMiss = errors.New("not in the crl cache")

type cacheFile struct {
	BaseCRL  []byte `json:"baseCRL"`
	DeltaCRL []byte `json:"deltaCRL,omitempty"`
}

func (f *FileCache) path(address string) string {
	sum := sha256.Sum256([]byte(address))
	return filepath.Join(f.Dir, hex.EncodeToString(sum[:]))
}

// size is that of a file, 0 where it cannot be said.
func (f *FileCache) size(address string) int64 {
	info, err := os.Lstat(f.path(address))
	if err != nil {
		return 0
	}
	return info.Size()
}

func (f *FileCache) load(address string) (cacheFile, error) {
	data, err := readRegular(f.path(address), limits.CRLCacheFile)
	if errors.Is(err, fs.ErrNotExist) {
		return cacheFile{}, errMiss
	}
	if err != nil {
		return cacheFile{}, err
	}
	return readCacheFile(data)
}

// readRegular reads a whole regular file; links and anything that could block
// are refused, also where they are put there at this moment.
func readRegular(path string, maxBytes int64) ([]byte, error) {
	file, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", filepath.Base(path))
	}
	tooLarge := fmt.Errorf("%s is larger than %d bytes", filepath.Base(path), maxBytes)
	if info.Size() > maxBytes {
		return nil, tooLarge
	}
	var data bytes.Buffer
	data.Grow(int(info.Size()) + bytes.MinRead) // it need not grow
	if _, err := data.ReadFrom(io.LimitReader(file, maxBytes+1)); err != nil {
		return nil, err
	}
	if int64(data.Len()) > maxBytes {
		return nil, tooLarge
	}
	return data.Bytes(), nil
}

func readCacheFile(data []byte) (cacheFile, error) {
	var file cacheFile
	if err := json.Unmarshal(data, &file, json.RejectUnknownMembers(true)); err != nil {
		return cacheFile{}, fmt.Errorf("read crl cache file: %w", err)
	}
	return file, nil
}

// expired is when a kept list ended: it could not be used anyway.
type expired time.Time

func (e expired) Error() string { return "has expired at " + time.Time(e).String() }

// parseBundle parses the lists of a file, which have to be issuer's.
func parseBundle(file cacheFile, now time.Time, issuer *x509.Certificate) (*bundle, error) {
	b := &bundle{stored: true}
	var err error
	if b.base, err = verify.ReadCRL(file.BaseCRL, issuer); err != nil {
		if end, has := verify.CRLNextUpdate(file.BaseCRL); has && now.After(end) {
			return nil, expired(end) // whoever made it
		}
		return nil, fmt.Errorf("read crl cache file: base: %w", err)
	}
	if len(file.DeltaCRL) > 0 {
		if b.delta, err = verify.ReadCRL(file.DeltaCRL, issuer); err != nil {
			return nil, fmt.Errorf("read crl cache file: delta: %w", err)
		}
	}
	return b, nil
}

func (b *bundle) marshal() ([]byte, error) {
	return json.Marshal(cacheFile{BaseCRL: b.base.Raw, DeltaCRL: raw(b.delta)})
}

func raw(l *verify.CRL) []byte {
	if l == nil {
		return nil
	}
	return l.Raw
}

func (f *FileCache) store(address string, b *bundle) error {
	data, err := b.marshal()
	if err != nil {
		return fmt.Errorf("write crl cache file: %w", err)
	}
	if len(data) > limits.CRLCacheFile {
		return fmt.Errorf("crl cache file would be larger than %d bytes", limits.CRLCacheFile)
	}
	if f.MaxBytes > 0 && onDisk(int64(len(data))) > f.MaxBytes/8 {
		return nil // it is fetched anew after a restart
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("make crl cache: %w", err)
	}
	if f.MaxBytes > 0 {
		if err := f.makeRoom(f.MaxBytes - onDisk(int64(len(data)))); err != nil {
			return fmt.Errorf("make room in the crl cache: %w", err)
		}
	}
	if err := maybe.WriteFile(f.path(address), data, 0o600); err != nil {
		return fmt.Errorf("write crl cache file: %w", err)
	}
	return nil
}

// onDisk is about what a file of n bytes takes, its name and place included.
func onDisk(n int64) int64 { return n + 4<<10 }

// makeRoom removes the files written longest ago until the others take most
// bytes.
func (f *FileCache) makeRoom(most int64) error {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files, total = append(files, info), total+onDisk(info.Size())
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, old := range files {
		if total <= most {
			break
		}
		if err := os.Remove(filepath.Join(f.Dir, old.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= onDisk(old.Size())
	}
	return nil
}
