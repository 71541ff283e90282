package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// update is one call of Update on its way.
type update struct {
	ctx  context.Context
	f    func(*tx) error
	err  error
	done chan error
	// changes are the statements by which it wrote, in order.
	changes []statement
}

// statement is one that changed something, with its arguments.
type statement struct {
	sql  string
	args []any
}

// writer owns the one connection that writes. It runs what waits, one update
// after the other, and commits them together: the disk is waited for once for
// all.
type writer struct {
	s          *Store
	c          *conn
	checkpoint checkpointFile
	// state is that of the open transaction, kept that of the last commit.
	state, kept state
	// version is SQLite's number of what other connections committed; with the
	// same number the log, the clock and the profiles are as they were left.
	version int64
	// profiles are those that were read since, by profileKey.
	profiles map[profileKey]signing.Profile
	// stale: the checkpoint file is behind, since it could not be written.
	stale bool
	// fatal ends all writing: what the disk holds is not known, or it
	// contradicts what was there.
	fatal error
	group []*update
}

// state is what is kept in memory beside the database. It is a value, so that
// an update that fails is undone here too.
type state struct {
	tree  audit.Tree
	clock int64 // microseconds
	ever  bool  // the clock was set
	moved bool  // the clock's row is to be written
}

// newWriter opens the connection and holds the log against its checkpoint.
func newWriter(ctx context.Context, s *Store, o Options) (_ *writer, err error) {
	// The file is read first: other processes write it after their commit,
	// so it is never ahead of what is read after it.
	file, known, found, err := openCheckpoint(o.Checkpoint)
	if err != nil {
		return nil, err
	}
	w := &writer{s: s, checkpoint: file, version: unknownVersion, profiles: map[profileKey]signing.Profile{}}
	defer func() {
		if err != nil {
			_ = w.shut() // the first error tells
		}
	}()
	if w.c, err = connect(ctx, s.connector, forWriting); err != nil {
		return nil, err
	}
	if err = w.begin(ctx); err != nil {
		return nil, err
	}
	if err = w.lastLeaf(); err != nil {
		return nil, err
	}
	if o.Checkpoint != "" {
		now := w.kept.tree.Checkpoint(s.origin)
		switch {
		case found:
			if err = checkAgainst(o.Checkpoint, known, now, hashes{w.c}); err != nil {
				return nil, err
			}
			err = w.checkpoint.write(now)
		case now.Size > 0 && !o.AcceptMissingCheckpoint:
			return nil, fmt.Errorf("%w: the log has %d entries, and %s is not there to tell whether it had more: bring the file back; "+
				"if it is lost, accept the log as it is with --accept-missing-checkpoint", ErrCheckpointMissing, now.Size, o.Checkpoint)
		default:
			err = w.checkpoint.create(now)
		}
		if err != nil {
			return nil, err
		}
	}
	return w, w.c.exec("ROLLBACK")
}

// lastLeaf checks that the newest entry has the hash that the tree ends with.
func (w *writer) lastLeaf() error {
	size := w.kept.tree.Size()
	if size == 0 {
		return nil
	}
	var leaf []byte
	err := w.c.query("SELECT leaf FROM entries WHERE idx = ?", func(r row) error { leaf = r.blob(0); return nil }, size-1)
	if err == nil && tlog.RecordHash(leaf) != w.kept.tree.Last() {
		err = fmt.Errorf("%w: entry %d is not what its hash says", ErrInconsistent, size-1)
	}
	return err
}

func (w *writer) shut() error {
	var err error
	if w.c != nil {
		err = w.c.close()
	}
	return errors.Join(err, w.checkpoint.close())
}

// Update runs f in a read-write transaction and returns after its commit is
// durable; see signing.Store. A context that ends before f began drops it,
// one that ends later changes nothing.
func (s *Store) Update(ctx context.Context, f func(signing.Tx) error) error {
	return s.update(ctx, func(t *tx) error { return f(t) })
}

func (s *Store) update(ctx context.Context, f func(*tx) error) error {
	u := &update{ctx: ctx, f: f, done: make(chan error, 1)}
	select {
	case <-s.closing:
		return unavailable(ErrClosed)
	default:
	}
	select {
	case s.updates <- u:
		return <-u.done
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return unavailable(ErrClosed)
	}
}

