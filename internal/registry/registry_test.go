package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
)

// TestVerifyRoundTrips holds the numbers of performance.md section 4 for each
// count of signatures, whichever of them is the good one: all are fetched in
// one wave.
func TestVerifyRoundTrips(t *testing.T) {
	for _, n := range []int{1, 5, 20} {
		for _, by := range []string{"digest", "tag"} {
			t.Run(fmt.Sprintf("%d signatures by %s", n, by), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, devregistry.Options{})
				a := w.image(t, "app", "v1")
				r := w.repo(t, "app")
				sign(t, r, a, n)

				groups := map[string]int{"discover": 2, "manifests": n, "envelopes": n}
				want := "[discover manifests envelopes]"
				asked := ref(w, "app", "", a.Digest())
				if by == "tag" {
					groups["resolve"], groups["discover"] = 1, 1
					want = "[resolve discover manifests envelopes]"
					asked = ref(w, "app", "v1", "")
				}
				w.ResetLog()
				w.gate.arm(groups)
				got, sigs, err := r.Discover(t.Context(), asked)
				if err != nil {
					t.Fatal(err)
				}
				if !got.Descriptor().SameContent(a.Descriptor()) {
					t.Fatalf("resolved to %v, want %v", got.Descriptor(), a.Descriptor())
				}
				found, more, err := sigs.Signatures(t.Context(), got, 100)
				if err != nil || more || len(found) != n {
					t.Fatalf("%d signatures, more %v, error %v", len(found), more, err)
				}
				for i, s := range found {
					if s.Err != nil || string(s.Envelope) != string(envelopeOf(i)) || len(s.Thumbprints) != 1 {
						t.Errorf("signature %d: %+v", i, s)
					}
				}
				if got := fmt.Sprint(w.gate.rounds); got != want {
					t.Errorf("rounds %s, want %s", got, want)
				}
				if reqs := len(w.Log()); reqs != 2+2*n {
					t.Errorf("%d requests, want %d", reqs, 2+2*n)
				}
			})
		}
	}
}

