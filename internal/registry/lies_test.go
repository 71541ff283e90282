package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/limits"
)

// liar serves one honest image and one honest signature, and what a test puts
// in their place.
type liar struct {
	*httptest.Server
	t        *testing.T
	host     string
	artifact shuin.Artifact
	manifest []byte // of the signature
	envelope []byte
	lies     map[string]http.HandlerFunc // "METHOD part-of-path"
	count    atomic.Int64
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	l := &liar{t: t, lies: map[string]http.HandlerFunc{}, envelope: []byte(`{"an":"envelope"}`)}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	l.host = strings.TrimPrefix(l.URL, "http://")
	body := imageManifest("liar")
	d := digest.FromBytes(body)
	l.artifact = artifact(t, shuin.Reference{Registry: l.host, Repository: "app", Digest: d}, d, body)
	var err error
	l.manifest, _, err = newManifest(formArtifactType, l.artifact.Descriptor(), shuin.MediaTypeJWS, l.envelope, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *liar) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	l.count.Add(1)
	for k, h := range l.lies {
		method, part, _ := strings.Cut(k, " ")
		if req.Method == method && strings.Contains(req.URL.RequestURI(), part) {
			h(w, req)
			return
		}
	}
	image := imageManifest("liar")
	switch p := req.URL.Path; {
	case strings.Contains(p, "/referrers/"):
		writeIndex(w, entryOf(l.manifest))
	case strings.HasSuffix(p, digest.FromBytes(image).String()), strings.HasSuffix(p, "/v1"):
		w.Header().Set("Content-Type", mediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(image).String())
		_, _ = w.Write(image)
	case strings.HasSuffix(p, digest.FromBytes(l.manifest).String()):
		w.Header().Set("Content-Type", mediaTypeImageManifest)
		_, _ = w.Write(l.manifest)
	case strings.HasSuffix(p, digest.FromBytes(l.envelope).String()):
		_, _ = w.Write(l.envelope)
	default:
		http.NotFound(w, req)
	}
}

