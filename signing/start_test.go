package signing

import (
	"context"
	"errors"
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
		"years before it, nothing signed":    {unused: true, at: -4 * 365 * day},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.at = worldStart.Truncate(time.Second)
			if err := w.CheckStart(ctx); err != nil {
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
			if err := w.CheckStart(ctx); c.want != "" {
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
			w.restart(ahead) // the clock is wrong, and nobody asked CheckStart
			c := admin(ours)
			c.InvocationID, c.BodySHA256 = "i-1", strings.Repeat("a", 64)
			if _, err := w.SignPayload(ctx, c, signInput("build")); err != nil {
				t.Fatal(err)
			}
			if err := w.SetRequestClock(ctx, c.Principal, ahead.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			w.restart(worldStart.Add(time.Hour)) // and is put right
			wantFault(t, w.CheckStart(ctx), FaultUnavailable, "2030-11-22T04:30:15Z")
			wantFault(t, w.trySign(), FaultUnavailable, "behind the last signing time", "accept its clock")

			before, now, err := w.AcceptClock(ctx, "local:op", "the host was set to 2030")
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
			if err := w.CheckStart(ctx); err != nil {
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
	ctx := context.Background()
	w := newWorld(t)
	accept := func(reason string) error { _, _, err := w.AcceptClock(ctx, "local:op", reason); return err }
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
		if err := w.CheckStart(ctx); err != nil {
			t.Error(err)
		}
		if !w.clock().Equal(w.at) || w.trySign() != nil {
			t.Errorf("at %s: the clock is %s", at, w.clock())
		}
	}
}
