// Command shuin signs, verifies, lists and inspects Notary Project signatures
// of container images. It is a superset of the notation CLI: the same
// commands, flags, messages, files and directories; invoked under the name
// notation it says that name and answers as notation does.
//
// It joins: flags, environment and files become doors and options here, and
// what the rooms decide becomes text, JSON and an exit status. It decides
// nothing itself: whether a signature is good is verify's to say.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(execute(newApp(programName(os.Args[0])))) }

// execute runs the process's command line.
func execute(a *app) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks, a second one kills
	defer stop()
	return run(ctx, a, os.Args[1:])
}

// programName is the name that messages say: "notation" when invoked under
// it, else "shuin".
func programName(argv0 string) string {
	base := filepath.Base(argv0)
	if ext := filepath.Ext(base); strings.EqualFold(ext, ".exe") {
		base = strings.TrimSuffix(base, ext)
	}
	if base == notationName {
		return notationName
	}
	return "shuin"
}

// newApp is the app of this process.
func newApp(name string) *app {
	a := &app{
		name:     name,
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		getenv:   os.Getenv,
		now:      time.Now,
		username: os.Getenv(envUsername),
		password: os.Getenv(envPassword),
	}
	// Plugins and credential helpers inherit the environment, not these.
	os.Unsetenv(envUsername)
	os.Unsetenv(envPassword)
	a.userConfig = a.notationSubdir(os.UserConfigDir)
	a.userCache = a.notationSubdir(os.UserCacheDir)
	return a
}

// notationSubdir is "notation" in a user directory. Where there is none (no
// HOME), notation takes ".notation" in the working directory, and so does its
// drop-in; shuin has none: whoever wrote what is checked out there would choose
// policy, trust stores and plugins.
func (a *app) notationSubdir(userDir func() (string, error)) string {
	dir, err := userDir()
	switch {
	case err != nil && a.asNotation():
		return "." + notationName
	case err != nil, !filepath.IsAbs(dir) && !a.asNotation():
		return ""
	}
	return filepath.Join(dir, notationName)
}

// run executes one command line and returns the exit status. A fault of ours
// is a failure too: Go's own status for a panic is 2, which here says that a
// signature could not be checked.
func run(ctx context.Context, a *app, args []string) (status int) {
	defer func() {
		if p := recover(); p != nil {
			a.debug().Error(string(debug.Stack()))
			fmt.Fprintf(a.stderr, "Error: internal error: %s\n", oneLine(fmt.Sprint(p)))
			status = exitFailed
		}
	}()
	root := newRootCmd(a)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(&printableWriter{w: a.stderr}) // errors quote registries, plugins and certificates
	return a.exit(root.ExecuteContext(ctx))
}
