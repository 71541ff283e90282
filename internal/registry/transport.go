package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// repeatable is the context key of a request that may be sent again although
// its method is not GET or HEAD.
type repeatable struct{}

// errRedirect is a redirect that is not followed.
var errRedirect = errors.New("redirect refused")

// redirectPolicy bounds redirects and never leaves https. That no credential
// goes to another origin is the authenticating client's part.
func redirectPolicy(next func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if len(via) > limits.RegistryRedirects {
			return fmt.Errorf("%w: more than %d (limit RegistryRedirects)", errRedirect, limits.RegistryRedirects)
		}
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return fmt.Errorf("%w: from https to %s", errRedirect, req.URL.Scheme)
		}
		if next != nil {
			return next(req, via)
		}
		return nil
	}
}

// cutError is a body that could not be read to its end. Without it, a
// connection that was cut could not be told from JSON that was.
type cutError struct{ err error }

func (e *cutError) Error() string { return "the answer broke off: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

// wireBody marks the errors of reading a body.
type wireBody struct{ io.ReadCloser }

func (b *wireBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &cutError{err}
	}
	return n, err
}

// proxyError is a proxy that does not connect us.
type proxyError struct{ status string }

func (e *proxyError) Error() string { return "the proxy answers " + printable(e.status) }

func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyError{resp.Status}
	}
	return nil
}

// retryTransport repeats a request that the registry asked to repeat (429), and
// one that failed for a passing reason where repeating is safe. It waits no
// longer than limits.RegistryRetryAfter and never past the context's deadline:
// then the answer it has is the answer.
type retryTransport struct{ base http.RoundTripper }

func (t *retryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	for try := 0; ; try++ {
		resp, err := t.base.RoundTrip(req)
		if resp != nil {
			resp.Body = &wireBody{resp.Body}
		}
		if try >= limits.RegistryRetries || !retryable(req, resp, err) {
			return resp, err
		}
		wait, ok := retryWait(resp, try)
		if deadline, has := req.Context().Deadline(); !ok || has && time.Until(deadline) <= wait {
			return resp, err
		}
		again, bodyErr := rewind(req)
		if bodyErr != nil {
			return resp, err
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, limits.ErrorBodyBytes)
			_ = resp.Body.Close()
		}
		timer := time.NewTimer(wait)
		select {
		case <-req.Context().Done():
			timer.Stop()
			return nil, req.Context().Err()
		case <-timer.C:
		}
		req = again
	}
}

// retryable: 429 means nothing was done, so anything may be repeated; the rest
// only where a second time does no harm.
func retryable(req *http.Request, resp *http.Response, err error) bool {
	safe := req.Method == http.MethodGet || req.Method == http.MethodHead || req.Context().Value(repeatable{}) != nil
	if err != nil {
		return safe && req.Context().Err() == nil &&
			(errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF))
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return safe
	}
	return false
}

// retryWait is how long to wait: what the registry asks for (RFC 9110 section
// 10.2.3), else doubling from 200 ms with jitter. False when it asks for more
// than we wait.
func retryWait(resp *http.Response, try int) (time.Duration, bool) {
	wait := (200 * time.Millisecond) << try
	wait += rand.N(wait / 2)
	if resp == nil {
		return wait, true
	}
	after := resp.Header.Get("Retry-After")
	if after == "" {
		return wait, true
	}
	if s, err := strconv.Atoi(after); err == nil && s >= 0 {
		if s > int(limits.RegistryRetryAfter/time.Second) {
			return 0, false
		}
		return max(wait, time.Duration(s)*time.Second), true
	}
	if at, err := http.ParseTime(after); err == nil {
		d := time.Until(at)
		return max(wait, d), d <= limits.RegistryRetryAfter
	}
	return wait, true
}

func rewind(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	if req.GetBody == nil {
		return nil, errors.New("body cannot be sent again")
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, nil
}

// Traced tells the requests that base makes as Client.Trace does.
func Traced(base http.RoundTripper, trace func(string)) http.RoundTripper {
	return &traceTransport{base: base, trace: trace}
}

// traceTransport tells each request and response head as text, in the form
// notation prints with --debug (reference section 1), with secrets masked.
type traceTransport struct {
	base  http.RoundTripper
	trace func(string)
	count atomic.Uint64
}

func (t *traceTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	id := t.count.Add(1) - 1
	t.trace(fmt.Sprintf("Request #%d\n> Request: %q %q\n> Request headers:\n%s\n\n\n", id, req.Method, maskURL(req.URL), maskHeaders(req.Header)))
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		t.trace(fmt.Sprintf("Error in getting response #%d: %v", id, err))
		return resp, err
	}
	t.trace(fmt.Sprintf("Response #%d\n< Response status: %q\n< Response headers:\n%s\n\n\n", id, resp.Status, maskHeaders(resp.Header)))
	return resp, nil
}

const masked = "*****"

// secretHeaders are never shown.
var secretHeaders = map[string]bool{
	"authorization": true, "proxy-authorization": true, "cookie": true, "set-cookie": true,
	"x-amz-security-token": true,
}

func maskHeaders(h http.Header) string {
	if len(h) == 0 {
		return "   Empty header"
	}
	names := make([]string, 0, len(h))
	for k := range h {
		names = append(names, k)
	}
	sort.Strings(names)
	lines := make([]string, 0, len(names))
	for _, k := range names {
		v := strings.Join(h[k], ", ")
		switch name := strings.ToLower(k); {
		case secretHeaders[name]:
			v = masked
		case name == "location":
			if u, err := url.Parse(v); err == nil {
				v = maskURL(u)
			} else {
				v = masked
			}
		}
		lines = append(lines, fmt.Sprintf("   %q: %q", k, v))
	}
	return strings.Join(lines, "\n")
}

// plainQuery are the query parameters of the registry and token protocols that
// hold no secret. All others (a presigned address of a blob store, an upload
// state) are masked.
var plainQuery = map[string]bool{
	"artifactType": true, "digest": true, "n": true, "last": true, "next": true, "mount": true, "from": true,
	"service": true, "scope": true, "client_id": true, "offline_token": true,
}

// maskURL is u without user information and without query values that may be
// secrets.
func maskURL(u *url.URL) string {
	c := *u
	c.User = nil
	if c.RawQuery != "" {
		q := c.Query()
		for k := range q {
			if !plainQuery[k] {
				q[k] = []string{masked}
			}
		}
		c.RawQuery = strings.ReplaceAll(q.Encode(), url.QueryEscape(masked), masked)
	}
	return c.String()
}
