package gateapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
)

// The routes.
const (
	routeDecide  = "decide"
	routeExplain = "explain"
	routeOpenAPI = "openapi"
	routeReport  = "report"
	routeList    = "findings"
	routePolicy  = "policy"
)

// routes are the paths, each with its methods and what they are called.
var routes = map[string]map[string]string{
	"/v1/decide":       {http.MethodPost: routeDecide},
	"/v1/explain":      {http.MethodPost: routeExplain},
	"/v1/openapi.json": {http.MethodGet: routeOpenAPI},
	findingsPath:       {http.MethodPost: routeReport, http.MethodGet: routeList},
	policyPath:         {http.MethodGet: routePolicy},
	policyJWSPath:      {http.MethodGet: routePolicyJWS},
	policyCOSEPath:     {http.MethodGet: routePolicyCOSE},

	watchPath + "begin":     {http.MethodPost: routeBegin},
	watchPath + "done":      {http.MethodPost: routeDone},
	watchPath + "release":   {http.MethodPost: routeRelease},
	watchPath + "tell":      {http.MethodPost: routeTell},
	watchPath + "told":      {http.MethodPost: routeTold},
	watchPath + "untell":    {http.MethodPost: routeUntell},
	watchPath + "tellings":  {http.MethodGet: routeTellings},
	watchPath + "forget":    {http.MethodPost: routeForget},
	watchPath + "take":      {http.MethodPost: routeTake},
	watchPath + "in-use":    {http.MethodPost: routeInUse},
	watchPath + "reactions": {http.MethodGet: routeReactions},
}

// routeOf is the route of a request.
func (d *door) routeOf(r *http.Request) (string, *failure) {
	methods, ok := routes[r.URL.Path]
	if r.URL.Path == findingsPath && d.server.Findings == nil {
		return "", newFailure(codeNoRoute, "this server keeps no findings", "set gate.findings in its configuration")
	}
	if ok && strings.HasPrefix(r.URL.Path, watchPath) && d.server.Watching == nil {
		return "", newFailure(codeNoRoute, "this server keeps nothing for watchers", "set gate.findings in its configuration")
	}
	if !ok {
		return "", newFailure(codeNoRoute, "there is no "+echo(r.URL.Path), "ask POST /v1/decide or POST /v1/explain; GET /v1/openapi.json describes them")
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if name := methods[method]; name != "" {
		return name, nil
	}
	f := newFailure(codeMethod, r.URL.Path+" takes "+strings.Join(slices.Sorted(maps.Keys(methods)), " and "), "")
	f.allow = strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	return "", f
}

// Prefix is what all paths of the API begin with.
const Prefix = "/v1/"

// Handler serves the API. What it counts (rates, requests in flight) is its
// own: make one for each server.
func (s *Server) Handler() http.Handler {
	perSecond, burst := s.Rate, s.Burst
	if perSecond <= 0 {
		perSecond = limits.GateAPIRate
	}
	if burst <= 0 {
		burst = limits.GateAPIBurst
	}
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	bodyTime := s.bodyTime
	if bodyTime <= 0 {
		bodyTime = limits.GateAPIBodyTime
	}
	return &door{server: s, log: log, bodyTime: bodyTime, shares: newShares(perSecond, burst, limits.GateAPIShare), slots: make(chan struct{}, limits.GateAPIInFlight)}
}

type door struct {
	server *Server
	log    *slog.Logger
	shares *shares
	slots  chan struct{} // one for each request in flight
	seen   atomic.Pointer[Principals]

	bodyTime time.Duration
}

// asked is one request on its way.
type asked struct {
	id        string
	http      *http.Request
	began     time.Time
	route     string
	principal string
	verdict   *gate.Verdict
	finding   string // the ID of the one that was told
	panicked  string // where
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &asked{id: newRequestID(), http: r, began: time.Now()}
	// A body that comes slowly, read here or drained by net/http, has this
	// long. At the body's end net/http takes the deadline away.
	inTime := func() {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d.bodyTime)) // not every ResponseWriter has one
		}
	}
	inTime()
	a := d.guarded(w, q)
	if a.failed == nil || !a.failed.closes {
		inTime()
	}
	a.write(w, q.id)
	d.tell(q, a, time.Since(q.began))
}

