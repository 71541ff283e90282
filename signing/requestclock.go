package signing

import (
	"context"
	"time"
)

// RequestClock is the latest date of principal's requests for a change that
// was ahead of the service's clock when they were let through, zero when there
// was none. Those dated then or before may have been made already: the API's
// memory of them ends with the process.
func (s *Service) RequestClock(ctx context.Context, principal string) (at time.Time, err error) {
	err = s.view(ctx, func(tx Tx) (err error) { at, err = tx.RequestClock(principal); return err })
	return at, err
}

// SetRequestClock moves RequestClock to at and returns when that is durable.
// It does not move it back.
func (s *Service) SetRequestClock(ctx context.Context, principal string, at time.Time) error {
	return s.update(ctx, func(tx Tx) error { return tx.SetRequestClock(principal, at) })
}