func TestSignTakesThreeRoundTripsWithResolving(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	r := w.repo(t, "app")
	w.ResetLog()
	w.gate.arm(map[string]int{"resolve": 1, "upload": 2, "put": 1})
	got, err := r.Resolve(t.Context(), ref(w, "app", "v1", ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.PushSignature(t.Context(), got, shuin.MediaTypeCOSE, []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	if rounds := fmt.Sprint(w.gate.rounds); rounds != "[resolve upload put]" {
		t.Errorf("rounds %s", rounds)
	}
	if n := len(w.Log()); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
	_ = a
}

func TestUploadGoesOnWithPutWhereSinglePostIsUnknown(t *testing.T) {
	w := newWorld(t, devregistry.Options{NoSinglePost: true})
	a := w.image(t, "app", "v1")
	r := w.repo(t, "app")
	for range 2 {
		sign(t, r, a, 2)
	}
	sigs, _, err := r.Signatures(t.Context(), a, 0)
	if err != nil || len(sigs) != 2 || sigs[0].Err != nil || sigs[1].Err != nil {
		t.Fatalf("%+v %v", sigs, err)
	}
}

// TestReferrersAPI covers OCI-08: pages, and filtering at either side.
func TestReferrersAPI(t *testing.T) {
	for name, o := range map[string]devregistry.Options{
		"OCI-08 all in one page":             {},
		"OCI-08 pages of three":              {PageSize: 3},
		"OCI-08 client filters":              {NoFilter: true},
		"OCI-08 client filters pages of two": {NoFilter: true, PageSize: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			a := w.image(t, "app", "v1")
			r := w.repo(t, "app")
			for i := range 3 {
				other := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/spdx+json","config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d},"annotations":{"n":"%d"}}`,
					mediaTypeImageManifest, mediaTypeEmpty, digest.FromString("{}"), mediaTypeImageManifest, a.Digest(), a.Descriptor().Size, i)
				if _, err := w.PutManifest("app", mediaTypeImageManifest, other); err != nil {
					t.Fatal(err)
				}
			}
			want := sign(t, r, a, 7)
			got, more, err := r.List(t.Context(), a, 0)
			if err != nil || more || len(got) != len(want) {
				t.Fatalf("%d of %d signatures, more %v, %v", len(got), len(want), more, err)
			}
			got, more, err = r.List(t.Context(), a, 4)
			if err != nil || !more || len(got) != 4 {
				t.Errorf("with max 4: %d signatures, more %v, %v", len(got), more, err)
			}
			got, more, err = r.List(t.Context(), a, 7)
			if err != nil || more || len(got) != 7 {
				t.Errorf("with max 7: %d signatures, more %v, %v", len(got), more, err)
			}
		})
	}
}

func TestUnsignedIsToldByOneAnswerWhereTheFilterWasApplied(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	w.ResetLog()
	if got, _, err := w.repo(t, "app").List(t.Context(), a, 0); err != nil || len(got) != 0 {
		t.Fatal(got, err)
	}
	if n := len(w.Log()); n != 1 {
		t.Errorf("%d requests, want 1: %+v", n, w.Log())
	}
}

// withoutReferrers are the ways registries say that they have no referrers API.
var withoutReferrers = map[string]devregistry.Options{
	"404":                           {NoReferrers: true},
	"405":                           {Referrers405: true},
	"empty answer without header":   {ReferrersEmpty: true},
	"404 without conditional PUT":   {NoReferrers: true, NoConditionalPut: true},
	"empty without conditional PUT": {ReferrersEmpty: true, NoConditionalPut: true},
}

func TestFallbackTagBothWays(t *testing.T) {
	for name, o := range withoutReferrers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			a := w.image(t, "app", "v1")
			r := w.repo(t, "app")
			if got, _, err := r.List(t.Context(), a, 0); err != nil || len(got) != 0 {
				t.Fatalf("unsigned: %v %v", got, err)
			}
			want := sign(t, r, a, 3)
			_, sigs, err := repository(t, plainClient(), w.host, "app").Discover(t.Context(), ref(w, "app", "v1", ""))
			if err != nil {
				t.Fatal(err)
			}
			got, more, err := sigs.Signatures(t.Context(), a, 10)
			if err != nil || more || len(got) != 3 {
				t.Fatalf("%d signatures, %v, %v", len(got), more, err)
			}
			for i := range got {
				if got[i].Err != nil || got[i].Manifest.Digest != want[i].Digest {
					t.Errorf("signature %d: %+v", i, got[i])
				}
			}
		})
	}
}

func TestKnownLackOfReferrersCostsNoRoundTrip(t *testing.T) {
	w := newWorld(t, devregistry.Options{NoReferrers: true})
	a := w.image(t, "app", "v1")
	r := w.repo(t, "app")
	sign(t, r, a, 1)
	if _, _, err := r.List(t.Context(), a, 0); err != nil {
		t.Fatal(err)
	}
	// groups: HEAD and referrers, and now the tag at once with them.
	w.gate.arm(map[string]int{"discover": 2, "manifests": 1})
	w.gate.mu.Lock()
	w.gate.open["discover"] = make(chan struct{})
	w.gate.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := r.Discover(ctx, ref(w, "app", "", a.Digest())); err != nil {
		t.Fatal(err)
	}
	if got := len(w.gate.rounds); got != 2 {
		t.Errorf("%v", w.gate.rounds)
	}
}

func TestForceReferrersTagWritesTheIndexAlsoWhereTheAPIExists(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	w.client.ForceReferrersTag = true
	d := sign(t, w.repo(t, "app"), a, 1)[0]
	_, body, ok := w.Manifest("app", fallbackTag(a.Digest()))
	if !ok || !strings.Contains(string(body), d.Digest.String()) {
		t.Fatalf("the index under the tag is %s", body)
	}
	if got, _, err := w.repo(t, "app").List(t.Context(), a, 0); err != nil || len(got) != 1 {
		t.Errorf("listed %v %v", got, err)
	}
}

func TestAnIndexOfOthersIsMergedAndKeptAsItIs(t *testing.T) {
	w := newWorld(t, devregistry.Options{NoReferrers: true, Sparse: true})
	a := w.image(t, "app", "v1")
	foreign := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digest.FromString("x").String() + `","size":1,"artifactType":"application/spdx+json","platform":{"os":"linux","architecture":"mips"},"x-more":[1,2]}`
	body := `{"schemaVersion":2,"mediaType":"` + mediaTypeImageIndex + `","manifests":[` + foreign + `],"annotations":{"kept":"yes"}}`
	if _, err := w.PutManifest("app", mediaTypeImageIndex, []byte(body), fallbackTag(a.Digest())); err != nil {
		t.Fatal(err)
	}
	sign(t, w.repo(t, "app"), a, 1)
	_, got, _ := w.Manifest("app", fallbackTag(a.Digest()))
	for _, want := range []string{foreign, `"annotations":{"kept":"yes"}`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the index lost %s:\n%s", want, got)
		}
	}
}

func TestWhatIsNoIndexUnderTheReferrersTagIsNotOverwritten(t *testing.T) {
	w := newWorld(t, devregistry.Options{NoReferrers: true})
	a := w.image(t, "app", "v1")
	w.image(t, "app", fallbackTag(a.Digest()))
	_, before, _ := w.Manifest("app", fallbackTag(a.Digest()))
	_, err := w.repo(t, "app").PushSignature(t.Context(), a, shuin.MediaTypeJWS, []byte("{}"), nil)
	if shuin.CodeOf(err) != shuin.CodeMalformed || !strings.Contains(err.Error(), "was pushed, but it is not listed") {
		t.Errorf("error %v", err)
	}
	if _, after, _ := w.Manifest("app", fallbackTag(a.Digest())); string(after) != string(before) {
		t.Error("it was overwritten")
	}
}

// TestTenConcurrentSigners: ten clients that share nothing sign one image in a
// registry without referrers; all ten have to be in the index.
func TestTenConcurrentSigners(t *testing.T) {
	for name, o := range map[string]devregistry.Options{
		"with conditional PUT":    {NoReferrers: true},
		"without conditional PUT": {NoReferrers: true, NoConditionalPut: true},
		"without it, and slow":    {NoReferrers: true, NoConditionalPut: true, Latency: 30 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			a := w.image(t, "app", "v1")
			var wg sync.WaitGroup
			errs := make([]error, 10)
			for i := range errs {
				r := repository(t, plainClient(), w.host, "app")
				wg.Go(func() {
					_, errs[i] = r.PushSignature(t.Context(), a, shuin.MediaTypeJWS, envelopeOf(i), annotationsOf(i))
				})
			}
			wg.Wait()
			for i, err := range errs {
				if err != nil {
					t.Errorf("signer %d: %v", i, err)
				}
			}
			sigs, _, err := w.repo(t, "app").Signatures(t.Context(), a, 100)
			if err != nil || len(sigs) != 10 {
				t.Fatalf("%d of 10 signatures in the index, %v", len(sigs), err)
			}
		})
	}
}

func TestALostEntryIsToldToItsSigner(t *testing.T) {
	// A registry whose referrers index never keeps our entry.
	w := newWorld(t, devregistry.Options{NoReferrers: true, NoConditionalPut: true})
	a := w.image(t, "app", "v1")
	forget := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut && strings.HasSuffix(req.URL.Path, fallbackTag(a.Digest())) {
			rw.WriteHeader(http.StatusCreated)
			return
		}
		w.ServeHTTP(rw, req)
	})
	srv := httptest.NewServer(forget)
	defer srv.Close()
	r := repository(t, plainClient(), strings.TrimPrefix(srv.URL, "http://"), "app")
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	_, err := r.PushSignature(ctx, a, shuin.MediaTypeJWS, []byte("{}"), nil)
	// The deadline meets a pause after a look, or a look: then it is only likely.
	said := regexp.MustCompile("was pushed, but it (is not|may not be) listed")
	if shuin.CodeOf(err) != shuin.CodeDeadline || !said.MatchString(err.Error()) {
		t.Errorf("error %v (%s)", err, shuin.CodeOf(err))
	}
}

