package gate

import (
	"context"
	"slices"
	"sync"
)

// shared is a number of places that many askers share. The more of them are
// taken, the fewer one asker and one registry may take: who comes first and
// leaves late never has them all. An asker with a registry that has no place
// yet finds one as long as any is left to the asker.
type shared struct {
	total     int
	askerPart int // one asker has 1/askerPart at most of the places that others leave,
	linePart  int // one registry 1/linePart of what its asker may still have,
	lineMost  int // and never more than that

	mu     sync.Mutex
	taken  int
	came   uint64 // how many ever waited
	askers map[string]*asker
}

// asker is who shares, with the places of each registry: nothing is kept of who
// has and wants none.
type asker struct {
	taken   int
	lines   map[string]*line
	waiting map[string]*line // those of lines that somebody waits in
}

type line struct {
	taken   int
	waiting []*turn // in the order of coming
}

// turn is that of one who waits.
type turn struct {
	given  chan struct{} // closed when the place is
	number uint64        // in the order of coming, of all lines
}

func newShared(total, askerPart, linePart, lineMost int) *shared {
	return &shared{total: total, askerPart: askerPart, linePart: linePart, lineMost: lineMost, askers: map[string]*asker{}}
}

// room is how many places the asker may still take.
func (s *shared) room(a *asker) int {
	free := s.total - s.taken
	return min(free, max((free+a.taken)/s.askerPart, 1)-a.taken)
}

// open says whether a registry may have one more.
func (s *shared) open(a *asker, l *line) bool {
	room := s.room(a)
	return room > 0 && l.taken < min(s.lineMost, max(room/s.linePart, 1))
}

// take waits for a place as long as ctx lasts, and gives it back with leave.
func (s *shared) take(ctx context.Context, who, registry string) (leave func(), err error) {
	s.mu.Lock()
	a := s.askers[who]
	if a == nil {
		a = &asker{lines: map[string]*line{}, waiting: map[string]*line{}}
		s.askers[who] = a
	}
	l := a.lines[registry]
	if l == nil {
		l = &line{}
		a.lines[registry] = l
	}
	leave = sync.OnceFunc(func() { s.leave(who, registry) })
	if len(l.waiting) == 0 && s.open(a, l) {
		s.give(a, l)
		s.mu.Unlock()
		return leave, nil
	}
	s.came++
	mine := &turn{make(chan struct{}), s.came}
	l.waiting = append(l.waiting, mine)
	a.waiting[registry] = l
	s.mu.Unlock()
	select {
	case <-mine.given:
		return leave, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(l.waiting, mine)
	if i < 0 { // it was given meanwhile
		s.mu.Unlock()
		leave()
		return nil, ctx.Err()
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	s.tidy(who, registry)
	s.mu.Unlock()
	return nil, ctx.Err()
}

func (s *shared) give(a *asker, l *line) {
	s.taken++
	a.taken++
	l.taken++
}

// leave gives a place back, and what is free to those who wait: of all who may
// have one, to who came first, or one registry's askers would pass it on among
// themselves.
func (s *shared) leave(who, registry string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.askers[who]
	s.taken--
	a.taken--
	a.lines[registry].taken--
	s.tidy(who, registry)
	for s.passOn() {
	}
}

// passOn gives one place to the first of those who may have it.
func (s *shared) passOn() bool {
	var first *line
	var of *asker
	var who, registry string
	for name, a := range s.askers {
		if len(a.waiting) == 0 || s.room(a) <= 0 {
			continue
		}
		for at, l := range a.waiting {
			if s.open(a, l) && (first == nil || l.waiting[0].number < first.waiting[0].number) {
				first, of, who, registry = l, a, name, at
			}
		}
	}
	if first == nil {
		return false
	}
	s.give(of, first)
	close(first.waiting[0].given)
	first.waiting = slices.Delete(first.waiting, 0, 1)
	s.tidy(who, registry)
	return true
}

// tidy forgets what nobody has or waits for.
func (s *shared) tidy(who, registry string) {
	a := s.askers[who]
	l := a.lines[registry]
	if len(l.waiting) == 0 {
		delete(a.waiting, registry)
		if l.taken == 0 {
			delete(a.lines, registry)
		}
	}
	if len(a.lines) == 0 {
		delete(s.askers, who)
	}
}
