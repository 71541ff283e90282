package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/verify"
)

// notationName is the name of the command line this one is a superset of.
const notationName = "notation"

// Environment variables of notation.
const (
	envUsername     = "NOTATION_USERNAME"
	envPassword     = "NOTATION_PASSWORD"
	envConfig       = "NOTATION_CONFIG"
	envCache        = "NOTATION_CACHE"
	envLibexec      = "NOTATION_LIBEXEC"
	envExperimental = "NOTATION_EXPERIMENTAL"
)

// app is the process as the commands see it: the name it was invoked under,
// its streams, environment and clock. One per process; used by one goroutine
// except for log and stderr, which are safe for many.
type app struct {
	name   string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	now    func() time.Time

	// username and password are the environment's; they were removed from it.
	username, password string
	// userConfig and userCache are notation's directories where no
	// environment variable of notation's says otherwise; empty where there are
	// none.
	userConfig, userCache string

	// log is where -d writes; nil without it.
	log *slog.Logger
	// notationDir, settingsRead and aws are made on first use.
	notationDir  *notationdir.Dir
	settingsRead *settings
	aws          *awsclient.Client

	// stores, in tests, goes around the trust stores; nil in the product.
	stores func(verify.Stores) verify.Stores
}

// asNotation reports whether the process was invoked as notation.
func (a *app) asNotation() bool { return a.name == notationName }

// warnf writes a warning line.
func (a *app) warnf(format string, args ...any) {
	fmt.Fprintln(a.stderr, printable(fmt.Sprintf("Warning: "+format, args...)))
}

// debug is the logger; it drops everything without -d.
func (a *app) debug() *slog.Logger {
	if a.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.log
}

// Exit statuses. Under the name notation there are only 0 and 1.
const (
	exitOK        = 0
	exitFailed    = 1 // verify: not verified; any command: it failed
	exitUndecided = 2 // verify: could not be checked
)

// exit is the exit status for a command's error, after a hint line where
// there is one. The error itself was printed by cobra.
func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	if a.asNotation() {
		return exitFailed // and no hint: notation's errors are compared byte for byte
	}
	if hint := shuin.HintOf(err); hint != "" {
		fmt.Fprintln(a.stderr, "Hint: "+oneLine(hint))
	}
	if v, ok := errors.AsType[*verdictError](err); ok && v.undecided {
		return exitUndecided
	}
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	return exitFailed
}

// statusError is a failure with an exit status of its own: that of a command
// that was run.
type statusError struct {
	err    error
	status int
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }
