package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Tidy forgets what watchers decided limits.WatchClaimLife ago and what they saw
// limits.WatchToldLife ago, by the clock that now is of, whoever they are: a watcher
// forgets such itself as it goes on, and one that is gone would leave all it had.
// What lies as far ahead is of a clock that was wrong, and goes too. It takes a few
// rows at a time, so that others may write in between, and says how many.
func (f *Findings) Tidy(ctx context.Context, now time.Time) (forgot int64, err error) {
	owners, err := f.owners(ctx)
	if err != nil {
		return 0, err
	}
	for _, owner := range owners {
		for _, of := range []struct {
			table, key, at string
			life           time.Duration
		}{{"claims", "key", "at", limits.WatchClaimLife}, {"tellings", "id, state, whom", "seen", limits.WatchToldLife}} {
			for _, when := range []struct {
				which string
				than  time.Time
			}{{"<", now.Add(-of.life)}, {">", now.Add(of.life)}} {
				sql := fmt.Sprintf("DELETE FROM %[1]s WHERE owner = ?1 AND (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE owner = ?1 AND %[3]s %[4]s ?2 LIMIT ?3)", of.table, of.key, of.at, when.which)
				n, err := f.deleteSome(ctx, sql, owner, when.than, limits.StateTidied)
				forgot += n
				if err != nil {
					return forgot, err
				}
			}
		}
	}
	return forgot, nil
}

// deleteSome deletes until fewer than most are left to be.
func (f *Findings) deleteSome(ctx context.Context, sql, owner string, than time.Time, most int64) (all int64, err error) {
	for n := most; n == most; all += n {
		err = f.write(ctx, func(c *conn) (err error) {
			n, err = c.execCount(sql, owner, than, most)
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
