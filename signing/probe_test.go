package signing

import (
	"context"
	"testing"
	"time"
	"unsafe"
)

// setAhead is a reading of a clock that was set ahead by d: its monotonic
// part, which the package time lets nobody set, has not moved.
func setAhead(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	(*struct {
		wall uint64
		ext  int64
	})(unsafe.Pointer(&t)).ext -= int64(d)
	return t
}

func TestTheClockProbeFailsWhenSigningWould(t *testing.T) {
	start := time.Now()
	start = start.Add(worldStart.Sub(start)) // with its monotonic reading
	for name, c := range map[string]struct {
		sign, restart bool
		now           time.Time
		want          string // empty: ready
	}{
		"right":                                {sign: true, now: start.Add(time.Second)},
		"a little back":                        {sign: true, now: start.Add(-time.Second)},
		"set back":                             {sign: true, now: start.Add(-time.Hour), want: "was set back by 1h0m0s"},
		"behind what was given out":            {sign: true, restart: true, now: start.Add(-time.Hour), want: "behind the last signing time"},
		"far behind it":                        {sign: true, restart: true, now: start.Add(-2 * time.Hour), want: "the newest signing time given out is"},
		"far ahead of it":                      {sign: true, restart: true, now: start.AddDate(0, 2, 0), want: "this signer worked last at"},
		"set ahead":                            {sign: true, now: setAhead(start, time.Hour), want: "was set ahead by 1h0m0s"},
		"set ahead before the first signature": {now: setAhead(start, time.Hour)},
		"set right before the first signature": {now: start.Add(-time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			w := newWorld(t)
			w.at = start
			w.put("build", KindAWS)
			if c.sign {
				w.sign("build")
			}
			if err := w.CheckClock(ctx); err != nil {
				t.Fatal(err)
			}
			w.at = c.now
			if c.restart {
				w.Service = w.service()
			}
			for range 2 { // asking changes nothing
				if err := w.CheckClock(ctx); c.want != "" {
					wantFault(t, err, FaultUnavailable, c.want)
				} else if err != nil {
					t.Error(err)
				}
			}
			if _, err := w.SignPayload(ctx, admin(ours), signInput("build")); c.want != "" {
				wantFault(t, err, FaultUnavailable, c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheIssueProbeFailsWhenSigningWould(t *testing.T) {
	for name, c := range map[string]struct {
		end, life time.Duration
		want      string // empty: ready
	}{
		"long before the end":          {end: 49 * time.Hour},
		"two leaves before the end":    {end: 48 * time.Hour, want: "ends at 2026-11-24T04:30:15Z, too soon"},
		"long leaves, long before":     {end: 61 * day, life: 31 * day, want: "too soon to issue under it"},
		"not begun, as the clock says": {end: -2 * time.Hour, want: "is valid from 2026-11-22T03:30:15Z only"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			w := newWorld(t)
			end := worldStart.Add(c.end)
			if c.end < 0 {
				end = worldStart.AddDate(5, 0, 0)
				w.sleep(c.end)
			}
			in, err := makeIntermediate(end)
			if err != nil {
				t.Fatal(err)
			}
			w.Intermediate, w.LeafLife = in, c.life
			w.put("build", KindAWS)
			probe := w.CheckIssue(ctx)
			_, err = w.SignPayload(ctx, admin(ours), signInput("build"))
			if c.want == "" {
				if probe != nil || err != nil {
					t.Errorf("got %v and %v", probe, err)
				}
				return
			}
			wantFault(t, probe, FaultUnavailable, c.want)
			wantFault(t, err, FaultUnavailable, c.want)
		})
	}
}
