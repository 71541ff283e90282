//go:build !windows

package revocation

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A pipe that nobody writes to, also one put in a file's place after somebody
// looked: opening it must not wait.
func TestAPipeInTheCacheIsRefusedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := readRegular(path, 100)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it was read")
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for a writer")
	}
}