func entryOf(manifest []byte) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"artifactType":%q}`,
		mediaTypeImageManifest, digest.FromBytes(manifest), len(manifest), shuin.ArtifactTypeSignature)
}

func writeIndex(w http.ResponseWriter, entries ...string) {
	w.Header().Set("Content-Type", mediaTypeImageIndex)
	w.Header().Set("OCI-Filters-Applied", "artifactType")
	_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, mediaTypeImageIndex, strings.Join(entries, ","))
}

// endless writes until the client goes away.
func endless(w http.ResponseWriter, _ *http.Request) {
	junk := bytes.Repeat([]byte(" "), 64<<10)
	for {
		if _, err := w.Write(junk); err != nil {
			return
		}
	}
}

func header(h http.HandlerFunc, kv ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		for i := 0; i < len(kv); i += 2 {
			w.Header().Set(kv[i], kv[i+1])
		}
		h(w, req)
	}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}

// verifyAll is what verifying does: discover and fetch. The error is the first
// one told, of the listing or of a candidate.
func (l *liar) verifyAll(max int) ([]shuin.Signature, bool, error) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	r := repository(l.t, plainClient(), l.host, "app")
	a, sigs, err := r.Discover(ctx, l.artifact.Written())
	if err != nil {
		return nil, false, err
	}
	found, more, err := sigs.Signatures(ctx, a, max)
	for _, s := range found {
		err = errors.Join(err, s.Err)
		if s.Err != nil && s.Envelope != nil {
			l.t.Error("a candidate with a reason has an envelope")
		}
	}
	return found, more, err
}

func TestAnHonestAnswerIsTaken(t *testing.T) {
	l := newLiar(t)
	found, more, err := l.verifyAll(100)
	if err != nil || more || len(found) != 1 || string(found[0].Envelope) != string(l.envelope) {
		t.Fatalf("%+v %v %v", found, more, err)
	}
}

// TestARegistryThatLies: each lie has its code and its reason, within a bound.
func TestARegistryThatLies(t *testing.T) {
	other := digest.FromString("other").String()
	for name, tc := range map[string]struct {
		on   string
		lie  func(l *liar) http.HandlerFunc
		code shuin.Code
		says string
	}{
		"HEAD names another digest than the one asked for": {
			on: "HEAD /manifests/", code: shuin.CodeMalformed, says: "resolved to " + other,
			lie: func(*liar) http.HandlerFunc {
				return header(text(""), "Content-Type", mediaTypeImageManifest, "Docker-Content-Digest", other, "Content-Length", "10")
			},
		},
		"HEAD names no digest at all but rubbish": {
			on: "HEAD /manifests/", code: shuin.CodeMalformed, says: "invalid digest",
			lie: func(*liar) http.HandlerFunc {
				return header(text(""), "Content-Type", mediaTypeImageManifest, "Docker-Content-Digest", "sha256:zz")
			},
		},
		"HEAD tells a size beyond the limit": {
			on: "HEAD /manifests/", code: shuin.CodeLimit, says: "ManifestBytes",
			lie: func(l *liar) http.HandlerFunc {
				return header(text(""), "Content-Type", mediaTypeImageManifest, "Content-Length", "99999999999")
			},
		},
		"signature manifest with other content": {
			on: "GET SIG", code: shuin.CodeMalformed, says: "the content's digest is",
			lie: func(l *liar) http.HandlerFunc {
				return text(strings.Replace(string(l.manifest), "config", "confog", 1))
			},
		},
		"signature manifest that is shorter": {
			on: "GET SIG", code: shuin.CodeMalformed, says: "bytes, not",
			lie: func(l *liar) http.HandlerFunc { return text(string(l.manifest[:10])) },
		},
		"signature manifest without end": {
			on: "GET SIG", code: shuin.CodeMalformed, says: "sends more than",
			lie: func(*liar) http.HandlerFunc { return endless },
		},
		"signature manifest that is not there": {
			on: "GET SIG", code: shuin.CodeMalformed, says: "lists it and does not have it",
			lie: func(*liar) http.HandlerFunc { return http.NotFound },
		},
		"envelope with other content": {
			on: "GET /blobs/", code: shuin.CodeMalformed, says: "the content's digest is",
			lie: func(l *liar) http.HandlerFunc {
				return text(strings.Replace(string(l.envelope), "an", "no", 1))
			},
		},
		"envelope without end": {
			on: "GET /blobs/", code: shuin.CodeMalformed, says: "sends more than",
			lie: func(*liar) http.HandlerFunc { return endless },
		},
		"envelope that is empty": {
			on: "GET /blobs/", code: shuin.CodeMalformed, says: "0 bytes, not",
			lie: func(*liar) http.HandlerFunc { return text("") },
		},
		"referrers without end": {
			on: "GET /referrers/", code: shuin.CodeLimit, says: "ReferrersBytes",
			lie: func(*liar) http.HandlerFunc { return header(endless, "Content-Type", mediaTypeImageIndex) },
		},
		"referrers that are no index": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "not an image index",
			lie: func(*liar) http.HandlerFunc { return header(text("<html>"), "Content-Type", mediaTypeImageIndex) },
		},
		"referrers with a duplicate name": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "duplicate",
			lie: func(*liar) http.HandlerFunc {
				return header(text(`{"schemaVersion":2,"manifests":[],"manifests":[]}`), "Content-Type", mediaTypeImageIndex)
			},
		},
		"referrers nested too deep": {
			on: "GET /referrers/", code: shuin.CodeLimit, says: "JSONDepth",
			lie: func(*liar) http.HandlerFunc {
				return header(text(`{"schemaVersion":2,"manifests":[],"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`), "Content-Type", mediaTypeImageIndex)
			},
		},
		"referrers with an entry that names nothing": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "entry 0",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					writeIndex(w, `{"mediaType":"a/b","digest":"sha256:../../etc/passwd","size":1}`)
				}
			},
		},
		"referrers with a negative size": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "negative",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					writeIndex(w, `{"mediaType":"a/b","digest":"`+other+`","size":-1}`)
				}
			},
		},
		"referrers that announce a huge manifest": {
			on: "GET /referrers/", code: shuin.CodeLimit, says: "ManifestBytes",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					writeIndex(w, `{"mediaType":"`+mediaTypeImageManifest+`","digest":"`+other+`","size":99999999,"artifactType":"`+shuin.ArtifactTypeSignature+`"}`)
				}
			},
		},
		"referrers pages that turn in a circle": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "turn in a circle",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, req *http.Request) {
					w.Header().Set("Link", `<`+req.URL.Path+`?page=2>; rel="next"`)
					writeIndex(w)
				}
			},
		},
		"referrers pages without end": {
			on: "GET /referrers/", code: shuin.CodeLimit, says: "ReferrersPages",
			lie: func(l *liar) http.HandlerFunc {
				return func(w http.ResponseWriter, req *http.Request) {
					w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel="next"`, l.count.Load()))
					writeIndex(w)
				}
			},
		},
		"next page on another host": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "on another host",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Link", `<http://elsewhere.example/v2/>; rel="next"`)
					writeIndex(w)
				}
			},
		},
		"second page that is no index": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "text/html",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, req *http.Request) {
					if strings.Contains(req.URL.RawQuery, "page") {
						w.Header().Set("Content-Type", "text/html")
						return
					}
					w.Header().Set("Link", `<?page=2>; rel="next"`)
					writeIndex(w)
				}
			},
		},
		"OCI-05 referrers of another subject": {
			on: "GET /referrers/", code: shuin.CodeMalformed, says: "subject is",
			lie: func(l *liar) http.HandlerFunc {
				foreign := l.artifact.Descriptor()
				foreign.Digest = digest.Digest(other)
				b, _, err := newManifest(formArtifactType, foreign, shuin.MediaTypeJWS, l.envelope, nil)
				if err != nil {
					l.t.Fatal(err)
				}
				l.lies["GET "+digest.FromBytes(b).String()] = text(string(b))
				return func(w http.ResponseWriter, _ *http.Request) { writeIndex(w, entryOf(b)) }
			},
		},
		"redirects without end": {
			on: "GET /blobs/", code: shuin.CodeMalformed, says: "RegistryRedirects",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, req *http.Request) {
					http.Redirect(w, req, req.URL.Path+"?"+req.URL.RawQuery+"x", http.StatusTemporaryRedirect)
				}
			},
		},
		"401": {on: "GET /referrers/", code: shuin.CodeUnauthorized, says: "401", lie: status(http.StatusUnauthorized)},
		"403": {on: "GET /referrers/", code: shuin.CodeForbidden, says: "403", lie: status(http.StatusForbidden)},
		"404 of the artifact": {
			on: "HEAD /manifests/", code: shuin.CodeNotFound, says: "404", lie: status(http.StatusNotFound),
		},
		"401 of the artifact": {on: "HEAD /manifests/", code: shuin.CodeUnauthorized, says: "401", lie: status(http.StatusUnauthorized)},
		"400":                 {on: "GET /referrers/", code: shuin.CodeMalformed, says: "400", lie: status(http.StatusBadRequest)},
		"429 with a long wait": {
			on: "GET /referrers/", code: shuin.CodeThrottled, says: "429",
			lie: func(*liar) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "3600")
					w.WriteHeader(http.StatusTooManyRequests)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			h := tc.lie(l)
			l.lies[strings.Replace(tc.on, "SIG", "/manifests/"+digest.FromBytes(l.manifest).String(), 1)] = h
			_, _, err := l.verifyAll(100)
			if shuin.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("code %s, want %s; error %v, want %q", shuin.CodeOf(err), tc.code, err, tc.says)
			}
		})
	}
}

