package webstate_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/internal/webstate"
	"github.com/shuin/shuin/watch"
	"github.com/shuin/shuin/watch/storetest"
)

const (
	tokenOne   = "one-token-0123456789-0123456789-abcdef"
	tokenNew   = "new-token-0123456789-0123456789-abcdef"
	tokenTwo   = "two-token-0123456789-0123456789-abcdef"
	tokenCI    = "ci-token-0123456789-0123456789-abcdefg"
	tokenSpace = "space-token-0123456789-0123456789-abcd"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// server is a Shuin server's gate that keeps findings and what watchers decided.
type server struct {
	*httptest.Server
	api   *gateapi.Server
	store *sqlstore.Findings
	// before is asked before a request is served: true, it was answered.
	before func(w http.ResponseWriter, r *http.Request) bool
	after  func(w http.ResponseWriter, r *http.Request) // once it is served, before its answer goes out
	asked  atomic.Int64
}

func newServer(t testing.TB) *server {
	t.Helper()
	store, err := sqlstore.OpenFindings(t.Context(), sqlstore.FindingsOptions{Path: filepath.Join(t.TempDir(), "findings.db")})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{store: store}
	s.api = &gateapi.Server{Now: time.Now, Rate: 1e6, Burst: 1e6, Findings: store,
		Watching: func(principal, once string, now time.Time) watch.Store { return store.State(principal).Once(once, now) }}
	s.use(t, tokenOne)
	handler := s.api.Handler()
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.before != nil && s.before(w, r) {
			return
		}
		if s.after == nil {
			handler.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		s.after(w, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	t.Cleanup(func() {
		s.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// use lets principals ask: "one" with this token.
func (s *server) use(t testing.TB, token string) {
	t.Helper()
	hash := func(token string) [][32]byte {
		sum, err := gateapi.HashToken(token)
		if err != nil {
			t.Fatal(err)
		}
		return [][32]byte{sum}
	}
	p, err := gateapi.NewPrincipals([]gateapi.Principal{
		{Name: "one", Tokens: hash(token), Clusters: []string{"prod"}, Reports: true},
		{Name: "two", Tokens: hash(tokenTwo), Anywhere: true, Reports: true},
		{Name: "ci", Tokens: hash(tokenCI), Anywhere: true},
		{Name: "space", Tokens: hash(tokenSpace), Namespaces: []string{"shop"}, Reports: true},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.api.Use(p)
}

func (s *server) watcher(token string) *webstate.Store {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	n := atomic.Int64{}
	return &webstate.Store{URL: s.URL, Roots: roots, UserAgent: "test", Token: func(context.Context) (string, error) { return token, nil },
		Random: func() string { return fmt.Sprintf("%p-%d", &n, n.Add(1)) }, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func TestAServerIsAStore(t *testing.T) {
	s := newServer(t)
	storetest.Run(t, func(*testing.T) watch.Store { return s.watcher(tokenOne) })
}

// TestTwoFunctionsShareAStore: every other call comes from another.
func TestTwoFunctionsShareAStore(t *testing.T) {
	s := newServer(t)
	storetest.Run(t, func(*testing.T) watch.Store {
		return &alternating{two: [2]watch.Store{s.watcher(tokenOne), s.watcher(tokenOne)}}
	})
}

// TestEveryAnswerGetsLostOnce: the server did what it was asked, and the
// connection broke before it could say so.
func TestEveryAnswerGetsLostOnce(t *testing.T) {
	s := newServer(t)
	var seen sync.Map
	s.after = func(_ http.ResponseWriter, r *http.Request) {
		if _, again := seen.LoadOrStore(r.Header.Get("Idempotency-Key"), true); !again {
			panic(http.ErrAbortHandler)
		}
	}
	storetest.Run(t, func(*testing.T) watch.Store { return s.watcher(tokenTwo) })
}

type alternating struct {
	n   atomic.Int64
	two [2]watch.Store
}

func (a *alternating) next() watch.Store { return a.two[a.n.Add(1)%2] }
func (a *alternating) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	return a.next().Begin(ctx, c, now, lease)
}
func (a *alternating) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	return a.next().Done(ctx, c, token, now)
}
func (a *alternating) Release(ctx context.Context, c watch.Claim, token string) error {
	return a.next().Release(ctx, c, token)
}
func (a *alternating) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	return a.next().Tell(ctx, t, now, remind, lease)
}
func (a *alternating) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	return a.next().Told(ctx, t, now)
}
func (a *alternating) Untell(ctx context.Context, t watch.Telling) error {
	return a.next().Untell(ctx, t)
}
func (a *alternating) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	return a.next().Tellings(ctx, id)
}
func (a *alternating) Forget(ctx context.Context, t watch.Telling) (bool, error) {
	return a.next().Forget(ctx, t)
}
func (a *alternating) Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error) {
	return a.next().Take(ctx, count, most, now, expires)
}
func (a *alternating) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	return a.next().InUse(ctx, name, value, now)
}
func (a *alternating) ReactionsOff(ctx context.Context) (bool, error) {
	return a.next().ReactionsOff(ctx)
}

var (
	aClaim   = watch.Claim{Key: "task/state/arn:aws:ecs:eu-west-1:111122223333:task/prod/0123", Version: 4}
	aTelling = watch.Telling{ID: strings.Repeat("a", 32), State: digest.FromString("s"), To: "server", Image: digest.FromString("i"), Seen: t0}
)

// calls are all of a store's, once each.
func calls(ctx context.Context, s watch.Store) map[string]func() error {
	return map[string]func() error{
		"Begin":   func() error { _, err := s.Begin(ctx, aClaim, t0, time.Minute); return err },
		"Done":    func() error { return s.Done(ctx, aClaim, "token", t0) },
		"Release": func() error { return s.Release(ctx, aClaim, "token") },
		"Tell": func() error {
			turn, err := s.Tell(ctx, aTelling, t0, 0, time.Minute)
			if err != nil && turn != 0 {
				return fmt.Errorf("a turn beside %w", err)
			}
			return err
		},
		"Told":     func() error { return s.Told(ctx, aTelling, t0) },
		"Untell":   func() error { return s.Untell(ctx, aTelling) },
		"Tellings": func() error { _, err := s.Tellings(ctx, aTelling.ID); return err },
		"Forget": func() error {
			was, err := s.Forget(ctx, aTelling)
			if err != nil && was {
				return errors.New("forgotten beside an error")
			}
			return err
		},
		"Take": func() error {
			took, err := s.Take(ctx, "n", 5, t0, t0)
			if err != nil && took {
				return errors.New("taken beside an error")
			}
			return err
		},
		"InUse":        func() error { _, err := s.InUse(ctx, "policy", "v", t0); return err },
		"ReactionsOff": func() error { _, err := s.ReactionsOff(ctx); return err },
	}
}

// TestWhatIsNoAnswerIsAnError: in every call, never one of the store's named
// errors, and never good news.
func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token was sent elsewhere: %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	status := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
			return true
		}
	}
	answer := func(mediaType, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", mediaType)
			fmt.Fprint(w, body)
			return true
		}
	}
	const ours = "application/vnd.shuin.watch.v1+json"
	for _, c := range []struct {
		name   string
		before func(http.ResponseWriter, *http.Request) bool
		code   shuin.Code
		tries  int64
	}{
		{"400", status(400, `{"code":"invalid-input","message":"x"}`), shuin.CodeInvalidInput, 1},
		{"401", status(401, `{"code":"unauthenticated","message":"x"}`), shuin.CodeUnauthorized, 1},
		{"403", status(403, `{"code":"right-missing","message":"x"}`), shuin.CodeForbidden, 1},
		{"404", status(404, `{"code":"no-such-route","message":"x"}`), shuin.CodeNotFound, 1},
		{"405", status(405, ``), shuin.CodeNotFound, 1},
		{"409 of somebody else", status(409, `{"code":"conflict","message":"x"}`), shuin.CodeInvalidInput, 1},
		{"409 without a body", status(409, ``), shuin.CodeInvalidInput, 1},
		{"429", status(429, `{"code":"too-many-requests","message":"x"}`), shuin.CodeThrottled, limits.StateCallTries},
		{"500", status(500, `{"code":"claim-busy","message":"x"}`), shuin.CodeUnavailable, limits.StateCallTries},
		{"503", status(503, `{"code":"store-unavailable","message":"x"}`), shuin.CodeUnavailable, limits.StateCallTries},
		{"507", status(507, `{"code":"state-full","message":"x"}`), shuin.CodeLimit, 1},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return true
		}, shuin.CodeInvalidInput, 1},
		{"a page of a proxy", answer("text/html", "<html>sign in</html>"), shuin.CodeMalformed, 1},
		{"JSON of somebody else", answer("application/json", `{"ok":true,"token":"x","turn":"first","took":true,"forgot":true,"off":false,"tellings":[]}`), shuin.CodeMalformed, 1},
		{"an answer that says nothing", answer(ours, "null"), shuin.CodeMalformed, 1},
		{"another type", answer(ours, `{"ok":"yes","token":1,"turn":2,"took":"a","forgot":"a","off":"a","tellings":{},"since":1}`), shuin.CodeMalformed, 1},
		{"a member twice", answer(ours, `{"ok":true,"ok":true,"token":"a","token":"b","turn":"first","turn":"silent","took":true,"took":false,"forgot":true,"forgot":true,"off":true,"off":false,"tellings":[],"tellings":[],"since":null,"since":null}`), shuin.CodeMalformed, 1},
		{"one that is too long", answer(ours, `{"token":"`+strings.Repeat("x", limits.StateAnswer)+`"}`), shuin.CodeLimit, 1},
		{"one that is cut off", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", ours)
			w.Header().Set("Content-Length", "99")
			fmt.Fprint(w, `{"ok":true}`)
			return true
		}, shuin.CodeUnavailable, limits.StateCallTries},
		{"a connection that breaks", func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, shuin.CodeUnavailable, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.before = c.before
			for name, call := range calls(t.Context(), s.watcher(tokenOne)) {
				s.asked.Store(0)
				err := call()
				want, tries := c.code, c.tries
				if name == "InUse" && c.name == "an answer that says nothing" {
					want = "" // null: there never was another
				}
				if shuin.CodeOf(err) != want && (want != "" || err != nil) {
					t.Errorf("%s: code %s (%v), wanted %s", name, shuin.CodeOf(err), err, want)
				}
				if tries != 0 && s.asked.Load() != tries {
					t.Errorf("%s: sent %d times, wanted %d", name, s.asked.Load(), tries)
				}
				for _, other := range []error{watch.ErrDuplicate, watch.ErrOlder, watch.ErrBusy, watch.ErrLost} {
					if errors.Is(err, other) {
						t.Errorf("%s: taken for %v", name, other)
					}
				}
				if err != nil && (strings.Contains(err.Error(), tokenOne) || strings.Contains(err.Error(), "sign in")) {
					t.Errorf("%s: the error shows too much: %v", name, err)
				}
			}
		})
	}
}

