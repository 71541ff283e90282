package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/share"
)

// Handler serves both webhooks. What it bounds is its own: make one for each
// server.
func (s *Server) Handler() http.Handler {
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &door{
		Server: s, log: log, bodyTime: limits.AdmissionBodyTime, smallTime: limits.AdmissionSmallTime,
		arriving: share.New(limits.AdmissionArrivingBytes, limits.AdmissionSenderBytes),
		large:    share.New(limits.AdmissionLarge, limits.AdmissionSenderLarge),
		small:    make(chan struct{}, limits.AdmissionSmall),
		waiting:  share.New(limits.AdmissionInFlight, limits.AdmissionSenderInFlight),
	}
}

type door struct {
	*Server
	log *slog.Logger
	// Who receives a review has places among those of its size, by its bytes where
	// it is small; who reads a small one has one of small, once it is there; who
	// waits for a decision has some of waiting, and its body is gone. Senders share
	// all but small, which nobody can hold: strangers can reach this address, and
	// leave places to the API servers.
	arriving, large, waiting *share.Share
	small                    chan struct{}
	bodies                   sync.Pool // of *[]byte, none longer than limits.AdmissionRoomBytes
	bodyTime, smallTime      time.Duration
}

// trouble is a request that gets no review for an answer: the API server does
// with it what the webhook's failurePolicy says.
type trouble struct {
	status int
	text   string
	allow  string // a header of 405
	err    error  // for the log
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := d.Now()
	q := &question{request: new(request), endpoint: endpoint(r.URL.Path)}
	a, body, t := d.guarded(w, r, q, began)
	status := http.StatusOK
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if t != nil {
		status, body = t.status, []byte("shuin: "+printable(t.text)+"\n")
		h.Set("Content-Type", "text/plain; charset=utf-8")
		if t.allow != "" {
			h.Set("Allow", t.allow)
		}
		if r.ProtoMajor == 1 { // nobody waits for the rest of the body
			h.Set("Connection", "close")
		}
	} else {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // who has gone needs none
	d.tell(r.Context(), q, &a, t, status, d.Now().Sub(began))
}

func endpoint(path string) string {
	switch path {
	case ValidatePath:
		return Validate
	case MutatePath:
		return Mutate
	}
	return ""
}

// guarded turns a panic into an answer: where a review was read, into one about
// it, so that it is let in by nobody's failurePolicy.
func (d *door) guarded(w http.ResponseWriter, r *http.Request, q *question, began time.Time) (a answer, body []byte, t *trouble) {
	defer func() {
		if p := recover(); p != nil {
			// The panic's value may hold what was sent: the stack says where.
			err := fmt.Errorf("panic: %T\n%s", p, debug.Stack())
			if a = failed(err); q.uid == "" {
				t = &trouble{status: http.StatusInternalServerError, text: "an internal error happened", err: err}
				return
			}
			body, t = d.finish(q, &a)
		}
	}()
	ctx, cancel, t := d.receive(w, r, q, began)
	if t != nil {
		return answer{outcome: Malformed}, nil, t
	}
	defer cancel()
	a = d.answer(ctx, q)
	body, t = d.finish(q, &a)
	return a, body, t
}

// receive reads a request's review, and what time there is for it.
func (d *door) receive(w http.ResponseWriter, r *http.Request, q *question, began time.Time) (context.Context, context.CancelFunc, *trouble) {
	wait, t := d.usable(r, q.endpoint)
	if t != nil {
		return nil, nil, t
	}
	q.sender = share.Sender(r.RemoteAddr)
	ctx, cancel := context.WithTimeout(r.Context(), wait-margin(wait)-d.Now().Sub(began))
	receive := d.receiveSmall
	if r.ContentLength > limits.AdmissionSmallBytes {
		receive = d.receiveLarge
	}
	if t = receive(ctx, w, r, q); t != nil {
		cancel()
		return nil, nil, t
	}
	return ctx, cancel, nil
}

// receiveSmall reads a review that is one of many: what is held while it comes is
// bounded, by the room that a body has at least.
func (d *door) receiveSmall(ctx context.Context, w http.ResponseWriter, r *http.Request, q *question) *trouble {
	leave, err := d.arriving.Take(ctx, q.sender, max(r.ContentLength, limits.AdmissionRoomBytes))
	if err != nil {
		return &trouble{status: http.StatusServiceUnavailable, text: "too many reviews of yours are on their way: try again"}
	}
	defer leave()
	body, t := d.arrive(w, r, d.smallTime)
	if t != nil {
		return t
	}
	select {
	case d.small <- struct{}{}:
		defer func() { <-d.small }()
	case <-ctx.Done():
		return crowded()
	}
	return d.read(body, q)
}

// receiveLarge reads a larger one, of which few are received or read at a time.
func (d *door) receiveLarge(ctx context.Context, w http.ResponseWriter, r *http.Request, q *question) *trouble {
	leave, err := d.large.Take(ctx, q.sender, 1)
	if err != nil {
		return crowded()
	}
	defer leave()
	body, t := d.arrive(w, r, d.bodyTime)
	if t != nil {
		return t
	}
	return d.read(body, q)
}

func crowded() *trouble {
	return &trouble{status: http.StatusServiceUnavailable, text: "too many reviews are being read: try again"}
}

// arrive waits for the body, so long: who sends it slowly has no place that
// others wait for, unless it is a large one.
func (d *door) arrive(w http.ResponseWriter, r *http.Request, wait time.Duration) ([]byte, *trouble) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(wait)) // not every ResponseWriter has one
	var room []byte
	if p, ok := d.bodies.Get().(*[]byte); ok {
		room = *p
	}
	body, t := receiveBody(r, room[:cap(room)])
	if t == nil {
		_ = control.SetReadDeadline(time.Time{}) // it would end the wait for the decision too
	}
	return body, t
}

