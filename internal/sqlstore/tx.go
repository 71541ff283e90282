package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// tx is one transaction: signing.Tx. With a writer it may write.
type tx struct {
	c *conn
	w *writer // nil: in a view
	u *update // that it is of, if it has a writer
	// failed is the first error of a statement itself: whatever f makes of
	// it, the transaction does not stand.
	failed   error
	done     bool
	profiles bool // one was changed
}

var _ signing.Tx = (*tx)(nil)

var (
	errDone     = errors.New("the transaction has ended")
	errReadOnly = errors.New("the transaction is for reading")
)

// usable tells whether a statement may run; write says that it changes.
func (t *tx) usable(write bool) error {
	switch {
	case t.done:
		return errDone
	case t.failed != nil:
		return t.failed
	case write && t.w == nil:
		return errReadOnly
	}
	return nil
}

// change runs a statement that writes and says how many rows it changed. A
// row that is there already is signing.ErrExists, which leaves the
// transaction good; what names it.
func (t *tx) change(what, sql string, args ...any) (int64, error) {
	if err := t.usable(true); err != nil {
		return 0, err
	}
	n, err := t.write(sql, args)
	switch {
	case err == nil:
		return n, nil
	case taken(err):
		return 0, fmt.Errorf("%s: %w", what, signing.ErrExists)
	}
	return 0, t.fail(what, err)
}

// write runs a statement that changes something and keeps it, in case that it
// has to be run again (writer.without).
func (t *tx) write(sql string, args []any) (int64, error) {
	n, err := t.c.execCount(sql, args...)
	if err == nil {
		t.u.changes = append(t.u.changes, statement{sql, args})
	}
	return n, err
}

// must is change for a row that must be there.
func (t *tx) must(what, sql string, args ...any) error {
	n, err := t.change(what, sql, args...)
	if err == nil && n == 0 {
		return notFound(what)
	}
	return err
}

func (t *tx) query(what, sql string, f func(row) error, args ...any) error {
	if err := t.usable(false); err != nil {
		return err
	}
	if err := t.c.query(sql, f, args...); err != nil {
		if code(err) == 0 {
			return fmt.Errorf("%s: %w", what, err)
		}
		return t.fail(what, err)
	}
	return nil
}

// one reads at most one row, and signing.ErrNotFound if there is none.
func (t *tx) one(what, sql string, f func(row) error, args ...any) error {
	found := false
	err := t.query(what, sql, func(r row) error { found = true; return f(r) }, args...)
	if err == nil && !found {
		return notFound(what)
	}
	return err
}

func (t *tx) fail(what string, err error) error {
	if t.failed == nil {
		t.failed = fmt.Errorf("%s: %w", what, err)
	}
	return t.failed
}

func notFound(what string) error { return fmt.Errorf("%s: %w", what, signing.ErrNotFound) }

// AppendEntry adds e to the log and returns its index.
func (t *tx) AppendEntry(e audit.Entry) (int64, error) {
	if err := t.usable(true); err != nil {
		return 0, err
	}
	leaf, err := e.Leaf()
	if err != nil {
		return 0, err
	}
	if next := t.w.state.tree.Size(); e.Attempt > 0 && e.Attempt >= next {
		return 0, fmt.Errorf("log entry %d answers entry %d, which is not before it", next, e.Attempt)
	}
	index, completed := t.w.state.tree.Append(leaf)
	stored := make([]byte, 0, len(completed)*tlog.HashSize)
	for _, h := range completed {
		stored = append(stored, h[:]...)
	}
	// From here the tree in memory is ahead of the database: an error stays.
	if _, err := t.write("INSERT INTO entries (idx, leaf, hashes) VALUES (?, ?, ?)", []any{index, leaf, stored}); err != nil {
		return 0, t.fail("append to the log", err)
	}
	return index, nil
}

// Clock is the latest signing time ever given out, to the microsecond.
func (t *tx) Clock() (time.Time, error) {
	if err := t.usable(false); err != nil {
		return time.Time{}, err
	}
	if t.w != nil {
		if !t.w.state.ever {
			return time.Time{}, nil
		}
		return unixMicro(t.w.state.clock), nil
	}
	var at time.Time
	err := t.query("read the clock", "SELECT us FROM clock WHERE id = 1", func(r row) error {
		if !r.null(0) {
			at = r.time(0)
		}
		return nil
	})
	return at, err
}