func TestWhoMayKeepState(t *testing.T) {
	s := newServer(t)
	for token, want := range map[string]shuin.Code{
		"nobodys-token-0123456789-0123456789-ab": shuin.CodeUnauthorized, tokenCI: shuin.CodeForbidden, tokenSpace: shuin.CodeForbidden,
	} {
		for name, call := range calls(t.Context(), s.watcher(token)) {
			if err := call(); shuin.CodeOf(err) != want {
				t.Errorf("%s: %v, wanted %s", name, err, want)
			}
		}
	}
	// What one decided and told is not another's, wherever both may ask.
	one, two := s.watcher(tokenOne), s.watcher(tokenTwo)
	token, err := one.Begin(t.Context(), aClaim, t0, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Done(t.Context(), aClaim, token, t0); !errors.Is(err, watch.ErrLost) {
		t.Errorf("another ended the claim: %v", err)
	}
	if _, err := two.Begin(t.Context(), aClaim, t0, time.Minute); err != nil {
		t.Errorf("another is told that it is busy: %v", err)
	}
	if turn, err := one.Tell(t.Context(), aTelling, t0, 0, time.Minute); turn != watch.First || err != nil {
		t.Fatal(turn, err)
	}
	if err := one.Told(t.Context(), aTelling, t0); err != nil {
		t.Fatal(err)
	}
	if was, err := two.Forget(t.Context(), aTelling); was || err != nil {
		t.Errorf("another forgot it: %t, %v", was, err)
	}
	if turn, err := two.Tell(t.Context(), aTelling, t0, 0, time.Minute); turn != watch.First || err != nil {
		t.Errorf("another has told it: %d, %v", turn, err)
	}
	if all, err := one.Tellings(t.Context(), aTelling.ID); len(all) != 1 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}

// TestATokenThatWasReplacedIsReadAgain: at once, and the call is not lost.
func TestATokenThatWasReplacedIsReadAgain(t *testing.T) {
	s := newServer(t)
	w := s.watcher(tokenOne)
	cached, kept := tokenOne, tokenOne // as a secret that is asked for now and then
	forgotten := 0
	w.Token = func(context.Context) (string, error) { return cached, nil }
	w.Refused = func() { forgotten++; cached = kept }
	if _, err := w.Begin(t.Context(), aClaim, t0, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.use(t, tokenNew)
	if _, err := w.ReactionsOff(t.Context()); shuin.CodeOf(err) != shuin.CodeUnauthorized || forgotten != 1 {
		t.Errorf("with the old token: %v, told %d times", err, forgotten)
	}
	kept = tokenNew
	s.asked.Store(0)
	if _, err := w.Begin(t.Context(), aClaim, t0, time.Minute); !errors.Is(err, watch.ErrBusy) || forgotten != 2 || s.asked.Load() != 2 {
		t.Errorf("with the new one: %v, told %d times, sent %d times", err, forgotten, s.asked.Load())
	}
	s.use(t, tokenOne)
	kept = "another-token-0123456789-0123456789-abc"
	s.asked.Store(0)
	if _, err := w.ReactionsOff(t.Context()); shuin.CodeOf(err) != shuin.CodeUnauthorized || s.asked.Load() != 2 {
		t.Errorf("with two wrong ones: %v, sent %d times", err, s.asked.Load())
	}
	w.Token = func(context.Context) (string, error) {
		return "", &shuin.Error{Code: shuin.CodeForbidden, Message: "read secret shuin/token"}
	}
	s.asked.Store(0)
	if err := w.Told(t.Context(), aTelling, t0); shuin.CodeOf(err) != shuin.CodeForbidden || s.asked.Load() != 0 {
		t.Errorf("without a token: %v, sent %d times", err, s.asked.Load())
	}
}

func TestNobodyAnswers(t *testing.T) {
	s := newServer(t)
	w := s.watcher(tokenOne)
	s.Close()
	for name, call := range calls(t.Context(), w) {
		if err := call(); shuin.CodeOf(err) != shuin.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(ctx, w) {
		if err := call(); shuin.CodeOf(err) != shuin.CodeDeadline {
			t.Errorf("%s, after its time: %v", name, err)
		}
	}
	untrusted := newServer(t)
	w = untrusted.watcher(tokenOne)
	w.Roots = x509.NewCertPool()
	if _, err := w.Begin(t.Context(), aClaim, t0, time.Minute); shuin.CodeOf(err) != shuin.CodeUnavailable || untrusted.asked.Load() != 0 {
		t.Errorf("a server of an unknown CA: %v", err)
	}
	for _, address := range []string{"http://shuin.example.com", "https://u:p@shuin.example.com", "https://shuin.example.com?x=y", "https://shuin.example.com#x", "ftp://shuin.example.com", "shuin.example.com", "https://", "https://%", ""} {
		w := s.watcher(tokenOne)
		w.URL = address
		if err := w.Check(); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", address, err)
		}
		if err := w.Untell(t.Context(), aTelling); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestAStoreThatFailsIsNotBusy: 503 from the server, and then it is back.
func TestAStoreThatFailsIsNotBusy(t *testing.T) {
	s := newServer(t)
	w := s.watcher(tokenOne)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(t.Context(), w) {
		if err := call(); shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), "store-unavailable") {
			t.Errorf("%s: %v", name, err)
		}
	}
	back := newServer(t)
	n := 0
	back.before = func(rw http.ResponseWriter, _ *http.Request) bool {
		if n++; n < limits.StateCallTries {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	if token, err := back.watcher(tokenOne).Begin(t.Context(), aClaim, t0, time.Minute); token == "" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
}

// FuzzAnswer: whatever is answered, a call gives an error or what was said, and
// does not panic.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"ok":true}`, `{"token":"x"}`, `{"turn":"first"}`, `{"took":true}`, `{"forgot":false}`, `{"off":true}`, `{"since":null}`, `{"since":"2026-03-01T12:00:00Z"}`,
		`{"tellings":[{"state":"sha256:a","to":"b","image":"","seen":"2026-03-01T12:00:00Z"}]}`, `{"code":"claim-busy","message":"x"}`, `null`, `[`, ``} {
		f.Add(200, []byte(seed))
		f.Add(409, []byte(seed))
	}
	status, body := 200, []byte(nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.shuin.watch.v1+json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(server.Close)
	// One for all inputs, as for all of a process: each keeps its connections.
	w := &webstate.Store{URL: server.URL, Random: func() string { return "x" }, Token: func(context.Context) (string, error) { return tokenOne, nil },
		Wait: func(context.Context, time.Duration) error { return errors.New("no more") }}
	f.Fuzz(func(t *testing.T, code int, data []byte) {
		if code < 200 || code > 599 || code == 204 || code == 304 || len(data) > 1<<16 {
			return
		}
		status, body = code, data
		for name, call := range calls(t.Context(), w) {
			if err := call(); err == nil && (code != 200 || !json.Valid(data)) {
				t.Errorf("%s: %d %q is taken for an answer", name, code, data)
			}
		}
	})
}

// BenchmarkDecide is what an event of a task that is admitted asks of the
// server, one after the other and by eight at a time.
func BenchmarkDecide(b *testing.B) {
	s := newServer(b)
	var n atomic.Int64
	once := func(b *testing.B, w *webstate.Store) {
		c := watch.Claim{Key: fmt.Sprint("task/state/", n.Add(1)), Version: 1}
		token, err := w.Begin(b.Context(), c, t0, time.Minute)
		if err == nil {
			err = w.Done(b.Context(), c, token, t0)
		}
		if err != nil {
			b.Error(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		w := s.watcher(tokenOne)
		for b.Loop() {
			once(b, w)
		}
	})
	b.Run("eight", func(b *testing.B) {
		w := s.watcher(tokenOne)
		b.SetParallelism(8)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				once(b, w)
			}
		})
	})
}
