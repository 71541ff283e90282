package watch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// between does something once between Tellings and what follows from them.
type between struct {
	watch.Store
	do func()
}

func (b *between) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	all, err := b.Store.Tellings(ctx, id)
	if do := b.do; do != nil && len(all) > 0 {
		b.do = nil
		do()
	}
	return all, err
}

// another is a watcher of another process with the same store.
func (s *scene) another() *watch.Watcher {
	return &watch.Watcher{Gate: s.gate, Store: s.store, Routes: s.Routes, Now: s.Now}
}

func TestWhatAnotherSeesWhileItIsResolvedIsNotOver(t *testing.T) {
	s := newScene(t)
	s.Remind, s.Settle = 0, 1000*time.Hour
	s.gate.say("reg.example/shop:bad", bad)
	s.gate.say(app, good)
	s.observe(task("a", 1, "reg.example/shop:bad"), watch.Decided)
	s.told("high app deny unsigned")
	s.after(30 * time.Hour)
	began := s.Now()
	b := &between{Store: s.store}
	s.Store = b
	s.observe(swept("good", began, app), watch.Decided)
	b.do = func() {
		if r, err := s.another().Observe(t.Context(), task("b", 1, "reg.example/shop:bad")); err != nil || r.Disposition != watch.Decided || len(r.Told) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if _, err := s.EndSweep(t.Context(), began, nil); err != nil {
		t.Fatal(err)
	}
	s.told("")
	s.after(6 * time.Hour) // gone by the next sweep
	began = s.Now()
	s.observe(swept("good", began, app), watch.Decided)
	if _, err := s.EndSweep(t.Context(), began, nil); err != nil {
		t.Fatal(err)
	}
	s.told("resolved app")
}

// noTold is a store that cannot record what was told, so many times.
type noTold struct {
	watch.Store
	times int
}

func (b *noTold) Told(ctx context.Context, x watch.Telling, now time.Time) error {
	if b.times--; b.times >= 0 {
		return errors.New("throttled")
	}
	return b.Store.Told(ctx, x, now)
}

func TestWhatWasSentAndNotRecordedIsSentAgainAndResolved(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	s.Store = &noTold{s.store, 1}
	o := task("a", 1, app)
	s.observe(o, watch.Retry)
	s.told("high app deny unsigned")
	s.after(time.Minute)
	if r := s.observe(o, watch.Retry); !errors.Is(r.Reason, watch.ErrBusy) {
		t.Error("who comes back before the turn to tell is over:", r.Reason)
	}
	s.after(limits.WatchLease)
	s.observe(o, watch.Decided)
	s.told("high app deny unsigned")
	sealed := good
	sealed.digest = bad.digest
	s.gate.say(app, sealed)
	s.observe(task("a", 2, app), watch.Decided)
	s.told("resolved app")
}

// panicking panics the first time.
type panicking struct {
	*pager
	times int
}

func (p *panicking) Notify(ctx context.Context, f watch.Finding) error {
	if p.times--; p.times >= 0 {
		panic("a bad\nindex")
	}
	return p.pager.Notify(ctx, f)
}

func TestANotifierThatPanicsIsToldNextTime(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	other := &pager{name: "other"}
	p := &panicking{s.pager, 1}
	s.Routes = []watch.Route{{Notifier: p}, {Notifier: other}}
	r := s.observe(task("a", 1, app), watch.Retry)
	if !strings.Contains(r.Reason.Error(), "the notifier panicked: a bad index") {
		t.Error(r.Reason)
	}
	s.told("")
	if got := other.take(); got != "high app deny unsigned" {
		t.Error("the others:", got)
	}
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny unsigned")
	sealed := good
	sealed.digest = bad.digest
	s.gate.say(app, sealed)
	p.times = 1
	s.observe(task("a", 2, app), watch.Retry)
	s.told("")
	s.observe(task("a", 2, app), watch.Decided)
	s.told("resolved app")
}

// bounded is a place that can be sent so many states before its time is over.
type bounded struct {
	*pager
	most, ended int
}

func (b *bounded) Notify(ctx context.Context, f watch.Finding) error {
	if f.Resolved {
		if len(f.Ends) > b.most {
			return errors.New("it took too long")
		}
		b.ended += len(f.Ends)
	}
	return b.pager.Notify(ctx, f)
}

func TestWhatHasManyStatesIsResolvedAFewAtATime(t *testing.T) {
	s := newScene(t)
	b := &bounded{pager: s.pager, most: limits.WatchEnds}
	s.Routes = []watch.Route{{Notifier: b}}
	const states = 3*limits.WatchEnds + 1
	for i := range states {
		s.gate.say(app, said{outcome: bad.outcome, code: bad.code, rule: "shop", digest: sha(fmt.Sprint(i))})
		s.observe(task("a", int64(i+1), app), watch.Decided)
	}
	s.pager.take()
	s.after(7 * time.Hour)
	began := s.Now()
	s.gate.say(app, good)
	s.observe(swept("a", began, app), watch.Decided)
	if told, err := s.EndSweep(t.Context(), began, nil); err != nil || len(told) != 4 {
		t.Errorf("%d messages, %v", len(told), err)
	}
	if b.ended != states {
		t.Errorf("%d of %d states are over", b.ended, states)
	}
}

func TestWhatAnotherProcessToldAMomentAgoIsResolved(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, good)
	s.gate.say("reg.example/shop:2", bad)
	s.observe(task("a", 1, app), watch.Decided) // nothing was told of the service
	s.after(10 * time.Second)
	if _, err := s.another().Observe(t.Context(), task("b", 1, "reg.example/shop:2")); err != nil {
		t.Fatal(err)
	}
	s.told("high app deny unsigned")
	sealed := good
	sealed.digest = bad.digest
	s.gate.say("reg.example/shop:2", sealed)
	s.after(20 * time.Second)
	s.observe(task("b", 2, "reg.example/shop:2"), watch.Decided)
	s.told("resolved app")
}

