//go:build unix

package age

import (
	"os"
	"path/filepath"
	"strings"
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

func TestAnIdentityOfAnotherUserIsRefused(t *testing.T) {
	for _, c := range []struct {
		owner, user int64
		want        bool
	}{{0, 0, true}, {0, 1000, true}, {1000, 1000, true}, {1000, 0, false}, {1000, 1001, false}} {
		if got := trusted(c.owner, c.user); got != c.want {
			t.Errorf("a file of user %d, read by %d: %v", c.owner, c.user, got)
		}
	}
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	_, path := newIdentity(t)
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(path); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("got %v", err)
	}
}

func TestAnIdentityThatEverybodyCanReplaceIsRefused(t *testing.T) {
	_, path := newIdentity(t)
	dir, elsewhere := filepath.Dir(path), t.TempDir()
	link := filepath.Join(elsewhere, "identity")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, open, changed string
		mode                os.FileMode
		want                string
	}{
		{"its directory", path, dir, 0o777, "everybody can write to its directory " + dir},
		{"the directory of the file that a link names", link, dir, 0o777, "everybody can write to its directory " + dir},
		{"the link's directory", link, elsewhere, 0o777, "everybody can write to its directory " + elsewhere},
		{"a sticky directory, where only the owner can", path, dir, 0o777 | os.ModeSticky, ""},
		{"a directory of the owner's", link, dir, 0o755, ""},
	} {
		if err := os.Chmod(c.changed, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadIdentity(c.open)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := os.Chmod(c.changed, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
