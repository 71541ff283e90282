//go:build unix

package age

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openFile does not wait for a writer where path is a named pipe.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// checkPrivate: nobody but the owner may use the file. Where root owns it and
// this process is another user's, its group may read it: so do container
// systems mount secrets.
func checkPrivate(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("its owner is unknown")
	}
	if stat.Uid == 0 && os.Geteuid() != 0 {
		mode &^= 0o040
	}
	if mode&0o077 != 0 {
		return fmt.Errorf("others may read or change it (mode %04o): chmod 600", info.Mode().Perm())
	}
	return nil
}
