package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// probe is one thing that readiness depends on. Its error says what is wrong.
type probe struct {
	name  string
	check func(ctx context.Context) error
}

// readiness answers /readyz: one look serves all who ask within a few
// seconds, so that asking often costs nothing. Safe for concurrent use.
type readiness struct {
	probes []probe
	now    func() time.Time

	mu      sync.Mutex
	looked  time.Time
	results []error
	ending  bool
}

// end makes every further answer "not ready": the server is shutting down.
func (r *readiness) end() {
	r.mu.Lock()
	r.ending = true
	r.mu.Unlock()
}

// look is each probe's result, in their order.
func (r *readiness) look(ctx context.Context) (results []error, ending bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if age := now.Sub(r.looked); r.results != nil && age >= 0 && age < limits.ServerReadyInterval {
		return r.results, r.ending
	}
	// Whoever asked first may hang up; the others want the answer all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.ServerReadyTime)
	defer cancel()
	r.results = make([]error, len(r.probes))
	for i, p := range r.probes {
		r.results[i] = p.check(ctx)
	}
	r.looked = now
	return r.results, r.ending
}

// handler serves /readyz: a line for each probe. detail adds what is wrong in
// words, for the operations address only.
func (r *readiness) handler(detail bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		results, ending := r.look(req.Context())
		var b strings.Builder
		status := http.StatusOK
		for i, err := range results {
			switch {
			case err == nil:
				fmt.Fprintf(&b, "%s: ok\n", r.probes[i].name)
				continue
			case detail:
				fmt.Fprintf(&b, "%s: %s\n", r.probes[i].name, oneLine(err.Error()))
			default:
				fmt.Fprintf(&b, "%s: failed\n", r.probes[i].name)
			}
			status = http.StatusServiceUnavailable
		}
		if ending {
			b.WriteString("server: shutting down\n")
			status = http.StatusServiceUnavailable
		}
		plainText(w, status, b.String())
	})
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, text)
}

// instanceHeader tells in /healthz which process answered, for the check of
// the server's own names.
const instanceHeader = "Shuind-Instance"

// alive serves /healthz: the process runs and answers.
func alive(instance string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(instanceHeader, instance)
		plainText(w, http.StatusOK, "ok\n")
	})
}
