package signing

import (
	"context"
	"sync"
)

// turn is a mutex that nobody waits for longer than his context lasts: what
// holds it may have much to do. Its zero value is free.
type turn struct {
	once sync.Once
	held chan struct{}
}

// take waits for its turn. The error is a refusal: nothing was done.
func (t *turn) take(ctx context.Context) (release func(), err error) {
	t.once.Do(func() { t.held = make(chan struct{}, 1) })
	err = ctx.Err() // before the turn, which may be free too
	if err == nil {
		select {
		case t.held <- struct{}{}:
			return func() { <-t.held }, nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return nil, &Error{Fault: FaultUnavailable, Message: "the request ended while it waited for another revocation or CRL to be done; nothing was changed: try again", Err: err}
}
