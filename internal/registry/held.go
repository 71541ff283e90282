package registry

import (
	"context"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// heldTokens is the cache of tokens that the authenticating client fills. The
// library's own never forgets: here all of it is dropped when a credential in
// it is over, or was refused.
type heldTokens struct {
	mu    sync.Mutex
	cache auth.Cache
	end   time.Time // zero: no end
	gen   int       // counts what was dropped
}

func (h *heldTokens) now() auth.Cache {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cache == nil || !h.end.IsZero() && !time.Now().Before(h.end) {
		h.cache, h.end = auth.NewCache(), time.Time{}
	}
	return h.cache
}

// until notes when a credential in use is over.
func (h *heldTokens) until(t time.Time) {
	if t.IsZero() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end.IsZero() || t.Before(h.end) {
		h.end = t
	}
}

// forget drops everything.
func (h *heldTokens) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cache, h.end = nil, time.Time{}
	h.gen++
}

// generation changes whenever everything is dropped.
func (h *heldTokens) generation() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gen
}

func (h *heldTokens) GetScheme(ctx context.Context, registry string) (auth.Scheme, error) {
	return h.now().GetScheme(ctx, registry)
}

func (h *heldTokens) GetToken(ctx context.Context, registry string, scheme auth.Scheme, key string) (string, error) {
	return h.now().GetToken(ctx, registry, scheme, key)
}

func (h *heldTokens) Set(ctx context.Context, registry string, scheme auth.Scheme, key string, fetch func(context.Context) (string, error)) (string, error) {
	return h.now().Set(ctx, registry, scheme, key, fetch)
}
