package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/limits"
)

// restart is a new process at a time.
func (w *world) restart(at time.Time) {
	w.at = at
	w.Service = w.service()
}

// refused is what a start now would be told.
func (w *world) refused() error {
	return w.store.View(context.Background(), func(tx Tx) error { return RefuseClock(tx, w.Intermediate.Chain()[0], w.now()) })
}

func (w *world) accept(reason string) (before, now time.Time, err error) {
	return w.AcceptClock(context.Background(), w.Intermediate.Chain()[0], "local:op", reason)
}

func TestASignerDoesNotStartWithAClockFarFromWhatItKnows(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		unused bool          // nothing was signed
		at     time.Duration // of the start, after the last work
		want   string        // empty: it starts
	}{
		"soon after":                         {at: time.Minute},
		"a little behind the last signature": {at: -limits.ClockAhead},
		"far behind it":                      {at: -limits.ClockAhead - time.Second, want: "newest signing time given out is 2026-11-22T04:30:15Z"},
		"years behind it":                    {at: -20 * 365 * day, want: "the clock is wrong now, or it was wrong then"},
		"a month after the last CRL":         {at: limits.ClockGap},
		"longer than that after it":          {at: limits.ClockGap + time.Second, want: "worked last at 2026-11-22T04:30:15Z"},
		"years after a CRL, nothing signed":  {unused: true, at: 4 * 365 * day, want: "worked last at 2026-11-22T04:30:15Z"},
		"years before it, nothing signed":    {unused: true, at: -4 * 365 * day, want: "its newest CRL was made at 2026-11-22T04:30:15Z"},
		"an hour before it, nothing signed":  {unused: true, at: -limits.ClockAhead},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.at = worldStart.Truncate(time.Second)
			if err := w.refused(); err != nil {
				t.Errorf("a new one: %v", err)
			}
			w.put("build", KindAWS)
			if !c.unused {
				w.sign("build")
			}
			if _, err := w.RefreshCRLs(ctx); err != nil {
				t.Fatal(err)
			}
			w.restart(w.at.Add(c.at))
			if err := w.refused(); c.want != "" {
				wantFault(t, err, FaultUnavailable, "the signer's clock says "+w.at.Format(time.RFC3339), c.want)
				if !errors.Is(err, ErrClock) {
					t.Error("nobody can tell it from a store that is away")
				}
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestASignerThatSignedWithAClockAheadSignsAgainWhenAnOperatorSaysSo(t *testing.T) {
	ctx := context.Background()
	ahead := worldStart.AddDate(4, 0, 0)
	for _, kind := range []Kind{KindAWS, KindStandard} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.put("build", kind)
			w.sign("build")
			w.restart(ahead) // the clock is wrong
			if err := w.store.Update(ctx, func(tx Tx) error { return tx.SetClock(ahead.Add(-day)) }); err != nil {
				t.Fatal(err)
			}
			c := admin(ours)
			c.InvocationID, c.BodySHA256 = "i-1", strings.Repeat("a", 64)
			if _, err := w.SignPayload(ctx, c, signInput("build")); err != nil {
				t.Fatal(err)
			}
			if err := w.SetRequestClock(ctx, c.Principal, ahead.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			w.restart(worldStart.Add(time.Hour)) // and is put right
			wantFault(t, w.refused(), FaultUnavailable, "2030-11-22T04:30:15Z")
			wantFault(t, w.trySign(), FaultUnavailable, "newest signing time given out", "accept its clock")

			before, now, err := w.accept("the host was set to 2030")
			if err != nil || !before.Equal(ahead.Truncate(time.Second)) || !now.Equal(w.at.Truncate(time.Second)) {
				t.Fatalf("from %s to %s, %v", before, now, err)
			}
			if e := w.last(); e.Kind != audit.ClockAcceptance || e.Principal != "local:op" || e.Action != "signer:AcceptClock" || e.Outcome != outcomeOK ||
				e.Detail != "signing times go on from 2026-11-22T05:30:15Z; the newest was 2030-11-22T04:30:15Z; the host was set to 2030" {
				t.Errorf("logged %+v", e)
			}
			if len(w.store.state.replies) != 0 {
				t.Error("an answer that was kept until 2030 holds up the purge of all later ones")
			}
			if at, err := w.RequestClock(ctx, c.Principal); err != nil || at.After(w.at.Add(limits.APIClockSkew)) {
				t.Errorf("changes of %s are refused up to %s, %v", c.Principal, at, err)
			}
			w.restart(w.at)
			if err := w.refused(); err != nil {
				t.Error(err)
			}
			w.sleep(time.Second)
			out := w.sign("build")
			if e, _ := open(t, out.Signature); !e.AuthenticSigningTime.Equal(w.at.Truncate(time.Second)) {
				t.Errorf("signed at %s", e.AuthenticSigningTime)
			}
		})
	}
}

