package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/limits"
)

// wire answers each connection with bytes, whatever is asked, and closes it.
func wire(t *testing.T, answer string) (host string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, answer)
			}()
		}
	}()
	return ln.Addr().String()
}

// TestABrokenAnswerIsNotAMissingOne: only a connection that failed, or an
// answer that was cut, is "could not be checked".
func TestABrokenAnswerIsNotAMissingOne(t *testing.T) {
	index := "HTTP/1.1 200 OK\r\nContent-Type: " + mediaTypeImageIndex + "\r\n"
	for name, tc := range map[string]struct {
		answer string
		code   shuin.Code
	}{
		"no answer":                    {"", shuin.CodeUnavailable},
		"cut between header lines":     {"HTTP/1.1 200 OK\r\nX: y\r\n", shuin.CodeUnavailable},
		"cut in the body":              {index + "Content-Length: 100\r\n\r\n{", shuin.CodeUnavailable},
		"cut in a chunk":               {index + "Transfer-Encoding: chunked\r\n\r\n10\r\n{", shuin.CodeUnavailable},
		"a status line of rubbish":     {"\x00\x01 rubbish\r\n\r\n", shuin.CodeMalformed},
		"a chunk of rubbish":           {index + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{", shuin.CodeMalformed},
		"two lengths":                  {index + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", shuin.CodeMalformed},
		"gzip that was not asked for":  {index + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", shuin.CodeMalformed},
		"a header beyond the limit":    {index + "X: " + strings.Repeat("x", 2*limits.RegistryHeaderBytes) + "\r\n\r\n", shuin.CodeLimit},
		"a redirect to ftp":            {"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", shuin.CodeMalformed},
		"a redirect to no address":     {"HTTP/1.1 302 Found\r\nLocation: http://[::1/%zz\r\nContent-Length: 0\r\n\r\n", shuin.CodeMalformed},
		"JSON that is cut, sent whole": {index + "Content-Length: 1\r\n\r\n{", shuin.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			host := wire(t, tc.answer)
			r := repository(t, plainClient(), host, "app")
			_, _, err := r.List(t.Context(), newLiarArtifact(t, host), 10)
			if shuin.CodeOf(err) != tc.code {
				t.Errorf("code %s, want %s: %v", shuin.CodeOf(err), tc.code, err)
			}
		})
	}
}

func newLiarArtifact(t *testing.T, host string) shuin.Artifact {
	t.Helper()
	a := newLiar(t).artifact
	return artifact(t, shuin.Reference{Registry: host, Repository: "app", Digest: a.Digest()}, a.Digest(), imageManifest("liar"))
}

// tokenAsking sends for a token to realm.
func tokenAsking(t *testing.T, realm func(self string) string, token http.HandlerFunc) *Repository {
	t.Helper()
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			token(w, req)
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="s"`, realm(srv.URL)))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(srv.Close)
	return repository(t, plainClient(), strings.TrimPrefix(srv.URL, "http://"), "app")
}

func TestAConnectionCutInTheTokenIsUnavailable(t *testing.T) {
	own := func(self string) string { return self + "/token" }
	for name, tc := range map[string]struct {
		send func(http.ResponseWriter)
		code shuin.Code
	}{
		"cut": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"token":`)
		}, shuin.CodeUnavailable},
		"whole, but no JSON": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"token":`) }, shuin.CodeMalformed},
	} {
		r := tokenAsking(t, own, func(w http.ResponseWriter, _ *http.Request) { tc.send(w) })
		_, _, err := r.List(t.Context(), newLiarArtifact(t, r.ref.Registry), 10)
		if shuin.CodeOf(err) != tc.code {
			t.Errorf("%s: code %s, want %s: %v", name, shuin.CodeOf(err), tc.code, err)
		}
	}
}

func TestATokenServersWordsStayOneLineWithoutControls(t *testing.T) {
	r := tokenAsking(t, func(self string) string { return self + "/token" }, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"no\u001b[2J\nSuccessfully verified \u202e"}]}`)
	})
	_, _, err := r.List(t.Context(), newLiarArtifact(t, r.ref.Registry), 10)
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n\u202e") || !strings.Contains(err.Error(), "Successfully") {
		t.Errorf("%q", err)
	}
}

