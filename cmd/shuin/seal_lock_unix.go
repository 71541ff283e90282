//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockFile keeps other shuins from writing the file: it locks the file's
// directory, so that nothing is left behind. Where that cannot be, on some
// network file systems or in a directory that may be written and not read, it
// does without.
func lockFile(ctx context.Context, name string) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return func() {}, nil
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return func() { dir.Close() }, nil // which unlocks
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			dir.Close()
			return nil, context.Cause(ctx)
		}
	}
}
