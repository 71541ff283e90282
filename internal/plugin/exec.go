package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/notaryproject/notation-plugin-framework-go/plugin"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// grace is how long the output of a plugin that has ended is waited for:
// a process that it left behind may hold it.
const grace = time.Second

// Error is a plugin's own error (PLG-12), or what is known when it ended
// without one.
type Error struct {
	Plugin  string
	Command string
	// Code is the protocol's error code; empty when the plugin gave none.
	Code string
	// Message is the plugin's, or the beginning of what it wrote to stderr,
	// made printable.
	Message  string
	Metadata map[string]string
	// Err is how the process ended.
	Err error
}

func (e *Error) Error() string {
	return fmt.Sprintf("plugin %s failed to %s: %s", e.Plugin, e.Command, e.reason())
}

func (e *Error) reason() string {
	switch {
	case e.Message == "" && e.Code == "":
		return e.Err.Error()
	case e.Message == "":
		return e.Code + ": " + e.Err.Error()
	case e.Code == "":
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// Unwrap is how the process ended.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether the same request may succeed later.
func (e *Error) Retryable() bool {
	return e.Code == string(plugin.ErrorCodeTimeout) || e.Code == string(plugin.ErrorCodeThrottled)
}

// request is one request of the protocol.
type request interface{ Command() plugin.Command }

// call runs one command of the plugin: the command is its one argument, the
// request goes to stdin, the answer comes from stdout (PLG-04).
func (h *Host) call(ctx context.Context, p *Plugin, req request) ([]byte, error) {
	command := req.Command()
	in, err := json.Marshal(req)
	if err != nil {
		return nil, failed(fmt.Sprintf("write %s request for plugin %q", command, p.name), err)
	}
	h.trace("Plugin %s request: %s", command, in)
	out, stderr, err := h.run(ctx, p.path, command, in)
	if err == nil {
		h.trace("Plugin %s response: %s", command, out)
		return out, nil
	}
	h.traceAt(slog.LevelError, "plugin %s execution status: %v", command, err)
	var coded *shuin.Error
	if errors.As(err, &coded) {
		return nil, failed(fmt.Sprintf("run plugin %q %s", p.name, command), err)
	}
	own := &Error{Plugin: p.name, Command: string(command), Err: err}
	var exit *exec.ExitError
	own.read(stderr, errors.As(err, &exit) && exit.ExitCode() == 1)
	h.traceAt(slog.LevelError, "failed to execute the %s command for plugin %s: %s", command, p.name, own.reason())
	return nil, failed("", own)
}

func (h *Host) trace(format string, args ...any) { h.traceAt(slog.LevelDebug, format, args...) }

func (h *Host) traceAt(level slog.Level, format string, args ...any) {
	if h.Trace != nil {
		h.Trace(level, fmt.Sprintf(format, args...))
	}
}

// read reads what a plugin wrote to stderr. Only exit status 1 says that it may
// be an error of the protocol.
func (e *Error) read(stderr []byte, status1 bool) {
	var own plugin.Error
	if status1 && decode(stderr, &own) == nil && own.ErrCode != "" {
		e.Code, e.Message, e.Metadata = printable(string(own.ErrCode)), printable(own.Message), own.Metadata
		return
	}
	e.Message = printable(string(stderr[:min(len(stderr), 4096)]))
	if e.Message != "" {
		e.Message = e.Err.Error() + ": " + e.Message
	}
}

// printable takes out what could move a terminal's cursor or hide a line, and
// cuts at 2000 characters.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.TrimSpace(s))
	if runes := []rune(s); len(runes) > 2000 {
		s = string(runes[:2000]) + "…"
	}
	return s
}

// run runs path within bounds of time and output. When a bound is hit, or a
// process that the plugin left behind still holds its output, the whole group
// is ended. The error is a *shuin.Error when a bound was hit.
func (h *Host) run(ctx context.Context, path string, command plugin.Command, in []byte) (out, stderr []byte, err error) {
	limit := h.timeLimit(command)
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stdout, errout := &bounded{full: cancel}, &bounded{full: cancel}
	cmd := exec.CommandContext(timed, path, string(command))
	cmd.Env = h.environment()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), stdout, errout
	cmd.WaitDelay = grace
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		// It ended well, but a process of its group still holds an output.
		_ = killGroup(cmd)
		err = nil
	}
	switch {
	case stdout.over || errout.over:
		return nil, nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("plugin wrote more than %d bytes", limits.PluginOutput)}
	case err == nil:
		return stdout.kept.Bytes(), nil, nil
	case ctx.Err() != nil:
		return nil, nil, &shuin.Error{Code: shuin.CodeDeadline, Message: "plugin was stopped", Err: ctx.Err()}
	case timed.Err() != nil:
		return nil, nil, &shuin.Error{Code: shuin.CodePluginFailed, Message: fmt.Sprintf("plugin did not answer within %s", limit)}
	}
	return nil, errout.kept.Bytes(), err
}

// environment is that of plugins: without the registry's secrets.
func (h *Host) environment() []string {
	env := h.Env
	if env == nil {
		env = os.Environ()
	}
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.ContainsFunc(SecretVariables, func(s string) bool { return strings.EqualFold(s, name) })
	})
}

// bounded keeps up to limits.PluginOutput bytes, then ends the plugin.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom knows no bound
	full func()
	over bool
}

var errTooLong = errors.New("output limit exceeded")

func (b *bounded) Write(p []byte) (int, error) {
	if b.over || b.kept.Len()+len(p) > limits.PluginOutput {
		b.over = true
		b.full()
		return 0, errTooLong
	}
	return b.kept.Write(p)
}
