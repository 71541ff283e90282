package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// guests are connections to a server of 16 places, from addresses of this machine.
type guests struct {
	t     *testing.T
	l     *boundedListener
	at    string
	begun chan struct{} // told of each request under /wait
}

type guest struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// newGuests serves; what is asked for under /wait is answered when busy is closed.
// Without a first time only others' coming closes a connection.
func newGuests(t *testing.T, first time.Duration, busy <-chan struct{}) *guests {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newBoundedListener(ln, sharedFrom)
	l.first = first
	begun := make(chan struct{}, sharedFrom)
	srv := entrance{what: "API", handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			begun <- struct{}{}
			<-busy
		}
	})}.httpServer(silent)
	srv.IdleTimeout, srv.ReadHeaderTimeout = time.Hour, time.Hour
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return &guests{t, l, ln.Addr().String(), begun}
}

func (g *guests) comes(from string) *guest {
	g.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	conn, err := d.Dial("tcp", g.at)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		g.t.Fatal(err)
	}
	return &guest{g.t, conn, bufio.NewReader(conn)}
}

func (g *guest) asks(path string) {
	fmt.Fprintf(g.conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
}

// served says whether a request on it is answered.
func (g *guest) served() error {
	g.asks("/")
	return g.answered()
}

func (g *guest) answered() error {
	res, err := http.ReadResponse(g.in, nil)
	if err == nil {
		err = res.Body.Close()
	}
	return err
}

// gone waits until the server closes it.
func (g *guest) gone() bool {
	_, err := g.in.ReadByte()
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func (g *guest) must(what string) {
	g.t.Helper()
	if err := g.served(); err != nil {
		g.t.Fatalf("%s: %v", what, err)
	}
}

// TestConnectionsThatSendNothingCloseNobodysKeptOnes: two senders who only
// connect have all places that they may, and an API server's calls go on.
func TestConnectionsThatSendNothingCloseNobodysKeptOnes(t *testing.T) {
	g := newGuests(t, time.Hour, nil)
	kept := g.comes("127.0.0.9")
	kept.must("the first call")
	for range 3 * sharedFrom {
		g.comes("127.0.0.2")
		g.comes("127.0.0.3")
	}
	for range 3 {
		g.comes("127.0.0.9").must("a new connection while two senders hold all places")
	}
	kept.must("the connection that was kept")
}

// TestKeptConnectionsOfWhoHasMostMakeRoom: who sends a request on each of many
// connections keeps them no better.
func TestKeptConnectionsOfWhoHasMostMakeRoom(t *testing.T) {
	g := newGuests(t, time.Hour, nil)
	kept := g.comes("127.0.0.9")
	kept.must("the first call")
	var many []*guest
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
		for len(many) < sharedFrom-1 && (from == "127.0.0.3" || len(many) < sharedFrom/2) {
			one := g.comes(from)
			one.must("one of many")
			many = append(many, one)
		}
	}
	g.comes("127.0.0.9").must("a new connection while two senders keep all places")
	if !many[0].gone() {
		t.Error("the oldest of who has most was not closed")
	}
	kept.must("the connection that was kept")
}

// TestWhoHasManyConnectionsTakesNoneFromWhoHasFew: where nobody has as many, he
// has to go himself.
func TestWhoHasManyConnectionsTakesNoneFromWhoHasFew(t *testing.T) {
	busy := make(chan struct{})
	g := newGuests(t, time.Hour, busy)
	few := g.comes("127.0.0.9") // has sent nothing yet
	var waiting []*guest
	for i := range sharedFrom - 1 {
		from := "127.0.0.2"
		if i >= sharedFrom/2 {
			from = "127.0.0.3"
		}
		one := g.comes(from)
		one.asks("/wait")
		<-g.begun
		waiting = append(waiting, one)
	}
	for range 4 {
		if !g.comes("127.0.0.3").gone() {
			t.Error("one more of many was taken")
		}
	}
	few.must("the connection of who has one")
	close(busy)
	for _, one := range waiting {
		if err := one.answered(); err != nil {
			t.Error(err)
		}
	}
}

// TestAConnectionThatSendsNoRequestIsClosedSoon: also one that sends a part of
// it; not one whose request takes long.
func TestAConnectionThatSendsNoRequestIsClosedSoon(t *testing.T) {
	busy := make(chan struct{})
	g := newGuests(t, time.Second, busy)
	slow := g.comes("127.0.0.9")
	slow.asks("/wait")
	<-g.begun
	for range 2 {
		mute := g.comes("127.0.0.2")
		fmt.Fprint(mute.conn, "GET / HT")
		if !mute.gone() {
			t.Error("it is still there")
		}
	}
	close(busy)
	if err := slow.answered(); err != nil {
		t.Errorf("a request that takes long: %v", err)
	}
	slow.must("another one on its connection")
}

// TestSendersOfIPv6AreBoundedTogether: an address has half of the places, and
// those of its 2^64 three quarters.
func TestSendersOfIPv6AreBoundedTogether(t *testing.T) {
	g := newGuests(t, time.Hour, nil)
	enter := func(from string, want bool) {
		t.Helper()
		if got := g.l.enter("2001:db8::/64|" + from); got != want {
			t.Errorf("one more of %s: %v", from, got)
		}
	}
	for range sharedFrom / 2 {
		enter("2001:db8::1", true)
	}
	enter("2001:db8::1", false)
	for range sharedFrom / 4 {
		enter("2001:db8::2", true)
	}
	enter("2001:db8::2", false)
	enter("2001:db8::3", false)
	if !g.l.enter("192.0.2.1") {
		t.Error("another sender was refused")
	}
}
