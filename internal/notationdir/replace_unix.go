//go:build !windows

package notationdir

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// crossesDevices reports whether a link or rename would have to copy.
func crossesDevices(err error) bool { return errors.Is(err, syscall.EXDEV) }

// readOnly reports whether a file system takes no files at all.
func readOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// replaceFile puts data in place of path by renaming a synced file over it.
func replaceFile(path string, data []byte, perm fs.FileMode) error {
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(perm))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}