func TestASignatureIsRecognised(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	r := w.repo(t, "app")
	sig := sign(t, r, a, 1)[0]
	got, err := r.Resolve(t.Context(), ref(w, "app", "", sig.Digest))
	if err != nil {
		t.Fatal(err)
	}
	subject, ok, err := r.SignatureOf(t.Context(), got)
	if err != nil || !ok || !subject.SameContent(a.Descriptor()) {
		t.Errorf("subject %v, ok %v, error %v", subject, ok, err)
	}
	if _, ok, err := r.SignatureOf(t.Context(), a); ok || err != nil {
		t.Errorf("an image was taken for a signature: %v", err)
	}
}

// Container runtimes do not look at artifactType: what was pushed as an image
// and calls itself a signature would run.
func TestAnImageThatCallsItselfASignatureIsNone(t *testing.T) {
	subject := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	one := func(mediaType string) map[string]any {
		return map[string]any{"mediaType": mediaType, "digest": digest.FromString(mediaType), "size": 2}
	}
	manifest := func(change func(m map[string]any)) []byte {
		m := map[string]any{
			"schemaVersion": 2, "mediaType": mediaTypeImageManifest, "artifactType": shuin.ArtifactTypeSignature, "config": one(mediaTypeEmpty),
			"layers": []any{one(shuin.MediaTypeJWS)}, "subject": map[string]any{"mediaType": subject.MediaType, "digest": subject.Digest, "size": subject.Size},
		}
		change(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const layer, config = "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.config.v1+json"
	for _, c := range []struct {
		name   string
		change func(m map[string]any)
		is     bool
	}{
		{"a signature", func(map[string]any) {}, true},
		{"one that its config names", func(m map[string]any) {
			delete(m, "artifactType")
			m["config"] = one(shuin.ArtifactTypeSignature)
		}, true},
		{"with the config of an image", func(m map[string]any) { m["config"] = one(config) }, false},
		{"with the layer of an image", func(m map[string]any) { m["layers"] = []any{one(layer)} }, false},
		{"with a layer more", func(m map[string]any) { m["layers"] = []any{one(shuin.MediaTypeJWS), one(layer)} }, false},
		{"of nothing", func(m map[string]any) { delete(m, "subject") }, false},
		{"an image that names another", func(m map[string]any) { delete(m, "artifactType") }, false},
	} {
		got, is, err := signatureSubject(manifest(c.change))
		if err != nil || is != c.is || is && !got.SameContent(subject) {
			t.Errorf("%s: %t, %v, %v; want %t", c.name, is, got, err, c.is)
		}
	}
}

func TestInterruptedSignLeavesNoSignature(t *testing.T) {
	for _, at := range []string{"upload", "put"} {
		t.Run("interrupted at "+at, func(t *testing.T) {
			w := newWorld(t, devregistry.Options{})
			a := w.image(t, "app", "v1")
			ctx, cancel := context.WithCancel(t.Context())
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				if groupOf(req) == at {
					cancel()
					return
				}
				w.ServeHTTP(rw, req)
			}))
			defer srv.Close()
			r := repository(t, plainClient(), strings.TrimPrefix(srv.URL, "http://"), "app")
			if _, err := r.PushSignature(ctx, a, shuin.MediaTypeJWS, []byte("{}"), nil); shuin.CodeOf(err) != shuin.CodeDeadline {
				t.Errorf("error %v", err)
			}
			if got, _, err := w.repo(t, "app").List(t.Context(), a, 0); err != nil || len(got) != 0 {
				t.Errorf("left %v %v", got, err)
			}
		})
	}
}

