package shuintest

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Fault is how a server of this world misbehaves before it would answer. The
// zero value is none.
type Fault struct {
	// Delay is waited before anything else, or until the client goes away.
	Delay time.Duration
	// Status is answered instead, when not zero.
	Status int
	// Redirect is a Location answered with 302.
	Redirect string
	// Body is answered with status 200.
	Body []byte
	// Endless answers bytes until the client goes away.
	Endless bool
	// Stall sends headers and a first byte, then nothing until the client goes away.
	Stall bool
	// Hits counts requests, when not nil.
	Hits *atomic.Int64
}

// serve plays the fault; false means that the real answer is still to come.
func (f Fault) serve(w http.ResponseWriter, r *http.Request) bool {
	if f.Hits != nil {
		f.Hits.Add(1)
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return true
		}
	}
	switch {
	case f.Redirect != "":
		http.Redirect(w, r, f.Redirect, http.StatusFound)
	case f.Status != 0:
		http.Error(w, http.StatusText(f.Status), f.Status)
	case f.Body != nil:
		_, _ = w.Write(f.Body)
	case f.Endless:
		junk := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(junk); err != nil {
				break
			}
		}
	case f.Stall:
		_, _ = w.Write([]byte{0x30})
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		return false
	}
	return true
}
