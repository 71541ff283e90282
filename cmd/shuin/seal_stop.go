package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"

	"github.com/shuin/shuin"
)

// stops takes the signals that ask shuin to stop, from before a command is
// started until its work is stored, and hands them on to the command. A run
// that was asked to stop stores nothing. A nil *stops was never asked.
type stops struct {
	signals chan os.Signal
	ended   chan struct{} // closed when all of signals was taken
	cancel  context.CancelCauseFunc

	mu      sync.Mutex
	first   os.Signal          // nil: none came
	passed  map[os.Signal]bool // taken for the terminal's, and not handed on
	command *os.Process        // that is running; nil: none
}

// watchStops begins. The context ends with the first signal.
func watchStops(ctx context.Context) (context.Context, *stops) {
	s := &stops{signals: make(chan os.Signal, 16), ended: make(chan struct{}), passed: map[os.Signal]bool{}}
	ctx, s.cancel = context.WithCancelCause(ctx)
	signal.Notify(s.signals, relayed()...)
	go func() {
		defer close(s.ended)
		for sig := range s.signals {
			s.take(sig)
		}
	}()
	return ctx, s
}

// end gives the signals back.
func (s *stops) end() {
	signal.Stop(s.signals)
	close(s.signals)
	<-s.ended
	s.cancel(nil)
}

// mark goes through the signals' channel behind what came before it.
type mark chan struct{}

func (mark) Signal()        {}
func (mark) String() string { return "mark" }

func (s *stops) take(sig os.Signal) {
	if m, ok := sig.(mark); ok {
		close(m)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = sig
		s.cancel(fmt.Errorf("interrupted (%v)", sig))
	}
	switch {
	case s.command == nil:
		signal.Stop(s.signals) // a second one kills
	case sentByTerminal(sig) && !s.passed[sig]:
		// Who sends it by "kill" has to send it twice: Go does not say who did.
		s.passed[sig] = true
	default:
		_ = s.command.Signal(sig) // it may have ended just now
	}
}

// run starts the command and waits for its end; started: it could be. No
// signal falls between: it is there before the start, or reaches the command.
func (s *stops) run(ctx context.Context, cmd *exec.Cmd) (started bool, err error) {
	s.mu.Lock()
	if err := ctx.Err(); s.first != nil || err != nil {
		s.mu.Unlock()
		return false, context.Cause(ctx)
	}
	hideEnvironment()
	err = cmd.Start()
	s.command = cmd.Process
	s.mu.Unlock()
	if err != nil {
		return false, err
	}
	_ = cmd.Wait() // its state says all
	s.mu.Lock()
	s.command = nil
	s.mu.Unlock()
	return true, nil
}

// asked is the first signal that asked to stop, of all that were sent before
// asked was called; nil: none.
func (s *stops) asked() os.Signal {
	if s == nil {
		return nil
	}
	settleSignals()
	m := make(mark)
	s.signals <- m
	<-m
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// check is to be asked right before something is stored: an error where shuin
// was asked to stop.
func (s *stops) check(ctx context.Context) error {
	if sig := s.asked(); sig != nil {
		return fmt.Errorf("interrupted (%v)", sig)
	}
	return context.Cause(ctx)
}

// status gives an error the exit status of a run that was asked to stop, where
// it was and the command has not ended with one of its own.
func (s *stops) status(ctx context.Context, err error) error {
	if err == nil || s == nil {
		return err
	}
	if _, own := errors.AsType[*statusError](err); own {
		return err
	}
	sig := s.asked()
	if sig == nil && ctx.Err() != nil { // it came before watchStops
		sig = signalOf(context.Cause(ctx))
	}
	if sig == nil {
		return err
	}
	return &statusError{err, exitSignal + signalNumber(sig)}
}

// signalOf reads what signal.NotifyContext says was the cause.
func signalOf(cause error) os.Signal {
	for _, sig := range relayed() {
		if cause.Error() == sig.String()+" signal received" {
			return sig
		}
	}
	return nil
}

// notSealed says first what did not come about.
func notSealed(stage string, err error) error {
	code := shuin.CodeOf(err)
	if code == shuin.CodeInternal {
		code = shuin.CodeStageMissing
	}
	return &shuin.Error{Code: code, Message: fmt.Sprintf("stage %s not sealed", stage), Err: err, Hint: shuin.HintOf(err)}
}
