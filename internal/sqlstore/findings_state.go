package sqlstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// State is what one watcher decided and told: a watch.Store. Watchers do not
// see one another's. Of each limits.StateClaims claims and limits.StateTellings
// tellings are kept, and the oldest make room: what was decided or told that
// long ago may be again.
type State struct {
	f     *Findings
	owner string
	once  string // the name of a change; empty: it has none
	now   time.Time
}

var _ watch.Store = (*State)(nil)

// State is what the watcher of this name decided and told; the empty name is
// this server's own. A change that was answered is on the disk.
func (f *Findings) State(owner string) *State { return &State{f: f, owner: owner} }

// Once is s for one change that is called name: whoever makes it again under
// that name is told what was answered the first time, and changes nothing, for
// limits.StateAnswerLife by the clock that now is of. For an empty name it is s.
func (s *State) Once(name string, now time.Time) *State {
	return &State{f: s.f, owner: s.owner, once: name, now: now}
}

// change makes a change in a transaction of its own, unless it was made before
// under its name. What changed nothing is not remembered: asked again, it is
// looked at again. The error of do undoes it.
func (s *State) change(ctx context.Context, do func(*conn) (answer string, changed bool, err error)) (answer string, err error) {
	err = s.f.write(ctx, func(c *conn) error {
		known := false
		if s.once != "" {
			if err := c.query("SELECT answer FROM answers WHERE owner = ? AND once = ?", func(r row) error {
				answer, known = r.text(0), true
				return nil
			}, s.owner, s.once); known || err != nil {
				return err
			}
		}
		changed, err := false, error(nil)
		if answer, changed, err = do(c); err != nil || !changed || s.once == "" {
			return err
		}
		if err := c.exec("DELETE FROM answers WHERE (owner, once) IN (SELECT owner, once FROM answers WHERE at < ? ORDER BY at LIMIT ?)", s.now.Add(-limits.StateAnswerLife), forgetAtOnce); err != nil {
			return err
		}
		return c.exec("INSERT INTO answers (owner, once, answer, at) VALUES (?, ?, ?, ?)", s.owner, s.once, answer, s.now)
	})
	return answer, err
}

// forgetAtOnce is how many rows that are too old a change takes along.
const forgetAtOnce = 4

// full says whether the owner has as many of what as are kept.
func (s *State) full(c *conn, what string, most int64) (full bool, err error) {
	err = c.query("SELECT rows FROM owned WHERE owner = ? AND what = ?", func(r row) error { full = r.number(0) >= most; return nil }, s.owner, what)
	return full, err
}

// claimed is a row of claims.
type claimed struct {
	there, done bool
	version     int64
	at          time.Time
	token       string
	held        int64
	until       time.Time
}

func (s *State) claimed(c *conn, key string) (have claimed, err error) {
	err = c.query("SELECT done, at, token, held, until FROM claims WHERE owner = ? AND key = ?", func(r row) error {
		have = claimed{true, !r.null(0), r.number(0), r.time(1), r.text(2), r.number(3), r.time(4)}
		return nil
	}, s.owner, key)
	return have, err
}

