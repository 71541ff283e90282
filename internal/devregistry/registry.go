package devregistry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "crypto/sha512" // digests sha384 and sha512

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
)

// Registry is the registry: an http.Handler. It is safe for concurrent use.
type Registry struct {
	log    requestLog
	count  atomic.Int64 // requests, for Throttle
	tokens tokens

	mu     sync.RWMutex
	opts   Options
	faults []*Fault
	store  *store
}

// New makes a registry, reading what opts.Dir holds.
func New(opts Options) (*Registry, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s, err := openStore(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("dev registry: %w", err)
	}
	return &Registry{opts: opts, store: s}, nil
}

// Close releases the directory. A registry in memory needs no Close.
func (r *Registry) Close() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.store.close()
}

// Log returns the requests so far, oldest first.
func (r *Registry) Log() []Request { return r.log.snapshot() }

// ResetLog forgets the requests so far; the content stays.
func (r *Registry) ResetLog() { r.log.reset() }

// Reset forgets content, requests, faults and tokens. A registry on disk
// keeps its content: use a new directory instead.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.Dir == "" {
		r.store = newStore()
	}
	r.faults = nil
	r.tokens.reset()
	r.count.Store(0)
	r.log.reset()
}

// Configure changes the options between requests. Dir cannot be changed.
func (r *Registry) Configure(change func(*Options)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.opts
	change(&o)
	if o.Dir != r.opts.Dir {
		return errors.New("dev registry: the directory cannot be changed")
	}
	if err := o.validate(); err != nil {
		return err
	}
	r.opts = o
	return nil
}

// Serve answers requests that come in on ln until ctx is done, then lets
// those under way finish for a few seconds. It closes ln. It returns nil
// after an orderly end.
func (r *Registry) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           r,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Minute,
		WriteTimeout:      10 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("dev registry: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("dev registry: %w", err)
	}
	return nil
}

// target is what a request's path names.
type target struct {
	kind Kind
	repo string
	ref  string // tag, digest or upload id
}

// parsePath splits a path by its end, since a repository's name may itself
// hold "blobs" or "manifests".
func parsePath(path string) target {
	switch path {
	case "/v2", "/v2/":
		return target{kind: KindBase}
	case "/token":
		return target{kind: KindToken}
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return target{kind: KindUnknown}
	}
	seg := strings.Split(rest, "/")
	n := len(seg)
	name := func(cut int) string { return strings.Join(seg[:n-cut], "/") }
	switch {
	case n >= 4 && seg[n-3] == "blobs" && seg[n-2] == "uploads":
		return target{KindUpload, name(3), seg[n-1]}
	case n >= 3 && seg[n-2] == "blobs" && seg[n-1] == "uploads":
		return target{KindUpload, name(2), ""}
	case n >= 3 && seg[n-2] == "tags" && seg[n-1] == "list":
		return target{KindTags, name(2), ""}
	case n >= 3 && seg[n-2] == "manifests":
		return target{KindManifest, name(2), seg[n-1]}
	case n >= 3 && seg[n-2] == "blobs":
		return target{KindBlob, name(2), seg[n-1]}
	case n >= 3 && seg[n-2] == "referrers":
		return target{KindReferrers, name(2), seg[n-1]}
	}
	return target{kind: KindUnknown}
}

// call is one request under way: the options and the store it began with.
type call struct {
	w     http.ResponseWriter
	req   *http.Request
	t     target
	opts  Options
	store *store
}

// ServeHTTP answers one request: log, latency, throttle, fault, authorisation,
// then the endpoint.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	t := parsePath(req.URL.Path)
	entry := r.log.begin(req, t)
	defer entry.finish()

	r.mu.RLock()
	opts, st := r.opts, r.store
	r.mu.RUnlock()
	if opts.Latency > 0 {
		select {
		case <-time.After(opts.Latency):
		case <-req.Context().Done():
			return
		}
	}
	c := &call{w: &recorder{ResponseWriter: w, entry: entry}, req: req, t: t, opts: opts, store: st}
	c.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if n := r.count.Add(1); opts.Throttle > 0 && n%int64(opts.Throttle) == 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(opts.RetryAfter/time.Second)))
		writeError(c.w, refuse(http.StatusTooManyRequests, "TOOMANYREQUESTS", "every %dth request is refused", opts.Throttle))
		return
	}
	if f := r.takeFault(req); f != nil {
		f.answer(c.w, req)
		return
	}
	if t.kind == KindToken {
		r.tokens.serve(c)
		return
	}
	if !r.tokens.authorise(c) {
		return
	}
	var err *apiError
	if !errors.As(c.route(), &err) {
		return
	}
	writeError(c.w, err)
}

// route calls the endpoint. What it returns is an *apiError or nil.
func (c *call) route() error {
	if c.t.repo != "" && (!shuin.ValidRepository(c.t.repo) || len(c.t.repo) > 255) {
		return refuse(http.StatusBadRequest, "NAME_INVALID", "invalid repository name %q", c.t.repo)
	}
	switch c.t.kind {
	case KindBase:
		if !c.reads() {
			return c.methodRefused()
		}
		c.json(http.StatusOK, "application/json", struct{}{})
		return nil
	case KindManifest:
		return c.manifest()
	case KindBlob:
		return c.blob()
	case KindUpload:
		return c.upload()
	case KindReferrers:
		return c.referrers()
	case KindTags:
		return c.tags()
	}
	return refuse(http.StatusNotFound, "UNSUPPORTED", "no such endpoint")
}

func (c *call) reads() bool {
	return c.req.Method == http.MethodGet || c.req.Method == http.MethodHead
}

func (c *call) methodRefused() *apiError {
	return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "%s is not supported here", c.req.Method)
}

// parseDigest accepts the registered algorithms sha256, sha384 and sha512.
func parseDigest(s string) (digest.Digest, *apiError) {
	d := digest.Digest(s)
	if err := d.Validate(); err != nil {
		return "", refuse(http.StatusBadRequest, "DIGEST_INVALID", "invalid digest %q: %v", s, err)
	}
	return d, nil
}
