package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// devPrefix begins the names of shuind dev's temporary directories. In each is
// devMark, in no other directory; it is locked from its making on for as long
// as the process lives, however it ends.
const (
	devPrefix = "shuind-dev-"
	devMark   = "temporary.lock"
)

// devTemporary makes a temporary directory; remove takes it away again.
func devTemporary() (dir string, remove func() error, err error) {
	for range 3 {
		dir, err = os.MkdirTemp("", devPrefix)
		if err != nil {
			return "", nil, err
		}
		mark := flock.New(filepath.Join(dir, devMark), flock.SetPermissions(secretPerm))
		taken, err := mark.TryLock()
		if err == nil && taken && inPlace(mark) {
			return dir, func() error { return errors.Join(mark.Close(), os.RemoveAll(dir)) }, nil
		}
		// Another one that starts may have swept it in the moment before it was locked.
		if cleared := errors.Join(gone(err), mark.Close(), os.RemoveAll(dir)); cleared != nil {
			return "", nil, cleared
		}
	}
	return "", nil, fmt.Errorf("make a temporary directory in %s: it is removed at once each time", os.TempDir())
}

// inPlace says whether the file that is locked is still the one at its path.
func inPlace(lock *flock.Flock) bool {
	held, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(lock.Path())
	return err == nil && os.SameFile(held, there)
}

// sweepDev removes what a shuind dev left that was killed: directories of this
// user alone that carry the mark, whose process is gone, and that nobody
// serves by --data.
func sweepDev(temp string) (removed []string, err error) {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), devPrefix) {
			continue
		}
		dir := filepath.Join(temp, e.Name())
		swept, failed := sweepOne(dir)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s, which a shuind dev left: %w", dir, failed))
		} else if swept {
			removed = append(removed, dir)
		}
	}
	return removed, err
}

func sweepOne(dir string) (swept bool, err error) {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || !private(info) {
		return false, gone(err)
	}
	mark := filepath.Join(dir, devMark)
	if info, err := os.Lstat(mark); err != nil || !info.Mode().IsRegular() {
		return false, nil
	}
	for _, path := range []string{mark, (&config{Data: dir}).lockPath()} {
		lock := flock.New(path, flock.SetFlag(os.O_RDONLY)) // none is made
		taken, err := lock.TryLock()
		if errors.Is(err, fs.ErrNotExist) && path != mark {
			continue // it was killed before it served
		}
		if err != nil || !taken {
			return false, gone(err)
		}
		defer lock.Close()
	}
	return true, os.RemoveAll(dir)
}
