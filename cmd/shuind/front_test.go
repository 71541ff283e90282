package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

var silent = slog.New(slog.DiscardHandler)

// TestTheServerEndsInOrder: a request under way is answered, a new one is not
// taken, and readiness says so meanwhile.
func TestTheServerEndsInOrder(t *testing.T) {
	ln, err := listen(t.Context(), "API", "127.0.0.1:0", 4)
	if err != nil {
		t.Fatal(err)
	}
	begun, finish := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		fmt.Fprint(w, "signed")
	})
	ready := &readiness{now: time.Now}
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serveAll(ctx, silent, func() { ready.end(); close(ended) }, []entrance{{what: "API", ln: ln, handler: handler}})
	}()
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + ln.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		answer <- string(text)
	}()
	<-begun
	stop()
	<-ended
	rec := httptest.NewRecorder()
	ready.handler(false).ServeHTTP(rec, httptest.NewRequest("GET", "/readyz", nil))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "shutting down") {
		t.Errorf("readiness while ending: %d %s", rec.Code, rec.Body)
	}
	close(finish)
	if got := <-answer; got != "signed" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still takes connections")
	}
}

func TestAnAddressThatIsTakenIsAnErrorWithAHint(t *testing.T) {
	ln, err := listen(t.Context(), "API", "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := listen(t.Context(), "CRLs", ln.Addr().String(), 1); err == nil || !strings.Contains(err.Error(), "CRLs: ") {
		t.Errorf("got %v", err)
	}
}

// TestConnectionsAreBounded: the next one is taken when one has gone.
func TestConnectionsAreBounded(t *testing.T) {
	ln, err := listen(t.Context(), "API", "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	dial := func() {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	dial()
	first := <-accepted
	noteIdle(first, http.StateActive) // else it would make room
	dial()
	select {
	case <-accepted:
		t.Fatal("two connections at once")
	default:
	}
	first.Close()
	first.Close() // frees its place once
	(<-accepted).Close()
	ln.Close()
	if _, open := <-accepted; open {
		t.Error("it accepts after its end")
	}
}

// TestAnIdleConnectionMakesRoom: one that is kept open between two requests
// does not keep others out.
func TestAnIdleConnectionMakesRoom(t *testing.T) {
	ln, err := listen(t.Context(), "API", "127.0.0.1:0", 2)
	if err != nil {
		t.Fatal(err)
	}
	busy, begun := make(chan struct{}), make(chan struct{}, 2)
	srv := entrance{what: "API", handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			begun <- struct{}{}
			<-busy
		}
	})}.httpServer(silent)
	go srv.Serve(ln)
	defer srv.Close()
	open := func(path string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		return conn, bufio.NewReader(conn)
	}
	answered := func(r *bufio.Reader) error {
		res, err := http.ReadResponse(r, nil)
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	_, waits := open("/wait")
	<-begun
	for range 3 { // each closes the one before, which is idle
		_, r := open("/")
		if err := answered(r); err != nil {
			t.Fatal(err)
		}
	}
	_, last := open("/wait")
	<-begun
	_, next := open("/") // nobody is idle, until the two have their answers
	close(busy)
	for _, r := range []*bufio.Reader{waits, last, next} {
		if err := answered(r); err != nil {
			t.Error(err)
		}
	}
}

// TestOneAddressHasHalfOfTheConnections: the rest is for others.
func TestOneAddressHasHalfOfTheConnections(t *testing.T) {
	ln, err := listen(t.Context(), "API", "127.0.0.1:0", sharedFrom)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, sharedFrom)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
		conn, err := d.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	var held []net.Conn
	for range sharedFrom / 2 {
		dial("127.0.0.1")
		held = append(held, <-accepted)
	}
	refused := dial("127.0.0.1")
	_ = refused.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := refused.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one more than its share: %v", err)
	}
	held[0].Close()
	dial("127.0.0.1")
	<-accepted
}

// TestWhatAClientMayMakeTheServerWaitForOrKeepIsBounded holds every bound of
// the front to a limit, and shows the ones that need no waiting.
func TestWhatAClientMayMakeTheServerWaitForOrKeepIsBounded(t *testing.T) {
	s := entrance{what: "API", handler: http.NotFoundHandler()}.httpServer(silent)
	for name, d := range map[string]time.Duration{"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout} {
		if d <= 0 || d > 5*time.Minute {
			t.Errorf("the %s time is %v", name, d)
		}
	}
	if s.Protocols.HTTP2() || s.Protocols.UnencryptedHTTP2() || !s.Protocols.HTTP1() {
		t.Errorf("protocols %v", s.Protocols)
	}
	ln, err := listen(t.Context(), "API", "127.0.0.1:0", 4)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	defer s.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // the server may stop reading half-way
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", limits.APIHeaderBytes+8<<10))
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a huge header got %d", res.StatusCode)
	}
}

func TestPathsReachTheAPIAsTheyWereSent(t *testing.T) {
	var got string
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.EscapedPath() })
	other := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "other") })
	h := front(api, other, other, other)
	for _, path := range []string{"/tags/arn%3Aaws%3Asigner%3A%2Fsigning-profiles%2Fx", "//signing-jobs", "/a/../signing-jobs", "/crl", "/healthz/x"} {
		got = ""
		r := httptest.NewRequest("GET", "http://h"+path, nil)
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != path {
			t.Errorf("%s reached the API as %q", path, got)
		}
	}
	for _, path := range []string{"/crl/ab.crl", "/healthz", "/readyz"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "http://h"+path, nil))
		if rec.Body.String() != "other" {
			t.Errorf("%s reached the API", path)
		}
	}
}

