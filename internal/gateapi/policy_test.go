package gateapi

import (
	"net/http"
	"testing"

	"github.com/shuin/shuin"
)

func TestThePolicyIsHandedOutToWhoMayReadIt(t *testing.T) {
	const mediaType = "application/vnd.shuin.policy-bundle.v1+json"
	w := newWorld(t)
	h := w.Handler()
	w.use(t, nil, Principal{Name: "ci", Tokens: hashed(t, tokenCI), Anywhere: true, ReadsPolicy: true},
		Principal{Name: "shop", Tokens: hashed(t, tokenShop), Anywhere: true})
	get := func(path, token string, etags ...string) answered {
		r := post(path, token, "")
		r.Method, r.Body, r.ContentLength = http.MethodGet, http.NoBody, 0
		r.Header.Del("Content-Type")
		for _, e := range etags {
			r.Header.Add("If-None-Match", e)
		}
		return do(t, h, r)
	}
	if a := get(policyPath, tokenCI); a.status != http.StatusNotFound || a.code(t) != codeNoRoute {
		t.Errorf("without a bundle: %d %s", a.status, a.body)
	}
	inUse := &PolicyBundle{MediaType: mediaType, Data: []byte(`{"a":1}`), Signature: []byte("{}"), SignatureType: shuin.MediaTypeJWS}
	w.Policy = func() *PolicyBundle { return inUse }
	first := get(policyPath, tokenCI)
	etag := first.header.Get("ETag")
	if first.status != http.StatusOK || first.body != `{"a":1}` || first.header.Get("Content-Type") != mediaType || etag == "" || first.header.Get("Cache-Control") != "private, no-cache" {
		t.Fatalf("%d %q %v", first.status, first.body, first.header)
	}
	for _, c := range []struct {
		name, path, token string
		etags             []string
		status            int
		body              string
	}{
		{"the same again", policyPath, tokenCI, []string{etag}, http.StatusNotModified, ""},
		{"the same, among others, and weak", policyPath, tokenCI, []string{`"x", W/` + etag}, http.StatusNotModified, ""},
		{"any", policyPath, tokenCI, []string{"*"}, http.StatusNotModified, ""},
		{"another", policyPath, tokenCI, []string{`"x"`}, http.StatusOK, `{"a":1}`},
		{"the signature", policyJWSPath, tokenCI, nil, http.StatusOK, "{}"},
		{"the signature, asked for with the bundle's tag", policyJWSPath, tokenCI, []string{etag}, http.StatusOK, "{}"},
		{"a signature of another format", policyCOSEPath, tokenCI, nil, http.StatusNotFound, "no-such-route"},
		{"by who may not", policyPath, tokenShop, nil, http.StatusForbidden, codeRight},
		{"the signature, by who may not", policyJWSPath, tokenShop, []string{"*"}, http.StatusForbidden, codeRight},
		{"by nobody", policyPath, "", nil, http.StatusUnauthorized, codeUnauthenticated},
		{"by nobody, with the tag", policyPath, "", []string{etag}, http.StatusUnauthorized, codeUnauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := get(c.path, c.token, c.etags...)
			body := a.body
			if c.status >= 400 {
				body = a.code(t)
			}
			if a.status != c.status || body != c.body {
				t.Errorf("%d %q, want %d %q", a.status, a.body, c.status, c.body)
			}
		})
	}
	if a := do(t, h, post(policyPath, tokenCI, "{}")); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodGet {
		t.Errorf("POST: %d %v", a.status, a.header)
	}
	inUse = &PolicyBundle{MediaType: mediaType, Data: []byte(`{"a":2}`)}
	if a := get(policyPath, tokenCI, etag); a.status != http.StatusOK || a.body != `{"a":2}` || a.header.Get("ETag") == etag {
		t.Errorf("another bundle: %d %q", a.status, a.body)
	}
	if a := get(policyJWSPath, tokenCI); a.status != http.StatusNotFound {
		t.Errorf("an unsigned bundle has the signature %q", a.body)
	}
}
