package ecs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/shuintest"
)

// service is a server that stands in for AWS: names are routed to it as the
// test says, without a resolver.
type service struct {
	mu     sync.Mutex
	now    time.Time
	hosts  []string // that exist; nil: all
	seen   []*http.Request
	bodies []string
	answer func(out http.ResponseWriter, r *http.Request)
	// answerBody is answer with the request's body; it goes before.
	answerBody func(out http.ResponseWriter, r *http.Request, body string)
	warned     []string
	caller     *awscall.Caller
}

func newService(t *testing.T, hosts ...string) *service {
	t.Helper()
	shuintest.IsolateAWS(t)
	s := &service{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), hosts: hosts}
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen, s.bodies = append(s.seen, r), append(s.bodies, string(body))
		s.mu.Unlock()
		out.Header().Set("x-amzn-RequestId", "request-1")
		if s.answerBody != nil {
			s.answerBody(out, r, string(body))
			return
		}
		s.answer(out, r)
	}))
	t.Cleanup(srv.Close)
	local, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.caller = &awscall.Caller{
		UserAgent: "shuin/1.2.3",
		Now:       func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now },
		Warn:      func(text string) { s.warned = append(s.warned, text) },
		Wrap:      shuintest.RouteTo(local, s.exists),
	}
	return s
}

// exists notes who is asked for in vain too.
func (s *service) exists(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil || slices.Contains(s.hosts, r.URL.Hostname()) {
		return true
	}
	s.seen = append(s.seen, r)
	return false
}

// requests are the hosts asked since the last time.
func (s *service) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hosts []string
	for _, r := range s.seen {
		h := r.Host
		if h == "" {
			h = r.URL.Host
		}
		hosts = append(hosts, h)
	}
	s.seen, s.bodies = nil, nil
	return hosts
}

// says answers everything with a status and a body.
func (s *service) says(status int, header, body string) {
	s.answer = func(out http.ResponseWriter, _ *http.Request) {
		if header != "" {
			out.Header().Set("x-amzn-ErrorType", header)
		}
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(status)
		fmt.Fprint(out, body)
	}
}

func noSecret(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "secret-that") {
		t.Errorf("the error shows a secret: %v", err)
	}
}

// noWait lets calls be tried again at once.
func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }
