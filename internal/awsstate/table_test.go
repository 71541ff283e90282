package awsstate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
	"github.com/shuin/shuin/watch/storetest"
)

func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

var (
	ctx = context.Background()
	t0  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestATableIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) watch.Store {
		s, _ := newTable(t)
		return s
	})
}

// once answers the first call of an operation with status and body; with a
// negative status the call is carried out, and its answer lost.
func once(operation string, status int, body string) func(string, int) (int, string) {
	return func(op string, n int) (int, string) {
		if op == operation && n == 1 {
			return status, body
		}
		return 0, ""
	}
}

func TestAChangeWhoseAnswerGotLostIsOnesOwn(t *testing.T) {
	lost := once("UpdateItem", -http.StatusServiceUnavailable, "")
	claim := watch.Claim{Key: "task/a", Version: 4}
	one := watch.Telling{ID: strings.Repeat("0", 32), State: digest.FromString("a"), To: "chat", Seen: t0}
	t.Run("a claim", func(t *testing.T) {
		s, f := newTable(t)
		f.before = lost
		token, err := s.Begin(ctx, claim, t0, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Done(ctx, claim, token, t0); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a decision", func(t *testing.T) {
		s, f := newTable(t)
		token, err := s.Begin(ctx, claim, t0, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		f.before, f.calls["UpdateItem"] = lost, 0
		if err := s.Done(ctx, claim, token, t0); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a turn to tell, what was told, and what was forgotten", func(t *testing.T) {
		s, f := newTable(t)
		f.before = lost
		if turn, err := s.Tell(ctx, one, t0, 0, time.Minute); turn != watch.First || err != nil {
			t.Fatal(turn, err)
		}
		f.calls["UpdateItem"] = 0
		if err := s.Told(ctx, one, t0); err != nil {
			t.Fatal(err)
		}
		f.calls["UpdateItem"] = 0
		if was, err := s.Forget(ctx, one); !was || err != nil {
			t.Fatal(was, err)
		}
	})
	t.Run("what was forgotten, and told by another since", func(t *testing.T) {
		s, f := newTable(t)
		if _, err := s.Tell(ctx, one, t0, 0, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := s.Told(ctx, one, t0); err != nil {
			t.Fatal(err)
		}
		f.before = func(operation string, n int) (int, string) {
			if operation == "UpdateItem" && n == 3 {
				return -http.StatusInternalServerError, `{"__type":"InternalServerError"}`
			}
			if operation == "UpdateItem" && n == 4 { // another was told to tell it, and did, before it is asked once more
				item := f.items[findingPrefix+one.ID]
				e := readTelling(one.ID, item[tellingName(one)])
				e.told, e.Seen, e.rev = t0.Add(time.Second), t0.Add(time.Second), "another's"
				item[tellingName(one)] = e.attr()
			}
			return 0, ""
		}
		if was, err := s.Forget(ctx, one); was || err != nil {
			t.Error(was, err)
		}
		if left, err := s.Tellings(ctx, one.ID); len(left) != 1 || err != nil {
			t.Errorf("what another told is forgotten: %v, %v", left, err)
		}
	})
}

func TestAStoreThatCannotBeAskedSaysWhy(t *testing.T) {
	const prefix = `{"__type":"com.amazonaws.dynamodb.v20120810#`
	for _, test := range []struct {
		name, body string
		code       shuin.Code
		words      []string
	}{
		{"throttled", prefix + `ProvisionedThroughputExceededException","message":"The level of configured provisioned throughput was exceeded"}`, shuin.CodeThrottled, []string{"provisioned throughput"}},
		{"throttled for the account", prefix + `ThrottlingException","message":"Rate exceeded"}`, shuin.CodeThrottled, nil},
		{"not allowed", `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: arn:aws:iam::111122223333:role/r is not authorized to perform: dynamodb:UpdateItem"}`,
			shuin.CodeForbidden, []string{"dynamodb:UpdateItem", "table shuin"}},
		{"no such table", prefix + `ResourceNotFoundException","message":"Requested resource not found"}`, shuin.CodeNotFound, []string{`string key "id"`}},
		{"a table with another key", prefix + `ValidationException","message":"The provided key element does not match the schema"}`, shuin.CodeInvalidInput, []string{"key element"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, f := newTable(t)
			f.before = func(string, int) (int, string) { return http.StatusBadRequest, test.body }
			_, err := s.Begin(ctx, watch.Claim{Key: "k", Version: 1}, t0, time.Minute)
			if shuin.CodeOf(err) != test.code || errors.Is(err, watch.ErrBusy) {
				t.Errorf("%v of code %s, wanted %s", err, shuin.CodeOf(err), test.code)
			}
			for _, w := range test.words {
				if !strings.Contains(err.Error()+shuin.HintOf(err), w) {
					t.Errorf("%v, %s: lacks %q", err, shuin.HintOf(err), w)
				}
			}
			if test.code == shuin.CodeThrottled && f.calls["UpdateItem"] != limits.AWSTries {
				t.Errorf("tried %d times", f.calls["UpdateItem"])
			}
		})
	}
}

func TestAThrottledChangeIsTriedAgain(t *testing.T) {
	s, f := newTable(t)
	f.before = once("UpdateItem", http.StatusBadRequest, `{"__type":"x#ThrottlingException","message":"Rate exceeded"}`)
	if _, err := s.Begin(ctx, watch.Claim{Key: "k", Version: 1}, t0, time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestAConditionThatFailsWithoutTheItemIsLookedUp(t *testing.T) {
	s, f := newTable(t)
	if _, err := s.Begin(ctx, watch.Claim{Key: "k", Version: 1}, t0, time.Minute); err != nil {
		t.Fatal(err)
	}
	f.before = func(op string, _ int) (int, string) {
		if op == "UpdateItem" {
			return http.StatusBadRequest, `{"__type":"x#ConditionalCheckFailedException"}`
		}
		return 0, ""
	}
	if _, err := s.Begin(ctx, watch.Claim{Key: "k", Version: 1}, t0, time.Minute); !errors.Is(err, watch.ErrBusy) {
		t.Error(err)
	}
}

func TestEveryItemExpiresWhenItMay(t *testing.T) {
	s, f := newTable(t)
	if _, err := s.Begin(ctx, watch.Claim{Key: "k", Version: 1}, t0, time.Minute); err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("0", 32)
	if _, err := s.Tell(ctx, watch.Telling{ID: id, State: digest.FromString("a"), To: "chat"}, t0, 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(ctx, "stop/1", 1, t0, t0.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]time.Time{
		"claim/k": t0.Add(limits.WatchClaimLife), "finding/" + id: t0.Add(limits.WatchToldLife), "count/stop/1": t0.Add(time.Hour),
	} {
		n, ok := f.items[key]["expires"].number()
		if !ok || n < want.Unix() || n > want.Unix()+1 {
			t.Errorf("%s expires at %d, wanted %d", key, n, want.Unix())
		}
	}
}

func TestReactionsAreOffWhileTheItemIsThere(t *testing.T) {
	s, f := newTable(t)
	f.items["reactions-off"] = item{"id": text("reactions-off")}
	if off, err := s.ReactionsOff(ctx); !off || err != nil {
		t.Error(off, err)
	}
	delete(f.items, "reactions-off")
	if off, err := s.ReactionsOff(ctx); off || err != nil {
		t.Error(off, err)
	}
	f.before = func(string, int) (int, string) {
		return http.StatusOK, `{"Item":{"id":{"S":"reactions-off"},"off":{"BOOL":false},"why":{"L":[{"NULL":true}]},"who":{"SS":["a"]}}}`
	}
	if off, err := s.ReactionsOff(ctx); !off || err != nil {
		t.Error("what the item holds beside its id makes a difference:", off, err)
	}
	f.before = func(string, int) (int, string) { return http.StatusOK, `{"Item":` }
	if _, err := s.ReactionsOff(ctx); shuin.CodeOf(err) != shuin.CodeMalformed {
		t.Error(err)
	}
	f.before = func(string, int) (int, string) { return http.StatusInternalServerError, "" }
	if _, err := s.ReactionsOff(ctx); err == nil {
		t.Error("a switch that cannot be seen is no switch that is off")
	}
}

func TestAFindingKeepsNoMoreTellingsThanItMay(t *testing.T) {
	s, f := newTable(t)
	id := strings.Repeat("0", 32)
	all := item{"id": text("finding/" + id)}
	for i := range limits.WatchTellings {
		e := telling{Telling: watch.Telling{ID: id, State: digest.FromString(string(rune('a' + i))), To: "chat", Seen: t0.Add(time.Duration(i) * time.Minute)}, told: t0, rev: "r"}
		all[tellingName(e.Telling)] = e.attr()
	}
	f.items["finding/"+id] = all
	if turn, err := s.Tell(ctx, watch.Telling{ID: id, State: digest.FromString("new"), To: "chat"}, t0.Add(24*time.Hour), 0, time.Minute); turn != watch.First || err != nil {
		t.Fatal(turn, err)
	}
	if n := len(f.items["finding/"+id]); n != limits.WatchTellings+2 { // with id and expires
		t.Errorf("%d attributes", n)
	}
	if _, there := f.items["finding/"+id][tellingName(watch.Telling{ID: id, State: digest.FromString("a"), To: "chat"})]; there {
		t.Error("the oldest is still there")
	}
}

func TestAFindingSeenAgainAtOnceIsNotWrittenAgain(t *testing.T) {
	s, f := newTable(t)
	one := watch.Telling{ID: strings.Repeat("0", 32), State: digest.FromString("a"), To: "chat"}
	if _, err := s.Tell(ctx, one, t0, 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.Told(ctx, one, t0); err != nil {
		t.Fatal(err)
	}
	before := f.calls["UpdateItem"]
	for i := range 10 {
		if turn, err := s.Tell(ctx, one, t0.Add(time.Duration(i)*time.Second), 0, time.Minute); turn != watch.Silent || err != nil {
			t.Fatal(turn, err)
		}
	}
	if f.calls["UpdateItem"] != before {
		t.Error("written", f.calls["UpdateItem"]-before, "times")
	}
}

func TestAFindingLosesWhatNobodyNeedsAnyMore(t *testing.T) {
	s, f := newTable(t)
	id := strings.Repeat("0", 32)
	now := t0.Add(200 * 24 * time.Hour)
	all := item{"id": text("finding/" + id)}
	put := func(state string, seen, told, turn time.Time) {
		e := telling{Telling: watch.Telling{ID: id, State: digest.FromString(state), To: "chat", Seen: seen}, told: told, turn: turn, rev: "r-" + state}
		all[tellingName(e.Telling)] = e.attr()
	}
	day := 24 * time.Hour
	put("open", now.Add(-80*day), now.Add(-80*day), time.Time{})
	put("forgotten", now.Add(-2*day), time.Time{}, time.Time{})
	put("just forgotten", now.Add(-time.Hour), time.Time{}, time.Time{})
	put("being told", now.Add(-2*day), time.Time{}, now.Add(time.Minute))
	put("open for ever", now.Add(-91*day), now.Add(-91*day), time.Time{})
	for i := range 3 * limits.StateDrops {
		put(fmt.Sprint("old", i), now.Add(-10*day), time.Time{}, time.Time{})
	}
	f.items["finding/"+id] = all
	for i := range 5 {
		if turn, err := s.Tell(ctx, watch.Telling{ID: id, State: digest.FromString(fmt.Sprint("new", i)), To: "chat"}, now, 0, time.Minute); turn != watch.First || err != nil {
			t.Fatal(turn, err)
		}
	}
	left := map[string]bool{}
	for name, a := range f.items["finding/"+id] {
		if strings.HasPrefix(name, tellingPrefix) {
			left[a.M["state"].text()] = true
		}
	}
	for _, state := range []string{"open", "just forgotten", "being told", "new0", "new4"} {
		if !left[digest.FromString(state).String()] {
			t.Errorf("%s is gone", state)
		}
	}
	if len(left) != 3+5 {
		t.Errorf("%d are left", len(left))
	}
}
