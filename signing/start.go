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

// traces are the times that a store knows of, by which a clock is judged.
type traces struct {
	signed time.Time // the newest signing time given out; zero: none
	worked time.Time // of the newest CRL of the intermediate in use; zero: it has none
	newest time.Time // of the newest CRL of all intermediates, as one may have been put back
}

// readTraces reads them: a service makes the intermediate's CRL every hour, so
// that it leaves one also where nothing is signed. A CRL that cannot be read
// says nothing, and nobody waits for it; skipped names it.
func readTraces(tx Tx, inUse *x509.Certificate) (t traces, skipped []string, err error) {
	if t.signed, err = tx.Clock(); err != nil {
		return t, nil, err
	}
	all, err := tx.Authorities()
	for _, a := range all {
		if a.Profile.Name != "" || len(a.CRL) == 0 {
			continue
		}
		list, err := x509.ParseRevocationList(a.CRL)
		if err != nil {
			skipped = append(skipped, a.ID)
			continue
		}
		t.newest = latest(t.newest, list.ThisUpdate)
		if inUse != nil && a.ID == intermediateID(inUse) {
			t.worked = list.ThisUpdate
		}
	}
	return t, skipped, err
}

// refuse says why nothing may be dated by a clock that says now. One far ahead
// shows at a start only: while a service runs it leaves traces all the time.
func (t traces) refuse(now time.Time, starting bool) error {
	const putRight = " (put it right; or, if it is right now, stop the signer and accept its clock)"
	says := func(what string, at time.Time) error {
		return clockError("says %s, but "+what+putRight, now.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	last := latest(t.signed, t.newest)
	switch {
	case t.signed.Sub(now) > limits.ClockAhead:
		return says("the newest signing time given out is %s: either the clock is wrong now, or it was wrong then", t.signed)
	case t.worked.Sub(now) > limits.ClockAhead:
		return says("its newest CRL was made at %s: either the clock is wrong now, or it was wrong then", t.worked)
	case starting && !last.IsZero() && now.Sub(last) > limits.ClockGap:
		return says("this signer worked last at %s: a clock that is ahead would date signatures, and keep it from signing when it is put right", last)
	}
	return nil
}

// RefuseClock says why a process that starts at now should date nothing: the
// clock is far from the times that are stored (ErrClock). A person has to look:
// see AcceptClock. inUse is the intermediate's certificate; nil: there is none.
func RefuseClock(tx Tx, inUse *x509.Certificate, now time.Time) error {
	t, _, err := readTraces(tx, inUse)
	if err != nil {
		return err
	}
	return t.refuse(now, true)
}

// plausible holds now against the store's traces. Those of CRLs are read once:
// from then on this process is the one that makes them.
func (s *Service) plausible(tx Tx, now time.Time) (t traces, err error) {
	if kept := s.state.traces.Load(); kept != nil {
		t = *kept
		t.signed, err = tx.Clock()
	} else {
		var skipped []string
		if t, skipped, err = readTraces(tx, s.Intermediate.Chain()[0]); err == nil {
			s.state.traces.Store(&t)
		}
		for _, id := range skipped {
			s.notice(context.Background(), "the CRL of an intermediate cannot be read, and is not held against the clock", "crl", id)
		}
	}
	if err != nil {
		return t, err
	}
	return t, t.refuse(now, !s.state.clock.used.Load())
}

// leave keeps the time of a CRL of the intermediate in use as a trace. Until
// something was signed it is no evidence against an earlier clock: the one that
// dated it may have been wrong since the start, and that CRL is made anew when
// the clock is put right.
func (s *serviceState) leave(made time.Time) {
	t := traces{worked: made, newest: made}
	if kept := s.traces.Load(); kept != nil && !s.clock.used.Load() {
		t.worked = kept.worked
	}
	s.traces.Store(&t)
}

// AcceptClock has signing times go on from now, by the word of an operator (by)
// who made sure that the clock is right, and gives the newest one before it
// (zero: there is none). It is logged, and nothing is left by which this clock
// would be refused again. What was signed by a wrong clock stays signed: that
// has to be revoked. No service may run on the store meanwhile. inUse is as in
// RefuseClock.
func (s *Service) AcceptClock(ctx context.Context, inUse *x509.Certificate, by, reason string) (before, now time.Time, err error) {
	if err := checkReason(reason); err != nil {
		return before, now, err
	}
	err = s.update(ctx, func(tx Tx) error {
		now = s.Now().UTC().Truncate(time.Second)
		t, _, err := readTraces(tx, inUse)
		if err != nil {
			return err
		}
		before = t.signed
		ahead, err := tx.CapRequestClocks(now.Add(limits.APIClockSkew)) // as far as they may be ahead
		if err != nil {
			return err
		}
		if ahead == 0 && t.refuse(now, true) == nil && behind(t.signed, now) == nil {
			return invalid("There is nothing to accept: the clock says %s, and does not contradict the signer's store.", now.Format(time.RFC3339))
		}
		if err := errors.Join(tx.SetClock(now), forgetReplies(tx, before, now), forgetCRL(tx, t, inUse, now)); err != nil {
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

// forgetReplies drops the answers that a clock which was ahead left: they are
// purged from the oldest on, so that all later ones would stay too.
func forgetReplies(tx Tx, before, now time.Time) error {
	if !before.After(now) {
		return nil
	}
	for range limits.ReplyPurges {
		if err := tx.PurgeReplies(before.Add(day)); err != nil {
			return err
		}
	}
	return nil
}

// forgetCRL drops the CRL of the intermediate in use where a clock that was
// ahead made it: the next start makes another, with the next number. Those of
// issuing CAs, by which no clock is judged, fall due by themselves.
func forgetCRL(tx Tx, t traces, inUse *x509.Certificate, now time.Time) error {
	if !t.worked.After(now) {
		return nil
	}
	a, err := tx.Authority(intermediateID(inUse))
	if err != nil {
		return err
	}
	a.CRL, a.CRLNext = nil, time.Time{}
	return tx.SetAuthority(a)
}
