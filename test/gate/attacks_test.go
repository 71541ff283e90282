package gate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
)

// about is a question about an image, under a policy of the table.
func (s *scene) about(policy, written string) *asked {
	s.tb.Helper()
	text := readTable(s.tb).Policies[policy]
	return &asked{testCase: &testCase{}, policy: []byte(strings.ReplaceAll(text, "registry/", s.host+"/")), written: written}
}

func (s *scene) digested(im *image) string {
	return s.host + "/" + im.repository + "@" + im.Digest.String()
}

// want holds an answer about one image.
func want(tb testing.TB, who string, v *verdict, outcome, code string) {
	tb.Helper()
	im := v.Images[0]
	got := ""
	if im.Reason != nil {
		got = im.Reason.Code
	}
	if im.Outcome != outcome || got != code || im.Allowed != (outcome == "admit") || v.Allowed != im.Allowed {
		tb.Errorf("%s: %s, allowed %t, code %q; want %s, %q: %v", who, im.Outcome, im.Allowed, got, outcome, code, im.Reason)
	}
}

// Whoever may push to a repository may attach signatures to its images, as
// many as they like. Under a rule that admits what could not be checked that
// must not become a way in.
func TestJunkIsDeniedAtEveryEntranceThoughTheRuleAdmitsWhatCouldNotBeChecked(t *testing.T) {
	const many = 10_000
	for _, c := range []struct {
		name string
		make func(s *scene, im *image)
		code string
	}{
		{"in one page", func(s *scene, im *image) { s.junk(im, many) }, "limit-exceeded"},
		{"page by page", func(s *scene, im *image) {
			s.configure(func(o *devregistry.Options) { o.PageSize = 100 })
			s.junk(im, many)
		}, "limit-exceeded"},
		{"before a good seal", func(s *scene, im *image) {
			s.junk(im, many)
			s.seal(im, sealed{By: "build"})
		}, "limit-exceeded"},
		{"after a good seal", func(s *scene, im *image) {
			s.seal(im, sealed{By: "build"})
			s.junk(im, many)
		}, "limit-exceeded"},
		{"in the index of a registry without the referrers API", func(s *scene, im *image) {
			s.configure(func(o *devregistry.Options) { o.NoReferrers = true })
			s.junk(im, 0)
			s.fallbackIndex(im, many)
		}, "limit-exceeded"},
		{"that the registry does not hold", func(s *scene, im *image) {
			s.junk(im, many)
			s.registry.FailNext(devregistry.Fault{Kind: devregistry.KindBlob, Times: -1, Status: http.StatusNotFound})
		}, "limit-exceeded"},
		{"one whose envelope the registry does not hold", func(s *scene, im *image) {
			s.seal(im, sealed{By: "stranger", Fault: "blob-missing"})
		}, "stage-missing"},
		{"one whose manifest the registry does not hold", func(s *scene, im *image) {
			s.configure(func(o *devregistry.Options) { o.NoReferrers = true })
			s.fallbackIndex(im, 1)
		}, "stage-missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			im := s.single("lenient/api", "")
			c.make(s, im)
			q := s.about("three", s.digested(im))
			for _, e := range entrances() {
				want(t, e.name, e.ask(t, q), "deny", c.code)
			}
		})
	}
}

func (s *scene) configure(change func(*devregistry.Options)) {
	s.tb.Helper()
	if err := s.registry.Configure(change); err != nil {
		s.tb.Fatal(err)
	}
}

// fallbackIndex names n signatures that are not there, as clients list them
// where there is no referrers API.
func (s *scene) fallbackIndex(im *image, n int) {
	s.tb.Helper()
	type entry struct {
		shuin.Descriptor
		ArtifactType string `json:"artifactType"`
	}
	entries := make([]entry, n)
	for i := range entries {
		d := shuin.Descriptor{MediaType: typeImage, Digest: im.Digest.Algorithm().FromString(fmt.Sprint("signature", i)), Size: 500}
		entries[i] = entry{d, shuin.ArtifactTypeSignature}
	}
	s.manifest(im.repository, typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": entries},
		strings.Replace(im.Digest.String(), ":", "-", 1))
}

