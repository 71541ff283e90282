package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
	"github.com/shuin/shuin/watch/storetest"
)

// TestWatchersOfOneDatabaseAreStoresOfTheirOwn: each goes through the suite in
// the same database, beside others who had all of it before.
func TestWatchersOfOneDatabaseAreStoresOfTheirOwn(t *testing.T) {
	f := openFindingsTest(t, FindingsOptions{})
	for _, owner := range []string{"eu", "us"} {
		storetest.Run(t, func(*testing.T) watch.Store { return f.State(owner) })
	}
}

// named makes every change under a name of its own, and twice: the first
// answer got lost.
type named struct {
	*Findings
	n *int
}

func (s named) twice() (first, second watch.Store) {
	*s.n++
	once := func() watch.Store { return s.State("lambda").Once(fmt.Sprint(*s.n), told0) }
	return once(), once()
}

func (s named) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	a, b := s.twice()
	first, err := a.Begin(ctx, c, now, lease)
	second, again := b.Begin(ctx, c, now, lease)
	if first != second || !errors.Is(again, err) {
		return "", fmt.Errorf("first %q, %w, and then %q, %w", first, err, second, again)
	}
	return second, again
}
func (s named) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	a, b := s.twice()
	return both(a.Done(ctx, c, token, now), b.Done(ctx, c, token, now))
}
func (s named) Release(ctx context.Context, c watch.Claim, token string) error {
	a, b := s.twice()
	return both(a.Release(ctx, c, token), b.Release(ctx, c, token))
}
func (s named) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	a, b := s.twice()
	first, err := a.Tell(ctx, t, now, remind, lease)
	second, again := b.Tell(ctx, t, now, remind, lease)
	if first != second {
		return 0, fmt.Errorf("first %d, and then %d", first, second)
	}
	return second, both(err, again)
}
func (s named) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	a, b := s.twice()
	return both(a.Told(ctx, t, now), b.Told(ctx, t, now))
}
func (s named) Untell(ctx context.Context, t watch.Telling) error {
	a, b := s.twice()
	return both(a.Untell(ctx, t), b.Untell(ctx, t))
}
func (s named) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	return s.State("lambda").Tellings(ctx, id)
}
func (s named) Forget(ctx context.Context, t watch.Telling) (bool, error) {
	a, b := s.twice()
	first, err := a.Forget(ctx, t)
	second, again := b.Forget(ctx, t)
	if first != second {
		return false, fmt.Errorf("first %t, and then %t", first, second)
	}
	return second, both(err, again)
}
func (s named) Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error) {
	a, b := s.twice()
	first, err := a.Take(ctx, count, most, now, expires)
	second, again := b.Take(ctx, count, most, now, expires)
	if first != second {
		return false, fmt.Errorf("first %t, and then %t", first, second)
	}
	return second, both(err, again)
}
func (s named) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	a, b := s.twice()
	first, err := a.InUse(ctx, name, value, now)
	second, again := b.InUse(ctx, name, value, now)
	if !first.Equal(second) {
		return second, fmt.Errorf("first %s, and then %s", first, second)
	}
	return second, both(err, again)
}
func (s named) ReactionsOff(ctx context.Context) (bool, error) {
	return s.State("lambda").ReactionsOff(ctx)
}

func both(first, second error) error {
	if !errors.Is(second, first) {
		return fmt.Errorf("first %w, and then %w", first, second)
	}
	return second
}

// oneAtATime are the parts of the suite in which nobody else is at it: in
// between two of them a refusal may become an answer.
type oneAtATime struct {
	watch.Store
	turn chan struct{}
}

func (s oneAtATime) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.Store.Begin(ctx, c, now, lease)
}
func (s oneAtATime) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.Store.Tell(ctx, t, now, remind, lease)
}
func (s oneAtATime) Forget(ctx context.Context, t watch.Telling) (bool, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.Store.Forget(ctx, t)
}
func (s oneAtATime) Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.Store.Take(ctx, count, most, now, expires)
}
func (s oneAtATime) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.Store.InUse(ctx, name, value, now)
}

func TestACallThatIsMadeTwiceUnderItsNameIsMadeOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T) watch.Store {
		return oneAtATime{named{openFindingsTest(t, FindingsOptions{}), new(int)}, make(chan struct{}, 1)}
	})
}

