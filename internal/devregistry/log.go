package devregistry

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Request is one line of the request log.
type Request struct {
	Method string
	Path   string // without the query
	Query  string // raw
	Kind   Kind
	Repo   string // repository, empty for KindBase and KindToken
	Ref    string // tag, digest or upload id, where there is one
	Status int    // 0 while no answer was begun
	// Start is when the request arrived, End when the last piece of the answer
	// was about to be written: what a client sends because of an answer always
	// starts after that answer's End.
	Start, End time.Time
}

// Kind is what a request was for.
type Kind string

// The kinds.
const (
	KindBase      Kind = "base" // GET /v2/
	KindToken     Kind = "token"
	KindManifest  Kind = "manifest"
	KindBlob      Kind = "blob"
	KindUpload    Kind = "upload"
	KindReferrers Kind = "referrers"
	KindTags      Kind = "tags"
	KindUnknown   Kind = "unknown"
)

// Waves is the length of the longest chain of requests of which none overlaps
// the next: the sequential round trips a client needed. Requests that are
// answered faster than a client can send the next one do not overlap although
// they were sent together, so count waves with [Options].Latency of 20 ms or more.
func Waves(reqs []Request) int {
	byEnd := slices.Clone(reqs)
	slices.SortFunc(byEnd, func(a, b Request) int { return a.End.Compare(b.End) })
	n := 0
	var last time.Time
	for _, r := range byEnd {
		if n == 0 || !r.Start.Before(last) {
			n, last = n+1, r.End
		}
	}
	return n
}

// requestLog is the log; the newest limits.DevRegistryLog entries are kept.
type requestLog struct {
	mu      sync.Mutex
	entries []*Request
}

func (l *requestLog) begin(req *http.Request, t target) *logged {
	e := &Request{
		Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery,
		Kind: t.kind, Repo: t.repo, Ref: t.ref, Start: time.Now(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) >= limits.DevRegistryLog {
		l.entries = append([]*Request(nil), l.entries[limits.DevRegistryLog/2:]...)
	}
	l.entries = append(l.entries, e)
	return &logged{log: l, entry: e}
}

func (l *requestLog) snapshot() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, len(l.entries))
	for i, e := range l.entries {
		out[i] = *e
	}
	return out
}

func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// logged is one entry being filled in.
type logged struct {
	log   *requestLog
	entry *Request
}

// mark notes that (a piece of) the answer is about to leave.
func (l *logged) mark(status int) {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	if l.entry.Status == 0 {
		l.entry.Status = status
	}
	l.entry.End = time.Now()
}

// finish notes the end of a request that was never answered (a dropped
// connection).
func (l *logged) finish() {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	if l.entry.End.IsZero() {
		l.entry.End = time.Now()
	}
}

// recorder is a ResponseWriter that marks what leaves in the log.
type recorder struct {
	http.ResponseWriter
	entry *logged
}

func (w *recorder) WriteHeader(status int) {
	w.entry.mark(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	w.entry.mark(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
