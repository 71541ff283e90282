package gateapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// watchWorld is a server whose principals' states are in memory. once tells of
// the names under which changes came.
func watchWorld(t testing.TB) (w *world, h http.Handler, once *[]string) {
	t.Helper()
	w, _, _ = findingsWorld(t)
	states, names := map[string]*watch.MemoryStore{}, &[]string{}
	w.Watching = func(principal, once string, now time.Time) watch.Store {
		if !now.Equal(w.now) {
			t.Errorf("the time is %s", now)
		}
		if states[principal] == nil {
			states[principal] = &watch.MemoryStore{}
		}
		*names = append(*names, once)
		return states[principal]
	}
	return w, w.Handler(), names
}

const (
	aKey     = `"key":"task/a","version":4`
	aNow     = `"now":"2026-03-01T12:00:00Z"`
	aFinding = `"id":"5d0c3f1e0d9b8a7f6e5d4c3b2a190807","state":"` + testDigest + `","to":"server"`
)

func TestAWatcherIsAnsweredAsTheDocumentSays(t *testing.T) {
	d := document(t)
	_, h, _ := watchWorld(t)
	var token string
	for _, c := range []struct {
		name, path, body, schema, want string
		status                         int
	}{
		{"a claim", "begin", "{" + aKey + "," + aNow + `,"lease":"1m"}`, "WatchBegun", "token", 200},
		{"a claim that is held", "begin", "{" + aKey + "," + aNow + `,"lease":"1m"}`, "Error", codeBusy, 409},
		{"another's claim", "done", "{" + aKey + "," + aNow + `,"token":"x"}`, "Error", codeLost, 409},
		{"it is decided", "done", "{" + aKey + "," + aNow + `,"token":"TOKEN"}`, "WatchDone", "true", 200},
		{"a claim that is over is released", "release", "{" + aKey + `,"token":"TOKEN"}`, "WatchDone", "true", 200},
		{"the same version", "begin", "{" + aKey + "," + aNow + `,"lease":"1m"}`, "Error", codeDuplicate, 409},
		{"an older version", "begin", `{"key":"task/a","version":-9223372036854775808,` + aNow + `,"lease":"1m"}`, "Error", codeOlder, 409},
		{"a turn", "tell", "{" + aFinding + "," + aNow + `,"remind":"0s","lease":"1m"}`, "WatchTurn", "first", 200},
		{"a turn that is taken", "tell", "{" + aFinding + "," + aNow + `,"remind":"0s","lease":"1m"}`, "WatchTurn", "silent", 200},
		{"told", "told", "{" + aFinding + "," + aNow + "}", "WatchDone", "true", 200},
		{"a reminder", "tell", "{" + aFinding + `,"image":"` + testDigest + `","now":"2026-03-02T12:00:00Z","remind":"24h","lease":"1m"}`, "WatchTurn", "again", 200},
		{"taken back", "untell", "{" + aFinding + "}", "WatchDone", "true", 200},
		{"what was told", "tellings?id=5d0c3f1e0d9b8a7f6e5d4c3b2a190807", "", "WatchTellings", testDigest, 200},
		{"seen since", "forget", "{" + aFinding + `,"seen":"2026-03-02T11:00:00Z"}`, "WatchForgot", "false", 200},
		{"forgotten", "forget", "{" + aFinding + `,"seen":"2026-03-02T12:00:00Z"}`, "WatchForgot", "true", 200},
		{"forgotten by another", "forget", "{" + aFinding + `,"seen":"2026-03-02T12:00:00Z"}`, "WatchForgot", "false", 200},
		{"nothing was told", "tellings?id=5d0c3f1e0d9b8a7f6e5d4c3b2a190807", "", "WatchTellings", "[]", 200},
		{"one more", "take", `{"count":"c","most":1,` + aNow + `,"expires":"2026-03-01T12:01:00Z"}`, "WatchTook", "true", 200},
		{"enough", "take", `{"count":"c","most":1,` + aNow + `,"expires":"2026-03-01T12:01:00Z"}`, "WatchTook", "false", 200},
		{"the first in use", "in-use", `{"name":"policy","value":"a",` + aNow + "}", "WatchSince", "null", 200},
		{"another in use", "in-use", `{"name":"policy","value":"b",` + aNow + "}", "WatchSince", "2026-03-01T12:00:00Z", 200},
		{"reactions", "reactions", "", "WatchReactions", "false", 200},
	} {
		r := post(watchPath+c.path, tokenWatcher, strings.ReplaceAll(c.body, "TOKEN", token))
		if c.body == "" {
			r = httptest.NewRequest(http.MethodGet, watchPath+c.path, nil)
			r.Header.Set("Authorization", "Bearer "+tokenWatcher)
		}
		a := do(t, h, r)
		if a.status != c.status || !strings.Contains(a.body, c.want) || c.status == 200 && a.header.Get("Content-Type") != mediaTypeWatch {
			t.Errorf("%s: %d %s %s", c.name, a.status, a.header.Get("Content-Type"), a.body)
		}
		conforms(t, d, c.schema, []byte(a.body))
		var got struct{ Token string }
		if json.Unmarshal([]byte(a.body), &got) == nil && got.Token != "" {
			token = got.Token
		}
	}
}

