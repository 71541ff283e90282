// Package storetest is the one suite that every watch.Store has to pass. It is
// for tests, and decides nothing: what a store has to be is written at
// watch.Store.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/watch"
)

// t0 is when the suite begins; a store is handed its time.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	lease  = time.Minute
	remind = 24 * time.Hour
)

// Run has an empty store from open pass the suite, once for each of its parts.
// open may register its own cleaning up with t. Stores that share what is
// behind them (a table) may be given: no two parts use the same keys.
func Run(t *testing.T, open func(t *testing.T) watch.Store) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, watch.Store)
	}{
		{"a version is decided once", decidedOnce},
		{"an older version than what was decided is dropped", olderDropped},
		{"a newer version is decided after an older one", newerDecided},
		{"one holds a claim, and others are told that it is busy", busy},
		{"a newer version waits for an older one that is held", busyWithOlder},
		{"a claim that was released can be taken at once", released},
		{"releasing leaves what was decided before", releasedKeeps},
		{"a claim whose lease is over can be taken, and its first holder has lost it", lost},
		{"a claim that was lost cannot be released", lostRelease},
		{"keys do not touch each other", keysApart},
		{"of many who claim at once one gets it", claimRace},
		{"a finding is told once", toldOnce},
		{"a finding that could not be sent is told next time", untold},
		{"a reminder that could not be sent is due still", untoldReminder},
		{"who dies while he tells leaves it to the next", tellingLease},
		{"a finding is told again when the reminder is due, and never without one", reminded},
		{"states and notifiers are told apart", statesApart},
		{"tellings are what was told, and when it was last seen", tellings},
		{"what was forgotten was never told", forgotten},
		{"what was seen again since is not forgotten", seenSince},
		{"of many who tell at once one does", tellRace},
		{"of many who forget at once one does", forgetRace},
		{"a count goes no further than it may", counts},
		{"of many who take at once as many get it as may", takeRace},
		{"what is in use is so since it took another's place", inUse},
		{"of many who put another in use all say since when", inUseRace},
		{"reactions are not off unless somebody says so", notOff},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, open(t)) })
	}
}

// key is a key that no other part uses.
func key(t *testing.T, s string) string { return digest.FromString(t.Name()).Encoded()[:16] + "/" + s }

func claim(t *testing.T, version int64) watch.Claim {
	return watch.Claim{Key: key(t, "task/arn:aws:ecs:eu-west-1:111122223333:task/prod/0123"), Version: version}
}

func telling(t *testing.T, state, to string) watch.Telling {
	return watch.Telling{ID: digest.FromString(t.Name()).Encoded()[:32], State: digest.FromString(state), To: to, Image: digest.FromString("image"), Seen: t0}
}

func begin(t *testing.T, s watch.Store, c watch.Claim, now time.Time, want error) string {
	t.Helper()
	token, err := s.Begin(context.Background(), c, now, lease)
	if !errors.Is(err, want) {
		t.Fatalf("Begin(%d): %v, wanted %v", c.Version, err, want)
	}
	if err == nil && token == "" {
		t.Fatal("Begin gave no token")
	}
	return token
}

func done(t *testing.T, s watch.Store, c watch.Claim, token string, now time.Time, want error) {
	t.Helper()
	if err := s.Done(context.Background(), c, token, now); !errors.Is(err, want) {
		t.Fatalf("Done(%d): %v, wanted %v", c.Version, err, want)
	}
}

func release(t *testing.T, s watch.Store, c watch.Claim, token string) {
	t.Helper()
	if err := s.Release(context.Background(), c, token); err != nil {
		t.Fatal("Release:", err)
	}
}

func decidedOnce(t *testing.T, s watch.Store) {
	c := claim(t, 4)
	done(t, s, c, begin(t, s, c, t0, nil), t0.Add(time.Second), nil)
	begin(t, s, c, t0.Add(2*time.Second), watch.ErrDuplicate)
	begin(t, s, c, t0.Add(24*time.Hour), watch.ErrDuplicate)
}

func olderDropped(t *testing.T, s watch.Store) {
	done(t, s, claim(t, 4), begin(t, s, claim(t, 4), t0, nil), t0, nil)
	begin(t, s, claim(t, 3), t0, watch.ErrOlder)
	begin(t, s, claim(t, -1), t0, watch.ErrOlder)
}

func newerDecided(t *testing.T, s watch.Store) {
	for _, v := range []int64{0, 1, 9, 1_772_366_400_000} {
		done(t, s, claim(t, v), begin(t, s, claim(t, v), t0, nil), t0, nil)
	}
	begin(t, s, claim(t, 9), t0, watch.ErrOlder)
}

