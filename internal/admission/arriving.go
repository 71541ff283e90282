package admission

import (
	"context"
	"net"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/shuin/shuin/internal/limits"
)

// arriving bounds the bytes of bodies on their way: of all together, and of one
// sender, so that who sends slowly takes up his own part and no API server's.
type arriving struct {
	all *semaphore.Weighted

	mu    sync.Mutex
	hosts map[string]*sender
}

// sender is the part of one host, as long as somebody there sends or waits.
type sender struct {
	part  *semaphore.Weighted
	users int
}

func newArriving() *arriving {
	return &arriving{all: semaphore.NewWeighted(limits.AdmissionArrivingBytes), hosts: map[string]*sender{}}
}

// take waits for room for a body of n bytes from addr ("host:port"), as long as
// ctx lasts, and gives it back with done. n is at most limits.AdmissionSenderBytes.
func (a *arriving) take(ctx context.Context, addr string, n int64) (done func(), err error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	a.mu.Lock()
	s := a.hosts[host]
	if s == nil {
		s = &sender{part: semaphore.NewWeighted(limits.AdmissionSenderBytes)}
		a.hosts[host] = s
	}
	s.users++
	a.mu.Unlock()
	leave := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(a.hosts, host)
		}
	}
	if err := s.part.Acquire(ctx, n); err != nil {
		leave()
		return nil, err
	}
	if err := a.all.Acquire(ctx, n); err != nil {
		s.part.Release(n)
		leave()
		return nil, err
	}
	return func() {
		a.all.Release(n)
		s.part.Release(n)
		leave()
	}, nil
}
