package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"modernc.org/sqlite"
)

// conn is one connection with its prepared statements. It stands on the
// driver's own interface: database/sql's pool, its locks and its conversions
// by reflection cost more than these statements do. Not safe for concurrent
// use.
type conn struct {
	raw   driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue
	rows  []driver.Value
}

// pragma is a setting and what must be read back of it.
type pragma struct{ name, set, want string }

// How every connection is set up. synchronous FULL in WAL mode: a commit
// returns after its fdatasync. Without mmap a failing disk is an error and
// not a signal.
var (
	common = []pragma{
		{"busy_timeout", "0", "0"}, // waiting is ours, see writer.begin
		{"journal_mode", "WAL", "wal"},
		{"synchronous", "FULL", "2"},
		{"fullfsync", "ON", "1"}, // where fsync leaves data in the drive's cache (macOS)
		{"checkpoint_fullfsync", "ON", "1"},
		{"foreign_keys", "ON", "1"},
		{"temp_store", "MEMORY", "2"},
		{"mmap_size", "0", "0"},
		{"trusted_schema", "OFF", "0"},
		{"journal_size_limit", walKept, walKept},
	}
	forWriting = append(slices.Clone(common), []pragma{
		{"cache_size", "-4096", "-4096"},
		{"wal_autocheckpoint", walPages, walPages},
	}...)
	forReading = append(slices.Clone(common), []pragma{
		{"cache_size", "-8192", "-8192"},
		{"query_only", "ON", "1"},
	}...)
)

// A page that is written again and again (an index, the end of a table) is
// copied to the database once for each time the write-ahead log is; so it is
// let grow to 8000 pages (32 MiB), which a start after a crash reads in a
// tenth of a second.
const (
	walPages = "8000"
	walKept  = "67108864"
)

// connect opens a connection, sets it up and asserts that it took the settings.
func connect(ctx context.Context, connector driver.Connector, settings []pragma) (*conn, error) {
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw, stmts: make(map[string]driver.Stmt)}
	if err := c.set(settings); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) set(settings []pragma) error {
	for _, p := range settings {
		// Another process may be opening or closing the database.
		if err := patiently(context.Background(), func() error {
			return c.exec("PRAGMA " + p.name + "=" + p.set)
		}); err != nil {
			return fmt.Errorf("set %s: %w", p.name, err)
		}
	}
	return c.assert(settings)
}

// assert reads every setting back: a durability that SQLite silently did not
// take is an error at open.
func (c *conn) assert(settings []pragma) error {
	for _, p := range settings {
		got := ""
		if err := c.query("PRAGMA "+p.name, func(r row) error { got = fmt.Sprint(r[0]); return nil }); err != nil {
			return fmt.Errorf("read %s: %w", p.name, err)
		}
		if got == "" && p.name == "mmap_size" {
			continue // a build without mmap reports nothing
		}
		if got != p.want {
			return fmt.Errorf("the database does not take %s=%s (it says %q)", p.name, p.set, got)
		}
	}
	return nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	c.stmts = nil
	return errors.Join(append(errs, c.raw.Close())...)
}

func (c *conn) prepare(sql string) (driver.Stmt, error) {
	if s, ok := c.stmts[sql]; ok {
		return s, nil
	}
	s, err := c.raw.Prepare(sql)
	if err != nil {
		return nil, err
	}
	c.stmts[sql] = s
	return s, nil
}

func (c *conn) bind(args []any) []driver.NamedValue {
	out := c.args[:0]
	for i, a := range args {
		switch v := a.(type) {
		case time.Time:
			a = v.UnixMicro()
		case int:
			a = int64(v)
		case bool:
			a = int64(0)
			if v {
				a = int64(1)
			}
		case []byte:
			if v == nil {
				a = []byte{} // NULL is said with nil
			}
		}
		out = append(out, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	c.args = out
	return out
}

// exec runs a statement. An argument is a string, int, int64, bool, []byte,
// time.Time or nil.
func (c *conn) exec(sql string, args ...any) error {
	_, err := c.execCount(sql, args...)
	return err
}

// execCount says how many rows it changed.
func (c *conn) execCount(sql string, args ...any) (int64, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return 0, err
	}
	// Without a context of its own a statement that began ends.
	res, err := s.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(args))
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row is one row of an answer: string, int64, []byte or nil in each column.
type row []driver.Value

func (r row) text(i int) string    { s, _ := r[i].(string); return s }
func (r row) number(i int) int64   { n, _ := r[i].(int64); return n }
func (r row) blob(i int) []byte    { b, _ := r[i].([]byte); return b }
func (r row) null(i int) bool      { return r[i] == nil }
func (r row) yes(i int) bool       { return r.number(i) != 0 }
func (r row) time(i int) time.Time { return time.UnixMicro(r.number(i)).UTC() }

// query calls f for each row; f keeps no row.
func (c *conn) query(sql string, f func(row) error, args ...any) (err error) {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil && e != nil {
			err = e
		}
	}()
	n := len(rows.Columns())
	// f may query in its turn, so the buffer is taken while it is used.
	buf := c.rows
	c.rows = nil
	if cap(buf) < n {
		buf = make([]driver.Value, n)
	}
	buf = buf[:n]
	defer func() { clear(buf); c.rows = buf }()
	for {
		switch err := rows.Next(buf); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := f(buf); err != nil {
			return err
		}
	}
}

// SQLite's primary result codes that are told apart (sqlite.org/rescode.html).
const (
	codeError      = 1
	codeBusy       = 5
	codeLocked     = 6
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCantOpen   = 14
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
	codeRange      = 25
	codeNotADB     = 26

	codeConstraintPrimaryKey = 1555
	codeConstraintUnique     = 2067
	codeFsync                = 1034
	codeDirFsync             = 1290
)

// code is SQLite's extended result code of an error, 0: not SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

func busy(err error) bool {
	c := code(err) & 0xff
	return c == codeBusy || c == codeLocked
}

// taken tells a row that is there already.
func taken(err error) bool {
	c := code(err)
	return c == codeConstraintUnique || c == codeConstraintPrimaryKey
}

// alone tells an error of one statement that leaves the transaction and the
// database as they were, from one that may have ended the transaction.
func alone(err error) bool {
	switch code(err) & 0xff {
	case codeError, codeTooBig, codeConstraint, codeMismatch, codeRange:
		return true
	}
	return code(err) == 0
}

// patiently calls f until it is no longer turned away by another process's
// lock, at most lockWait.
func patiently(ctx context.Context, f func() error) error {
	for end := time.Now().Add(lockWait); ; {
		err := f()
		if err == nil || !busy(err) || time.Now().After(end) {
			return err
		}
		// SQLite does not queue those who wait; a millisecond finds the gap
		// between two commits of a busy server soon.
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lockWait is how long another process's transaction is waited for. A test
// shortens it.
var lockWait = 10 * time.Second
