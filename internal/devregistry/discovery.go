package devregistry

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
)

// referrers serves the referrers API: what names a digest as its subject,
// oldest first, page by page if so configured.
func (c *call) referrers() error {
	switch {
	case c.opts.NoReferrers:
		return refuse(http.StatusNotFound, "UNSUPPORTED", "no referrers API")
	case c.opts.Referrers405, !c.reads():
		return c.methodRefused()
	}
	d, aerr := parseDigest(c.t.ref)
	if aerr != nil {
		return aerr
	}
	index := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{2, typeOCIIndex, []descriptor{}}
	if c.opts.ReferrersEmpty {
		c.json(http.StatusOK, typeOCIIndex, index)
		return nil
	}
	q := c.req.URL.Query()
	found := c.store.referrersOf(c.t.repo, d)
	if want := q.Get("artifactType"); want != "" && !c.opts.NoFilter {
		found = slices.DeleteFunc(found, func(m *manifest) bool { return m.describe().ArtifactType != want })
		c.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if s := q.Get("after"); s != "" {
		after, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return refuse(http.StatusBadRequest, "UNSUPPORTED", "invalid page %q", s)
		}
		found = slices.DeleteFunc(found, func(m *manifest) bool { return m.seq <= after })
	}
	if n := c.opts.PageSize; n > 0 && len(found) > n {
		found = found[:n]
		q.Set("after", strconv.FormatInt(found[n-1].seq, 10))
		c.next(q)
	}
	for _, m := range found {
		index.Manifests = append(index.Manifests, m.describe())
	}
	c.json(http.StatusOK, typeOCIIndex, index)
	return nil
}

// tags serves the tag list, with n and last. A repository without tags has an
// empty list.
func (c *call) tags() error {
	if !c.reads() {
		return c.methodRefused()
	}
	q := c.req.URL.Query()
	tags := c.store.tagsOf(c.t.repo)
	if last := q.Get("last"); last != "" {
		i, found := slices.BinarySearch(tags, last)
		if found {
			i++
		}
		tags = tags[i:]
	}
	if s := q.Get("n"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return refuse(http.StatusBadRequest, "UNSUPPORTED", "invalid n %q", s)
		}
		if n < len(tags) {
			tags = tags[:n]
			if n > 0 {
				q.Set("last", tags[n-1])
				c.next(q)
			}
		}
	}
	if tags == nil {
		tags = []string{}
	}
	c.json(http.StatusOK, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.t.repo, tags})
	return nil
}

// next sets the Link to the next page.
func (c *call) next(q url.Values) {
	u := url.URL{Path: c.req.URL.Path, RawQuery: q.Encode()}
	c.w.Header().Set("Link", "<"+u.String()+`>; rel="next"`)
}

// json answers with v as JSON.
func (c *call) json(status int, mediaType string, v any) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		writeError(c.w, internal(err))
		return
	}
	h := c.w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	c.w.Write(body)
}

// sortReferrers restores the order in which manifests came.
func (r *repository) sortReferrers() {
	for _, list := range r.referrers {
		slices.SortFunc(list, func(a, b *manifest) int { return int(a.seq - b.seq) })
	}
}
