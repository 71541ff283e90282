package gateapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// watchPath is what the paths begin with under which a watcher keeps what it
// decided and told: watch.Store, a path for each of its methods.
const watchPath = "/v1/watch/"

// The routes of a watcher.
const (
	routeBegin     = "watchBegin"
	routeDone      = "watchDone"
	routeRelease   = "watchRelease"
	routeTell      = "watchTell"
	routeTold      = "watchTold"
	routeUntell    = "watchUntell"
	routeTellings  = "watchTellings"
	routeForget    = "watchForget"
	routeTake      = "watchTake"
	routeInUse     = "watchInUse"
	routeReactions = "watchReactions"
)

// mediaTypeWatch is the media type of what a watcher is answered.
const mediaTypeWatch = "application/vnd.shuin.watch.v1+json"

// callHeader names a call, so that it is made once however often it comes.
const callHeader = "Idempotency-Key"

// watchOperation does one of them; the body is empty for those that are asked
// with GET.
type watchOperation func(ctx context.Context, s watch.Store, body []byte) (out any, f *failure, err error)

var watchOperations = map[string]watchOperation{
	routeBegin: watchBegin, routeDone: watchDone, routeRelease: watchRelease,
	routeTell: watchTell, routeTold: watchTold, routeUntell: watchUntell, routeForget: watchForget,
	routeTake: watchTake, routeInUse: watchInUse,
}

// mayWatch says why a principal has no state here; nil: it has. What it keeps
// is its own, whatever it is about: it is bound to its places by nobody else's
// being there.
func (p *Principal) mayWatch() *failure {
	switch {
	case !p.Reports:
		return newFailure(codeRight, fmt.Sprintf("principal %q may not keep what it decided and told", p.Name), "set reports: true for it in the server's configuration (gate.principals), if it is a watcher of yours")
	case len(p.Namespaces) > 0 && !p.Anywhere:
		f := newFailure(codePlace, fmt.Sprintf("principal %q %s", p.Name, p.sight()), "watch as a principal with clusters, or with anywhere: true")
		f.reason = "namespace"
		return f
	}
	return nil
}

// watching answers a watcher.
func (d *door) watching(w http.ResponseWriter, q *asked, p *Principal) (answer, *failure) {
	if f := p.mayWatch(); f != nil {
		return answer{}, f
	}
	ctx, cancel := context.WithTimeout(q.http.Context(), limits.GateAPITimeout)
	defer cancel()
	now := d.server.Now()
	switch q.route {
	case routeTellings:
		return d.tellings(ctx, q, d.server.Watching(p.Name, "", now))
	case routeReactions:
		if q.http.URL.RawQuery != "" {
			return answer{}, newFailure(codeInvalid, "read the request: it takes no query", "")
		}
		off, err := d.server.Watching(p.Name, "", now).ReactionsOff(ctx)
		return watched(reactionsAnswer{off}, err)
	}
	if f := contentType(q.http.Header); f != nil {
		return answer{}, f
	}
	if q.http.URL.RawQuery != "" {
		return answer{}, newFailure(codeInvalid, "read the request: it takes no query", "")
	}
	call, f := callName(q.http.Header[callHeader])
	if f != nil {
		return answer{}, f
	}
	body, f := readUpTo(w, q.http, limits.StateBodyBytes, "StateBodyBytes", "")
	if f != nil {
		return answer{}, f
	}
	out, f, err := watchOperations[q.route](ctx, d.server.Watching(p.Name, once(call, q.route, body), now), body)
	if f != nil {
		return answer{}, f
	}
	return watched(out, err)
}

// callName is the name of a call; empty: it has none.
func callName(values []string) (string, *failure) {
	bad := func(what string) (string, *failure) {
		return "", newFailure(codeInvalid, "read the request: the header "+callHeader+" "+what, fmt.Sprintf("it names a call, so that it is made once: up to %d visible characters of ASCII, others for each call", limits.StateCallBytes))
	}
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return bad("is there more than once")
	case len(values[0]) == 0 || len(values[0]) > limits.StateCallBytes || !printable(values[0]):
		return bad("is " + echo(values[0]))
	}
	return values[0], nil
}

