package download_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/download"
)

// serve is a server over TLS and a client that trusts it.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, *download.Client) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, &download.Client{Roots: roots, UserAgent: "agent/1"}
}

func fetch(t *testing.T, c *download.Client, address string, max int64) (string, error) {
	t.Helper()
	u, err := download.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = c.Fetch(t.Context(), u, &out, max)
	return out.String(), err
}

func TestAFileIsFetchedThroughRedirects(t *testing.T) {
	s, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/latest":
			http.Redirect(w, r, "/v1?token=secret", http.StatusFound)
		case "/v1":
			if r.Header.Get("Referer") != "" || r.Header.Get("Authorization") != "" || r.UserAgent() != "agent/1" || r.Header.Get("Accept-Encoding") == "gzip" {
				t.Errorf("%v", r.Header)
			}
			w.Header().Set("Content-Encoding", "gzip") // as some servers say of .tar.gz
			fmt.Fprint(w, "content")
		}
	})
	for _, path := range []string{"/v1?token=secret", "/latest?x=y"} {
		if got, err := fetch(t, c, s.URL+path, 8); err != nil || got != "content" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestWhatIsNoFileIsAnError(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked without TLS") }))
	defer plain.Close()
	s, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/http":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/user":
			http.Redirect(w, r, "https://u:p@"+r.Host+"/", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/long":
			fmt.Fprint(w, strings.Repeat("x", 10))
		case "/longer":
			w.(http.Flusher).Flush() // it tells no length
			for range 1000 {
				fmt.Fprint(w, strings.Repeat("x", 1<<16))
			}
		case "/cut":
			w.Header().Set("Content-Length", "9")
			fmt.Fprint(w, "x")
		case "/header":
			for i := range 100 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
			}
		default:
			w.WriteHeader(map[string]int{"/401": 401, "/403": 403, "/404": 404, "/410": 410, "/418": 418, "/429": 429, "/503": 503, "/304": 304, "/206": 206}[r.URL.Path])
		}
	})
	cases := []struct {
		path, want string
		code       shuin.Code
	}{
		{"/http", "a redirect from https to another scheme is not followed", shuin.CodeMalformed},
		{"/file", "a redirect from https to another scheme is not followed", shuin.CodeMalformed},
		{"/user", "a redirect with a user name is not followed", shuin.CodeMalformed},
		{"/loop", "redirected more than 10 times", shuin.CodeLimit},
		{"/long", "https response reached the 0 MiB size limit", shuin.CodeLimit},
		{"/longer", "https response reached the 0 MiB size limit", shuin.CodeLimit},
		{"/cut", "unexpected EOF", shuin.CodeUnavailable},
		{"/header", "header", shuin.CodeUnavailable},
		{"/401", "bad status: 401", shuin.CodeUnauthorized},
		{"/403", "bad status: 403", shuin.CodeForbidden},
		{"/404", "https response bad status: 404 Not Found", shuin.CodeNotFound},
		{"/410", "bad status: 410", shuin.CodeNotFound},
		{"/418", "bad status: 418", shuin.CodeMalformed},
		{"/429", "bad status: 429", shuin.CodeThrottled},
		{"/503", "bad status: 503", shuin.CodeUnavailable},
		{"/304", "bad status: 304", shuin.CodeMalformed},
		{"/206", "bad status: 206", shuin.CodeMalformed},
	}
	for _, test := range cases {
		t.Run(test.path, func(t *testing.T) {
			got, err := fetch(t, c, s.URL+test.path+"?token=secret", 10)
			if shuin.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %s: %s", shuin.CodeOf(err), err, test.code, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the query: %v", err)
			}
			if len(got) > 10 {
				t.Errorf("%d bytes were written", len(got))
			}
		})
	}
}

func TestAServerThatCannotBeAskedIsUnavailable(t *testing.T) {
	s, c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	if _, err := fetch(t, &download.Client{}, s.URL+"/?token=secret", 10); shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u, err := download.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Fetch(ctx, u, io.Discard, 10); shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Errorf("stopped: %v", err)
	}
	s.Close()
	if _, err := fetch(t, c, s.URL, 10); shuin.CodeOf(err) != shuin.CodeUnavailable {
		t.Errorf("nobody answers: %v", err)
	}
}

// full is a disk without room.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAFileThatCannotBeWrittenIsNoFaultOfTheServer(t *testing.T) {
	s, c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "content") })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Fetch(t.Context(), u, full{}, 10); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"https://example.com/p.zip": "", "https://example.com": "", "https://127.0.0.1:1/x?y#z": "", "HTTPS://example.com/x": "",
		"http://localhost":          "failed to download plugin from URL: only the HTTPS scheme is supported, but got http",
		"p.zip":                     "only the HTTPS scheme is supported, but got ",
		"file:///etc/passwd":        "only the HTTPS scheme is supported, but got file",
		"https://u:secret@e.com/x":  "a user name or password in it would be shown",
		"https:///x":                "it names no host",
		"https:x":                   "it names no host",
		"https://%":                 `failed to parse plugin download URL https://% with error: parse "https://%": invalid URL escape "%"`,
		"https://e.com/%?k=secret":  `failed to parse plugin download URL https://e.com/%?***** with error: parse "https://e.com/%?*****": invalid URL escape "%"`,
		"https://u:secret@e.com/%x": `invalid URL escape "%x"`,
	} {
		_, err := download.Parse(address)
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", address, err, want)
		case err != nil && (shuin.CodeOf(err) != shuin.CodeInvalidInput || strings.Contains(err.Error(), "secret")):
			t.Errorf("%q: %s: %v", address, shuin.CodeOf(err), err)
		}
	}
	for address, want := range map[string]string{
		"https://example.com/a/notation-foo": "notation-foo", "https://example.com/a/?x=/y": "a", "https://example.com": "", "https://example.com/": "", "https://e.com/%2e%2e": "..",
	} {
		u, err := url.Parse(address)
		if got := download.Name(u); err != nil || got != want {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
	for address, want := range map[string]string{
		"https://example.com/p.zip": "https://example.com/p.zip", "https://u:p@e.com/x@y?k=v&l#f": "https://e.com/x@y?*****", "https://u@e.com": "https://e.com", "x": "x", "": "",
	} {
		if got := download.Shown(address); got != want {
			t.Errorf("%q is shown as %q, want %q", address, got, want)
		}
	}
}

func FuzzShown(f *testing.F) {
	for _, s := range []string{"https://user:secret@example.com/x?y=secret#z", "https://e.com/%?k=secret", "//secret@x", "https://a?@secret"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := download.Parse(address)
		if err != nil {
			return
		}
		shown, err := url.Parse(strings.ReplaceAll(download.Shown(address), "*****", ""))
		if err != nil || shown.User != nil || shown.RawQuery != "" || shown.Host != u.Host || shown.Path != u.Path {
			t.Fatalf("%q is shown as %q (%v)", address, shown, err)
		}
	})
}