func TestOnlyAClockThatContradictsIsAccepted(t *testing.T) {
	w := newWorld(t)
	accept := func(reason string) error { _, _, err := w.accept(reason); return err }
	wantFault(t, accept("x"), FaultValidation, "nothing to accept")
	w.put("build", KindAWS)
	w.sign("build")
	signed := w.clock()
	before := len(w.entries())
	for _, at := range []time.Duration{0, time.Hour, limits.ClockGap, -limits.ClockBack} {
		w.restart(signed.Add(at))
		wantFault(t, accept("x"), FaultValidation, "nothing to accept")
	}
	w.restart(signed.Add(-time.Minute))
	wantFault(t, accept(""), FaultValidation, "reason")
	if len(w.entries()) != before || !w.clock().Equal(signed) {
		t.Error("a refusal changed something")
	}
	for _, at := range []time.Duration{-time.Minute, limits.ClockGap + day} {
		w.restart(signed.Add(at))
		if err := accept("x"); err != nil {
			t.Fatal(err)
		}
		if err := w.refused(); err != nil {
			t.Error(err)
		}
		if !w.clock().Equal(w.at) || w.trySign() != nil {
			t.Errorf("at %s: the clock is %s", at, w.clock())
		}
	}
}

func TestAnAcceptedClockIsNotRefusedAgain(t *testing.T) {
	ctx := context.Background()
	for name, wrong := range map[string]func(t *testing.T, w *world){
		"it made CRLs and signed nothing": func(t *testing.T, w *world) {
			if err := w.tend(); err != nil {
				t.Fatal(err)
			}
		},
		"a principal's request clock alone": func(t *testing.T, w *world) {
			if err := w.SetRequestClock(ctx, admin(ours).Principal, w.at.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		},
		"all of it": func(t *testing.T, w *world) {
			if err := errors.Join(w.tend(), w.trySign(), w.SetRequestClock(ctx, admin(ours).Principal, w.at.Add(time.Minute))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put("build", KindStandard)
			job := w.job(w.sign("build").JobID)
			w.restart(worldStart.AddDate(0, 0, 20))
			wrong(t, w)
			number := w.store.state.authorities[w.intermediate()].CRLNumber
			w.restart(worldStart.Add(time.Hour))
			if _, _, err := w.accept("the host was set ahead"); err != nil {
				t.Fatal(err)
			}
			w.restart(w.at)
			for _, err := range []error{w.refused(), w.CheckClock(ctx), w.tend(), w.trySign()} {
				if err != nil {
					t.Error(err)
				}
			}
			if at, err := w.RequestClock(ctx, admin(ours).Principal); err != nil || at.After(w.at.Add(limits.APIClockSkew)) {
				t.Errorf("changes are refused up to %s, %v", at, err)
			}
			for _, id := range []string{job.Authority, w.intermediate()} {
				if l := w.crl(id); l.ThisUpdate.After(w.at) {
					t.Errorf("the CRL of %s is dated %s at %s", id, l.ThisUpdate, w.at)
				}
			}
			if l := w.crl(w.intermediate()); l.Number.Int64() <= number {
				t.Errorf("CRL %s after %d", l.Number, number)
			}
			_, _, err := w.accept("x")
			wantFault(t, err, FaultValidation, "nothing to accept")
		})
	}
}

func TestAllAnswersThatAClockAheadLeftAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.sign("build")
	ahead := worldStart.AddDate(1, 0, 0)
	if err := w.store.Update(context.Background(), func(tx Tx) error {
		for i := range 2*limits.ReplyPurge + 1 {
			if err := tx.AddReply(Reply{Principal: "p", InvocationID: fmt.Sprint(i), Created: ahead}); err != nil {
				return err
			}
		}
		return tx.SetClock(ahead)
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.accept("x"); err != nil {
		t.Fatal(err)
	}
	if left := len(w.store.state.replies); left != 0 {
		t.Errorf("%d answers are left, which hold up the purge of all later ones", left)
	}
}

func TestACRLThatCannotBeReadSaysNothingOfTheClock(t *testing.T) {
	for _, inUse := range []bool{true, false} {
		w := newWorld(t)
		w.put("build", KindAWS)
		w.sign("build")
		if err := w.tend(); err != nil {
			t.Fatal(err)
		}
		bad := w.store.state.authorities[w.intermediate()]
		bad.CRL = []byte("x")
		if !inUse {
			bad.ID = "another"
			w.store.state.order = append(w.store.state.order, bad.ID)
		}
		w.store.state.authorities[bad.ID] = bad
		w.restart(w.at.Add(2 * time.Hour))
		for _, err := range []error{w.refused(), w.trySign(), w.tend()} {
			if err != nil {
				t.Error(err)
			}
		}
		if !slices.ContainsFunc(w.notices, func(n string) bool { return strings.Contains(n, "cannot be read") && strings.Contains(n, bad.ID) }) {
			t.Errorf("nobody is told: %q", w.notices)
		}
		w.crl(w.intermediate()) // it is readable now
		w.restart(w.at.Add(-90 * time.Minute))
		if _, _, err := w.accept("x"); err != nil {
			t.Error(err)
		}
	}
}

func TestTheCRLOfAnotherIntermediateSaysNothingOfAClockThatIsBehind(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.Intermediate = otherIntermediate(t, worldStart.AddDate(25, 0, 0))
	other := w.Intermediate
	w.sleep(20 * day)
	if err := w.tend(); err != nil {
		t.Fatal(err)
	}
	w.restart(worldStart) // of the first one
	if err := w.refused(); err != nil {
		t.Error(err)
	}
	// One that is put back after a time has no work of its own to show.
	w.restart(worldStart.Add(45 * day))
	if err := w.refused(); err != nil {
		t.Error(err)
	}
	w.Intermediate = other
	w.restart(worldStart.Add(51 * day))
	if err := w.refused(); err == nil {
		t.Error("a month after the last work of all")
	}
}
