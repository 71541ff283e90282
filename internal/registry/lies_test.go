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
