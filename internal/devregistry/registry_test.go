package devregistry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// world is a registry behind a real HTTP server, with the requests of a client.
type world struct {
	t   *testing.T
	reg *Registry
	url string
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	reg, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(reg)
	t.Cleanup(func() {
		srv.Close()
		if err := reg.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, reg: reg, url: srv.URL}
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body []byte
}

// do sends one request; path may be a Location. headers are "Name: value".
func (w *world) do(method, path string, body []byte, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp, got}
}

// want fails the test unless the answer has the status, and each header.
func (a answer) want(t *testing.T, status int, headers ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: %d, want %d: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if got := a.Header.Get(name); got != value {
			t.Errorf("%s %s: %s: %q, want %q", a.Request.Method, a.Request.URL.Path, name, got, value)
		}
	}
	return a
}

// code is the code of an error body.
func (a answer) code(t *testing.T) string {
	t.Helper()
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(a.body, &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Message == "" {
		t.Fatalf("no error body in the specification's form: %v: %s", err, a.body)
	}
	return e.Errors[0].Code
}

func (w *world) pushBlob(repo string, data []byte) digest.Digest {
	w.t.Helper()
	d := digest.FromBytes(data)
	w.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), data).want(w.t, 201)
	return d
}

// image is a manifest with an empty config and one layer, both pushed.
func (w *world) image(repo, layer string) []byte {
	config, l := w.pushBlob(repo, []byte("{}")), w.pushBlob(repo, []byte(layer))
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		typeOCIManifest, config, l, len(layer))
}

// referrer is a manifest of subject, of an artifact type.
func referrer(subject digest.Digest, artifactType, note string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":10},"annotations":{"note":%q}}`,
		typeOCIManifest, artifactType, digest.FromString("{}"), typeOCIManifest, subject, note)
}

func (w *world) put(repo, ref, mediaType string, body []byte, headers ...string) answer {
	w.t.Helper()
	return w.do("PUT", "/v2/"+repo+"/manifests/"+ref, body, append(headers, "Content-Type: "+mediaType)...)
}

// everywhere runs a test in memory and on disk.
func everywhere(t *testing.T, o Options, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("in memory", func(t *testing.T) { f(t, newWorld(t, o)) })
	o.Dir = t.TempDir()
	t.Run("on disk", func(t *testing.T) { f(t, newWorld(t, o)) })
}

func TestBlobsArePushedInEveryWay(t *testing.T) {
	data := []byte(strings.Repeat("0123456789", 300))
	up := "/v2/a/b/blobs/uploads/"
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		d := alg.FromBytes(data)
		ways := map[string]func(t *testing.T, w *world) answer{
			"in one POST": func(t *testing.T, w *world) answer { return w.do("POST", up+"?digest="+d.String(), data) },
			"with POST and PUT": func(t *testing.T, w *world) answer {
				loc := w.do("POST", up, nil).want(t, 202).Header.Get("Location")
				return w.do("PUT", loc+"?digest="+d.String(), data)
			},
			"as a stream": func(t *testing.T, w *world) answer {
				loc := w.do("POST", up, nil).want(t, 202).Header.Get("Location")
				loc = w.do("PATCH", loc, data).want(t, 202, "Range: 0-2999").Header.Get("Location")
				return w.do("PUT", loc+"?digest="+d.String(), nil)
			},
			"in chunks, the last one with PUT": func(t *testing.T, w *world) answer {
				loc := w.do("POST", up, nil).want(t, 202, "Range: 0-0").Header.Get("Location")
				loc = w.do("PATCH", loc, data[:1000], "Content-Range: 0-999").want(t, 202, "Range: 0-999").Header.Get("Location")
				w.do("GET", loc, nil).want(t, 204, "Range: 0-999", "Location: "+loc)
				loc = w.do("PATCH", loc, data[1000:2000], "Content-Range: 1000-1999").want(t, 202, "Range: 0-1999").Header.Get("Location")
				return w.do("PUT", loc+"?digest="+d.String(), data[2000:], "Content-Range: 2000-2999")
			},
		}
		for name, push := range ways {
			t.Run(fmt.Sprintf("%s %s", alg, name), func(t *testing.T) {
				everywhere(t, Options{}, func(t *testing.T, w *world) {
					a := push(t, w).want(t, 201, "Docker-Content-Digest: "+d.String())
					got := w.do("GET", a.Header.Get("Location"), nil).want(t, 200, "Docker-Content-Digest: "+d.String(), "Content-Length: 3000")
					if !bytes.Equal(got.body, data) {
						t.Error("other bytes came back")
					}
				})
			})
		}
	}
}

