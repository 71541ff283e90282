package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the right edge of the log's Merkle tree: enough to append and to
// give the root. It is a value of 2 KiB: a copy is a snapshot to come back to.
// The zero Tree is empty. It is not safe for concurrent use.
type Tree struct {
	size int64
	last tlog.Hash // of the newest record
	// edge[l] is the root of the complete subtree of 2^l records that bit l
	// of size stands for; others are leftovers and never read.
	edge [63]tlog.Hash
}

// NewTree rebuilds the edge of a log of size records from its stored hashes
// (tlog's numbering).
func NewTree(size int64, r tlog.HashReader) (Tree, error) {
	if size < 0 {
		return Tree{}, fmt.Errorf("log of %d entries", size)
	}
	t := Tree{size: size}
	if size == 0 {
		return t, nil
	}
	var levels []int
	var indexes []int64
	for l := bits.Len64(uint64(size)) - 1; l >= 0; l-- {
		if size>>l&1 == 1 {
			levels = append(levels, l)
			indexes = append(indexes, tlog.StoredHashIndex(l, size>>l-1))
		}
	}
	indexes = append(indexes, tlog.StoredHashIndex(0, size-1))
	hashes, err := r.ReadHashes(indexes)
	if err != nil {
		return Tree{}, fmt.Errorf("read the log's edge: %w", err)
	}
	if len(hashes) != len(indexes) {
		return Tree{}, fmt.Errorf("read the log's edge: %d hashes for %d", len(hashes), len(indexes))
	}
	for i, l := range levels {
		t.edge[l] = hashes[i]
	}
	t.last = hashes[len(levels)]
	return t, nil
}

// Size is the number of records.
func (t *Tree) Size() int64 { return t.size }

// Last is the record hash of the newest record, zero in an empty tree.
func (t *Tree) Last() tlog.Hash { return t.last }

// Append adds a record and returns its index and the hashes it completes, in
// tlog's order: they belong at StoredHashIndex(0, index) and after, the first
// of them is the record's own, and the one of level l is number l.
func (t *Tree) Append(leaf []byte) (index int64, completed []tlog.Hash) {
	index = t.size
	h := tlog.RecordHash(leaf)
	completed, err := tlog.StoredHashesForRecordHash(index, h, edgeReader{t})
	if err != nil {
		panic("audit: " + err.Error()) // edgeReader has what tlog asks for an append, always
	}
	// The last hash completed is the subtree that the lowest set bit of the
	// new size stands for; those below it are no edge any more.
	t.edge[len(completed)-1] = completed[len(completed)-1]
	t.last = h
	t.size++
	return index, completed
}

// Root is the root hash: for the empty tree SHA-256 of nothing (RFC 6962
// section 2.1).
func (t *Tree) Root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	l := bits.TrailingZeros64(uint64(t.size))
	root := t.edge[l]
	for l++; l < bits.Len64(uint64(t.size)); l++ {
		if t.size>>l&1 == 1 {
			root = tlog.NodeHash(t.edge[l], root)
		}
	}
	return root
}

// Checkpoint is the tree's size and root under the log's name.
func (t *Tree) Checkpoint(origin string) Checkpoint {
	return Checkpoint{Origin: origin, Size: t.size, Root: t.Root()}
}

// edgeReader serves tlog from the edge.
type edgeReader struct{ t *Tree }

func (r edgeReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		l, n := tlog.SplitStoredHashIndex(x)
		if l >= len(r.t.edge) || r.t.size>>l&1 == 0 || n != r.t.size>>l-1 {
			return nil, fmt.Errorf("hash %d of level %d is not on the edge of %d records", n, l, r.t.size)
		}
		out[i] = r.t.edge[l]
	}
	return out, nil
}

// ErrInconsistent: two states of what should be one log contradict each other.
var ErrInconsistent = errors.New("the log does not contain the earlier one")

// ProveConsistency proves from stored hashes that the log of old is the
// beginning of the log of now.
func ProveConsistency(old, now Checkpoint, r tlog.HashReader) (tlog.TreeProof, error) {
	if err := checkOrder(old, now); err != nil {
		return nil, err
	}
	if old.Size == 0 || old.Size == now.Size {
		return nil, nil
	}
	p, err := tlog.ProveTree(now.Size, old.Size, r)
	if err != nil {
		return nil, fmt.Errorf("prove consistency: %w", err)
	}
	return p, nil
}

// CheckConsistency checks such a proof. What is not proved is ErrInconsistent.
func CheckConsistency(p tlog.TreeProof, old, now Checkpoint) error {
	if err := checkOrder(old, now); err != nil {
		return err
	}
	if old.Size == 0 || old.Size == now.Size {
		if len(p) != 0 || old.Size == now.Size && old.Root != now.Root || old.Size == 0 && old.Root != emptyRoot {
			return fmt.Errorf("%w: two roots at %d entries", ErrInconsistent, old.Size)
		}
		return nil
	}
	if err := tlog.CheckTree(p, now.Size, now.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("%w: %d entries against %d: %w", ErrInconsistent, old.Size, now.Size, err)
	}
	return nil
}

var emptyRoot tlog.Hash = sha256.Sum256(nil)

// checkOrder tells whether old can be an earlier state of now.
func checkOrder(old, now Checkpoint) error {
	if old.Origin != now.Origin {
		return fmt.Errorf("%w: they are named %q and %q", ErrInconsistent, old.Origin, now.Origin)
	}
	if old.Size < 0 || old.Size > now.Size {
		return fmt.Errorf("%w: it had %d entries and has %d", ErrInconsistent, old.Size, now.Size)
	}
	return nil
}

// ProveInclusion proves from stored hashes that record index is in the log of c.
func ProveInclusion(c Checkpoint, index int64, r tlog.HashReader) (tlog.RecordProof, error) {
	p, err := tlog.ProveRecord(c.Size, index, r)
	if err != nil {
		return nil, fmt.Errorf("prove inclusion: %w", err)
	}
	return p, nil
}

// CheckInclusion checks that the log of c has leaf as record index.
func CheckInclusion(p tlog.RecordProof, c Checkpoint, index int64, leaf []byte) error {
	if err := tlog.CheckRecord(p, c.Size, c.Root, index, tlog.RecordHash(leaf)); err != nil {
		return fmt.Errorf("check inclusion of entry %d: %w", index, err)
	}
	return nil
}
