package revocation

import (
	"fmt"
	"os"
	"path/filepath"
)

// openNoFollow opens a file for reading; not through a symbolic link. Pipes
// have their own place in the file system there.
func openNoFollow(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", filepath.Base(path))
	}
	return os.Open(path)
}
