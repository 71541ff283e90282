package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/shuin/shuin/internal/limits"
)

func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestWhatIsNoReviewIsRefusedByHTTP(t *testing.T) {
	good := bodyOf(t, created(pod(signed)))
	with := func(old, new string) []byte {
		out := bytes.Replace(good, []byte(old), []byte(new), 1)
		if bytes.Equal(out, good) {
			t.Fatalf("no %s in %s", old, good)
		}
		return out
	}
	for name, c := range map[string]struct {
		method, path, mediaType, encoding string
		body                              []byte
		length                            int64 // instead of the body's
		status                            int
		want                              string
	}{
		"another path":           {path: "/k8s/other", body: good, status: 404, want: "/k8s/validate and /k8s/mutate"},
		"a path below":           {path: ValidatePath + "/", body: good, status: 404},
		"GET":                    {method: "GET", body: good, status: 405, want: "takes POST"},
		"YAML":                   {mediaType: "application/yaml", body: good, status: 415, want: "application/json"},
		"no media type":          {mediaType: "-", body: good, status: 415},
		"another charset":        {mediaType: "application/json; charset=latin1", body: good, status: 415},
		"gzip":                   {encoding: "gzip", body: good, status: 415},
		"no length":              {length: -1, body: good, status: 411},
		"empty":                  {status: 400, want: "empty"},
		"too large":              {length: limits.AdmissionBodyBytes + 1, body: good, status: 413, want: "limit AdmissionBodyBytes"},
		"cut off":                {length: int64(len(good)) + 1, body: good, status: 400, want: "did not arrive whole"},
		"no JSON":                {body: []byte("apiVersion: v1"), status: 400, want: "not a JSON object"},
		"a list":                 {body: []byte("[]"), status: 400, want: "not a JSON object"},
		"half":                   {body: []byte(`{"apiVersion":"admission.k8s.io/v1"`), status: 400, want: "not JSON, at byte"},
		"v1beta1":                {body: with("admission.k8s.io/v1", "admission.k8s.io/v1beta1"), status: 400, want: "admission.k8s.io/v1beta1"},
		"another kind":           {body: with("AdmissionReview", "TokenReview"), status: 400, want: "TokenReview"},
		"no request":             {body: []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`), status: 400, want: "no request with a uid"},
		"no uid":                 {body: with(reviewID, ""), status: 400, want: "no request with a uid"},
		"a uid of another type":  {body: with(`"`+reviewID+`"`, "7"), status: 400, want: "is not a text"},
		"other letters":          {body: with(`"request"`, `"Request"`), status: 400, want: "no request with a uid"},
		"a timeout that is none": {path: ValidatePath + "?timeout=soon", body: good, status: 400, want: "timeout"},
		"two timeouts":           {path: ValidatePath + "?timeout=1s&timeout=2s", body: good, status: 400, want: "timeout"},
		"a timeout too short":    {path: ValidatePath + "?timeout=999ms", body: good, status: 400, want: "timeout"},
		"a negative timeout":     {path: ValidatePath + "?timeout=-5s", body: good, status: 400, want: "timeout"},
		"a query that is none":   {path: ValidatePath + "?timeout=%zz", body: good, status: 400, want: "timeout"},
		"control characters":     {path: "/a%1b%5b31m%0ab", body: good, status: 404},
	} {
		path, method := c.path, c.method
		if path == "" {
			path = ValidatePath
		}
		if method == "" {
			method = http.MethodPost
		}
		r := httptest.NewRequest(method, path, bytes.NewReader(c.body))
		if c.length != 0 {
			r.ContentLength = c.length
		}
		switch c.mediaType {
		case "":
			r.Header.Set("Content-Type", "application/json")
		case "-":
		default:
			r.Header.Set("Content-Type", c.mediaType)
		}
		if c.encoding != "" {
			r.Header.Set("Content-Encoding", c.encoding)
		}
		d := newDesk()
		s := server(d)
		var o Observation
		s.Observe = func(got Observation) { o = got }
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		text := w.Body.String()
		if w.Code != c.status || !strings.Contains(text, c.want) || strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") || len(d.asked) != 0 {
			t.Errorf("%s: %d %q, want %d %q", name, w.Code, text, c.status, c.want)
		}
		if o.Outcome != Malformed || o.Status != c.status {
			t.Errorf("%s: %+v", name, o)
		}
		if c.status == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}

func TestAReviewThatCannotBeReadToItsEndIsDeniedAndNotLeftToTheFailurePolicy(t *testing.T) {
	good := string(bodyOf(t, created(pod(pinnedOf(signed)))))
	if a := response200(t, send(server(newDesk()).Handler(), ValidatePath, []byte(good)), false); !a.Allowed {
		t.Fatal("the good one is not let in")
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"a member twice":             {`"namespace":"shop"`, `"namespace":"shop","namespace":"shuin-system"`, "there twice"},
		"a member of the pod twice":  {`"image":`, `"image":"x","image":`, "there twice"},
		"an escaped member twice":    {`"image":`, `"im\u0061ge":"x","image":`, "there twice"},
		"a number for a list":        {`"containers":[`, `"containers":7,"x":[`, "is not a list"},
		"a text for an object":       {`"metadata":{`, `"metadata":"x","m":{`, "is not an object"},
		"no text":                    {`"name":"a","image"`, `"name":["a"],"image"`, "is not a text"},
		"an image that is no text":   {`"image":"` + pinnedOf(signed) + `"`, `"image":{"reference":"x"}`, "is not a text"},
		"no object":                  {`"object":{`, `"object":null,"o":{`, "not there"},
		"a list for an object":       {`"object":{`, `"object":[],"o":{`, "not there"},
		"no specification":           {`"spec":{`, `"Spec":{`, "no spec"},
		"a specification of nothing": {`"spec":{`, `"spec":null,"s":{`, "no spec"},
		"other letters":              {`"object":{`, `"Object":{`, "not there"},
		"other letters of a list":    {`"containers":[`, `"Containers":[`, "too old for the field"},
		"no UTF-8":                   {`"shop"`, "\"sh\xffp\"", "not JSON, at byte"},
		"a lone surrogate":           {`"shop"`, `"\ud800"`, "not JSON, at byte"},
		"a comma too many":           {`"containers":[`, `"containers":[,`, "not JSON, at byte"},
		"dry run by another word":    {`"dryRun":false`, `"dryRun":"no"`, "is not true or false"},
		"something after it":         {"\x00", "\x00", "something follows"},
	} {
		body := strings.Replace(good, c.old, c.new, 1)
		if name == "something after it" {
			body = good + "{}"
		} else if body == good {
			t.Fatalf("%s: no %s", name, c.old)
		}
		d := newDesk()
		a := response200(t, send(server(d).Handler(), ValidatePath, []byte(body)), false)
		if a.Allowed || a.Result.Code != 403 || !strings.Contains(a.Result.Message, c.want) || len(d.asked) != 0 {
			t.Errorf("%s: %+v, want %s", name, a.Result, c.want)
		}
		if a := response200(t, send(server(d).Handler(), MutatePath, []byte(body)), true); !a.Allowed || a.Patch != nil {
			t.Errorf("%s: mutate %+v", name, a)
		}
	}
}

func TestMembersThatTheAPIAddsArePassedOver(t *testing.T) {
	good := string(bodyOf(t, created(pod(signed))))
	body := good
	for _, at := range []string{`{"kind":"AdmissionReview"`, `{"uid"`, `{"name":"a"`, `"spec":{`, `"metadata":{`} {
		if at[0] == '"' {
			body = strings.Replace(body, at, at+`"anew":{"deep":[1,{"x":null}]},`, 1)
			continue
		}
		body = strings.Replace(body, at, `{"anew":{"deep":[1,{"x":null}]},`+at[1:], 1)
	}
	if strings.Count(body, "anew") != 5 || !json.Valid([]byte(body)) {
		t.Fatal(body)
	}
	if a := response200(t, send(server(newDesk()).Handler(), MutatePath, []byte(body)), true); !a.Allowed || len(a.Patch) == 0 {
		t.Errorf("%+v", a)
	}
}

func TestTheTimeForADecisionIsTheCallsLessAMargin(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"":                        9500 * time.Millisecond,
		"?timeout=10s":            9500 * time.Millisecond,
		"?timeout=1s":             900 * time.Millisecond,
		"?timeout=30s":            29500 * time.Millisecond,
		"?timeout=100h":           29500 * time.Millisecond,
		"?timeout=2500ms&other=x": 2250 * time.Millisecond,
	} {
		for _, path := range []string{ValidatePath, MutatePath} {
			d := newDesk()
			ask(t, server(d), path+query, created(pod(pinnedOf(signed), signed)))
			if got := d.left[0]; got > want || got < want/2 { // a busy machine takes its time
				t.Errorf("%s%s: %s, want %s", path, query, got, want)
			}
		}
	}
}

func TestADecisionEndsWithTheTimeForItAndWithItsCaller(t *testing.T) {
	d := newDesk()
	d.before = func(ctx context.Context) { <-ctx.Done() }
	h := server(d).Handler()
	a := response200(t, send(h, ValidatePath+"?timeout=1s", bodyOf(t, created(pod(pinnedOf(signed))))), false)
	if !a.Allowed { // this desk answers all the same
		t.Errorf("%+v", a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, ValidatePath+"?timeout=30s", bytes.NewReader(bodyOf(t, created(pod(pinnedOf(signed))))))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(httptest.NewRecorder(), r) // ends
}

func TestDecisionsWaitedForAreBoundedAndWhoFindsNoPlaceIsUndecided(t *testing.T) {
	d := newDesk()
	h := server(d).Handler().(*door)
	leave := hold(t, h.waiting, limits.AdmissionInFlight, limits.AdmissionSenderInFlight)
	a := response200(t, send(h, ValidatePath+"?timeout=1s", bodyOf(t, created(pod(pinnedOf(signed))))), false)
	if a.Allowed || a.Result.Code != 503 || a.Result.Details.RetryAfterSeconds != 1 || !strings.Contains(a.Result.Message, "not-begun") || len(d.asked) != 0 {
		t.Errorf("%+v", a.Result)
	}
	if a := response200(t, send(h, MutatePath+"?timeout=1s", bodyOf(t, created(pod(signed)))), true); !a.Allowed || a.Patch != nil {
		t.Errorf("%+v", a)
	}
	// What needs no decision needs no place.
	if a := response200(t, send(h, ValidatePath, bodyOf(t, updated(pod(signed), pod(signed)))), false); !a.Allowed {
		t.Errorf("%+v", a.Result)
	}
	leave()
	if a := response200(t, send(h, ValidatePath, bodyOf(t, created(pod(pinnedOf(signed))))), false); !a.Allowed {
		t.Errorf("%+v", a.Result)
	}
}

// large is a Pod of about so many bytes of JSON.
func large(n int) *corev1.Pod {
	return edit(pod(pinnedOf(signed)), func(p *corev1.Pod) {
		for i := range n / 90 {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("NAME_%06d", i), Value: strings.Repeat("v", 60)})
		}
	})
}

func TestLargeReviewsWaitForTheirTurnAndHoldUpNoSmallOnes(t *testing.T) {
	d := newDesk()
	h := server(d).Handler().(*door)
	body := bodyOf(t, created(large(3<<20)))
	if len(body) < 3<<20 {
		t.Fatal(len(body))
	}
	leave := hold(t, h.large, limits.AdmissionLarge, limits.AdmissionSenderLarge)
	if w := send(h, ValidatePath+"?timeout=1s", body); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if a := response200(t, send(h, ValidatePath, bodyOf(t, created(pod(pinnedOf(signed))))), false); !a.Allowed {
		t.Errorf("%+v", a.Result)
	}
	leave()
	if a := response200(t, send(h, ValidatePath, body), false); !a.Allowed {
		t.Errorf("%+v", a.Result)
	}
}

func TestABodyThatDoesNotComeHasItsTime(t *testing.T) {
	h := server(newDesk()).Handler().(*door)
	h.smallTime = 50 * time.Millisecond
	srv := httptest.NewServer(h)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", ValidatePath)
	answer, err := io.ReadAll(io.LimitReader(conn, 40))
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("%s %v", answer, err)
	}
}

func TestStrangersWhoSendSlowlyHoldNoPlaceOfTheAPIServers(t *testing.T) {
	h := server(newDesk()).Handler().(*door)
	h.smallTime = time.Minute
	h.small = make(chan struct{}, 2)
	srv := httptest.NewServer(h)
	defer srv.Close()
	for range 8 {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", ValidatePath)
	}
	for range 3 {
		if a := response200(t, send(h, ValidatePath+"?timeout=5s", bodyOf(t, created(pod(pinnedOf(signed))))), false); !a.Allowed {
			t.Errorf("%+v", a.Result)
		}
	}
}

func TestABodyThatCameLeavesAllTheCallsTimeForTheDecision(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		d := newDesk()
		h := server(d).Handler().(*door)
		h.smallTime = time.Second
		srv := httptest.NewUnstartedServer(h)
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		var cancelled atomic.Bool
		d.before = func(ctx context.Context) {
			select {
			case <-ctx.Done():
				cancelled.Store(true)
			case <-time.After(1300 * time.Millisecond):
			}
		}
		resp, err := srv.Client().Post(srv.URL+ValidatePath, "application/json", bytes.NewReader(bodyOf(t, created(pod(pinnedOf(signed))))))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || cancelled.Load() || (resp.ProtoMajor == 2) != http2 {
			t.Errorf("%s %d, cancelled %t", resp.Proto, resp.StatusCode, cancelled.Load())
		}
		_ = resp.Body.Close()
		srv.Close()
	}
}

func TestManyAtATimeGetTheirOwnAnswers(t *testing.T) {
	d := newDesk()
	srv := httptest.NewServer(server(d).Handler())
	defer srv.Close()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			image, allowed := pinnedOf(signed), i%2 == 0
			if !allowed {
				image = fmt.Sprintf("r.example/%d@%s", i, someDigest)
			}
			q := created(edit(pod(image), func(p *corev1.Pod) { p.Spec.NodeName = strings.Repeat("n", i*1000) }))
			resp, err := http.Post(srv.URL+ValidatePath, "application/json", bytes.NewReader(bodyOf(t, q)))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if got := bytes.Contains(text, []byte(`"allowed":true`)); got != allowed || !allowed && !bytes.Contains(text, []byte(image)) {
				t.Errorf("%d: %s", i, text)
			}
		})
	}
	wg.Wait()
}

func TestTheLogSaysWhatWasAskedAndNoObject(t *testing.T) {
	var log strings.Builder
	s := server(newDesk())
	s.Log = logTo(&log)
	p := edit(pod(pinnedOf(unsigned)), func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PASSWORD", Value: "hunter2"}} })
	q := created(p)
	q.UserInfo.Username = "jane"
	ask(t, s, ValidatePath, q)
	for _, want := range []string{"webhook=validate", "outcome=denied", "review=" + reviewID, "kind=Pod", "namespace=shop", "name=app", "user=jane", "code=unsigned", "policy=sha256:"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Error(log.String())
	}
	// A value of a member that breaks a rule is not told either.
	log.Reset()
	body := strings.Replace(string(bodyOf(t, q)), `"hunter2"`, `"hunter2","value":"hunter2"`, 1)
	w := send(s.Handler(), ValidatePath, []byte(body))
	if strings.Contains(log.String()+w.Body.String(), "hunter2") {
		t.Error(log.String(), w.Body)
	}
}