func TestAWrongUploadIsRefusedAndLeavesNothing(t *testing.T) {
	data := []byte("hello, registry")
	d, other := digest.FromBytes(data), digest.FromString("something else")
	everywhere(t, Options{MaxBlobBytes: 100}, func(t *testing.T, w *world) {
		begin := func() string {
			return w.do("POST", "/v2/a/blobs/uploads/", nil).want(t, 202).Header.Get("Location")
		}
		loc := begin()
		w.do("PATCH", loc, data[:5], "Content-Range: 0-4").want(t, 202)
		if c := w.do("PATCH", loc, data[7:], "Content-Range: 7-14").want(t, 416, "Range: 0-4", "Location: "+loc).code(t); c != "BLOB_UPLOAD_INVALID" {
			t.Errorf("out of order: %s", c)
		}
		if c := w.do("PATCH", loc, data[5:7], "Content-Range: 5-10").want(t, 400).code(t); c != "SIZE_INVALID" {
			t.Errorf("short chunk: %s", c)
		}
		w.do("PATCH", loc, data[5:7], "Content-Range: bytes=5-6").want(t, 400)
		w.do("PATCH", loc, make([]byte, 200)).want(t, 413)
		w.do("PUT", loc+"?digest="+d.String(), data[5:], "Content-Range: 5-14").want(t, 201)
		w.do("PUT", loc+"?digest="+d.String(), nil).want(t, 404)

		for _, bad := range []answer{
			w.do("PUT", begin()+"?digest="+other.String(), data),
			w.do("POST", "/v2/a/blobs/uploads/?digest="+other.String(), data),
			w.do("PUT", begin()+"?digest=sha256:short", data),
		} {
			if c := bad.want(t, 400).code(t); c != "DIGEST_INVALID" {
				t.Errorf("wrong digest: %s", c)
			}
		}
		w.do("GET", "/v2/a/blobs/"+other.String(), nil).want(t, 404)

		loc = begin()
		w.do("DELETE", loc, nil).want(t, 204)
		w.do("GET", loc, nil).want(t, 404)
		w.do("GET", strings.Replace(begin(), "/a/", "/b/", 1), nil).want(t, 404)
	})
}

func TestBlobsAreMountedReadInRangesAndDeleted(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, w *world) {
		data := []byte("0123456789")
		d := w.pushBlob("from/here", data)
		at := "/v2/to/there/blobs/uploads/?mount=" + d.String()
		w.do("POST", at+"&from=from/nowhere", nil).want(t, 202)
		w.do("POST", at+"&from=from/here", nil).want(t, 201, "Location: /v2/to/there/blobs/"+d.String())
		w.do("POST", strings.Replace(at, "/to/there", "/third", 1), nil).want(t, 201)
		w.do("POST", "/v2/x/blobs/uploads/?mount="+digest.FromString("none").String(), nil).want(t, 202)

		b := "/v2/to/there/blobs/" + d.String()
		if got := w.do("GET", b, nil, "Range: bytes=2-4").want(t, 206, "Content-Range: bytes 2-4/10").body; string(got) != "234" {
			t.Errorf("range: %q", got)
		}
		w.do("GET", b, nil, "Range: bytes=20-").want(t, 416)
		w.do("HEAD", b, nil).want(t, 200, "Content-Length: 10")

		w.do("DELETE", "/v2/from/here/blobs/"+d.String(), nil).want(t, 202)
		w.do("DELETE", "/v2/from/here/blobs/"+d.String(), nil).want(t, 404)
		w.do("GET", b, nil).want(t, 200)
		w.do("DELETE", b, nil).want(t, 202)
		w.do("DELETE", "/v2/third/blobs/"+d.String(), nil).want(t, 202)
		w.do("HEAD", b, nil).want(t, 404)
		empty := w.pushBlob("from/here", nil)
		w.do("GET", "/v2/from/here/blobs/"+empty.String(), nil).want(t, 200, "Content-Length: 0")
	})
}

