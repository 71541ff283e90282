// Command shuind is Shuin's server: the signer that speaks the AWS Signer API,
// with its own certificate authority, the gate that answers over HTTP whether
// images may run, or both.
//
// It joins: configuration and flags become doors and settings here, and a
// process that serves, keeps revocation lists fresh, and ends in order. It
// decides nothing about signatures: what is signed or refused is said in
// package signing, what may run in packages pipeline and gate.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

func main() {
	noCoreDumps() // keys are in this process's memory
	collectSeldom(os.LookupEnv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks, a second one kills
	code := run(ctx, newApp(), os.Args[1:])
	stop()
	os.Exit(code)
}

// collectSeldom sets up the garbage collector, unless Go's own variables do.
func collectSeldom(lookupEnv func(string) (string, bool)) {
	if _, set := lookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(limits.GCMemory)
	}
	if _, set := lookupEnv("GOGC"); !set {
		debug.SetGCPercent(limits.GCPercent)
	}
}

// newApp is the app of this process.
func newApp() *app {
	return &app{
		stdin:     os.Stdin,
		stdout:    os.Stdout,
		stderr:    os.Stderr,
		lookupEnv: os.LookupEnv,
		now:       time.Now,
		resolve:   net.DefaultResolver.LookupHost,
	}
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, a *app, args []string) (status int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(a.stderr, "Error: internal error: %s\n%s", oneLine(fmt.Sprint(p)), debug.Stack())
			status = exitFailed
		}
	}()
	root := newRootCmd(a)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(&printableWriter{w: a.stderr})
	return a.exit(root.ExecuteContext(ctx))
}
