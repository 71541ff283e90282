// Package gateapi serves the gate over HTTP: POST /v1/decide and /v1/explain,
// its OpenAPI document, /v1/findings, where findings are told and listed, and
// /v1/watch/, where watchers keep what they decided and told. It authenticates
// principals (mutual TLS or a bearer token), holds them to the places they may
// ask about, decodes strictly, and translates; it decides nothing about images.
// It opens no port and no file, and never logs a token, a header or a request's
// body.
package gateapi

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/watch"
)

// Gate decides; [gate.Gate] is it.
type Gate interface {
	Decide(ctx context.Context, w gate.Workload) *gate.Verdict
	// Rules are those in use.
	Rules() *gate.Rules
}

var _ Gate = (*gate.Gate)(nil)

// Server is the API. Fields are set once, before first use; [Server.Use] sets
// who may ask, at any time.
type Server struct {
	Gate Gate
	Now  func() time.Time
	// Log is told of every request; nil: nobody is.
	Log *slog.Logger
	// Rate is how many requests per second a principal may make, Burst at once; 0: limits' defaults.
	Rate  float64
	Burst int
	// Observe is told of every answer, if set. It is called from many goroutines.
	Observe func(Observation)
	// Findings keeps what principals tell of; nil: this server keeps none.
	Findings watch.Keeper
	// Watching is what a principal decided and told as a watcher, for one change
	// that is called once (empty: it has no name) at now: whoever makes it again
	// under that name is answered the same. Nil: this server keeps no such thing.
	Watching func(principal, once string, now time.Time) watch.Store
	// Policy is the policy bundle in use, to be handed out; nil, or answering
	// nil: there is none. What it answers is not changed.
	Policy func() *PolicyBundle

	bodyTime   time.Duration // instead of limits.GateAPIBodyTime, in tests
	principals atomic.Pointer[Principals]
}

// Use lets these principals ask from now on, and no others. Requests that have
// been authenticated are answered.
func (s *Server) Use(p *Principals) { s.principals.Store(p) }

// Observation is what became of one request.
type Observation struct {
	Route     string // "decide", "explain", "openapi", "report", "findings", "watchBegin" and other routes of a watcher, "policy", "policySignature", "policySignatureCOSE"; empty: no such route
	Principal string // empty: nobody known asked
	Status    int
	Code      string // of the error; empty: answered
	Reason    string // of a refused authentication: one of AuthReasons
	Took      time.Duration
	Verdict   *gate.Verdict // nil: none was reached
}

// Caller is who asks, as [gate.Options].Record finds it in its context.
type Caller struct {
	Principal string
	RequestID string
	Route     string // "decide" or "explain"
}

type callerKey struct{}

// CallerOf is the caller whose request ctx belongs to.
func CallerOf(ctx context.Context) (c Caller, ok bool) {
	c, ok = ctx.Value(callerKey{}).(Caller)
	return c, ok
}