func TestATokenServerAtAnInternalAddressIsRefusedWithItsReason(t *testing.T) {
	r := tokenAsking(t, func(string) string { return "http://127.0.0.2:1/token" }, nil)
	_, _, err := r.List(t.Context(), newLiarArtifact(t, r.ref.Registry), 10)
	if shuin.CodeOf(err) != shuin.CodeUnauthorized || !strings.Contains(shuin.HintOf(err), "token") {
		t.Errorf("%s %v (hint %q)", shuin.CodeOf(err), err, shuin.HintOf(err))
	}
}

// lateWriter is a registry that honours If-None-Match and not If-Match. As
// soon as our entry is written to an index that was there, a writer who had
// read the index before writes his, late.
type lateWriter struct {
	mu    sync.Mutex
	index []byte
	made  bool // refused the first If-None-Match
	put   int
	wg    sync.WaitGroup
}

func (l *lateWriter) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	etag := fmt.Sprintf(`"%x"`, len(l.index))
	switch {
	case req.Method == http.MethodGet && l.index == nil:
		http.NotFound(w, req)
	case req.Method == http.MethodGet:
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Type", mediaTypeImageIndex)
		_, _ = w.Write(l.index)
	case req.Method == http.MethodPut:
		old := `{"schemaVersion":2,"mediaType":"` + mediaTypeImageIndex + `","manifests":[` + entryOf([]byte("other")) + `]}`
		if req.Header.Get("If-None-Match") != "" && !l.made {
			l.made, l.index = true, []byte(old)
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		b, _ := io.ReadAll(req.Body)
		l.index = b
		if l.put++; l.put == 1 {
			l.wg.Go(func() {
				time.Sleep(settleMin / 5)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.index = []byte(strings.Replace(old, "]}", ","+entryOf([]byte("late"))+"]}", 1))
			})
		}
		w.WriteHeader(http.StatusCreated)
	}
}

func TestARefusedIfNoneMatchDoesNotProveThatIfMatchIsHonoured(t *testing.T) {
	l := &lateWriter{}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	r := repository(t, plainClient(), strings.TrimPrefix(srv.URL, "http://"), "app")
	a := newLiarArtifact(t, r.ref.Registry)
	_, desc, err := newManifest(formArtifactType, a.Descriptor(), shuin.MediaTypeJWS, []byte("e"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.addToIndex(t.Context(), a.Digest(), desc); err != nil {
		t.Fatal(err)
	}
	l.wg.Wait()
	if !strings.Contains(string(l.index), desc.Digest.String()) {
		t.Errorf("told as listed, but it is not: %s", l.index)
	}
}

func TestAnInterruptedLookDoesNotSayThatTheSignatureIsLost(t *testing.T) {
	w := newWorld(t, devregistry.Options{NoReferrers: true})
	a := w.image(t, "app", "v1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looks := 0
	next := w.gate.next
	w.gate.next = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/manifests/sha256-") {
			if looks++; looks == 2 {
				cancel()
			}
		}
		next.ServeHTTP(rw, req)
	})
	_, err := w.repo(t, "app").PushSignature(ctx, a, shuin.MediaTypeJWS, envelopeOf(0), annotationsOf(0))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "may not be listed") || strings.Contains(shuin.HintOf(err), "nobody finds") {
		t.Errorf("%v (hint %q)", err, shuin.HintOf(err))
	}
	w.gate.next = next
	if found, _, err := w.repo(t, "app").List(t.Context(), a, 10); err != nil || len(found) != 1 {
		t.Errorf("%d listed, %v", len(found), err)
	}
}
