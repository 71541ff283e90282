package awssigner

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sigv4"
	"github.com/shuin/shuin/signing"
)

const goodSign = `{"profileName":"build","payloadFormat":"f","payload":"QQ=="}`

// signAt is where SignPayload is.
const signAt = "/signing-jobs/with-payload"

func wantRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, code, says string) {
	t.Helper()
	got := readRefusal(t, w.Body.Bytes())
	if w.Code != status || got.Code != code || w.Header().Get("x-amzn-ErrorType") != code || !strings.Contains(got.Message, says) {
		t.Errorf("got %d %+v, want %d %s: %s", w.Code, got, status, code, says)
	}
	if len(w.Header().Get("x-amzn-RequestId")) != 36 {
		t.Error("no request id")
	}
}

func TestRequestsThatAreNotAuthenticAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *bench) *http.Request
		status int
		code   string
		says   string
	}{
		{"no signature", func(b *bench) *http.Request { return b.unsigned("GET", "/signing-jobs", "") }, 403, sigv4.CodeMissing, "Missing Authentication Token"},
		{"a presigned address", func(b *bench) *http.Request {
			return b.unsigned("GET", "/signing-jobs?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00", "")
		}, 403, sigv4.CodeIncomplete, "presigned"},
		{"a wrong secret", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, "wrong", testRegion, serviceName, testNow)
			return r
		}, 403, sigv4.CodeInvalid, "does not match"},
		{"another body than was signed", func(b *bench) *http.Request {
			return again(b.signedRequest("POST", signAt, goodSign), strings.Replace(goodSign, "QQ==", "Qg==", 1))
		}, 403, sigv4.CodeInvalid, "does not match"},
		{"an unknown key", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", "AKIAUNKNOWNUNKNOWN22", testSecret, testRegion, serviceName, testNow)
			return r
		}, 403, codeUnknownClient, "The security token included in the request is invalid: this signer knows no access key 'AKIAUNKNOWNUNKNOWN22'"},
		{"the secret in the place of the key id", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", strings.ReplaceAll(testSecret, "/", ""), testKey, testRegion, serviceName, testNow)
			return r
		}, 403, codeUnknownClient, "what stands in the place of the access key id is none of this signer's"},
		{"a stale date", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, testSecret, testRegion, serviceName, testNow.Add(-limits.APIClockSkew-time.Second))
			return r
		}, 403, sigv4.CodeInvalid, "Signature expired: 20261122T042459Z is now earlier than 20261122T042500Z (20261122T043000Z - 5 min.). The client's clock is 5m1s behind"},
		{"a date to come", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, testSecret, testRegion, serviceName, testNow.Add(limits.APIClockSkew+time.Second))
			return r
		}, 403, sigv4.CodeInvalid, "Signature not yet current: 20261122T043501Z is still later than 20261122T043500Z (20261122T043000Z + 5 min.). The client's clock is 5m1s ahead"},
		{"another region", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, testSecret, "eu-west-1", serviceName, testNow)
			return r
		}, 403, sigv4.CodeInvalid, "Credential should be scoped to a valid region, not 'eu-west-1'. This signer's region is 'us-west-2'."},
		{"no region", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, testSecret, "", serviceName, testNow)
			return r
		}, 403, sigv4.CodeInvalid, "names none"},
		{"another service", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, testSecret, testRegion, "s3", testNow)
			return r
		}, 403, sigv4.CodeInvalid, "Credential should be scoped to correct service: 'signer', not 's3'."},
		{"something in the place of the service that is none", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, testSecret, testRegion, "wJalrXUtnFEMI", testNow)
			return r
		}, 403, sigv4.CodeInvalid, "Credential should be scoped to correct service: 'signer'."},
		{"something in the place of the region that is none", func(b *bench) *http.Request {
			r := b.unsigned("GET", "/signing-jobs", "")
			b.signAs(r, "", testKey, testSecret, "wJalrXUtnFEMI", serviceName, testNow)
			return r
		}, 403, sigv4.CodeInvalid, "Credential should be scoped to a valid region. This signer's"},
		{"a foreign host, signed", func(b *bench) *http.Request {
			return b.signedRequest("GET", "http://signer.us-west-2.amazonaws.com/signing-jobs", "")
		}, 403, sigv4.CodeInvalid, "signer.example:18080, verification.signer.example:18080, data-signer.example:18080"},
		{"our host on another port", func(b *bench) *http.Request {
			return b.signedRequest("GET", "http://signer.example:9/signing-jobs", "")
		}, 403, sigv4.CodeInvalid, "'signer.example:9'"},
		{"UNSIGNED-PAYLOAD", func(b *bench) *http.Request {
			return b.signedRequest("POST", signAt, goodSign, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		}, 403, sigv4.CodeInvalid, "UNSIGNED-PAYLOAD"},
		{"a session token", func(b *bench) *http.Request {
			return b.signedRequest("GET", "/signing-jobs", "", "X-Amz-Security-Token", "left-over")
		}, 403, codeUnknownClient, "Unset AWS_SESSION_TOKEN"},
		{"a body longer than the limit", func(b *bench) *http.Request {
			return b.signedRequest("POST", signAt, strings.Repeat(" ", limits.APIBodyBytes+1))
		}, 413, "RequestEntityTooLargeException", "longer than 131072 bytes"},
		{"a body longer than the limit, of unknown length", func(b *bench) *http.Request {
			body := strings.Repeat(" ", limits.APIBodyBytes+1)
			r := b.unsigned("POST", signAt, body)
			r.ContentLength = -1
			b.sign(r, body)
			return r
		}, 413, "RequestEntityTooLargeException", "longer than 131072 bytes"},
		{"headers longer than the limit", func(b *bench) *http.Request {
			return b.signedRequest("GET", "/signing-jobs", "", "X-Padding", strings.Repeat("x", limits.APIHeaderBytes))
		}, 431, "RequestHeaderFieldsTooLargeException", "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			wantRefusal(t, b.send(c.change(b)), c.status, c.code, c.says)
			if b.fake.calls != 0 {
				t.Error("the service was asked")
			}
			if log := b.log.String(); !strings.Contains(log, `"msg":"api request"`) || !strings.Contains(log, c.code) {
				t.Errorf("not logged: %s", log)
			}
		})
	}
}