func status(s int) func(*liar) http.HandlerFunc {
	return func(*liar) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(s) } }
}

func TestTenThousandSignatures(t *testing.T) {
	var entries []string
	for i := range limits.Referrers + 1 {
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":9,"artifactType":%q}`,
			mediaTypeImageManifest, digest.FromString(fmt.Sprint(i)), shuin.ArtifactTypeSignature))
	}
	l := newLiar(t)
	l.lies["GET /referrers/"] = func(w http.ResponseWriter, _ *http.Request) { writeIndex(w, entries[:limits.Referrers]...) }
	found, more, _ := l.verifyAll(100)
	if len(found) != 100 || !more {
		t.Errorf("%d candidates, more %v", len(found), more)
	}
	if n := l.count.Load(); n > 2+2*100 {
		t.Errorf("%d requests", n)
	}
	l.lies["GET /referrers/"] = func(w http.ResponseWriter, _ *http.Request) { writeIndex(w, entries...) }
	if _, _, err := l.verifyAll(100); shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "limit Referrers") {
		t.Errorf("one more: %v", err)
	}
}

func TestEnvelopesAreBoundedTogether(t *testing.T) {
	sigs := make([]shuin.Signature, 8)
	layers := make([]descriptor, 8)
	for i := range layers {
		layers[i] = descriptor{Digest: digest.FromString("x"), Size: limits.EnvelopeBytes}
	}
	boundTotal(sigs, layers)
	for i := range sigs {
		if over := int64(i+1)*limits.EnvelopeBytes > limits.SignaturesBytes; over != (shuin.CodeOf(sigs[i].Err) == shuin.CodeLimit) {
			t.Errorf("envelope %d: %v", i, sigs[i].Err)
		}
	}
}

