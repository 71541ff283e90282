//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openDescriptor is what was handed to this process as file descriptor n. One
// that it opened itself (a lock, a connection, the runtime's own) has the
// close-on-exec flag, which nothing handed over an exec can have. In stdin's
// place stands an empty one afterwards, so that a command does not read the
// file again from its beginning.
func openDescriptor(n int) (*os.File, error) {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return nil, errors.New("it is not open")
	}
	own, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if n != 0 {
		err = unix.Close(n)
	} else {
		err = emptyStdin()
	}
	if err != nil {
		unix.Close(own)
		return nil, err
	}
	return os.NewFile(uintptr(own), "secret"), nil
}

func emptyStdin() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup2(int(null.Fd()), 0)
}
