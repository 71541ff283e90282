package signing

import (
	"context"
	"testing"
	"time"
)

// clockWorld is a world whose clock has a monotonic reading.
func clockWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	start := time.Now()
	w.at = start.Add(worldStart.Sub(start))
	w.put("build", KindAWS)
	return w
}

// pass lets time pass, and sets the clock meanwhile.
func (w *world) pass(d, set time.Duration) { w.at = setAhead(w.at.Add(d), set) }

func (w *world) trySign() error {
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	return err
}

func TestSmallStepsOfTheClockAddUp(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		each, set time.Duration
		idle      bool // only probes meanwhile
		steps     int  // that are taken
		want      string
	}{
		"back, on an idle server":      {each: time.Minute, set: -4 * time.Second, idle: true, steps: 1, want: "was set back by 7.9"},
		"back, between signatures":     {each: time.Minute, set: -4 * time.Second, steps: 1, want: "was set back by 7.9"},
		"a little back, for long":      {each: time.Minute, set: -time.Second, idle: true, steps: 5, want: "was set back by 5.8"},
		"ahead, on an idle server":     {each: time.Minute, set: 4 * time.Minute, idle: true, steps: 1, want: "was set ahead by 7m59.9"},
		"ahead, between signatures":    {each: time.Minute, set: 4 * time.Minute, steps: 1, want: "was set ahead by 7m59.9"},
		"back at once, on an idle one": {each: time.Hour, set: -30 * time.Minute, idle: true, want: "was set back by 29m58"},
		"back at once, and no probe":   {each: time.Hour, set: -30 * time.Minute, want: "was set back by 29m58"},
		"faster than it may be slewed": {each: day, set: -50 * time.Second, idle: true, want: "was set back by 6.8s"},
		"a little more than it may be": {each: time.Minute, set: -6 * time.Second, idle: true, want: "was set back by 5.97s"},
	} {
		t.Run(name, func(t *testing.T) {
			w := clockWorld(t)
			w.sign("build")
			for range c.steps {
				w.pass(c.each, c.set)
				if err := w.CheckClock(ctx); err != nil {
					t.Fatal(err)
				}
				if !c.idle {
					w.sign("build")
				}
			}
			w.pass(c.each, c.set)
			if c.idle {
				wantFault(t, w.CheckClock(ctx), FaultUnavailable, c.want, "restart the signer")
			}
			wantFault(t, w.trySign(), FaultUnavailable, c.want, "restart the signer")
			w.pass(10*time.Minute, -c.set*time.Duration(c.steps+1)) // put right
			if err := w.trySign(); err != nil {
				t.Errorf("put right: %v", err)
			}
		})
	}
}

func TestAClockThatIsSlewedSignsOn(t *testing.T) {
	for _, set := range []time.Duration{-43 * time.Second, 43 * time.Second} {
		w := clockWorld(t)
		for range 100 {
			w.sign("build")
			w.pass(day, set) // no more than 500 ppm
			if err := w.CheckClock(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAServerThatNobodyAsksWatchesItsClock(t *testing.T) {
	ctx := context.Background()
	w := clockWorld(t)
	w.sign("build")
	for hour := range 72 {
		set := time.Duration(0)
		if hour == 40 {
			set = -time.Minute
		}
		w.pass(time.Hour, set)
		if _, err := w.RefreshCRLs(ctx); err != nil { // what the upkeep does, more often
			t.Fatal(err)
		}
	}
	wantFault(t, w.trySign(), FaultUnavailable, "was set back by 58.2s") // it does not wear off
}

func TestAClockSetBackUnderASignerIsTakenWhenItStartsAnew(t *testing.T) {
	w := clockWorld(t)
	w.sign("build")
	w.pass(time.Hour, -time.Minute)
	wantFault(t, w.trySign(), FaultUnavailable, "was set back", "if it is right now, restart the signer")
	w.Service = w.service()
	if err := w.trySign(); err != nil {
		t.Error(err)
	}
}