func TestNextPageReadsLinkHeaders(t *testing.T) {
	base, _ := url.Parse("http://h:1/v2/a/referrers/x?artifactType=t")
	for link, want := range map[string]string{
		`<http://h:1/v2/a/referrers/x?n=2>; rel="next"`: "http://h:1/v2/a/referrers/x?n=2",
		`</v2/a/referrers/x?n=2>; rel=next`:             "http://h:1/v2/a/referrers/x?n=2",
		`<?n=2>; title="a"; Rel="NEXT"`:                 "http://h:1/v2/a/referrers/x?n=2",
		`</x>; rel="prev", </y>; rel="next"`:            "http://h:1/y",
		`</x>; rel="prev"`:                              "",
		`nonsense`:                                      "",
		`<unclosed; rel="next"`:                         "",
	} {
		got, err := nextPage(&answer{header: http.Header{"Link": {link}}, url: base})
		text := ""
		if got != nil {
			text = got.String()
		}
		if err != nil || text != want {
			t.Errorf("%s: %q %v, want %q", link, text, err, want)
		}
	}
}

func TestAReferenceToAnotherRepositoryIsRefused(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	r := w.repo(t, "app")
	dir, b := newLayout(t)
	for _, asked := range []shuin.Reference{ref(w, "other", "v1", ""), ref(w, "other", "", a.Digest()), {Layout: dir, Tag: "v1"}, ref(w, "app", "", "")} {
		if _, err := r.Resolve(t.Context(), asked); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("resolve %s: %v", asked, err)
		}
		if _, _, err := r.Discover(t.Context(), asked); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("discover %s: %v", asked, err)
		}
	}
	for _, asked := range []shuin.Reference{ref(w, "app", "v1", ""), {Layout: dir + "x", Digest: b.Digest()}} {
		if _, err := open(t, dir).Resolve(t.Context(), asked); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("layout, %s: %v", asked, err)
		}
	}
	if len(w.Log()) != 0 {
		t.Errorf("asked the registry: %+v", w.Log())
	}
}

