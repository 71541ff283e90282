package registry

import (
	"context"
	encodingjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/limits"
)

// entry is an index entry as JSON.
func entry(d shuin.Descriptor, platform, annotations string) string {
	s := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d`, d.MediaType, d.Digest, d.Size)
	if platform != "" {
		os, arch, _ := strings.Cut(platform, "/")
		arch, variant, _ := strings.Cut(arch, "/")
		s += fmt.Sprintf(`,"platform":{"os":%q,"architecture":%q,"variant":%q}`, os, arch, variant)
	}
	if annotations != "" {
		s += `,"annotations":` + annotations
	}
	return s + "}"
}

func indexBody(mediaType string, entries ...string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, mediaType, strings.Join(entries, ","))
}

// index stores an index and gives its artifact.
func (w *world) index(t *testing.T, repo, mediaType string, body []byte) shuin.Artifact {
	t.Helper()
	d, err := w.PutManifest(repo, mediaType, body)
	if err != nil {
		t.Fatal(err)
	}
	a, err := shuin.NewArtifact(shuin.Reference{Registry: w.host, Repository: repo, Digest: d},
		shuin.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func plainOf(a shuin.Artifact) shuin.Descriptor {
	d := a.Descriptor()
	d.Annotations = nil
	return d
}

const attestation = `{"vnd.docker.reference.type":"attestation-manifest"}`

func TestPlatformsAreThoseARuntimeMayRun(t *testing.T) {
	w := newWorld(t, devregistry.Options{Sparse: true})
	var images []shuin.Descriptor
	for i := range 7 {
		images = append(images, plainOf(w.image(t, "app", fmt.Sprint("t", i))))
	}
	inner := w.index(t, "app", mediaTypeDockerList, indexBody(mediaTypeDockerList,
		entry(images[2], "linux/arm/v7", ""), entry(images[3], "windows/amd64", "")))
	a := w.index(t, "app", mediaTypeImageIndex, indexBody(mediaTypeImageIndex,
		entry(images[0], "linux/amd64", ""),
		entry(images[1], "unknown/unknown", attestation),  // an attestation
		entry(images[1], "unknown/unknown", ""),           // and one that is not marked
		entry(plainOf(inner), "", ""),                     // nested, twice
		entry(plainOf(inner), "", ""),                     //
		entry(images[4], "", ""),                          // no platform: containerd reads the configuration, and may run it
		entry(images[5], "linux/amd64", attestation),      // marked as attestation, and for a platform: may be run
		entry(images[6], "unknown/amd64", ""),             // half unknown
		entry(images[0], "linux/amd64", `{"other":null}`), // the same once more
	))
	want := []string{"linux/amd64", "linux/arm/v7", "windows/amd64", "/", "linux/amd64", "unknown/amd64"}
	wantDigests := []digest.Digest{images[0].Digest, images[2].Digest, images[3].Digest, images[4].Digest, images[5].Digest, images[6].Digest}
	got, err := w.repo(t, "app").Platforms(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var digests []digest.Digest
	for _, p := range got {
		names, digests = append(names, p.String()), append(digests, p.Descriptor.Digest)
		if p.Descriptor.Validate() != nil {
			t.Errorf("%v names nothing", p)
		}
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantDigests, digests); diff != "" {
		t.Error(diff)
	}
}

func TestAnImageThatIsNoIndexHasNoPlatformsAndCostsNoRequest(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	w.ResetLog()
	got, err := w.repo(t, "app").Platforms(t.Context(), a)
	if err != nil || len(got) != 0 || len(w.Log()) != 0 {
		t.Errorf("%v %v, %d requests", got, err, len(w.Log()))
	}
}

func TestBadIndexesAreRefused(t *testing.T) {
	w := newWorld(t, devregistry.Options{Sparse: true})
	image := plainOf(w.image(t, "app", "v1"))
	many := make([]string, limits.Platforms+1)
	for i := range many {
		many[i] = entry(image, fmt.Sprintf("linux/arch%d", i), "")
	}
	chain := w.index(t, "app", mediaTypeImageIndex, indexBody(mediaTypeImageIndex, entry(image, "linux/amd64", "")))
	for range limits.PlatformDepth + 1 {
		chain = w.index(t, "app", mediaTypeImageIndex, indexBody(mediaTypeImageIndex, entry(plainOf(chain), "", "")))
	}
	missing := shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: digest.FromString("missing"), Size: 7}
	longer := plainOf(chain)
	longer.Size++
	for name, c := range map[string]struct {
		body []byte
		want shuin.Code
	}{
		"more images than the limit":           {indexBody(mediaTypeImageIndex, many...), shuin.CodeLimit},
		"entries without end":                  {indexBody(mediaTypeImageIndex, append(many, many...)...), shuin.CodeLimit},
		"too deep":                             {indexBody(mediaTypeImageIndex, entry(plainOf(chain), "", "")), shuin.CodeLimit},
		"names an index that is not there":     {indexBody(mediaTypeImageIndex, entry(missing, "", "")), shuin.CodeMalformed},
		"names an index by a wrong size":       {indexBody(mediaTypeImageIndex, entry(longer, "", "")), shuin.CodeMalformed},
		"could be taken for a manifest":        {fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[],"layers":[]}`, mediaTypeImageIndex), shuin.CodeMalformed},
		"says that it is something else":       {indexBody(mediaTypeDockerList, entry(image, "linux/amd64", "")), shuin.CodeMalformed},
		"an entry without digest":              {indexBody(mediaTypeImageIndex, `{"mediaType":"x","size":2,"digest":""}`), shuin.CodeMalformed},
		"a key twice":                          {fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[],"manifests":[]}`, mediaTypeImageIndex), shuin.CodeMalformed},
		"is no JSON":                           {[]byte("{"), shuin.CodeMalformed},
		"a schema of long ago":                 {fmt.Appendf(nil, `{"schemaVersion":1,"mediaType":%q,"manifests":[]}`, mediaTypeImageIndex), shuin.CodeMalformed},
		"an attestation of a malformed digest": {indexBody(mediaTypeImageIndex, `{"mediaType":"x","size":2,"digest":"sha256:x","platform":{"os":"unknown","architecture":"unknown"}}`), shuin.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serveOne(t, mediaTypeImageIndex, c.body, w)
			a := rawArtifact(t, srv, mediaTypeImageIndex, c.body)
			got, err := repository(t, plainClient(), srv, "app").Platforms(t.Context(), a)
			if shuin.CodeOf(err) != c.want || got != nil {
				t.Errorf("%v %v", got, err)
			}
		})
	}
}

// serveOne serves body for its digest, and all else from w.
func serveOne(t *testing.T, mediaType string, body []byte, w *world) string {
	t.Helper()
	d := digest.FromBytes(body).String()
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, d) {
			out.Header().Set("Content-Type", mediaType)
			_, _ = out.Write(body)
			return
		}
		w.ServeHTTP(out, req)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func rawArtifact(t *testing.T, host, mediaType string, body []byte) shuin.Artifact {
	t.Helper()
	a, err := shuin.NewArtifact(shuin.Reference{Registry: host, Repository: "app", Tag: "x"},
		shuin.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnIndexThatIsGoneCouldNotBeChecked(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	body := indexBody(mediaTypeImageIndex)
	if _, err := w.repo(t, "app").Platforms(t.Context(), rawArtifact(t, w.host, mediaTypeImageIndex, body)); shuin.CodeOf(err) != shuin.CodeNotFound {
		t.Errorf("%v", err)
	}
	lies := serveOne(t, mediaTypeImageIndex, body, w)
	a := rawArtifact(t, lies, mediaTypeImageIndex, body)
	other, _ := shuin.NewArtifact(a.Written(), shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: a.Digest(), Size: a.Descriptor().Size - 1})
	if _, err := repository(t, plainClient(), lies, "app").Platforms(t.Context(), other); shuin.CodeOf(err) != shuin.CodeMalformed {
		t.Errorf("an index longer than it was resolved: %v", err)
	}
}

// inOtherLetters is every way to write one member name of a document as
// another, which Go's encoding/json reads as the same.
func inOtherLetters(name string) []string {
	out := []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], name[:1] + strings.ToUpper(name[1:])}
	for _, fold := range [][2]string{{"s", "ſ"}, {"k", "\u212a"}, {"s", `\u017f`}, {"s", `\u0053`}} {
		if strings.Contains(name, fold[0]) {
			out = append(out, strings.Replace(name, fold[0], fold[1], 1))
		}
	}
	return out
}

func TestMembersThatRuntimesReadInAnyLettersAreRefusedInOthers(t *testing.T) {
	sealed := `"mediaType":"` + mediaTypeImageManifest + `","digest":"` + digest.FromString("sealed").String() + `","size":7`
	evil := `"` + digest.FromString("evil").String() + `"`
	index := func(top, ofEntry, ofPlatform string) string {
		return `{"schemaVersion":2,"mediaType":"` + mediaTypeImageIndex + `","manifests":[{` + sealed +
			`,"platform":{"os":"unknown","architecture":"unknown"` + ofPlatform + `}` + ofEntry + `}]` + top + `}`
	}
	config := func(top, ofConfig, ofLayer string) string {
		return `{"schemaVersion":2,"config":{` + sealed + ofConfig + `},"layers":[{` + sealed + ofLayer + `}]` + top + `}`
	}
	places := map[string]func(member string) string{
		"index":                            func(m string) string { return index(m, "", "") },
		"entry":                            func(m string) string { return index("", m, "") },
		"platform":                         func(m string) string { return index("", "", m) },
		"platform of the subject's entry":  func(m string) string { return index(`,"subject":{"platform":{`+m[1:]+`}}`, "", "") },
		"index that starts otherwise":      func(m string) string { return `{` + m[1:] + `,"schemaVersion":2,"manifests":[]}` },
		"image manifest":                   func(m string) string { return config(m, "", "") },
		"configuration of the image":       func(m string) string { return config("", m, "") },
		"layer of the image":               func(m string) string { return config("", "", m) },
		"platform of the layer":            func(m string) string { return config("", "", `,"platform":{`+m[1:]+`}`) },
		"subject of the image":             func(m string) string { return config(`,"subject":{`+m[1:]+`}`, "", "") },
		"image manifest, members in front": func(m string) string { return `{` + m[1:] + `,` + config("", "", "")[1:] },
	}
	for place, document := range places {
		for _, name := range memberNames {
			for _, other := range inOtherLetters(name) {
				if err := readAnyImage(document(`,"` + other + `":` + evil)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
					t.Errorf("%s: %s for %s: %v", place, other, name, err)
				}
			}
		}
	}
	for name, good := range map[string]string{
		"annotations may have any name":               index(`,"annotations":{"OS":"x","Digest":"y"}`, `,"annotations":{"Manifests":"x"}`, ""),
		"members that no runtime knows are no matter": index(`,"extra":{"OS":"linux"},"osx":1,"digests":[]`, `,"ids":[{"Digest":"x"}]`, `,"features":["sse4"]`),
		"the platform's other members":                index("", "", `,"variant":"v8","os.version":"10","os.features":["win32k"]`),
	} {
		if err := readAnyImage(good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// readAnyImage reads a document as an index or an image, as what it is.
func readAnyImage(document string) error {
	if strings.Contains(document, `"manifests"`) {
		_, err := parseImageIndex([]byte(document), mediaTypeImageIndex)
		return err
	}
	b := []byte(document)
	a, err := shuin.NewArtifact(shuin.Reference{Registry: "h.example", Repository: "app", Digest: digest.FromBytes(b)},
		shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromBytes(b), Size: int64(len(b))})
	if err != nil {
		return err
	}
	_, err = configOf("read", a, func(shuin.Descriptor) ([]byte, error) { return b, nil })
	if err != nil && shuin.CodeOf(err) != shuin.CodeMalformed {
		return fmt.Errorf("of code %s: %w", shuin.CodeOf(err), err)
	}
	return err
}

// What a runtime runs on a host is always among the platforms, or the index is
// refused.
func TestNoIndexShowsRuntimesAnImageThatIsNotAmongItsPlatforms(t *testing.T) {
	w := newWorld(t, devregistry.Options{Sparse: true})
	sealed, evil := plainOf(w.image(t, "app", "sealed")), plainOf(w.image(t, "app", "evil"))
	twoNames := func(d shuin.Descriptor, more string) string {
		return strings.Replace(entry(d, "linux/amd64", ""), `,"platform"`, more+`,"platform"`, 1)
	}
	for name, body := range map[string]string{
		"a platform in other letters": string(indexBody(mediaTypeImageIndex, entry(sealed, "linux/arm64", ""),
			strings.Replace(entry(evil, "unknown/unknown", ""), `"variant":""`, `"OS":"linux","Architecture":"amd64"`, 1))),
		"manifests in other letters": strings.Replace(string(indexBody(mediaTypeImageIndex, entry(sealed, "linux/amd64", ""))),
			`]}`, `],"Manifests":[`+entry(evil, "linux/amd64", "")+`]}`, 1),
		"a digest in other letters":   string(indexBody(mediaTypeImageIndex, twoNames(sealed, `,"Digest":"`+evil.Digest.String()+`"`))),
		"a platform named by long s":  string(indexBody(mediaTypeImageIndex, strings.Replace(entry(evil, "unknown/unknown", ""), `"variant":""`, `"o\u017f":"linux","Architecture":"amd64"`, 1))),
		"an honest index, to compare": string(indexBody(mediaTypeImageIndex, entry(evil, "linux/amd64", ""))),
	} {
		var theirs ocispec.Index // as containerd, Docker and Podman decode it
		if err := encodingjson.Unmarshal([]byte(body), &theirs); err != nil {
			t.Fatal(err)
		}
		runs := slices.ContainsFunc(theirs.Manifests, func(m ocispec.Descriptor) bool {
			return m.Digest == evil.Digest && m.Platform.OS == "linux" && m.Platform.Architecture == "amd64"
		})
		got, err := w.repo(t, "app").Platforms(t.Context(), w.index(t, "app", mediaTypeImageIndex, []byte(body)))
		seen := slices.ContainsFunc(got, func(p shuin.Platform) bool { return p.Descriptor.Digest == evil.Digest })
		if !runs || !seen && shuin.CodeOf(err) != shuin.CodeMalformed {
			t.Errorf("%s: run by a runtime %t, among the platforms %t, error %v", name, runs, seen, err)
		}
	}
}

func TestTheConfigurationOfAnImageIsNamed(t *testing.T) {
	w := newWorld(t, devregistry.Options{Sparse: true})
	r := w.repo(t, "app")
	want := shuin.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: digest.FromString("{}"), Size: 2}
	got, err := r.Config(t.Context(), w.image(t, "app", "v1"))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	index := w.index(t, "app", mediaTypeImageIndex, indexBody(mediaTypeImageIndex))
	if _, err := r.Config(t.Context(), index); shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(shuin.HintOf(err), "one platform") {
		t.Errorf("an index: %v", err)
	}
	for name, body := range map[string]string{
		"no config":            `{"schemaVersion":2}`,
		"manifests too":        `{"schemaVersion":2,"manifests":[],"config":{"mediaType":"x","size":2,"digest":"` + want.Digest.String() + `"}}`,
		"a bad digest":         `{"schemaVersion":2,"config":{"mediaType":"x","size":2,"digest":"x"}}`,
		"another media type":   `{"schemaVersion":2,"mediaType":"y","config":{"mediaType":"x","size":2,"digest":"` + want.Digest.String() + `"}}`,
		"a schema of long ago": `{"schemaVersion":1,"config":{"mediaType":"x","size":2,"digest":"` + want.Digest.String() + `"}}`,
		"no JSON":              `{`,
	} {
		host := serveOne(t, mediaTypeImageManifest, []byte(body), w)
		a := rawArtifact(t, host, mediaTypeImageManifest, []byte(body))
		if _, err := repository(t, plainClient(), host, "app").Config(t.Context(), a); shuin.CodeOf(err) != shuin.CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALayoutHasPlatformsAndConfigurationsToo(t *testing.T) {
	dir, image := newLayout(t)
	body := indexBody(mediaTypeImageIndex, entry(plainOf(image), "linux/amd64", ""))
	writeBlob(t, dir, body)
	put(t, dir, indexFileName, string(indexBody(mediaTypeImageIndex,
		entry(shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: digest.FromBytes(body), Size: int64(len(body))}, "", ""))))
	l := open(t, dir)
	a, err := l.Resolve(t.Context(), shuin.Reference{Layout: dir, Digest: digest.FromBytes(body)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Platforms(t.Context(), a)
	if err != nil || len(got) != 1 || got[0].String() != "linux/amd64" {
		t.Fatalf("%v %v", got, err)
	}
	child, err := l.Resolve(t.Context(), shuin.Reference{Layout: dir, Digest: got[0].Descriptor.Digest})
	if err != nil {
		t.Fatal(err)
	}
	config, err := l.Config(t.Context(), child)
	if err != nil || config.Digest != digest.FromString("{}") {
		t.Errorf("%v %v", config, err)
	}
}

func TestAllTagsAreListedPageByPage(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	var want []string
	for i := range limits.TagsPage + 5 {
		tag := fmt.Sprintf("t%04d", i)
		want = append(want, tag)
	}
	image := imageManifest("x")
	if _, err := w.PutBlob("app", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.PutManifest("app", mediaTypeImageManifest, image, want...); err != nil {
		t.Fatal(err)
	}
	list := func(last string) (tags []string, pages int) {
		t.Helper()
		if err := w.repo(t, "app").Tags(t.Context(), last, func(p []string) error {
			tags, pages = append(tags, p...), pages+1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return tags, pages
	}
	if got, pages := list(""); !slices.Equal(got, want) || pages != 2 {
		t.Errorf("%d tags on %d pages", len(got), pages)
	}
	if got, _ := list("t1000"); !slices.Equal(got, want[1001:]) {
		t.Errorf("after t1000: %v", got)
	}
	stop := errors.New("enough")
	if err := w.repo(t, "app").Tags(t.Context(), "", func([]string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestBadTagListingsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(out http.ResponseWriter, req *http.Request)
		want   shuin.Code
	}{
		"in a circle": {func(out http.ResponseWriter, req *http.Request) {
			out.Header().Set("Link", `</v2/app/tags/list?n=1000>; rel="next"`)
			fmt.Fprint(out, `{"tags":["a"]}`)
		}, shuin.CodeMalformed},
		"on another host": {func(out http.ResponseWriter, req *http.Request) {
			out.Header().Set("Link", `<http://192.0.2.1/v2/app/tags/list>; rel="next"`)
			fmt.Fprint(out, `{"tags":["a"]}`)
		}, shuin.CodeMalformed},
		"not tags":   {func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `{"tags":["../x"]}`) }, shuin.CodeMalformed},
		"no strings": {func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `{"tags":[1]}`) }, shuin.CodeMalformed},
		"no JSON":    {func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `<html>`) }, shuin.CodeMalformed},
		"a page too long": {func(out http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(out, `{"tags":["`, strings.Repeat("a", limits.TagsPageBytes), `"]}`)
		}, shuin.CodeLimit},
		"no such repository": {func(out http.ResponseWriter, _ *http.Request) { http.NotFound(out, nil) }, shuin.CodeNotFound},
		"not allowed":        {func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(403) }, shuin.CodeForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(c.answer))
			defer srv.Close()
			r := repository(t, plainClient(), strings.TrimPrefix(srv.URL, "http://"), "app")
			if err := r.Tags(t.Context(), "", func([]string) error { return nil }); shuin.CodeOf(err) != c.want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestARepositoryWithoutTagsIsEmpty(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `{"name":"app","tags":null}`) }))
	defer srv.Close()
	r := repository(t, plainClient(), strings.TrimPrefix(srv.URL, "http://"), "app")
	if err := r.Tags(t.Context(), "", func(p []string) error {
		if len(p) > 0 {
			t.Error(p)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestTagsOfReferrersAreKnownByTheirForm(t *testing.T) {
	d := digest.FromString("x")
	if got, ok := ReferrersTag("sha256-" + d.Encoded()); !ok || got != d {
		t.Errorf("%s %t", got, ok)
	}
	for _, tag := range []string{"v1", "sha256-" + d.Encoded() + ".sig", "sha256-" + strings.ToUpper(d.Encoded()), "sha256-", "md5-" + d.Encoded()[:32], d.Encoded()} {
		if _, ok := ReferrersTag(tag); ok {
			t.Errorf("%s is taken for one", tag)
		}
	}
}

// blobs is a Blobs in memory that counts.
type blobs struct {
	mu               sync.Mutex
	have             map[digest.Digest][]byte
	gets, hits, puts int
}

func (b *blobs) Get(d digest.Digest, _ int64) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	got, ok := b.have[d]
	if ok {
		b.hits++
	}
	return got, ok
}

func (b *blobs) Put(d digest.Digest, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.puts++
	b.have[d] = content
}

func TestSignaturesAreFetchedOnceAndListedEachTime(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	sign(t, w.repo(t, "app"), a, 3)
	kept := &blobs{have: map[digest.Digest][]byte{}}
	w.client = plainClient()
	w.client.Blobs = kept
	fetched := func() (got []shuin.Signature) {
		t.Helper()
		w.ResetLog()
		_, sigs, err := w.repo(t, "app").Discover(t.Context(), shuin.Reference{Registry: w.host, Repository: "app", Digest: a.Digest()})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err = sigs.Signatures(t.Context(), a, 0)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := fetched()
	if n := len(w.Log()); n != 2+6 || kept.puts != 6 {
		t.Errorf("first: %d requests, %d kept", n, kept.puts)
	}
	second := fetched()
	if n := len(w.Log()); n != 2 || kept.hits != 6 {
		t.Errorf("second: %d requests, %d from the cache", n, kept.hits)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	for d := range kept.have { // what the cache gives is checked
		kept.have[d] = []byte("something else")
	}
	if diff := cmp.Diff(first, fetched()); diff != "" {
		t.Error(diff)
	}
	if n := len(w.Log()); n != 2+6 {
		t.Errorf("with a damaged cache: %d requests", n)
	}
}

func TestWhatIsNotListedIsNotAskedOfTheCache(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	kept := &blobs{have: map[digest.Digest][]byte{}}
	w.client.Blobs = kept
	if _, _, err := w.repo(t, "app").Signatures(context.Background(), a, 0); err != nil || kept.gets != 0 {
		t.Errorf("%v, %d asked", err, kept.gets)
	}
}
