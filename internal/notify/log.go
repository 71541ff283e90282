package notify

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin/watch"
)

// Log writes findings as lines of JSON: level, message, the finding. It always
// is worth having: what no chat takes is in the log still. Safe for concurrent
// use.
type Log struct {
	W     io.Writer
	Label string // its name; empty: "log"

	mu sync.Mutex
}

// Name is watch.Notifier's.
func (l *Log) Name() string {
	if l.Label != "" {
		return l.Label
	}
	return "log"
}

// Notify is watch.Notifier's.
func (l *Log) Notify(_ context.Context, f watch.Finding) error {
	data, err := body(f)
	if err != nil {
		return err
	}
	level := "WARN"
	if f.Resolved {
		level = "INFO"
	}
	var b bytes.Buffer
	w := writer{e: jsontext.NewEncoder(&b)}
	w.open('{')
	w.text("time", f.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	w.text("level", level)
	w.text("msg", "finding")
	w.name("finding")
	if w.err == nil {
		w.err = w.e.WriteValue(data)
	}
	w.close('}')
	if w.err != nil {
		return w.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.W.Write(b.Bytes())
	return err
}
