package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	return srv.URL
}

func TestAnswersAreReturnedWhole(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/x")
		_, _ = w.Write([]byte(r.Method + " " + r.Header.Get("Content-Type") + " " + string(body)))
	})
	c := &Client{AllowPrivateAddresses: true}
	for _, tt := range []struct {
		req  Request
		want string
	}{
		{Request{URL: u, MaxBytes: 100}, "GET  "},
		{Request{URL: u, MaxBytes: 100, Body: []byte("q"), ContentType: "a/b"}, "POST a/b q"},
	} {
		resp, err := c.Do(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		if string(resp.Body) != tt.want || resp.ContentType != "text/x" {
			t.Errorf("got %q of %q, want %q", resp.Body, resp.ContentType, tt.want)
		}
	}
}

func TestPrivateAddressesAreContactedOnlyWhenAllowed(t *testing.T) {
	var hits atomic.Int64
	u := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	port := u[strings.LastIndexByte(u, ':'):]
	for _, address := range []string{u, "http://localhost" + port, "http://LOCALHOST." + port, "http://[::ffff:127.0.0.1]" + port, "http://[::1]" + port, "http://0.0.0.0" + port} {
		_, err := new(Client).Do(t.Context(), Request{URL: address, MaxBytes: 10})
		if !errors.Is(err, ErrPrivateAddress) {
			t.Errorf("%s: %v, want ErrPrivateAddress", address, err)
		}
	}
	if hits.Load() != 0 {
		t.Error("a private address was contacted")
	}
}

func TestANameIsJudgedByTheAddressThatIsDialled(t *testing.T) {
	var hits atomic.Int64
	u := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	c := &Client{}
	c.once.Do(c.build)
	// Past the check of the address as written, as a name that resolves to
	// loopback would be: the dialer has to refuse.
	resp, err := c.direct.Get(u)
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, ErrPrivateAddress) || hits.Load() != 0 {
		t.Errorf("dialled: %v, %d requests", err, hits.Load())
	}
}

func TestAddressRanges(t *testing.T) {
	const (
		public = iota
		byOption
		refused
	)
	for address, want := range map[string]int{
		"8.8.8.8": public, "2606:4700::1111": public, "::ffff:8.8.8.8": public, "64:ff9b::808:808": public,
		"127.0.0.1": byOption, "10.1.2.3": byOption, "172.31.255.255": byOption, "192.168.0.1": byOption, "100.64.0.1": byOption,
		"::1": byOption, "fd00::1": byOption, "::ffff:10.0.0.1": byOption, "64:ff9b::a00:1": byOption, "2002:0a00:0001::1": byOption, "::127.0.0.1": byOption,
		"172.32.0.1": public, "0.0.0.0": refused, "169.254.169.254": refused, "::ffff:169.254.169.254": refused, "64:ff9b::a9fe:a9fe": refused,
		"168.63.129.16": refused, "100.100.100.200": refused, "fd00:ec2::254": refused, "fd20:ce::254": refused, "192.0.0.192": refused,
		"::ffff:0:127.0.0.1": byOption, "::ffff:0:169.254.169.254": refused, "::ffff:0:8.8.8.8": public,
		"64:ff9b:1::8.8.8.8": byOption, "64:ff9b:1::169.254.169.254": refused, "64:ff9b:1:a9fe:a9:fe00::": refused, "64:ff9b:1:00a9:fe:a9fe::": refused,
		"64:ff9b:1::a9:fea9:fe00:0": refused, "100::1": refused, "5f00::1": refused, "3fff::1": byOption,
		"fe80::1%eth0": refused, "224.0.0.1": refused, "255.255.255.255": refused, "::": refused, "ff02::1": refused, "2001:0:1::1": refused,
	} {
		addr := netip.MustParseAddr(address)
		strict := (&Client{}).checkAddr(addr) == nil
		loose := (&Client{AllowPrivateAddresses: true}).checkAddr(addr) == nil
		if strict != (want == public) || loose != (want != refused) {
			t.Errorf("%s: contacted %v, with the option %v", address, strict, loose)
		}
	}
}