// run serves updates until the store closes. A function that ends the
// goroutine it runs on (runtime.Goexit: a test's FailNow) ends its own update
// and those beside it, not the writer.
func (w *writer) run() {
	ended := true
	defer func() {
		if ended {
			w.abandon(errors.New("a function ended the goroutine of the transaction"))
			go w.run()
		}
	}()
	for {
		select {
		case u := <-w.s.updates:
			w.together(u)
		case <-w.s.closing:
			ended = false
			w.s.closeErr = w.shut()
			close(w.s.stopped)
			return
		}
	}
}

// together runs u and all that wait, commits, and tells each how it ended.
func (w *writer) together(u *update) {
	w.group = append(w.group[:0], u)
	if err := w.begin(context.Background()); err != nil {
		w.abandon(err)
		return
	}
	if err := w.one(u); err != nil {
		w.abandon(err)
		return
	}
	for range gatherings {
		runtime.Gosched()
		more, err := w.those()
		if err != nil {
			w.abandon(err)
			return
		}
		if !more {
			break
		}
	}
	if err := w.commit(); err != nil {
		w.abandon(err)
		return
	}
	for _, u := range w.group {
		u.done <- u.err
	}
	clear(w.group)
	w.group = w.group[:0]
}

// gatherings is how often the writer looks for more before it commits. A
// commit costs processor time beside the sync: pages that every update touches
// are written once for all that share it. Before each look it lets the others
// run that are about to update; where nobody is, that takes no time.
const gatherings = 4

// those runs all that wait now, and says whether there were any.
func (w *writer) those() (any bool, err error) {
	for len(w.group) < limits.CommitGroup {
		select {
		case u := <-w.s.updates:
			any = true
			w.group = append(w.group, u)
			if err := w.one(u); err != nil {
				return any, err
			}
		default:
			return any, nil
		}
	}
	return false, nil
}

// abandon undoes the open transaction and fails all of its updates but those
// that had failed by themselves.
func (w *writer) abandon(err error) {
	if c := code(err); c == codeFsync || c == codeDirFsync {
		w.fatal = fmt.Errorf("the disk failed to sync, and what it holds is not known until the service is started again: %w", err)
	}
	// SQLite may have ended the transaction itself: then this fails.
	_ = w.c.exec("ROLLBACK")
	w.state, w.version = w.kept, unknownVersion
	for _, u := range w.group {
		if u.err == nil {
			u.err = unavailable(err)
		}
		u.done <- u.err
	}
	clear(w.group)
	w.group = w.group[:0]
}

// begin opens a transaction that may write and looks at the end of the log:
// another process may have appended to it.
func (w *writer) begin(ctx context.Context) error {
	if w.fatal != nil {
		return w.fatal
	}
	if err := w.s.present(); err != nil {
		w.fatal = err
		return err
	}
	if w.stale {
		if err := w.checkpoint.write(w.kept.tree.Checkpoint(w.s.origin)); err != nil {
			return err
		}
		w.stale = false
	}
	if err := patiently(ctx, func() error { return w.c.exec("BEGIN IMMEDIATE") }); err != nil {
		return err
	}
	if err := w.lookAround(); err != nil {
		return err
	}
	w.state = w.kept
	return nil
}

// unknownVersion is none of SQLite's.
const unknownVersion = -1

// lookAround takes over what other processes committed.
func (w *writer) lookAround() error {
	version, err := w.dataVersion()
	if err != nil {
		return err
	}
	if version == w.version {
		return nil
	}
	clear(w.profiles)
	size, last, err := w.head()
	if err != nil {
		return err
	}
	if size != w.kept.tree.Size() || last != w.kept.tree.Last() {
		if err := w.catchUp(size, last); err != nil {
			if errors.Is(err, ErrRolledBack) || errors.Is(err, ErrInconsistent) {
				w.fatal = err
			}
			return err
		}
	}
	w.version = version
	return nil
}

// dataVersion is SQLite's number of what other connections committed.
func (w *writer) dataVersion() (version int64, err error) {
	err = w.c.query("PRAGMA data_version", func(r row) error { version = r.number(0); return nil })
	return version, err
}

// present tells whether the file that is open is still the one at its path:
// what is written to one that was removed is lost with the process.
func (s *Store) present() error { return present(s.path, s.file) }

func present(path string, file os.FileInfo) error {
	now, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	if !os.SameFile(file, now) {
		return fmt.Errorf("%w: there is another one at %s", ErrAway, path)
	}
	return nil
}

