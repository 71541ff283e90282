//go:build !windows

package revocation

import (
	"os"
	"syscall"
)

// openNoFollow opens a file for reading; not through a symbolic link, and
// without waiting for the other end of a pipe.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
