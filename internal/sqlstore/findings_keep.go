package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// Keep is watch.Keeper's.
func (f *Findings) Keep(ctx context.Context, one watch.Finding, by string, now time.Time) (became watch.Became, err error) {
	dropped := int64(0)
	err = f.write(ctx, func(c *conn) (err error) {
		if one.Resolved {
			became.Ended, err = end(c, one, by, now)
			return err
		}
		became.New, dropped, err = f.add(c, one, by, now)
		return err
	})
	if err != nil {
		return watch.Became{}, err
	}
	f.dropped.Add(dropped)
	return became, nil
}

// add keeps what is open.
func (f *Findings) add(c *conn, one watch.Finding, by string, now time.Time) (isNew bool, dropped int64, err error) {
	k, seq, size, err := kept(c, one.Subject.Cluster, one.ID, one.State)
	if err != nil {
		return false, 0, err
	}
	k.Add(one, by, now)
	text, err := json.Marshal(k.Finding)
	if err != nil {
		return false, 0, err
	}
	rows := int64(0)
	if seq == 0 {
		rows = 1
	}
	if dropped, err = f.room(c, seq, rows, int64(len(text))-size, now); err != nil {
		return false, 0, err
	}
	if seq != 0 {
		return false, dropped, c.exec("UPDATE findings SET kind = ?, rule = ?, account = ?, outcome = ?, first = ?, last = ?, open = ?, told = ?, by = ?, finding = ? WHERE seq = ?",
			string(k.Finding.Kind), k.Finding.Rule, k.Finding.Subject.Account, k.Finding.Outcome.String(), k.First, k.Last, k.Open(), k.Told, k.By, string(text), seq)
	}
	return true, dropped, c.exec(`INSERT INTO findings (cluster, id, state, kind, rule, account, outcome, first, last, over, because, open, told, by, finding)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, '', 1, ?, ?, ?)`,
		one.Subject.Cluster, one.ID, string(one.State), string(one.Kind), one.Rule, one.Subject.Account, one.Outcome.String(), k.First, k.Last, k.Told, k.By, string(text))
}

// end ends the states that are over, and says how many were open.
func end(c *conn, one watch.Finding, by string, now time.Time) (ended int, err error) {
	for _, state := range one.Ends {
		k, seq, _, err := kept(c, one.Subject.Cluster, one.ID, state)
		if err != nil {
			return 0, err
		}
		if seq == 0 {
			continue
		}
		was := k.Open()
		k.End(one, by, now)
		if was && !k.Open() {
			ended++
		}
		if err := c.exec("UPDATE findings SET over = ?, because = ?, open = ?, told = ?, by = ? WHERE seq = ?", k.Over, k.Because, k.Open(), k.Told, k.By, seq); err != nil {
			return 0, err
		}
	}
	return ended, nil
}

const keptColumns = "finding, first, last, over, because, told, by, seq, length(CAST(finding AS BLOB))"

// kept is what is kept of a state; seq is 0 where nothing is. size is of its
// JSON.
func kept(c *conn, cluster, id string, state digest.Digest) (k watch.Kept, seq, size int64, err error) {
	err = c.query("SELECT "+keptColumns+" FROM findings WHERE cluster = ? AND id = ? AND state = ?", func(r row) (err error) {
		k, seq, size, err = readKept(r)
		return err
	}, cluster, id, string(state))
	return k, seq, size, err
}

func readKept(r row) (k watch.Kept, seq, size int64, err error) {
	if k.Finding, err = watch.ParseFinding([]byte(r.text(0))); err != nil {
		return k, 0, 0, &shuin.Error{Code: shuin.CodeInternal, Message: fmt.Sprintf("finding %d of the database cannot be read", r.number(7)), Err: err}
	}
	k.First, k.Last, k.Because, k.Told, k.By = r.time(1), r.time(2), r.text(4), r.time(5), r.text(6)
	if !r.null(3) {
		k.Over = r.time(3)
	}
	return k, r.number(7), r.number(8), nil
}

