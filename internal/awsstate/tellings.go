package awsstate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// An item of a finding: id, expires, and for each state and notifier one
// attribute "t-" and a hash, a map: state, to, image, seen, told (absent where
// it was not), turn (until when somebody has it; absent: nobody) and rev
// (another with each change: what changes are conditional on).
const tellingPrefix = "t-"

func tellingName(t watch.Telling) string {
	sum := sha256.Sum256([]byte(string(t.State) + "\n" + t.To))
	return tellingPrefix + hex.EncodeToString(sum[:12])
}

// telling is one state of a finding and one notifier, as it is kept.
type telling struct {
	watch.Telling
	told, turn time.Time // zero: never, nobody
	rev        string
}

func (e telling) attr() attr {
	m := map[string]attr{"state": text(string(e.State)), "to": text(e.To), "seen": millis(e.Seen), "rev": text(e.rev)}
	if e.Image != "" {
		m["image"] = text(string(e.Image))
	}
	if !e.told.IsZero() {
		m["told"] = millis(e.told)
	}
	if !e.turn.IsZero() {
		m["turn"] = millis(e.turn)
	}
	return attr{M: m}
}

func readTelling(id string, a attr) telling {
	return telling{
		Telling: watch.Telling{ID: id, State: digest.Digest(a.M["state"].text()), To: a.M["to"].text(), Image: digest.Digest(a.M["image"].text()), Seen: a.M["seen"].time()},
		told:    a.M["told"].time(), turn: a.M["turn"].time(), rev: a.M["rev"].text(),
	}
}

// Expressions on tellings.
const (
	tellSet    = "SET #t = :t, #expires = :expires"
	tellDrop   = " REMOVE "
	tellIfNew  = "attribute_not_exists(#t)"
	tellIfSame = "#t.#rev = :rev"
)

// alter reads a telling, has do decide about it, and writes what it decided
// where nobody was faster; else again. do is given a telling that was never
// told where there is none. It gives what is to be written, or nil to leave all
// as it is; it may be called several times.
//
// What was forgotten stays for a while, as never told, for a change is known by
// its rev. So an answer that got lost is not taken for another's change.
func (t *Table) alter(ctx context.Context, doing string, want watch.Telling, do func(have telling) *telling) error {
	name, mine := tellingName(want), ""
	for range limits.StateTries {
		all, err := t.get(ctx, doing, findingPrefix+want.ID)
		if err != nil {
			return err
		}
		have := telling{Telling: want}
		have.Seen = time.Time{}
		if a, ok := all[name]; ok {
			have = readTelling(want.ID, a)
		}
		if mine != "" && have.rev == mine {
			return nil
		}
		next := do(have)
		if next == nil {
			return nil
		}
		next.rev = t.Random()
		mine = next.rev
		if _, err = t.update(ctx, doing, tellUpdate(name, all, have, *next)); !errors.Is(err, errCondition) {
			return err
		}
	}
	return &shuin.Error{Code: shuin.CodeThrottled, Message: fmt.Sprintf("%s: others changed it %d times in between", doing, limits.StateTries), Hint: "try again"}
}

// tellUpdate writes next in have's place, as long as have is there, and leaves
// out some of what nobody needs any more, as long as that is as it was.
func tellUpdate(name string, all item, have, next telling) update {
	u := update{
		id: findingPrefix + next.ID, set: tellSet, condition: tellIfNew,
		names:  map[string]string{"#t": name, "#expires": "expires"},
		values: item{":t": next.attr(), ":expires": seconds(next.Seen.Add(limits.WatchToldLife))},
	}
	gone := spent(all, name, next.Seen)
	if have.rev != "" {
		u.condition = tellIfSame
		u.names["#rev"], u.values[":rev"] = "rev", text(have.rev)
	} else if old := oldest(all); old != "" && len(gone) == 0 {
		gone = []string{old}
	}
	for i, old := range gone {
		drop, rev := fmt.Sprint("#old", i), fmt.Sprint(":old", i)
		if i == 0 {
			u.set += tellDrop
		} else {
			u.set += ", "
		}
		u.set += drop
		u.condition += " AND " + drop + ".#rev = " + rev
		u.names[drop], u.names["#rev"], u.values[rev] = old, "rev", text(all[old].M["rev"].text())
	}
	return u
}