// once is what a call is known by: another body under the same name is another
// call.
func once(call, route string, body []byte) string {
	if call == "" {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %s\n", call, route)
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// watched is the answer to a watcher.
func watched(out any, err error) (answer, *failure) {
	if err != nil {
		return answer{}, notWatched(err)
	}
	body, err := json.Marshal(out)
	if err != nil {
		return answer{}, notWatched(err)
	}
	return answer{status: http.StatusOK, mediaType: mediaTypeWatch, body: body}, nil
}

// notWatched is why a watcher gets no claim, or nothing at all.
func notWatched(err error) *failure {
	for _, one := range []struct {
		err           error
		code, message string
	}{
		{watch.ErrDuplicate, codeDuplicate, "this version was decided before"},
		{watch.ErrOlder, codeOlder, "a newer version was decided before"},
		{watch.ErrBusy, codeBusy, "another is at it, or was, and its lease is not over"},
		{watch.ErrLost, codeLost, "the claim is no longer the caller's: its lease ended, and another took it"},
	} {
		if errors.Is(err, one.err) {
			return newFailure(one.code, one.message, "")
		}
	}
	f := newFailure(codeStore, "what was decided and told cannot be read or written now", "try again; the server's log says more under this request's id")
	if e, ok := errors.AsType[*shuin.Error](err); ok && e.Code == shuin.CodeLimit {
		f = newFailure(codeStateFull, e.Message, "names of what is counted and what is in use are few: see who asks")
	}
	f.err = err
	return f
}

// The bodies of a watcher's requests. Times are RFC 3339, kept to the
// microsecond; a lease, and the time until a reminder, as in 16m or 24h.
type (
	claimRequest struct {
		Key     string     `json:"key"`
		Version *int64     `json:"version"`
		Token   string     `json:"token"`
		Now     *time.Time `json:"now"`
		Lease   string     `json:"lease"`
	}
	tellRequest struct {
		ID     string     `json:"id"`
		State  string     `json:"state"`
		To     string     `json:"to"`
		Image  string     `json:"image"`
		Seen   *time.Time `json:"seen"`
		Now    *time.Time `json:"now"`
		Remind string     `json:"remind"`
		Lease  string     `json:"lease"`
	}
	takeRequest struct {
		Count   string     `json:"count"`
		Most    *int       `json:"most"`
		Now     *time.Time `json:"now"`
		Expires *time.Time `json:"expires"`
	}
	inUseRequest struct {
		Name  string     `json:"name"`
		Value string     `json:"value"`
		Now   *time.Time `json:"now"`
	}
)

// What is answered to them.
type (
	beginAnswer struct {
		Token string `json:"token"`
	}
	nothingAnswer struct {
		OK bool `json:"ok"`
	} // it is done
	turnAnswer struct {
		Turn string `json:"turn"`
	} // first, again, silent
	forgetAnswer struct {
		Forgot bool `json:"forgot"`
	}
	takeAnswer struct {
		Took bool `json:"took"`
	}
	inUseAnswer struct {
		Since *time.Time `json:"since"`
	} // null: there never was another
	tellingsAnswer struct {
		Tellings []tellingAnswer `json:"tellings"`
	}
	tellingAnswer struct {
		State string    `json:"state"`
		To    string    `json:"to"`
		Image string    `json:"image"`
		Seen  time.Time `json:"seen"`
	}
	reactionsAnswer struct {
		Off bool `json:"off"`
	}
)

func watchBegin(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in claimRequest
	c, f := in.read(body, "now", "lease")
	if f != nil {
		return nil, f, nil
	}
	lease, f := span("lease", in.Lease, 1, limits.StateLeaseMost)
	if f != nil {
		return nil, f, nil
	}
	token, err := s.Begin(ctx, c, *in.Now, lease)
	return beginAnswer{token}, nil, err
}

func watchDone(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in claimRequest
	c, f := in.read(body, "now", "token")
	if f != nil {
		return nil, f, nil
	}
	return nothingAnswer{true}, nil, s.Done(ctx, c, in.Token, *in.Now)
}

func watchRelease(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in claimRequest
	c, f := in.read(body, "token")
	if f != nil {
		return nil, f, nil
	}
	return nothingAnswer{true}, nil, s.Release(ctx, c, in.Token)
}

func watchTell(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in tellRequest
	t, f := in.read(body, "now", "remind", "lease")
	if f != nil {
		return nil, f, nil
	}
	remind, f := span("remind", in.Remind, 0, limits.StateRemindMost)
	if f != nil {
		return nil, f, nil
	}
	lease, f := span("lease", in.Lease, 1, limits.StateLeaseMost)
	if f != nil {
		return nil, f, nil
	}
	turn, err := s.Tell(ctx, t, *in.Now, remind, lease)
	name := map[watch.Turn]string{watch.First: "first", watch.Again: "again", watch.Silent: "silent"}[turn]
	if name == "" && err == nil {
		err = fmt.Errorf("the store answers with turn %d", turn)
	}
	return turnAnswer{name}, nil, err
}

func watchTold(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in tellRequest
	t, f := in.read(body, "now")
	if f != nil {
		return nil, f, nil
	}
	return nothingAnswer{true}, nil, s.Told(ctx, t, *in.Now)
}

func watchUntell(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in tellRequest
	t, f := in.read(body)
	if f != nil {
		return nil, f, nil
	}
	return nothingAnswer{true}, nil, s.Untell(ctx, t)
}

func watchForget(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in tellRequest
	t, f := in.read(body, "seen")
	if f != nil {
		return nil, f, nil
	}
	t.Seen = *in.Seen
	forgot, err := s.Forget(ctx, t)
	return forgetAnswer{forgot}, nil, err
}

func watchTake(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in takeRequest
	if f := in.read(body); f != nil {
		return nil, f, nil
	}
	took, err := s.Take(ctx, in.Count, *in.Most, *in.Now, *in.Expires)
	return takeAnswer{took}, nil, err
}

func watchInUse(ctx context.Context, s watch.Store, body []byte) (any, *failure, error) {
	var in inUseRequest
	if f := in.read(body); f != nil {
		return nil, f, nil
	}
	since, err := s.InUse(ctx, in.Name, in.Value, *in.Now)
	if since.IsZero() {
		return inUseAnswer{}, nil, err
	}
	return inUseAnswer{&since}, nil, err
}

// tellings lists what was told of a finding.
func (d *door) tellings(ctx context.Context, q *asked, s watch.Store) (answer, *failure) {
	values := q.http.URL.Query()
	id := values.Get(parameterID)
	if len(values) != 1 || len(values[parameterID]) != 1 || q.http.URL.RawQuery != parameterID+"="+id {
		return answer{}, newFailure(codeInvalid, "read the request: the query id is wanted, and no other", "write ?id= and the finding's 32 hexadecimal digits")
	}
	if !isFindingID(id) {
		return answer{}, badMember(parameterID, "is "+echo(id), "a finding's has 32 hexadecimal digits")
	}
	q.finding = id
	all, err := s.Tellings(ctx, id)
	out := tellingsAnswer{Tellings: make([]tellingAnswer, 0, len(all))}
	for _, t := range all {
		out.Tellings = append(out.Tellings, tellingAnswer{string(t.State), t.To, string(t.Image), t.Seen.UTC()})
	}
	slices.SortFunc(out.Tellings, func(a, b tellingAnswer) int { return strings.Compare(a.State+a.To, b.State+b.To) })
	return watched(out, err)
}
