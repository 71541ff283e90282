package awscall

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// world is a server that stands in for all of AWS: every name is routed to it,
// without a resolver.
type world struct {
	*Caller
	mu     sync.Mutex
	now    time.Time
	hosts  []string // that exist; nil: all
	seen   []*http.Request
	bodies []string
	warned []string
	answer func(out http.ResponseWriter, r *http.Request, body string)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, name := range []string{"AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SNS",
		"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_ECS", "AWS_USE_FIPS_ENDPOINT", "AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_ROLE_ARN"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_REGION", "us-west-2")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-that-is-never-shown")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	w := &world{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.seen, w.bodies = append(w.seen, r), append(w.bodies, string(body))
		w.mu.Unlock()
		w.answer(out, r, string(body))
	}))
	t.Cleanup(srv.Close)
	local, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.Caller = &Caller{
		UserAgent: "shuin/1.2.3",
		Now:       func() time.Time { return w.now },
		Warn:      func(text string) { w.warned = append(w.warned, text) },
		Wait:      func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if w.hosts != nil && !slices.Contains(w.hosts, r.URL.Hostname()) {
					return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true}}
				}
				sent := r.Clone(r.Context())
				sent.Host = r.URL.Host
				u := *r.URL
				u.Scheme, u.Host = "http", local.Host
				sent.URL = &u
				return next.RoundTrip(sent)
			})
		},
	}
	return w
}

// says answers everything with a status and a body.
func (w *world) says(status int, body string) {
	w.answer = func(out http.ResponseWriter, _ *http.Request, _ string) {
		out.WriteHeader(status)
		_, _ = io.WriteString(out, body)
	}
}
