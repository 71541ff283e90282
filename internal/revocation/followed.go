package revocation

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// followed is what was asked about between decisions. Of what is too much the
// least recently asked for of who has the most is forgotten.
type followed[Q any] struct {
	mu  sync.Mutex
	all *lru[*following[Q]]
}

// following is one question with what was told of it.
type following[Q any] struct {
	q       Q
	owner   string
	used    time.Time // when a decision wanted it last
	looked  time.Time // when a look came to it last
	turning turning
}

// want notes that a decision asked q, one of owner's, under key, and found status.
func (f *followed[Q]) want(key, owner string, q Q, status verify.Status, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = newLRU[*following[Q]](limits.RevocationFollowed)
	}
	if x, ok := f.all.get(key); ok {
		x.used = now
		x.turning.begin(status)
		return
	}
	x := &following[Q]{q: q, owner: owner, used: now, looked: now}
	x.turning.begin(status)
	f.all.put(key, owner, x, 1)
}

// since are those that were wanted since a time, one of each owner after the
// other, and of his the one that no look came to for longest first.
func (f *followed[Q]) since(since time.Time) (out []*following[Q]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		return nil
	}
	for e := f.all.order.Front(); e != nil; e = e.Next() {
		if x := e.Value.(*lruItem[*following[Q]]).value; !x.used.Before(since) {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b *following[Q]) int { return cmp.Compare(a.looked.UnixNano(), b.looked.UnixNano()) })
	nth, of := map[*following[Q]]int{}, map[string]int{}
	for _, x := range out {
		nth[x] = of[x.owner]
		of[x.owner]++
	}
	slices.SortStableFunc(out, func(a, b *following[Q]) int { return cmp.Compare(nth[a], nth[b]) })
	return out
}

// found notes what a look found of x, and says whether it is to be told.
func (f *followed[Q]) found(x *following[Q], status verify.Status, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.looked = now
	return x.turning.turned(status, now)
}

// turning is what was told of one question, and how soon the contrary may be: two
// servers that do not agree have nobody busy without end.
type turning struct {
	told verify.Status // StatusGood, StatusRevoked; else nothing is known yet
	next time.Time     // when it may be told that it is good again
	hold time.Duration
}

// begin notes what is known first.
func (t *turning) begin(status verify.Status) {
	if t.told == 0 && (status == verify.StatusGood || status == verify.StatusRevoked) {
		t.told = status
	}
}

// turned says whether status is another than the one that was told, and is to be
// told now. That nobody answers is no turn; that the first answer is good, none
// either. That it is good again is told later, if it is still so, where it comes
// too soon after the last turn; that it is revoked, at once.
func (t *turning) turned(status verify.Status, now time.Time) bool {
	switch {
	case status != verify.StatusGood && status != verify.StatusRevoked, status == t.told:
		return false
	case t.told == 0 && status == verify.StatusGood:
		t.told = status
		return false
	case status == verify.StatusGood && now.Before(t.next):
		return false
	}
	if t.hold = min(2*t.hold, limits.RevocationTurnMost); t.hold == 0 || now.Sub(t.next) > limits.RevocationTurnMost {
		t.hold = limits.RevocationTurn
	}
	t.told, t.next = status, now.Add(t.hold)
	return true
}
