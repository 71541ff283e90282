//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload has SIGHUP sent to ch.
func notifyReload(ch chan<- os.Signal) { signal.Notify(ch, syscall.SIGHUP) }

// noCoreDumps keeps the memory of this process out of files. Where that cannot
// be set, the system's own setting holds.
func noCoreDumps() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
