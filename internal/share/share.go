// Package share hands out places (reviews, bytes, reads) to askers of whom it
// knows a name alone, so that nobody has them all and who asks for little does
// not wait behind who asks for much.
//
// It knows no clock and no connection: how long somebody waits is his context's
// matter, and what an asker is called his who asks for him.
package share

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// Share is a number of places. Safe for concurrent use.
type Share struct {
	all, part int64

	mu     sync.Mutex
	taken  int64
	came   uint64            // how many ever waited
	wait   int               // how many wait
	askers map[string]*asker // those who have or want some
}

type asker struct {
	taken   int64
	waiting []*turn // in the order of coming
}

// turn is that of one who waits.
type turn struct {
	n      int64
	number uint64        // in the order of coming, of all askers
	given  chan struct{} // closed when the places are
}

// New makes a number of places, of which one asker has part at a time at most.
func New(all, part int64) *Share {
	return &Share{all: all, part: min(part, all), askers: map[string]*asker{}}
}

// Take waits for n places for who, as long as ctx lasts, and gives them back
// with leave. An asker's turns come in their order; of several askers, the one
// who has the fewest places comes first, and of those the one who waits the
// longest. Who wants more than his part gets all of that.
func (s *Share) Take(ctx context.Context, who string, n int64) (leave func(), err error) {
	n = max(0, min(n, s.part))
	leave = sync.OnceFunc(func() { s.leave(who, n) })
	s.mu.Lock()
	a := s.askers[who]
	if a == nil {
		a = &asker{}
		s.askers[who] = a
	}
	if s.wait == 0 && a.taken+n <= s.part && s.taken+n <= s.all {
		s.give(a, n)
		s.mu.Unlock()
		return leave, nil
	}
	s.came++
	s.wait++
	mine := &turn{n, s.came, make(chan struct{})}
	a.waiting = append(a.waiting, mine)
	s.passOn()
	s.mu.Unlock()
	select {
	case <-mine.given:
		return leave, nil
	default:
	}
	select {
	case <-mine.given:
		return leave, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(a.waiting, mine)
	if i < 0 { // they were given meanwhile
		s.back(who, n)
	} else {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		s.wait--
	}
	s.tidy(who)
	s.passOn() // others may have waited behind this one
	return nil, ctx.Err()
}

func (s *Share) leave(who string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back(who, n)
	s.tidy(who)
	s.passOn()
}

func (s *Share) give(a *asker, n int64) {
	s.taken += n
	a.taken += n
}

func (s *Share) back(who string, n int64) {
	s.taken -= n
	s.askers[who].taken -= n
}

// passOn gives what is free to those whose turn it is. Who comes first and wants
// more than is free holds up the others: he would wait for ever.
func (s *Share) passOn() {
	for s.wait > 0 {
		var first *asker
		for _, a := range s.askers {
			if len(a.waiting) == 0 || a.taken+a.waiting[0].n > s.part {
				continue
			}
			if first == nil || a.taken < first.taken || a.taken == first.taken && a.waiting[0].number < first.waiting[0].number {
				first = a
			}
		}
		if first == nil || s.taken+first.waiting[0].n > s.all {
			return
		}
		next := first.waiting[0]
		first.waiting = slices.Delete(first.waiting, 0, 1)
		s.wait--
		s.give(first, next.n)
		close(next.given)
	}
}

// tidy forgets who has and wants nothing.
func (s *Share) tidy(who string) {
	if a := s.askers[who]; a.taken == 0 && len(a.waiting) == 0 {
		delete(s.askers, who)
	}
}

// Sender names who sends from an address, "host:port": what one sender can be
// taken to have of addresses is one of IPv4, and 2^64 of IPv6.
func Sender(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
