package signing

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// clockWorld is a world whose clock has a monotonic reading.
func clockWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	start := time.Now()
	w.at = start.Add(worldStart.Sub(start))
	w.put("build", KindStandard)
	return w
}

// pass lets time pass, and sets the clock meanwhile.
func (w *world) pass(d, set time.Duration) { w.at = setAhead(w.at.Add(d), set) }

func (w *world) trySign() error {
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	return err
}

// tend is a round of the upkeep.
func (w *world) tend() error {
	_, err := w.RefreshCRLs(context.Background())
	return err
}

func TestOneLargeStepOfTheClockStopsSigning(t *testing.T) {
	start := time.Now()
	wall := start.Round(0)
	for _, c := range []struct {
		name string
		now  time.Time
		text string
		bare bool // without a monotonic reading
	}{
		{"time passes", start.Add(time.Hour), "", false},
		{"a small correction", setAhead(start.Add(time.Minute), time.Second), "", false},
		{"as much ahead as it may", setAhead(start.Add(time.Hour), limits.ClockStep), "", false},
		{"a minute more", setAhead(start.Add(time.Minute), limits.ClockStep+time.Minute), "ahead by 6m0s", false},
		{"a little back", setAhead(start.Add(time.Second), -3*time.Second), "", false},
		{"far back", setAhead(start, -time.Minute), "back by 1m0s", false},
		{"back, long after the last reading", setAhead(start.Add(time.Hour), -6*time.Second), "back by 6s", false},
		{"far back, by a clock that shows nothing else", wall.Add(-time.Minute), "back by 1m0s", true},
	} {
		k := &clock{last: start}
		k.used.Store(true)
		if c.bare {
			k.last = wall
		}
		err := k.read(c.now, limits.ClockStep)
		if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "if it is right now, restart the signer")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSmallStepsOfTheClockDoNotAddUp(t *testing.T) {
	for _, set := range []time.Duration{-4 * time.Second, 4 * time.Second, 4 * time.Minute} {
		w := clockWorld(t)
		w.sign("build")
		for range 24 * 60 { // two months of them
			w.pass(time.Hour, set)
			if err := w.CheckClock(context.Background()); err != nil {
				t.Fatalf("set by %s each hour: %v", set, err)
			}
		}
		if err := w.trySign(); err != nil {
			t.Errorf("set by %s each hour: %v", set, err)
		}
	}
}

func TestSigningGoesOnByItselfWhenTheReasonIsGone(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		step  time.Duration // a minute after the signature
		stays time.Duration // that it is refused for
		right time.Duration // and then the clock is set by
		ends  bool
	}{
		"a step ahead that is set right":              {step: 24 * time.Hour, stays: time.Hour, right: -24 * time.Hour, ends: true},
		"a step ahead that stays":                     {step: 24 * time.Hour, stays: 30 * day},
		"a step ahead, and one too far back":          {step: 24 * time.Hour, stays: time.Minute, right: -25 * time.Hour},
		"a step back that is set right":               {step: -24 * time.Hour, stays: time.Minute, right: 24 * time.Hour, ends: true},
		"a step back that stays":                      {step: -24 * time.Hour, stays: 23 * time.Hour},
		"a step back that time has made up for":       {step: -10 * time.Minute, stays: 10*time.Minute - time.Second, right: time.Second, ends: true},
		"a step back after which it is set far ahead": {step: -10 * time.Minute, stays: time.Minute, right: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := clockWorld(t)
			w.sign("build")
			w.pass(time.Minute, c.step)
			for range 2 {
				for _, err := range []error{w.CheckClock(ctx), w.trySign(), w.tend()} {
					wantFault(t, err, FaultUnavailable, "was set", "restart the signer")
				}
				w.pass(c.stays/2, 0)
			}
			w.pass(0, c.right)
			for _, err := range []error{w.CheckClock(ctx), w.trySign(), w.tend()} {
				if (err == nil) != c.ends {
					t.Errorf("in the end: %v", err)
				}
			}
		})
	}
}