func TestTheThreeNamesAreServed(t *testing.T) {
	b := newBench(t)
	if got := strings.Join(b.server.Hosts(), " "); got != "signer.example:18080 verification.signer.example:18080 data-signer.example:18080" {
		t.Errorf("hosts %s", got)
	}
	for _, h := range append(b.server.Hosts(), "SIGNER.example:18080") {
		if w := b.call("GET", "http://"+h+"/signing-jobs", ""); w.Code != 200 {
			t.Errorf("%s: %d %s", h, w.Code, w.Body)
		}
	}
	b = newBench(t, func(s *Server) { s.Host = "signer.example" })
	for _, h := range []string{"signer.example", "signer.example:443", "data-signer.example"} {
		r := b.unsigned("GET", "http://"+h+"/signing-jobs", "")
		r.URL.Host = "" // so that the SDK's signer leaves the port alone
		b.sign(r, "")
		if w := b.send(r); w.Code != 200 {
			t.Errorf("%s: %d %s", h, w.Code, w.Body)
		}
	}
	for _, h := range []string{"signer.example:9", "signer.example:4430", "signer.example:"} {
		r := b.unsigned("GET", "http://signer.example/signing-jobs", "")
		r.URL.Host, r.Host = "", h
		b.sign(r, "")
		wantRefusal(t, b.send(r), 403, sigv4.CodeInvalid, "The request is for the host")
	}
}

