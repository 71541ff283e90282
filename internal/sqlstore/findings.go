package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// FindingsOptions say where findings are kept, and how many.
type FindingsOptions struct {
	Path string // of the database, which is for findings alone
	// Most findings, and bytes of them as JSON, are kept; 0: limits' own.
	Most      int64
	MostBytes int64
	// MostClaims and MostTellings of each watcher are kept; 0: limits' own.
	MostClaims, MostTellings int64
}

// Findings keeps findings that were told, and what watchers decided and told,
// in a database of their own: it is a watch.Keeper, and each of its [State]s a
// watch.Store. Safe for concurrent use, by several processes too. A change that
// was answered is on the disk.
//
// Where there is no room, those make it that were told to be over longest ago;
// then those that are open and of which nothing was told for
// limits.FindingsForgot; then there is watch.ErrFull.
type Findings struct {
	path      string
	file      os.FileInfo // of path when it was opened
	connector driver.Connector
	most      int64
	mostBytes int64
	claims    int64 // most, of each watcher
	tellings  int64 // likewise
	pool      pool
	writing   chan *conn // the one connection that writes; nil: to be made
	closing   chan struct{}
	close     sync.Once
	closeErr  error
	fatal     error // whoever has the writing connection may look at it
	dropped   atomic.Int64
	idle      atomic.Int64 // what is newest of watchers where that is long ago, as the last look to tidy saw it; 0: it is not
}

var _ watch.Keeper = (*Findings)(nil)

// findingsReaders is how many may read at once.
const findingsReaders = 4

// applicationID marks a database of findings ("SHFN"), so that another one is
// not taken for it.
const applicationID = 1397245518

// OpenFindings opens or makes the database and brings its schema up to date. As
// [Open], it wants a directory that not everybody may write to, and makes the
// file readable to its owner alone.
func OpenFindings(ctx context.Context, o FindingsOptions) (*Findings, error) {
	f, err := openFindings(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open the findings %s: %w", o.Path, err)
	}
	return f, nil
}

func openFindings(ctx context.Context, o FindingsOptions) (_ *Findings, err error) {
	if o.Path == "" {
		return nil, errors.New("no path was given")
	}
	if o.Path, err = filepath.Abs(o.Path); err != nil {
		return nil, err
	}
	if err := prepareFile(o.Path); err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(dsn(o.Path))
	if err != nil {
		return nil, err
	}
	if err := mark(ctx, connector); err != nil {
		return nil, err
	}
	if err := migrate(ctx, connector, schemaFindings); err != nil {
		return nil, err
	}
	f := &Findings{path: o.Path, connector: connector, pool: newPool(connector, findingsReaders), writing: make(chan *conn, 1), closing: make(chan struct{}),
		most: orLimit(o.Most, limits.FindingsKept), mostBytes: orLimit(o.MostBytes, limits.FindingsBytes),
		claims: orLimit(o.MostClaims, limits.StateClaims), tellings: orLimit(o.MostTellings, limits.StateTellings)}
	if f.file, err = os.Stat(o.Path); err != nil {
		return nil, err
	}
	c, err := connect(ctx, connector, forWriting)
	if err != nil {
		return nil, err
	}
	f.writing <- c
	return f, nil
}

func orLimit(most, limit int64) int64 {
	if most > 0 {
		return most
	}
	return limit
}

// mark marks a new database as one of findings, before anything is in it, and
// refuses one that holds something else, such as the signer's.
func mark(ctx context.Context, connector driver.Connector) error {
	raw, err := connector.Connect(ctx)
	if err != nil {
		return err
	}
	c := &conn{raw: raw, stmts: map[string]driver.Stmt{}}
	tables, id := int64(0), int64(0)
	err = patiently(ctx, func() error {
		return errors.Join(c.query("SELECT count(*) FROM sqlite_schema", func(r row) error { tables = r.number(0); return nil }),
			c.query("PRAGMA application_id", func(r row) error { id = r.number(0); return nil }))
	})
	switch {
	case err != nil || id == applicationID:
	case tables > 0 || id != 0:
		err = errors.New("it is a database of something else: findings have one of their own")
	default:
		err = patiently(ctx, func() error { return c.exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID)) })
	}
	return errors.Join(err, c.close())
}

// Close ends after the change under way. What comes later gets ErrClosed.
func (f *Findings) Close() error {
	f.close.Do(func() {
		close(f.closing)
		if c := <-f.writing; c != nil {
			f.closeErr = c.close()
		}
		f.closeErr = errors.Join(f.closeErr, f.pool.close())
	})
	return f.closeErr
}

// Dropped is how many findings made room for others since it was opened.
func (f *Findings) Dropped() int64 { return f.dropped.Load() }

// lost is err as callers are told it: the database cannot be used now.
func lost(err error) error {
	return &shuin.Error{Code: shuin.CodeInternal, Message: "the findings' store is not available" + trouble(err), Err: err}
}

// write runs change in a transaction of its own, and returns when what it did
// is on the disk. An error of change undoes it.
func (f *Findings) write(ctx context.Context, change func(*conn) error) (err error) {
	c, err := f.take(ctx)
	if err != nil {
		return err
	}
	defer func() { f.writing <- c }()
	if f.fatal != nil {
		return lost(f.fatal)
	}
	if err := present(f.path, f.file); err != nil {
		return lost(err)
	}
	if c == nil {
		if c, err = connect(ctx, f.connector, forWriting); err != nil {
			c = nil
			return lost(err)
		}
	}
	if err := patiently(ctx, func() error { return c.exec("BEGIN IMMEDIATE") }); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c = drop(c)
		return lost(err)
	}
	done := false
	defer func() { // also when change panics
		if done {
			return
		}
		if code(err) != 0 {
			err = lost(err)
		}
		if e := c.exec("ROLLBACK"); e != nil {
			c = drop(c) // which undoes it
		}
	}()
	if err := change(c); err != nil {
		return err
	}
	if err := c.exec("COMMIT"); err != nil {
		if n := code(err); n == codeFsync || n == codeDirFsync {
			f.fatal = fmt.Errorf("the disk failed to sync, and what it holds is not known until the service is started again: %w", err)
		}
		return err
	}
	done = true
	return nil
}

// take takes the connection that writes, from whoever has it.
func (f *Findings) take(ctx context.Context) (*conn, error) {
	select {
	case <-f.closing:
		return nil, lost(ErrClosed)
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-f.writing:
		return c, nil
	case <-f.closing:
		return nil, lost(ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read runs look on one consistent state.
func (f *Findings) read(ctx context.Context, look func(*conn) error) (err error) {
	select {
	case <-f.closing:
		return lost(ErrClosed)
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-f.pool.free:
	case <-f.closing:
		return lost(ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { f.pool.free <- c }()
	if err := present(f.path, f.file); err != nil {
		return lost(err)
	}
	if c == nil {
		if c, err = connect(ctx, f.connector, forReading); err != nil {
			c = nil
			return lost(err)
		}
	}
	if err := c.exec("BEGIN"); err != nil {
		c = drop(c)
		return lost(err)
	}
	defer func() { // also when look panics
		if e := c.exec("COMMIT"); e != nil {
			c = drop(c)
		}
	}()
	if err = look(c); code(err) != 0 {
		err = lost(err)
	}
	return err
}
