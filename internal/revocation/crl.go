package revocation

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// bundle is a base CRL with its delta CRL, nil where there is none.
type bundle struct {
	base, delta *verify.CRL
	known       fetch.Validators // of the base
	sent        int              // bytes that the last fetch took
	stored      bool             // on disk, where there is a cache
}

// size is an upper bound of the bytes that it takes in memory.
func (b *bundle) size() int {
	n := limits.FetchValidators
	for _, l := range b.lists() {
		n += l.Size()
	}
	return n
}

// keep keeps b in memory, where it fits.
func (c *Checker) keep(point string, b *bundle, issuer *x509.Certificate) {
	c.lists.put(point, fingerprint(issuer), b, len(point)+b.size())
}

// checkCRLs asks the certificate's distribution points in order (REV-02): the
// first that gives an answer for this certificate decides.
func (c *Checker) checkCRLs(ctx context.Context, t times, cert, issuer *x509.Certificate) verify.Revocation {
	return inTurn(ctx, "crl", "crl distribution points", cert.CRLDistributionPoints, func(point string) verify.Revocation {
		return c.checkPoint(ctx, point, t, cert, issuer)
	})
}

// checkPoint takes the kept list while it is good, and fetches where it is not.
func (c *Checker) checkPoint(ctx context.Context, point string, t times, cert, issuer *x509.Certificate) verify.Revocation {
	kept := c.kept(point, t.now, issuer)
	if t.look != nil {
		return c.lookAtPoint(ctx, point, kept, t, cert, issuer)
	}
	if kept != nil {
		r := judgeCRL(kept, t, cert, issuer)
		if r.Status != verify.StatusUnavailable && !c.softDue(point, t.now, kept) {
			return r
		}
		if r.Status != verify.StatusUnavailable {
			return c.soften(ctx, point, kept, r, t, cert, issuer)
		}
	}
	fresh, err := c.fetchPoint(ctx, point, kept, t.now, cert, issuer, limits.CRLTimeout)
	if err != nil {
		return unavailable("crl", point, err)
	}
	return judgeCRL(fresh, t, cert, issuer)
}

// lookAtPoint replaces the kept list by what is there now, where a look may ask
// for it; else the kept one counts.
func (c *Checker) lookAtPoint(ctx context.Context, point string, kept *bundle, t times, cert, issuer *x509.Certificate) verify.Revocation {
	old := unavailable("crl", point, errNotAsked)
	if kept != nil {
		old = judgeCRL(kept, t, cert, issuer)
	}
	if !t.look.may(c, point, t.now) {
		return old
	}
	fresh, err := c.fetchPoint(ctx, point, kept, t.now, cert, issuer, limits.CRLTimeout)
	if err != nil {
		c.lookedAt(point, t.now, 0)
		c.step("crl %s could not be looked at: %v", fetch.Redact(point), err)
		return old
	}
	c.lookedAt(point, t.now, fresh.sent)
	c.pauses.put(point, "", t.now.Add(limits.CRLSoftPause), 1) // no decision needs to ask now
	if r := judgeCRL(fresh, t, cert, issuer); r.Status != verify.StatusUnavailable {
		return r
	}
	return old
}

// errNotAsked: a look may not ask there now, and nothing is kept.
var errNotAsked = errors.New("it was not asked for")

// soften tries to replace a list that is still good by a newer one. Where that
// fails the old one counts. There is no second try for a while: not where
// nobody answers, nor where the CA is late with the list it announced. A
// failure is worth a warning once the kept list is near its end.
func (c *Checker) soften(ctx context.Context, point string, kept *bundle, old verify.Revocation, t times, cert, issuer *x509.Certificate) verify.Revocation {
	defer c.pauses.put(point, "", t.now.Add(limits.CRLSoftPause), 1)
	fresh, err := c.fetchPoint(ctx, point, kept, t.now, cert, issuer, limits.CRLSoftRefresh)
	if err == nil {
		if r := judgeCRL(fresh, t, cert, issuer); r.Status != verify.StatusUnavailable {
			return r
		}
		err = errors.New("the new list is of no use")
	}
	tell := c.step
	if kept.nearEnd(t.now) {
		tell = c.warn
	}
	tell("crl %s could not be renewed, the kept one is good until %s: %v", fetch.Redact(point), old.NextUpdate.UTC().Format(time.RFC3339), err)
	return old
}

// softDue reports whether a list that is still good should be looked for
// anew: in the last quarter of its life, or once its CA says that the next one
// is out (Microsoft's Next CRL Publish, REV-03).
func (c *Checker) softDue(point string, now time.Time, b *bundle) bool {
	if until, ok := c.pauses.get(point); ok && now.Before(until) {
		return false
	}
	for _, l := range b.lists() {
		if next, ok := nextPublish(l.Extensions); ok && now.After(next) {
			return true
		}
	}
	return b.nearEnd(now)
}

// nearEnd: in the last quarter of the life of one of its lists.
func (b *bundle) nearEnd(now time.Time) bool {
	for _, l := range b.lists() {
		if now.After(l.ThisUpdate.Add(l.NextUpdate.Sub(l.ThisUpdate) / 4 * 3)) {
			return true
		}
	}
	return false
}