func TestAnEmptyRegionIsAcceptedWhereAsked(t *testing.T) {
	b := newBench(t, func(s *Server) { s.EmptyRegion = true })
	r := b.unsigned("GET", "/signing-jobs", "")
	b.signAs(r, "", testKey, testSecret, "", serviceName, testNow)
	if w := b.send(r); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAStoreThatIsAwayIsNotAnUnknownKey(t *testing.T) {
	b := newBench(t)
	b.fake.auth = &signing.Error{Fault: signing.FaultUnavailable, Message: "the signer's store cannot be used at the moment"}
	wantRefusal(t, b.call("GET", "/signing-jobs", ""), 503, codeInternal, "store")
}

func TestAReplayIsRefused(t *testing.T) {
	const put = "/signing-profiles/build"
	const body = `{"platformId":"p"}`
	replayed := func(t *testing.T, w *httptest.ResponseRecorder) {
		t.Helper()
		wantRefusal(t, w, 429, codeThrottled, "signature was used already")
		if w.Header().Get("Retry-After") != "1" {
			t.Error("no Retry-After")
		}
	}
	t.Run("a change, at once and within the skew", func(t *testing.T) {
		b := newBench(t)
		r := b.signedRequest("PUT", put, body)
		if w := b.send(r); w.Code != 200 {
			t.Fatal(w.Body)
		}
		replayed(t, b.send(again(r, body)))
		b.pass(limits.APIClockSkew)
		replayed(t, b.send(again(r, body)))
		b.pass(time.Second)
		wantRefusal(t, b.send(again(r, body)), 403, sigv4.CodeInvalid, "Signature expired")
		if b.fake.calls != 1 {
			t.Errorf("the service was asked %d times", b.fake.calls)
		}
	})
	t.Run("signing: passed on for the same invocation, so that a lost answer is given again", func(t *testing.T) {
		b := newBench(t)
		r := b.signedRequest("POST", signAt, goodSign)
		for range 3 {
			if w := b.send(again(r, goodSign)); w.Code != 200 {
				t.Fatal(w.Body)
			}
		}
		if c := b.fake.caller; c.InvocationID == "" || len(c.BodySHA256) != 64 {
			t.Errorf("the service was told %+v", c)
		}
	})
	t.Run("signing: refused for another invocation, which need not be signed", func(t *testing.T) {
		b := newBench(t)
		r := b.unsigned("POST", signAt, goodSign, "Amz-Sdk-Invocation-Id", "")
		b.sign(r, goodSign)
		for _, id := range []string{"one", "two", ""} {
			c := again(r, goodSign)
			if id != "" {
				c.Header.Set("Amz-Sdk-Invocation-Id", id)
			}
			w := b.send(c)
			if id == "one" {
				if w.Code != 200 {
					t.Fatal(w.Body)
				}
				continue
			}
			replayed(t, w)
		}
	})
	t.Run("reading: borne for a second, as two like requests of one second look the same", func(t *testing.T) {
		b := newBench(t)
		r := b.unsigned("GET", put, "", "Amz-Sdk-Invocation-Id", "")
		b.sign(r, "")
		for range 2 {
			if w := b.send(again(r, "")); w.Code != 200 {
				t.Fatal(w.Body)
			}
		}
		b.pass(sameSecond + time.Millisecond)
		replayed(t, b.send(again(r, "")))
	})
	t.Run("from before a restart: refused where it would change something", func(t *testing.T) {
		b := newBench(t)
		change, read := b.signedRequest("PUT", put, body), b.signedRequest("GET", put, "")
		b.pass(time.Second)
		b.handler = b.server.Handler()
		wantRefusal(t, b.send(change), 429, codeThrottled, "before this signer started")
		if w := b.send(read); w.Code != 200 {
			t.Error(w.Body)
		}
	})
	t.Run("a clock that goes back brings nothing back", func(t *testing.T) {
		b := newBench(t)
		r := b.signedRequest("PUT", put, body)
		b.send(r)
		b.pass(2 * limits.APIClockSkew)
		b.call("PUT", put, body) // what is old is forgotten now
		b.pass(-2 * limits.APIClockSkew)
		wantRefusal(t, b.send(again(r, body)), 429, codeThrottled, "no longer remembers")
	})
	t.Run("a full memory refuses what it cannot remember, and empties", func(t *testing.T) {
		b := newBench(t)
		b.handler.(*door).replays.most = 4
		for range 2 {
			if w := b.call("PUT", put, body); w.Code != 200 {
				t.Fatal(w.Body)
			}
		}
		wantRefusal(t, b.call("PUT", put, body), 429, codeThrottled, "than this signer can tell from repeated ones")
		b.pass(limits.APIClockSkew + 2*time.Minute)
		if w := b.call("PUT", put, body); w.Code != 200 {
			t.Error(w.Body)
		}
	})
	t.Run("a request that was not authentic is not remembered", func(t *testing.T) {
		b := newBench(t)
		r := b.signedRequest("PUT", put, body)
		if w := b.send(again(r, body+" ")); w.Code != 403 {
			t.Fatal(w.Body)
		}
		if w := b.send(again(r, body)); w.Code != 200 {
			t.Error(w.Body)
		}
	})
}

func TestOfManyCopiesAtOnceOneIsLetThrough(t *testing.T) {
	b := newBench(t)
	const body = `{"platformId":"p"}`
	r := b.signedRequest("PUT", "/signing-profiles/build", body)
	var passed atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if w := b.send(again(r, body)); w.Code == 200 {
				passed.Add(1)
			} else if w.Code != 429 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	group.Wait()
	if passed.Load() != 1 || b.fake.calls != 1 {
		t.Errorf("%d passed, the service was asked %d times", passed.Load(), b.fake.calls)
	}
}

func TestAClientThatWentAwayIsNoErrorOfTheServer(t *testing.T) {
	b := newBench(t)
	b.fake.err = &signing.Error{Fault: signing.FaultUnavailable, Message: "the request ended"}
	ctx, cancel := context.WithCancel(context.Background())
	r := b.signedRequest("GET", "/signing-jobs", "").WithContext(ctx)
	cancel()
	b.send(r)
	if log := b.log.String(); !strings.Contains(log, `"level":"INFO"`) || !strings.Contains(log, `"clientGone":true`) {
		t.Errorf("log: %s", log)
	}
}

func TestAPrincipalAboveItsRateIsRefused(t *testing.T) {
	b := newBench(t, func(s *Server) { s.Rate, s.Burst = 2, 3 })
	for range 3 {
		if w := b.call("GET", "/signing-jobs", ""); w.Code != 200 {
			t.Fatal(w.Body)
		}
	}
	wantRefusal(t, b.call("GET", "/signing-jobs", ""), 429, codeThrottled, "Rate exceeded: a principal may make 2 requests per second, 3 at once.")
	b.pass(500 * time.Millisecond)
	if w := b.call("GET", "/signing-jobs", ""); w.Code != 200 {
		t.Error(w.Body)
	}
}

func TestRatesOfMorePrincipalsThanRememberedAreRefusedUntilOneRests(t *testing.T) {
	r := newRates(1, 1, 2)
	if !r.allow("a", testNow) || !r.allow("b", testNow) || r.allow("c", testNow) {
		t.Error("a third principal was let in")
	}
	if !r.allow("c", testNow.Add(time.Second)) || len(r.by) != 1 {
		t.Error("those at rest are not forgotten")
	}
}

func TestTooManyRequestsInFlightAreRefused(t *testing.T) {
	b := newBench(t)
	b.handler.(*door).slots = make(chan struct{}, 1)
	b.handler.(*door).slots <- struct{}{}
	wantRefusal(t, b.call("GET", "/signing-jobs", ""), 503, codeInternal, "in flight")
	<-b.handler.(*door).slots
	for range 2 {
		if w := b.call("GET", "/signing-jobs", ""); w.Code != 200 {
			t.Error(w.Body)
		}
	}
}

func TestAPanicIsAnInternalErrorAndNothingOfItLeaks(t *testing.T) {
	b := newBench(t)
	b.fake.panics = true
	w := b.call("POST", signAt, goodSign)
	wantRefusal(t, w, 500, codeInternal, "internal error")
	if log := b.log.String(); strings.Contains(w.Body.String()+log, testSecret) || !strings.Contains(log, "panic") || !strings.Contains(log, "fake_test.go") {
		t.Errorf("log: %s", log)
	}
	b.fake.panics = false
	if w := b.call("GET", "/signing-jobs", ""); w.Code != 200 {
		t.Error("the slot was not given back")
	}
}

func TestErrorsThatAreNotTheServicesSayNothing(t *testing.T) {
	b := newBench(t)
	b.fake.err = fmt.Errorf("dial %s", testSecret)
	w := b.call("GET", "/signing-jobs", "")
	wantRefusal(t, w, 500, codeInternal, internalText)
}

func TestLogsHaveWhoAndWhatAndNoSecrets(t *testing.T) {
	b := newBench(t)
	r := b.signedRequest("POST", signAt, goodSign+"  ", "X-Amz-Security-Token", "")
	auth := r.Header.Get("Authorization")
	w := b.send(r)
	b.send(b.signedRequest("POST", signAt, `{"payload":"c2VjcmV0LXBheWxvYWQ`, "X-Amz-Security-Token", ""))
	b.send(b.signedRequest("GET", "/signing-jobs?nextToken=secret-query", "", "X-Amz-Security-Token", "secret-token"))
	log := b.log.String()
	for _, want := range []string{w.Header().Get("X-Amzn-RequestId"), `"operation":"SignPayload"`, `"principal":"arn:aws:iam::111122223333:user/ci"`, `"accessKeyId":"` + testKey, `"status":200`, `"path":"/signing-jobs/with-payload"`} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	for _, secret := range []string{auth, auth[len(auth)-64:], testSecret, "QQ==", "c2VjcmV0", "secret-query", "secret-token"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %s: %s", secret, log)
		}
	}
	if n := strings.Count(log, `"msg":"api request"`); n != 3 {
		t.Errorf("%d lines", n)
	}
}

