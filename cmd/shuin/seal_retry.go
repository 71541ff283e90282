package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// storing is how seals are stored.
type storing struct {
	stops    *stops        // asked before the first is
	retryFor time.Duration // that what could not be reached is tried again
}

// passing reports whether err may be over in a moment. A refusal (401, 403) and
// what is not there are undecided too, and stay so.
func passing(err error) bool {
	switch shuin.CodeOf(err) {
	case shuin.CodeThrottled, shuin.CodeUnavailable, shuin.CodeDeadline:
		return true
	}
	return false
}

// again does try until it succeeds, fails for good, or retryFor is over.
func (a *app) again(ctx context.Context, retryFor time.Duration, what string, try func() error) error {
	end := time.Now().Add(retryFor)
	wait := limits.SealRetryFirst
	for {
		err := try()
		left := time.Until(end)
		if err == nil || !passing(err) || ctx.Err() != nil || left <= 0 {
			return err
		}
		wait = min(wait, left)
		a.warnf("%s: %v: trying again in %s", what, lineError{err}, wait.Round(time.Millisecond))
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		wait = min(2*wait, limits.SealRetryWait)
	}
}

// goOn says how to seal after a command succeeded and its seal could not be
// stored. To leave the command out would sign that nothing was run.
func goOn(artifact shuin.Artifact, stage string, err error) error {
	if err == nil || !shuin.CodeOf(err).Undecided() {
		return err
	}
	hint := shuin.HintOf(err)
	if hint != "" {
		hint += "; then "
	}
	hint += fmt.Sprintf("run the same again, with its command, for %s; what takes long is better recorded (shuin seal --record FILE --image-id %s --stage %s -- COMMAND) and sealed with --from FILE, which can be repeated without it",
		artifact, artifact.Digest(), stage)
	return &shuin.Error{Code: shuin.CodeOf(err), Err: err, Hint: hint}
}
