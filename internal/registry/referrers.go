package registry

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// listing walks the referrers of one subject, page by page (OCI-08). It is not
// safe for concurrent use.
type listing struct {
	repo    *Repository
	subject digest.Digest
	op      string

	begun bool
	found []descriptor // signatures only, each digest once, in the registry's order
	seen  map[digest.Digest]bool
	next  *url.URL               // nil: no more pages
	pages map[digest.Digest]bool // of the addresses asked
	total int                    // entries of any kind
	bytes int64                  // of all pages
	left  time.Duration          // of limits.SignaturesTime, for fetching too
}

func (r *Repository) referrers(subject digest.Digest) *listing {
	return &listing{
		repo: r, subject: subject, op: "list signatures of " + r.ref.Name() + "@" + subject.String(),
		seen: map[digest.Digest]bool{}, pages: map[digest.Digest]bool{}, left: r.client.signaturesTime(),
	}
}

// bounded is ctx within what is left of limits.SignaturesTime. The time counts
// from here until done is called: what happens between listing and fetching is
// not the registry's.
func (l *listing) bounded(ctx context.Context) (_ context.Context, done func()) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, l.left, errSignaturesTime)
	return ctx, func() {
		cancel()
		l.left -= time.Since(began)
	}
}

// take gives up to max signatures; more says that there are others. Pages are
// asked for only as far as needed to know that.
func (l *listing) take(ctx context.Context, max int) (found []descriptor, more bool, err error) {
	if err := l.begin(ctx); err != nil {
		return nil, false, err
	}
	for len(l.found) <= max && l.next != nil {
		a, err := l.page(ctx, l.next)
		if err != nil {
			return nil, false, err
		}
		if a.status != http.StatusOK {
			return nil, false, statusError(l.op, a)
		}
		if err := l.add(a); err != nil {
			return nil, false, err
		}
	}
	if len(l.found) > max {
		return l.found[:max], true, nil
	}
	return l.found, false, nil
}

// begin asks for the first page, and for the fallback tag where the registry
// has no referrers API. Registries say so in several ways: 404 (the
// specification's), 405 or another "not supported", a success that is no image
// index, or an empty index without the header that a registry with the API adds
// to a filtered answer. In the last case the answer may also be true, so that
// the tag only adds to it.
func (l *listing) begin(ctx context.Context) error {
	if l.begun {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := l.repo.at("referrers/" + l.subject.String())
	first.RawQuery = url.Values{"artifactType": {shuin.ArtifactTypeSignature}}.Encode()
	// A registry known to have no referrers API is asked for both at once: it
	// may have been given the API since, and need not cost a round trip.
	tag := func() (*answer, error) { return l.tagIndex(ctx) }
	if l.repo.facts.get(&l.repo.facts.noReferrers) {
		tag = async(tag)
	}
	a, err := l.page(ctx, first)
	if err != nil {
		return err
	}
	lacks := lacksReferrers(a)
	l.repo.facts.set(&l.repo.facts.noReferrers, lacks)
	if lacks {
		return l.fallback(tag)
	}
	if a.status != http.StatusOK {
		return statusError(l.op, a)
	}
	if err := l.add(a); err != nil {
		return err
	}
	if l.total == 0 && l.next == nil && !filterApplied(a.header) {
		return l.fallback(tag)
	}
	l.begun = true
	return nil
}

// async starts f and returns a function that waits for its result.
func async(f func() (*answer, error)) func() (*answer, error) {
	var a *answer
	var err error
	var g together
	g.Go(func() { a, err = f() })
	return func() (*answer, error) {
		g.Wait()
		return a, err
	}
}

// lacksReferrers reports whether the answer says that there is no referrers
// API.
func lacksReferrers(a *answer) bool {
	switch a.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	case http.StatusOK:
		return !isIndex(a.header)
	case http.StatusUnauthorized, http.StatusForbidden:
		return false
	}
	for _, e := range parseErrors(a.body) {
		if e.Code == errcode.ErrorCodeUnsupported {
			return true
		}
	}
	return false
}

func isIndex(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && t == mediaTypeImageIndex
}

// filterApplied reads OCI-Filters-Applied (OCI distribution specification,
// "Listing Referrers").
func filterApplied(h http.Header) bool {
	for _, v := range h.Values("OCI-Filters-Applied") {
		for f := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(f) == "artifactType" {
				return true
			}
		}
	}
	return false
}