// What a client has put in the wrong place may be its secret.
func TestASecretInTheWrongPlaceIsNeitherEchoedNorLogged(t *testing.T) {
	b := newBench(t)
	const plain = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab" // a secret without a slash
	scope := "/" + testNow.Format("20060102") + "/" + testRegion + "/signer/aws4_request"
	rest := ", SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("a", 64)
	said := ""
	for _, auth := range []string{
		"AWS4-HMAC-SHA256 Credential=" + plain + scope + rest,
		"AWS4-HMAC-SHA256 Credential=" + testSecret + scope + rest,
		"AWS4-HMAC-SHA256 Credential=" + plain + rest,
		"AWS4-HMAC-SHA256 " + plain + "=" + plain,
		"AWS4-HMAC-SHA256 " + plain,
		"AWS4-HMAC-SHA256 Credential=" + testKey + strings.Replace(scope, "signer", plain, 1) + rest,
		"AWS4-HMAC-SHA256 Credential=" + testKey + strings.Replace(scope, testRegion, plain, 1) + rest,
		"Bearer " + plain, plain,
	} {
		r := b.unsigned("GET", "/signing-profiles", "")
		r.Header.Set("X-Amz-Date", sigv4.TimeString(testNow))
		r.Header.Set("Authorization", auth)
		w := b.send(r)
		if w.Code != 403 {
			t.Errorf("%s: %d", auth, w.Code)
		}
		said += w.Body.String()
	}
	if all := said + b.log.String(); strings.Contains(all, plain[:8]) {
		t.Errorf("it shows in %s", all)
	}
}

