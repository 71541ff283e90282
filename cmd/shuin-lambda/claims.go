package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// leased is a store whose claims and turns last as long as the invocation that
// took them can, and no longer: a function that is killed leaves them behind,
// and until they end everybody else is answered that somebody is at it.
type leased struct{ watch.Store }

// lease is how long what is claimed at now by the work under ctx may take; most
// where that has no end.
func lease(ctx context.Context, now time.Time, most time.Duration) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return most
	}
	return min(most, max(end.Sub(now), 0)+limits.LambdaLeaseMargin)
}

func (l leased) Begin(ctx context.Context, c watch.Claim, now time.Time, most time.Duration) (string, error) {
	token, err := l.Store.Begin(ctx, c, now, lease(ctx, now, most))
	if err == nil {
		heldOf(ctx).add(c, token)
	}
	return token, err
}

func (l leased) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	err := l.Store.Done(ctx, c, token, now)
	if err == nil {
		heldOf(ctx).drop(c)
	}
	return err
}

func (l leased) Release(ctx context.Context, c watch.Claim, token string) error {
	err := l.Store.Release(ctx, c, token)
	if err == nil {
		heldOf(ctx).drop(c)
	}
	return err
}

func (l leased) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, most time.Duration) (watch.Turn, error) {
	return l.Store.Tell(ctx, t, now, remind, lease(ctx, now, most))
}

// held are the claims of one observation that have not ended.
type held struct {
	mu     sync.Mutex
	claims map[watch.Claim]string
}

type heldKey struct{}

// heldOf is the observation's; one that nobody reads where there is none.
func heldOf(ctx context.Context) *held {
	if h, ok := ctx.Value(heldKey{}).(*held); ok {
		return h
	}
	return &held{}
}

func (h *held) add(c watch.Claim, token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.claims == nil {
		h.claims = map[watch.Claim]string{}
	}
	h.claims[c] = token
}

func (h *held) drop(c watch.Claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.claims, c)
}

// release ends all of them without a decision.
func (h *held) release(ctx context.Context, s watch.Store) (err error) {
	h.mu.Lock()
	claims := maps.Clone(h.claims)
	h.mu.Unlock()
	for c, token := range claims {
		err = errors.Join(err, s.Release(ctx, c, token))
	}
	return err
}

// watched has the watcher observe something. A panic is an error, and leaves no
// claim behind: the next time is not answered that somebody is at it.
func (f *function) watched(ctx context.Context, observe func(context.Context, *watch.Watcher) (*watch.Result, error)) (r *watch.Result, err error) {
	h := &held{}
	ctx = context.WithValue(ctx, heldKey{}, h)
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		logPanic(loggerOf(ctx), p)
		r, err = nil, errPanic
		if f.watcher == nil {
			return
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.LambdaReleaseTime)
		defer cancel()
		if lost := h.release(ending, f.watcher.Store); lost != nil {
			loggerOf(ctx).Error("the claim stays until its lease ends", "error", oneLine(lost.Error()))
		}
	}()
	return observe(ctx, f.watcher)
}

// observe is watched, of something that runs.
func (f *function) observe(ctx context.Context, o watch.Observation) (*watch.Result, error) {
	return f.watched(ctx, func(ctx context.Context, w *watch.Watcher) (*watch.Result, error) { return w.Observe(ctx, o) })
}

// busyness counts how often a message came while another held what it is about:
// that was no try at it. Of one instance; safe for concurrent use.
type busyness struct {
	mu    sync.Mutex
	times map[string]int // by the message's id
}

// came notes one such time.
func (b *busyness) came(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.times == nil || len(b.times) >= limits.LambdaBusy {
		b.times = map[string]int{}
	}
	b.times[id]++
}

// of is how many of a message's receives were no try: one at most counts, or
// the queue would give it up before it is told that it could not be checked.
func (b *busyness) of(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(b.times[id], 1)
}

func (b *busyness) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.times, id)
}
