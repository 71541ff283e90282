// Package sqlstore keeps a signing service's state and log in SQLite. It
// decides nothing about what it keeps.
package sqlstore

import "context"

// Options say where and how. Path is the database file.
type Options struct {
	Path string
	// Checkpoint is a file outside the database that holds the newest
	// checkpoint of the log; empty: none (tests).
	Checkpoint string
	Origin     string // name of the log in checkpoints
}

// Store is a signing.Store (and the log). Safe for concurrent use.
type Store struct{ unexported }
type unexported struct{}

// Open opens or makes the database, brings its schema up to date, and refuses
// one that is older than the checkpoint beside it.
func Open(ctx context.Context, o Options) (*Store, error) { panic("unimplemented") }

// Close ends after the commits under way.
func (s *Store) Close() error { panic("unimplemented") }
