//go:build !unix

package main

import "os"

// notifyReload: there is no SIGHUP here; changed files are noticed anyway.
func notifyReload(chan<- os.Signal) {}

// noCoreDumps: this system writes none of its own accord.
func noCoreDumps() {}