// page asks for one page, and notices a list that turns in a circle or has no
// end.
func (l *listing) page(ctx context.Context, at *url.URL) (*answer, error) {
	key := digest.FromString(at.String())
	if l.pages[key] {
		return nil, malformed(l.op, "the referrers pages turn in a circle: %s was answered before", maskURL(at))
	}
	if len(l.pages) >= limits.ReferrersPages {
		return nil, exceeded(l.op, "ReferrersPages", "more than %d pages of referrers", limits.ReferrersPages)
	}
	l.pages[key] = true
	// What is left of the bound on all pages may be less than that on one.
	max, name := int64(limits.ReferrersBytes), "ReferrersBytes"
	if left := limits.ReferrersTotalBytes - l.bytes; left < max {
		max, name = left, "ReferrersTotalBytes"
	}
	return l.repo.do(ctx, request{op: l.op, method: http.MethodGet, url: at, accept: mediaTypeImageIndex, max: max, limit: name})
}

// add takes a page's signatures and finds the next page.
func (l *listing) add(a *answer) error {
	if !isIndex(a.header) {
		return malformed(l.op, "a referrers page is %q, not %q", printable(a.header.Get("Content-Type")), mediaTypeImageIndex)
	}
	if err := l.addIndex(a.body); err != nil {
		return err
	}
	next, err := nextPage(a)
	if err != nil {
		return malformed(l.op, "%w", err)
	}
	if next != nil && !sameOrigin(next, l.repo.base) {
		return malformed(l.op, "the next referrers page is on another host, %s", printable(next.Host))
	}
	l.next = next
	return nil
}

func (l *listing) addIndex(body []byte) error {
	if l.bytes += int64(len(body)); l.bytes >= limits.ReferrersTotalBytes {
		return exceeded(l.op, "ReferrersTotalBytes", "the referrers have more than %d bytes", limits.ReferrersTotalBytes)
	}
	ix, err := parseIndex(body)
	if err != nil {
		return unreadable(l.op, err)
	}
	l.total += len(ix.Manifests)
	if l.total > limits.Referrers {
		return exceeded(l.op, "Referrers", "more than %d referrers", limits.Referrers)
	}
	for _, d := range ix.Manifests {
		if d.isSignature() && !l.seen[d.Digest] {
			l.seen[d.Digest] = true
			l.found = append(l.found, d)
		}
	}
	return nil
}

// nextPage reads the Link header (RFC 8288) that names the next page.
func nextPage(a *answer) (*url.URL, error) {
	for _, h := range a.header.Values("Link") {
		for link := range strings.SplitSeq(h, ",") {
			rest, ok := strings.CutPrefix(strings.TrimSpace(link), "<")
			if !ok {
				continue
			}
			target, params, ok := strings.Cut(rest, ">")
			if !ok || !isNext(params) {
				continue
			}
			u, err := url.Parse(target)
			if err != nil {
				return nil, fmt.Errorf("the Link header names no next page: %q", printable(h))
			}
			return a.url.ResolveReference(u), nil
		}
	}
	return nil, nil
}

func isNext(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(strings.TrimSpace(k), "rel") && strings.EqualFold(strings.Trim(strings.TrimSpace(v), `"`), "next") {
			return true
		}
	}
	return false
}

// fallbackTag is the tag of the referrers index (OCI distribution
// specification, "Referrers Tag Schema"): the algorithm cut to 32 characters,
// the encoded part to 64.
func fallbackTag(d digest.Digest) string {
	alg, enc := d.Algorithm().String(), d.Encoded()
	return alg[:min(len(alg), 32)] + "-" + enc[:min(len(enc), 64)]
}

// tagIndex asks for the referrers index under its tag.
func (l *listing) tagIndex(ctx context.Context) (*answer, error) {
	return l.repo.do(ctx, request{
		op: l.op, method: http.MethodGet, url: l.repo.at("manifests/" + fallbackTag(l.subject)), accept: mediaTypeImageIndex,
		max: limits.ReferrersBytes, limit: "ReferrersBytes",
	})
}

// fallback takes the referrers index under its tag; none means no signatures.
func (l *listing) fallback(tag func() (*answer, error)) error {
	a, err := tag()
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusNotFound:
	case http.StatusOK:
		if err := l.addIndex(a.body); err != nil {
			return err
		}
	default:
		return statusError(l.op, a)
	}
	l.begun = true
	return nil
}
