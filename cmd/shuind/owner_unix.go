//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What is needed of a file or directory (faccessat(2)).
const (
	mayRead  uint32 = 4
	mayWrite uint32 = 2
	mayEnter uint32 = 1
)

// denied says whether this process may not use path so, as the user that it
// acts as. What is not there yet is not denied.
func denied(path string, want uint32) bool {
	return errors.Is(unix.Faccessat(unix.AT_FDCWD, path, want, unix.AT_EACCESS), unix.EACCES)
}

// owner of a file; known is false where it cannot be looked at.
func owner(path string) (uid int, mode fs.FileMode, known bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, false
	}
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, 0, false
	}
	return int(stat.Uid), info.Mode().Perm(), true
}

// systemUser is a user as an operator knows it.
func systemUser(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("%s (%d)", u.Username, uid)
	}
	return strconv.Itoa(uid)
}

// foreignData says whose a directory is if this process is root and it is
// somebody else's: what root makes there its owner cannot use.
func foreignData(dir string) (name string, foreign bool) {
	uid, _, known := owner(dir)
	return systemUser(uid), known && uid != 0 && os.Geteuid() == 0
}

// private says whether a file is this process's user's, and nobody else may
// use it.
func private(info fs.FileInfo) bool {
	stat, known := info.Sys().(*syscall.Stat_t)
	return known && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}
