package notationdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/shuin/shuin"
)

// Permissions of what is created.
const (
	dirPerm  fs.FileMode = 0o700
	filePerm fs.FileMode = 0o600
	certPerm fs.FileMode = 0o644 // certificates of test keys
)

// invalid is an error about a file or argument that cannot be used.
func invalid(err error, hint string) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Err: err, Hint: hint}
}

func invalidf(format string, args ...any) error { return invalid(fmt.Errorf(format, args...), "") }

// errIrregular is a directory, symlink, pipe or device where a file is wanted.
type errIrregular struct{ path string }

func (e errIrregular) Error() string {
	return fmt.Sprintf("%q is not a regular file (symlinks are not supported)", e.path)
}

// errUnseen is a file that could not even be looked at; it holds
// fs.ErrNotExist where there is none.
type errUnseen struct{ error }

func (e errUnseen) Unwrap() error { return e.error }

// tooLarge is a file over its bound.
func tooLarge(path string, max int64) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s is larger than %d bytes", path, max)}
}

// readFile reads a regular file of at most max bytes. It follows no symlink,
// not even one put in place after the file was looked at.
func readFile(path string, max int64) ([]byte, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, errUnseen{err}
	}
	if !before.Mode().IsRegular() {
		return nil, errIrregular{path}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, after) {
		return nil, fmt.Errorf("%s was replaced while it was opened", path)
	}
	return readAll(f, path, max)
}

func readAll(r io.Reader, path string, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > max {
		return nil, tooLarge(path, max)
	}
	return data, nil
}

// writeFile puts data in place of path, whole or not at all, and makes its
// directory. Something irregular at path is not replaced.
func writeFile(path string, data []byte, perm fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), dirPerm); err != nil {
		return err
	}
	switch info, err := os.Lstat(path); {
	case err == nil && !info.Mode().IsRegular():
		return errIrregular{path}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return replaceFile(path, data, perm)
}

// createFile makes a new file, whole or not at all, and its directory. An
// existing path of whatever kind is an error that holds fs.ErrExist. Until it
// is whole it lies in the configuration directory, since every file in a trust
// store is trusted, a half-written or left-over one too; beside its place only
// where mounts leave no other.
func (d Dir) createFile(path string, data []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "open", Path: path, Err: fs.ErrExist}
	}
	d.sweep(time.Now())
	return createThroughOneOf([]string{d.config, filepath.Dir(dir), dir}, path, data, perm)
}

// createThroughOneOf takes the first directory that can be used: any may be a
// mount of its own, or read-only. The last is the file's own.
func createThroughOneOf(tmps []string, path string, data []byte, perm fs.FileMode) (err error) {
	for _, tmp := range tmps {
		err = createThrough(tmp, path, data, perm)
		if !errors.Is(err, errElsewhere) && !errors.Is(err, fs.ErrPermission) && !readOnly(err) {
			return err
		}
	}
	return err
}

// errElsewhere is a temporary file that cannot be moved to its place.
var errElsewhere = errors.New("on another file system")

// createThrough writes the file in the directory tmp, and moves it to path.
func createThrough(tmp, path string, data []byte, perm fs.FileMode) error {
	f, err := os.CreateTemp(tmp, tempPrefix+"*"+tempSuffix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := writeAndSync(f, data, perm); err != nil {
		return err
	}
	// A hard link never replaces, so two who create at once do not overwrite
	// each other. Where links do not exist, the caller's look must do.
	err = os.Link(f.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return &fs.PathError{Op: "open", Path: path, Err: fs.ErrExist}
	}
	if err != nil {
		err = os.Rename(f.Name(), path)
	}
	if crossesDevices(err) {
		return fmt.Errorf("%w: %w", errElsewhere, err)
	}
	return err
}

// Names of temporary files.
const (
	tempPrefix = ".shuin-"
	tempSuffix = ".tmp"
)

// staleTemp is when a temporary file must be one that a killed process left.
const staleTemp = time.Hour

// sweep removes what killed processes left; it may hold a test key.
func (d Dir) sweep(now time.Time) {
	entries, _ := os.ReadDir(d.config)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) || !strings.HasSuffix(e.Name(), tempSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > staleTemp {
			_ = os.Remove(filepath.Join(d.config, e.Name()))
		}
	}
}

func writeAndSync(f *os.File, data []byte, perm fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// lockRetry is how often a held lock is tried again.
const lockRetry = 5 * time.Millisecond

// locked runs fn while holding the lock beside path, which keeps apart every
// process that goes through this package. It waits until ctx ends.
func locked(ctx context.Context, path string, fn func() error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), dirPerm); err != nil {
		return err
	}
	l := flock.New(path+".lock", flock.SetPermissions(filePerm))
	ok, err := l.TryLockContext(ctx, lockRetry)
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		return fmt.Errorf("lock %s: held by another process", path)
	}
	defer func() { err = errors.Join(err, l.Unlock()) }()
	return fn()
}