// Begin is watch.Store's.
func (s *State) Begin(ctx context.Context, claim watch.Claim, now time.Time, lease time.Duration) (string, error) {
	token, err := s.change(ctx, func(c *conn) (string, bool, error) {
		have, err := s.claimed(c, claim.Key)
		switch {
		case err != nil:
			return "", false, err
		case have.done && claim.Version == have.version:
			return "", false, watch.ErrDuplicate
		case have.done && claim.Version < have.version:
			return "", false, watch.ErrOlder
		case have.token != "" && now.Before(have.until):
			return "", false, watch.ErrBusy
		}
		if !have.there {
			if err := s.forgetClaims(c, now); err != nil {
				return "", false, err
			}
		}
		token := rand.Text()
		return token, true, c.exec(`INSERT INTO claims (owner, key, done, at, token, held, until) VALUES (?, ?, NULL, ?, ?, ?, ?)
			ON CONFLICT (owner, key) DO UPDATE SET at = excluded.at, token = excluded.token, held = excluded.held, until = excluded.until`,
			s.owner, claim.Key, now, token, claim.Version, now.Add(lease))
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// forgetClaims forgets some that are too old, and where there are as many as
// are kept the oldest.
func (s *State) forgetClaims(c *conn, now time.Time) error {
	const old = "DELETE FROM claims WHERE owner = ?1 AND key IN (SELECT key FROM claims WHERE owner = ?1 AND at < ?2 ORDER BY at LIMIT ?3)"
	if err := c.exec(old, s.owner, now.Add(-limits.WatchClaimLife), forgetAtOnce); err != nil {
		return err
	}
	full, err := s.full(c, "claims", s.f.claims)
	if err != nil || !full {
		return err
	}
	return c.exec("DELETE FROM claims WHERE owner = ?1 AND key IN (SELECT key FROM claims WHERE owner = ?1 ORDER BY at LIMIT ?2)", s.owner, max(1, s.f.claims/1000))
}

// Done is watch.Store's.
func (s *State) Done(ctx context.Context, claim watch.Claim, token string, now time.Time) error {
	_, err := s.change(ctx, func(c *conn) (string, bool, error) {
		n, err := c.execCount("UPDATE claims SET done = held, at = ?, token = '', held = 0, until = 0 WHERE owner = ? AND key = ? AND token = ? AND token <> '' AND held = ?",
			now, s.owner, claim.Key, token, claim.Version)
		if err == nil && n == 0 {
			err = watch.ErrLost
		}
		return "", true, err
	})
	return err
}

// Release is watch.Store's.
func (s *State) Release(ctx context.Context, claim watch.Claim, token string) error {
	_, err := s.change(ctx, func(c *conn) (string, bool, error) {
		have, err := s.claimed(c, claim.Key)
		switch {
		case err != nil || !have.there || token == "" || have.token != token:
			return "", false, err
		case have.done:
			return "", true, c.exec("UPDATE claims SET token = '', held = 0, until = 0 WHERE owner = ? AND key = ?", s.owner, claim.Key)
		}
		return "", true, c.exec("DELETE FROM claims WHERE owner = ? AND key = ?", s.owner, claim.Key)
	})
	return err
}

// Take is watch.Store's.
func (s *State) Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error) {
	took, err := s.change(ctx, func(c *conn) (string, bool, error) {
		if err := c.exec("DELETE FROM counts WHERE owner = ?1 AND name IN (SELECT name FROM counts WHERE owner = ?1 AND expires < ?2 LIMIT 100)", s.owner, now); err != nil {
			return "", false, err
		}
		n, known := int64(0), false
		if err := c.query("SELECT n FROM counts WHERE owner = ? AND name = ?", func(r row) error { n, known = r.number(0), true; return nil }, s.owner, count); err != nil {
			return "", false, err
		}
		if n >= int64(most) {
			return strconv.FormatBool(false), false, nil
		}
		if !known {
			if err := s.fits(c, "counts", limits.StateCounts); err != nil {
				return "", false, err
			}
		}
		return strconv.FormatBool(true), true, c.exec("INSERT INTO counts (owner, name, n, expires) VALUES (?, ?, 1, ?) ON CONFLICT (owner, name) DO UPDATE SET n = n + 1", s.owner, count, expires)
	})
	return err == nil && took == strconv.FormatBool(true), err
}

// fits refuses one more row of counts or in_use, where there are as many as may
// be: unlike others they cannot be forgotten.
func (s *State) fits(c *conn, table string, most int) error {
	n := int64(0)
	err := c.query("SELECT count(*) FROM (SELECT 1 FROM "+table+" WHERE owner = ? LIMIT ?)", func(r row) error { n = r.number(0); return nil }, s.owner, most)
	if err == nil && n >= int64(most) {
		err = &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("of the names of what is %s there are %d already, and no more are kept", map[string]string{"counts": "counted", "in_use": "in use"}[table], most)}
	}
	return err
}

// InUse is watch.Store's.
func (s *State) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	answer, err := s.change(ctx, func(c *conn) (string, bool, error) {
		known, same, since := false, false, ""
		err := c.query("SELECT value, since FROM in_use WHERE owner = ? AND name = ?", func(r row) error {
			if known, same = true, r.text(0) == value; same && !r.null(1) {
				since = strconv.FormatInt(r.number(1), 10)
			}
			return nil
		}, s.owner, name)
		switch {
		case err != nil || same:
			return since, false, err
		case known:
			return strconv.FormatInt(now.UnixMicro(), 10), true, c.exec("UPDATE in_use SET value = ?, since = ? WHERE owner = ? AND name = ?", value, now, s.owner, name)
		}
		if err := s.fits(c, "in_use", limits.StateNames); err != nil {
			return "", false, err
		}
		return "", true, c.exec("INSERT INTO in_use (owner, name, value, since) VALUES (?, ?, ?, NULL)", s.owner, name, value)
	})
	if err != nil || answer == "" {
		return time.Time{}, err
	}
	micros, err := strconv.ParseInt(answer, 10, 64)
	return time.UnixMicro(micros).UTC(), err
}

// ReactionsOff is watch.Store's: they are, for all watchers, while the table
// reactions_off has a row.
func (s *State) ReactionsOff(ctx context.Context) (off bool, err error) {
	err = s.f.read(ctx, func(c *conn) error {
		return c.query("SELECT 1 FROM reactions_off LIMIT 1", func(row) error { off = true; return nil })
	})
	return off, err
}

// SwitchReactions switches the reactions of all watchers off, and says why; or
// on again.
func (f *Findings) SwitchReactions(ctx context.Context, off bool, because string) error {
	return f.write(ctx, func(c *conn) error {
		if err := c.exec("DELETE FROM reactions_off"); err != nil || !off {
			return err
		}
		return c.exec("INSERT INTO reactions_off (because) VALUES (?)", because)
	})
}

// ReactionsOff says whether reactions are off, and why.
func (f *Findings) ReactionsOff(ctx context.Context) (off bool, because string, err error) {
	err = f.read(ctx, func(c *conn) error {
		return c.query("SELECT because FROM reactions_off", func(r row) error { off, because = true, r.text(0); return nil })
	})
	return off, because, err
}

// digestOf is a column's digest.
func digestOf(r row, column int) digest.Digest { return digest.Digest(r.text(column)) }