func TestAnInvocationIDIsBounded(t *testing.T) {
	for _, c := range []struct{ name, id, want string }{
		{"as long as it may be", strings.Repeat("i", limits.APIInvocationID), strings.Repeat("i", limits.APIInvocationID)},
		{"a byte longer", strings.Repeat("i", limits.APIInvocationID+1), ""},
		{"with a space", "a b", ""},
	} {
		b := newBench(t)
		if w := b.call("POST", signAt, goodSign, "Amz-Sdk-Invocation-Id", c.id); w.Code != 200 {
			t.Fatal(w.Body)
		}
		if got := b.fake.caller.InvocationID; got != c.want {
			t.Errorf("%s: the service was told %q", c.name, got)
		}
	}
}

// Who knows an access key id, which is no secret, can make the server wait for
// bodies; those whose body is here do not wait for them.
func TestForgedRequestsWithoutTheirBodiesKeepNobodyOut(t *testing.T) {
	b := newBench(t)
	d := b.handler.(*door)
	d.slots, d.bodies = make(chan struct{}, 1), newBodies(3, 2)
	arrived := make(chan struct{})
	send := func(from string) (code func() int, finish func()) {
		body, far := net.Pipe()
		r := b.unsigned("POST", signAt, goodSign)
		b.signAs(r, goodSign, testKey, "forged", testRegion, serviceName, testNow)
		r.Body, r.RemoteAddr = announced{body, arrived}, from
		result := make(chan int, 1)
		go func() { result <- b.send(r).Code }()
		return func() int { return <-result }, func() { far.Close() }
	}
	var codes []func() int
	var ends []func()
	for _, from := range []string{"192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1"} {
		code, finish := send(from)
		<-arrived // its body is awaited
		codes, ends = append(codes, code), append(ends, finish)
	}
	for _, from := range []string{"192.0.2.1:3", "198.51.100.1:1"} { // its share, and all places, are taken
		code, finish := send(from)
		if got := code(); got != 503 {
			t.Errorf("%s: %d", from, got)
		}
		finish()
	}
	if w := b.call("GET", "/signing-profiles", ""); w.Code != 200 {
		t.Errorf("a request without a body: %d %s", w.Code, w.Body)
	}
	ends[0]()
	codes[0]()
	if w := b.call("POST", signAt, goodSign); w.Code != 200 {
		t.Errorf("a request with its body: %d %s", w.Code, w.Body)
	}
	for i := 1; i < len(ends); i++ {
		ends[i]()
		codes[i]()
	}
	if d.bodies.count != 0 || len(d.bodies.by) != 0 {
		t.Errorf("places left taken: %+v", d.bodies.by)
	}
}

