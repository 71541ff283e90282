package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shuin/shuin"
)

// Permissions of what is made.
const (
	dirPerm    fs.FileMode = 0o700
	secretPerm fs.FileMode = 0o600
	publicPerm fs.FileMode = 0o644 // certificates and CRLs
)

// readFile reads at most max bytes; name is the limit's.
func readFile(path string, max int64, name string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s is larger than %d bytes (limit %s)", path, max, name)}
	}
	return data, nil
}

// createFile makes a new file, whole and durable or not at all. A path that
// exists is an error that holds fs.ErrExist: nothing is ever replaced.
func createFile(path string, data []byte, perm fs.FileMode) error {
	tmp, err := writeTemporary(path, data, perm)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	// A hard link never replaces; where there are none, the look must do.
	err = os.Link(tmp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, looked := os.Lstat(path); looked == nil {
			err = fs.ErrExist
		} else {
			err = os.Rename(tmp, path)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return errors.Join(err, syncDir(filepath.Dir(path)))
}

// replaceFile puts data in place of path, whole or not at all.
func replaceFile(path string, data []byte, perm fs.FileMode) error {
	tmp, err := writeTemporary(path, data, perm)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

// writeTemporary writes and syncs a file beside path and returns its name.
func writeTemporary(path string, data []byte, perm fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".shuind-*.tmp")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

// syncDir makes a new name durable; some systems cannot, and need not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	_ = d.Sync()
	return nil
}
