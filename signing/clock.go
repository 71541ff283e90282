package signing

import (
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
}

// observe reads the clock. The error stops signing.
func (s *Service) observe() (time.Time, error) {
	now := s.Now()
	most := s.MaxClockStep
	if most <= 0 {
		most = limits.ClockStep
	}
	k := &s.state.clock
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.last.IsZero() {
		wall := now.Round(0).Sub(k.last.Round(0))
		if err := clockFits(wall, now.Sub(k.last), most); err != nil {
			return now, err
		}
		if wall < 0 {
			return now, nil
		}
	}
	k.last = now
	return now, nil
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
// before one that was given out, across restarts too. It is kept in the
// attempt's transaction.
func signingTime(tx Tx, now time.Time) (time.Time, error) {
	last, err := tx.Clock()
	if err != nil {
		return time.Time{}, err
	}
	at := now.UTC().Truncate(time.Second)
	switch {
	case !at.Before(last):
		if at.After(last) {
			err = tx.SetClock(at)
		}
		return at, err
	case last.Sub(now) > limits.ClockBack:
		return time.Time{}, clockError("is %s behind the last signing time", last.Sub(now))
	}
	return last.UTC(), nil
}
