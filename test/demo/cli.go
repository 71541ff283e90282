package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/shuin/shuin"
)

// commandTime bounds each call of shuin.
const commandTime = 30 * time.Second

// shell calls the real program with an empty home and a configuration
// directory of its own.
type shell struct {
	program string
	home    string
	out     io.Writer
	more    []string // environment: where the signer is, and as whom to ask it
}

// result is what a call left behind.
type result struct {
	stdout, stderr string
	status         int
}

// config is the configuration directory.
func (s *shell) config() string { return filepath.Join(s.home, "notation") }

func (s *shell) env() []string {
	return append([]string{
		"HOME=" + s.home,
		"PATH=" + os.Getenv("PATH"),
		"TMPDIR=" + s.home,
		"DOCKER_CONFIG=" + filepath.Join(s.home, "docker"),
		"XDG_CONFIG_HOME=" + filepath.Join(s.home, "xdg"),
		"XDG_CACHE_HOME=" + filepath.Join(s.home, "cache"),
		"NOTATION_CONFIG=" + s.config(),
		"NOTATION_CACHE=" + filepath.Join(s.home, "cache", "notation"),
		"NOTATION_LIBEXEC=" + s.config(),
	}, s.more...)
}

// run calls shuin and shows the call and what it printed.
func (s *shell) run(ctx context.Context, args ...string) (result, error) {
	r, err := s.quiet(ctx, args...)
	if err != nil {
		return r, err
	}
	fmt.Fprintf(s.out, "  $ shuin %s\n", quoted(args))
	for _, text := range []string{r.stdout, r.stderr} {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n "); line != "" {
				fmt.Fprintf(s.out, "    %s\n", line)
			}
		}
	}
	if r.status != 0 {
		fmt.Fprintf(s.out, "    (exit status %d)\n", r.status)
	}
	return r, nil
}

// quoted are arguments as one would type them.
func quoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; a == "" || strings.ContainsAny(a, " \t\"'$;|&*?#") {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// must is run for calls that have to succeed.
func (s *shell) must(ctx context.Context, args ...string) error {
	r, err := s.run(ctx, args...)
	if err == nil && r.status != 0 {
		err = fmt.Errorf("shuin %s: exit status %d", strings.Join(args, " "), r.status)
	}
	return err
}

// quiet calls shuin without showing anything.
func (s *shell) quiet(ctx context.Context, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.env(), s.home, &stdout, &stderr
	err := cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		r.status = exit.ExitCode()
	case err != nil:
		return r, fmt.Errorf("shuin %s: %w", strings.Join(args, " "), err)
	}
	return r, nil
}

// reasonOf asks for the Report as JSON and reads the reason out of it; empty
// for a verified artifact.
func (s *shell) reasonOf(ctx context.Context, args ...string) (shuin.Code, error) {
	r, err := s.quiet(ctx, append(args, "--output", "json")...)
	if err != nil {
		return "", err
	}
	var report struct {
		Result shuin.Result
		Reason struct{ Code shuin.Code }
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		return "", fmt.Errorf("shuin %s: no Report: %w: %s%s", strings.Join(args, " "), err, r.stdout, r.stderr)
	}
	return report.Reason.Code, nil
}