func (b *bundle) lists() []*verify.CRL {
	if b.delta == nil {
		return []*verify.CRL{b.base}
	}
	return []*verify.CRL{b.base, b.delta}
}

func judgeCRL(b *bundle, t times, cert, issuer *x509.Certificate) verify.Revocation {
	return b.base.Judge(b.delta, cert, issuer, t.now, t.at)
}

// kept is the list in memory or on disk, nil when there is none or it cannot
// be read. One on disk has to be issuer's: it may be stale, or planted.
func (c *Checker) kept(point string, now time.Time, issuer *x509.Certificate) *bundle {
	if b, ok := c.lists.get(point); ok {
		return b
	}
	if c.Cache == nil {
		return nil
	}
	c.step("Retrieving crl bundle from file cache with key %q ...", fetch.Redact(point))
	// One reader at a time: a file may be large, and callers many.
	v, err, _ := c.flights.Do("disk "+fingerprint(issuer)+" "+point, func() (any, error) {
		if c.Cache.size(point) > limits.CRLLarge {
			c.reading.Lock()
			defer c.reading.Unlock()
		}
		file, err := c.Cache.load(point)
		if err != nil {
			return nil, err
		}
		return parseBundle(file, now, issuer)
	})
	if errors.Is(err, errMiss) {
		c.step("CRL file cache miss. Key %q does not exist", fetch.Redact(point))
		return nil
	}
	if old, is := errors.AsType[expired](err); is {
		c.step("CRL bundle retrieved from file cache %v", old)
		return nil
	}
	if err != nil {
		c.warn("failed to get crl bundle from file cache with key %q: %v", fetch.Redact(point), err)
		return nil
	}
	b := v.(*bundle)
	for _, l := range b.lists() {
		if !current(l, now) {
			c.step("CRL bundle retrieved from file cache %v", expired(l.NextUpdate))
		}
	}
	c.keep(point, b, issuer)
	return b
}

// fetchPoint gets a list and its delta, and keeps them once they are known to
// be the issuer's and about cert: what somebody on the way put there must not stay.
func (c *Checker) fetchPoint(ctx context.Context, point string, kept *bundle, now time.Time, cert, issuer *x509.Certificate, timeout time.Duration) (*bundle, error) {
	named, err := verify.FreshestCRLs(cert.Extensions)
	if err != nil {
		return nil, fmt.Errorf("freshest crl of the certificate: %w", err)
	}
	key := fmt.Sprintf("crl %s %q %s", fingerprint(issuer), named, point)
	return shared(ctx, c, key, func(ctx context.Context) (*bundle, error) {
		// Somebody may have fetched it since kept was taken.
		if b, ok := c.lists.get(point); ok && b != kept && judgeCRL(b, times{now: now}, cert, issuer).Status != verify.StatusUnavailable {
			return b, nil
		}
		room := &room{of: c.large}
		defer room.leave()
		b, err := c.fetchBundle(ctx, room, point, kept, named, now, cert, issuer, timeout)
		if err != nil {
			return nil, err
		}
		// A list that is of no use for the certificate it was asked for is not
		// kept, whoever signed it: it may be another one in its place.
		if judgeCRL(b, times{now: now}, cert, issuer).Status == verify.StatusUnavailable {
			return b, nil
		}
		// Nor is one from before the kept list, which may have named others: it may
		// have been sent once more.
		if kept != nil && older(b.base, kept.base) && kept.base.CheckSignatureFrom(issuer) == nil {
			return b, nil
		}
		if b.stored = b.same(kept) && kept.stored; c.Cache != nil && !b.stored {
			c.step("Storing crl bundle to file cache with key %q ...", fetch.Redact(point))
			err := c.Cache.store(point, b)
			if b.stored = err == nil; err != nil {
				c.warn("failed to store crl bundle in file cache with key %q: %v", fetch.Redact(point), err)
			}
		}
		c.keep(point, b, issuer)
		return b, nil
	})
}

func (c *Checker) fetchBundle(ctx context.Context, room *room, point string, kept *bundle, named []string, now time.Time, cert, issuer *x509.Certificate, timeout time.Duration) (*bundle, error) {
	// Where only the delta is old the base, which may be large, can stay.
	if kept != nil && kept.delta != nil && current(kept.base, now) && !current(kept.delta, now) && kept.base.CheckSignatureFrom(issuer) == nil {
		delta, err := c.fetchDelta(ctx, room, kept.base, named, issuer, timeout)
		if err == nil {
			delta, err = forward(delta, kept, kept.base, now)
		}
		if renewed := (&bundle{base: kept.base, delta: delta, known: kept.known}); err == nil && delta != nil && judgeCRL(renewed, times{now: now}, cert, issuer).Status != verify.StatusUnavailable {
			return renewed, nil
		}
	}
	b, err := c.fetchBase(ctx, room, point, kept, now, issuer, timeout)
	if err != nil {
		return nil, err
	}
	base := b.base
	mine := kept != nil && kept.base.CheckSignatureFrom(issuer) == nil
	if mine && older(base, kept.base) && (current(kept.base, now) || revokesForGood(kept, now, cert, issuer)) {
		return nil, fmt.Errorf("the list fetched has number %s, an earlier one had %s", base.Number, kept.base.Number)
	}
	if b.delta, err = c.fetchDelta(ctx, room, base, named, issuer, timeout); err != nil {
		return nil, err
	}
	if mine {
		b.delta, err = forward(b.delta, kept, base, now)
	}
	return b, err
}