func TestLimits(t *testing.T) {
	c := &Client{AllowPrivateAddresses: true}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}
	stall := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("x"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	_, err := c.Do(t.Context(), Request{URL: serve(t, endless), MaxBytes: 1 << 20})
	if shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("endless body: %v, want code %s", err, shuin.CodeLimit)
	}
	exact := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10)) })
	if _, err := c.Do(t.Context(), Request{URL: exact, MaxBytes: 10}); err != nil {
		t.Errorf("a body of exactly the limit: %v", err)
	}
	if _, err := c.Do(t.Context(), Request{URL: exact, MaxBytes: 9}); shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("a body of one byte more: %v", err)
	}
	_, err = c.Do(t.Context(), Request{URL: serve(t, stall), MaxBytes: 10, Timeout: 50 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stalled body: %v, want a deadline", err)
	}
	_, err = c.Do(t.Context(), Request{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }), MaxBytes: 10})
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 503 {
		t.Errorf("503: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	c := &Client{AllowPrivateAddresses: true}
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	to := func(where string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, where, http.StatusTemporaryRedirect) })
	}
	var loop string
	loop = serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, loop, http.StatusFound) })
	for name, tt := range map[string]struct {
		url  string
		body []byte
		want string // part of the error; empty: followed
	}{
		"to http":            {to(target), nil, ""},
		"to a file":          {to("file:///etc/passwd"), nil, "only http and https"},
		"to a link-local":    {to("http://169.254.169.254/"), nil, "not public"},
		"with a user":        {to("http://u:p@example.invalid/"), nil, "user name"},
		"for ever":           {loop, nil, "redirected more than"},
		"of a POST":          {to(target), []byte("q"), "POST is not followed"},
		"user in the URL":    {strings.Replace(target, "http://", "http://u:secret@", 1), nil, "user name"},
		"scheme in the URL":  {"ftp://example.invalid/", nil, "only http and https"},
		"ldap in the URL":    {"ldap:///CN=x", nil, "only http and https"},
		"no host in the URL": {"http:///x", nil, "no host"},
	} {
		_, err := c.Do(t.Context(), Request{URL: tt.url, Body: tt.body, MaxBytes: 100})
		if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("redirect %s: %v, want %q", name, err, tt.want)
		}
		if limited := shuin.CodeOf(err) == shuin.CodeLimit; limited != (name == "for ever") {
			t.Errorf("redirect %s: code %s; that of a limit is for the limit alone", name, shuin.CodeOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("redirect %s: the error tells the password: %v", name, err)
		}
	}
}

func TestHTTPSDoesNotBecomeHTTP(t *testing.T) {
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	srv := httptest.NewTLSServer(http.RedirectHandler(plain, http.StatusFound))
	defer srv.Close()
	c := &Client{AllowPrivateAddresses: true, Roots: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	if _, err := c.Do(t.Context(), Request{URL: srv.URL, MaxBytes: 10}); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheProxyOfTheCallerIsUsed(t *testing.T) {
	var asked atomic.Value
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.String())
		_, _ = w.Write([]byte("by proxy"))
	})
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("http_proxy", proxy)
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("direct")) })
	resp, err := (&Client{AllowPrivateAddresses: true}).Do(t.Context(), Request{URL: target, MaxBytes: 100})
	if err != nil || !bytes.Equal(resp.Body, []byte("direct")) {
		t.Errorf("without a proxy func: %v", err)
	}
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Proxy: http.ProxyURL(u)}
	resp, err = c.Do(t.Context(), Request{URL: "http://crl.example.invalid/a.crl", MaxBytes: 100})
	if err != nil || string(resp.Body) != "by proxy" || asked.Load() != "http://crl.example.invalid/a.crl" {
		t.Errorf("with a proxy func: %v, asked %v", err, asked.Load())
	}
	if _, err := c.Do(t.Context(), Request{URL: "http://10.0.0.1/", MaxBytes: 100}); !errors.Is(err, ErrPrivateAddress) {
		t.Errorf("a private number through a proxy: %v", err)
	}
}

