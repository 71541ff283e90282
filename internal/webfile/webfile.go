// Package webfile reads one file over HTTPS, again only when it changed: a
// policy bundle that a Shuin server hands out (GET /v1/policy), or one on any
// web server. The address and the token are of the configuration; it follows no
// redirect, so that the token goes nowhere else, keeps nothing, and judges
// nothing: whoever reads a file verifies it.
package webfile

import (
	"context"
	"crypto/tls"
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

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Client reads files. Fields are not changed after first use; it is safe for
// concurrent use.
type Client struct {
	// Token gives the bearer token; nil: none is sent. It is asked for each
	// request.
	Token func(ctx context.Context) (string, error)
	// Refused is told when the server did not take the token; may be nil.
	Refused func()
	// Roots are the CAs that the server's certificate may be of. Nil: the
	// system's.
	Roots     *x509.CertPool
	UserAgent string

	once sync.Once
	http *http.Client
}

// File is a file as it was read.
type File struct {
	Data []byte
	ETag string // empty: the server gave none
}

// Check refuses an address that no file is read from: it is https://HOST/PATH,
// or http to this machine, without user, query and fragment.
func Check(address string) error {
	u, err := url.Parse(address)
	fail := func(what, hint string) error {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: what, Hint: hint}
	}
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.Path == "", u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return fail("it is no address of a file", "write https://HOST/PATH: no user, query or fragment; the token is kept apart")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fail("the address is without TLS: whoever is on the way could read the token, and hold back what is newer", "write https://HOST/PATH")
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost"
}

// Read reads a file of at most most bytes. have is what was read of the same
// address before, or nil: where the file is still that, it is the answer. The
// error is a [*shuin.Error].
func (c *Client) Read(ctx context.Context, address string, most int, have *File) (*File, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limits.WebFileTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fault(shuin.CodeInvalidInput, address, errors.New("it is no address"), "")
	}
	if c.Token != nil {
		token, err := c.Token(ctx)
		if err != nil {
			return nil, fault(shuin.CodeOf(err), address, err, shuin.HintOf(err))
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	if have != nil && have.ETag != "" {
		req.Header.Set("If-None-Match", have.ETag)
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return nil, unanswered(ctx, address, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && have != nil && have.ETag != "" {
		return have, nil
	}
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, limits.ErrorBodyBytes)) // so that the connection can be used again
		return nil, c.refused(address, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, unanswered(ctx, address, err)
	case len(data) > most:
		return nil, fault(shuin.CodeLimit, address, fmt.Errorf("it has more than %d bytes", most), "")
	}
	f := &File{Data: data}
	if tag := resp.Header.Get("ETag"); len(tag) <= limits.WebFileETag {
		f.ETag = tag
	}
	return f, nil
}

// refused says what a status means.
func (c *Client) refused(address string, status int) error {
	said := func(code shuin.Code, hint string) error {
		return fault(code, address, fmt.Errorf("the server answers with status %d", status), hint)
	}
	switch {
	case status == http.StatusUnauthorized:
		if c.Refused != nil {
			c.Refused()
		}
		return said(shuin.CodeUnauthorized, "the token is missing, or not one of the server's, or no longer")
	case status == http.StatusForbidden:
		return said(shuin.CodeForbidden, "the principal whose token this is may not read it: of a Shuin server it needs readsPolicy: true (gate.principals)")
	case status == http.StatusNotFound:
		return said(shuin.CodeNotFound, "check the address; a Shuin server hands a policy out where it decides by a bundle (gate.bundle)")
	case status == http.StatusTooManyRequests:
		return said(shuin.CodeThrottled, "")
	case status >= 500, status == http.StatusRequestTimeout:
		return said(shuin.CodeUnavailable, "")
	case status >= 300 && status < 400:
		return said(shuin.CodeInvalidInput, "redirects are not followed: write the address that it leads to")
	}
	return said(shuin.CodeMalformed, "something else may answer in the server's place: check the address")
}

// unanswered says why no answer came. The client's own error may show the
// address alone.
func unanswered(ctx context.Context, address string, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	code := shuin.CodeUnavailable
	if ctx.Err() != nil {
		code = shuin.CodeDeadline
	}
	return fault(code, address, err, "")
}

func fault(code shuin.Code, address string, err error, hint string) error {
	return &shuin.Error{Code: code, Message: fmt.Sprintf("read %.300q", address), Err: err, Hint: hint}
}

func (c *Client) client() *http.Client {
	c.once.Do(func() {
		t := &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: limits.WebFileTime / 2}).DialContext,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			TLSHandshakeTimeout: limits.WebFileTime / 2, ResponseHeaderTimeout: limits.WebFileTime,
			MaxResponseHeaderBytes: limits.WebFileHeader, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: limits.WebFileTime,
			DisableCompression: true, // a small answer stays small
		}
		c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	})
	return c.http
}

// IsAddress says whether s is meant as an address of a file on a web server.
func IsAddress(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}