// TestAnswersThatMeanNoReferrersAPI: each is followed by a look at the tag.
func TestAnswersThatMeanNoReferrersAPI(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"404": http.NotFound,
		"405": status(http.StatusMethodNotAllowed)(nil),
		"501": status(http.StatusNotImplemented)(nil),
		"400 with code UNSUPPORTED": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			text(`{"errors":[{"code":"UNSUPPORTED"}]}`)(w, nil)
		},
		"200 with HTML":       header(text("<html>welcome</html>"), "Content-Type", "text/html"),
		"200 with other JSON": header(text("{}"), "Content-Type", "application/json"),
		"200 empty":           header(text("")),
		"200 empty index":     header(text(`{"schemaVersion":2,"mediaType":"`+mediaTypeImageIndex+`","manifests":[]}`), "Content-Type", mediaTypeImageIndex),
		"200 manifests null":  header(text(`{"schemaVersion":2,"mediaType":"`+mediaTypeImageIndex+`","manifests":null}`), "Content-Type", mediaTypeImageIndex),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLiar(t)
			l.lies["GET /referrers/"] = h
			l.lies["GET "+fallbackTag(l.artifact.Digest())] = func(w http.ResponseWriter, _ *http.Request) { writeIndex(w, entryOf(l.manifest)) }
			found, _, err := l.verifyAll(100)
			if err != nil || len(found) != 1 || string(found[0].Envelope) != string(l.envelope) {
				t.Errorf("%+v %v", found, err)
			}
		})
	}
}

// TestResolveAsksAgainWhereHEADTellsTooLittle.
func TestResolveAsksAgainWhereHEADTellsTooLittle(t *testing.T) {
	for name, tc := range map[string]struct {
		head http.HandlerFunc
		get  http.HandlerFunc
		says string
	}{
		"HEAD without digest":       {head: header(text(""), "Content-Type", mediaTypeImageManifest, "Content-Length", "9")},
		"HEAD without content type": {head: func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil }},
		"HEAD not allowed":          {head: status(http.StatusMethodNotAllowed)(nil)},
		"GET without digest too": {
			head: header(text(""), "Content-Type", mediaTypeImageManifest),
			get:  header(text(string(imageManifest("liar"))), "Content-Type", mediaTypeImageManifest),
		},
		"GET without content type": {
			head: header(text("")),
			get: func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				_, _ = w.Write(imageManifest("liar"))
			},
		},
		"GET with other content than its header says": {
			head: header(text("")), says: "the registry answered with content of digest",
			get: header(text("{}"), "Docker-Content-Digest", digest.FromString("x").String()),
		},
		"GET without end": {head: header(text("")), get: endless, says: "limit ManifestBytes"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLiar(t)
			l.lies["HEAD /manifests/v1"] = tc.head
			if tc.get != nil {
				l.lies["GET /manifests/v1"] = tc.get
			}
			a, err := repository(t, plainClient(), l.host, "app").Resolve(t.Context(), shuin.Reference{Registry: l.host, Repository: "app", Tag: "v1"})
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("error %v, want %q", err, tc.says)
				}
				return
			}
			if err != nil || !a.Descriptor().SameContent(l.artifact.Descriptor()) {
				t.Errorf("%v %v", a.Descriptor(), err)
			}
		})
	}
}

