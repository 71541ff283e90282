package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
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
	fmt.Fprintf(&b, "time=%sZ level=%s msg=%s", r.Time.UTC().Format("2006-01-02 15:04:05.000000000"), levelName(r.Level), printable(r.Message))
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
