package registry

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// tagNames are the tags of one page; its decoding stops at the bound.
type tagNames []string

// UnmarshalJSONFrom reads no more tags than one repository may have.
func (l *tagNames) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = nil
	return elements(dec, func(n int) error {
		if n > limits.Tags {
			return exceeded("read a tag listing", "Tags", "more than %d tags", limits.Tags)
		}
		t, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if t.Kind() != '"' || !shuin.ValidTag(t.String()) {
			return malformed("read a tag listing", "%q is no tag", printable(t.String()))
		}
		*l = append(*l, t.String())
		return nil
	})
}

// Tags lists the tags of the repository that come after last (empty: all), page
// by page in the registry's order (OCI distribution specification, "Listing
// Tags"); page is called for each and may end the listing with an error, which
// is returned. Manifests without a tag are in no listing of the specification.
func (r *Repository) Tags(ctx context.Context, last string, page func([]string) error) error {
	op := "list tags of " + r.ref.Name()
	next := r.at("tags/list")
	query := url.Values{"n": {strconv.Itoa(limits.TagsPage)}}
	if last != "" {
		query.Set("last", last)
	}
	next.RawQuery = query.Encode()
	asked := map[digest.Digest]bool{}
	for total := 0; next != nil; {
		key := digest.FromString(next.String())
		if asked[key] {
			return malformed(op, "the pages turn in a circle: %s was answered before", maskURL(next))
		}
		if asked[key] = true; len(asked) > limits.TagsPages {
			return exceeded(op, "TagsPages", "more than %d pages", limits.TagsPages)
		}
		tags, after, err := r.tagsPage(ctx, op, next)
		if err != nil {
			return err
		}
		if total += len(tags); total > limits.Tags {
			return exceeded(op, "Tags", "more than %d tags", limits.Tags)
		}
		if err := page(tags); err != nil {
			return err
		}
		next = after
	}
	return nil
}

func (r *Repository) tagsPage(ctx context.Context, op string, at *url.URL) (tags []string, next *url.URL, err error) {
	a, err := r.do(ctx, request{
		op: op, method: http.MethodGet, url: at, accept: "application/json", max: limits.TagsPageBytes, limit: "TagsPageBytes",
	})
	if err != nil {
		return nil, nil, err
	}
	if a.status != http.StatusOK {
		return nil, nil, statusError(op, a)
	}
	var list struct {
		Tags tagNames `json:"tags"`
	}
	if err := decode(a.body, &list); err != nil {
		return nil, nil, unreadable(op, err)
	}
	if next, err = nextPage(a); err != nil {
		return nil, nil, malformed(op, "%w", err)
	}
	if next != nil && !sameOrigin(next, r.base) {
		return nil, nil, malformed(op, "the next page is on another host, %s", printable(next.Host))
	}
	return list.Tags, next, nil
}

// ReferrersTag reports whether tag has the form under which registries without
// the referrers API keep what refers to a manifest (OCI distribution
// specification, "Referrers Tag Schema"), and of which it would be.
func ReferrersTag(tag string) (digest.Digest, bool) {
	alg, hex, ok := strings.Cut(tag, "-")
	if !ok {
		return "", false
	}
	d := digest.NewDigestFromEncoded(digest.Algorithm(alg), hex)
	return d, d.Validate() == nil && fallbackTag(d) == tag
}