// guarded turns a panic into an error: where it happened goes to the log alone.
func (d *door) guarded(w http.ResponseWriter, q *asked) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			// The panic's value may hold what the caller sent: the stack says where.
			f := newFailure(codeInternal, "an internal error happened", "the server's log says more under this request's id")
			f.reason, q.panicked = fmt.Sprintf("panic: %T", p), string(debug.Stack())
			a = failed(f)
		}
	}()
	a, f := d.serve(w, q)
	if f != nil {
		return failed(f)
	}
	return a
}

// serve takes a request through the door: route, who, how often, what, where.
func (d *door) serve(w http.ResponseWriter, q *asked) (answer, *failure) {
	route, f := d.routeOf(q.http)
	if f != nil {
		return answer{}, f
	}
	if q.route = route; q.route == routeOpenAPI {
		return answer{status: http.StatusOK, mediaType: mediaTypeJSON, body: openAPI}, nil
	}
	p, f := d.admit(q)
	if f != nil {
		return answer{}, f
	}
	defer d.shares.leave(p.Name)
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return answer{}, newFailure(codeOverloaded, "the gate has too many requests in flight", "try again")
	}
	switch q.route {
	case routeReport:
		return d.report(w, q, p)
	case routeList:
		return d.list(q, p)
	case routePolicy, routePolicyJWS, routePolicyCOSE:
		return d.policy(q, p)
	case routeDecide, routeExplain:
		return d.judge(w, q, p)
	}
	return d.watching(w, q, p)
}

// judge reads what images are asked about, and asks the gate.
func (d *door) judge(w http.ResponseWriter, q *asked, p *Principal) (answer, *failure) {
	if f := contentType(q.http.Header); f != nil {
		return answer{}, f
	}
	wait, f := timeout(q.http)
	if f != nil {
		return answer{}, f
	}
	body, f := readBody(w, q.http)
	if f != nil {
		return answer{}, f
	}
	workload, f := decode(body)
	if f != nil {
		return answer{}, f
	}
	if f := p.outside(workload.Where); f != nil {
		return answer{}, f
	}
	if !d.shares.charge(p.Name, distinct(workload.Images)-1) {
		return answer{}, d.tooMany()
	}
	ctx := context.WithValue(q.http.Context(), callerKey{}, Caller{Principal: p.Name, RequestID: q.id, Route: q.route})
	ctx, cancel := context.WithDeadline(ctx, q.began.Add(wait-margin(wait)))
	defer cancel()
	return d.ask(ctx, q, workload)
}

// admit says whose request it is and takes its place; the caller gives it back.
func (d *door) admit(q *asked) (*Principal, *failure) {
	all := d.server.principals.Load()
	if all == nil {
		return nil, newFailure(codeOverloaded, "the gate does not know yet who may ask", "try again")
	}
	now := d.server.Now()
	p, f := all.identify(q.http, now)
	if f != nil {
		return nil, f
	}
	q.principal = p.Name
	if d.seen.Swap(all) != all {
		d.shares.keep(all.has)
	}
	if !d.shares.allow(p.Name, now) {
		return nil, d.tooMany()
	}
	if !d.shares.enter(p.Name) {
		return nil, newFailure(codeThrottled, fmt.Sprintf("a principal may have %d requests in flight", d.shares.inFlight), "try again")
	}
	return p, nil
}

func (d *door) tooMany() *failure {
	return newFailure(codeThrottled, fmt.Sprintf("a principal may ask about %v images per second, %v at once", d.shares.perSecond, d.shares.burst), "try again in a second")
}

// distinct is how many different images there are.
func distinct(images []gate.Image) int {
	if len(images) == 1 {
		return 1
	}
	seen := make(map[gate.Image]struct{}, len(images))
	for _, one := range images {
		one.Name = ""
		seen[one] = struct{}{}
	}
	return len(seen)
}

