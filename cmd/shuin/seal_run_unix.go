//go:build unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"github.com/shuin/shuin/internal/limits"
)

// relayed are the signals that are handed on to a command. What shuin was
// started with ignored (SIGHUP under nohup), it and the command go on to ignore.
func relayed() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
	return slices.DeleteFunc(all, func(s os.Signal) bool { return s == syscall.SIGHUP && signal.Ignored(s) })
}

// sentByTerminal reports whether s was a key at the terminal: then the command,
// in the same foreground process group, got it too, and would take a second one
// for more than it is. The command stays in shuin's process group so that it
// can use the terminal, is stopped and continued with it, and dies with it
// where a CI system kills the group.
func sentByTerminal(s os.Signal) bool {
	return (s == syscall.SIGINT || s == syscall.SIGQUIT) && inForeground()
}

// inForeground reports whether this process is in the foreground process group
// of its terminal.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, tty.Fd(), syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno == 0 && int(group) == syscall.Getpgrp()
}

// settleSignals waits until all signals that were sent to this process before
// are with those who take them: a command's end may be known before the signal
// that came first is. It sends itself one that stands behind them, for pending
// signals are delivered lowest number first.
func settleSignals() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	defer signal.Stop(c)
	if syscall.Kill(syscall.Getpid(), syscall.SIGWINCH) != nil {
		return
	}
	t := time.NewTimer(limits.SealSettle)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}

func signalNumber(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}

// endOf is the exit status of a command that ended, as a shell tells it, and
// the same in words.
func endOf(state *os.ProcessState) (status int, words string) {
	if state == nil {
		return exitCannotRun, "did not end as processes do"
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return exitSignal + int(ws.Signal()), fmt.Sprintf("was killed by signal %d (%s)", int(ws.Signal()), ws.Signal())
	}
	return state.ExitCode(), fmt.Sprintf("exited with status %d", state.ExitCode())
}
