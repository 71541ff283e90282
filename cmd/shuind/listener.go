package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"github.com/shuin/shuin/internal/share"
)

// boundedListener serves at most max connections at a time. One sender may
// have half of them, so that it does not keep others out; more of its are
// closed. When all are taken the one that has been idle for the longest is
// closed for the next, which waits until there is one.
type boundedListener struct {
	net.Listener
	share  int
	free   chan struct{} // holds one for each place taken
	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex
	by      map[string]int // places taken, by sender
	idle    []*boundedConn // longest first
	waiting bool           // a connection waits for a place
}

// sharedFrom is the number of places from which on they are shared out.
const sharedFrom = 16

func newBoundedListener(ln net.Listener, max int) *boundedListener {
	share := max
	if max >= sharedFrom {
		share = max / 2
	}
	return &boundedListener{Listener: ln, share: share, free: make(chan struct{}, max), closed: make(chan struct{}), by: map[string]int{}}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := share.Sender(conn.RemoteAddr().String())
		if !l.enter(from) {
			_ = conn.Close()
			continue
		}
		select {
		case l.free <- struct{}{}:
		default:
			l.makeRoom()
			select {
			case l.free <- struct{}{}:
			case <-l.closed:
				l.leave(from)
				_ = conn.Close()
				return nil, net.ErrClosed
			}
			l.mu.Lock()
			l.waiting = false
			l.mu.Unlock()
		}
		return &boundedConn{Conn: conn, l: l, release: sync.OnceFunc(func() { <-l.free; l.leave(from) })}, nil
	}
}

// enter counts a connection of a sender, if its share is not used up.
func (l *boundedListener) enter(from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by[from] >= l.share && l.share < cap(l.free) {
		return false
	}
	l.by[from]++
	return true
}

func (l *boundedListener) leave(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by[from]--; l.by[from] == 0 {
		delete(l.by, from)
	}
}

// makeRoom closes the connection that has been idle for the longest, or the
// next one that becomes so.
func (l *boundedListener) makeRoom() {
	l.mu.Lock()
	var out *boundedConn
	if len(l.idle) > 0 {
		out, l.idle = l.idle[0], l.idle[1:]
	} else {
		l.waiting = true
	}
	l.mu.Unlock()
	if out != nil {
		_ = out.Close()
	}
}

// note keeps who is idle.
func (l *boundedListener) note(c *boundedConn, idle bool) {
	l.mu.Lock()
	for i, other := range l.idle {
		if other == c {
			l.idle = append(l.idle[:i:i], l.idle[i+1:]...)
			break
		}
	}
	out := idle && l.waiting
	if out {
		l.waiting = false
	} else if idle {
		l.idle = append(l.idle, c)
	}
	l.mu.Unlock()
	if out {
		_ = c.Close()
	}
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	l       *boundedListener
	release func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// noteIdle is the http.Server's ConnState.
func noteIdle(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*boundedConn); ok && (state == http.StateIdle || state == http.StateActive || state == http.StateClosed) {
		c.l.note(c, state == http.StateIdle)
	}
}
