package watch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// keeper is a notifier that keeps what is open, and lists two of them at a time.
type keeper struct {
	pager
	kept []watch.Finding
	by   string // who told it, where that is another
	fail error
}

func (k *keeper) Notify(ctx context.Context, f watch.Finding) error {
	if !f.Resolved {
		k.kept = append(k.kept, f)
	}
	for i := range k.kept {
		if one := &k.kept[i]; one.ID == f.ID && one.Subject.Cluster == f.Subject.Cluster && slices.Contains(f.Ends, one.State) {
			one.Resolved = true
		}
	}
	return k.pager.Notify(ctx, f)
}

func (k *keeper) open() (all []watch.Finding) {
	return slices.DeleteFunc(slices.Clone(k.kept), func(f watch.Finding) bool { return f.Resolved })
}

func (k *keeper) Open(_ context.Context, page string) (all []watch.Listed, next string, err error) {
	from := 0
	if page != "" {
		_, _ = fmt.Sscan(page, &from)
	}
	for i := from; i < len(k.kept) && next == "" && k.fail == nil; i++ {
		if !k.kept[i].Resolved {
			all = append(all, watch.Listed{Finding: k.kept[i], Own: k.by == ""})
		}
		if len(all) == 2 {
			next = fmt.Sprint(i + 1)
		}
	}
	return all, next, k.fail
}

// TestWhatAWholeSweepSawNothingOfIsOver: where it was kept, and wherever else
// it was told.
func TestWhatAWholeSweepSawNothingOfIsOver(t *testing.T) {
	s := newScene(t)
	server := &keeper{pager: pager{name: "server"}}
	s.Routes = append(s.Routes, watch.Route{Notifier: server})
	of := func(group string, kind watch.SubjectKind, at time.Time) watch.Observation {
		o := task(group, at.UnixMilli(), "reg.example/"+group+":1")
		o.Subject.Kind, o.Subject.Group, o.Phase, o.At, o.Last = kind, "service:"+group, watch.Swept, at, true
		return o
	}
	prod := func(of *watch.Subject) bool { return of.Kind != watch.Image && of.Cluster == "prod" }
	sweep := func(covers func(*watch.Subject) bool, groups ...string) string {
		t.Helper()
		s.after(6 * time.Hour)
		began := s.Now()
		for _, g := range groups {
			s.observe(of(g, watch.Task, began), watch.Decided)
		}
		if _, err := s.EndSweep(t.Context(), began, covers); err != nil {
			t.Fatal(err)
		}
		mine, its := s.pager.take(), server.take()
		if mine != its {
			t.Fatalf("the pager was told\n%s\nand the server\n%s", mine, its)
		}
		return strings.ReplaceAll(mine, "high app deny unsigned", "bad")
	}
	s.Remind = 0
	elsewhere := of("elsewhere", watch.Task, begin)
	elsewhere.Subject.Cluster = "staging"
	pushed := of("pushed", watch.Image, begin)
	for _, o := range []watch.Observation{elsewhere, pushed} {
		s.observe(o, watch.Decided)
	}
	if got := sweep(prod, "a", "b", "c"); got != "bad\nbad\nbad\nbad\nbad" {
		t.Fatal(got)
	}
	if got := sweep(nil, "a"); got != "" {
		t.Fatalf("a sweep that says not what it covers: %q", got)
	}
	s.gate.say("reg.example/b:1", unknown)
	if got := sweep(prod, "a", "b"); got != "medium app undecided registry-throttled\nresolved app" {
		t.Fatalf("c is gone, and b could not be checked: %q", got)
	}
	open := map[string]bool{}
	for _, f := range server.open() {
		open[f.Subject.Group] = true
	}
	if len(open) != 4 || open["service:c"] {
		t.Errorf("open: %v", open)
	}
	if got := sweep(prod, "a", "b", "c"); got != "bad" {
		t.Fatalf("it came back: %q", got)
	}
	// What an event told of since the sweep began is there.
	s.after(6 * time.Hour)
	began := s.Now()
	s.after(time.Minute)
	late := of("b", watch.Task, began)
	late.Phase, late.Version = watch.Running, 3
	s.gate.say("reg.example/b:1", said{outcome: bad.outcome, code: bad.code, rule: "shop", digest: digest.FromString("reg.example/b:1")})
	for _, g := range []string{"a", "c"} {
		s.observe(of(g, watch.Task, began), watch.Decided)
	}
	s.observe(late, watch.Decided)
	if _, err := s.EndSweep(t.Context(), began, prod); err != nil {
		t.Fatal(err)
	}
	s.told("")
	// Where it cannot be asked what is open, nothing is over.
	server.fail = errors.New("nobody answers")
	s.after(6 * time.Hour)
	if told, err := s.EndSweep(t.Context(), s.Now(), prod); err == nil || !strings.Contains(err.Error(), "server") || len(told) != 0 {
		t.Errorf("%v, %v", told, err)
	}
	server.fail = nil
	if got := sweep(prod); strings.Count(got, "resolved app") != 3 || len(server.open()) != 2 {
		t.Errorf("all is gone: %q, and kept %d", got, len(server.open()))
	}
	if got := sweep(prod); got != "" {
		t.Errorf("told once more: %q", got)
	}
}

// TestWhatASweepSeesUnderAnotherNameIsNotGone: a call that deploys an image may
// name no container; the sweep finds it with the container's name.
func TestWhatASweepSeesUnderAnotherNameIsNotGone(t *testing.T) {
	s := newScene(t)
	server := &keeper{pager: pager{name: "server"}}
	s.Routes = append(s.Routes, watch.Route{Notifier: server})
	o := task("svc", 1, app)
	o.Subject.Kind, o.Phase, o.Images[0].Name = watch.Service, watch.Deployed, ""
	s.observe(o, watch.Decided)
	s.told("high  deny unsigned")
	s.after(6 * time.Hour)
	began := s.Now()
	o = swept("svc", began, app)
	o.Subject.Kind = watch.Service
	s.observe(o, watch.Decided)
	if _, err := s.EndSweep(t.Context(), began, func(*watch.Subject) bool { return true }); err != nil {
		t.Fatal(err)
	}
	s.told("high app deny unsigned")
	if n := len(server.open()); n != 2 {
		t.Errorf("%d are open", n)
	}
}

// TestWhatIsOpenAndNobodyRemembersIsOver: who keeps what was told and what was
// decided was away between that it was forgotten and told to be over.
func TestWhatIsOpenAndNobodyRemembersIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		shared     bool
		by         string
		remembered bool // the store knows of it
		after      time.Duration
		sees       string // what the sweep sees of it
		over       bool
	}{
		"it is gone":                               {shared: true, over: true},
		"it is admitted":                           {shared: true, sees: "good", over: true},
		"it is bad still":                          {shared: true, sees: "bad"},
		"it could not be checked":                  {shared: true, sees: "dark"},
		"another told of it":                       {shared: true, by: "another"},
		"each instance remembers for itself":       {},
		"it was told since the sweep began":        {shared: true, after: time.Second},
		"the store knows that it was seen since":   {shared: true, remembered: true, after: time.Second},
		"the store knows of it, and it is not new": {shared: true, remembered: true, over: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Shared = c.shared
			server := &keeper{pager: pager{name: "server"}, by: c.by}
			s.Routes = append(s.Routes, watch.Route{Notifier: server})
			s.gate.say(app, bad)
			began := s.Now().Add(6 * time.Hour)
			if c.after > 0 {
				began = s.Now().Add(-c.after)
			}
			s.observe(task("a", 1, app), watch.Decided)
			s.told("high app deny unsigned")
			if !c.remembered {
				s.Store = &watch.MemoryStore{} // it lost it
			}
			s.after(6 * time.Hour)
			if c.sees != "" {
				s.gate.say(app, map[string]said{"good": good, "bad": bad, "dark": unknown}[c.sees])
				o := swept("a", began, app)
				o.Last = true
				s.observe(o, watch.Decided)
				s.pager.take()
			}
			for range 2 {
				if _, err := s.EndSweep(t.Context(), began, func(*watch.Subject) bool { return true }); err != nil {
					t.Fatal(err)
				}
				if c.sees == "" && c.over {
					s.told("resolved app") // wherever it was told, and once
					c.sees = "told"
				}
			}
			open := slices.DeleteFunc(server.open(), func(f watch.Finding) bool { return f.Outcome != pipeline.Deny })
			if (len(open) == 0) != c.over {
				t.Errorf("%d are open", len(open))
			}
		})
	}
}

