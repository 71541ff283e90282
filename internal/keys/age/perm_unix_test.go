//go:build unix

package age

import (
	"os"
	"syscall"
	"testing"
)

func ownedByRoot(t *testing.T, path string) bool {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid == 0
}
