package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/kube"
)

// app is the process as the commands see it: its streams, environment and
// clock. One per process.
type app struct {
	stdin     io.Reader
	stdout    io.Writer
	stderr    io.Writer
	lookupEnv func(string) (string, bool)
	now       func() time.Time
	// resolve looks a name up, for the check of the server's own names.
	resolve func(ctx context.Context, host string) ([]string, error)
	// kube, in tests, is a cluster that there is not; nil in the product.
	kube func(kube.Options) (*kube.API, error)
}

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
)

// exit is the exit status for a command's error, after a hint line where
// there is one. The error itself was printed by cobra.
func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	hint := shuin.HintOf(err)
	if hint == "" {
		hint = deniedHint(err)
	}
	if hint != "" {
		fmt.Fprintln(a.stderr, "Hint: "+oneLine(hint))
	}
	return exitFailed
}

// printf writes a line of a command's result.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format+"\n", args...)
	return err
}

// warnf writes a warning line.
func (a *app) warnf(format string, args ...any) {
	fmt.Fprintln(a.stderr, printable(fmt.Sprintf("Warning: "+format, args...)))
}

// invalid is an error about a flag, file or argument that cannot be used.
func invalid(hint, format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Err: fmt.Errorf(format, args...), Hint: hint}
}