// sleeping is a place whose sending outlasts the turn, and fails.
type sleeping struct {
	*pager
	meanwhile func(watch.Telling)
}

func (p sleeping) Notify(_ context.Context, f watch.Finding) error {
	p.meanwhile(watch.Telling{ID: f.ID, State: f.State, To: p.Name()})
	return errors.New("nobody answers")
}

func TestWhoSleptPastHisTurnDoesNotTakeBackAnothers(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	var one watch.Telling
	turn := func() watch.Turn {
		t.Helper()
		got, err := s.store.Tell(t.Context(), one, s.Now(), 0, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	s.Routes = []watch.Route{{Notifier: sleeping{s.pager, func(it watch.Telling) {
		s.after(limits.WatchLease + time.Second)
		if one = it; turn() != watch.First {
			t.Error("the turn is not over")
		}
	}}}}
	s.observe(task("a", 1, app), watch.Retry)
	if got := turn(); got != watch.Silent {
		t.Errorf("while another sends it a third is answered %d", got)
	}
}

func TestAGoodRevisionEndsWhatWasToldOfAnotherAndSaysThatThatCanBeStarted(t *testing.T) {
	const warning = "a revision with it that is still active can be started"
	s := newScene(t)
	s.gate.say("reg.example/shop:bad", bad)
	s.gate.say(app, good)
	s.observe(definition(5, "reg.example/shop:bad"), watch.Decided)
	s.told("high app deny unsigned")
	s.observe(definition(6, app), watch.Decided)
	s.told("")
	s.after(6 * time.Hour)
	began := s.Now()
	o := definition(6, app) // the newest of its family is all that a sweep looks at
	o.Phase, o.At, o.Version = watch.Swept, began, began.UnixMilli()
	s.observe(o, watch.Decided)
	told, err := s.EndSweep(t.Context(), began, nil)
	if err != nil || len(told) != 1 || !strings.Contains(told[0].Finding.Message, warning) {
		t.Errorf("%+v, %v", told, err)
	}
	s.pager.take()

	s.observe(definition(7, "reg.example/shop:bad"), watch.Decided)
	sealed := good
	sealed.digest = bad.digest
	s.gate.say("reg.example/shop:bad", sealed)
	if r := s.observe(definition(8, "reg.example/shop:bad"), watch.Decided); len(r.Told) != 1 || strings.Contains(r.Told[0].Finding.Message, warning) {
		t.Errorf("that very image: %+v", r.Told)
	}
}