func TestManifestsArePushedPulledAndDeletedByTagAndDigest(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, w *world) {
		body := w.image("a/b", "layer")
		d, long := digest.FromBytes(body), digest.SHA512.FromBytes(body)
		w.put("a/b", "v1", typeOCIManifest, body).want(t, 201, "Docker-Content-Digest: "+d.String(), "Location: /v2/a/b/manifests/"+d.String(), "OCI-Subject: ")
		w.put("a/b", long.String(), typeOCIManifest, body).want(t, 201, "Docker-Content-Digest: "+long.String())
		for _, ref := range []string{"v1", d.String()} {
			a := w.do("GET", "/v2/a/b/manifests/"+ref, nil).want(t, 200, "Content-Type: "+typeOCIManifest, "Docker-Content-Digest: "+d.String(), "Etag: \""+d.String()+"\"")
			if !bytes.Equal(a.body, body) {
				t.Error("other bytes came back")
			}
			w.do("HEAD", "/v2/a/b/manifests/"+ref, nil).want(t, 200, fmt.Sprintf("Content-Length: %d", len(body)))
		}
		w.do("GET", "/v2/a/b/manifests/"+long.String(), nil).want(t, 200, "Docker-Content-Digest: "+long.String())
		if c := w.do("GET", "/v2/a/b/manifests/none", nil).want(t, 404).code(t); c != "MANIFEST_UNKNOWN" {
			t.Error(c)
		}
		w.put("a/b", d.String()+"?tag=v2&tag=v3", typeOCIManifest, body).want(t, 201)
		w.do("DELETE", "/v2/a/b/manifests/v2", nil).want(t, 202)
		w.do("GET", "/v2/a/b/manifests/v2", nil).want(t, 404)
		w.do("GET", "/v2/a/b/manifests/v3", nil).want(t, 200)
		w.do("DELETE", "/v2/a/b/manifests/"+d.String(), nil).want(t, 202)
		for _, ref := range []string{"v1", "v3", d.String()} {
			w.do("HEAD", "/v2/a/b/manifests/"+ref, nil).want(t, 404)
		}
		w.do("DELETE", "/v2/a/b/manifests/"+d.String(), nil).want(t, 404)
	})
}

func TestOddManifestsAreRefusedWithTheirCode(t *testing.T) {
	w := newWorld(t, Options{MaxManifestBytes: 4096})
	good := w.image("a", "layer")
	none := digest.FromString("never pushed")
	for name, c := range map[string]struct {
		ref, mediaType string
		body           []byte
		status         int
		code           string
	}{
		"another digest than the path's":  {none.String(), typeOCIManifest, good, 400, "DIGEST_INVALID"},
		"a digest that is none":           {"sha256:baddigest", typeOCIManifest, good, 400, "DIGEST_INVALID"},
		"a tag that is none":              {"-v1", typeOCIManifest, good, 400, "MANIFEST_INVALID"},
		"another type than it says":       {"v1", typeOCIIndex, good, 400, "MANIFEST_INVALID"},
		"a type that is no manifest":      {"v1", "text/plain", []byte(`{}`), 400, "MANIFEST_INVALID"},
		"no JSON":                         {"v1", typeOCIManifest, []byte("{"), 400, "MANIFEST_INVALID"},
		"duplicate keys":                  {"v1", typeOCIManifest, []byte(`{"schemaVersion":2,"schemaVersion":2}`), 400, "MANIFEST_INVALID"},
		"a subject without digest":        {"v1", typeOCIManifest, []byte(`{"subject":{"mediaType":"x"}}`), 400, "MANIFEST_INVALID"},
		"too large":                       {"v1", typeOCIManifest, bytes.Repeat([]byte(" "), 5000), 413, "SIZE_INVALID"},
		"a layer that was not pushed":     {"v1", typeOCIManifest, fmt.Appendf(nil, `{"layers":[{"digest":%q}]}`, none), 404, "MANIFEST_BLOB_UNKNOWN"},
		"a child that was not pushed":     {"v1", typeOCIIndex, fmt.Appendf(nil, `{"manifests":[{"digest":%q}]}`, none), 404, "MANIFEST_BLOB_UNKNOWN"},
		"a repository name in upper case": {"../../A/manifests/v1", typeOCIManifest, good, 400, "NAME_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.put("a", c.ref, c.mediaType, c.body).want(t, c.status).code(t)
			if got != c.code {
				t.Errorf("code %s, want %s", got, c.code)
			}
		})
	}
	foreign := fmt.Appendf(nil, `{"layers":[{"digest":%q,"urls":["https://example.com/l"]},{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":%q}]}`, none, none)
	w.put("a", "foreign", typeOCIManifest, foreign).want(t, 201)
	for _, mt := range []string{typeDocker, typeDockerList, typeOCIArtifact} {
		w.put("a", "other", mt, []byte(`{"schemaVersion":2}`)).want(t, 201)
		w.do("HEAD", "/v2/a/manifests/other", nil).want(t, 200, "Content-Type: "+mt)
	}
	if err := w.reg.Configure(func(o *Options) { o.Sparse = true }); err != nil {
		t.Fatal(err)
	}
	w.put("a", "sparse", typeOCIManifest, fmt.Appendf(nil, `{"layers":[{"digest":%q}]}`, none)).want(t, 201)
}

