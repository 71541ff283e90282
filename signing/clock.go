package signing

import (
	"context"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// clock watches the service's clock: the signing time is what short-lived
// certificates and revocation dates rest on. Each reading, of a signature or of
// a probe, is held against the one before it by the monotonic clock, and what
// the clock was set by meanwhile is added up: small steps count together, and a
// step back shows however long ago the last signature was. A reading that is
// refused is added up too, so that signing goes on by itself when the clock is
// put right.
type clock struct {
	mu   sync.Mutex
	last time.Time     // the latest reading that was accepted to sign, or the first of all
	seen time.Time     // the newest reading, with its monotonic one
	off  time.Duration // by how much the clock was set ahead in all (below zero: back)
	// used: last was read to sign, not to look whether one could. wrong: the
	// newest reading was refused; that does not wear off with time.
	used, wrong bool
}

// observe reads the clock. The error stops signing.
func (s *Service) observe() (time.Time, error) {
	now := s.Now()
	k := &s.state.clock
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.read(now, s.clockStep()); err != nil {
		return now, err
	}
	if !now.Round(0).Before(k.last.Round(0)) {
		k.last = now
	}
	k.used = true
	return now, nil
}

func (s *Service) clockStep() time.Duration { return orElse(s.MaxClockStep, limits.ClockStep) }

// read adds a reading. k.mu is held. A clock that is set back before anything
// was signed by it was wrong at the start and is right now: the watch begins
// anew.
func (k *clock) read(now time.Time, most time.Duration) error {
	if k.seen.IsZero() {
		k.last, k.seen = now, now
		return nil
	}
	step, passed := stepped(k.seen, now)
	moved := now.Round(0).Sub(k.last.Round(0))
	if !k.used && (moved < 0 || k.off+step < 0) {
		k.last, k.seen, k.off, k.wrong = now, now, 0, false
		return nil
	}
	k.seen, k.off = now, k.off+step
	if !k.wrong {
		k.off = slewed(k.off, passed)
	}
	err := clockFits(moved, k.off, most)
	k.wrong = err != nil
	return err
}

// stepped is by how much the clock was set between two readings, and how much
// time passed.
func stepped(before, now time.Time) (step, passed time.Duration) {
	passed = now.Sub(before)
	return now.Round(0).Sub(before.Round(0)) - passed, passed
}

// slewed is what is left of off after a time in which a clock that nobody sets
// may have gone faster or slower than the monotonic one.
func slewed(off, passed time.Duration) time.Duration {
	most := max(passed, 0) / limits.ClockSlew
	return off - min(max(off, -most), most)
}

// CheckClock says why nothing would be signed now because of the clock: it was
// set since it was read first, or lies behind the newest signing time given
// out. Nil: it is right, as far as can be known. It is for readiness: the
// reading does not count as one that a signature was made by, but it is part
// of the watch.
func (s *Service) CheckClock(ctx context.Context) error {
	now, err := s.watchClock()
	if err != nil {
		return err
	}
	return s.view(ctx, func(tx Tx) error {
		last, err := tx.Clock()
		if err != nil {
			return err
		}
		return behind(last, now)
	})
}

// watchClock is a reading by which nothing is signed.
func (s *Service) watchClock() (time.Time, error) {
	now := s.Now()
	k := &s.state.clock
	k.mu.Lock()
	defer k.mu.Unlock()
	return now, k.read(now, s.clockStep())
}

// behind: the clock may lie a little behind the last signing time, not more.
func behind(last, now time.Time) error {
	if by := last.Sub(now); by > limits.ClockBack {
		return clockError("is %s behind the last signing time (put it right; or, if it is right now, wait that long, or stop the signer and accept its clock)", rounded(by))
	}
	return nil
}

// clockFits judges how far the clock has moved since the last signature, and by
// how much it was set in all.
func clockFits(wall, off, most time.Duration) error {
	const putRight = " (put it right; or, if it is right now, restart the signer)"
	switch {
	case wall < -limits.ClockBack:
		return clockError("was set back by %s"+putRight, rounded(-wall))
	case off < -limits.ClockBack:
		return clockError("was set back by %s"+putRight, rounded(-off))
	case off > most:
		return clockError("was set ahead by %s"+putRight, rounded(off))
	}
	return nil
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func clockError(what string, facts ...any) *Error {
	return fault(FaultUnavailable, "the signer's clock "+what+"; nothing is signed meanwhile", facts...)
}

// signingTime is the authentic signing time at now: whole seconds, never
// before one that was given out, across restarts too. The stored clock moves
// with a signature only (moveClock), so that a clock which was wrong while
// nothing was signed leaves nothing behind. The clock is read again to tell one
// that is behind from a transaction that waited.
func signingTime(tx Tx, now time.Time, clock func() time.Time) (time.Time, error) {
	last, err := tx.Clock()
	if err != nil {
		return time.Time{}, err
	}
	if at := now.UTC().Truncate(time.Second); !at.Before(last) {
		return at, nil
	}
	return last.UTC(), behind(last, clock())
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
