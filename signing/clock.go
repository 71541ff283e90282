package signing

import (
	"context"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// clock watches the service's clock: the signing time is what short-lived
// certificates and revocation dates rest on. It compares each reading with the
// last one it accepted; one it refuses does not count, so that signing goes on
// by itself when the clock is put right.
type clock struct {
	mu   sync.Mutex
	last time.Time // with its monotonic reading
	used bool      // last was read to sign, not to look whether one could
}

// observe reads the clock. The error stops signing.
func (s *Service) observe() (time.Time, error) {
	now := s.Now()
	k := &s.state.clock
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.fits(now, s.clockStep()); err != nil {
		return now, err
	}
	if k.last.IsZero() || !now.Round(0).Before(k.last.Round(0)) {
		k.last = now
	}
	k.used = true
	return now, nil
}

func (s *Service) clockStep() time.Duration { return orElse(s.MaxClockStep, limits.ClockStep) }

// fits compares a reading with the last one accepted. k.mu is held. A clock
// that is set back before anything was signed by it was wrong at the start and
// is right now: the watch begins anew.
func (k *clock) fits(now time.Time, most time.Duration) error {
	if !k.used && now.Round(0).Before(k.last.Round(0)) {
		k.last = now
	}
	if k.last.IsZero() {
		return nil
	}
	return clockFits(now.Round(0).Sub(k.last.Round(0)), now.Sub(k.last), most)
}

// CheckClock says why nothing would be signed now because of the clock: it was
// set since it was read last, or lies behind the newest signing time given
// out. Nil: it is right, as far as can be known. It is for readiness: the
// reading does not count as one that a signature was made by, but it does
// begin the watch where nothing was signed yet.
func (s *Service) CheckClock(ctx context.Context) error {
	now := s.Now()
	if err := s.state.clock.check(now, s.clockStep()); err != nil {
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

func (k *clock) check(now time.Time, most time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last.IsZero() {
		k.last = now
	}
	return k.fits(now, most)
}

// behind: the clock may lie a little behind the last signing time, not more.
func behind(last, now time.Time) error {
	if by := last.Sub(now); by > limits.ClockBack {
		return clockError("is %s behind the last signing time", by)
	}
	return nil
}

// clockFits compares how far the clock has moved with how long it really was.
func clockFits(wall, real, most time.Duration) error {
	switch {
	case wall < -limits.ClockBack:
		return clockError("was set back by %s", -wall)
	case wall-real > most:
		return clockError("was set ahead by %s (restart the signer when the new time is right)", wall-real)
	}
	return nil
}

func clockError(what string, by time.Duration) *Error {
	return fault(FaultUnavailable, "the signer's clock "+what+"; nothing is signed until it is right again", by.Round(time.Millisecond))
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
