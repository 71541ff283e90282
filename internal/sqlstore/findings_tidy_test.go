package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// decidesAndTells has a watcher decide and tell so many, at that time by its clock.
func decidesAndTells(t *testing.T, s *State, n int, at time.Time) {
	t.Helper()
	for i := range n {
		c := watch.Claim{Key: fmt.Sprint("task/", at.Unix(), "/", i), Version: 1}
		token, err := s.Begin(t.Context(), c, at, time.Minute)
		if err == nil {
			err = s.Done(t.Context(), c, token, at)
		}
		one := watch.Telling{ID: fmt.Sprintf("%032x", i), State: digest.FromString(at.String()), To: "pager", Image: digest.FromString("x")}
		if err == nil {
			_, err = s.Tell(t.Context(), one, at, 0, time.Minute)
		}
		if err == nil {
			err = s.Told(t.Context(), one, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatAWatcherThatIsGoneDecidedAndToldIsForgotten(t *testing.T) {
	f := openFindingsTest(t, FindingsOptions{})
	now := told0
	decidesAndTells(t, f.State("gone"), 5, now.Add(-limits.WatchToldLife-time.Hour))
	decidesAndTells(t, f.State("quiet"), 5, now.Add(-limits.WatchClaimLife-time.Hour))
	decidesAndTells(t, f.State("lambda"), 5, now.Add(-time.Hour))
	decidesAndTells(t, f.State("ahead"), 5, now.Add(limits.WatchToldLife+time.Hour))
	have := func() string {
		t.Helper()
		text := ""
		if err := f.read(t.Context(), func(c *conn) error {
			return c.query("SELECT owner, what, rows FROM owned ORDER BY owner, what", func(r row) error {
				text += fmt.Sprint(r.text(0), " ", r.text(1), " ", r.number(2), "; ")
				return nil
			})
		}); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if n, err := f.Tidy(t.Context(), now); err != nil || n != 25 {
		t.Fatalf("%d, %v", n, err)
	}
	if got, want := have(), "ahead claims 0; ahead tellings 0; gone claims 0; gone tellings 0; lambda claims 5; lambda tellings 5; quiet claims 0; quiet tellings 5; "; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	if n, err := f.Tidy(t.Context(), now); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	if n, err := f.Tidy(t.Context(), now.Add(limits.WatchToldLife)); err != nil || n != 15 {
		t.Errorf("later: %d, %v", n, err)
	}
}

func TestTidyingTakesAFewRowsAtATime(t *testing.T) {
	f := openFindingsTest(t, FindingsOptions{})
	decidesAndTells(t, f.State("gone"), 7, told0)
	const sql = "DELETE FROM claims WHERE owner = ?1 AND key IN (SELECT key FROM claims WHERE owner = ?1 AND at < ?2 LIMIT ?3)"
	if n, err := f.deleteSome(t.Context(), sql, "gone", told0.Add(time.Second), 2); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Tidy(t.Context(), told0); err == nil {
		t.Error("a database that is closed is tidied")
	}
}
