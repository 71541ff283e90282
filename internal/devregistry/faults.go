package devregistry

import (
	"net/http"
	"strings"
)

// Fault is what [Registry.FailNext] answers instead of the registry.
type Fault struct {
	// Which requests: empty fields match everything.
	Method string
	Kind   Kind
	Path   string // part of the path
	// Times is how many matching requests fail; 0: one; negative: all from now on.
	Times int

	// What they get. Exactly one is used, in this order.

	// Drop closes the connection without an answer.
	Drop bool
	// Hang answers nothing until the client goes away.
	Hang bool
	// Handler answers, and may lie: wrong bytes, endless bodies, endless pages.
	Handler http.Handler
	// Status with Header and a short error body.
	Status int
	Header http.Header
}

// FailNext makes the next matching requests fail. Faults are tried in the
// order they were given; the first that matches is used.
func (r *Registry) FailNext(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &f)
}

// ClearFaults forgets the faults that did not happen yet.
func (r *Registry) ClearFaults() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

func (r *Registry) takeFault(req *http.Request) *Fault {
	r.mu.RLock()
	none := len(r.faults) == 0
	r.mu.RUnlock()
	if none {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.faults {
		if !f.matches(req) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				r.faults = append(r.faults[:i:i], r.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

func (f *Fault) matches(req *http.Request) bool {
	return (f.Method == "" || f.Method == req.Method) &&
		(f.Kind == "" || f.Kind == parsePath(req.URL.Path).kind) &&
		strings.Contains(req.URL.Path, f.Path)
}

func (f *Fault) answer(w http.ResponseWriter, req *http.Request) {
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Hang:
		<-req.Context().Done()
	case f.Handler != nil:
		f.Handler.ServeHTTP(w, req)
	default:
		for k, v := range f.Header {
			w.Header()[http.CanonicalHeaderKey(k)] = v
		}
		status := f.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		writeError(w, refuse(status, faultCode(status), "a fault that was asked for"))
	}
}

func faultCode(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHORIZED"
	case http.StatusForbidden:
		return "DENIED"
	case http.StatusTooManyRequests:
		return "TOOMANYREQUESTS"
	case http.StatusNotFound:
		return "NAME_UNKNOWN"
	}
	return "UNSUPPORTED"
}