func TestRedact(t *testing.T) {
	if got := Redact("https://u:p@h/x?token=1#f"); got != "https://h/x" {
		t.Errorf("got %q", got)
	}
}

func TestWhatTheServerStillHasIsNotSentAgain(t *testing.T) {
	var asked []string
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("If-None-Match")+" "+r.Header.Get("If-Modified-Since"))
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 04:00:00 GMT")
		w.WriteHeader(status)
		if status == http.StatusOK {
			_, _ = w.Write([]byte("list"))
		}
	}))
	defer srv.Close()
	c := &Client{AllowPrivateAddresses: true}
	first, err := c.Do(t.Context(), Request{URL: srv.URL, MaxBytes: 10})
	known := Validators{ETag: `"1"`, Modified: "Sun, 22 Nov 2026 04:00:00 GMT"}
	if err != nil || first.Same || first.Validators != known {
		t.Fatalf("%+v %v", first, err)
	}
	status = http.StatusNotModified
	again, err := c.Do(t.Context(), Request{URL: srv.URL, MaxBytes: 10, Known: first.Validators})
	if err != nil || !again.Same || len(again.Body) != 0 || again.Validators != known {
		t.Errorf("%+v %v", again, err)
	}
	if want := []string{" ", known.ETag + " " + known.Modified}; !slices.Equal(asked, want) {
		t.Errorf("asked with %q, want %q", asked, want)
	}
	var other *StatusError
	if _, err := c.Do(t.Context(), Request{URL: srv.URL, MaxBytes: 10}); !errors.As(err, &other) || other.Status != http.StatusNotModified {
		t.Errorf("a 304 that nobody asked for: %v", err)
	}
}

func TestValidatorsThatAreTooLongAreNotKept(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+strings.Repeat("x", limits.FetchValidators)+`"`)
	}))
	defer srv.Close()
	got, err := (&Client{AllowPrivateAddresses: true}).Do(t.Context(), Request{URL: srv.URL, MaxBytes: 10})
	if err != nil || got.Validators != (Validators{}) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestALargeAnswerIsReadOnceThereIsRoom(t *testing.T) {
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/unknown" {
			w.(http.Flusher).Flush() // without a length
		}
		_, _ = w.Write(body)
	}))
	defer srv.Close()
	c := &Client{AllowPrivateAddresses: true}
	full := errors.New("no room")
	for size, large := range map[int]bool{limits.FetchSmall: false, limits.FetchSmall + 1: true, 3 * limits.FetchSmall: true} {
		body = bytes.Repeat([]byte{7}, size)
		for _, path := range []string{"/known", "/unknown"} {
			asked := 0
			r := Request{URL: srv.URL + path, MaxBytes: 3 * limits.FetchSmall, Room: func(context.Context) error { asked++; return nil }}
			got, err := c.Do(t.Context(), r)
			if err != nil || !bytes.Equal(got.Body, body) || (asked == 1) != large {
				t.Errorf("%s, %d bytes: asked %d times for room, %v", path, size, asked, err)
			}
			r.Room = func(context.Context) error { return full }
			if _, err := c.Do(t.Context(), r); errors.Is(err, full) != large {
				t.Errorf("%s, %d bytes, no room: %v", path, size, err)
			}
		}
	}
	body = append(body, bytes.Repeat([]byte{7}, 4*limits.FetchSmall)...)
	for _, path := range []string{"/known", "/unknown"} {
		if _, err := c.Do(t.Context(), Request{URL: srv.URL + path, MaxBytes: 3 * limits.FetchSmall}); shuin.CodeOf(err) != shuin.CodeLimit {
			t.Errorf("%s, too long: %v", path, err)
		}
	}
}