// room sees to it that so many rows and bytes more may be kept. The row with
// the number but stays.
func (f *Findings) room(c *conn, but, rows, bytes int64, now time.Time) (dropped int64, err error) {
	for {
		var have, size int64
		if err := c.query("SELECT rows, bytes FROM totals WHERE id = 1", func(r row) error { have, size = r.number(0), r.number(1); return nil }); err != nil {
			return 0, err
		}
		if (rows == 0 || have+rows <= f.most) && (bytes <= 0 || size+bytes <= f.mostBytes) {
			return dropped, nil
		}
		n, err := int64(0), error(nil)
		for _, from := range []struct {
			open   bool
			before time.Time
		}{{false, now.AddDate(1, 0, 0)}, {true, now.Add(-limits.FindingsForgot)}} {
			n, err = c.execCount("DELETE FROM findings WHERE seq IN (SELECT seq FROM findings WHERE open = ? AND told < ? AND seq <> ? ORDER BY told LIMIT ?)",
				from.open, from.before, but, max(1, f.most/1000))
			if err != nil {
				return 0, err
			}
			if n > 0 {
				break
			}
		}
		if n == 0 {
			return 0, watch.ErrFull
		}
		dropped += n
	}
}

// errEnough ends a query early.
var errEnough = errors.New("enough")

// Find is watch.Keeper's.
func (f *Findings) Find(ctx context.Context, q watch.Query) (page watch.Page, err error) {
	before := int64(1<<63 - 1)
	if q.Page != "" {
		if before, err = strconv.ParseInt(q.Page, 10, 64); err != nil || before <= 0 {
			return page, watch.ErrPage
		}
	}
	most := q.Most
	if most <= 0 {
		most = limits.FindingsPage
	}
	most = min(most, limits.FindingsPageMost)
	where, args := condition(q)
	err = f.read(ctx, func(c *conn) error {
		var seqs []int64
		err := c.query("SELECT seq, cluster FROM findings INDEXED BY findings_scan WHERE seq < ?"+where+" ORDER BY seq DESC", func(r row) error {
			if len(seqs)%64 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if q.Sees != nil && !q.Sees(r.text(1)) {
				return nil
			}
			if seqs = append(seqs, r.number(0)); len(seqs) > most {
				return errEnough
			}
			return nil
		}, append([]any{before}, args...)...)
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		bytes := int64(0)
		for i, seq := range seqs {
			if i == most || bytes > limits.FindingsPageSize {
				page.Next = strconv.FormatInt(seqs[i-1], 10)
				return nil
			}
			if err := c.query("SELECT "+keptColumns+" FROM findings WHERE seq = ?", func(r row) error {
				k, _, size, err := readKept(r)
				bytes += size
				page.Findings = append(page.Findings, k)
				return err
			}, seq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return watch.Page{}, err
	}
	return page, nil
}

// condition is what a query wants, as SQL.
func condition(q watch.Query) (string, []any) {
	var b strings.Builder
	var args []any
	and := func(sql string, arg any) {
		b.WriteString(" AND " + sql)
		args = append(args, arg)
	}
	if q.Open != q.Resolved {
		and("open = ?", q.Open)
	}
	for _, one := range []struct{ column, value string }{
		{"id", q.ID}, {"kind", string(q.Kind)}, {"rule", q.Rule}, {"cluster", q.Cluster}, {"account", q.Account},
	} {
		if one.value != "" {
			and(one.column+" = ?", one.value)
		}
	}
	if !q.Since.IsZero() {
		and("told >= ?", q.Since)
	}
	return b.String(), args
}

// Count is watch.Keeper's.
func (f *Findings) Count(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	err := f.read(ctx, func(c *conn) error {
		return c.query("SELECT outcome, count(*) FROM findings WHERE open = 1 GROUP BY outcome", func(r row) error {
			out[r.text(0)] = int(r.number(1))
			return nil
		})
	})
	return out, err
}
