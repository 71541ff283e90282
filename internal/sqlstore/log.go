package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/signing"
)

// Checkpoint is the log's newest state.
func (s *Store) Checkpoint(ctx context.Context) (audit.Checkpoint, error) {
	var c audit.Checkpoint
	err := s.view(ctx, func(t *tx) (err error) {
		c, err = t.checkpoint(s.origin)
		return err
	})
	return c, err
}

func (t *tx) checkpoint(origin string) (audit.Checkpoint, error) {
	size := int64(0)
	err := t.query("size of the log", "SELECT idx FROM entries ORDER BY idx DESC LIMIT 1",
		func(r row) error { size = r.number(0) + 1; return nil })
	if err != nil {
		return audit.Checkpoint{}, err
	}
	tree, err := audit.NewTree(size, hashes{t.c})
	return tree.Checkpoint(origin), err
}

// Entry is entry i of the log; signing.ErrNotFound beyond its end.
func (s *Store) Entry(ctx context.Context, i int64) (audit.Entry, error) {
	list, err := s.Entries(ctx, i, 1)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("log entry %d: %w", i, signing.ErrNotFound)
	}
	if err != nil {
		return audit.Entry{}, err
	}
	return list[0], nil
}

// Entries are at most n of the log from index from on, in order; none beyond
// its end.
func (s *Store) Entries(ctx context.Context, from int64, n int) ([]audit.Entry, error) {
	var out []audit.Entry
	err := s.leaves(ctx, from, n, func(i int64, leaf, _ []byte) error {
		e, err := audit.ParseLeaf(leaf)
		if err != nil {
			return fmt.Errorf("log entry %d: %w", i, err)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// leaves calls f for at most n rows of the log from index from on.
func (s *Store) leaves(ctx context.Context, from int64, n int, f func(i int64, leaf, hashes []byte) error) error {
	if from < 0 || n < 0 {
		return fmt.Errorf("%d log entries from %d", n, from)
	}
	return s.view(ctx, func(t *tx) error {
		return t.query("log entries", "SELECT idx, leaf, hashes FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?",
			func(r row) error { return f(r.number(0), r.blob(1), r.blob(2)) }, from, n)
	})
}

// CheckConsistent says by a proof whether the log of old is the beginning of
// this one; ErrRolledBack or ErrInconsistent if it is not.
func (s *Store) CheckConsistent(ctx context.Context, old audit.Checkpoint) error {
	return s.view(ctx, func(t *tx) error {
		now, err := t.checkpoint(s.origin)
		if err != nil {
			return err
		}
		return checkAgainst("the checkpoint", old, now, hashes{t.c})
	})
}

// ProveInclusion is entry i's leaf with the proof that the log of the
// checkpoint has it (audit.CheckInclusion).
func (s *Store) ProveInclusion(ctx context.Context, i int64) (leaf []byte, p tlog.RecordProof, c audit.Checkpoint, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		if c, err = t.checkpoint(s.origin); err != nil {
			return err
		}
		err = t.one(fmt.Sprintf("log entry %d", i), "SELECT leaf FROM entries WHERE idx = ?",
			func(r row) error { leaf = r.blob(0); return nil }, i)
		if err != nil {
			return err
		}
		p, err = audit.ProveInclusion(c, i, hashes{t.c})
		return err
	})
	return leaf, p, c, err
}

// verifyPage is how many entries VerifyLog reads at a time: between pages it
// holds no transaction open, which would keep the write-ahead log growing.
const verifyPage = 1000

// VerifyLog reads the whole log as it is at the call, computes every hash
// anew from the leaves and compares it with the one kept, and returns the
// checkpoint that comes out. ErrInconsistent names the first entry that is
// wrong.
func (s *Store) VerifyLog(ctx context.Context) (audit.Checkpoint, error) {
	now, err := s.Checkpoint(ctx)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	var tree audit.Tree
	for tree.Size() < now.Size {
		before := tree.Size()
		err := s.leaves(ctx, before, int(min(verifyPage, now.Size-before)), func(i int64, leaf, stored []byte) error {
			return verifyEntry(&tree, i, leaf, stored)
		})
		if err != nil {
			return audit.Checkpoint{}, err
		}
		if tree.Size() == before {
			return audit.Checkpoint{}, fmt.Errorf("%w: entry %d is missing", ErrInconsistent, before)
		}
	}
	if got := tree.Checkpoint(s.origin); got != now {
		return audit.Checkpoint{}, fmt.Errorf("%w: its %d leaves give the root %s, its hashes %s", ErrInconsistent, now.Size, got.Root, now.Root)
	}
	return now, nil
}

var errHash = errors.New("its hashes are not those of its leaf")

func verifyEntry(tree *audit.Tree, i int64, leaf, stored []byte) error {
	if i != tree.Size() {
		return fmt.Errorf("%w: entry %d is missing", ErrInconsistent, tree.Size())
	}
	_, err := audit.ParseLeaf(leaf)
	if err == nil {
		_, completed := tree.Append(leaf)
		want := make([]byte, 0, len(stored))
		for _, h := range completed {
			want = append(want, h[:]...)
		}
		if string(want) != string(stored) {
			err = errHash
		}
	}
	if err != nil {
		return fmt.Errorf("%w: entry %d: %w", ErrInconsistent, i, err)
	}
	return nil
}