func TestWhatAWatcherMayNotSend(t *testing.T) {
	w, h, names := watchWorld(t)
	long := strings.Repeat("x", limits.WatchKeyBytes+1)
	for _, c := range []struct{ name, path, body, code, says string }{
		{"no JSON", "begin", "{", codeInvalid, "JSON"},
		{"an unknown member", "begin", "{" + aKey + `,"Now":1}`, codeInvalid, "Now"},
		{"a member twice", "begin", "{" + aKey + `,"key":"b"}`, codeInvalid, "twice"},
		{"no version", "begin", `{"key":"a",` + aNow + `,"lease":"1m"}`, codeInvalid, "version"},
		{"no whole version", "begin", `{"key":"a","version":1.5,` + aNow + `,"lease":"1m"}`, codeInvalid, "version"},
		{"no key", "begin", `{"version":1,` + aNow + `,"lease":"1m"}`, codeInvalid, "key"},
		{"a key that is too long", "begin", `{"key":"` + long + `","version":1,` + aNow + `,"lease":"1m"}`, codeLimit, "key"},
		{"a key with a space", "begin", `{"key":"a b","version":1,` + aNow + `,"lease":"1m"}`, codeInvalid, "key"},
		{"no lease", "begin", "{" + aKey + "," + aNow + "}", codeInvalid, "lease"},
		{"a lease of no time", "begin", "{" + aKey + "," + aNow + `,"lease":"0s"}`, codeInvalid, "lease"},
		{"a lease that never ends", "begin", "{" + aKey + "," + aNow + `,"lease":"25h"}`, codeInvalid, "lease"},
		{"a token where none is wanted", "begin", "{" + aKey + "," + aNow + `,"lease":"1m","token":"x"}`, codeInvalid, "token"},
		{"no time", "done", "{" + aKey + `,"token":"x"}`, codeInvalid, "now"},
		{"a year that cannot be", "done", "{" + aKey + `,"token":"x","now":"0001-01-01T00:00:00Z"}`, codeInvalid, "now"},
		{"no token", "release", "{" + aKey + "}", codeInvalid, "token"},
		{"an id that is none", "tell", `{"id":"../x","state":"` + testDigest + `","to":"a",` + aNow + `,"remind":"0s","lease":"1m"}`, codeInvalid, "id"},
		{"a state that is none", "untell", `{"id":"5d0c3f1e0d9b8a7f6e5d4c3b2a190807","state":"x","to":"a"}`, codeInvalid, "state"},
		{"an image that is none", "untell", "{" + aFinding + `,"image":"x"}`, codeInvalid, "image"},
		{"a notifier without a name", "forget", `{"id":"5d0c3f1e0d9b8a7f6e5d4c3b2a190807","state":"` + testDigest + `","to":"","seen":"2026-03-02T12:00:00Z"}`, codeInvalid, "to"},
		{"when it was seen is not said", "forget", "{" + aFinding + "}", codeInvalid, "seen"},
		{"it was seen in no year that can be", "forget", "{" + aFinding + `,"seen":"0001-01-01T00:00:00Z"}`, codeInvalid, "seen"},
		{"when it was seen, where that is not wanted", "untell", "{" + aFinding + `,"seen":"2026-03-02T12:00:00Z"}`, codeInvalid, "seen"},
		{"no reminder said", "tell", "{" + aFinding + "," + aNow + `,"lease":"1m"}`, codeInvalid, "remind"},
		{"a reminder before it was told", "tell", "{" + aFinding + "," + aNow + `,"remind":"-1s","lease":"1m"}`, codeInvalid, "remind"},
		{"a time where none is wanted", "untell", "{" + aFinding + "," + aNow + "}", codeInvalid, "now"},
		{"less than none", "take", `{"count":"c","most":-1,` + aNow + `,` + strings.Replace(aNow, "now", "expires", 1) + "}", codeInvalid, "most"},
		{"no most", "take", `{"count":"c",` + aNow + `,` + strings.Replace(aNow, "now", "expires", 1) + "}", codeInvalid, "most"},
		{"no end", "take", `{"count":"c","most":1,` + aNow + "}", codeInvalid, "expires"},
		{"a value that is too long", "in-use", `{"name":"policy","value":"` + long + `",` + aNow + "}", codeLimit, "value"},
		{"a body that is too long", "in-use", strings.Repeat(" ", limits.StateBodyBytes+1), codeLimit, "StateBodyBytes"},
		{"a query", "begin?x=y", "{" + aKey + "," + aNow + `,"lease":"1m"}`, codeInvalid, "query"},
	} {
		a := do(t, h, post(watchPath+c.path, tokenWatcher, c.body))
		if a.code(t) != c.code || !strings.Contains(a.body, c.says) {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	for _, c := range []struct{ name, path, code string }{
		{"another query", "tellings?id=5d0c3f1e0d9b8a7f6e5d4c3b2a190807&x=y", codeInvalid}, {"no id", "tellings", codeInvalid}, {"no finding's id", "tellings?id=x", codeInvalid},
		{"two ids", "tellings?id=5d0c3f1e0d9b8a7f6e5d4c3b2a190807&id=5d0c3f1e0d9b8a7f6e5d4c3b2a190807", codeInvalid}, {"a query about reactions", "reactions?x=y", codeInvalid},
		{"asked as one lists", "begin", codeMethod}, {"no such thing", "else", codeNoRoute},
	} {
		r := httptest.NewRequest(http.MethodGet, watchPath+c.path, nil)
		r.Header.Set("Authorization", "Bearer "+tokenWatcher)
		if a := do(t, h, r); a.code(t) != c.code {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	// Names of calls.
	before := len(*names)
	call := func(name ...string) answered {
		r := post(watchPath+"in-use", tokenWatcher, `{"name":"policy","value":"a",`+aNow+"}")
		r.Header["Idempotency-Key"] = name
		return do(t, h, r)
	}
	for _, name := range [][]string{{""}, {"a", "b"}, {"a b"}, {strings.Repeat("x", limits.StateCallBytes+1)}, {"é"}} {
		if a := call(name...); a.code(t) != codeInvalid {
			t.Errorf("a call of the name %q: %s", name, a.body)
		}
	}
	call("one")
	call("one")
	call("two")
	call()
	if got := (*names)[before:]; len(got) != 4 || got[0] == "" || got[0] != got[1] || got[0] == got[2] || got[3] != "" || strings.Contains(got[0], "one") {
		t.Errorf("changes are called %q", got)
	}
	// Who may: those who may tell of findings.
	for token, code := range map[string]string{tokenCI: codeRight, "": codeUnauthenticated} {
		if a := do(t, h, post(watchPath+"forget", token, "{"+aFinding+"}")); a.code(t) != code {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	w.Watching = nil
	if a := do(t, h, post(watchPath+"forget", tokenWatcher, "{"+aFinding+"}")); a.code(t) != codeNoRoute {
		t.Errorf("a server that keeps nothing: %d %s", a.status, a.body)
	}
}

// FuzzWatchRequest: no body makes a decoder of a watcher's requests panic, and
// what one accepts is within its bounds.
func FuzzWatchRequest(f *testing.F) {
	for _, body := range []string{"{" + aKey + "," + aNow + `,"lease":"1m"}`, "{" + aKey + "," + aNow + `,"token":"x"}`, "{" + aKey + `,"token":"x"}`,
		"{" + aFinding + "," + aNow + `,"remind":"0s","lease":"1m"}`, "{" + aFinding + "," + aNow + "}", "{" + aFinding + "}",
		`{"count":"c","most":1,` + aNow + `,"expires":"2026-03-01T12:01:00Z"}`, `{"name":"policy","value":"a",` + aNow + "}", `{"now":null}`, `{"lease":"9223372036854775807ns"}`} {
		f.Add([]byte(body))
	}
	ops := []string{routeBegin, routeDone, routeRelease, routeTell, routeTold, routeUntell, routeForget, routeTake, routeInUse}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, op := range ops {
			s := &strictStore{t: t}
			_, failed, err := watchOperations[op](t.Context(), s, body)
			if err != nil {
				t.Fatal(err)
			}
			if failed != nil && (s.asked || statuses[failed.code] == 0 || !utf8.ValidString(failed.message) || len(failed.message) > 2048) {
				t.Fatalf("%s: a failure of the code %q: %q (asked: %t)", op, failed.code, failed.message, s.asked)
			}
			if failed == nil && !json.Valid(body) {
				t.Fatalf("%s: accepted, and no JSON: %q", op, body)
			}
		}
	})
}

// strictStore takes what a store may be asked, and no more.
type strictStore struct {
	watch.MemoryStore
	t     *testing.T
	asked bool
}

func (s *strictStore) check(ok bool, what string, v any) {
	s.asked = true
	if !ok {
		s.t.Fatalf("the store is asked about the %s %+v", what, v)
	}
}

func (s *strictStore) claim(c watch.Claim) {
	s.check(c.Key != "" && len(c.Key) <= limits.WatchKeyBytes && printable(c.Key), "claim", c)
}

func (s *strictStore) telling(one watch.Telling) {
	s.check(len(one.ID) == 32 && one.State.Validate() == nil && one.To != "" && len(one.To) <= limits.WatchNameBytes && (one.Image == "" || one.Image.Validate() == nil), "telling", one)
}

func (s *strictStore) when(now time.Time) {
	s.check(now.UTC().Year() >= 1970 && now.UTC().Year() <= 9999, "time", now)
}

func (s *strictStore) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	s.claim(c)
	s.when(now)
	s.check(lease > 0 && lease <= limits.StateLeaseMost, "lease", lease)
	return "token", nil
}

func (s *strictStore) Done(_ context.Context, c watch.Claim, token string, now time.Time) error {
	s.claim(c)
	s.when(now)
	s.check(token != "", "token", token)
	return nil
}

func (s *strictStore) Release(_ context.Context, c watch.Claim, token string) error {
	s.claim(c)
	s.check(token != "", "token", token)
	return nil
}

func (s *strictStore) Tell(_ context.Context, one watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	s.telling(one)
	s.when(now)
	s.check(remind >= 0 && remind <= limits.StateRemindMost && lease > 0 && lease <= limits.StateLeaseMost, "lease", lease)
	return watch.First, nil
}

func (s *strictStore) Told(_ context.Context, one watch.Telling, now time.Time) error {
	s.telling(one)
	s.when(now)
	return nil
}

func (s *strictStore) Untell(_ context.Context, one watch.Telling) error {
	s.telling(one)
	return nil
}

func (s *strictStore) Forget(_ context.Context, one watch.Telling) (bool, error) {
	s.telling(one)
	return true, nil
}

func (s *strictStore) Take(_ context.Context, count string, most int, now, expires time.Time) (bool, error) {
	s.when(now)
	s.when(expires)
	s.check(count != "" && printable(count) && most >= 0, "count", count)
	return true, nil
}

func (s *strictStore) InUse(_ context.Context, name, value string, now time.Time) (time.Time, error) {
	s.when(now)
	s.check(name != "" && value != "" && printable(name+value), "name", name)
	return now, nil
}
