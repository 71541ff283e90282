package notationdir

import (
	"io/fs"
	"os"
	"path/filepath"
)

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
