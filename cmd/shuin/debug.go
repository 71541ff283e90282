package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// startDebug makes the logger that -d asks for.
func (a *app) startDebug(on bool) {
	if !on {
		return
	}
	w := &lockedWriter{w: a.stderr}
	a.stderr = w
	a.log = slog.New(&debugHandler{w: w})
}

// lockedWriter lets the logger and the warnings share stderr.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// debugHandler writes log records as notation does: time in UTC, level,
// message, all unquoted.
type debugHandler struct {
	w     io.Writer
	attrs []slog.Attr
}

func (h *debugHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *debugHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "time=%sZ level=%s msg=%s", r.Time.UTC().Format("2006-01-02 15:04:05.000000000"), levelName(r.Level), r.Message)
	add := func(attr slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", attr.Key, attr.Value.Resolve())
		return true
	}
	for _, attr := range h.attrs {
		add(attr)
	}
	r.Attrs(add)
	b.WriteByte('\n')
	_, err := io.WriteString(h.w, b.String())
	return err
}

func (h *debugHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &debugHandler{w: h.w, attrs: append(slices.Clone(h.attrs), attrs...)}
}

func (h *debugHandler) WithGroup(string) slog.Handler { return h }

func levelName(l slog.Level) string {
	if l == slog.LevelWarn {
		return "warning"
	}
	return strings.ToLower(l.String())
}

// httpClient is a client with the debug trace, where that is on, and the user
// agent. Each caller gets its own, with timeout (zero: none).
func (a *app) httpClient(timeout time.Duration) *http.Client {
	var rt http.RoundTripper = http.DefaultTransport
	if a.log != nil {
		rt = &traceTransport{base: rt, log: a.log}
	}
	return &http.Client{Transport: &agentTransport{base: rt, agent: a.userAgent()}, Timeout: timeout}
}

// agentTransport names us to servers.
type agentTransport struct {
	base  http.RoundTripper
	agent string
}

func (t *agentTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", t.agent)
	}
	return t.base.RoundTrip(req)
}

// traceTransport logs requests and responses without their secrets.
type traceTransport struct {
	base http.RoundTripper
	log  *slog.Logger
	n    atomic.Uint64
}

func (t *traceTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	id := t.n.Add(1) - 1
	t.log.Debug(fmt.Sprintf("Request #%d\n> Request: %q %q\n> Request headers:\n%s\n\n\n", id, req.Method, req.URL.Redacted(), headerText(req.Header)))
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		t.log.Error(fmt.Sprintf("Error in getting response: %v", err))
		return resp, err
	}
	t.log.Debug(fmt.Sprintf("Response #%d\n< Response status: %q\n< Response headers:\n%s\n\n\n", id, resp.Status, headerText(resp.Header)))
	return resp, nil
}

// headerText is one header per line, sorted; secrets are masked.
func headerText(header http.Header) string {
	if len(header) == 0 {
		return "   Empty header"
	}
	lines := make([]string, 0, len(header))
	for name, values := range header {
		value := strings.Join(values, ", ")
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie":
			value = "*****"
		}
		lines = append(lines, fmt.Sprintf("   %q: %q", name, value))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