func TestWhoKeepsWhatIsOverIsToldUntilHeHearsIt(t *testing.T) {
	s := newScene(t)
	s.Shared = true
	server := &keeper{pager: pager{name: "server"}}
	s.Routes = append(s.Routes, watch.Route{Notifier: server})
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny unsigned")
	s.Store = &watch.MemoryStore{}
	s.after(6 * time.Hour)
	everything := func(*watch.Subject) bool { return true }
	server.pager.fail = true
	if _, err := s.EndSweep(t.Context(), s.Now(), everything); err == nil {
		t.Error("no error")
	}
	s.told("") // nor others
	server.pager.fail = false
	for i := range server.kept {
		server.kept[i].Resolved = false // who does not answer keeps nothing
	}
	if _, err := s.EndSweep(t.Context(), s.Now(), everything); err != nil || len(server.open()) != 0 {
		t.Errorf("%v, %d are open", err, len(server.open()))
	}
	s.told("resolved app")
}

// slowKeeper tells of what it has that is told anew before it hears of an end.
type slowKeeper struct {
	keeper
	again func() // once, after the list was read
}

func (k *slowKeeper) Open(ctx context.Context, page string) ([]watch.Listed, string, error) {
	all, next, err := k.keeper.Open(ctx, page)
	if k.again != nil {
		again := k.again
		k.again = nil
		again()
	}
	return all, next, err
}

// TestWhatIsBeingToldAgainWhileItsEndIsIsOpen: a turn that is taken is not yet on
// record as told.
func TestWhatIsBeingToldAgainWhileItsEndIsIsOpen(t *testing.T) {
	s := newScene(t)
	s.Shared = true
	var kept watch.Kept
	server := &slowKeeper{keeper: keeper{pager: pager{name: "server"}}}
	s.Routes = append(s.Routes, watch.Route{Notifier: server})
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny unsigned")
	first := server.kept[0]
	kept.Add(first, "lambda", s.Now())
	s.Store = &watch.MemoryStore{} // it lost it
	s.after(6 * time.Hour)
	began := s.Now()
	anew := first
	server.again = func() {
		if _, err := s.Store.Tell(t.Context(), watch.Telling{ID: first.ID, State: first.State, To: "server"}, s.Now(), 0, time.Hour); err != nil {
			t.Fatal(err)
		}
		anew.Time = s.Now()
		s.after(time.Second)
	}
	told, err := s.EndSweep(t.Context(), began, func(*watch.Subject) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	kept.Add(anew, "lambda", s.Now())
	for _, d := range told {
		if d.To == "server" && slices.Contains(d.Finding.Ends, first.State) {
			kept.End(d.Finding, "lambda", s.Now())
		}
	}
	if kept.Over.IsZero() || !kept.Open() {
		t.Errorf("told %d; over %s, last %s", len(told), kept.Over, kept.Last)
	}
}

// countedStore counts how often it is asked what was told.
type countedStore struct {
	watch.Store
	asked int
}

func (c *countedStore) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	c.asked++
	return c.Store.Tellings(ctx, id)
}

// TestOneSweepSaysOfSoManyThatNoStoreKnowsThatTheyAreOver: a table that was made
// anew is no flood, and of one finding it is asked once.
func TestOneSweepSaysOfSoManyThatNoStoreKnowsThatTheyAreOver(t *testing.T) {
	s := newScene(t)
	s.Shared = true
	server := &keeper{pager: pager{name: "server"}}
	s.Routes = append(s.Routes, watch.Route{Notifier: server})
	s.observe(task("a", 1, app), watch.Decided)
	one := server.kept[0]
	const more = 30
	for i := range limits.WatchGoneEnds + more - 1 {
		one.State = sha(fmt.Sprint(i))
		server.kept = append(server.kept, one)
	}
	store := &countedStore{Store: &watch.MemoryStore{}}
	s.Store = store
	s.after(6 * time.Hour)
	for _, left := range []int{more, 0} {
		store.asked = 0
		if _, err := s.EndSweep(t.Context(), s.Now(), func(*watch.Subject) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if n := len(server.open()); n != left || store.asked != 1 {
			t.Errorf("%d are open, and it was asked %d times", n, store.asked)
		}
	}
}
