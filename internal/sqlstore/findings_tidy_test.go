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
	if n, err := f.Tidy(t.Context(), now); err != nil || n != 15 {
		t.Fatalf("%d, %v", n, err)
	}
	if got, want := have(), "ahead claims 5; ahead tellings 5; gone claims 0; gone tellings 0; lambda claims 5; lambda tellings 5; quiet claims 0; quiet tellings 5; "; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	if n, err := f.Tidy(t.Context(), now); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	for i, look := range []struct {
		at     time.Time
		forgot int64
	}{
		{now.Add(limits.WatchToldLife), 15},
		{now.Add(2*limits.WatchToldLife + 2*time.Hour), 0}, // nobody wrote for long: it may be the clock
		{now.Add(2*limits.WatchToldLife + 26*time.Hour), 10},
		{now.Add(2*limits.WatchToldLife + 50*time.Hour), 0},
	} {
		if n, err := f.Tidy(t.Context(), look.at); err != nil || n != look.forgot {
			t.Errorf("look %d: %d, %v", i, n, err)
		}
	}
}

// TestByAClockThatIsWrongNothingIsForgotten: neither at a start, nor while watchers
// go on by theirs.
func TestByAClockThatIsWrongNothingIsForgotten(t *testing.T) {
	for name, clock := range map[string]time.Time{"1970": time.Unix(1000, 0), "before 1970": time.Unix(-1e9, 0), "a month ahead": told0.AddDate(0, 1, 0), "a year ahead": told0.AddDate(1, 0, 0)} {
		f := openFindingsTest(t, FindingsOptions{})
		s := f.State("lambda")
		c := watch.Claim{Key: "task/held", Version: 1}
		token, err := s.Begin(t.Context(), c, told0, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		turn := watch.Telling{ID: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", State: digest.FromString("x"), To: "pager", Image: digest.FromString("x")}
		if _, err := s.Tell(t.Context(), turn, told0, 0, time.Minute); err != nil {
			t.Fatal(err)
		}
		for day := range 3 {
			decidesAndTells(t, s, 5, told0.AddDate(0, 0, day))
			n, err := f.Tidy(t.Context(), clock.AddDate(0, 0, day))
			if ahead := clock.After(told0); n != 0 || (err != nil) != (ahead && day > 0) {
				t.Errorf("%s: forgot %d, %v", name, n, err)
			}
		}
		if again, err := s.Tell(t.Context(), turn, told0.Add(time.Second), 0, time.Minute); err != nil || again != watch.Silent {
			t.Errorf("%s: the turn that somebody has is given again: %d, %v", name, again, err)
		}
		if err := s.Done(t.Context(), c, token, told0.Add(time.Second)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n, err := f.Tidy(t.Context(), told0.AddDate(0, 0, 3)); n != 0 || err != nil {
			t.Errorf("%s: and it is set: forgot %d, %v", name, n, err)
		}
	}
}

// TestWhatSomebodyHasInHandIsNotForgotten: by a clock of his own that is behind.
func TestWhatSomebodyHasInHandIsNotForgotten(t *testing.T) {
	f := openFindingsTest(t, FindingsOptions{})
	decidesAndTells(t, f.State("lambda"), 1, told0)
	s, behind := f.State("behind"), told0.Add(-limits.WatchToldLife-time.Hour)
	if _, err := s.Begin(t.Context(), watch.Claim{Key: "task/held", Version: 1}, behind, limits.WatchToldLife+2*time.Hour); err != nil {
		t.Fatal(err)
	}
	turn := watch.Telling{ID: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", State: digest.FromString("x"), To: "pager", Image: digest.FromString("x")}
	if _, err := s.Tell(t.Context(), turn, behind, 0, limits.WatchToldLife+2*time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, when := range []struct {
		after  time.Duration
		forgot int64
	}{{0, 0}, {2 * time.Hour, 2}} {
		if n, err := f.Tidy(t.Context(), told0.Add(when.after)); n != when.forgot || err != nil {
			t.Errorf("after %s: forgot %d, %v", when.after, n, err)
		}
	}
}

func TestTidyingTakesAFewRowsAtATime(t *testing.T) {
	f := openFindingsTest(t, FindingsOptions{})
	decidesAndTells(t, f.State("gone"), 7, told0)
	const sql = "DELETE FROM claims WHERE owner = ?1 AND key IN (SELECT key FROM claims WHERE owner = ?1 AND at < ?2 LIMIT ?3)"
	if n, err := f.deleteSome(t.Context(), sql, 2, "gone", told0.Add(time.Second)); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Tidy(t.Context(), told0); err == nil {
		t.Error("a database that is closed is tidied")
	}
}