// good is an image with every seal that policy three wants.
func (s *scene) good(repository, label string, tags ...string) *image {
	s.tb.Helper()
	im := s.single(repository, label, tags...)
	for _, one := range []sealed{{By: "build"}, {By: "test"}, {By: "scan", Metadata: map[string]string{"critical": "0"}}} {
		s.seal(im, one)
	}
	return im
}

// Verify A, run B: a tag is moved after its image was admitted, and the server
// remembers that answer. What it pins is what it judged, each time.
func TestATagThatMovesNeverCarriesItsOldAnswer(t *testing.T) {
	s := newScene(t)
	good := s.good("shop/api", "good", "v1")
	tag := s.host + "/shop/api:v1"
	q := s.about("three", tag)
	pins := true
	q.Pins = &pins
	url := newServer(t, newGate(t, q.policy, true))
	http := func(written string) *verdict {
		t.Helper()
		w := q.workload()
		w.Images[0].Written = written
		status, body := post(t, url, w)
		if status != 200 {
			t.Fatalf("status %d: %s", status, body)
		}
		return decodeVerdict(t, body)
	}
	holds := func(who string, v *verdict, of *image) {
		t.Helper()
		if got := v.Images[0].Pinned; got != s.digested(of) {
			t.Errorf("%s pins %s, and judged should be %s", who, got, s.digested(of))
		}
	}

	// The cache is filled, by tag and by digest; the command line says the same.
	for _, v := range []*verdict{http(tag), http(tag), askCheck(t, q), askVerify(t, q)} {
		want(t, "before the tag moves", v, "admit", "")
		holds("before the tag moves", v, good)
	}
	checked := askCheck(t, q).Images[0].Pinned

	evil := s.single("shop/api", "evil", "v1")
	moved := http(tag)
	want(t, "the server, after the tag moved", moved, "deny", "unsigned")
	holds("the server, after the tag moved", moved, evil)
	for who, ask := range map[string]func(testing.TB, *asked) *verdict{"check": askCheck, "verify": askVerify, "api": askAPI} {
		v := ask(t, q)
		want(t, who+", after the tag moved", v, "deny", "unsigned")
		holds(who+", after the tag moved", v, evil)
	}

	// What the command line pinned before is still what it was; the tag beside
	// a digest says nothing.
	for _, written := range []string{checked, tag + "@" + good.Digest.String()} {
		v := http(written)
		want(t, written, v, "admit", "")
		holds(written, v, good)
	}
	want(t, "the tag with the other digest", http(tag+"@"+evil.Digest.String()), "deny", "unsigned")

	// What runs is told from what its tag names now.
	for _, running := range []*image{good, evil} {
		w := q.workload()
		w.Images[0].Running = running.Digest
		_, body := post(t, url, w)
		code := "digest-not-in-index"
		if running == evil {
			code = "unsigned"
		}
		want(t, "what runs beside its tag", decodeVerdict(t, body), "deny", code)
	}

	// And back again.
	s.retag(good, "v1")
	back := http(tag)
	want(t, "after the tag moved back", back, "admit", "")
	holds("after the tag moved back", back, good)
}

func (s *scene) retag(im *image, tag string) {
	s.tb.Helper()
	mediaType, body, ok := s.registry.Manifest(im.repository, im.Digest.String())
	if !ok {
		s.tb.Fatal("the image is gone")
	}
	if _, err := s.registry.PutManifest(im.repository, mediaType, body, tag); err != nil {
		s.tb.Fatal(err)
	}
}

// A tag moves while its image is being judged, at every request in turn: the
// answer is about one image, and pins that one.
func TestATagThatMovesWhileItIsJudgedIsJudgedAsOneImage(t *testing.T) {
	for at := 1; ; at++ {
		s := newScene(t)
		good := s.good("shop/api", "good", "v1")
		evil := s.single("shop/api", "evil")
		var mu sync.Mutex
		n, movedAt := 0, 0
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if n++; n == at {
				movedAt = n
				s.retag(evil, "v1")
			}
			mu.Unlock()
			s.registry.ServeHTTP(w, r)
		}))
		s.host = strings.Replace(strings.TrimPrefix(front.URL, "http://"), "127.0.0.1", "localhost", 1)
		q := s.about("three", s.host+"/shop/api:v1")
		v := newGate(t, q.policy, true).Decide(t.Context(), gate.Workload{Images: []gate.Image{{Written: q.written}}, Pins: true}).Images[0]
		front.Close()
		switch d := v.Digest(); {
		case v.Outcome == pipeline.Admit && (d != good.Digest || v.Pinned != s.digested(good)):
			t.Errorf("moved at request %d: admitted %s, pinned %s, and only %s is sealed", at, d, v.Pinned, good.Digest)
		case v.Outcome != pipeline.Admit && d != evil.Digest:
			t.Errorf("moved at request %d: %s", at, v.Line())
		}
		if movedAt == 0 {
			if at < 5 {
				t.Errorf("the whole decision took %d requests: the test tries nothing", at-1)
			}
			return
		}
	}
}

