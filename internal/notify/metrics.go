package notify

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin/internal/limits"
)

// Namespace is what the metrics are under in CloudWatch.
const Namespace = "Shuin"

// Counts are what one invocation did. Zeros are written too: an alarm on a
// metric without data says nothing.
type Counts struct {
	Decided, Admitted, Denied, Undecided int // workloads asked about, and the answers
	Findings, Told                       int // found, and sent somewhere
	Reactions                            int // tasks stopped, task definitions deregistered
	Errors                               int // what failed: events, calls, messages
}

// each gives the metrics' names and values, always in this order.
func (c Counts) each(do func(name string, n int)) {
	do("decided", c.Decided)
	do("admitted", c.Admitted)
	do("denied", c.Denied)
	do("undecided", c.Undecided)
	do("findings", c.Findings)
	do("told", c.Told)
	do("reactions", c.Reactions)
	do("errors", c.Errors)
}

// Metrics writes counts in CloudWatch's embedded metric format: one line of
// JSON that CloudWatch Logs takes metrics out of, with no call and no
// permission. The metrics have the dimensions function and mode. Source: CloudWatch User Guide, "Specification: Embedded
// metric format". Safe for concurrent use.
type Metrics struct {
	W              io.Writer // the function's standard output
	Function, Mode string    // of the Lambda function; enforce or warn
	Now            func() time.Time

	mu sync.Mutex
}

// Write writes the line of one invocation. about is for searching (the
// request's id, the policy's digest): it becomes the member "about" of the
// line, and no metric.
func (m *Metrics) Write(c Counts, about map[string]string) error {
	var b bytes.Buffer
	e := jsontext.NewEncoder(&b, jsontext.AllowInvalidUTF8(true))
	w := writer{e: e}
	w.open('{')
	w.name("_aws")
	m.directive(&w, c)
	w.text("function", dimension(m.Function))
	w.text("mode", dimension(m.Mode))
	c.each(func(name string, n int) {
		w.name(name)
		w.put(jsontext.Int(int64(n)))
	})
	if len(about) > 0 {
		w.name("about")
		w.open('{')
		for _, k := range slices.Sorted(maps.Keys(about)) {
			w.text(k, about[k])
		}
		w.close('}')
	}
	w.close('}')
	if w.err != nil {
		return w.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.W.Write(b.Bytes()) // which ends with a line end
	return err
}

// directive says which members are metrics, and under what.
func (m *Metrics) directive(w *writer, c Counts) {
	w.open('{')
	w.name("Timestamp")
	w.put(jsontext.Int(m.Now().UnixMilli()))
	w.name("CloudWatchMetrics")
	w.open('[')
	w.open('{')
	w.text("Namespace", Namespace)
	w.name("Dimensions")
	w.open('[')
	w.open('[') // one set: each further one would cost all metrics once more
	w.put(jsontext.String("function"))
	w.put(jsontext.String("mode"))
	w.close(']')
	w.close(']')
	w.name("Metrics")
	w.open('[')
	c.each(func(name string, _ int) {
		w.open('{')
		w.text("Name", name)
		w.text("Unit", "Count")
		w.close('}')
	})
	w.close(']')
	w.close('}')
	w.close(']')
	w.close('}')
}

// dimension is s as CloudWatch takes it: of ASCII, not empty, not beginning
// with a colon. A wrong value would cost the whole line's metrics.
func dimension(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	s = strings.TrimLeft(strings.TrimSpace(s), ":")
	if len(s) > limits.MetricDimension {
		s = s[:limits.MetricDimension]
	}
	if s == "" {
		return "unknown"
	}
	return s
}

// writer writes tokens until the first error.
type writer struct {
	e   *jsontext.Encoder
	err error
}

func (w *writer) put(t jsontext.Token) {
	if w.err == nil {
		w.err = w.e.WriteToken(t)
	}
}

func (w *writer) open(k byte) {
	if k == '{' {
		w.put(jsontext.BeginObject)
		return
	}
	w.put(jsontext.BeginArray)
}

func (w *writer) close(k byte) {
	if k == '}' {
		w.put(jsontext.EndObject)
		return
	}
	w.put(jsontext.EndArray)
}

func (w *writer) name(s string) { w.put(jsontext.String(s)) }

func (w *writer) text(name, v string) {
	w.name(name)
	w.put(jsontext.String(v))
}