// spent are tellings, but for name, that nobody needs any more at now: forgotten
// ones whose last change is no other's retry by now, and what was not seen for
// as long as anything is remembered. A few at a time.
func spent(all item, name string, now time.Time) (names []string) {
	for k, a := range all {
		if !strings.HasPrefix(k, tellingPrefix) || k == name {
			continue
		}
		e := readTelling("", a)
		life := limits.WatchToldLife
		if e.told.IsZero() && !now.Before(e.turn) {
			life = limits.StateForgotten
		}
		if e.Seen.Before(now.Add(-life)) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	return names[:min(len(names), limits.StateDrops)]
}

// oldest is the attribute of the telling that was seen longest ago, where
// there are as many as may be; else empty.
func oldest(all item) (name string) {
	n := 0
	var at time.Time
	for k, a := range all {
		if !strings.HasPrefix(k, tellingPrefix) {
			continue
		}
		n++
		if seen := a.M["seen"].time(); name == "" || seen.Before(at) {
			name, at = k, seen
		}
	}
	if n < limits.WatchTellings {
		return ""
	}
	return name
}

// Tell is watch.Store's.
func (t *Table) Tell(ctx context.Context, want watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	var turn watch.Turn
	err := t.alter(ctx, "ask whether a finding was told", want, func(e telling) *telling {
		fresh := e.rev != "" && !now.After(e.Seen.Add(limits.WatchSeenEvery)) && e.Image == want.Image
		e.Seen, e.Image = now, want.Image
		switch {
		case now.Before(e.turn):
			turn = watch.Silent
		case e.told.IsZero():
			turn = watch.First
		case remind <= 0 || now.Before(e.told.Add(remind)):
			turn = watch.Silent
		default:
			turn = watch.Again
		}
		if turn != watch.Silent {
			e.turn = now.Add(lease)
		} else if fresh {
			return nil
		}
		return &e
	})
	if err != nil {
		return 0, err
	}
	return turn, nil
}

// Told is watch.Store's.
func (t *Table) Told(ctx context.Context, want watch.Telling, now time.Time) error {
	return t.alter(ctx, "record that a finding was told", want, func(e telling) *telling {
		if e.rev == "" {
			e.Seen = now
		}
		e.told, e.turn = now, time.Time{}
		return &e
	})
}

// Untell is watch.Store's.
func (t *Table) Untell(ctx context.Context, want watch.Telling) error {
	return t.alter(ctx, "record that a finding was not told", want, func(e telling) *telling {
		if e.turn.IsZero() {
			return nil
		}
		e.turn = time.Time{}
		return &e
	})
}

// Forget is watch.Store's.
func (t *Table) Forget(ctx context.Context, want watch.Telling) (bool, error) {
	was := false
	err := t.alter(ctx, "forget that a finding was told", want, func(e telling) *telling {
		if was = !e.told.IsZero() && !e.Seen.After(want.Seen); !was {
			return nil
		}
		e.told, e.turn = time.Time{}, time.Time{}
		return &e
	})
	return was && err == nil, err
}

// Tellings is watch.Store's.
func (t *Table) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	all, err := t.get(ctx, "read what was told of a finding", findingPrefix+id)
	if err != nil {
		return nil, err
	}
	var out []watch.Telling
	for name, a := range all {
		if e := readTelling(id, a); strings.HasPrefix(name, tellingPrefix) && !e.told.IsZero() && len(out) < limits.WatchTellings {
			out = append(out, e.Telling)
		}
	}
	return out, nil
}
