package registry

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

const (
	emptyEntry = `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
	imageSaid  = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:9c1185a5c5e9fc54612808977ee8f548b2258d31a4c2b6b2d6a0cc7a0f2d3a11","size":7}`
	layerSaid  = `{"mediaType":"application/spdx+json","digest":"sha256:9c1185a5c5e9fc54612808977ee8f548b2258d31a4c2b6b2d6a0cc7a0f2d3a11","size":7}`
	sbomSaid   = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/spdx+json","config":` + emptyEntry +
		`,"layers":[` + layerSaid + `],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:9c1185a5c5e9fc54612808977ee8f548b2258d31a4c2b6b2d6a0cc7a0f2d3a11","size":7}}`
)

func TestWhatNoRuntimeCanStart(t *testing.T) {
	change := func(from, to string) string {
		t.Helper()
		if !strings.Contains(sbomSaid, from) {
			t.Fatalf("there is no %s", from)
		}
		return strings.Replace(sbomSaid, from, to, 1)
	}
	signature := strings.ReplaceAll(strings.ReplaceAll(sbomSaid, `"artifactType":"application/spdx+json"`, `"artifactType":"application/vnd.cncf.notary.signature"`), `{"mediaType":"application/spdx+json"`, `{"mediaType":"application/jose+json"`)
	for name, c := range map[string]struct {
		manifest  string
		startable bool
	}{
		"an SBOM":                              {sbomSaid, false},
		"one that its config's type names":     {change("application/vnd.oci.empty.v1+json", "application/vnd.example.sbom"), false},
		"a signature":                          {signature, false},
		"an image":                             {change(emptyEntry, imageSaid), true},
		"an empty object as an image's config": {change("application/vnd.oci.empty.v1+json", mediaTypeImageConfig), true},
		"and as Docker's":                      {change("application/vnd.oci.empty.v1+json", strings.ToUpper(mediaTypeDockerConfig)), true},
		"a config of its own":                  {change(emptyEntry, strings.Replace(imageSaid, mediaTypeImageConfig, "application/vnd.cncf.helm.config.v1+json", 1)), true},
		"the digest of {} and another size":    {change(`8a","size":2`, `8a","size":3`), true},
		"no layers":                            {change("["+layerSaid+"]", "[]"), false},
		"of nothing":                           {change(`"subject"`, `"Subject of"`), true},
		"another config in other letters":      {change(`"layers"`, `"Config":`+imageSaid+`,"layers"`), true},
		"in letters that fold":                 {strings.Replace(signature, `"layers"`, "\"layer\u017f\":["+layerSaid+"],\"layers\"", 1), true},
		"twice a config":                       {change(`"layers"`, `"config":`+imageSaid+`,"layers"`), true},
		"an index too":                         {change(`"layers"`, `"manifests":[],"layers"`), true},
		"that says another type":               {change(`"mediaType":"application/vnd.oci.image.manifest.v1+json","art`, `"mediaType":"application/vnd.docker.distribution.manifest.v2+json","art`), true},
		"that says none":                       {change(`"mediaType":"application/vnd.oci.image.manifest.v1+json","art`, `"art`), true},
		"no JSON":                              {"{", true},
	} {
		if got := startableManifest([]byte(c.manifest)); got != c.startable {
			t.Errorf("%s: startable %t, want %t", name, got, c.startable)
		}
	}
}

// FuzzStartable holds that what is taken for nothing to start has, for a reader
// that takes names in any letters and the last of several, the empty object for
// its config, or is a signature.
func FuzzStartable(f *testing.F) {
	for _, seed := range []string{sbomSaid, strings.Replace(sbomSaid, emptyEntry, imageSaid, 1), strings.Replace(sbomSaid, `"layers"`, `"Config":`+imageSaid+`,"layers"`, 1), "{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if startableManifest(b) {
			return
		}
		var m struct {
			Config    struct{ MediaType, Digest string }
			Layers    []struct{ MediaType string }
			Manifests any
		}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatalf("runtimes cannot read it: %v", err)
		}
		signed := len(m.Layers) == 1 && slices.Contains([]string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE}, m.Layers[0].MediaType)
		if m.Manifests != nil || m.Config.Digest != digest.FromString("{}").String() && !signed || strings.Contains(m.Config.MediaType, "image") {
			t.Errorf("%+v", m)
		}
	})
}

