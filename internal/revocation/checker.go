// Package revocation asks OCSP responders and CRL distribution points whether
// the certificates of a chain are revoked, and keeps their answers: CRLs on
// disk in notation's format, and both in memory for the life of the process.
//
// It fetches, orders, falls back and caches. What an answer means is decided
// by package verify, each time anew, so that a kept answer never outlives its
// nextUpdate. It builds no chain and trusts none: its caller anchors the chain
// before any address in it is contacted.
package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
	"golang.org/x/sync/singleflight"
)

// Checker checks revocation; it satisfies verify.RevocationChecker. The zero
// value is ready: no disk cache, no private addresses, responders checked.
// Fields are not to be changed after first use; it is safe for concurrent use.
type Checker struct {
	// HTTP fetches; nil means the strict zero fetch.Client. Its
	// AllowPrivateAddresses decides whether a company's own CRL on a private
	// address can be reached.
	HTTP *fetch.Client
	// Cache keeps CRLs on disk; nil means memory only.
	Cache *FileCache
	// OnWarn is told, in one line, what went wrong without deciding anything:
	// a cache that cannot be read or written, a list near its end that cannot
	// be renewed.
	// May be nil; may be called concurrently.
	OnWarn func(string)
	// OnStep is told, in one line, what is done besides requests: look-ups in
	// the cache on disk, a fallback from OCSP to CRL. The words are notation's.
	// May be nil; may be called concurrently.
	OnStep func(string)
	// SkipOCSPResponderRevocation accepts a delegated OCSP responder whose
	// certificate lacks id-pkix-ocsp-nocheck without looking it up in its CRL,
	// as upstream does. The specification asks for the look-up (REV-04).
	SkipOCSPResponderRevocation bool
	// Follow remembers what was checked, for Look.
	Follow bool

	flights singleflight.Group
	once    sync.Once
	reading sync.Mutex    // held while a CRL above limits.CRLLarge is read from the cache
	large   chan struct{} // holds one for each fetch of such
	lists   *lru[*bundle]
	answers *lru[ocspEntry]
	ended   *lru[ocspEnd] // what a responder said is revoked for good
	pauses  *lru[time.Time]
	asked   followed[asking]
	looks   *lru[time.Time] // by address: when a look may ask there again
}

var _ verify.RevocationChecker = (*Checker)(nil)

// Check returns one verify.Revocation per certificate of chain, leaf first;
// all certificates are asked about at once (REV-01). The last certificate, the
// trust anchor, is not asked about. Answers, kept ones too, are judged as of
// now. at is the authenticated signing time, zero when there is none. The
// rules are the same for both purposes.
func (c *Checker) Check(ctx context.Context, chain []*x509.Certificate, purpose envelope.Purpose, now, at time.Time) []verify.Revocation {
	c.once.Do(c.build)
	out := make([]verify.Revocation, len(chain))
	var wg sync.WaitGroup
	for i := range chain {
		if i == len(chain)-1 {
			out[i] = verify.Revocation{Status: verify.StatusNoSource}
			continue
		}
		wg.Go(func() { out[i] = c.check(ctx, times{now: now, at: at}, chain, i) })
	}
	wg.Wait()
	if c.Follow {
		c.follow(chain, purpose, out, now)
	}
	return out
}

func (c *Checker) build() {
	if c.HTTP == nil {
		c.HTTP = new(fetch.Client)
	}
	c.lists = newLRU[*bundle](limits.CRLMemory)
	c.answers = newLRU[ocspEntry](limits.OCSPMemory)
	c.ended = newLRU[ocspEnd](limits.OCSPMemory)
	c.large = make(chan struct{}, limits.CRLLargeAt)
	c.pauses = newLRU[time.Time](limits.OCSPMemory)
	c.looks = newLRU[time.Time](2 * limits.RevocationFollowed)
}

func (c *Checker) warn(format string, args ...any) {
	if c.OnWarn != nil {
		c.OnWarn(fmt.Sprintf(format, args...))
	}
}

// times are what an answer is judged by: the present and, where it is known,
// the time of signing; and who asks.
type times struct {
	now, at time.Time
	look    *looking // nil: a decision
}

