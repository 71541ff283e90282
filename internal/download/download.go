// Package download copies one file from an address that the user typed, over
// HTTPS alone, redirects included: a plugin package. It sends no credentials,
// and does not say whether the file is the right one: whoever uses it compares
// a checksum before anything else.
package download

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Client downloads. The zero value is ready. Fields are not to be changed after
// first use; it is safe for concurrent use.
type Client struct {
	// Roots are what servers are checked against; nil means the system's.
	Roots     *x509.CertPool
	UserAgent string
	// Wrap, when not nil, goes around what makes each request: a trace.
	Wrap func(http.RoundTripper) http.RoundTripper

	once sync.Once
	http *http.Client
}

// Parse reads an address. It is https; a user name in it is refused, since it
// would be shown.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, invalid("failed to parse plugin download URL %s with error: %w", Shown(address), cause(err, address))
	case u.Scheme != "https":
		return nil, invalid("failed to download plugin from URL: only the HTTPS scheme is supported, but got %s", u.Scheme)
	case u.User != nil:
		return nil, invalid("failed to download plugin from URL: a user name or password in it would be shown, and is not sent")
	case u.Hostname() == "":
		return nil, invalid("failed to download plugin from URL: it names no host")
	}
	return u, nil
}

// Name is the last element of an address's path; empty where it has none.
func Name(u *url.URL) string {
	if name := path.Base(u.Path); name != "." && name != "/" {
		return name
	}
	return ""
}

// Shown is an address for messages: as it was typed, but without a user's name,
// and without what its query says, which may be what lets the file be read.
func Shown(address string) string {
	at, _, query := strings.Cut(address, "?")
	if scheme, rest, ok := strings.Cut(at, "://"); ok {
		host, below, slash := strings.Cut(rest, "/")
		host = host[strings.LastIndexByte(host, '@')+1:]
		if at = scheme + "://" + host; slash {
			at += "/" + below
		}
	}
	if query {
		at += "?*****"
	}
	return at
}

// Fetch writes the file at the address to w: fewer than max bytes. The error is
// a [*shuin.Error]; what was written before it is of no use.
func (c *Client) Fetch(ctx context.Context, u *url.URL, w io.Writer, max int64) error {
	ctx, cancel := context.WithTimeout(ctx, limits.PluginDownloadTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return invalid("%w", cause(err, u.String()))
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return unanswered(ctx, cause(err, u.String()))
	}
	defer resp.Body.Close()
	last := fmt.Sprintf("%s %q", resp.Request.Method, Shown(resp.Request.URL.String()))
	if resp.StatusCode != http.StatusOK {
		return &shuin.Error{Code: codeOf(resp.StatusCode), Message: fmt.Sprintf("%s: https response bad status: %s", last, resp.Status)}
	}
	if resp.ContentLength >= max {
		return tooLarge(last, max)
	}
	body := &io.LimitedReader{R: resp.Body, N: max}
	written := &target{w: w}
	if _, err = io.Copy(written, body); err != nil && written.err == nil {
		return unanswered(ctx, err)
	}
	if body.N <= 0 {
		return tooLarge(last, max)
	}
	return written.err
}

// target tells errors of writing from those of reading.
type target struct {
	w   io.Writer
	err error
}

func (t *target) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	if err != nil {
		t.err = err
	}
	return n, err
}

func tooLarge(what string, max int64) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s: https response reached the %d MiB size limit", what, max>>20)}
}

// codeOf is what a status means.
func codeOf(status int) shuin.Code {
	switch {
	case status == http.StatusUnauthorized:
		return shuin.CodeUnauthorized
	case status == http.StatusForbidden:
		return shuin.CodeForbidden
	case status == http.StatusNotFound, status == http.StatusGone:
		return shuin.CodeNotFound
	case status == http.StatusTooManyRequests:
		return shuin.CodeThrottled
	case status >= 500, status == http.StatusRequestTimeout:
		return shuin.CodeUnavailable
	}
	return shuin.CodeMalformed
}

// unanswered is an answer that did not come, or not to its end.
func unanswered(ctx context.Context, err error) error {
	var known *shuin.Error
	switch {
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &shuin.Error{Code: shuin.CodeDeadline, Err: err}
	}
	return &shuin.Error{Code: shuin.CodeUnavailable, Err: err}
}

func invalid(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Err: fmt.Errorf(format, args...)}
}

// cause is err with the address as messages show it.
func cause(err error, address string) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if u.URL != "" {
			address = u.URL
		}
		return &url.Error{Op: u.Op, URL: Shown(address), Err: u.Err}
	}
	return err
}

func (c *Client) client() *http.Client {
	c.once.Do(func() {
		var t http.RoundTripper = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: limits.DownloadDial}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    limits.DownloadDial,
			ResponseHeaderTimeout:  limits.DownloadDial,
			MaxResponseHeaderBytes: limits.DownloadHeaderBytes,
			DisableKeepAlives:      true,
			DisableCompression:     true, // the checksum is that of the file as it lies there
			ForceAttemptHTTP2:      true,
		}
		if c.Wrap != nil {
			t = c.Wrap(t)
		}
		c.http = &http.Client{Transport: t, CheckRedirect: redirect}
	})
	return c.http
}

// redirect follows https to https.
func redirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > limits.DownloadRedirects:
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("redirected more than %d times", limits.DownloadRedirects)}
	case req.URL.Scheme != "https":
		return &shuin.Error{Code: shuin.CodeMalformed, Message: "a redirect from https to another scheme is not followed"}
	case req.URL.User != nil:
		return &shuin.Error{Code: shuin.CodeMalformed, Message: "a redirect with a user name is not followed"}
	}
	req.Header.Del("Referer") // it would tell the query of the address before
	return nil
}
