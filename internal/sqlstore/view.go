package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/shuin/shuin/signing"
)

// pool is the connections that read. They are made when first needed.
type pool struct {
	connector driver.Connector
	free      chan *conn // nil: one to be made
}

func newPool(c driver.Connector, size int) pool {
	p := pool{connector: c, free: make(chan *conn, size)}
	for range size {
		p.free <- nil
	}
	return p
}

func (p *pool) close() error {
	var errs []error
	for range cap(p.free) {
		if c := <-p.free; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}

// View runs f on one consistent state. Its Tx cannot write.
func (s *Store) View(ctx context.Context, f func(signing.Tx) error) error {
	return s.view(ctx, func(t *tx) error { return f(t) })
}

func (s *Store) view(ctx context.Context, f func(*tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	select {
	case <-s.closing: // before the pool, which may have a free one too
		return unavailable(ErrClosed)
	default:
	}
	select {
	case c = <-s.pool.free:
	case <-s.closing:
		return unavailable(ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.pool.free <- c }()
	if c == nil {
		made, err := connect(ctx, s.connector, forReading)
		if err != nil {
			return unavailable(err)
		}
		c = made
	}
	if err := c.exec("BEGIN"); err != nil {
		c = drop(c)
		return unavailable(err)
	}
	t := &tx{c: c}
	ended := false
	defer func() { // also when f panics
		t.done = true
		if e := c.exec("COMMIT"); e != nil {
			c = drop(c)
			if ended && err == nil {
				err = unavailable(e)
			}
		}
	}()
	err = f(t)
	ended = true
	if t.failed != nil {
		return unavailable(t.failed)
	}
	return err
}

// drop gives up a connection in a state nobody knows.
func drop(c *conn) *conn {
	_ = c.close() // it failed already
	return nil
}