func (c *Checker) step(format string, args ...any) {
	if c.OnStep != nil {
		c.OnStep(fmt.Sprintf(format, args...))
	}
}

// check asks about chain[i]: OCSP first, then CRLs, each only where the
// certificate names them (REV-01).
func (c *Checker) check(ctx context.Context, t times, chain []*x509.Certificate, i int) verify.Revocation {
	cert, issuer := chain[i], chain[i+1]
	hasOCSP, hasCRL := len(cert.OCSPServer) > 0, len(cert.CRLDistributionPoints) > 0
	switch {
	case hasOCSP || hasCRL:
	case verify.NamesSource(cert):
		return unavailable("", "", errors.New("the certificate names a responder or a crl, at no address that can be asked"))
	default:
		return verify.Revocation{Status: verify.StatusNoSource}
	}
	if !hasOCSP {
		return c.told(i, cert, c.checkCRLs(ctx, t, cert, issuer))
	}
	byOCSP := c.told(i, cert, c.checkOCSP(ctx, t, cert, issuer))
	if byOCSP.Status != verify.StatusUnavailable || !hasCRL {
		return byOCSP
	}
	if ctx.Err() != nil {
		return byOCSP
	}
	c.step("OCSP check failed with unknown error and fallback to CRL check for certificate #%d in chain with subject %q: %v", i+1, cert.Subject, byOCSP.Err)
	byCRL := c.told(i, cert, c.checkCRLs(ctx, t, cert, issuer))
	if byCRL.Status == verify.StatusUnavailable {
		byCRL.Err = errors.Join(byOCSP.Err, byCRL.Err)
	}
	return byCRL
}

// told is r, which it tells unless it is good.
func (c *Checker) told(i int, cert *x509.Certificate, r verify.Revocation) verify.Revocation {
	method := strings.ToUpper(r.Method)
	err := r.Err
	if r.Status == verify.StatusRevoked {
		err = fmt.Errorf("certificate is revoked via %s", method)
	}
	if err != nil {
		c.step("Certificate #%d in chain with subject %q encountered an error for revocation method %s at URL %q: %v", i+1, cert.Subject, method, r.Server, err)
	}
	return r
}

func unavailable(method, server string, err error) verify.Revocation {
	return verify.Revocation{Status: verify.StatusUnavailable, Method: method, Server: server, Err: err}
}

// tooMany bounds the addresses that one certificate makes us try. Where none of
// those gives an answer, the limit is what decides.
func tooMany(addresses []string, what string) ([]string, error) {
	if len(addresses) <= limits.RevocationURLs {
		return addresses, nil
	}
	return addresses[:limits.RevocationURLs], &shuin.Error{
		Code:    shuin.CodeLimit,
		Message: fmt.Sprintf("the certificate names %d %s, only the first %d were tried", len(addresses), what, limits.RevocationURLs),
	}
}

// inTurn asks the addresses that a certificate names, in order; the first that
// gives an answer decides, "I do not know it" included.
func inTurn(ctx context.Context, method, what string, addresses []string, ask func(address string) verify.Revocation) verify.Revocation {
	addresses, err := tooMany(addresses, what)
	errs := []error{err}
	last := ""
	for _, address := range addresses {
		r := ask(address)
		r.Method, r.Server = method, fetch.Redact(address)
		last = r.Server
		if r.Status != verify.StatusUnavailable {
			return r
		}
		errs = append(errs, r.Err)
		if errors.Is(r.Err, verify.ErrOCSPUnknown) || ctx.Err() != nil {
			break
		}
	}
	return unavailable(method, last, errors.Join(errs...))
}

// shared runs fn once for all callers with the same key that are waiting at
// the same time. fn has a deadline of its own: a caller that gives up spoils
// it for none of the others.
func shared[T any](ctx context.Context, c *Checker, key string, fn func(context.Context) (T, error)) (T, error) {
	ch := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.RevocationGroup)
		defer cancel()
		return fn(ctx)
	})
	var zero T
	select {
	case r := <-ch:
		if r.Err != nil {
			return zero, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}