// revokesForGood: an old list that says so speaks on, also against one from
// before it that is good for longer.
func revokesForGood(kept *bundle, now time.Time, cert, issuer *x509.Certificate) bool {
	r := judgeCRL(kept, times{now: now}, cert, issuer)
	return r.Status == verify.StatusRevoked && !verify.MayBeLifted(r.Reason)
}

// forward is the delta to go on with, of one that came for base and the kept one:
// the numbers of those of one base, or of later ones, do not go back.
func forward(delta *verify.CRL, kept *bundle, base *verify.CRL, now time.Time) (*verify.CRL, error) {
	if delta == nil || kept.delta == nil || older(base, kept.base) || !older(delta, kept.delta) {
		return delta, nil
	}
	if !current(kept.delta, now) {
		return nil, fmt.Errorf("the delta crl fetched has number %s, an earlier one had %s", delta.Number, kept.delta.Number)
	}
	return kept.delta, nil
}

// fetchBase gets a base list, which is the kept one where the server says that it
// still has the same, or sends it once more.
func (c *Checker) fetchBase(ctx context.Context, room *room, point string, kept *bundle, now time.Time, issuer *x509.Certificate, timeout time.Duration) (*bundle, error) {
	r := fetch.Request{URL: point, Accept: "application/pkix-crl", MaxBytes: limits.CRLBytes, Timeout: timeout, Room: room.take}
	mine := kept != nil && kept.base.CheckSignatureFrom(issuer) == nil
	if mine && current(kept.base, now) { // one that ended is of no use, whoever says that it is the same
		r.Known = kept.known
	}
	resp, err := c.HTTP.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	b := &bundle{known: resp.Validators, sent: len(resp.Body)}
	if mine && (resp.Same || bytes.Equal(resp.Body, kept.base.Raw)) {
		b.base = kept.base
		return b, nil
	}
	b.base, err = parseFrom(point, resp.Body, issuer)
	return b, err
}

// fetchDelta follows the Freshest CRL extension of the base, else that of the
// certificate. Their addresses hold the same list: the first that answers is
// taken. Without a delta CRL that is named there is no answer (REV-02).
func (c *Checker) fetchDelta(ctx context.Context, room *room, base *verify.CRL, named []string, issuer *x509.Certificate, timeout time.Duration) (*verify.CRL, error) {
	urls, err := verify.FreshestCRLs(base.Extensions)
	if err != nil {
		return nil, fmt.Errorf("freshest crl of the base crl: %w", err)
	}
	if len(urls) == 0 {
		urls = named
	}
	if len(urls) == 0 {
		return nil, nil
	}
	urls, err = tooMany(urls, "delta crls")
	errs := []error{err}
	for _, u := range urls {
		delta, err := c.fetchList(ctx, room, u, issuer, timeout)
		if err == nil {
			return delta, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("delta crl: %w", errors.Join(errs...))
}

func (c *Checker) fetchList(ctx context.Context, room *room, address string, issuer *x509.Certificate, timeout time.Duration) (*verify.CRL, error) {
	resp, err := c.HTTP.Do(ctx, fetch.Request{URL: address, Accept: "application/pkix-crl", MaxBytes: limits.CRLBytes, Timeout: timeout, Room: room.take})
	if err != nil {
		return nil, err
	}
	return parseFrom(address, resp.Body, issuer)
}

func parseFrom(address string, der []byte, issuer *x509.Certificate) (*verify.CRL, error) {
	list, err := verify.ReadCRL(der, issuer)
	if err != nil {
		return nil, fmt.Errorf("crl from %s: %w", fetch.Redact(address), err)
	}
	return list, nil
}

// same says whether b holds the lists that other holds, nil being none.
func (b *bundle) same(other *bundle) bool {
	return other != nil && bytes.Equal(b.base.Raw, other.base.Raw) && bytes.Equal(raw(b.delta), raw(other.delta))
}

func current(l *verify.CRL, now time.Time) bool {
	return !l.NextUpdate.IsZero() && !now.After(l.NextUpdate)
}

func older(a, b *verify.CRL) bool {
	return a.Number != nil && b.Number != nil && a.Number.Cmp(b.Number) < 0
}

// room is where large lists are fetched, few at a time: one fetch's place in it.
type room struct {
	of    chan struct{}
	taken bool
}

// take waits for the place, once; leave gives it back.
func (r *room) take(ctx context.Context) error {
	if r.taken {
		return nil
	}
	select {
	case r.of <- struct{}{}:
		r.taken = true
		return nil
	case <-ctx.Done():
		return fmt.Errorf("too many large lists are being fetched: %w", ctx.Err())
	}
}

func (r *room) leave() {
	if r.taken {
		<-r.of
	}
}
