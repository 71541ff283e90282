package notify

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

const token = "sEcReTtOkEn-0123456789-0123456789"

// newPost is a Post to a server with a certificate of its own.
func newPost(t *testing.T, h http.HandlerFunc) *Post {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return &Post{
		URL: s.URL + "/prefix/", Token: Secret{Env: "TOKEN"}, Secrets: &Secrets{Getenv: map2env(map[string]string{"TOKEN": token})}, Roots: roots,
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func TestShuindGetsTheFindingWithATokenAndAKey(t *testing.T) {
	f := finding()
	var keys []string
	p := newPost(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		want, _ := json.Marshal(f)
		if r.Method != http.MethodPost || r.URL.String() != "/prefix/v1/findings" || r.Header.Get("Authorization") != "Bearer "+token ||
			r.Header.Get("Content-Type") != "application/json" || string(data) != string(want) {
			t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, data)
		}
		if !jsontext.Value(data).IsValid() {
			t.Error("not JSON")
		}
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		w.WriteHeader(http.StatusNoContent)
	})
	for range 2 {
		if err := p.Notify(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	f.Resolved = true
	if err := p.Notify(ctx, f); err != nil {
		t.Fatal(err)
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[1] == keys[2] || keys[0] != f.ID+"/"+f.State.String()+"/open" {
		t.Error(keys)
	}
}

func TestWhatShuindAnswersIsTold(t *testing.T) {
	for _, test := range []struct {
		status, tries int
		code          shuin.Code
	}{
		{200, 1, ""}, {201, 1, ""}, {202, 1, ""}, {204, 1, ""},
		{302, 1, shuin.CodeInvalidInput}, {400, 1, shuin.CodeInvalidInput}, {401, 1, shuin.CodeUnauthorized}, {403, 1, shuin.CodeForbidden}, {404, 1, shuin.CodeNotFound},
		{429, limits.NotifyTries, shuin.CodeThrottled}, {500, limits.NotifyTries, shuin.CodeUnavailable}, {503, limits.NotifyTries, shuin.CodeUnavailable},
	} {
		tries := 0
		p := newPost(t, func(w http.ResponseWriter, r *http.Request) {
			tries++
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(test.status)
			if test.status != http.StatusNoContent {
				_, _ = io.WriteString(w, r.Header.Get("Authorization"))
			}
		})
		err := p.Notify(ctx, finding())
		if shuin.CodeOf(err) != test.code || tries != test.tries {
			t.Errorf("%d: %s %v after %d tries", test.status, shuin.CodeOf(err), err, tries)
		}
		quiet(t, []string{token, "127.0.0.1"}, err)
	}
}

func TestShuindThatFailsOnceIsAskedAgain(t *testing.T) {
	tries := 0
	p := newPost(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries == 1 {
			panic(http.ErrAbortHandler)
		}
	})
	if err := p.Notify(ctx, finding()); err != nil || tries != 2 {
		t.Error(err, tries)
	}
}

func TestATokenGoesOnlyToWhoIsKnown(t *testing.T) {
	p := newPost(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	p.Roots = x509.NewCertPool()
	err := p.Notify(ctx, finding())
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
	quiet(t, []string{token, "127.0.0.1"}, err)
	for _, bad := range []string{"", "shuind.example", "http://shuind.example", "ftp://shuind.example", "https://", "https://u:hUnTeR2@shuind.example", "https://shuind.example?token=hUnTeR2", "https://h/#hUnTeR2", "https://%zz", "http://127.0.0.1.evil.example"} {
		p := &Post{URL: bad, Token: Secret{Env: "TOKEN"}, Secrets: p.Secrets}
		err := p.Notify(ctx, finding())
		if shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", bad, err)
		}
		quiet(t, []string{token, "hUnTeR2"}, err)
	}
	for _, good := range []string{"http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "https://shuind.example/gate"} {
		if err := (&Post{URL: good, Token: Secret{Env: "TOKEN"}}).Check(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestShuindThatNeverAnswersIsGivenUp(t *testing.T) {
	stop := make(chan struct{})
	p := newPost(t, func(http.ResponseWriter, *http.Request) { <-stop })
	t.Cleanup(func() { close(stop) })
	limited, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := p.Notify(limited, finding()); shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Error(err)
	}
}
