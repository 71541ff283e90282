package gateapi

import (
	"sync"
	"time"
)

// shares bounds what each principal takes: images asked about per second, and
// requests in flight. Their number is that of the principals.
type shares struct {
	perSecond float64
	burst     float64
	inFlight  int

	mu sync.Mutex
	by map[string]*share
}

// share is one principal's.
type share struct {
	left  float64 // images that may be asked about at once; less than none: owed
	at    time.Time
	count int // in flight
}

func newShares(perSecond float64, burst, inFlight int) *shares {
	return &shares{perSecond: perSecond, burst: float64(burst), inFlight: inFlight, by: map[string]*share{}}
}

// allow spends one image of a principal's rate: before it is known how many
// the request asks about.
func (s *shares) allow(principal string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.of(principal)
	if b.at.IsZero() {
		b.left, b.at = s.burst, now
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.left = min(s.burst, b.left+passed.Seconds()*s.perSecond)
		b.at = now
	} else if passed < 0 {
		b.at = now // the clock was set back
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// charge spends the rest of what a request costs, of which allow spent one: one
// for each image beyond the first. A request about more images than may be
// asked about at once passes too, and the principal owes them; who owes has to
// wait.
func (s *shares) charge(principal string, more int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.of(principal)
	if b.left < 0 {
		return false
	}
	b.left = max(b.left-float64(more), -s.burst) // and never owes more: others may ask in its name
	return true
}

// enter takes one of the principal's places for requests in flight; leave
// gives it back.
func (s *shares) enter(principal string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.of(principal)
	if b.count >= s.inFlight {
		return false
	}
	b.count++
	return true
}

func (s *shares) leave(principal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(principal).count--
}

func (s *shares) of(principal string) *share {
	b := s.by[principal]
	if b == nil {
		b = &share{}
		s.by[principal] = b
	}
	return b
}

// keep forgets the principals that are not wanted, unless they have requests
// in flight.
func (s *shares) keep(wanted func(name string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.by {
		if b.count == 0 && !wanted(name) {
			delete(s.by, name)
		}
	}
}
