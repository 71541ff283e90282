// Package sqlstore keeps a signing service's state and log in SQLite. It
// decides nothing about what it keeps; it sees to it that what was said to be
// kept is on the disk, that the log only grows, and that a database that was
// put back to an earlier state is noticed. It sends nothing over a network
// and encrypts nothing: secrets come to it sealed. In a database of their own it
// keeps findings, and what a watcher decided and told ([Findings]).
//
// Several processes may have one database open (an administrator's command
// beside the server): SQLite's locks order their commits, and each looks at
// the end of the log anew in every transaction.
package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/signing"
)

// Options say where and how. Path is the database file.
type Options struct {
	Path string
	// Checkpoint is a file outside the database that holds the newest
	// checkpoint of the log; empty: none (tests).
	Checkpoint string
	// Origin is the name of the log in checkpoints (audit.ValidOrigin);
	// empty: "shuin/log".
	Origin string
	// AcceptMissingCheckpoint opens a database that has a log though the
	// checkpoint file is not there, and begins a new one from what the
	// database says: whether the database was rolled back cannot be told.
	// It does not accept a checkpoint file that is there and disagrees.
	AcceptMissingCheckpoint bool
}

const defaultOrigin = "shuin/log"

// What Open refuses, and Update after it when it is found out later.
var (
	// ErrRolledBack: the log in the database is shorter than it was.
	ErrRolledBack = errors.New("the database was rolled back")
	// ErrInconsistent: the log in the database is another one, or damaged.
	ErrInconsistent = errors.New("the log in the database contradicts what is known of it")
	// ErrCheckpointMissing: there is a log, and no checkpoint file.
	ErrCheckpointMissing = errors.New("the checkpoint file is missing")
	// ErrNewer: the database was made by a newer version of this program.
	ErrNewer = errors.New("the database is newer than this program")
	// ErrAway: the database file was removed or replaced while it was open.
	ErrAway = errors.New("the database file is not there any more")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
)

// Store is a signing.Store (and the log). Safe for concurrent use.
type Store struct {
	path      string
	file      os.FileInfo // of path when it was opened
	origin    string
	connector driver.Connector
	updates   chan *update
	closing   chan struct{}
	stopped   chan struct{}
	close     sync.Once
	closeErr  error
	pool      pool
	// The counters of Stats.
	commits, committed atomic.Int64
}

var _ signing.Store = (*Store)(nil)

// Open opens or makes the database, brings its schema up to date, and refuses
// one that is older than the checkpoint beside it. The file is made readable
// to its owner alone, whatever the umask; its directory must exist and not be
// writable to everybody.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", o.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Path == "" {
		return nil, errors.New("no path was given")
	}
	if o.Origin == "" {
		o.Origin = defaultOrigin
	}
	if !audit.ValidOrigin(o.Origin) {
		return nil, fmt.Errorf("%q cannot be the name of a log", o.Origin)
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
	if err := migrate(ctx, connector, schemaSigner); err != nil {
		return nil, err
	}
	s := &Store{
		path: o.Path, origin: o.Origin, connector: connector,
		updates: make(chan *update), closing: make(chan struct{}), stopped: make(chan struct{}),
		pool: newPool(connector, max(4, 2*runtime.GOMAXPROCS(0))),
	}
	if s.file, err = os.Stat(o.Path); err != nil {
		return nil, err
	}
	w, err := newWriter(ctx, s, o)
	if err != nil {
		return nil, err
	}
	go w.run()
	return s, nil
}

// dsn is path as a URI: in one, no character of a path means anything else.
func dsn(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// Close ends after the commits under way. Updates and views that come later
// get ErrClosed.
func (s *Store) Close() error {
	s.close.Do(func() {
		close(s.closing)
		<-s.stopped
		s.closeErr = errors.Join(s.closeErr, s.pool.close())
	})
	return s.closeErr
}

// Stats are counts since Open.
type Stats struct {
	Commits int64 // of transactions, each durable
	Updates int64 // kept by them
}

// Stats tells how updates shared commits.
func (s *Store) Stats() Stats {
	return Stats{Commits: s.commits.Load(), Updates: s.committed.Load()}
}

// unavailable is err for callers of Update and View: the store cannot be
// used now, for a reason that is the operator's.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &signing.Error{Fault: signing.FaultUnavailable, Message: "the signing service's store is not available" + trouble(err), Err: err}
}

// trouble says what ails a database, after a colon; nothing where that is not
// known.
func trouble(err error) string {
	switch code(err) & 0xff {
	case codeFull:
		return ": no space is left for the database"
	case codeReadOnly:
		return ": the database cannot be written"
	case codeBusy, codeLocked:
		return ": another process keeps the database locked"
	case codeIO, codeCantOpen:
		return ": the database's disk does not answer as it should"
	case codeCorrupt, codeNotADB:
		return ": the database is damaged"
	}
	switch {
	case errors.Is(err, ErrRolledBack), errors.Is(err, ErrInconsistent):
		return ": its log does not continue what was there before"
	case errors.Is(err, ErrAway):
		return ": the database file was removed or replaced"
	case errors.Is(err, ErrClosed):
		return ": the service is stopping"
	}
	return ""
}
