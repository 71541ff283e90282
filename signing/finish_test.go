package signing

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
)

// hook runs f before the nth change of the store, which ends with its context
// as a real one does.
type hook struct {
	Store
	n int
	f func()
}

func (h *hook) Update(ctx context.Context, f func(Tx) error) error {
	if h.n--; h.n == 0 {
		h.f()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.Store.Update(ctx, f)
}

func (w *world) clock() (at time.Time) {
	w.t.Helper()
	if err := w.store.View(context.Background(), func(tx Tx) (err error) { at, err = tx.Clock(); return err }); err != nil {
		w.t.Fatal(err)
	}
	return at
}

func TestAWrongClockLeavesNothingBehindWhereNothingWasSigned(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.sign("build")
	before := w.clock()
	w.sleep(30 * 365 * day) // beyond the intermediate: no signature can be made
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "ends at")
	if got := w.clock(); !got.Equal(before) {
		t.Errorf("the clock moved to %s without a signature", got)
	}
	w.sleep(-30*365*day + time.Second)
	w.Service = w.service()
	if j := w.job(w.sign("build").JobID); !j.SignedAt.Equal(before.Add(time.Second)) || !w.clock().Equal(j.SignedAt) {
		t.Errorf("signed at %s, clock %s", j.SignedAt, w.clock())
	}
}

func TestASignatureThatWasOvertakenIsSignedAnew(t *testing.T) {
	for _, kind := range []Kind{KindAWS, KindStandard} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.put("build", kind)
			w.sign("build") // all keys but a leaf's own are there
			var faster *SignPayloadOutput
			h := &hook{Store: w.store, n: 2}
			other := w.Service
			h.f = func() { // before finish
				w.sleep(2 * time.Second)
				faster = w.sign("build")
			}
			s := w.service()
			s.Store = h
			s.state.authorities, s.state.leaves = other.state.authorities, other.state.leaves
			out, err := s.SignPayload(context.Background(), admin(ours), signInput("build"))
			if err != nil {
				t.Fatal(err)
			}
			e, _ := open(t, out.Signature)
			slow, fast := w.job(out.JobID), w.job(faster.JobID)
			if slow.SignedAt.Before(fast.SignedAt) || !e.AuthenticSigningTime.Equal(slow.SignedAt) || !e.Expiry.Equal(slow.Expires) {
				t.Errorf("signed at %s (envelope %s) after one of %s", slow.SignedAt, e.AuthenticSigningTime, fast.SignedAt)
			}
			if l := w.last(); l.Outcome != outcomeOK || !l.Time.Equal(slow.SignedAt) || l.SigningInput != slow.SignatureInput {
				t.Errorf("logged %+v", l)
			}
			if !w.clock().Equal(slow.SignedAt) {
				t.Errorf("clock %s", w.clock())
			}
		})
	}
}

func TestASignatureFarBehindAnotherIsNotGiven(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.sign("build")
	h := &hook{Store: w.store, n: 2, f: func() {
		if err := w.store.Update(context.Background(), func(tx Tx) error { return tx.SetClock(w.now().Add(time.Minute)) }); err != nil {
			t.Fatal(err)
		}
	}}
	s := w.service()
	s.Store = h
	s.state.authorities, s.state.leaves = w.state.authorities, w.state.leaves
	before := w.jobs()
	_, err := s.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "behind the last signing time")
	if l := w.last(); l.Kind != audit.SignResult || l.Outcome != "unavailable" || w.jobs() != before {
		t.Errorf("logged %+v, %d jobs", l, w.jobs())
	}
}

func TestNoSignatureUnderAnyVersionAfterACancel(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.sign("build")
	s := w.service()
	s.state.authorities, s.state.leaves = w.state.authorities, w.state.leaves
	s.Store = &hook{Store: w.store, n: 2, f: func() { // before finish
		w.put("build", KindAWS)
		if err := w.CancelSigningProfile(context.Background(), admin(ours), "build"); err != nil {
			t.Fatal(err)
		}
	}}
	_, err := s.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultValidation, "build is Canceled")
	if w.jobs() != 1 {
		t.Errorf("%d jobs", w.jobs())
	}
}

func TestANewVersionMeanwhileDoesNotStopASignature(t *testing.T) {
	w := newWorld(t)
	p := w.put("build", KindAWS)
	w.sign("build")
	s := w.service()
	s.state.authorities, s.state.leaves = w.state.authorities, w.state.leaves
	s.Store = &hook{Store: w.store, n: 2, f: func() { w.put("build", KindAWS) }}
	out, err := s.SignPayload(context.Background(), admin(ours), signInput("build"))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.job(out.JobID).Profile.String(); got != p.ProfileVersionARN {
		t.Errorf("signed with %s", got)
	}
}

func TestEachAttemptHasAResult(t *testing.T) {
	for _, c := range []struct {
		name, outcome string
		jobs          int
		fails         bool // the store, once, before finish; else the client goes away
	}{
		{"though the client has gone", "ok", 2, false},
		{"though the store failed once", "unavailable", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.put("build", KindAWS)
			w.sign("build")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s := w.service()
			s.state.authorities, s.state.leaves = w.state.authorities, w.state.leaves
			s.Store = &hook{Store: w.store, n: 2, f: func() {
				if cancel(); c.fails {
					w.store.fail = func(*memTx) error { w.store.fail = nil; return errors.New("full") }
				}
			}}
			before := len(w.entries())
			_, err := s.SignPayload(ctx, admin(ours), signInput("build"))
			if (err != nil) != c.fails {
				t.Error(err)
			}
			log := w.entries()[before:]
			if len(log) != 2 || log[0].Kind != audit.SignAttempt || log[1].Kind != audit.SignResult || log[1].Outcome != c.outcome || log[1].Attempt != int64(before) {
				t.Errorf("logged %+v", log)
			}
			if w.jobs() != c.jobs {
				t.Errorf("%d jobs", w.jobs())
			}
		})
	}
}

func TestSigningTimesFollowTheOrderOfTheJobs(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.put("rel", KindStandard)
	done := make(chan error)
	for i := range 8 {
		go func() {
			var err error
			for range 10 {
				w.sleep(50 * time.Millisecond) // in all fewer seconds than finishTries
				_, e := w.SignPayload(context.Background(), admin(ours), signInput([]string{"build", "rel"}[i%2]))
				err = errors.Join(err, e)
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var last time.Time
	for _, k := range w.store.state.jobOrder {
		j := w.store.state.jobs[k]
		if j.SignedAt.Before(last) {
			t.Errorf("a job of %s after one of %s", j.SignedAt, last)
		}
		last = j.SignedAt
	}
	if !w.clock().Equal(last) {
		t.Errorf("clock %s, last %s", w.clock(), last)
	}
}

// revokeLeaves reads jobs back to a little before the effective time, by when
// they were asked for.
func TestASignatureIsNotDatedLongAfterItsRequest(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.sign("build")
	s := w.service()
	s.state.authorities, s.state.leaves = w.state.authorities, w.state.leaves
	s.Store = &hook{Store: w.store, n: 1, f: func() { // while admit waits
		w.sleep(2 * time.Minute)
		w.sign("build")
	}}
	before := w.jobs()
	_, err := s.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "longer than it may")
	if w.jobs() != before+1 {
		t.Errorf("%d jobs, want that of the other signature alone", w.jobs()-before)
	}
}
