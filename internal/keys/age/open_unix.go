//go:build unix

package age

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// openFile does not wait for a writer where path is a named pipe.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// checkPrivate: nobody but the owner may use the file, and that is root or
// this process's user; nobody else may put another one in its place. Where
// root owns it and this process is another user's, its group may read it: so
// do container systems mount secrets.
func checkPrivate(path string, info fs.FileInfo) error {
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("its owner is unknown")
	}
	euid := os.Geteuid()
	if !trusted(int64(stat.Uid), int64(euid)) {
		return fmt.Errorf("it belongs to user %d, neither root nor the user of this process (%d): chown it", stat.Uid, euid)
	}
	if stat.Uid == 0 && euid != 0 {
		mode &^= 0o040
	}
	if mode&0o077 != 0 {
		return fmt.Errorf("others may read or change it (mode %04o): chmod 600", info.Mode().Perm())
	}
	return checkPlaces(path)
}

func trusted(owner, user int64) bool { return owner == 0 || owner == user }

// checkPlaces looks at the directory of path and, where path is a symlink, at
// that of the file. In a sticky one (Kubernetes mounts secrets so) only an
// owner replaces a file.
func checkPlaces(path string) error {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(resolved)} {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("everybody can write to its directory %s, and so replace it: chmod o-w %s", dir, dir)
		}
	}
	return nil
}
