package watch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// MemoryStore is a Store within one process: what it remembers is gone with
// it. It remembers at most limits.WatchMemoryEntries of each kind, and forgets
// the oldest then: what was decided or told that long ago may be again. The
// zero value is ready for use.
type MemoryStore struct {
	mu       sync.Mutex
	last     int
	claims   map[string]*claimed
	tellings map[tellingKey]*told
	counts   map[string]*counted
	inUse    map[string]inUse
	// Off is what ReactionsOff answers. Set before use.
	Off bool
}

type claimed struct {
	done    bool
	version int64     // newest that is done
	at      time.Time // when it was done, or claimed
	token   string    // of who holds a claim; empty: nobody
	held    int64     // the version that is held
	until   time.Time
}

type tellingKey struct{ id, state, to string }

func keyOf(t Telling) tellingKey { return tellingKey{t.ID, string(t.State), t.To} }

type told struct {
	Telling
	at    time.Time // when it was told; zero: it was not
	until time.Time // while somebody has the turn to tell it; zero: nobody has
}

type counted struct {
	n       int
	expires time.Time
}

// Begin is Store's.
func (m *MemoryStore) Begin(ctx context.Context, c Claim, now time.Time, lease time.Duration) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.claims[c.Key]
	switch {
	case have == nil:
		m.claims = room(m.claims, func(a *claimed) time.Time { return a.at })
		have = &claimed{}
		m.claims[c.Key] = have
	case have.done && c.Version == have.version:
		return "", ErrDuplicate
	case have.done && c.Version < have.version:
		return "", ErrOlder
	case have.token != "" && now.Before(have.until):
		return "", ErrBusy
	}
	m.last++
	have.token, have.held, have.until, have.at = fmt.Sprint(m.last), c.Version, now.Add(lease), now
	return have.token, nil
}

// Done is Store's.
func (m *MemoryStore) Done(ctx context.Context, c Claim, token string, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.claims[c.Key]
	if have == nil || token == "" || have.token != token || have.held != c.Version {
		return ErrLost
	}
	*have = claimed{done: true, version: c.Version, at: now}
	return nil
}

// Release is Store's.
func (m *MemoryStore) Release(ctx context.Context, c Claim, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.claims[c.Key]
	switch {
	case have == nil || have.token != token:
	case have.done:
		have.token, have.held, have.until = "", 0, time.Time{}
	default:
		delete(m.claims, c.Key)
	}
	return nil
}

// Tell is Store's.
func (m *MemoryStore) Tell(ctx context.Context, t Telling, now time.Time, remind, lease time.Duration) (Turn, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.tellings[keyOf(t)]
	if have == nil {
		m.tellings = room(m.tellings, func(a *told) time.Time { return a.Seen })
		have = &told{Telling: t}
		m.tellings[keyOf(t)] = have
	}
	have.Seen, have.Image = now, t.Image
	turn := First
	switch {
	case now.Before(have.until):
		return Silent, nil
	case have.at.IsZero():
	case remind <= 0 || now.Before(have.at.Add(remind)):
		return Silent, nil
	default:
		turn = Again
	}
	have.until = now.Add(lease)
	return turn, nil
}

// Told is Store's.
func (m *MemoryStore) Told(ctx context.Context, t Telling, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.tellings[keyOf(t)]
	if have == nil {
		m.tellings = room(m.tellings, func(a *told) time.Time { return a.Seen })
		have = &told{Telling: t}
		have.Seen = now
		m.tellings[keyOf(t)] = have
	}
	have.at, have.until = now, time.Time{}
	return nil
}

// Untell is Store's.
func (m *MemoryStore) Untell(ctx context.Context, t Telling) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.tellings[keyOf(t)]
	switch {
	case have == nil:
	case have.at.IsZero():
		delete(m.tellings, keyOf(t))
	default:
		have.until = time.Time{}
	}
	return nil
}

// Tellings is Store's.
func (m *MemoryStore) Tellings(ctx context.Context, id string) ([]Telling, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Telling
	for key, have := range m.tellings {
		if key.id == id && !have.at.IsZero() {
			out = append(out, have.Telling)
		}
		if len(out) == limits.WatchTellings {
			break
		}
	}
	return out, nil
}

// Forget is Store's.
func (m *MemoryStore) Forget(ctx context.Context, t Telling) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.tellings[keyOf(t)]
	if have == nil || have.at.IsZero() || have.Seen.After(t.Seen) {
		return false, nil
	}
	delete(m.tellings, keyOf(t))
	return true, nil
}

// Take is Store's.
func (m *MemoryStore) Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, c := range m.counts {
		if c.expires.Before(now) {
			delete(m.counts, name)
		}
	}
	have := m.counts[count]
	if have == nil {
		if len(m.counts) >= limits.WatchMemoryEntries {
			return false, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("there are %d counts, and no more are kept", len(m.counts))}
		}
		if m.counts == nil {
			m.counts = map[string]*counted{}
		}
		have = &counted{expires: expires}
		m.counts[count] = have
	}
	if have.n >= most {
		return false, nil
	}
	have.n++
	return true, nil
}

// inUse is a value, and since when it is in use; zero: ever.
type inUse struct {
	value string
	since time.Time
}

// InUse is Store's.
func (m *MemoryStore) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inUse == nil {
		m.inUse = map[string]inUse{}
	}
	have, known := m.inUse[name]
	switch {
	case !known:
		have = inUse{value: value}
	case have.value != value:
		have = inUse{value, now}
	}
	m.inUse[name] = have
	return have.since, nil
}

// ReactionsOff is Store's.
func (m *MemoryStore) ReactionsOff(ctx context.Context) (bool, error) { return m.Off, ctx.Err() }

// room is the map with room for one more: where it is full, without the oldest
// tenth.
func room[K comparable, V any](m map[K]*V, age func(*V) time.Time) map[K]*V {
	if m == nil {
		return map[K]*V{}
	}
	if len(m) < limits.WatchMemoryEntries {
		return m
	}
	type one struct {
		key K
		at  time.Time
	}
	all := make([]one, 0, len(m))
	for k, v := range m {
		all = append(all, one{k, age(v)})
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for _, o := range all[:len(all)/10+1] {
		delete(m, o.key)
	}
	return m
}
