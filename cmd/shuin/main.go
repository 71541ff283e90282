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
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, newApp(programName(os.Args[0])), os.Args[1:])
	stop()
	os.Exit(code)
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
	a.userConfig = notationSubdir(os.UserConfigDir)
	a.userCache = notationSubdir(os.UserCacheDir)
	return a
}

// notationSubdir is "notation" in a user directory, and ".notation" in the
// working directory where there is none (no HOME).
func notationSubdir(userDir func() (string, error)) string {
	dir, err := userDir()
	if err != nil {
		return "." + notationName
	}
	return filepath.Join(dir, notationName)
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, a *app, args []string) int {
	root := newRootCmd(a)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return a.exit(root.ExecuteContext(ctx))
}