// TestWhatIsLookedAtInAListIsBoundedInBytes: who may push chooses how many
// manifests it lists, and how large they are.
func TestWhatIsLookedAtInAListIsBoundedInBytes(t *testing.T) {
	const most = limits.LooksInFlight * limits.SignatureManifestBytes
	padded := func(n, size int) string {
		return sbomSaid + strings.Repeat(" ", size-len(sbomSaid)-n) + strings.Repeat("\n", n)
	}
	for name, c := range map[string]struct {
		size      int64
		startable bool
		asked     int
	}{
		"as large as a signature's may be": {limits.SignatureManifestBytes, false, 64},
		"larger":                           {limits.SignatureManifestBytes + 1, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			texts := map[string]string{}
			var entries []string
			for i := range 64 {
				text := padded(i, int(c.size))
				d := digest.FromString(text)
				texts[d.String()] = text
				entries = append(entries, `{"mediaType":"`+mediaTypeImageManifest+`","digest":"`+d.String()+`","size":`+strconv.Itoa(len(text))+`}`)
			}
			index := `{"schemaVersion":2,"mediaType":"` + mediaTypeImageIndex + `","manifests":[` + strings.Join(entries, ",") + `]}`
			synctest.Test(t, func(t *testing.T) {
				var inFlight, peak, asked atomic.Int64
				client := plainClient()
				client.HTTP = &http.Client{Transport: roundTripper(func(q *http.Request) (*http.Response, error) {
					text, one := texts[q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]]
					if !one {
						return answered(q, mediaTypeImageIndex, index), nil
					}
					asked.Add(1)
					n := inFlight.Add(int64(len(text)))
					for was := peak.Load(); n > was && !peak.CompareAndSwap(was, n); was = peak.Load() {
					}
					time.Sleep(time.Second) // by which all are under way that ever are
					inFlight.Add(-int64(len(text)))
					return answered(q, mediaTypeImageManifest, text), nil
				})}
				r := repository(t, client, "reg.example", "web")
				ref := r.ref
				ref.Digest = digest.FromString(index)
				a, err := shuin.NewArtifact(ref, shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: ref.Digest, Size: int64(len(index))})
				if err != nil {
					t.Fatal(err)
				}
				is, err := r.Startable(t.Context(), a)
				if is != c.startable || err != nil || int(asked.Load()) != c.asked || peak.Load() > most {
					t.Errorf("startable %t, %v; %d asked for, %d bytes at a time; want %t, %d, %d at most", is, err, asked.Load(), peak.Load(), c.startable, c.asked, most)
				}
			})
		})
	}
}

// answered is an answer of the registry.
func answered(q *http.Request, mediaType, text string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {mediaType}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: q}
}

func TestAnIndexIsStartableWhereOneEntryIs(t *testing.T) {
	for name, c := range map[string]struct {
		entries   []string // sbom, image, busy (throttled), gone; "?" before it: marked as of no platform
		startable bool
		code      shuin.Code
	}{
		"nothing":                         {nil, false, ""},
		"SBOMs":                           {[]string{"sbom", "sbom2"}, false, ""},
		"an image that is marked as none": {[]string{"sbom", "?image"}, true, ""},
		"an SBOM that is marked so":       {[]string{"?sbom"}, false, ""},
		"an image among them":             {[]string{"sbom", "image"}, true, ""},
		"one that could not be looked at": {[]string{"sbom", "busy"}, true, shuin.CodeThrottled},
		"that, and an image":              {[]string{"busy", "image"}, true, ""},
		"what is not there":               {[]string{"sbom", "gone"}, true, shuin.CodeMalformed},
		"that, and what could not be":     {[]string{"busy", "gone"}, true, shuin.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			texts := map[string]string{"sbom": sbomSaid, "sbom2": sbomSaid + " ", "image": strings.Replace(sbomSaid, emptyEntry, imageSaid, 1), "busy": "busy", "gone": "gone"}
			manifests := map[string]string{}
			var entries []string
			for _, e := range c.entries {
				e, marked := strings.CutPrefix(e, "?")
				mark := ""
				if marked {
					mark = `,"platform":{"os":"unknown","architecture":"unknown"}`
				}
				d := digest.FromString(texts[e])
				manifests[d.String()] = e
				entries = append(entries, `{"mediaType":"`+mediaTypeImageManifest+`","digest":"`+d.String()+`","size":`+strconv.Itoa(len(texts[e]))+mark+`}`)
			}
			index := `{"schemaVersion":2,"mediaType":"` + mediaTypeImageIndex + `","manifests":[` + strings.Join(entries, ",") + `]}`
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				name := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
				switch what := manifests[name]; {
				case name == digest.FromString(index).String():
					w.Header().Set("Content-Type", mediaTypeImageIndex)
					_, _ = w.Write([]byte(index))
				case what == "busy":
					w.WriteHeader(http.StatusTooManyRequests)
				case what == "gone" || what == "":
					w.WriteHeader(http.StatusNotFound)
				default:
					w.Header().Set("Content-Type", mediaTypeImageManifest)
					_, _ = w.Write([]byte(texts[what]))
				}
			}))
			defer server.Close()
			r := repository(t, plainClient(), strings.TrimPrefix(server.URL, "http://"), "web")
			ref := r.ref
			ref.Digest = digest.FromString(index)
			a, err := shuin.NewArtifact(ref, shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: ref.Digest, Size: int64(len(index))})
			if err != nil {
				t.Fatal(err)
			}
			is, err := r.Startable(t.Context(), a)
			if is != c.startable || shuin.CodeOf(err) != c.code || (err != nil) != (c.code != "") {
				t.Errorf("startable %t, %v; want %t, %q", is, err, c.startable, c.code)
			}
		})
	}
}
