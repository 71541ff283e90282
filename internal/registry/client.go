// Package registry is the door to OCI registries and OCI image layouts: it
// resolves references, lists and fetches the signatures of an artifact, and
// pushes one. It also holds registry credentials.
//
// It translates and bounds; it decides nothing. It never judges a signature:
// what it returns is bytes whose digest and size agree with what named them. It
// does not pull images, copy repositories or delete anything: an older
// referrers index is left for the registry's own garbage collection.
package registry

import (
	"bytes"
	"context"
	_ "crypto/sha256" // digests of either algorithm can be checked
	_ "crypto/sha512"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Client talks to registries. Its fields are set before first use and not
// changed after; it may be used by many goroutines. Tokens are cached for its
// lifetime, so one Client has to serve one set of credentials.
type Client struct {
	// Credential gives the credential for a registry host; the zero Credential
	// means anonymous. Nil: always anonymous. It is asked only for the host
	// that a reference names, never for one a registry redirects to. But where
	// that registry wants a token, it names the server that gives it, and that
	// server is sent the credential: so the token protocol is. Only http or
	// https, never a step down to http, and no internal address under another
	// host name than the registry's.
	Credential func(ctx context.Context, host string) (Credential, error)
	// Renew is asked when a registry refuses (401 or 403) and may know a newer
	// credential: it then forgets the old one and answers true, and the request
	// is sent once more with what Credential gives. ECR refuses an expired token
	// with 403, which authentication by itself never tries again. Nil: none.
	Renew func(ctx context.Context, host string) bool
	// PlainHTTP says whether to use http with a registry ("host:port" as
	// written in the reference). Nil: always https.
	PlainHTTP func(host string) bool
	// HTTP is the client below authentication and retries. Nil: one with
	// timeouts and the connection pool that a wave of fetches needs.
	HTTP *http.Client
	// UserAgent is sent with each request.
	UserAgent string
	// ForceReferrersTag writes the referrers tag index also where the registry
	// has the referrers API.
	ForceReferrersTag bool
	// Blobs keeps signature manifests and envelopes between requests; nil: nothing
	// is kept. It never answers in the registry's place: what it is asked for
	// was named by a listing that the registry gave to this very request, under
	// this Client's credentials.
	Blobs Blobs
	// Warn is told what the user should know and what fails nothing. Nil: dropped.
	Warn func(message string)
	// Trace is given the text of each request and response head, secrets
	// masked. Nil: none.
	Trace func(text string)

	timeForSignatures time.Duration // instead of limits.SignaturesTime, in tests

	once sync.Once
	auth *auth.Client
	held *heldTokens

	renewing sync.Mutex
	bare     *http.Client // no credentials: for hosts that a registry points to
	mu       sync.Mutex
	hosts    map[string]*hostFacts
}

// hostFacts is what a Client learned about a registry.
type hostFacts struct {
	mu           sync.Mutex
	noReferrers  bool // has no referrers API
	noSinglePost bool // refused a blob in a single POST
	matches      bool // honours If-Match: it has answered 412 to one
	noneMatches  bool // honours If-None-Match: it has answered 412 to one
}

func (h *hostFacts) get(p *bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *p
}

func (h *hostFacts) set(p *bool, v bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*p = v
}

// Repository is one repository of one registry. It satisfies
// verify.Signatures.
type Repository struct {
	client *Client
	ref    shuin.Reference // without tag and digest
	base   *url.URL        // scheme://host
	facts  *hostFacts
	push   bool
}

// ForPush is r for somebody who will push: tokens are asked for with that
// permission from the first request on, which saves two round trips.
func (r *Repository) ForPush() *Repository {
	p := *r
	p.push = true
	return &p
}

// Repository returns the repository that ref names. Nothing is sent.
func (c *Client) Repository(ref shuin.Reference) (*Repository, error) {
	if ref.Registry == "" || ref.Repository == "" {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%q names no registry and repository", ref.String())}
	}
	c.once.Do(c.build)
	scheme := "https"
	if c.PlainHTTP != nil && c.PlainHTTP(ref.Registry) {
		scheme = "http"
	}
	base := &url.URL{Scheme: scheme, Host: hostOf(ref.Registry)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hosts == nil {
		c.hosts = map[string]*hostFacts{}
	}
	facts := c.hosts[base.String()]
	if facts == nil {
		facts = &hostFacts{}
		c.hosts[base.String()] = facts
	}
	return &Repository{client: c, ref: shuin.Reference{Registry: ref.Registry, Repository: ref.Repository}, base: base, facts: facts}, nil
}

// hostOf is the host that serves a registry's API: Docker Hub answers under
// another name than the one in its references.
func hostOf(registry string) string {
	if registry == "docker.io" {
		return "registry-1.docker.io"
	}
	return registry
}

// build makes the HTTP clients, once.
func (c *Client) build() {
	var base http.Client
	if c.HTTP != nil {
		base = *c.HTTP
	}
	rt := base.Transport
	if rt == nil {
		rt = newTransport()
	}
	if c.Trace != nil {
		rt = &traceTransport{base: rt, trace: c.Trace}
	}
	base.Transport = &retryTransport{base: rt}
	base.CheckRedirect = redirectPolicy(base.CheckRedirect)
	bare := base
	c.bare = &bare
	c.held = &heldTokens{}
	c.auth = &auth.Client{
		Client:     &base,
		Cache:      c.held,
		ClientID:   "shuin",
		Credential: c.credential,
		Header:     http.Header{},
	}
}

// credential satisfies oras's auth client.
func (c *Client) credential(ctx context.Context, host string) (auth.Credential, error) {
	if c.Credential == nil {
		return auth.EmptyCredential, nil
	}
	cred, err := c.Credential(ctx, host)
	if err != nil {
		return auth.EmptyCredential, &credentialError{err}
	}
	c.held.until(cred.Until)
	return cred.oras(), nil
}

func (c *Client) signaturesTime() time.Duration {
	if c.timeForSignatures > 0 {
		return c.timeForSignatures
	}
	return limits.SignaturesTime
}

func (c *Client) warn(format string, args ...any) {
	if c.Warn != nil {
		c.Warn(fmt.Sprintf(format, args...))
	}
}

// newTransport is the transport used when the caller brings none.
func newTransport() http.RoundTripper {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if d, ok := http.DefaultTransport.(*http.Transport); ok {
		t = d.Clone()
	}
	t.MaxIdleConnsPerHost = limits.FetchesInFlight
	t.ResponseHeaderTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = limits.RegistryHeaderBytes
	t.DisableCompression = true // what is named by a digest and a size comes as it is, so all may
	t.OnProxyConnectResponse = proxyAnswer
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	return t
}

// request is one request to the registry.
type request struct {
	op          string // what is being done, for errors: "resolve localhost:5000/app:v1"
	method      string
	url         *url.URL
	accept      string
	contentType string
	header      map[string]string
	body        []byte
	max         int64  // bytes of a successful answer's body; 0: none is read
	limit       string // the name of that bound
	push        bool   // needs push permission
	again       bool   // may be repeated safely although it is no GET or HEAD
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	length int64 // Content-Length; -1 when not told
	body   []byte
	url    *url.URL // of the request that was answered, after redirects
	method string
}

// at is the address of an API path below the repository.
func (r *Repository) at(path string) *url.URL {
	u := *r.base
	u.Path = "/v2/" + r.ref.Repository + "/" + path
	return &u
}

// do sends q and reads the answer within its bounds. An error is a
// [*shuin.Error]; any status is an answer, not an error.
func (r *Repository) do(ctx context.Context, q request) (*answer, error) {
	c := r.client
	limited, cancel := context.WithTimeout(ctx, limits.RegistryRequestTime)
	defer cancel()
	sctx := limited
	if r.ref.Repository != "" {
		sctx = auth.AppendScopesForHost(limited, r.base.Host, auth.ScopeRepository(r.ref.Repository, actions(q.push || r.push)...))
	}
	if q.again {
		sctx = context.WithValue(sctx, repeatable{}, true)
	}
	req, err := http.NewRequestWithContext(sctx, q.method, q.url.String(), bodyReader(q.body))
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: q.op, Err: err}
	}
	setHeaders(req, q, c.UserAgent)
	resp, err := c.send(req, sameOrigin(q.url, r.base))
	if err != nil {
		return nil, requestError(ctx, q.op, r.base.Host, err)
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, url: q.url, method: q.method}
	if resp.Request != nil && resp.Request.URL != nil {
		a.url = resp.Request.URL
	}
	max, name := q.max, q.limit
	if a.status < 200 || a.status > 299 {
		max, name = limits.ErrorBodyBytes, ""
	}
	a.body, err = readBody(resp.Body, max, name)
	if err != nil {
		return nil, requestError(ctx, q.op, r.base.Host, err)
	}
	return a, nil
}

