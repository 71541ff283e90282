package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"

	"github.com/shuin/shuin/seal"
)

// Exit statuses as shells have them, for commands that could not be run.
const (
	exitCannotRun = 126
	exitNotFound  = 127
	exitSignal    = 128 // plus the signal's number
)

// Environment variables of a command that seal runs.
const (
	envSealImage = "SHUIN_IMAGE" // the image it is run for, by its digest
	envSealStage = "SHUIN_STAGE"
)

// streams are what a command that is run reads and writes: the process's own,
// so that it sees a terminal where there is one.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// commandStreams are to be taken before -d wraps stderr.
func (a *app) commandStreams() streams { return streams{a.stdin, a.stdout, a.stderr} }

// runStage runs the stage's command for the image and completes e. The error
// carries the command's exit status, where that is not 0; it is an error too if
// shuin was asked to stop meanwhile, whatever the command made of it.
func (a *app) runStage(ctx context.Context, o *sealOptions, e *seal.Evidence, image string, s streams) error {
	cmd := exec.Command(o.command[0], o.command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.in, s.out, s.err
	cmd.Env = append(os.Environ(), envSealImage+"="+image, envSealStage+"="+e.Stage)
	e.Started = a.now()
	started, err := o.stops.run(ctx, cmd)
	switch {
	case err != nil && ctx.Err() != nil:
		return notSealed(e.Stage, err)
	case !started:
		return startError(e.Stage, o.command[0], err)
	}
	e.Duration, e.Ran = max(a.now().Sub(e.Started), 0), true
	e.Started = e.Started.UTC()
	if !o.noCommand {
		e.Command = seal.NewCommand(o.command)
	}
	status, words := endOf(cmd.ProcessState)
	if status != 0 {
		return &statusError{notSealed(e.Stage, fmt.Errorf("%s %s", o.command[0], words)), status}
	}
	if err := o.stops.check(ctx); err != nil {
		return notSealed(e.Stage, fmt.Errorf("%w, though %s %s", err, o.command[0], words))
	}
	return nil
}

func startError(stage, name string, err error) error {
	status, words := exitCannotRun, "%s cannot be run: %w"
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status, words = exitNotFound, "%s was not found: %w"
	}
	return &statusError{notSealed(stage, fmt.Errorf(words, name, err)), status}
}