func busy(t *testing.T, s watch.Store) {
	c := claim(t, 4)
	token := begin(t, s, c, t0, nil)
	begin(t, s, c, t0, watch.ErrBusy)
	begin(t, s, c, t0.Add(lease-time.Second), watch.ErrBusy)
	done(t, s, c, token, t0.Add(lease-time.Second), nil)
	begin(t, s, c, t0.Add(lease), watch.ErrDuplicate)
}

func busyWithOlder(t *testing.T, s watch.Store) {
	token := begin(t, s, claim(t, 4), t0, nil)
	begin(t, s, claim(t, 5), t0, watch.ErrBusy)
	begin(t, s, claim(t, 3), t0, watch.ErrBusy)
	done(t, s, claim(t, 4), token, t0, nil)
	begin(t, s, claim(t, 3), t0, watch.ErrOlder)
	begin(t, s, claim(t, 5), t0, nil)
}

func released(t *testing.T, s watch.Store) {
	c := claim(t, 4)
	release(t, s, c, begin(t, s, c, t0, nil))
	token := begin(t, s, c, t0.Add(time.Second), nil)
	done(t, s, c, token, t0.Add(time.Second), nil)
	release(t, s, c, token)
	begin(t, s, c, t0.Add(2*time.Second), watch.ErrDuplicate)
}

func releasedKeeps(t *testing.T, s watch.Store) {
	done(t, s, claim(t, 4), begin(t, s, claim(t, 4), t0, nil), t0, nil)
	release(t, s, claim(t, 5), begin(t, s, claim(t, 5), t0, nil))
	begin(t, s, claim(t, 4), t0, watch.ErrDuplicate)
	begin(t, s, claim(t, 3), t0, watch.ErrOlder)
	begin(t, s, claim(t, 5), t0, nil)
}

func lost(t *testing.T, s watch.Store) {
	c := claim(t, 4)
	first := begin(t, s, c, t0, nil)
	second := begin(t, s, c, t0.Add(lease), nil)
	if first == second {
		t.Fatal("two claims with one token")
	}
	done(t, s, c, first, t0.Add(lease), watch.ErrLost)
	done(t, s, c, second, t0.Add(lease), nil)
	done(t, s, c, first, t0.Add(lease), watch.ErrLost)
}

func lostRelease(t *testing.T, s watch.Store) {
	c := claim(t, 4)
	first := begin(t, s, c, t0, nil)
	second := begin(t, s, c, t0.Add(lease), nil)
	release(t, s, c, first)
	begin(t, s, c, t0.Add(lease), watch.ErrBusy)
	done(t, s, c, second, t0.Add(lease), nil)
}

func keysApart(t *testing.T, s watch.Store) {
	a, b := claim(t, 4), claim(t, 4)
	b.Key += "/state"
	done(t, s, a, begin(t, s, a, t0, nil), t0, nil)
	token := begin(t, s, b, t0, nil)
	begin(t, s, a, t0, watch.ErrDuplicate)
	done(t, s, b, token, t0, nil)
}

// atOnce runs f n times at once.
func atOnce(n int, f func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() { <-start; f(i) })
	}
	close(start)
	all.Wait()
}

func claimRace(t *testing.T, s watch.Store) {
	for round := range 5 {
		c := watch.Claim{Key: key(t, fmt.Sprint(round)), Version: 1}
		var got atomic.Int64
		atOnce(16, func(int) {
			switch _, err := s.Begin(context.Background(), c, t0, lease); {
			case err == nil:
				got.Add(1)
			case !errors.Is(err, watch.ErrBusy):
				t.Error(err)
			}
		})
		if got.Load() != 1 {
			t.Fatalf("%d hold the claim", got.Load())
		}
	}
}

func tell(t *testing.T, s watch.Store, one watch.Telling, now time.Time, every time.Duration, want watch.Turn) {
	t.Helper()
	turn, err := s.Tell(context.Background(), one, now, every, lease)
	if err != nil || turn != want {
		t.Fatalf("Tell at %s: %d, %v; wanted %d", now.Sub(t0), turn, err, want)
	}
}

func told(t *testing.T, s watch.Store, one watch.Telling, now time.Time) {
	t.Helper()
	if err := s.Told(context.Background(), one, now); err != nil {
		t.Fatal("Told:", err)
	}
}

func untell(t *testing.T, s watch.Store, one watch.Telling) {
	t.Helper()
	if err := s.Untell(context.Background(), one); err != nil {
		t.Fatal("Untell:", err)
	}
}