// send uses the authenticating client only with the registry that the
// reference names: an address that a registry points to gets no credential.
func (c *Client) send(req *http.Request, own bool) (*http.Response, error) {
	if !own {
		return c.bare.Do(req)
	}
	generation := c.held.generation()
	resp, err := c.auth.Do(req)
	if err != nil || c.Renew == nil || resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return resp, err
	}
	again, bodyErr := rewind(req)
	if bodyErr != nil || !c.renew(req, generation) {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, limits.ErrorBodyBytes)
	_ = resp.Body.Close()
	return c.auth.Do(again)
}

// renew drops the credential that a request of that generation was refused
// with. Of requests that go out together the first one does, and the others
// are sent again with what it got.
func (c *Client) renew(req *http.Request, generation int) bool {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	if c.held.generation() != generation {
		return true
	}
	if !c.Renew(req.Context(), req.URL.Host) {
		return false
	}
	c.held.forget()
	return true
}

func actions(push bool) []string {
	if push {
		return []string{auth.ActionPull, auth.ActionPush}
	}
	return []string{auth.ActionPull}
}

func bodyReader(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}

func setHeaders(req *http.Request, q request, agent string) {
	if q.accept != "" {
		req.Header.Set("Accept", q.accept)
	}
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	if agent != "" {
		req.Header.Set("User-Agent", agent)
	}
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
}

// readBody reads at most max bytes. More is an error naming the bound, or, for
// the text of an error answer (no name), cut: it is only shown.
func readBody(body io.Reader, max int64, name string) ([]byte, error) {
	if max == 0 {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(body, max+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(b)) > max {
		if name == "" {
			return b[:max], nil
		}
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("more than %d bytes (limit %s)", max, name), Err: errTooLong}
	}
	return b, nil
}

var errTooLong = errors.New("the answer is too long")

// sameOrigin compares scheme, host and port, default ports filled in.
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && canonicalHost(a) == canonicalHost(b)
}

func canonicalHost(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}