// TestLayerData: an envelope inside its manifest saves the fetch; one that is
// not what the descriptor says does not.
func TestLayerData(t *testing.T) {
	for name, tc := range map[string]struct {
		data  string
		fetch int64
	}{
		"data that fits":   {data: `{"an":"envelope"}`, fetch: 0},
		"other data":       {data: `{"an":"onvelope"}`, fetch: 1},
		"data of a prefix": {data: `{"an"`, fetch: 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLiar(t)
			var m manifest
			if err := decode(l.manifest, &m); err != nil {
				t.Fatal(err)
			}
			m.Layers[0].Data = base64.StdEncoding.EncodeToString([]byte(tc.data))
			l.manifest, _ = json.Marshal(m)
			var fetched atomic.Int64
			l.lies["GET /blobs/"] = func(w http.ResponseWriter, _ *http.Request) {
				fetched.Add(1)
				_, _ = w.Write(l.envelope)
			}
			found, _, err := l.verifyAll(100)
			if err != nil || len(found) != 1 || string(found[0].Envelope) != string(l.envelope) || fetched.Load() != tc.fetch {
				t.Errorf("%+v %v, %d fetches", found, err, fetched.Load())
			}
		})
	}
}

// TestSignatureManifestRules mutates one thing of a good manifest at a time.
func TestSignatureManifestRules(t *testing.T) {
	a := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	envelope := []byte("{}")
	for name, tc := range map[string]struct {
		form   form
		change func(m map[string]any)
		says   string // empty: accepted
	}{
		"OCI-02 OCI-07 artifactType form":  {form: formArtifactType},
		"OCI-03 OCI-07 legacy config form": {form: formConfig},
		"OCI-01 another media type": {form: formArtifactType, says: "mediaType is", change: func(m map[string]any) {
			m["mediaType"] = mediaTypeDockerManifest
		}},
		"OCI-01 no media type": {form: formArtifactType, says: "mediaType is", change: func(m map[string]any) { delete(m, "mediaType") }},
		"OCI-01 schemaVersion 1": {form: formArtifactType, says: "schemaVersion", change: func(m map[string]any) {
			m["schemaVersion"] = 1
		}},
		"OCI-02 artifactType with the legacy config": {form: formArtifactType, says: "config is", change: func(m map[string]any) {
			m["config"].(map[string]any)["mediaType"] = shuin.ArtifactTypeSignature
		}},
		"OCI-02 another artifactType": {form: formArtifactType, says: "artifactType is", change: func(m map[string]any) {
			m["artifactType"] = "application/spdx+json"
		}},
		"OCI-03 no artifactType and the empty config": {form: formConfig, says: "neither artifactType nor", change: func(m map[string]any) {
			m["config"].(map[string]any)["mediaType"] = mediaTypeEmpty
		}},
		"OCI-03 no config":                {form: formConfig, says: "no config", change: func(m map[string]any) { delete(m, "config") }},
		"OCI-03 config without digest":    {form: formConfig, says: "config: ", change: func(m map[string]any) { delete(m["config"].(map[string]any), "digest") }},
		"OCI-03 config content ignored":   {form: formConfig, change: func(m map[string]any) { m["config"].(map[string]any)["size"] = 77 }},
		"OCI-04 no layer":                 {form: formArtifactType, says: "0 layers", change: func(m map[string]any) { m["layers"] = []any{} }},
		"OCI-04 two layers":               {form: formArtifactType, says: "2 layers", change: func(m map[string]any) { m["layers"] = append(m["layers"].([]any), m["layers"].([]any)[0]) }},
		"OCI-04 WF-03 another envelope":   {form: formArtifactType, says: "unsupported signature envelope type", change: func(m map[string]any) { layer(m)["mediaType"] = "application/pgp" }},
		"OCI-04 COSE":                     {form: formArtifactType, change: func(m map[string]any) { layer(m)["mediaType"] = shuin.MediaTypeCOSE }},
		"OCI-04 layer without digest":     {form: formArtifactType, says: "layer: ", change: func(m map[string]any) { delete(layer(m), "digest") }},
		"OCI-04 layer beyond the limit":   {form: formArtifactType, says: "EnvelopeBytes", change: func(m map[string]any) { layer(m)["size"] = limits.EnvelopeBytes + 1 }},
		"OCI-05 no subject":               {form: formArtifactType, says: "no subject", change: func(m map[string]any) { delete(m, "subject") }},
		"OCI-05 subject of another size":  {form: formArtifactType, says: "subject is", change: func(m map[string]any) { m["subject"].(map[string]any)["size"] = 6 }},
		"OCI-05 subject of another type":  {form: formArtifactType, says: "subject is", change: func(m map[string]any) { m["subject"].(map[string]any)["mediaType"] = mediaTypeImageIndex }},
		"OCI-06 without thumbprints":      {form: formArtifactType, change: func(m map[string]any) { delete(m, "annotations") }},
		"OCI-06 thumbprints are rubbish":  {form: formArtifactType, change: func(m map[string]any) { m["annotations"] = map[string]any{shuin.AnnotationThumbprints: "rubbish"} }},
		"an annotation that is no string": {form: formArtifactType, says: "not an image manifest", change: func(m map[string]any) { m["annotations"] = map[string]any{"a": 1} }},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := newManifest(tc.form, a, shuin.MediaTypeJWS, envelope, annotationsOf(1))
			if err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				var m map[string]any
				if err := json.Unmarshal(b, &m); err != nil {
					t.Fatal(err)
				}
				tc.change(m)
				if b, err = json.Marshal(m); err != nil {
					t.Fatal(err)
				}
			}
			var sig shuin.Signature
			readManifest("read", b, a, &sig)
			switch {
			case tc.says == "" && sig.Err != nil:
				t.Errorf("refused: %v", sig.Err)
			case tc.says != "" && (sig.Err == nil || !strings.Contains(sig.Err.Error(), tc.says)):
				t.Errorf("error %v, want %q", sig.Err, tc.says)
			}
		})
	}
}

