package awscall

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
)

// world is a server that stands in for all of AWS: every name is routed to it,
// without a resolver.
type world struct {
	*Caller
	mu     sync.Mutex
	now    time.Time
	hosts  []string // that exist; nil: all
	seen   []*http.Request
	bodies []string
	warned []string
	answer func(out http.ResponseWriter, r *http.Request, body string)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	shuintest.IsolateAWS(t)
	t.Setenv("AWS_REGION", "us-west-2")
	w := &world{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.seen, w.bodies = append(w.seen, r), append(w.bodies, string(body))
		w.mu.Unlock()
		w.answer(out, r, string(body))
	}))
	t.Cleanup(srv.Close)
	local, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.Caller = &Caller{
		UserAgent: "shuin/1.2.3",
		Now:       func() time.Time { return w.now },
		Warn:      func(text string) { w.warned = append(w.warned, text) },
		Wait:      func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Wrap:      shuintest.RouteTo(local, func(r *http.Request) bool { return w.hosts == nil || slices.Contains(w.hosts, r.URL.Hostname()) }),
	}
	return w
}

// says answers everything with a status and a body.
func (w *world) says(status int, body string) {
	w.answer = func(out http.ResponseWriter, _ *http.Request, _ string) {
		out.WriteHeader(status)
		_, _ = io.WriteString(out, body)
	}
}