// TestAnAnswerIsTheSameWhateverHappenedSince: others came in between.
func TestAnAnswerIsTheSameWhateverHappenedSince(t *testing.T) {
	s := openFindingsTest(t, FindingsOptions{}).State("lambda")
	one := watch.Telling{ID: strings.Repeat("a", 32), State: digest.FromString("s"), To: "chat", Image: digest.FromString("i"), Seen: told0}
	c := watch.Claim{Key: "task/a", Version: 1}
	token, err := s.Once("1", told0).Begin(t.Context(), c, told0, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Once("2", told0).Done(t.Context(), c, token, told0); err != nil {
		t.Fatal(err)
	}
	next, err := s.Once("3", told0).Begin(t.Context(), watch.Claim{Key: c.Key, Version: 2}, told0, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Once("1", told0).Begin(t.Context(), c, told0, time.Minute); err != nil || again != token {
		t.Errorf("Begin: %q, %v; wanted %q", again, err, token)
	}
	if err := s.Once("2", told0).Done(t.Context(), c, token, told0); err != nil {
		t.Errorf("Done: %v", err)
	}
	if err := s.Once("4", told0).Done(t.Context(), watch.Claim{Key: c.Key, Version: 2}, next, told0); err != nil {
		t.Errorf("the next one's claim was touched: %v", err)
	}
	if turn, err := s.Once("5", told0).Tell(t.Context(), one, told0, 0, time.Minute); turn != watch.First || err != nil {
		t.Fatalf("%d, %v", turn, err)
	}
	if err := s.Once("6", told0).Told(t.Context(), one, told0); err != nil {
		t.Fatal(err)
	}
	if was, err := s.Once("7", told0).Forget(t.Context(), one); !was || err != nil {
		t.Fatalf("%t, %v", was, err)
	}
	if err := s.Once("6", told0).Told(t.Context(), one, told0); err != nil { // comes late
		t.Fatal(err)
	}
	if all, err := s.Tellings(t.Context(), one.ID); len(all) != 0 || err != nil {
		t.Errorf("what was forgotten is told again by an old call: %v, %v", all, err)
	}
	// A name is a watcher's own, and forgotten in time.
	if turn, err := openedBeside(t, s).State("other").Once("5", told0).Tell(t.Context(), one, told0, 0, time.Minute); turn != watch.First || err != nil {
		t.Errorf("%d, %v", turn, err)
	}
	late := told0.Add(limits.StateAnswerLife + time.Second)
	for i := range 10 {
		if _, err := s.Once(fmt.Sprint("late", i), late).Take(t.Context(), "n", 1000, told0, told0); err != nil {
			t.Fatal(err)
		}
	}
	rows := int64(0)
	if err := s.f.read(t.Context(), func(c *conn) error {
		return c.query("SELECT count(*) FROM answers WHERE at < ?", func(r row) error { rows = r.number(0); return nil }, late)
	}); err != nil || rows != 0 {
		t.Errorf("%d answers that nobody asks for are left: %v", rows, err)
	}
}

func openedBeside(t *testing.T, s *State) *Findings { t.Helper(); return s.f }

func TestAWatcherHasItsBounds(t *testing.T) {
	f := openFindingsTest(t, FindingsOptions{MostClaims: 5, MostTellings: 5})
	s, other := f.State("lambda"), f.State("other")
	begin := func(s *State, i int) {
		t.Helper()
		if _, err := s.Begin(t.Context(), watch.Claim{Key: fmt.Sprint(i)}, told0.Add(time.Duration(i)*time.Second), time.Hour); err != nil {
			t.Fatal(err)
		}
		one := watch.Telling{ID: fmt.Sprintf("%032x", i), State: digest.FromString("s"), To: "chat"}
		if turn, err := s.Tell(t.Context(), one, told0.Add(time.Duration(i)*time.Second), 0, time.Hour); turn != watch.First || err != nil {
			t.Fatalf("%d, %v", turn, err)
		}
	}
	begin(other, 0)
	for i := range 12 {
		begin(s, i)
	}
	for _, table := range []string{"claims", "tellings"} {
		var mine, others, counted int64
		if err := f.read(t.Context(), func(c *conn) error {
			return c.query("SELECT sum(owner = 'lambda'), sum(owner = 'other'), (SELECT rows FROM owned WHERE owner = 'lambda' AND what = '"+table+"') FROM "+table, func(r row) error {
				mine, others, counted = r.number(0), r.number(1), r.number(2)
				return nil
			})
		}); err != nil || mine != 5 || others != 1 || counted != 5 {
			t.Errorf("%s: %d of the watcher (counted %d), %d of another; %v", table, mine, counted, others, err)
		}
	}
	if _, err := s.Begin(t.Context(), watch.Claim{Key: "11"}, told0.Add(12*time.Second), time.Hour); !errors.Is(err, watch.ErrBusy) {
		t.Errorf("the newest claim: %v", err)
	}
	for i := range limits.StateNames {
		if _, err := s.InUse(t.Context(), fmt.Sprint(i), "v", told0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.InUse(t.Context(), "one more", "v", told0); shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("one more name in use: %v", err)
	}
	if _, err := other.InUse(t.Context(), "one more", "v", told0); err != nil {
		t.Errorf("another's name: %v", err)
	}
	if err := f.write(t.Context(), func(c *conn) error {
		return c.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO counts (owner, name, n, expires) SELECT 'lambda', i, 1, ?2 FROM n", limits.StateCounts, told0.Add(time.Hour))
	}); err != nil {
		t.Fatal(err)
	}
	if took, err := s.Take(t.Context(), "one more", 5, told0, told0.Add(time.Hour)); took || shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("one more count: %t, %v", took, err)
	}
	if took, err := s.Take(t.Context(), "1", 5, told0, told0.Add(time.Hour)); !took || err != nil {
		t.Errorf("a count that is there: %t, %v", took, err)
	}
	if took, err := s.Take(t.Context(), "one more", 5, told0.Add(2*time.Hour), told0.Add(3*time.Hour)); !took || err != nil {
		t.Errorf("when the others are over: %t, %v", took, err)
	}
}

// TestWhatWasDecidedOutlivesANewSchema: the database is of the version before,
// with something of everything in it.
func TestWhatWasDecidedOutlivesANewSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.db")
	first, err := fs.ReadFile(migrations, "findings/00001_findings.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		string(first), fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1)",
		fmt.Sprintf("INSERT INTO claims VALUES ('k', 4, %d, '', 0, 0)", told0.UnixMicro()),
		fmt.Sprintf("INSERT INTO tellings VALUES ('%032x', 's', 'chat', 'i', %d, %[2]d, 0)", 1, told0.UnixMicro()),
		fmt.Sprintf("INSERT INTO counts VALUES ('n', 2, %d)", told0.Add(time.Hour).UnixMicro()),
		"INSERT INTO in_use VALUES ('policy', 'v', NULL)", "INSERT INTO reactions_off VALUES ('x')",
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openFindingsTest(t, FindingsOptions{Path: path}).State("")
	if _, err := s.Begin(t.Context(), watch.Claim{Key: "k", Version: 4}, told0, time.Minute); !errors.Is(err, watch.ErrDuplicate) {
		t.Errorf("Begin: %v", err)
	}
	if all, err := s.Tellings(t.Context(), fmt.Sprintf("%032x", 1)); len(all) != 1 || err != nil {
		t.Errorf("Tellings: %v, %v", all, err)
	}
	if took, err := s.Take(t.Context(), "n", 2, told0, told0); took || err != nil {
		t.Errorf("Take: %t, %v", took, err)
	}
	if since, err := s.InUse(t.Context(), "policy", "w", told0); !since.Equal(told0) || err != nil {
		t.Errorf("InUse: %s, %v", since, err)
	}
	if off, err := s.ReactionsOff(t.Context()); !off || err != nil {
		t.Errorf("ReactionsOff: %t, %v", off, err)
	}
	for _, what := range []string{"claims", "tellings"} {
		n := int64(0)
		if err := s.f.read(t.Context(), func(c *conn) error {
			return c.query("SELECT rows FROM owned WHERE owner = '' AND what = ?", func(r row) error { n = r.number(0); return nil }, what)
		}); n != 1 || err != nil {
			t.Errorf("%s: %d counted, %v", what, n, err)
		}
	}
}