func TestAClockThatIsPutRightAfterTheStartIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		boot, set time.Duration
		tries     bool          // somebody asks for a signature before it is put right, and gets none
		signs     bool          // and gets one
		until     time.Duration // that signing stops for
	}{
		"some minutes behind":              {boot: -6 * time.Minute, set: 6 * time.Minute},
		"days behind":                      {boot: -2 * day, set: 2 * day, tries: true},
		"half an hour ahead":               {boot: 30 * time.Minute, set: -30 * time.Minute},
		"some seconds ahead, and it signs": {boot: 6 * time.Second, set: -6 * time.Second, signs: true, until: 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := clockWorld(t)
			w.sign("build")
			if err := w.tend(); err != nil {
				t.Fatal(err)
			}
			w.pass(10*time.Hour, c.boot)
			w.Service = w.service()
			_ = w.tend() // the start
			if c.tries || c.signs {
				if err := w.trySign(); (err == nil) != c.signs {
					t.Fatal(err)
				}
			}
			w.pass(time.Second, c.set)
			if err := w.trySign(); (err == nil) != (c.until == 0) {
				t.Errorf("at once: %v", err)
			}
			w.pass(c.until, 0)
			if err := w.trySign(); err != nil {
				t.Errorf("%s later: %v", c.until, err)
			}
			if err := w.tend(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnIdleServerDoesNotTakeAClockThatIsSetBack(t *testing.T) {
	ctx := context.Background()
	for _, restarted := range []bool{false, true} {
		w := clockWorld(t)
		w.sign("build")
		w.pass(10*day, 0)
		want := "was set back by"
		if restarted { // it knows how late it was before, and takes none from then
			if err := w.tend(); err != nil {
				t.Fatal(err)
			}
			w.Service = w.service()
			want = "its newest CRL was made at"
		}
		for range 100 {
			w.pass(time.Hour, 0)
			if err := w.tend(); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(time.Minute, -12*day)
		for _, err := range []error{w.CheckClock(ctx), w.trySign(), w.tend()} {
			wantFault(t, err, FaultUnavailable, want)
		}
	}
}

// A clock that was wrong while nothing was signed leaves nothing behind but
// CRLs, and those are made anew: hours ahead at the start, until NTP sets it
// right, or days for one round of an idle server.
func TestAClockThatWasAheadBeforeAnythingWasSignedBarsNothingOncePutRight(t *testing.T) {
	for name, c := range map[string]struct {
		signs bool // before the start
		idle  int  // hours from the start on
		ahead time.Duration
	}{
		"at the first start": {false, 0, 2 * time.Hour},
		"at a start":         {true, 0, 2 * time.Hour},
		"for one round":      {true, 50, 20 * day},
	} {
		t.Run(name, func(t *testing.T) {
			w := clockWorld(t)
			if c.signs {
				w.sign("build")
				if err := w.tend(); err != nil {
					t.Fatal(err)
				}
			}
			w.pass(time.Hour, 0)
			w.Service = w.service()
			for range c.idle {
				w.pass(time.Hour, 0)
				if err := w.tend(); err != nil {
					t.Fatal(err)
				}
			}
			w.pass(time.Minute, c.ahead)
			if err := w.tend(); err != nil {
				t.Fatal(err)
			}
			w.pass(30*time.Second, -c.ahead)
			for _, err := range []error{w.CheckClock(t.Context()), w.tend(), w.trySign()} {
				if err != nil {
					t.Error(err)
				}
			}
			if made := w.crl(w.intermediate()).ThisUpdate; made.After(w.at) {
				t.Errorf("the CRL is of %s still, at %s", made, w.at)
			}
		})
	}
}

// An idle server is no stranger to its own clock after a month.
func TestAServerThatIsIdleForLongSignsAtOnce(t *testing.T) {
	w := clockWorld(t)
	w.sign("build")
	w.Service = w.service()
	for range 45 * 24 {
		w.pass(time.Hour, 0)
		if err := w.tend(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.trySign(); err != nil {
		t.Error(err)
	}
}

func TestAProfileIsRevokedFromASignaturesTimeThoughTheClockWasSetBack(t *testing.T) {
	w := clockWorld(t)
	job := w.job(w.sign("build").JobID)
	w.pass(time.Minute, -2*time.Hour)
	err := w.RevokeSigningProfile(t.Context(), admin(ours), RevokeSigningProfileInput{
		ProfileName: job.Profile.Name, ProfileVersion: job.Profile.Version, EffectiveTime: job.SignedAt, Reason: "x",
	})
	wantFault(t, err, FaultUnavailable, "the revocation is recorded")
	if got := w.status(job); len(got) == 0 {
		t.Error("it is not recorded")
	}
	err = w.RevokeSigningProfile(t.Context(), admin(ours), RevokeSigningProfileInput{
		ProfileName: job.Profile.Name, ProfileVersion: job.Profile.Version, EffectiveTime: job.SignedAt.Add(time.Minute), Reason: "x",
	})
	wantFault(t, err, FaultValidation, "lies in the future")
}

func TestAClockSetBackUnderASignerIsTakenWhenItStartsAnew(t *testing.T) {
	w := clockWorld(t)
	w.sign("build")
	w.pass(time.Hour, -10*time.Minute)
	wantFault(t, w.trySign(), FaultUnavailable, "was set back", "if it is right now, restart the signer")
	w.Service = w.service()
	if err := w.trySign(); err != nil {
		t.Error(err)
	}
}

func TestNoCRLIsDatedByAClockThatIsRefused(t *testing.T) {
	ctx := context.Background()
	for name, set := range map[string]time.Duration{"ahead": 365 * day, "back": -2 * day} {
		t.Run(name, func(t *testing.T) {
			w := clockWorld(t)
			job := w.job(w.sign("build").JobID)
			if err := w.tend(); err != nil {
				t.Fatal(err)
			}
			before := w.crl(job.Authority)
			w.pass(time.Minute, set)
			if err := w.tend(); !errors.Is(err, ErrClock) {
				t.Errorf("a refresh: %v", err)
			}
			for range 2 { // again changes nothing
				err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"})
				wantFault(t, err, FaultUnavailable, "the revocation is recorded", "made as soon as that is right")
			}
			if got := w.status(job); !slices.Contains(got, job.ARN.String()) {
				t.Errorf("status %v", got)
			}
			if w.crl(job.Authority).Number.Cmp(before.Number) != 0 {
				t.Error("a CRL was made")
			}
			w.pass(time.Minute, -set)
			if err := w.tend(); err != nil {
				t.Fatal(err)
			}
			if got := w.listed(job.Authority); !slices.Equal(got, []string{job.Serial}) {
				t.Errorf("listed %v", got)
			}
		})
	}
}

func TestACRLThatIsDatedAheadIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindStandard)
	id := w.job(w.sign("build").JobID).Authority
	w.at = w.at.Add(40 * time.Minute) // wrong, and nobody can tell
	for _, ca := range []string{id, w.intermediate()} {
		release, err := w.state.revoking.take(context.Background())
		if err == nil {
			err = w.reissue(context.Background(), ca, wholeList)
			release()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.restart(worldStart.Add(time.Minute))
	if err := w.tend(); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{id, w.intermediate()} {
		if l := w.crl(ca); l.ThisUpdate.After(w.at) {
			t.Errorf("the CRL of %s is dated %s at %s", ca, l.ThisUpdate, w.at)
		}
	}
}