func toldOnce(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	tell(t, s, one, t0, remind, watch.First)
	tell(t, s, one, t0, remind, watch.Silent)
	told(t, s, one, t0)
	tell(t, s, one, t0.Add(time.Second), remind, watch.Silent)
	tell(t, s, one, t0.Add(lease+time.Second), remind, watch.Silent)
}

func untold(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	tell(t, s, one, t0, remind, watch.First)
	untell(t, s, one)
	tell(t, s, one, t0.Add(time.Second), remind, watch.First)
	told(t, s, one, t0.Add(time.Second))
	tell(t, s, one, t0.Add(2*time.Second), remind, watch.Silent)
}

func untoldReminder(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	tell(t, s, one, t0, remind, watch.First)
	told(t, s, one, t0)
	tell(t, s, one, t0.Add(remind), remind, watch.Again)
	untell(t, s, one)
	tell(t, s, one, t0.Add(remind-time.Second), remind, watch.Silent)
	tell(t, s, one, t0.Add(remind+time.Second), remind, watch.Again)
}

func tellingLease(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	tell(t, s, one, t0, remind, watch.First)
	tell(t, s, one, t0.Add(lease-time.Second), remind, watch.Silent)
	tell(t, s, one, t0.Add(lease), remind, watch.First)
	told(t, s, one, t0.Add(lease))
	tell(t, s, one, t0.Add(3*lease), remind, watch.Silent)
}

func reminded(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	tell(t, s, one, t0, remind, watch.First)
	told(t, s, one, t0)
	tell(t, s, one, t0.Add(remind-time.Second), remind, watch.Silent)
	tell(t, s, one, t0.Add(10*remind), 0, watch.Silent)
	tell(t, s, one, t0.Add(remind), remind, watch.Again)
	told(t, s, one, t0.Add(remind))
	tell(t, s, one, t0.Add(2*remind-time.Second), remind, watch.Silent)
	tell(t, s, one, t0.Add(2*remind), remind, watch.Again)
}

func statesApart(t *testing.T, s watch.Store) {
	one, state, to := telling(t, "a", "chat"), telling(t, "b", "chat"), telling(t, "a", "pager")
	other := one
	other.ID = digest.FromString("another " + t.Name()).Encoded()[:32]
	for _, x := range []watch.Telling{one, state, to, other} {
		tell(t, s, x, t0, remind, watch.First)
		told(t, s, x, t0)
	}
	for _, x := range []watch.Telling{one, state, to, other} {
		tell(t, s, x, t0.Add(time.Second), remind, watch.Silent)
	}
}

func listed(t *testing.T, s watch.Store, id string) []watch.Telling {
	t.Helper()
	all, err := s.Tellings(context.Background(), id)
	if err != nil {
		t.Fatal("Tellings:", err)
	}
	slices.SortFunc(all, func(a, b watch.Telling) int {
		return slices.Compare([]byte(a.State+"/"+digest.Digest(a.To)), []byte(b.State+"/"+digest.Digest(b.To)))
	})
	return all
}

func tellings(t *testing.T, s watch.Store) {
	a, pager, pending := telling(t, "a", "chat"), telling(t, "a", "pager"), telling(t, "b", "chat")
	if all := listed(t, s, a.ID); len(all) != 0 {
		t.Fatal("told before anything was:", all)
	}
	for _, x := range []watch.Telling{a, pager} {
		tell(t, s, x, t0, remind, watch.First)
		told(t, s, x, t0)
	}
	tell(t, s, pending, t0, remind, watch.First)
	later := t0.Add(time.Hour)
	tell(t, s, a, later, remind, watch.Silent)
	all := listed(t, s, a.ID)
	if len(all) != 2 || all[0].To != "chat" || all[1].To != "pager" || all[0].State != a.State || all[0].Image != a.Image || all[0].ID != a.ID {
		t.Fatalf("told: %+v", all)
	}
	if !all[0].Seen.Equal(later) || !all[1].Seen.Equal(t0) {
		t.Fatalf("seen at %s and %s", all[0].Seen, all[1].Seen)
	}
}

func forget(t *testing.T, s watch.Store, one watch.Telling, want bool) {
	t.Helper()
	if was, err := s.Forget(context.Background(), one); err != nil || was != want {
		t.Fatalf("Forget: %t, %v; wanted %t", was, err, want)
	}
}

