// Package fetch is the bounded HTTP client for addresses that strangers name:
// OCSP responders and CRL distribution points in certificates, and timestamping
// authorities. It speaks http and https only, follows few redirects and none to
// another scheme, contacts private addresses only where that was allowed, and
// bounds the size and time of every answer.
//
// It sends no cookies, reads no proxy from the environment, keeps nothing and
// never asks twice: retries, order and caches are its callers' affair. Registries
// are not spoken to through it.
package fetch

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// ErrPrivateAddress is in the tree of errors for an address that is private,
// loopback or otherwise not public, and was not allowed.
var ErrPrivateAddress = errors.New("address is not public")

// StatusError is an answer with another status than 200.
type StatusError struct{ Status int }

// Error names the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status))
}

// Client fetches. The zero value is ready and strict. Fields are not to be
// changed after first use; it is safe for concurrent use.
type Client struct {
	// AllowPrivateAddresses also contacts loopback, private (RFC 1918, RFC
	// 4193) and shared (RFC 6598) addresses, as CRLs of a company's own CA
	// need. Link-local addresses and the others under which clouds are known to
	// give out credentials stay refused.
	AllowPrivateAddresses bool
	// Proxy chooses a proxy; nil means none, whatever the environment says.
	// http.ProxyFromEnvironment honours HTTP_PROXY and its like. The proxy then
	// resolves names, so only addresses written as numbers are checked.
	Proxy func(*http.Request) (*url.URL, error)
	// Roots are what https servers are checked against; nil means the system's.
	Roots *x509.CertPool
	// UserAgent is sent when not empty.
	UserAgent string
	// Wrap, when not nil, goes around what makes each request: a trace.
	Wrap func(http.RoundTripper) http.RoundTripper

	once            sync.Once
	direct, proxied *http.Client
}

// Request is one request. URL and MaxBytes are needed.
type Request struct {
	URL string
	// Body makes the request a POST of ContentType; without one it is a GET.
	Body        []byte
	ContentType string
	// Accept is sent when not empty.
	Accept string
	// Known is what an earlier answer said of itself: a server that still has
	// the same says only that (RFC 9110, section 13.1).
	Known Validators
	// MaxBytes bounds the answer's body; a longer one is an error of code
	// shuin.CodeLimit, never cut.
	MaxBytes int64
	// Room is asked before more than limits.FetchSmall of the body is read, where
	// it is set; its error is Do's.
	Room func(context.Context) error
	// Timeout bounds the whole exchange, body included; zero leaves it to the context.
	Timeout time.Duration
	// AllowUserInfo sends the user and password of the URL as basic
	// authentication. Only for addresses that the user typed.
	AllowUserInfo bool
}

// Validators are what a server calls what it answered: ETag and Last-Modified,
// as sent. Empty ones are not used.
type Validators struct{ ETag, Modified string }

// Response is a whole answer with status 200; or, where the request has Known,
// of status 304: then Same is set, and the body empty.
type Response struct {
	Body        []byte
	ContentType string // as sent, parameters included
	Validators  Validators
	Same        bool
}

// Do makes the request. Its errors name the address without credentials.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", Redact(r.URL), err)
	}
	return resp, nil
}