// The same bytes in another repository, or asked about for another place, are
// another question.
func TestADigestIsJudgedAnewInAnotherRepositoryOrPlace(t *testing.T) {
	s := newScene(t)
	im := s.single("shop/api", "one image")
	s.seal(im, sealed{By: "build"})
	copied := s.single("shop/copy", "", "v1")
	mediaType, body, _ := s.registry.Manifest(im.repository, im.Digest.String())
	if _, err := s.registry.PutManifest(copied.repository, mediaType, body); err != nil {
		t.Fatal(err)
	}
	q := s.about("places", s.digested(im))
	url := newServer(t, newGate(t, q.policy, true))
	for range 2 { // the second time from what is remembered
		for _, c := range []struct {
			name          string
			repository    string
			where         pipeline.Where
			outcome, code string
		}{
			{"where it was sealed", "shop/api", pipeline.Where{}, "admit", ""},
			{"in another repository", "shop/copy", pipeline.Where{}, "deny", "unsigned"},
			{"in a repository of another rule", "team/api", pipeline.Where{}, "deny", "no-applicable-policy"},
			{"in a cluster that wants more", "shop/api", pipeline.Where{Cluster: "prod-1"}, "deny", "stage-missing"},
			{"in a cluster that does not", "shop/api", pipeline.Where{Cluster: "dev-1"}, "admit", ""},
		} {
			w := gate.Workload{Where: c.where, Images: []gate.Image{{Written: s.host + "/" + c.repository + "@" + im.Digest.String()}}}
			status, body := post(t, url, w)
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			want(t, c.name, decodeVerdict(t, body), c.outcome, c.code)
		}
	}
	// A seal that was copied along counts there too: it is about the image, and
	// says nothing of repositories.
	env := s.envelope(im.Descriptor, sealed{By: "build"})
	s.refer("shop/copy", im.Descriptor, s.blob("shop/copy", shuintest.MediaTypeJWS, env))
	status, answer := post(t, newServer(t, newGate(t, q.policy, true)), gate.Workload{Images: []gate.Image{{Written: s.host + "/shop/copy@" + im.Digest.String()}}})
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	want(t, "with the seal copied", decodeVerdict(t, answer), "admit", "")
}

// Eight containers of one image are one question to the registry, and so are
// two hundred workloads of it that are asked about at once of a server that
// knows nothing yet.
func TestOneImageIsAskedAboutOnceWhateverUsesIt(t *testing.T) {
	s := newScene(t)
	im := s.good("shop/api", "good")
	q := s.about("three", s.digested(im))
	url := newServer(t, newGate(t, q.policy, true))
	w := gate.Workload{}
	for i := range 8 {
		w.Images = append(w.Images, gate.Image{Name: fmt.Sprint("c", i), Written: q.written})
	}
	s.registry.ResetLog()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			status, body := post(t, url, w)
			var v verdict
			if err := json.Unmarshal(body, &v); err != nil || status != http.StatusOK || !v.Allowed || len(v.Images) != 8 {
				t.Errorf("status %d, %v: %s", status, err, body)
			}
		})
	}
	all.Wait()
	counted := map[devregistry.Kind]int{}
	for _, r := range s.registry.Log() {
		counted[r.Kind]++
	}
	// The image's manifest and one for each seal, an envelope for each seal.
	if counted[devregistry.KindReferrers] != 1 || counted[devregistry.KindManifest] != 1+3 || counted[devregistry.KindBlob] != 3 {
		t.Errorf("requests: %v", counted)
	}
}
