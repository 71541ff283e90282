//go:build unix

package sqlstore

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shuin/shuin/signing"
)

func TestTheFilesAreTheirOwnersAloneWhateverTheUmask(t *testing.T) {
	for _, mask := range []int{0, 0o077, 0o777} {
		dir := t.TempDir()
		was := syscall.Umask(mask)
		s, err := Open(context.Background(), inDir(dir))
		syscall.Umask(was)
		if err != nil {
			t.Fatalf("umask %o: %v", mask, err)
		}
		defer s.Close()
		keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 4 {
			t.Fatalf("umask %o: files %v, %v", mask, files, err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("umask %o: %s has mode %s", mask, f.Name(), info.Mode())
			}
		}
	}
}

func TestFilesThatOthersMayReadAreClosedToThem(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, inDir(dir))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path, 0o644); err != nil {
		t.Fatal(err)
	}
	openTest(t, inDir(dir))
	if info, err := os.Stat(s.path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestADirectoryThatEverybodyWritesToIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), inDir(dir))
	if err == nil || !strings.Contains(err.Error(), "everybody can write") {
		t.Errorf("error %v", err)
	}
}

func TestAPathOfAnyCharactersIsAPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?mode=ro#%41;日本")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, inDir(dir))
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
	if _, err := os.Stat(filepath.Join(dir, "shuin.db-wal")); err != nil {
		t.Error(err)
	}
}