// ask has the gate decide.
func (d *door) ask(ctx context.Context, q *asked, w gate.Workload) (answer, *failure) {
	var body []byte
	var err error
	mediaType := gate.MediaTypeVerdict
	if q.route == routeExplain {
		mediaType = gate.MediaTypeExplanation
		q.verdict, body, err = d.server.explained(ctx, w)
	} else if q.verdict = d.server.Gate.Decide(ctx, w); q.verdict != nil {
		body, err = q.verdict.MarshalJSON()
	}
	if err == nil && q.verdict == nil {
		err = errors.New("the gate gave no verdict")
	}
	if err != nil {
		q.verdict = nil
		f := newFailure(codeInternal, "an internal error happened", "the server's log says more under this request's id")
		f.err = err
		return answer{}, f
	}
	return answer{status: http.StatusOK, mediaType: mediaType, body: body}, nil
}

// readBody reads all of the body within its bounds.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *failure) {
	return readUpTo(w, r, limits.GateAPIBodyBytes, "GateAPIBodyBytes", "ask about fewer images at a time")
}

// readUpTo reads all of a body of at most so many bytes, by the limit of that
// name.
func readUpTo(w http.ResponseWriter, r *http.Request, most int64, name, hint string) ([]byte, *failure) {
	tooLarge := newFailure(codeLimit, fmt.Sprintf("the request's body is longer than %d bytes (limit %s)", most, name), hint)
	tooLarge.closes = true // the rest is not read
	if r.ContentLength > most {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &large):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		f := newFailure(codeBodyTime, fmt.Sprintf("the request's body did not arrive within %s", limits.GateAPIBodyTime), "")
		f.closes, f.err = true, err
		return nil, f
	}
	f := newFailure(codeInvalid, "the request's body did not arrive whole", "")
	f.closes, f.err = true, err
	return nil, f
}

// tell writes the access log, and tells the observer: who asked, and what
// became of it. Headers, queries and bodies are not logged.
func (d *door) tell(q *asked, a answer, took time.Duration) {
	o := Observation{Route: q.route, Principal: q.principal, Status: a.status, Took: took, Verdict: q.verdict}
	attrs := []slog.Attr{
		slog.String("requestId", q.id), slog.String("route", q.route), slog.String("method", clip(q.http.Method, 16)),
		slog.String("remote", q.http.RemoteAddr), slog.Int("status", a.status), slog.Duration("took", took),
	}
	if q.principal != "" {
		attrs = append(attrs, slog.String("principal", q.principal))
	}
	if q.finding != "" {
		attrs = append(attrs, slog.String("finding", q.finding))
	}
	level := slog.LevelInfo
	if f := a.failed; f != nil {
		o.Code = f.code
		attrs = append(attrs, slog.String("code", f.code), slog.String("message", f.message))
		if f.reason != "" {
			attrs = append(attrs, slog.String("reason", f.reason))
		}
		if slices.Contains(AuthReasons(), f.reason) && f.code == codeUnauthenticated {
			o.Reason = f.reason
		}
		if f.err != nil {
			attrs = append(attrs, slog.String("err", f.err.Error()))
		}
		if a.status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	if q.panicked != "" {
		attrs = append(attrs, slog.String("stack", q.panicked))
	}
	if v := q.verdict; v != nil {
		attrs = append(attrs, slog.Bool("allowed", v.Allowed), slog.Int("images", len(v.Images)), slog.String("policy", v.Policy.String()))
	}
	ctx := q.http.Context()
	if ctx.Err() != nil { // whatever went wrong then is not the server's fault
		attrs = append(attrs, slog.Bool("clientGone", true))
		level = slog.LevelInfo
	}
	d.log.LogAttrs(context.WithoutCancel(ctx), level, "gate request", attrs...)
	if d.server.Observe != nil {
		d.server.Observe(o)
	}
}

// newRequestID is a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// clip cuts s to n bytes, at a rune, and marks the cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
