package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// FindingsPath is where shuind takes findings, below its address.
const FindingsPath = "/v1/findings"

// Post sends findings to shuind: POST /v1/findings with the finding as JSON
// and a bearer token. The request, and what it may be answered with, is in
// docs/design/notify.md. Safe for concurrent use.
type Post struct {
	URL     string // of the server: https://HOST[:PORT][/PREFIX]; http only to this machine
	Token   Secret
	Secrets *Secrets
	// Roots are the CAs that the server's certificate may be of. Nil: the system's.
	Roots     *x509.CertPool
	UserAgent string
	Label     string // its name; empty: made of the address
	// Wait waits between tries, or ends with ctx. Nil: a timer.
	Wait func(ctx context.Context, d time.Duration) error

	once   sync.Once
	client *http.Client
}

// Name is watch.Notifier's.
func (p *Post) Name() string { return name(p.Label, "shuind", p.URL) }

// Check refuses an address that findings cannot be sent to.
func (p *Post) Check() error {
	u, err := url.Parse(p.URL)
	fail := func(what, hint string) error {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: what, Hint: hint}
	}
	switch {
	case err != nil, u.Host == "", u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "", u.Scheme != "https" && u.Scheme != "http":
		return fail("the address of shuind is none", "write https://HOST: no user, query or fragment; the token is kept apart")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fail("the address of shuind is without TLS: whoever is on the way could read the token", "write https://HOST")
	}
	if err := p.Token.Check(); err != nil {
		return err
	}
	return CheckName(p.Name())
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost"
}

// Notify is watch.Notifier's.
func (p *Post) Notify(ctx context.Context, f watch.Finding) error {
	if err := p.Check(); err != nil {
		return err
	}
	data, err := body(f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limits.NotifyTime)
	defer cancel()
	for try := 1; ; try++ {
		again, err := p.send(ctx, f, data)
		if err == nil || !again || try == limits.NotifyTries || !p.pause(ctx, try) {
			return err
		}
	}
}

// pause waits before the next try.
func (p *Post) pause(ctx context.Context, try int) bool {
	d := (200 * time.Millisecond) << try
	d += rand.N(d / 2)
	if p.Wait != nil {
		return p.Wait(ctx, d) == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// send sends once, and says whether another try may help.
func (p *Post) send(ctx context.Context, f watch.Finding, data []byte) (again bool, err error) {
	token, err := p.Secrets.read(ctx, p.Token)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(p.URL, "/")+FindingsPath, bytes.NewReader(data))
	if err != nil {
		return false, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "tell shuind"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+string(token))
	req.Header.Set("Idempotency-Key", IdempotencyKey(f))
	if p.UserAgent != "" {
		req.Header.Set("User-Agent", p.UserAgent)
	}
	resp, err := p.http().Do(req)
	if err != nil {
		return ctx.Err() == nil, unanswered(ctx, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, limits.NotifyAnswer)) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	}
	return p.refused(resp.StatusCode)
}

// refused says what a status that is no answer means, and whether another try
// may help.
func (p *Post) refused(s int) (again bool, err error) {
	switch {
	case s == http.StatusUnauthorized:
		p.Secrets.forget(p.Token)
		return false, refused(shuin.CodeUnauthorized, s, "the token is not one of shuind's, or no longer: check "+p.Token.String())
	case s == http.StatusForbidden:
		return false, refused(shuin.CodeForbidden, s, "allow findings to the principal whose token this is")
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		return false, refused(shuin.CodeNotFound, s, "check the address, and that shuind there takes findings")
	case s == http.StatusTooManyRequests:
		return true, refused(shuin.CodeThrottled, s, "")
	case s >= 500, s == http.StatusRequestTimeout:
		return true, refused(shuin.CodeUnavailable, s, "")
	default:
		return false, refused(shuin.CodeInvalidInput, s, "something else may answer in shuind's place: check the address")
	}
}

// IdempotencyKey is the same for all that tell one state of a finding, once or
// twice: its id, its state, and whether it is open, resolved, or told again.
func IdempotencyKey(f watch.Finding) string {
	s := status(f)
	if f.Reminder {
		s = "reminder"
	}
	return f.ID + "/" + f.State.String() + "/" + s
}

// refused and unanswered leave out the address and what came back: it is not
// ours to log.
func refused(code shuin.Code, status int, hint string) error {
	return &shuin.Error{Code: code, Message: "tell shuind: it answered with " + (&statusError{status}).Error(), Hint: hint}
}

func unanswered(ctx context.Context, err error) error {
	e := &shuin.Error{Code: shuin.CodeUnavailable, Message: "tell shuind", Hint: "check the network and the address"}
	if ctx.Err() != nil {
		e.Code, e.Err = shuin.CodeDeadline, errors.New("it took too long")
		return e
	}
	e.Err = errors.New(saw(err))
	return e
}

// http is the client: TLS 1.2 at least, no redirects (a token is not sent on),
// no proxy but the environment's.
func (p *Post) http() *http.Client {
	p.once.Do(func() {
		p.client = &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: limits.FetchDial}).DialContext,
				TLSClientConfig:        &tls.Config{RootCAs: p.Roots, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout:    limits.FetchDial,
				ResponseHeaderTimeout:  limits.NotifyTime,
				MaxResponseHeaderBytes: limits.FetchHeaderBytes,
				MaxIdleConns:           4,
				IdleConnTimeout:        30 * time.Second,
				ForceAttemptHTTP2:      true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	})
	return p.client
}
