//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload has SIGHUP sent to ch.
func notifyReload(ch chan<- os.Signal) { signal.Notify(ch, syscall.SIGHUP) }
