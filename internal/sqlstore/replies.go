package sqlstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// replyKey is the unique name of a request that may be repeated.
func replyKey(principal, invocationID, bodySHA256 string) [sha256.Size]byte {
	b := make([]byte, 0, 256)
	for _, s := range []string{principal, invocationID, bodySHA256} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	return sha256.Sum256(b)
}

// replyID is the first half of a key, and enough to find a row, whose key is
// compared whole.
type replyID [sha256.Size / 2]byte

// replyIndex is the index of the replies in the database, by key, in the writer's
// memory: it is the one place that sees to it that a key is there once. It is
// read when the database is opened, about 40 bytes for each reply, and follows
// what other processes write.
type replyIndex struct {
	seq  map[replyID]int64
	next int64 // after the last row, whose key is last
	last replyID
	// undos are the entries that the open transaction changed, as they were.
	undos []replyUndo
}

// replyUndo is an entry as it was, and what was the last row then.
type replyUndo struct {
	id   replyID
	seq  int64 // 0: there was none
	next int64
	last replyID
}

// follow takes over what others wrote. It is called in a transaction, with no
// undos.
func (r *replyIndex) follow(c *conn) error {
	goesOn := false
	if r.next > 1 {
		err := c.query("SELECT key FROM replies WHERE seq = ?", func(row row) error {
			goesOn = bytes.HasPrefix(row.blob(0), r.last[:])
			return nil
		}, r.next-1)
		if err != nil {
			return err
		}
	}
	if !goesOn { // the first time, or all of them went meanwhile
		*r = replyIndex{seq: map[replyID]int64{}, next: 1}
	}
	return c.query("SELECT seq, key FROM replies WHERE seq >= ? ORDER BY seq", func(row row) error {
		if len(row.blob(1)) != sha256.Size {
			return fmt.Errorf("the key of reply %d has %d bytes", row.number(0), len(row.blob(1)))
		}
		copy(r.last[:], row.blob(1))
		r.seq[r.last], r.next = row.number(0), row.number(0)+1
		return nil
	}, r.next)
}

// set is for seq 0 a removal.
func (r *replyIndex) set(id replyID, seq int64) {
	r.undos = append(r.undos, replyUndo{id, r.seq[id], r.next, r.last})
	r.put(id, seq)
	if seq >= r.next {
		r.next, r.last = seq+1, id
	}
}

func (r *replyIndex) put(id replyID, seq int64) {
	if seq == 0 {
		delete(r.seq, id)
	} else {
		r.seq[id] = seq
	}
}

// undo takes back what was set after the first n.
func (r *replyIndex) undo(n int) {
	for i := len(r.undos) - 1; i >= n; i-- {
		u := r.undos[i]
		r.put(u.id, u.seq)
		r.next, r.last = u.next, u.last
	}
	r.undos = r.undos[:n]
}

const replyColumns = "SELECT created, job, envelope FROM replies WHERE "

// Reply finds one in a view by reading all: nobody asks there.
func (t *tx) Reply(principal, invocationID, bodySHA256 string, since time.Time) (signing.Reply, error) {
	if err := t.usable(false); err != nil {
		return signing.Reply{}, err
	}
	key := replyKey(principal, invocationID, bodySHA256)
	sql, args := replyColumns+"key = ? AND created >= ?", []any{key[:], since}
	if t.w != nil {
		seq := t.w.replies.seq[replyID(key[:])]
		if seq == 0 {
			return signing.Reply{}, notFound("reply")
		}
		sql, args = replyColumns+"seq = ? AND key = ? AND created >= ?", []any{seq, key[:], since}
	}
	p := signing.Reply{Principal: principal, InvocationID: invocationID, BodySHA256: bodySHA256}
	err := t.one("reply", sql, func(r row) (err error) {
		p.Created, p.Envelope = r.time(0), r.blob(2)
		p.Job, err = awsprofile.ParseJob(r.text(1))
		return err
	}, args...)
	if err != nil {
		return signing.Reply{}, err
	}
	return p, nil
}

func (t *tx) AddReply(r signing.Reply) error {
	if err := t.usable(true); err != nil {
		return err
	}
	key := replyKey(r.Principal, r.InvocationID, r.BodySHA256)
	if seq := t.w.replies.seq[replyID(key[:])]; seq != 0 {
		// Another process may have purged it.
		err := t.one("reply", "SELECT 1 FROM replies WHERE seq = ? AND key = ?", func(row) error { return nil }, seq, key[:])
		if err == nil {
			return fmt.Errorf("reply: %w", signing.ErrExists)
		}
		if !errors.Is(err, signing.ErrNotFound) {
			return err
		}
	}
	seq := t.w.replies.next
	if _, err := t.write("INSERT INTO replies (seq, key, created, job, envelope) VALUES (?, ?, ?, ?, ?)",
		[]any{seq, key[:], r.Created, r.Job.String(), r.Envelope}); err != nil {
		return t.fail("reply", err) // a row that is there: the memory is not what it should be
	}
	t.w.replies.set(replyID(key[:]), seq)
	return nil
}

// PurgeReplies drops the oldest replies up to the first one that is kept, at
// most limits.ReplyPurge of them: a few written out of the order of their times
// stay a little longer.
func (t *tx) PurgeReplies(before time.Time) error {
	if err := t.usable(true); err != nil {
		return err
	}
	var ids []replyID
	end := int64(0)
	err := t.query("replies to purge", "SELECT seq, key, created FROM replies ORDER BY seq LIMIT ?", func(r row) error {
		if r.number(2) >= before.UnixMicro() {
			return errKept
		}
		end = r.number(0)
		ids = append(ids, replyID(r.blob(1)))
		return nil
	}, limits.ReplyPurge)
	if errors.Is(err, errKept) {
		err = nil
	}
	if err != nil || end == 0 {
		return err
	}
	if _, err := t.change("purge replies", "DELETE FROM replies WHERE seq <= ?", end); err != nil {
		return err
	}
	for _, id := range ids {
		if seq := t.w.replies.seq[id]; seq != 0 && seq <= end {
			t.w.replies.set(id, 0)
		}
	}
	return nil
}

// errKept ends the search for what to purge.
var errKept = errors.New("one that is kept")

// DropReply drops one; that there is none is no error.
func (t *tx) DropReply(principal, invocationID, bodySHA256 string) error {
	if err := t.usable(true); err != nil {
		return err
	}
	key := replyKey(principal, invocationID, bodySHA256)
	seq := t.w.replies.seq[replyID(key[:])]
	if seq == 0 {
		return nil
	}
	_, err := t.change("drop a reply", "DELETE FROM replies WHERE seq = ? AND key = ?", seq, key[:])
	if err == nil {
		t.w.replies.set(replyID(key[:]), 0)
	}
	return err
}
