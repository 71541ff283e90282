package signing

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// clock watches the service's clock: the signing time is what short-lived
// certificates and revocation dates rest on. Each reading, of a signature, a
// probe or a CRL, is held against the one before it by the monotonic clock. One
// large step stops what is dated; small ones are taken and do not add up, or
// pauses and corrections would stop every server in time.
type clock struct {
	mu   sync.Mutex
	last time.Time   // the newest reading that was accepted, with its monotonic one
	back time.Time   // what the clock had come to when it was set back; zero: it was not
	used atomic.Bool // something was signed since the start
}

// observe reads the clock. The error stops all that is dated by it.
func (s *Service) observe() (time.Time, error) {
	k := &s.state.clock
	k.mu.Lock()
	defer k.mu.Unlock()
	now := s.Now() // one after the other: readings out of their order look like a clock set back
	return now, k.read(now, orElse(s.MaxClockStep, limits.ClockStep))
}

// read judges a reading. One that is refused is not held against later ones, so
// that a clock which is set right goes on by itself; one that was set back does
// too when it has come again to where it was. Before anything was signed the
// watch begins anew: the clock may have been wrong at the start (see traces).
// The caller holds mu.
func (k *clock) read(now time.Time, most time.Duration) error {
	const putRight = " (put it right; or, if it is right now, restart the signer)"
	if !k.used.Load() {
		k.last = now
		return nil
	}
	wall := now.Round(0)
	reached := k.last.Round(0).Add(max(now.Sub(k.last), 0)) // below zero: it has no monotonic reading
	step := wall.Sub(reached)
	if step > most {
		return clockError("was set ahead by %s"+putRight, rounded(step))
	}
	if step < -limits.ClockBack {
		if k.back.IsZero() {
			k.back = reached
		}
		if wall.Before(k.back) {
			return clockError("was set back by %s"+putRight, rounded(-step))
		}
	}
	k.last, k.back = now, time.Time{}
	return nil
}

// CheckClock says why nothing would be signed now because of the clock: it was
// set, contradicts what the store knows, or lies behind the newest signing time
// given out. Nil: it is right, as far as can be known. It is for readiness.
func (s *Service) CheckClock(ctx context.Context) error {
	now, err := s.observe()
	if err != nil {
		return err
	}
	return s.view(ctx, func(tx Tx) error {
		t, err := s.plausible(tx, now)
		if err != nil {
			return err
		}
		return behind(t.signed, now)
	})
}

// dateCRL reads the clock to date a CRL by. A little behind the newest signing
// time it may be: that is for signatures.
func (s *Service) dateCRL(tx Tx) (time.Time, error) {
	now, err := s.observe()
	if err == nil {
		_, err = s.plausible(tx, now)
	}
	return now.UTC().Truncate(time.Second), err
}

// behind: the clock may lie a little behind the last signing time, not more.
func behind(last, now time.Time) error {
	if by := last.Sub(now); by > limits.ClockBack {
		return clockError("is %s behind the last signing time (put it right; or, if it is right now, wait that long, or stop the signer and accept its clock)", rounded(by))
	}
	return nil
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// ErrClock: the clock is refused, so that an operator has to set it right or
// accept it.
var ErrClock = errors.New("the clock is refused")

func clockError(what string, facts ...any) *Error {
	e := fault(FaultUnavailable, "the signer's clock "+what+"; nothing is signed meanwhile", facts...)
	e.Err = ErrClock
	return e
}

// signingTime is the authentic signing time at now: whole seconds, never
// before one that was given out, across restarts too. The stored clock moves
// with a signature only (moveClock), so that a clock which was wrong while
// nothing was signed leaves nothing behind. The clock is read again to tell one
// that is behind from a transaction that waited.
func (s *Service) signingTime(tx Tx, now time.Time) (time.Time, error) {
	t, err := s.plausible(tx, now)
	if err != nil {
		return time.Time{}, err
	}
	if at := now.UTC().Truncate(time.Second); !at.Before(t.signed) {
		return at, nil
	}
	return t.signed.UTC(), behind(t.signed, s.Now())
}

// overtaken: a signature was given out meanwhile whose signing time is later.
type overtaken struct{ last time.Time }

func (o overtaken) Error() string {
	return "a signature of " + o.last.Format(time.RFC3339) + " was given out meanwhile"
}

// moveClock stores the signing time of a signature, in the transaction that
// gives it out. Where another one has moved the clock on since the request was
// admitted, the error is overtaken, or that the clock is behind.
func moveClock(tx Tx, at, now time.Time) error {
	last, err := tx.Clock()
	switch {
	case err != nil:
		return err
	case at.After(last):
		return tx.SetClock(at)
	case at.Equal(last):
		return nil
	}
	if err := behind(last, now); err != nil {
		return err
	}
	return overtaken{last.UTC()}
}
