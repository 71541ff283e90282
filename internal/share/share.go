// Package share hands out places (reviews, bytes, reads) to askers of whom it
// knows a name alone, so that nobody has them all and who asks for little does
// not wait behind who asks for much.
//
// It knows no clock and no connection: how long somebody waits is his context's
// matter, and what an asker is called his who asks for him.
package share

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Share is a number of places. Safe for concurrent use.
type Share struct {
	all, part, together int64

	mu     sync.Mutex
	taken  int64
	came   uint64            // how many ever waited
	wait   int               // how many wait
	groups map[string]*group // those of who has or wants some
}

// group are askers who may be one: see Sender. Who has none is alone in his.
type group struct {
	taken  int64
	askers map[string]*asker // those who have or want some
}

type asker struct {
	group   *group
	taken   int64
	waiting []*turn // in the order of coming
}

// turn is that of one who waits.
type turn struct {
	n      int64
	number uint64        // in the order of coming, of all askers
	given  chan struct{} // closed when the places are
}

// New makes a number of places, of which one asker has part at a time at most,
// and the askers of one group together half of what that leaves besides.
func New(all, part int64) *Share {
	part = min(part, all)
	return &Share{all: all, part: part, together: part + (all-part)/2, groups: map[string]*group{}}
}

// Take waits for n places for who, as long as ctx lasts, and gives them back
// with leave. An asker's turns come in their order; of several askers, the one
// whose group has the fewest places comes first, of those who has the fewest
// himself, and of those the one who waits the longest. Who wants more than his
// part gets all of that; who wants none has it at once.
func (s *Share) Take(ctx context.Context, who string, n int64) (leave func(), err error) {
	n = min(n, s.part)
	if n <= 0 {
		return func() {}, nil
	}
	leave = sync.OnceFunc(func() { s.leave(who, n) })
	s.mu.Lock()
	a := s.asker(who)
	if s.wait == 0 && a.mayHave(s, n) && s.taken+n <= s.all {
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
		s.back(a, n)
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
	s.back(s.asker(who), n)
	s.tidy(who)
	s.passOn()
}

// asker is he who is called so; he is made where nobody knows him.
func (s *Share) asker(who string) *asker {
	g := s.groups[Group(who)]
	if g == nil {
		g = &group{askers: map[string]*asker{}}
		s.groups[Group(who)] = g
	}
	a := g.askers[who]
	if a == nil {
		a = &asker{group: g}
		g.askers[who] = a
	}
	return a
}

// mayHave says whether n more are within his part, and his group's.
func (a *asker) mayHave(s *Share, n int64) bool {
	return a.taken+n <= s.part && a.group.taken+n <= s.together
}

func (s *Share) give(a *asker, n int64) {
	s.taken += n
	a.group.taken += n
	a.taken += n
}

func (s *Share) back(a *asker, n int64) { s.give(a, -n) }

// passOn gives what is free to those whose turn it is. Who comes first and wants
// more than is free holds up the others, of his group where that is what is used
// up: he would wait for ever.
func (s *Share) passOn() {
	for s.wait > 0 {
		var first *asker
		for _, g := range s.groups {
			a := g.first(s.part)
			if a == nil || !a.mayHave(s, a.waiting[0].n) {
				continue
			}
			if first == nil || a.before(first) {
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

// first is whose turn it is of those whose part is not used up.
func (g *group) first(part int64) (first *asker) {
	for _, a := range g.askers {
		if len(a.waiting) > 0 && a.taken+a.waiting[0].n <= part && (first == nil || a.before(first)) {
			first = a
		}
	}
	return first
}

// before is the order of those who wait.
func (a *asker) before(b *asker) bool {
	return cmp.Or(cmp.Compare(a.group.taken, b.group.taken), cmp.Compare(a.taken, b.taken), cmp.Compare(a.waiting[0].number, b.waiting[0].number)) < 0
}

// tidy forgets who has and wants nothing.
func (s *Share) tidy(who string) {
	g := s.groups[Group(who)]
	if a := g.askers[who]; a.taken == 0 && len(a.waiting) == 0 {
		delete(g.askers, who)
	}
	if len(g.askers) == 0 {
		delete(s.groups, Group(who))
	}
}

// groupEnd stands between the name of a group and that of one of it.
const groupEnd = "|"

// Sender names who sends from an address, "host:port": the address. Of IPv6 it
// is one of a group, of 2^64: one machine can have all of these, and a cluster's
// nodes, Pods and API servers may have theirs out of the same.
func Sender(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String() + groupEnd + a.String()
		}
	}
	return a.String()
}

// Group is the group of an asker by his name; himself, where he has none.
func Group(who string) string {
	group, _, _ := strings.Cut(who, groupEnd)
	return group
}
