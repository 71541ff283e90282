package awssigner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sigv4"
	"github.com/shuin/shuin/signing"
)

// Handler serves the API. What it remembers (signatures seen, rates) is its
// own: make one for each server.
func (s *Server) Handler() http.Handler {
	rate, burst := s.Rate, s.Burst
	if rate <= 0 {
		rate = limits.APIRate
	}
	if burst <= 0 {
		burst = limits.APIBurst
	}
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &door{
		server: s, log: log,
		replays: newReplays(s.Now(), limits.APIReplays, limits.APIReads),
		clocks:  newClocks(s.Service),
		rates:   newRates(rate, burst, limits.APIPrincipals),
		bodies:  newBodies(limits.APIBodies, limits.APIBodiesShare),
		slots:   make(chan struct{}, limits.APIInFlight),
	}
}

type door struct {
	server  *Server
	log     *slog.Logger
	replays *replays
	clocks  *clocks
	rates   *rates
	keys    sigv4.Keys
	bodies  *bodies
	slots   chan struct{} // one for each request in flight whose body is here
}

// request is one request on its way.
type request struct {
	id     string
	http   *http.Request
	op     *operation
	labels []string // of the path, decoded
	body   []byte
	whole  bool // the body was read to its end
	signed *sigv4.Signed
	caller signing.Caller
	violations
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	q := &request{id: newRequestID(), http: r}
	// A body that comes slowly, read here or drained by net/http, has this
	// long. Without one net/http watches the connection from the start, and a
	// deadline would end the operation; with one it does so at the body's end,
	// and takes the deadline away.
	inTime := func() {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(limits.APIBodyTime)) // not every ResponseWriter has one
		}
	}
	inTime()
	out, err := d.guarded(r.Context(), w, q)
	a := answerOf(q, out, err)
	if !q.whole && a.status != http.StatusRequestTimeout && a.status != http.StatusRequestEntityTooLarge {
		inTime()
	}
	a.write(w, q.id)
	took := time.Since(began)
	if d.server.Observe != nil {
		d.server.Observe(q.operation(), a.code, took)
	}
	d.record(r.Context(), q, a, took)
}

// guarded turns a panic into an error: its text and stack go to the log alone.
func (d *door) guarded(ctx context.Context, w http.ResponseWriter, q *request) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, &failure{
				status: http.StatusInternalServerError, code: codeInternal, message: internalText, reason: "panic",
				err: fmt.Errorf("panic: %T", p),
			}
			// The panic's value may hold what the caller sent: the stack says where.
			d.log.LogAttrs(ctx, slog.LevelError, "a request made the server panic",
				slog.String("requestId", q.id), slog.String("operation", q.operation()), slog.String("stack", string(debug.Stack())))
		}
	}()
	return d.serve(ctx, w, q)
}

// serve takes a request through the door: route, host, what its signature
// claims, body, signature, rate, replay, and then its operation.
func (d *door) serve(ctx context.Context, w http.ResponseWriter, q *request) (any, error) {
	if err := headerSize(q.http); err != nil {
		return nil, err
	}
	if err := q.route(); err != nil {
		return nil, err
	}
	claim, err := d.claimed(ctx, q)
	if err != nil {
		return nil, err
	}
	if q.body, err = d.receive(w, q.http); err != nil {
		return nil, err
	}
	q.whole = true
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return nil, &failure{status: http.StatusServiceUnavailable, code: codeInternal, message: "The signer has too many requests in flight; try again.", reason: "in-flight limit", retry: true}
	}
	if err := d.identify(ctx, q, claim); err != nil {
		return nil, err
	}
	return q.op.serve(ctx, d.server.Service, q)
}

// receive reads the body in one of the places for those that are awaited.
func (d *door) receive(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	leave, ok := d.bodies.enter(r.RemoteAddr)
	if !ok {
		w.Header().Set("Connection", "close") // the body is not read
		return nil, &failure{status: http.StatusServiceUnavailable, code: codeInternal, message: "The signer awaits too many request bodies, from this address or altogether; try again.", reason: "body places", retry: true}
	}
	defer leave()
	return readBody(w, r)
}

// headerSize bounds what net/http's own limit (the server's MaxHeaderBytes)
// may have let through.
func headerSize(r *http.Request) error {
	n := len(r.URL.RawPath) + len(r.URL.Path) + len(r.URL.RawQuery)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	if n > limits.APIHeaderBytes {
		return &failure{status: http.StatusRequestHeaderFieldsTooLarge, code: "RequestHeaderFieldsTooLargeException",
			message: fmt.Sprintf("The request line and headers are longer than %d bytes.", limits.APIHeaderBytes), reason: "header limit"}
	}
	return nil
}

// readBody reads all of the body within its bounds.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := &failure{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLargeException",
		message: fmt.Sprintf("The request body is longer than %d bytes.", limits.APIBodyBytes), reason: "body limit"}
	if r.ContentLength > limits.APIBodyBytes {
		w.Header().Set("Connection", "close") // the rest is not read
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limits.APIBodyBytes))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &large):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &failure{status: http.StatusRequestTimeout, code: "RequestTimeoutException",
			message: fmt.Sprintf("The request body did not arrive within %s.", limits.APIBodyTime), reason: "body time", err: err}
	}
	return nil, &failure{status: http.StatusBadRequest, code: codeValidation, message: "The request body did not arrive whole.", reason: "body", err: err}
}

// operation is the name of what was asked for; empty when there is none.
func (q *request) operation() string {
	if q.op == nil {
		return ""
	}
	return q.op.name
}

// record writes the access log: who asked for what, and what became of it.
// Headers, queries and bodies are not logged.
func (d *door) record(ctx context.Context, q *request, a answer, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("requestId", q.id),
		slog.String("operation", q.operation()),
		slog.String("method", q.http.Method),
		slog.String("path", clip(q.http.URL.EscapedPath(), 512)),
		slog.String("remote", q.http.RemoteAddr),
		slog.Int("status", a.status),
		slog.Duration("took", took),
	}
	if q.caller.Principal != "" {
		attrs = append(attrs, slog.String("principal", q.caller.Principal))
	}
	if q.signed != nil && signing.ValidAccessKeyID(q.signed.AccessKeyID) { // else it may be a secret
		attrs = append(attrs, slog.String("accessKeyId", q.signed.AccessKeyID))
	}
	level := slog.LevelInfo
	if a.code != "" {
		attrs = append(attrs, slog.String("code", a.code), slog.String("message", a.message))
		if a.reason != "" {
			attrs = append(attrs, slog.String("reason", a.reason))
		}
	}
	if a.err != nil {
		attrs = append(attrs, slog.String("err", a.err.Error()))
	}
	switch {
	case ctx.Err() != nil: // whatever went wrong then is not the server's fault
		attrs = append(attrs, slog.Bool("clientGone", true))
	case a.status >= 500:
		level = slog.LevelError
	}
	d.log.LogAttrs(context.WithoutCancel(ctx), level, "api request", attrs...)
}

// newRequestID is a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
