package revocation

import (
	"context"
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// Turn is a certificate of which the contrary is known of what was told before.
type Turn struct {
	Certificate *x509.Certificate
	Purpose     envelope.Purpose
	// Depth is its place in the chain: 0 for a signer's certificate, 1 for that
	// of the CA that issued it.
	Depth int
	// Root is the chain's anchor.
	Root    *x509.Certificate
	Revoked bool // or good again
}

// asking is one certificate of a chain that was checked.
type asking struct {
	cert, issuer, root *x509.Certificate
	purpose            envelope.Purpose
	depth              int
}

// key tells askings apart, and group those that are answered by the same.
func (a *asking) key() string {
	return strconv.Itoa(int(a.purpose)) + fingerprint(a.cert) + fingerprint(a.issuer) + fingerprint(a.root)
}

func (a *asking) group() string {
	if len(a.cert.OCSPServer) > 0 {
		return fingerprint(a.cert) + fingerprint(a.issuer)
	}
	return fingerprint(a.issuer) + strings.Join(a.cert.CRLDistributionPoints, "\x00")
}

// follow notes what a chain's certificates were found to be.
func (c *Checker) follow(chain []*x509.Certificate, purpose envelope.Purpose, found []verify.Revocation, now time.Time) {
	for i := range len(chain) - 1 {
		if len(chain[i].OCSPServer)+len(chain[i].CRLDistributionPoints) == 0 {
			continue
		}
		a := asking{chain[i], chain[i+1], chain[len(chain)-1], purpose, i}
		c.asked.want(a.key(), fingerprint(a.root), a, found[i].Status, now)
	}
}

// looking is what one look may still ask. Nil: a decision asks.
type looking struct {
	left  *atomic.Int64
	short bool // it wanted to ask more than it may
}

// Look asks anew about the certificates that were checked since a time, where
// Follow is set, and returns those of which the contrary is known now of what
// the checks found, or the last look told. Nobody who checks waits for it. What
// it fetched counts for the checks that come; where it cannot fetch, what is
// kept counts on, and nothing has turned.
//
// It makes at most limits.RevocationLook requests (the list that a list names as
// its delta apart) within limits.RevocationLookTime: each root in turn has one,
// and has it about what no look came to for longest. A list that the
// server still has is not sent again where the server says so (RFC 9110, section
// 13); one that it sends each time is asked for no more often than
// limits.RevocationLookRate allows. One look at a time.
func (c *Checker) Look(ctx context.Context, now, since time.Time) []Turn {
	c.once.Do(c.build)
	ctx, cancel := context.WithTimeout(ctx, limits.RevocationLookTime)
	defer cancel()
	var groups [][]*following[asking]
	index := map[string]int{}
	for _, x := range c.asked.since(since) {
		key := x.q.group()
		i, known := index[key]
		if !known {
			i = len(groups)
			index[key], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], x)
	}
	var left atomic.Int64
	left.Store(limits.RevocationLook)
	var mu sync.Mutex
	var turns []Turn
	var all errgroup.Group
	all.SetLimit(limits.RevocationLookAt)
	for _, group := range groups {
		all.Go(func() error {
			for _, x := range group { // the first asks, for all of them
				if ctx.Err() != nil {
					break
				}
				l := &looking{left: &left}
				r := c.check(ctx, times{now: now, look: l}, []*x509.Certificate{x.q.cert, x.q.issuer}, 0)
				if l.short || ctx.Err() != nil {
					break
				}
				if c.asked.found(x, r.Status, now) {
					mu.Lock()
					turns = append(turns, Turn{x.q.cert, x.q.purpose, x.q.depth, x.q.root, r.Status == verify.StatusRevoked})
					mu.Unlock()
				}
			}
			return nil
		})
	}
	_ = all.Wait() // none fails
	slices.SortFunc(turns, func(a, b Turn) int {
		return strings.Compare(a.Certificate.Subject.String(), b.Certificate.Subject.String())
	})
	return turns
}

// may says whether a look may ask at an address now: it did not a moment ago, and
// has a request left.
func (l *looking) may(c *Checker, address string, now time.Time) bool {
	if until, ok := c.looks.get(address); ok && now.Before(until) {
		return false
	}
	if l.left.Add(-1) < 0 {
		l.short = true
		return false
	}
	return true
}

// lookedAt notes that an address was asked, and how much it sent: this look has
// what it sent, for all who want it, and a later one asks again.
func (c *Checker) lookedAt(address string, now time.Time, sent int) {
	c.looks.put(address, "", now.Add(max(limits.RevocationLookLeast, time.Duration(sent)*time.Second/limits.RevocationLookRate)), 1)
}
