package awssigner

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rates bounds the requests of each principal.
type rates struct {
	limit rate.Limit
	burst int
	most  int // principals

	mu sync.Mutex
	by map[string]*rate.Limiter
}

func newRates(limit float64, burst, most int) *rates {
	return &rates{limit: rate.Limit(limit), burst: burst, most: most, by: map[string]*rate.Limiter{}}
}

// allow spends one request of a principal's rate. When more principals are
// active than can be remembered, further ones are refused.
func (r *rates) allow(principal string, now time.Time) bool {
	r.mu.Lock()
	l := r.by[principal]
	if l == nil {
		if len(r.by) >= r.most {
			r.forget(now)
		}
		if len(r.by) >= r.most {
			r.mu.Unlock()
			return false
		}
		l = rate.NewLimiter(r.limit, r.burst)
		r.by[principal] = l
	}
	r.mu.Unlock()
	return l.AllowN(now, 1)
}

// forget drops those whose rate is whole again: a new limiter is the same.
func (r *rates) forget(now time.Time) {
	for p, l := range r.by {
		if l.TokensAt(now) >= float64(r.burst) {
			delete(r.by, p)
		}
	}
}