type crlsOf map[string][]byte

func (c crlsOf) CRL(_ context.Context, id string) ([]byte, time.Time, error) {
	if id == "broken" {
		return nil, time.Time{}, &signing.Error{Fault: signing.FaultUnavailable, Message: "the store is away"}
	}
	if der, ok := c[id]; ok {
		return der, time.Now().Add(time.Hour), nil
	}
	return nil, time.Time{}, &signing.Error{Fault: signing.FaultNotFound, Message: "no such CRL"}
}

func TestCRLsAreServedToEverybody(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"root.crl": "the root's", "secret.txt": "no CRL"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &crlServer{source: crlsOf{"ab12": []byte("a CRL")}, dir: dir, log: silent}
	for _, c := range []struct {
		name, method, path string
		status             int
		body               string
	}{
		{"one of the service", "GET", "/crl/ab12.crl", 200, "a CRL"},
		{"one of the directory", "GET", "/crl/root.crl", 200, "the root's"},
		{"only its header", "HEAD", "/crl/ab12.crl", 200, ""},
		{"one that there is not", "GET", "/crl/cd34.crl", 404, ""},
		{"a file that is none", "GET", "/crl/secret.txt", 404, ""},
		{"a way out of the directory", "GET", "/crl/../secret.crl", 404, ""},
		{"a longer way out", "GET", "/crl/a/b.crl", 404, ""},
		{"no name", "GET", "/crl/.crl", 404, ""},
		{"the store away", "GET", "/crl/broken.crl", 503, ""},
		{"another method", "POST", "/crl/ab12.crl", 405, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, httptest.NewRequest(c.method, "http://h"+c.path, nil))
			if rec.Code != c.status || c.status == 200 && rec.Body.String() != c.body {
				t.Fatalf("%d %q", rec.Code, rec.Body)
			}
			if c.status != 200 {
				return
			}
			h := rec.Header()
			if h.Get("Content-Type") != "application/pkix-crl" || !strings.HasPrefix(h.Get("Cache-Control"), "public, max-age=") || h.Get("ETag") == "" {
				t.Errorf("header %v", h)
			}
			again := httptest.NewRequest("GET", "http://h"+c.path, nil)
			again.Header.Set("If-None-Match", h.Get("ETag"))
			rec = httptest.NewRecorder()
			if s.ServeHTTP(rec, again); rec.Code != http.StatusNotModified {
				t.Errorf("a cache that has it already got %d", rec.Code)
			}
		})
	}
}

func TestCRLFilesAreWrittenWholeAndTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	f := newCRLFiles(dir, silent)
	f.add("a", []byte("one"), big.NewInt(1))
	f.add("../b", []byte("two"), big.NewInt(1))
	if err := f.flush(); err == nil {
		t.Fatal("written into a directory that there is not")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f.add("a", []byte("newer"), big.NewInt(2))
	f.add("a", []byte("older"), big.NewInt(1))
	if err := f.flush(); err == nil || !strings.Contains(err.Error(), "cannot be part of a file name") {
		t.Fatalf("got %v", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "a.crl"))
	if err != nil || string(got) != "newer" {
		t.Errorf("%q %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left in the directory: %v %v", entries, err)
	}
}

func TestReadinessLooksOnceForAllWhoAsk(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	looks, fault := 0, errors.New("disk\nfull at /secret/place")
	r := &readiness{now: func() time.Time { return now }, probes: []probe{
		{"store", func(context.Context) error { looks++; return fault }},
		{"clock", func(context.Context) error { return nil }},
	}}
	ask := func(detail bool) (int, string) {
		rec := httptest.NewRecorder()
		r.handler(detail).ServeHTTP(rec, httptest.NewRequest("GET", "/readyz", nil))
		return rec.Code, rec.Body.String()
	}
	for range 10 {
		if code, text := ask(false); code != 503 || text != "store: failed\nclock: ok\n" {
			t.Fatalf("%d %q", code, text)
		}
	}
	if code, text := ask(true); code != 503 || text != "store: disk full at /secret/place\nclock: ok\n" {
		t.Errorf("%d %q", code, text)
	}
	if looks != 1 {
		t.Errorf("looked %d times", looks)
	}
	fault, now = nil, now.Add(limits.ServerReadyInterval)
	if code, text := ask(false); code != 200 || looks != 2 {
		t.Errorf("%d %q after %d looks", code, text, looks)
	}
}

func TestLabelsOfMetricsHaveAClosedSetOfValues(t *testing.T) {
	m := newMetrics()
	for i := range 1000 {
		m.observe(fmt.Sprintf("Operation%d", i), fmt.Sprintf("Code%d", i), time.Millisecond)
	}
	m.observe("SignPayload", "", time.Millisecond)
	m.observe("", "InvalidSignatureException", time.Millisecond)
	m.committed(changes{jobs: []signing.Kind{signing.KindAWS, signing.KindStandard, "strange"}, entries: 7})
	rec := httptest.NewRecorder()
	operationsFront(m, http.NotFoundHandler(), http.NotFoundHandler()).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	text := rec.Body.String()
	for series, n := range map[string]int{"shuind_requests_total{": 3, "shuind_request_seconds_count{": 2, "shuind_auth_failures_total{": 1, "shuind_signatures_total{": 3} {
		if got := strings.Count(text, "\n"+series); got != n {
			t.Errorf("%s…} has %d series, want %d", series, got, n)
		}
	}
	for _, line := range []string{`shuind_requests_total{code="other",operation="other"} 1000`, "shuind_log_entries 7"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q in:\n%s", line, text)
		}
	}
}
