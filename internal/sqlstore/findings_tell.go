package sqlstore

import (
	"context"
	"strconv"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// toldOf is a row of tellings.
type toldOf struct {
	there             bool
	seen, told, until time.Time // told: zero where it was not
	image             string
}

func (s *State) toldOf(c *conn, t watch.Telling) (have toldOf, err error) {
	err = c.query("SELECT seen, told, until, image FROM tellings WHERE owner = ? AND id = ? AND state = ? AND whom = ?", func(r row) error {
		have = toldOf{there: true, seen: r.time(0), until: r.time(2), image: r.text(3)}
		if !r.null(1) {
			have.told = r.time(1)
		}
		return nil
	}, s.owner, t.ID, string(t.State), t.To)
	return have, err
}

// Tell is watch.Store's.
func (s *State) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	answer, err := s.change(ctx, func(c *conn) (string, bool, error) {
		turn, changed, err := s.tell(c, t, now, remind, lease)
		return strconv.Itoa(int(turn)), changed, err
	})
	if err != nil {
		return 0, err
	}
	turn, err := strconv.ParseUint(answer, 10, 8)
	return watch.Turn(turn), err
}

func (s *State) tell(c *conn, t watch.Telling, now time.Time, remind, lease time.Duration) (turn watch.Turn, changed bool, err error) {
	have, err := s.toldOf(c, t)
	if err != nil {
		return 0, false, err
	}
	turn = watch.First
	switch {
	case !have.there:
		if err := s.makeTellingRoom(c, t.ID, now); err != nil {
			return 0, false, err
		}
		return turn, true, c.exec("INSERT INTO tellings (owner, id, state, whom, image, seen, told, until) VALUES (?, ?, ?, ?, ?, ?, NULL, ?)",
			s.owner, t.ID, string(t.State), t.To, string(t.Image), now, now.Add(lease))
	case now.Before(have.until):
		turn = watch.Silent
	case have.told.IsZero():
	case remind <= 0 || now.Before(have.told.Add(remind)):
		turn = watch.Silent
	default:
		turn = watch.Again
	}
	if turn != watch.Silent {
		have.until = now.Add(lease)
	} else if ago := now.Sub(have.seen); ago >= 0 && ago < limits.WatchSeenEvery && have.image == string(t.Image) {
		return turn, false, nil // it is written down that it was seen a moment ago
	}
	return turn, turn != watch.Silent, c.exec("UPDATE tellings SET seen = ?, image = ?, until = ? WHERE owner = ? AND id = ? AND state = ? AND whom = ?",
		now, string(t.Image), have.until, s.owner, t.ID, string(t.State), t.To)
}

// makeTellingRoom forgets some that were not seen for long; of the finding the
// state that was seen longest ago, if it has as many as are kept; and those
// seen longest ago of all where there are as many as are kept.
func (s *State) makeTellingRoom(c *conn, id string, now time.Time) error {
	if err := c.exec("DELETE FROM tellings WHERE owner = ?1 AND (id, state, whom) IN (SELECT id, state, whom FROM tellings WHERE owner = ?1 AND seen < ?2 ORDER BY seen LIMIT ?3)",
		s.owner, now.Add(-limits.WatchToldLife), forgetAtOnce); err != nil {
		return err
	}
	if err := c.exec(`DELETE FROM tellings WHERE owner = ?1 AND id = ?2 AND (state, whom) IN
		(SELECT state, whom FROM tellings WHERE owner = ?1 AND id = ?2 ORDER BY seen DESC LIMIT -1 OFFSET ?3)`, s.owner, id, limits.WatchTellings-1); err != nil {
		return err
	}
	full, err := s.full(c, "tellings", s.f.tellings)
	if err != nil || !full {
		return err
	}
	return c.exec("DELETE FROM tellings WHERE owner = ?1 AND (id, state, whom) IN (SELECT id, state, whom FROM tellings WHERE owner = ?1 ORDER BY seen LIMIT ?2)",
		s.owner, max(1, s.f.tellings/1000))
}

// Told is watch.Store's.
func (s *State) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	_, err := s.change(ctx, func(c *conn) (string, bool, error) {
		have, err := s.toldOf(c, t)
		if err == nil && !have.there {
			err = s.makeTellingRoom(c, t.ID, now)
		}
		if err != nil {
			return "", false, err
		}
		return "", true, c.exec(`INSERT INTO tellings (owner, id, state, whom, image, seen, told, until) VALUES (?, ?, ?, ?, ?, ?6, ?6, 0)
			ON CONFLICT (owner, id, state, whom) DO UPDATE SET told = excluded.told, until = 0`, s.owner, t.ID, string(t.State), t.To, string(t.Image), now)
	})
	return err
}

// Untell is watch.Store's.
func (s *State) Untell(ctx context.Context, t watch.Telling) error {
	_, err := s.change(ctx, func(c *conn) (string, bool, error) {
		if err := c.exec("DELETE FROM tellings WHERE owner = ? AND id = ? AND state = ? AND whom = ? AND told IS NULL", s.owner, t.ID, string(t.State), t.To); err != nil {
			return "", false, err
		}
		return "", true, c.exec("UPDATE tellings SET until = 0 WHERE owner = ? AND id = ? AND state = ? AND whom = ?", s.owner, t.ID, string(t.State), t.To)
	})
	return err
}

// Tellings is watch.Store's.
func (s *State) Tellings(ctx context.Context, id string) (all []watch.Telling, err error) {
	err = s.f.read(ctx, func(c *conn) error {
		return c.query("SELECT state, whom, image, seen FROM tellings WHERE owner = ? AND id = ? AND told IS NOT NULL LIMIT ?", func(r row) error {
			all = append(all, watch.Telling{ID: id, State: digestOf(r, 0), To: r.text(1), Image: digestOf(r, 2), Seen: r.time(3)})
			return nil
		}, s.owner, id, limits.WatchTellings)
	})
	return all, err
}

// Forget is watch.Store's.
func (s *State) Forget(ctx context.Context, t watch.Telling) (bool, error) {
	was, err := s.change(ctx, func(c *conn) (string, bool, error) {
		n, err := c.execCount("DELETE FROM tellings WHERE owner = ? AND id = ? AND state = ? AND whom = ? AND told IS NOT NULL AND seen <= ?", s.owner, t.ID, string(t.State), t.To, t.Seen)
		return strconv.FormatBool(n > 0), n > 0, err
	})
	return err == nil && was == strconv.FormatBool(true), err
}
