package main

import (
	"context"
	"errors"
	"syscall"
	"time"
)

const (
	errorSharingViolation syscall.Errno = 32
	errorAccessDenied     syscall.Errno = 5 // while the lock file is being removed
	fileFlagDeleteOnClose               = 0x04000000
)

// lockFile keeps other shuins from writing the file: by a file beside it that
// nobody else can open, and that is gone when this process is.
func lockFile(ctx context.Context, name string) (unlock func(), err error) {
	path, err := syscall.UTF16PtrFromString(name + ".lock")
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		h, err := syscall.CreateFile(path, syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, fileFlagDeleteOnClose, 0)
		if err == nil {
			return func() { _ = syscall.CloseHandle(h) }, nil
		}
		if !errors.Is(err, errorSharingViolation) && !errors.Is(err, errorAccessDenied) {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
