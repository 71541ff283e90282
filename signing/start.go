package signing

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/limits"
)

const actionAcceptClock = "signer:AcceptClock"

// ErrClock: the clock contradicts the times that are stored, so that an operator
// has to set it right or accept it.
var ErrClock = errors.New("the clock contradicts the stored times")

// traces are the times that a store knows of.
type traces struct {
	signed time.Time // the newest signing time given out; zero: none
	worked time.Time // when a service worked on it last, as far as it shows; zero: never
}

// readTraces reads them: a service makes the intermediate's CRL every hour, so
// that it leaves one also where nothing is signed.
func readTraces(tx Tx) (t traces, err error) {
	if t.signed, err = tx.Clock(); err != nil {
		return t, err
	}
	t.worked = t.signed
	all, err := tx.Authorities()
	if err != nil {
		return t, err
	}
	for _, a := range all {
		if a.Profile.Name != "" || len(a.CRL) == 0 {
			continue
		}
		list, err := x509.ParseRevocationList(a.CRL)
		if err != nil {
			return t, internal("read a CRL", fmt.Errorf("CRL %s: %w", a.ID, err))
		}
		t.worked = latest(t.worked, list.ThisUpdate)
	}
	return t, nil
}

// fit: a service may start at now.
func (t traces) fit(now time.Time) *Error {
	var e *Error
	switch {
	case t.signed.Sub(now) > limits.ClockAhead:
		e = clockError("says %s, but the newest signing time given out is %s: either the clock is wrong now, or it was wrong then",
			now.UTC().Format(time.RFC3339), t.signed.UTC().Format(time.RFC3339))
	case !t.worked.IsZero() && now.Sub(t.worked) > limits.ClockGap:
		e = clockError("says %s, but this signer worked last at %s: a clock that is ahead would date signatures, and keep it from signing when it is put right",
			now.UTC().Format(time.RFC3339), t.worked.UTC().Format(time.RFC3339))
	default:
		return nil
	}
	e.Err = ErrClock
	return e
}

// CheckStart says why a service should not begin to work on its store: the
// clock is far from the times that are stored, behind the newest signing time
// or ahead of the last work (ErrClock). A person has to look, before anything is
// signed by it: see AcceptClock.
func (s *Service) CheckStart(ctx context.Context) error {
	return s.view(ctx, func(tx Tx) error {
		t, err := readTraces(tx)
		if err != nil {
			return err
		}
		if e := t.fit(s.Now()); e != nil {
			return e
		}
		return nil
	})
}

// AcceptClock has signing times go on from now, by the word of an operator (by)
// who made sure that the clock is right, and gives the newest one before it
// (zero: there is none). It is logged. What was signed by a wrong clock stays
// signed: that has to be revoked. No service may run on the store meanwhile.
func (s *Service) AcceptClock(ctx context.Context, by, reason string) (before, now time.Time, err error) {
	if err := checkReason(reason); err != nil {
		return before, now, err
	}
	err = s.update(ctx, func(tx Tx) error {
		now = s.Now().UTC().Truncate(time.Second)
		t, err := readTraces(tx)
		if err != nil {
			return err
		}
		before = t.signed
		if t.fit(now) == nil && behind(t.signed, now) == nil {
			return invalid("There is nothing to accept: the clock says %s, and does not contradict the signer's store.", now.Format(time.RFC3339))
		}
		if err := tx.SetClock(now); err != nil {
			return err
		}
		if err := forgetAhead(tx, before, now); err != nil {
			return err
		}
		detail := fmt.Sprintf("signing times go on from %s; the newest was %s; %s", now.Format(time.RFC3339), signedAt(before), reason)
		return s.note(tx, &Caller{Principal: by}, audit.ClockAcceptance, actionAcceptClock, audit.Entry{Detail: detail})
	})
	return before, now, err
}

func signedAt(at time.Time) string {
	if at.IsZero() {
		return "none"
	}
	return at.UTC().Format(time.RFC3339)
}

// forgetAhead takes back what a clock that was ahead left in the store, and
// that would hold something up until that time comes. Answers are purged from
// the oldest on, so all later ones would stay; a principal's changes up to its
// request clock are refused.
func forgetAhead(tx Tx, before, now time.Time) error {
	if !before.After(now) {
		return nil
	}
	for range limits.ReplyPurges {
		if err := tx.PurgeReplies(before.Add(day)); err != nil {
			return err
		}
	}
	return tx.CapRequestClocks(now.Add(limits.APIClockSkew)) // as far as they may be ahead
}