func TestConditionalPutsKeepWritersApart(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, w *world) {
		one, two := w.image("a", "one"), w.image("a", "two")
		tag := func(b []byte) string { return `"` + digest.FromBytes(b).String() + `"` }
		w.put("a", "t", typeOCIManifest, one, "If-Match: *").want(t, 412)
		w.put("a", "t", typeOCIManifest, one, "If-None-Match: *").want(t, 201, "Etag: "+tag(one))
		w.put("a", "t", typeOCIManifest, two, "If-None-Match: *").want(t, 412)
		w.put("a", "t", typeOCIManifest, two, "If-Match: "+tag(two)).want(t, 412)
		w.put("a", "t", typeOCIManifest, two, `If-Match: "x", `+tag(one)).want(t, 201)
		w.do("GET", "/v2/a/manifests/t", nil, "If-None-Match: "+tag(two)).want(t, 304)
		if err := w.reg.Configure(func(o *Options) { o.NoConditionalPut = true }); err != nil {
			t.Fatal(err)
		}
		w.put("a", "t", typeOCIManifest, one, "If-None-Match: *").want(t, 201, "Etag: ")
		w.do("GET", "/v2/a/manifests/t", nil).want(t, 200, "Etag: ", "Docker-Content-Digest: "+digest.FromBytes(one).String())
	})
}

type list struct {
	SchemaVersion int
	MediaType     string
	Name          string
	Tags          []string
	Manifests     []descriptor
}

func (w *world) list(path string) (list, answer) {
	w.t.Helper()
	a := w.do("GET", path, nil).want(w.t, 200)
	var l list
	if err := json.Unmarshal(a.body, &l); err != nil {
		w.t.Fatal(err)
	}
	return l, a
}

func nextPage(t *testing.T, a answer) string {
	t.Helper()
	link := a.Header.Get("Link")
	if link == "" {
		return ""
	}
	rest, ok := strings.CutSuffix(link, `>; rel="next"`)
	if !ok {
		t.Fatalf("Link %q", link)
	}
	return strings.TrimPrefix(rest, "<")
}

func TestTagsAreListedInOrderAndInPages(t *testing.T) {
	w := newWorld(t, Options{})
	if l, _ := w.list("/v2/nobody/tags/list"); l.Tags == nil || len(l.Tags) != 0 {
		t.Errorf("unknown repository: %v", l.Tags)
	}
	body := w.image("a", "x")
	for _, tag := range []string{"c", "a", "e", "b", "d"} {
		w.put("a", tag, typeOCIManifest, body).want(t, 201)
	}
	var got []string
	pages := 0
	for path := "/v2/a/tags/list?n=2"; path != ""; pages++ {
		l, a := w.list(path)
		got, path = append(got, l.Tags...), nextPage(t, a)
	}
	if s := strings.Join(got, ""); s != "abcde" || pages != 3 {
		t.Errorf("%q in %d pages", s, pages)
	}
	if l, _ := w.list("/v2/a/tags/list?last=bb"); strings.Join(l.Tags, "") != "cde" {
		t.Errorf("after bb: %v", l.Tags)
	}
	if l, a := w.list("/v2/a/tags/list?n=0"); len(l.Tags) != 0 || a.Header.Get("Link") != "" {
		t.Errorf("n=0: %v", l.Tags)
	}
	w.do("GET", "/v2/a/tags/list?n=-1", nil).want(t, 400)
}

func TestReferrersAreListedOldestFirstFilteredAndInPages(t *testing.T) {
	everywhere(t, Options{PageSize: 2}, func(t *testing.T, w *world) {
		image := w.image("a", "x")
		subject := digest.FromBytes(image)
		for i := range 5 { // before the subject itself
			kind := "application/x.even"
			if i%2 == 1 {
				kind = "application/x.odd"
			}
			body := referrer(subject, kind, fmt.Sprint(i))
			w.put("a", digest.FromBytes(body).String(), typeOCIManifest, body).want(t, 201, "OCI-Subject: "+subject.String())
		}
		w.put("a", "v1", typeOCIManifest, image).want(t, 201)
		old := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"application/x.even","digest":%q,"size":2},"subject":{"mediaType":"x","digest":%q,"size":1}}`, digest.FromString("{}"), subject)
		w.put("a", "old-style", typeOCIManifest, old).want(t, 201)

		read := func(query string) (notes string, last answer) {
			for path := "/v2/a/referrers/" + subject.String() + query; path != ""; {
				l, a := w.list(path)
				if l.MediaType != typeOCIIndex || l.SchemaVersion != 2 || a.Header.Get("Content-Type") != typeOCIIndex {
					t.Errorf("not an index: %s", a.body)
				}
				if len(l.Manifests) > 2 {
					t.Errorf("%d in one page", len(l.Manifests))
				}
				for _, m := range l.Manifests {
					if m.Annotations == nil {
						notes += "+" + m.ArtifactType
					}
					notes += m.Annotations["note"]
				}
				path, last = nextPage(t, a), a
			}
			return notes, last
		}
		if got, a := read(""); got != "01234+application/x.even" || a.Header.Get("OCI-Filters-Applied") != "" {
			t.Errorf("all: %s", got)
		}
		if got, a := read("?artifactType=application/x.even"); got != "024+application/x.even" || a.Header.Get("OCI-Filters-Applied") != "artifactType" {
			t.Errorf("filtered: %s", got)
		}
		gone := digest.FromBytes(referrer(subject, "application/x.even", "2"))
		w.do("DELETE", "/v2/a/manifests/"+gone.String(), nil).want(t, 202)
		if got, _ := read(""); got != "0134+application/x.even" {
			t.Errorf("after a delete: %s", got)
		}
		if l, _ := w.list("/v2/elsewhere/referrers/" + subject.String()); l.Manifests == nil || len(l.Manifests) != 0 {
			t.Errorf("of an unknown repository: %v", l.Manifests)
		}
		w.do("GET", "/v2/a/referrers/v1", nil).want(t, 400)
	})
}

func TestNamesMayHoldTheWordsOfThePaths(t *testing.T) {
	for path, want := range map[string]target{
		"/v2/":                                 {kind: KindBase},
		"/v2/a/manifests/b/manifests/v1":       {KindManifest, "a/manifests/b", "v1"},
		"/v2/blobs/blobs/sha256:ab":            {KindBlob, "blobs", "sha256:ab"},
		"/v2/a/blobs/uploads/":                 {KindUpload, "a", ""},
		"/v2/a/blobs/uploads":                  {KindUpload, "a", ""},
		"/v2/tags/blobs/uploads/X":             {KindUpload, "tags", "X"},
		"/v2/tags/list/tags/list":              {KindTags, "tags/list", ""},
		"/v2/a/b/referrers/sha256:ab":          {KindReferrers, "a/b", "sha256:ab"},
		"/v2/manifests/v1":                     {kind: KindUnknown},
		"/v1/a/manifests/v1":                   {kind: KindUnknown},
		"/v2/a/blobs/uploads/manifests/latest": {KindManifest, "a/blobs/uploads", "latest"},
	} {
		if got := parsePath(path); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func TestMethodsThatMakeNoSenseAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	d := digest.FromString("x").String()
	for _, c := range [][2]string{
		{"PUT", "/v2/"}, {"POST", "/v2/a/manifests/v1"}, {"PUT", "/v2/a/blobs/" + d},
		{"GET", "/v2/a/blobs/uploads/"}, {"PUT", "/v2/a/tags/list"}, {"DELETE", "/v2/a/referrers/" + d},
	} {
		w.do(c[0], c[1], nil).want(t, 405)
	}
	w.do("GET", "/v2/", nil).want(t, 200, "Docker-Distribution-Api-Version: registry/2.0")
	w.do("GET", "/", nil).want(t, 404)
}

func FuzzParseFields(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}`))
	f.Add(referrer(digest.FromString("x"), "application/x", "note"))
	f.Add([]byte(`{"manifests":[{"digest":"sha512:"}],"layers":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		fl, err := parseFields(body)
		if err != nil {
			return
		}
		for _, d := range fl.blobs() {
			if d.Validate() != nil {
				t.Errorf("accepted digest %q", d)
			}
		}
	})
}