func forgotten(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	forget(t, s, one, false)
	tell(t, s, one, t0, remind, watch.First)
	told(t, s, one, t0)
	forget(t, s, one, true)
	forget(t, s, one, false)
	if all := listed(t, s, one.ID); len(all) != 0 {
		t.Fatal("still told:", all)
	}
	tell(t, s, one, t0.Add(time.Second), remind, watch.First)
	told(t, s, one, t0.Add(time.Second))
}

// seenSince: who saw that it is over did not see what another saw meanwhile.
func seenSince(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	tell(t, s, one, t0, remind, watch.First)
	told(t, s, one, t0)
	later := t0.Add(time.Hour)
	tell(t, s, one, later, remind, watch.Silent)
	forget(t, s, one, false)
	one.Seen = later.Add(-time.Second)
	forget(t, s, one, false)
	never := one
	never.Seen = time.Time{}
	forget(t, s, never, false)
	all := listed(t, s, one.ID)
	if len(all) != 1 {
		t.Fatal("told:", all)
	}
	forget(t, s, all[0], true)
}

func tellRace(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	var got atomic.Int64
	atOnce(16, func(int) {
		turn, err := s.Tell(context.Background(), one, t0, remind, lease)
		if err != nil {
			t.Error(err)
		}
		if turn == watch.First {
			got.Add(1)
		}
	})
	if got.Load() != 1 {
		t.Fatalf("%d were to tell it", got.Load())
	}
}

func forgetRace(t *testing.T, s watch.Store) {
	one := telling(t, "a", "chat")
	tell(t, s, one, t0, remind, watch.First)
	told(t, s, one, t0)
	var got atomic.Int64
	atOnce(16, func(int) {
		was, err := s.Forget(context.Background(), one)
		if err != nil {
			t.Error(err)
		}
		if was {
			got.Add(1)
		}
	})
	if got.Load() != 1 {
		t.Fatalf("%d forgot it", got.Load())
	}
}

func take(t *testing.T, s watch.Store, name string, most int, want bool) {
	t.Helper()
	if ok, err := s.Take(context.Background(), name, most, t0, t0.Add(time.Hour)); err != nil || ok != want {
		t.Fatalf("Take of %d: %t, %v; wanted %t", most, ok, err, want)
	}
}

func counts(t *testing.T, s watch.Store) {
	a, b := key(t, "stop-task/minute/1"), key(t, "stop-task/minute/2")
	take(t, s, a, 0, false)
	take(t, s, a, 2, true)
	take(t, s, a, 2, true)
	take(t, s, a, 2, false)
	take(t, s, a, 3, true)
	take(t, s, a, 3, false)
	take(t, s, b, 1, true)
}

func takeRace(t *testing.T, s watch.Store) {
	var got atomic.Int64
	name := key(t, "stop-task/hour/1")
	atOnce(16, func(int) {
		ok, err := s.Take(context.Background(), name, 5, t0, t0.Add(time.Hour))
		if err != nil {
			t.Error(err)
		}
		if ok {
			got.Add(1)
		}
	})
	if got.Load() != 5 {
		t.Fatalf("%d took one of five", got.Load())
	}
}

func inUse(t *testing.T, s watch.Store) {
	uses := func(name, value string, at, want time.Time) {
		t.Helper()
		if since, err := s.InUse(context.Background(), key(t, name), value, at); err != nil || !since.Equal(want) {
			t.Fatalf("%s is %s since %s, %v; wanted %s", name, value, since, err, want)
		}
	}
	day := 24 * time.Hour
	uses("policy", "a", t0, time.Time{})
	uses("policy", "a", t0.Add(day), time.Time{})
	uses("policy", "b", t0.Add(2*day), t0.Add(2*day))
	uses("policy", "b", t0.Add(3*day), t0.Add(2*day))
	uses("trust", "b", t0.Add(3*day), time.Time{})
	uses("policy", "a", t0.Add(4*day), t0.Add(4*day)) // which is a change too
	uses("policy", "a", t0.Add(900*day), t0.Add(4*day))
}

func inUseRace(t *testing.T, s watch.Store) {
	name := key(t, "policy")
	if _, err := s.InUse(context.Background(), name, "a", t0); err != nil {
		t.Fatal(err)
	}
	atOnce(16, func(int) {
		if since, err := s.InUse(context.Background(), name, "b", t0.Add(time.Hour)); err != nil || !since.Equal(t0.Add(time.Hour)) {
			t.Errorf("since %s, %v", since, err)
		}
	})
}

func notOff(t *testing.T, s watch.Store) {
	if off, err := s.ReactionsOff(context.Background()); off || err != nil {
		t.Fatal(off, err)
	}
}