// SetClock is written with the commit, once for all updates that share it.
func (t *tx) SetClock(at time.Time) error {
	if err := t.usable(true); err != nil {
		return err
	}
	t.w.state.clock, t.w.state.ever, t.w.state.moved = at.UnixMicro(), true, true
	return nil
}

// RequestClock is the latest date of principal's requests that was ahead of
// the service's clock, to the microsecond.
func (t *tx) RequestClock(principal string) (at time.Time, err error) {
	err = t.query("read a request clock", "SELECT us FROM request_clocks WHERE principal = ?",
		func(r row) error { at = r.time(0); return nil }, principal)
	return at, err
}

// SetRequestClock moves it to at, and never back.
func (t *tx) SetRequestClock(principal string, at time.Time) error {
	_, err := t.change("request clock", `INSERT INTO request_clocks (principal, us) VALUES (?, ?)
		ON CONFLICT (principal) DO UPDATE SET us = max(us, excluded.us)`, principal, at)
	return err
}

// replyKey is the unique name of a request that may be repeated.
func replyKey(principal, invocationID, bodySHA256 string) []byte {
	h := sha256.New()
	for _, s := range []string{principal, invocationID, bodySHA256} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}

func (t *tx) Reply(principal, invocationID, bodySHA256 string, since time.Time) (signing.Reply, error) {
	p := signing.Reply{Principal: principal, InvocationID: invocationID, BodySHA256: bodySHA256}
	err := t.one("reply", "SELECT created, job, envelope FROM replies WHERE key = ? AND created >= ?", func(r row) (err error) {
		p.Created, p.Envelope = r.time(0), r.blob(2)
		p.Job, err = awsprofile.ParseJob(r.text(1))
		return err
	}, replyKey(principal, invocationID, bodySHA256), since)
	if err != nil {
		return signing.Reply{}, err
	}
	return p, nil
}

func (t *tx) AddReply(r signing.Reply) error {
	_, err := t.change("reply", "INSERT INTO replies (key, created, job, envelope) VALUES (?, ?, ?, ?)",
		replyKey(r.Principal, r.InvocationID, r.BodySHA256), r.Created, r.Job.String(), r.Envelope)
	return err
}

// PurgeReplies drops the oldest replies up to the first one that is kept, at
// most limits.ReplyPurge of them: a few written out of the order of their times
// stay a little longer.
func (t *tx) PurgeReplies(before time.Time) error {
	_, err := t.change("purge replies", `DELETE FROM replies WHERE seq < ifnull(
		(SELECT seq FROM (SELECT seq, created FROM replies ORDER BY seq LIMIT ?) WHERE created >= ? ORDER BY seq LIMIT 1),
		ifnull((SELECT seq FROM replies ORDER BY seq LIMIT 1 OFFSET ?), 9223372036854775807))`, limits.ReplyPurge, before, limits.ReplyPurge)
	return err
}

// DropReply drops one; that there is none is no error.
func (t *tx) DropReply(principal, invocationID, bodySHA256 string) error {
	_, err := t.change("drop a reply", "DELETE FROM replies WHERE key = ?", replyKey(principal, invocationID, bodySHA256))
	return err
}

// key is how names are compared.
func key(name string) string { return strings.ToLower(name) }

// object and list are JSON text in a column.
func encode(v any) (string, error) {
	b, err := json.Marshal(v, json.Deterministic(true))
	return string(b), err
}

func decode(text string, v any) error { return json.Unmarshal([]byte(text), v) }

// words is a list of strings as JSON.
func words(list []string) (string, error) {
	if list == nil {
		list = []string{}
	}
	return encode(list)
}

func parseWords(text string) ([]string, error) {
	var list []string
	if err := decode(text, &list); err != nil || len(list) == 0 {
		return nil, err
	}
	return list, nil
}

// hashes reads stored hashes of the log by tlog's numbers.
type hashes struct{ c *conn }

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		index := (n+1)<<level - 1 // of the record that completed it
		found := false
		err := h.c.query("SELECT substr(hashes, ?, 32) FROM entries WHERE idx = ?", func(r row) error {
			found = copy(out[i][:], r.blob(0)) == tlog.HashSize
			return nil
		}, level*tlog.HashSize+1, index)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("%w: entry %d lacks its hash of level %d", ErrInconsistent, index, level)
		}
	}
	return out, nil
}
