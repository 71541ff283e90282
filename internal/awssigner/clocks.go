package awssigner

import (
	"context"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// RequestClocks keeps, across restarts, the latest date of a principal's
// changes that was ahead of the clock when they were let through: zero when
// there was none. A clock that is set to an earlier date stays as it is.
// SetRequestClock returns when it is durable.
type RequestClocks interface {
	RequestClock(ctx context.Context, principal string) (time.Time, error)
	SetRequestClock(ctx context.Context, principal string, at time.Time) error
}

// clocks knows what is kept, so that the store is asked once for each
// principal and told once for each second that a client is ahead.
type clocks struct {
	store RequestClocks

	mu sync.Mutex
	by map[string]*principalClock
}

type principalClock struct {
	turn  chan struct{} // holds one: whose turn it is
	known bool
	floor time.Time // what was kept when this server first asked
	kept  time.Time // what is kept now
}

func newClocks(store RequestClocks) *clocks {
	return &clocks{store: store, by: map[string]*principalClock{}}
}

// of gives the clock of a principal to one caller; done gives it back.
func (c *clocks) of(ctx context.Context, principal string) (p *principalClock, done func(), err error) {
	c.mu.Lock()
	if p = c.by[principal]; p == nil {
		if len(c.by) >= limits.APIPrincipals {
			clear(c.by) // they are read again
		}
		p = &principalClock{turn: make(chan struct{}, 1)}
		c.by[principal] = p
	}
	c.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	done = func() { <-p.turn }
	if !p.known {
		if p.floor, err = c.store.RequestClock(ctx, principal); err != nil {
			done()
			return nil, nil, err
		}
		p.kept, p.known = p.floor, true
	}
	return p, done, nil
}

// floor is the date up to which a principal's changes may have been made
// before this server started.
func (c *clocks) floor(ctx context.Context, principal string) (time.Time, error) {
	p, done, err := c.of(ctx, principal)
	if err != nil {
		return time.Time{}, err
	}
	defer done()
	return p.floor, nil
}

// keep returns when it is durable that changes dated at may have been made.
func (c *clocks) keep(ctx context.Context, principal string, at time.Time) error {
	p, done, err := c.of(ctx, principal)
	if err != nil {
		return err
	}
	defer done()
	if !at.After(p.kept) {
		return nil
	}
	if err := c.store.SetRequestClock(ctx, principal, at); err != nil {
		return err
	}
	p.kept = at
	return nil
}