func TestARegistryThatRefusesArtifactTypeGetsTheLegacyForm(t *testing.T) { // OCI-03
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	w.FailNext(devregistry.Fault{Method: http.MethodPut, Kind: devregistry.KindManifest, Status: http.StatusBadRequest})
	d := sign(t, w.repo(t, "app"), a, 1)[0]
	_, body, _ := w.Manifest("app", d.Digest.String())
	m, signature, err := parseManifest(body)
	if err != nil || !signature || m.ArtifactType != "" || m.Config.MediaType != shuin.ArtifactTypeSignature {
		t.Errorf("pushed %s", body)
	}
	found, _, err := w.repo(t, "app").Signatures(t.Context(), a, 0)
	if err != nil || len(found) != 1 || found[0].Err != nil {
		t.Errorf("%+v %v", found, err)
	}
	w.FailNext(devregistry.Fault{Method: http.MethodPut, Kind: devregistry.KindManifest, Status: http.StatusBadRequest, Times: 2})
	if _, err := w.repo(t, "app").PushSignature(t.Context(), a, shuin.MediaTypeJWS, []byte("x"), nil); shuin.CodeOf(err) != shuin.CodeMalformed {
		t.Errorf("refused twice: %v", err)
	}
}

func TestASinglePostThatIsRefusedIsDoneInTwoSteps(t *testing.T) {
	w := newWorld(t, devregistry.Options{})
	a := w.image(t, "app", "v1")
	w.FailNext(devregistry.Fault{Method: http.MethodPost, Status: http.StatusMethodNotAllowed, Times: 1})
	sign(t, w.repo(t, "app"), a, 2)
	if found, _, err := w.repo(t, "app").Signatures(t.Context(), a, 0); err != nil || len(found) != 2 {
		t.Errorf("%+v %v", found, err)
	}
}

func TestForPushAsksForOneToken(t *testing.T) {
	w := newWorld(t, devregistry.Options{Username: "user", Password: secret, Token: true})
	a := w.image(t, "app", "v1")
	withCredential(w.client, w.host)
	r := w.repo(t, "app").ForPush()
	if _, err := r.Resolve(t.Context(), ref(w, "app", "v1", "")); err != nil {
		t.Fatal(err)
	}
	sign(t, r, a, 1)
	tokens := 0
	for _, q := range w.Log() {
		if q.Kind == devregistry.KindToken {
			tokens++
		}
	}
	if tokens != 1 {
		t.Errorf("%d tokens", tokens)
	}
}
