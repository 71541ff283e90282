package sqlstore

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// forgetAtOnce is how many rows that are too old a change takes along.
const forgetAtOnce = 4

// claimed is a row of claims.
type claimed struct {
	there, done bool
	version     int64
	at          time.Time
	token       string
	held        int64
	until       time.Time
}

func readClaim(c *conn, key string) (have claimed, err error) {
	err = c.query("SELECT done, at, token, held, until FROM claims WHERE key = ?", func(r row) error {
		have = claimed{true, !r.null(0), r.number(0), r.time(1), r.text(2), r.number(3), r.time(4)}
		return nil
	}, key)
	return have, err
}

// Begin is watch.Store's.
func (f *Findings) Begin(ctx context.Context, claim watch.Claim, now time.Time, lease time.Duration) (string, error) {
	token := rand.Text()
	err := f.write(ctx, func(c *conn) error {
		have, err := readClaim(c, claim.Key)
		switch {
		case err != nil:
			return err
		case have.done && claim.Version == have.version:
			return watch.ErrDuplicate
		case have.done && claim.Version < have.version:
			return watch.ErrOlder
		case have.token != "" && now.Before(have.until):
			return watch.ErrBusy
		}
		if err := c.exec("DELETE FROM claims WHERE key IN (SELECT key FROM claims WHERE at < ? ORDER BY at LIMIT ?)", now.Add(-limits.WatchClaimLife), forgetAtOnce); err != nil {
			return err
		}
		return c.exec(`INSERT INTO claims (key, done, at, token, held, until) VALUES (?, NULL, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET at = excluded.at, token = excluded.token, held = excluded.held, until = excluded.until`,
			claim.Key, now, token, claim.Version, now.Add(lease))
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// Done is watch.Store's.
func (f *Findings) Done(ctx context.Context, claim watch.Claim, token string, now time.Time) error {
	return f.write(ctx, func(c *conn) error {
		n, err := c.execCount("UPDATE claims SET done = held, at = ?, token = '', held = 0, until = 0 WHERE key = ? AND token = ? AND token <> '' AND held = ?", now, claim.Key, token, claim.Version)
		if err == nil && n == 0 {
			return watch.ErrLost
		}
		return err
	})
}

// Release is watch.Store's.
func (f *Findings) Release(ctx context.Context, claim watch.Claim, token string) error {
	return f.write(ctx, func(c *conn) error {
		have, err := readClaim(c, claim.Key)
		switch {
		case err != nil || !have.there || token == "" || have.token != token:
			return err
		case have.done:
			return c.exec("UPDATE claims SET token = '', held = 0, until = 0 WHERE key = ?", claim.Key)
		}
		return c.exec("DELETE FROM claims WHERE key = ?", claim.Key)
	})
}

// Tell is watch.Store's.
func (f *Findings) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (turn watch.Turn, err error) {
	err = f.write(ctx, func(c *conn) error {
		there, told := false, time.Time{}
		var seen, until time.Time
		image := ""
		err := c.query("SELECT seen, told, until, image FROM tellings WHERE id = ? AND state = ? AND whom = ?", func(r row) error {
			there, seen, until, image = true, r.time(0), r.time(2), r.text(3)
			if !r.null(1) {
				told = r.time(1)
			}
			return nil
		}, t.ID, string(t.State), t.To)
		if err != nil {
			return err
		}
		turn = watch.First
		switch {
		case !there:
			if err := makeTellingRoom(c, t.ID, now); err != nil {
				return err
			}
			return c.exec("INSERT INTO tellings (id, state, whom, image, seen, told, until) VALUES (?, ?, ?, ?, ?, NULL, ?)",
				t.ID, string(t.State), t.To, string(t.Image), now, now.Add(lease))
		case now.Before(until):
			turn = watch.Silent
		case told.IsZero():
		case remind <= 0 || now.Before(told.Add(remind)):
			turn = watch.Silent
		default:
			turn = watch.Again
		}
		if turn != watch.Silent {
			until = now.Add(lease)
		} else if ago := now.Sub(seen); ago >= 0 && ago < limits.WatchSeenEvery && image == string(t.Image) {
			return nil // it is written down that it was seen a moment ago
		}
		return c.exec("UPDATE tellings SET seen = ?, image = ?, until = ? WHERE id = ? AND state = ? AND whom = ?", now, string(t.Image), until, t.ID, string(t.State), t.To)
	})
	if err != nil {
		return 0, err
	}
	return turn, nil
}

// makeTellingRoom forgets some that were not seen for long, and of the finding
// the state that was seen longest ago, if it has as many as are kept.
func makeTellingRoom(c *conn, id string, now time.Time) error {
	if err := c.exec("DELETE FROM tellings WHERE (id, state, whom) IN (SELECT id, state, whom FROM tellings WHERE seen < ? ORDER BY seen LIMIT ?)",
		now.Add(-limits.WatchToldLife), forgetAtOnce); err != nil {
		return err
	}
	return c.exec(`DELETE FROM tellings WHERE id = ?1 AND (state, whom) IN
		(SELECT state, whom FROM tellings WHERE id = ?1 ORDER BY seen DESC LIMIT -1 OFFSET ?2)`, id, limits.WatchTellings-1)
}

// Told is watch.Store's.
func (f *Findings) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	return f.write(ctx, func(c *conn) error {
		return c.exec(`INSERT INTO tellings (id, state, whom, image, seen, told, until) VALUES (?, ?, ?, ?, ?5, ?5, 0)
			ON CONFLICT (id, state, whom) DO UPDATE SET told = excluded.told, until = 0`, t.ID, string(t.State), t.To, string(t.Image), now)
	})
}

// Untell is watch.Store's.
func (f *Findings) Untell(ctx context.Context, t watch.Telling) error {
	return f.write(ctx, func(c *conn) error {
		if err := c.exec("DELETE FROM tellings WHERE id = ? AND state = ? AND whom = ? AND told IS NULL", t.ID, string(t.State), t.To); err != nil {
			return err
		}
		return c.exec("UPDATE tellings SET until = 0 WHERE id = ? AND state = ? AND whom = ?", t.ID, string(t.State), t.To)
	})
}

// Tellings is watch.Store's.
func (f *Findings) Tellings(ctx context.Context, id string) (all []watch.Telling, err error) {
	err = f.read(ctx, func(c *conn) error {
		return c.query("SELECT state, whom, image, seen FROM tellings WHERE id = ? AND told IS NOT NULL LIMIT ?", func(r row) error {
			all = append(all, watch.Telling{ID: id, State: digest.Digest(r.text(0)), To: r.text(1), Image: digest.Digest(r.text(2)), Seen: r.time(3)})
			return nil
		}, id, limits.WatchTellings)
	})
	return all, err
}

// Forget is watch.Store's.
func (f *Findings) Forget(ctx context.Context, t watch.Telling) (was bool, err error) {
	err = f.write(ctx, func(c *conn) error {
		n, err := c.execCount("DELETE FROM tellings WHERE id = ? AND state = ? AND whom = ? AND told IS NOT NULL", t.ID, string(t.State), t.To)
		was = n > 0
		return err
	})
	return was && err == nil, err
}

// Take is watch.Store's.
func (f *Findings) Take(ctx context.Context, count string, most int, now, expires time.Time) (took bool, err error) {
	err = f.write(ctx, func(c *conn) error {
		if err := c.exec("DELETE FROM counts WHERE name IN (SELECT name FROM counts WHERE expires < ? LIMIT ?)", now, 100); err != nil {
			return err
		}
		n := int64(0)
		if err := c.query("SELECT n FROM counts WHERE name = ?", func(r row) error { n = r.number(0); return nil }, count); err != nil {
			return err
		}
		if took = n < int64(most); !took {
			return nil
		}
		return c.exec("INSERT INTO counts (name, n, expires) VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE SET n = n + 1", count, expires)
	})
	return took && err == nil, err
}

// InUse is watch.Store's.
func (f *Findings) InUse(ctx context.Context, name, value string, now time.Time) (since time.Time, err error) {
	err = f.write(ctx, func(c *conn) error {
		known, same := false, false
		err := c.query("SELECT value, since FROM in_use WHERE name = ?", func(r row) error {
			if known, same = true, r.text(0) == value; same && !r.null(1) {
				since = r.time(1)
			}
			return nil
		}, name)
		switch {
		case err != nil || same:
			return err
		case !known:
			return c.exec("INSERT INTO in_use (name, value, since) VALUES (?, ?, NULL)", name, value)
		}
		since = now
		return c.exec("UPDATE in_use SET value = ?, since = ? WHERE name = ?", value, now, name)
	})
	if err != nil {
		return time.Time{}, err
	}
	return since, nil
}

// ReactionsOff is watch.Store's: they are while the table reactions_off has a
// row.
func (f *Findings) ReactionsOff(ctx context.Context) (off bool, err error) {
	err = f.read(ctx, func(c *conn) error {
		return c.query("SELECT 1 FROM reactions_off LIMIT 1", func(row) error { off = true; return nil })
	})
	return off, err
}
