package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Tidy forgets what watchers decided limits.WatchClaimLife ago and what they saw
// limits.WatchToldLife ago, by the clock that now is of, whoever they are: a watcher
// forgets such itself as it goes on, and one that is gone would leave all it had.
// What somebody has in hand stays, and what lies ahead: by a clock that is behind
// nothing is forgotten. It takes a few rows at a time, so that others may write in
// between, and says how many.
//
// By a clock that is ahead everything is long ago. So where nothing at all is newer
// than limits.WatchClaimLife, the first look only remembers what is newest. If that
// is the same at the next one, nobody watches any more; if it is not, somebody does,
// by another clock, and it is a *shuin.Error.
func (f *Findings) Tidy(ctx context.Context, now time.Time) (forgot int64, err error) {
	owners, err := f.owners(ctx)
	if err != nil {
		return 0, err
	}
	newest, err := f.newest(ctx, owners, now.Add(limits.WatchClaimLife))
	if err != nil {
		return 0, err
	}
	if newest.IsZero() || now.Sub(newest) <= limits.WatchClaimLife {
		f.idle.Store(0)
	} else if was := f.idle.Swap(newest.UnixMicro()); was != newest.UnixMicro() {
		if was == 0 {
			return 0, nil
		}
		return 0, &shuin.Error{Code: shuin.CodeInvalidInput, Hint: "set this machine's clock",
			Message: fmt.Sprintf("watchers write as of %s, and it is %s here: nothing is forgotten by this clock", newest.Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	}
	for _, owner := range owners {
		for _, of := range []struct {
			table, key, at string
			life           time.Duration
		}{{"claims", "key", "at", limits.WatchClaimLife}, {"tellings", "id, state, whom", "seen", limits.WatchToldLife}} {
			sql := fmt.Sprintf("DELETE FROM %[1]s WHERE owner = ?1 AND (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE owner = ?1 AND %[3]s < ?2 AND until <= ?3 LIMIT ?4)", of.table, of.key, of.at)
			n, err := f.deleteSome(ctx, sql, limits.StateTidied, owner, now.Add(-of.life), now)
			forgot += n
			if err != nil {
				return forgot, err
			}
		}
	}
	return forgot, nil
}

// newest is when any of owners decided or saw something last, but what lies ahead
// of most; zero: nobody did.
func (f *Findings) newest(ctx context.Context, owners []string, most time.Time) (newest time.Time, err error) {
	err = f.read(ctx, func(c *conn) error {
		newest = time.Time{}
		for _, owner := range owners {
			for _, sql := range []string{
				"SELECT at FROM claims WHERE owner = ? AND at <= ? ORDER BY at DESC LIMIT 1",
				"SELECT seen FROM tellings WHERE owner = ? AND seen <= ? ORDER BY seen DESC LIMIT 1",
			} {
				if err := c.query(sql, func(r row) error {
					if at := r.time(0); at.After(newest) {
						newest = at
					}
					return nil
				}, owner, most); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return newest, err
}

// deleteSome deletes until fewer than most are left to be; sql is given args, and
// most after them.
func (f *Findings) deleteSome(ctx context.Context, sql string, most int64, args ...any) (all int64, err error) {
	args = append(args, most)
	for n := most; n == most; all += n {
		err = f.write(ctx, func(c *conn) (err error) {
			n, err = c.execCount(sql, args...)
			return err
		})
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// owners are those who have claims or tellings.
func (f *Findings) owners(ctx context.Context) (all []string, err error) {
	err = f.read(ctx, func(c *conn) error {
		all = nil
		return c.query("SELECT DISTINCT owner FROM owned WHERE rows > 0 ORDER BY owner", func(r row) error { all = append(all, r.text(0)); return nil })
	})
	return all, err
}