// read reads the review in a body and what it is about; then nothing points to
// the body any more.
func (d *door) read(body []byte, q *question) *trouble {
	if cap(body) <= limits.AdmissionRoomBytes { // a longer one would be held by a short body, which is not counted for it
		defer d.bodies.Put(&body)
	}
	got, err := readReview(body)
	if got == nil {
		return &trouble{status: http.StatusBadRequest, text: err.Error()}
	}
	if q.request, q.refused = got, err; err == nil {
		q.refused = d.plan(q)
	}
	q.object, q.oldObject = nil, nil
	return nil
}

// receiveBody reads a body whose length is said, into room where that is
// enough. What is said is not believed: room grows as the body comes.
func receiveBody(r *http.Request, room []byte) ([]byte, *trouble) {
	said := int(r.ContentLength) // at most AdmissionBodyBytes
	for n := 0; ; {
		if n == len(room) {
			size := max(4*n, limits.AdmissionRoomBytes)
			if n > 0 {
				size = min(size, said)
			}
			more := make([]byte, size)
			copy(more, room[:n])
			room = more
		}
		some, err := io.ReadFull(r.Body, room[n:min(said, len(room))])
		switch n += some; {
		case err == nil && n == said:
			return room[:n], nil
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, &trouble{status: http.StatusRequestTimeout, text: "the body did not arrive in time", err: err}
		default:
			return nil, &trouble{status: http.StatusBadRequest, text: "the body did not arrive whole", err: err}
		}
	}
}

// usable refuses requests that can hold no review, and says how long the
// answer is waited for.
func (d *door) usable(r *http.Request, endpoint string) (time.Duration, *trouble) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	encoding := r.Header.Get("Content-Encoding")
	charset := params["charset"]
	switch {
	case endpoint == "":
		return 0, &trouble{status: http.StatusNotFound, text: "there is no " + echo(r.URL.Path) + "; the webhooks are " + ValidatePath + " and " + MutatePath}
	case r.Method != http.MethodPost:
		return 0, &trouble{status: http.StatusMethodNotAllowed, text: r.URL.Path + " takes POST", allow: http.MethodPost}
	case err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8"):
		return 0, &trouble{status: http.StatusUnsupportedMediaType, text: "the Content-Type is " + echo(r.Header.Get("Content-Type")) + ": send application/json"}
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return 0, &trouble{status: http.StatusUnsupportedMediaType, text: "the Content-Encoding is " + echo(encoding) + ": send none"}
	case r.ContentLength < 0:
		return 0, &trouble{status: http.StatusLengthRequired, text: "send a Content-Length"}
	case r.ContentLength == 0:
		return 0, &trouble{status: http.StatusBadRequest, text: "the body is empty: an AdmissionReview is wanted"}
	case r.ContentLength > limits.AdmissionBodyBytes:
		return 0, &trouble{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body is longer than %d bytes (limit AdmissionBodyBytes)", limits.AdmissionBodyBytes)}
	}
	return d.timeout(r)
}

// timeout is how long the API server waits: it says so in the address. Whoever
// else asks can say so too, and is believed as far as the webhooks' configuration
// goes.
func (d *door) timeout(r *http.Request) (time.Duration, *trouble) {
	most := limits.AdmissionTimeoutMost
	if d.Timeout > 0 {
		most = min(most, d.Timeout)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	values := query["timeout"]
	if err == nil && len(values) == 0 {
		return min(most, limits.AdmissionTimeout), nil
	}
	var said time.Duration
	if err == nil && len(values) == 1 {
		said, err = time.ParseDuration(values[0])
	}
	if err != nil || len(values) != 1 || said < limits.AdmissionTimeoutLeast {
		return 0, &trouble{status: http.StatusBadRequest, text: "the timeout in the address is " + echo(strings.Join(values, " ")) + ": write it as in ?timeout=10s, a second at least"}
	}
	return min(said, most), nil
}

// margin is what of that time is kept for the answer's way back.
func margin(d time.Duration) time.Duration { return min(limits.AdmissionMargin, d/10) }

// answer answers a review that was read.
func (d *door) answer(ctx context.Context, q *question) answer {
	switch {
	case q.refused != nil && q.endpoint == Mutate: // validate says so
		return answer{response: response{Allowed: true}, outcome: Denied, code: shuin.CodeOf(q.refused), err: q.refused}
	case q.refused != nil:
		return refuse(q.refused)
	case len(q.images) == 0:
		return skipped()
	}
	leave, err := d.waiting.Take(ctx, q.sender, int64(1+len(q.images)/limits.AdmissionImagesOfPlace))
	if err == nil {
		defer leave()
	} else {
		if q.endpoint == Mutate {
			return answer{response: response{Allowed: true}, outcome: Undecided}
		}
		return refuse(&shuin.Error{Code: shuin.CodeNotBegun, Message: "too many decisions are under way", Hint: "try again"})
	}
	ctx = context.WithValue(ctx, callerKey{}, q.about())
	if q.endpoint == Mutate {
		return d.mutate(ctx, q)
	}
	return d.validate(ctx, q)
}

// finish writes an answer down.
func (d *door) finish(q *question, a *answer) ([]byte, *trouble) {
	if a.outcome == Failed && q.endpoint == Mutate {
		a.response = response{Allowed: true} // nothing is let in by that: validate asks again
	}
	a.UID = q.uid
	body, err := encode(&a.response)
	if err != nil {
		a.outcome, a.err = Failed, err
		return nil, &trouble{status: http.StatusInternalServerError, text: "an internal error happened", err: err}
	}
	return body, nil
}