func (c *Client) do(ctx context.Context, r Request) (*Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, errors.New("not a valid address")
	}
	if err := c.checkURL(u); err != nil {
		return nil, err
	}
	if u.User != nil && !r.AllowUserInfo {
		return nil, errors.New("the address holds a user name, which is not sent")
	}
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	req, err := newRequest(ctx, u, r)
	if err != nil {
		return nil, err
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	client, err := c.client(req)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, cause(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && r.Known != (Validators{}) {
		return &Response{Validators: r.Known, Same: true}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{resp.StatusCode}
	}
	body, err := readAll(ctx, resp, r)
	if err != nil {
		return nil, cause(ctx, err)
	}
	return &Response{Body: body, ContentType: resp.Header.Get("Content-Type"), Validators: validators(resp.Header)}, nil
}

// validators leaves out what is longer than any proper server's: they are kept.
func validators(h http.Header) Validators {
	v := Validators{ETag: h.Get("ETag"), Modified: h.Get("Last-Modified")}
	if len(v.ETag)+len(v.Modified) > limits.FetchValidators {
		return Validators{}
	}
	return v
}

func newRequest(ctx context.Context, u *url.URL, r Request) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if r.Body != nil {
		method, body = http.MethodPost, bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, errors.New("not a valid address")
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	if r.Accept != "" {
		req.Header.Set("Accept", r.Accept)
	}
	if r.Known.ETag != "" {
		req.Header.Set("If-None-Match", r.Known.ETag)
	}
	if r.Known.Modified != "" {
		req.Header.Set("If-Modified-Since", r.Known.Modified)
	}
	return req, nil
}

// cause drops the address that net/http puts before its errors, since Do adds
// its own, and says plainly when the time was up.
func cause(ctx context.Context, err error) error {
	if e := ctx.Err(); e != nil {
		if errors.Is(e, context.DeadlineExceeded) {
			return fmt.Errorf("no whole answer in time: %w", e)
		}
		return e
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

func readAll(ctx context.Context, resp *http.Response, r Request) ([]byte, error) {
	maxBytes := r.MaxBytes
	tooLong := &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("answer is longer than %d bytes", maxBytes)}
	if resp.ContentLength > maxBytes {
		return nil, tooLong
	}
	limited := io.LimitReader(resp.Body, maxBytes+1)
	body, err := io.ReadAll(io.LimitReader(limited, limits.FetchSmall+1))
	if err == nil && len(body) > limits.FetchSmall {
		body, err = readLarge(ctx, body, limited, resp.ContentLength, r)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > maxBytes {
		return nil, tooLong
	}
	return body, nil
}

// readLarge reads what follows begun, into a buffer that need not grow where the
// server said how much there is.
func readLarge(ctx context.Context, begun []byte, rest io.Reader, length int64, r Request) ([]byte, error) {
	if r.Room != nil {
		if err := r.Room(ctx); err != nil {
			return nil, err
		}
	}
	if length < 0 {
		length = r.MaxBytes
	}
	var body bytes.Buffer
	body.Grow(int(length) + bytes.MinRead)
	body.Write(begun)
	if _, err := body.ReadFrom(rest); err != nil {
		return nil, err
	}
	if body.Len() < body.Cap()/4*3 {
		return bytes.Clone(body.Bytes()), nil
	}
	return body.Bytes(), nil
}

// checkURL refuses what can be refused before a name is resolved.
func (c *Client) checkURL(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("scheme %q is not contacted, only http and https", u.Scheme)
	}
	host := u.Hostname()
	if host == "" {
		return errors.New("the address names no host")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return c.checkAddr(addr)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !c.AllowPrivateAddresses && (name == "localhost" || strings.HasSuffix(name, ".localhost")) {
		return fmt.Errorf("%s: %w", host, ErrPrivateAddress)
	}
	return nil
}

// client is the one for a request: behind a proxy the address dialled is the
// proxy's, which the caller chose, so it is not checked.
func (c *Client) client(req *http.Request) (*http.Client, error) {
	c.once.Do(c.build)
	if c.Proxy == nil {
		return c.direct, nil
	}
	proxy, err := c.Proxy(req)
	if err != nil {
		return nil, errors.New("the proxy chosen for this address is not valid")
	}
	if proxy == nil {
		return c.direct, nil
	}
	return c.proxied, nil
}

func (c *Client) build() {
	dial := &net.Dialer{Timeout: limits.FetchDial, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return c.checkDial(address)
	}}
	direct := c.transport()
	direct.DialContext = dial.DialContext
	c.direct = &http.Client{Transport: c.wrap(direct), CheckRedirect: c.redirect}
	proxied := c.transport()
	// A redirect may lead to an address that the caller wants no proxy for:
	// that one is refused, since it would be dialled unchecked.
	proxied.Proxy = func(req *http.Request) (*url.URL, error) {
		proxy, err := c.Proxy(req)
		if err == nil && proxy == nil {
			err = errors.New("redirected away from the proxy")
		}
		return proxy, err
	}
	c.proxied = &http.Client{Transport: c.wrap(proxied), CheckRedirect: c.redirect}
}

func (c *Client) wrap(t http.RoundTripper) http.RoundTripper {
	if c.Wrap == nil {
		return t
	}
	return c.Wrap(t)
}

// redirect follows what stays within the rules of checkURL. A POST is not sent
// elsewhere, and https never becomes http.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case len(via) > limits.FetchRedirects:
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("redirected more than %d times", limits.FetchRedirects)}
	case first.Method != http.MethodGet:
		return errors.New("a redirect of a POST is not followed")
	case last.URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("a redirect from https to http is not followed")
	case req.URL.User != nil:
		return errors.New("a redirect with a user name is not followed")
	}
	return c.checkURL(req.URL)
}

// Redact is an address for messages: without user, query and fragment.
func Redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(invalid address)"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}
