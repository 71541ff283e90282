package plugin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const levelWarn = slog.LevelWarn

// Names of directories that are no plugins: what is being installed or removed.
const (
	tempPrefix = ".shuin-"
	tempSuffix = ".tmp"
	lockFile   = ".shuin.lock"
)

// lockRetry is how often a held lock is tried again.
const lockRetry = 20 * time.Millisecond

func temporary(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

func temporaryName() (string, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	return tempPrefix + hex.EncodeToString(random[:]) + tempSuffix, nil
}

// makeDir makes Dir where it is missing. made are the directories that were
// made, the innermost first.
func (h *Host) makeDir() (made []string, err error) {
	if h.Dir == "" {
		return nil, errors.New("there is no plugin directory")
	}
	for dir := filepath.Clean(h.Dir); ; dir = filepath.Dir(dir) {
		_, err := os.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return nil, err
		}
		made = append(made, dir)
	}
	above := h.DirMode
	if above == 0 {
		above = 0o700
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(h.Dir)), above); err != nil {
		return nil, err
	}
	return made, os.MkdirAll(h.Dir, 0o755)
}

// lock waits for whoever installs or removes a plugin, until ctx ends, and
// removes what killed processes left. The lock is a file in Dir, which goes with
// it, and with that the directories that were made for it, if they are empty.
func (h *Host) lock(ctx context.Context) (unlock func() error, err error) {
	path := filepath.Join(h.Dir, lockFile)
	for {
		made, err := h.makeDir()
		if err != nil {
			return nil, err
		}
		l := flock.New(path, flock.SetPermissions(0o600))
		ok, err := l.TryLockContext(ctx, lockRetry)
		if errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			continue // somebody else made Dir, and took it away again
		}
		if err == nil && !ok {
			err = errors.New("held by another process")
		}
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", h.Dir, err)
		}
		if same(l, path) {
			h.sweep()
			return func() error {
				_ = os.Remove(path) // or, on Windows, after the next line by whoever is next
				err := l.Unlock()
				for _, dir := range made {
					_ = os.Remove(dir)
				}
				return err
			}, nil
		}
		if err := l.Unlock(); err != nil {
			return nil, err
		}
	}
}

// same reports whether the file that is locked is the one at path: whoever had
// the lock before removed it.
func same(l *flock.Flock, path string) bool {
	held, err := l.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(held, there)
}

// sweep removes what killed processes left. Whoever calls it holds the lock.
func (h *Host) sweep() {
	entries, _ := os.ReadDir(h.Dir)
	for _, e := range entries {
		if temporary(e.Name()) {
			_ = os.RemoveAll(filepath.Join(h.Dir, e.Name()))
		}
	}
}

// stage makes the directory that is to be the plugin's, on the file system
// where it will be.
func (h *Host) stage() (string, error) {
	name, err := temporaryName()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(h.Dir, name)
	return dir, os.Mkdir(dir, 0o755)
}

// place puts the directory stage in the place of target, which is replaced at
// one stroke where the system can do that. What was at target is then at stage.
func place(stage, target string) error {
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return settle(os.Rename(stage, target), target)
	}
	err := exchange(stage, target)
	if errors.Is(err, errors.ErrUnsupported) {
		err = displace(stage, target)
	}
	return settle(err, target)
}

// displace is place in two steps: for a moment nothing is at target.
func displace(stage, target string) error {
	old := strings.TrimSuffix(stage, tempSuffix) + ".old" + tempSuffix
	if err := os.Rename(target, old); err != nil {
		return err
	}
	if err := os.Rename(stage, target); err != nil {
		return errors.Join(err, os.Rename(old, target))
	}
	_ = os.RemoveAll(old) // or the next one does
	return nil
}

// settle makes a rename last; a directory that cannot be synced is left to the
// system.
func settle(err error, target string) error {
	if err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(target)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}