// head reads the size of the log, its newest record's hash, and the clock.
func (w *writer) head() (size int64, last tlog.Hash, err error) {
	err = w.c.query(`SELECT us, (SELECT idx FROM entries ORDER BY idx DESC LIMIT 1),
		(SELECT substr(hashes, 1, 32) FROM entries ORDER BY idx DESC LIMIT 1) FROM clock WHERE id = 1`,
		func(r row) error {
			w.kept.ever, w.kept.clock = !r.null(0), r.number(0)
			if !r.null(1) {
				size = r.number(1) + 1
				copy(last[:], r.blob(2))
			}
			return nil
		})
	return size, last, err
}

// catchUp takes over what another process appended, after a proof that it
// continues what this one knows.
func (w *writer) catchUp(size int64, last tlog.Hash) error {
	known := w.kept.tree.Checkpoint(w.s.origin)
	if size < known.Size {
		return fmt.Errorf("%w: its log has %d entries, and this process knows %d", ErrRolledBack, size, known.Size)
	}
	if size == known.Size {
		return fmt.Errorf("%w: entry %d changed", ErrInconsistent, size-1)
	}
	tree, err := audit.NewTree(size, hashes{w.c})
	if err != nil {
		return err
	}
	now := tree.Checkpoint(w.s.origin)
	p, err := audit.ProveConsistency(known, now, hashes{w.c})
	if err == nil {
		err = audit.CheckConsistency(p, known, now)
	}
	if errors.Is(err, audit.ErrInconsistent) || err == nil && tree.Last() != last {
		return fmt.Errorf("%w: its %d entries do not begin with the %d that this process knows", ErrInconsistent, size, known.Size)
	}
	if err != nil {
		return err
	}
	w.kept.tree = tree
	return nil
}

// one runs u. An error returned is the whole transaction's.
func (w *writer) one(u *update) error {
	if u.err = u.ctx.Err(); u.err != nil {
		return nil // given up before it began
	}
	before := w.state
	t := &tx{c: w.c, w: w, u: u}
	u.err = call(u.f, t)
	t.done = true
	if t.failed != nil {
		// What f made of it does not matter: a statement of it did not run.
		if !alone(t.failed) {
			u.err = nil
			return t.failed
		}
		u.err = unavailable(t.failed)
	}
	if u.err == nil {
		return nil
	}
	w.state = before
	if t.profiles {
		clear(w.profiles) // what it read after its change
	}
	if len(u.changes) == 0 {
		return nil // a statement that fails leaves nothing
	}
	u.changes = nil
	return w.without()
}

// without undoes the open transaction and runs again what those updates of the
// group wrote that did not fail. A savepoint for each update would do it too:
// but nearly none has to be undone after it wrote, and savepoints are paid by
// all, in statements and in copies of pages.
func (w *writer) without() error {
	if err := w.c.exec("ROLLBACK"); err != nil {
		return err
	}
	if err := patiently(context.Background(), func() error { return w.c.exec("BEGIN IMMEDIATE") }); err != nil {
		return err
	}
	version, err := w.dataVersion()
	if err != nil {
		return err
	}
	if version != w.version {
		return errOvertaken // what they read and decided by may be different now
	}
	for _, u := range w.group {
		if u.err != nil {
			continue
		}
		for _, c := range u.changes {
			if err := w.c.exec(c.sql, c.args...); err != nil {
				return err
			}
		}
	}
	return nil
}

var errOvertaken = errors.New("another process wrote while an update was undone")

// call contains a panic of f.
func call(f func(*tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return f(t)
}

// commit makes the transaction durable, then tells the checkpoint file. The
// commit stands when the file cannot be written; what comes next waits for it.
func (w *writer) commit() error {
	if w.state.moved {
		if err := w.c.exec("UPDATE clock SET us = ? WHERE id = 1", w.state.clock); err != nil {
			return err
		}
		w.state.moved = false
	}
	if err := w.c.exec("COMMIT"); err != nil {
		return err
	}
	grown := w.state.tree.Size() != w.kept.tree.Size()
	w.kept = w.state
	if grown {
		w.stale = w.checkpoint.write(w.kept.tree.Checkpoint(w.s.origin)) != nil
	}
	w.s.commits.Add(1)
	for _, u := range w.group {
		if u.err == nil {
			w.s.committed.Add(1)
		}
	}
	return nil
}

// unixMicro is a time as it is kept; the zero time comes back as such.
func unixMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }
