package registry

import (
	"bytes"
	encodingjson "encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// fuzzed serves one body for everything.
func fuzzed(contentType string, body []byte) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Type", contentType)
		rec.Body = bytes.NewBuffer(body)
		resp := rec.Result()
		resp.Request = req
		resp.ContentLength = -1
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func FuzzReferrers(f *testing.F) {
	subject := digest.FromString("image")
	good := `{"schemaVersion":2,"mediaType":"` + mediaTypeImageIndex + `","manifests":[` + entryOf([]byte("x")) + `]}`
	for _, s := range []string{good, strings.Replace(good, "[", "[null,", 1), `{}`, ``, `null`, `[]`, strings.Replace(good, "sha256:", "sha1:", 1), good + good} {
		f.Add([]byte(s), "")
		f.Add([]byte(s), `<?page=2>; rel="next"`)
	}
	f.Fuzz(func(t *testing.T, body []byte, link string) {
		c := plainClient()
		base := fuzzed(mediaTypeImageIndex, body)
		c.HTTP = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(req)
			if link != "" {
				resp.Header.Set("Link", link)
			}
			return resp, err
		})}
		r := repository(t, c, "h.example", "app")
		found, more, err := r.referrers(subject).take(t.Context(), 5)
		if len(found) > 5 || err != nil && (more || found != nil) {
			t.Fatalf("%d found, more %v, %v", len(found), more, err)
		}
		for _, d := range found {
			if d.plain().Validate() != nil || !d.isSignature() {
				t.Fatalf("a candidate that names nothing: %+v", d)
			}
		}
		if err != nil {
			var e *shuin.Error
			if !errors.As(err, &e) || e.Code == "" || e.Code == shuin.CodeInternal {
				t.Fatalf("no code: %v", err)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	a := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	for _, form := range []form{formArtifactType, formConfig} {
		b, _, err := newManifest(form, a, shuin.MediaTypeJWS, []byte("{}"), annotationsOf(1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(bytes.Replace(b, []byte(`"size"`), []byte(`"data":"e30=","size"`), 2))
	}
	f.Add([]byte(`{"schemaVersion":2,"layers":null,"config":null,"subject":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var sig shuin.Signature
		layer := readManifest("read", b, a, &sig)
		if sig.Err != nil && sig.Envelope != nil {
			t.Fatal("a refused manifest has an envelope")
		}
		if sig.Err == nil {
			if layer.plain().Validate() != nil || layer.Size > limits.EnvelopeBytes {
				t.Fatalf("layer %+v", layer)
			}
			if sig.Envelope != nil && checkContent("", sig.Envelope, layer.plain()) != nil {
				t.Fatal("an inline envelope that its descriptor does not name")
			}
		}
		for _, p := range sig.Thumbprints {
			if len(p) != 64 {
				t.Fatalf("thumbprint %q", p)
			}
		}
		_, _, _ = signatureSubject(b)
	})
}

func FuzzPlatforms(f *testing.F) {
	child := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}
	for _, s := range []string{
		string(indexBody(mediaTypeImageIndex, entry(child, "linux/amd64", ""), entry(child, "unknown/unknown", attestation))),
		string(indexBody(mediaTypeImageIndex, entry(shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: child.Digest, Size: 1}, "", ""))),
		string(indexBody(mediaTypeImageIndex, strings.Replace(entry(child, "unknown/unknown", ""), `"variant":""`, `"OS":"linux"`, 1))),
		string(indexBody(mediaTypeDockerList)), `{}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := shuin.NewArtifact(shuin.Reference{Registry: "h.example", Repository: "app", Tag: "x"},
			shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: digest.FromBytes(body), Size: int64(len(body))})
		if err != nil {
			t.Fatal(err)
		}
		c := plainClient()
		c.HTTP = &http.Client{Transport: fuzzed(mediaTypeImageIndex, body)}
		found, err := repository(t, c, "h.example", "app").Platforms(t.Context(), a)
		if err != nil && found != nil || len(found) > limits.Platforms {
			t.Fatalf("%d found, %v", len(found), err)
		}
		for _, p := range found {
			if p.Descriptor.Validate() != nil || p.OS == "unknown" && p.Architecture == "unknown" || isIndexType(p.Descriptor.MediaType) {
				t.Fatalf("a platform that is none: %+v", p)
			}
		}
		if err != nil && shuin.CodeOf(err).Undecided() {
			t.Fatalf("an answer became %q: %v", shuin.CodeOf(err), err)
		}
		var theirs ocispec.Index // as container runtimes decode it
		if err != nil || encodingjson.Unmarshal(body, &theirs) != nil {
			return
		}
		for _, m := range theirs.Manifests {
			marked := m.Platform != nil && m.Platform.OS == "unknown" && m.Platform.Architecture == "unknown"
			if !marked && !isIndexType(m.MediaType) && !slices.ContainsFunc(found, func(p shuin.Platform) bool { return p.Descriptor.Digest == m.Digest }) {
				t.Fatalf("a runtime sees %+v, which is not among %+v", m, found)
			}
		}
	})
}

func FuzzTags(f *testing.F) {
	f.Add([]byte(`{"name":"app","tags":["a","b"]}`), `</v2/app/tags/list?last=b>; rel="next"`)
	f.Add([]byte(`{"tags":null}`), "")
	f.Add([]byte(`[]`), "<")
	f.Fuzz(func(t *testing.T, body []byte, link string) {
		c := plainClient()
		base := fuzzed("application/json", body)
		pages := 0
		c.HTTP = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			if pages++; req.URL.Host != "h.example" {
				t.Errorf("asked %s", req.URL)
			}
			resp, err := base.RoundTrip(req)
			if link != "" {
				resp.Header.Set("Link", link)
			}
			return resp, err
		})}
		enough := errors.New("enough")
		err := repository(t, c, "h.example", "app").Tags(t.Context(), "", func(tags []string) error {
			for _, tag := range tags {
				if !shuin.ValidTag(tag) {
					t.Fatalf("%q is no tag", tag)
				}
			}
			if pages > 3 {
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) && shuin.CodeOf(err).Undecided() {
			t.Fatalf("an answer became %q: %v", shuin.CodeOf(err), err)
		}
	})
}