// announced says when it is read first.
type announced struct {
	io.ReadCloser
	arrived chan<- struct{}
}

func (a announced) Read(p []byte) (int, error) {
	select {
	case a.arrived <- struct{}{}:
	case <-time.After(5 * time.Second):
	}
	return a.ReadCloser.Read(p)
}

// A real connection: the body's time is the connection's.
func TestASlowBodyIsEnded(t *testing.T) {
	b := newBench(t)
	d := b.handler.(*door)
	short := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.ServeHTTP(hurried{w}, r)
	})
	srv := httptest.NewServer(short)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := b.signedRequest("POST", signAt, goodSign)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", signAt, testHost, len(goodSign))
	for _, h := range []string{"Authorization", "X-Amz-Date", "Content-Type", "Amz-Sdk-Invocation-Id"} {
		fmt.Fprintf(conn, "%s: %s\r\n", h, r.Header.Get(h))
	}
	fmt.Fprint(conn, "\r\n{")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if got := readRefusal(t, body); res.StatusCode != 408 || got.Code != "RequestTimeoutException" || !res.Close {
		t.Errorf("%d %+v close %v", res.StatusCode, got, res.Close)
	}
	if b.fake.calls != 0 {
		t.Error("the service was asked")
	}
}

// hurried shortens the deadline that the door sets, to keep the test short.
type hurried struct{ http.ResponseWriter }

func (h hurried) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		t = time.Now().Add(50 * time.Millisecond)
	}
	return http.NewResponseController(h.ResponseWriter).SetReadDeadline(t)
}

// While an operation takes longer than a body may, its caller is not cut off.
func TestTheBodysDeadlineDoesNotEndTheOperation(t *testing.T) {
	for _, c := range []struct{ name, method, target, body string }{
		{"with a body", "POST", signAt, goodSign},
		{"without one", "GET", "/signing-jobs", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.fake.wait = make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				go func() {
					defer close(b.fake.wait)
					select {
					case <-r.Context().Done():
						t.Error("the request was cancelled")
					case <-time.After(200 * time.Millisecond):
					}
				}()
				b.handler.ServeHTTP(hurried{w}, r)
				<-b.fake.wait
			}))
			defer srv.Close()
			r := b.signedRequest(c.method, c.target, c.body)
			r.RequestURI, r.URL.Host = "", srv.Listener.Addr().String()
			r.Host = testHost
			res, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("status %d", res.StatusCode)
			}
		})
	}
}
