package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/share"
)

// boundedListener serves at most max connections at a time. One sender may
// have half of them, and a group of senders three quarters, so that they do not
// keep others out; more of theirs are closed. When all are taken one that waits
// for a request is closed for the next: one that sent none yet before one that is
// kept. Where none waits, the next does until one has gone. See makeRoom.
type boundedListener struct {
	net.Listener
	share, together, fair int
	free                  chan struct{} // holds one for each place taken
	once                  sync.Once
	closed                chan struct{}
	first                 time.Duration // for a connection to send a request's header

	mu      sync.Mutex
	senders map[string]*sender // those who have connections
	waiting bool               // a connection waits for a place
}

// sender is who has connections, as package share names him.
type sender struct {
	places      int
	fresh, kept []*boundedConn // those that sent no request yet, and those that did; the oldest first
}

// sharedFrom is the number of places from which on they are shared out.
const sharedFrom = 16

func newBoundedListener(ln net.Listener, max int) *boundedListener {
	l := &boundedListener{
		Listener: ln, share: max, together: max, fair: max + 1, first: limits.ServerFirstTime,
		free: make(chan struct{}, max), closed: make(chan struct{}), senders: map[string]*sender{},
	}
	if max >= sharedFrom {
		l.share, l.together, l.fair = max/2, max/2+max/4, max/limits.ServerFairPart
	}
	return l
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &boundedConn{Conn: conn, l: l, from: share.Sender(conn.RemoteAddr().String())}
		if !l.enter(c.from) {
			_ = conn.Close()
			continue
		}
		select {
		case l.free <- struct{}{}:
		default:
			if !l.makeRoom(c.from) {
				l.leave(c)
				_ = conn.Close()
				continue
			}
			select {
			case l.free <- struct{}{}:
			case <-l.closed:
				l.leave(c)
				_ = conn.Close()
				return nil, net.ErrClosed
			}
		}
		l.begin(c)
		return c, nil
	}
}

// enter counts a connection of a sender, if its share is not used up, nor its
// group's.
func (l *boundedListener) enter(from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.senders[from]
	if l.share < cap(l.free) && (s != nil && s.places >= l.share || l.places(share.Group(from)) >= l.together) {
		return false
	}
	if s == nil {
		s = &sender{}
		l.senders[from] = s
	}
	s.places++
	return true
}

// places are those of a group. The lock is held.
func (l *boundedListener) places(group string) (n int) {
	for who, s := range l.senders {
		if share.Group(who) == group {
			n += s.places
		}
	}
	return n
}

// leave gives up what enter counted.
func (l *boundedListener) leave(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.senders[c.from]
	s.drop(c)
	if s.places--; s.places == 0 {
		delete(l.senders, c.from)
	}
}

// begin has a connection that got a place wait for its first request.
func (l *boundedListener) begin(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
	c.release = sync.OnceFunc(func() { c.late.Stop(); <-l.free; l.leave(c) })
	s := l.senders[c.from]
	s.fresh = append(s.fresh, c)
	c.late = time.AfterFunc(l.first, func() {
		l.mu.Lock()
		fresh := slices.Contains(s.fresh, c)
		l.mu.Unlock()
		if fresh {
			_ = c.Close()
		}
	})
}

// drop takes a connection off those that wait for a request.
func (s *sender) drop(c *boundedConn) {
	for _, list := range []*[]*boundedConn{&s.fresh, &s.kept} {
		if i := slices.Index(*list, c); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
		}
	}
}

// makeRoom closes a connection that waits for a request, for one from a sender
// who is counted already, or has the next one closed that becomes so. Of those
// that sent no request yet it is the oldest of who has most of these; of the kept
// ones the oldest of who has most connections. Who has more than his fair part
// takes from nobody who has less: false says that he has to go.
func (l *boundedListener) makeRoom(from string) bool {
	l.mu.Lock()
	mine := l.senders[from].places
	least := mine
	if mine <= l.fair {
		least = 0
	}
	out := l.oldest(least, func(s *sender) []*boundedConn { return s.fresh }, func(s *sender) int { return len(s.fresh) })
	if out == nil {
		out = l.oldest(least, func(s *sender) []*boundedConn { return s.kept }, func(s *sender) int { return s.places })
	}
	l.waiting = out == nil && least == 0
	waits := l.waiting
	l.mu.Unlock()
	if out != nil {
		_ = out.Close()
	}
	return out != nil || waits
}

// oldest is the first of the list of a sender who has connections in it, of the
// one who has most, as their group and then they themselves are counted. Who has
// fewer than least places is left out. The lock is held.
func (l *boundedListener) oldest(least int, list func(*sender) []*boundedConn, count func(*sender) int) (out *boundedConn) {
	groups := map[string]int{}
	for who, s := range l.senders {
		groups[share.Group(who)] += count(s)
	}
	most, his := -1, -1
	for who, s := range l.senders {
		all, own := groups[share.Group(who)], count(s)
		if of := list(s); len(of) > 0 && s.places >= least && (all > most || all == most && own > his) {
			out, most, his = of[0], all, own
		}
	}
	return out
}

// note keeps who waits for another request.
func (l *boundedListener) note(c *boundedConn, idle bool) {
	l.mu.Lock()
	s := l.senders[c.from]
	if s == nil { // it is closed
		l.mu.Unlock()
		return
	}
	s.drop(c)
	out := idle && l.waiting
	if out {
		l.waiting = false
	} else if idle && !c.gone {
		s.kept = append(s.kept, c)
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
	from    string
	release func()
	late    *time.Timer // closes it, where it sends no request
	gone    bool        // held by the listener's lock
}

func (c *boundedConn) Close() error {
	c.l.mu.Lock()
	c.gone = true
	c.l.mu.Unlock()
	err := c.Conn.Close()
	c.release()
	return err
}

// noteIdle is the http.Server's ConnState. A connection is active from the end of
// a request's header on, until the answer is written.
func noteIdle(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*boundedConn); ok && (state == http.StateIdle || state == http.StateActive || state == http.StateClosed) {
		c.l.note(c, state == http.StateIdle)
	}
}
