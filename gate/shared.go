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
	waiting []chan struct{} // in the order of coming; closed when the place is given
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
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	a.waiting[registry] = l
	s.mu.Unlock()
	select {
	case <-turn:
		return leave, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(l.waiting, turn)
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

func (s *shared) leave(who, registry string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.askers[who]
	s.taken--
	a.taken--
	a.lines[registry].taken--
	s.pass(a, registry) // to the next in the same line, where it may
	s.tidy(who, registry)
	for name, other := range s.askers { // and to all others who may now
		if len(other.waiting) == 0 || s.room(other) <= 0 {
			continue
		}
		for line := range other.waiting {
			for s.pass(other, line) {
			}
			s.tidy(name, line)
		}
	}
}

// pass gives a place to the first who waits in a line.
func (s *shared) pass(a *asker, registry string) bool {
	l := a.lines[registry]
	if len(l.waiting) == 0 || !s.open(a, l) {
		return false
	}
	s.give(a, l)
	close(l.waiting[0])
	l.waiting = slices.Delete(l.waiting, 0, 1)
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
