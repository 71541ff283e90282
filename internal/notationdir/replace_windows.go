package notationdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// errorNotSameDevice is ERROR_NOT_SAME_DEVICE.
const errorNotSameDevice syscall.Errno = 17

// errorWriteProtect is ERROR_WRITE_PROTECT.
const errorWriteProtect = syscall.Errno(19)

// readOnly reports whether a file system takes no files at all.
func readOnly(err error) bool { return errors.Is(err, errorWriteProtect) }

// crossesDevices reports whether a link or rename would have to copy.
func crossesDevices(err error) bool { return errors.Is(err, errorNotSameDevice) }

// replaceFile puts data in place of path by renaming a synced file over it.
func replaceFile(path string, data []byte, perm fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := writeAndSync(f, data, perm); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