func layer(m map[string]any) map[string]any { return m["layers"].([]any)[0].(map[string]any) }

// TestManifestsAreCaseSensitiveAndHaveNoDuplicates: encoding/json would take
// these.
func TestManifestsAreCaseSensitiveAndHaveNoDuplicates(t *testing.T) {
	a := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	b, _, err := newManifest(formArtifactType, a, shuin.MediaTypeJWS, []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"layers"`, `"Layers"`}, {`"subject"`, `"SUBJECT"`}, {`{"schemaVersion":2`, `{"schemaVersion":2,"schemaVersion":2`}} {
		var sig shuin.Signature
		readManifest("read", []byte(strings.Replace(string(b), change[0], change[1], 1)), a, &sig)
		if sig.Err == nil {
			t.Errorf("%s was taken", change[1])
		}
	}
}

func TestThumbprintsAreAHint(t *testing.T) {
	fp := strings.Repeat("Ab", 32)
	for in, want := range map[string]int{
		`["` + fp + `"]`:              1, // OCI-06: either case
		`["` + fp + `","` + fp + `"]`: 2,
		`[]`:                          0,
		`["short"]`:                   0,
		`"` + fp + `"`:                0,
		``:                            0,
		`[` + strings.Repeat(`"`+fp+`",`, limits.ChainLength) + `"` + fp + `"]`: 0,
	} {
		got := thumbprints(map[string]string{shuin.AnnotationThumbprints: in})
		if len(got) != want || want > 0 && got[0] != strings.ToLower(fp) {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func TestNewManifestIsWhatNotationExpects(t *testing.T) {
	a := shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: digest.FromString("image"), Size: 5, Annotations: map[string]string{"not": "copied"}}
	b, d, err := newManifest(formArtifactType, a, shuin.MediaTypeCOSE, []byte("envelope"), map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.cncf.notary.signature",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},` +
		`"layers":[{"mediaType":"application/cose","digest":"` + digest.FromString("envelope").String() + `","size":8}],` +
		`"subject":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"` + a.Digest.String() + `","size":5},"annotations":{"k":"v"}}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if d.Digest != digest.FromBytes(b) || d.ArtifactType != shuin.ArtifactTypeSignature {
		t.Errorf("descriptor %+v", d)
	}
}

func TestOldArtifactManifestStaysAsACandidate(t *testing.T) {
	l := newLiar(t)
	l.lies["GET /referrers/"] = func(w http.ResponseWriter, _ *http.Request) {
		writeIndex(w, `{"mediaType":"`+mediaTypeArtifact+`","digest":"`+digest.FromString("x").String()+`","size":1,"artifactType":"`+shuin.ArtifactTypeSignature+`"}`, entryOf(l.manifest))
	}
	found, _, err := l.verifyAll(100)
	if len(found) != 2 || found[0].Err == nil || found[1].Err != nil {
		t.Errorf("%+v %v", found, err)
	}
}

func TestDeadlineIsTheCallers(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	w.FailNext(devregistry.Fault{Kind: devregistry.KindReferrers, Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := w.repo(t, "app").List(ctx, a, 0); shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Errorf("%v", err)
	}
}

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
