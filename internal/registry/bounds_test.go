package registry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

func TestASignatureManifestTooLargeIsNotEvenFetched(t *testing.T) {
	l := newLiar(t)
	l.lies["GET /referrers/"] = func(w http.ResponseWriter, _ *http.Request) {
		writeIndex(w, entryOf(make([]byte, limits.SignatureManifestBytes+1)))
	}
	found, _, err := l.verifyAll(100)
	if len(found) != 1 || shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "SignatureManifestBytes") {
		t.Errorf("%d candidates, %v", len(found), err)
	}
	if n := l.count.Load(); n != 2 {
		t.Errorf("%d requests; HEAD and referrers are enough", n)
	}
}

func TestSignatureManifestsAreBoundedTogether(t *testing.T) {
	descs := make([]descriptor, 200)
	for i := range descs {
		descs[i] = descriptor{Digest: digest.FromString("x"), Size: limits.SignatureManifestBytes}
	}
	descs[0].Size++ // refused for itself, and not counted
	sigs := make([]shuin.Signature, len(descs))
	boundManifests(sigs, descs)
	for i := range sigs {
		if over := i*limits.SignatureManifestBytes > limits.SignatureManifestsBytes; over != (shuin.CodeOf(sigs[i].Err) == shuin.CodeLimit) {
			t.Errorf("manifest %d: %v", i, sigs[i].Err)
		}
	}
}

// TestAFewBytesOfJSONDoNotBecomeMany: what "{}," costs is bounded, wherever it
// stands.
func TestAFewBytesOfJSONDoNotBecomeMany(t *testing.T) {
	list := func(n int) string { return strings.TrimSuffix(strings.Repeat("{},", n), ",") }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%06d":"",`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	n := limits.SignatureManifestBytes / 3
	for name, c := range map[string]struct {
		json string
		code shuin.Code
		read func([]byte) error
	}{
		"layers of a manifest": {`{"schemaVersion":2,"layers":[` + list(n) + `]}`, "", func(b []byte) error {
			m, _, err := parseManifest(b)
			if len(m.Layers) != 2 {
				t.Errorf("%d layers kept", len(m.Layers))
			}
			return err
		}},
		"annotations of a manifest": {`{"schemaVersion":2,"annotations":{` + many(n/4) + `}}`, "", func(b []byte) error {
			m, _, err := parseManifest(b)
			if len(m.Annotations) != 0 {
				t.Errorf("%d annotations kept", len(m.Annotations))
			}
			return err
		}},
		"entries of an index": {`{"schemaVersion":2,"manifests":[` + list(n) + `]}`, shuin.CodeLimit, func(b []byte) error {
			ix, err := parseIndex(b)
			if len(ix.Manifests) > limits.Referrers {
				t.Errorf("%d entries kept", len(ix.Manifests))
			}
			return err
		}},
		"entries of an index being written": {`{"schemaVersion":2,"manifests":[` + list(n) + `]}`, shuin.CodeLimit, func(b []byte) error {
			var f indexFile
			return decode(b, &f)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			allocs := testing.AllocsPerRun(1, func() {
				if err := c.read([]byte(c.json)); c.code != "" && shuin.CodeOf(err) != c.code || c.code == "" && err != nil {
					t.Errorf("error %v", err)
				}
			})
			if allocs > 50_000 {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}

func TestOnlyAnnotationsThatAreUsedAreKept(t *testing.T) {
	long := strings.Repeat("x", limits.AnnotationBytes+1)
	for in, want := range map[string]string{
		`{"a":"b","` + shuin.AnnotationThumbprints + `":"[]","` + annotationRefName + `":"v1"}`: "map[" + shuin.AnnotationThumbprints + ":[] " + annotationRefName + ":v1]",
		`{"` + annotationRefName + `":"` + long + `"}`:                                          "map[]",
		`null`: "map[]",
	} {
		var d descriptor
		if err := decode([]byte(`{"annotations":`+in+`}`), &d); err != nil || fmt.Sprint(d.Annotations) != want {
			t.Errorf("%.80s: %v %v", in, d.Annotations, err)
		}
	}
	for _, in := range []string{`{"a":1}`, `{"a":"b","a":"b"}`, `[]`, `"a"`, `{"a"`} {
		var d descriptor
		if err := decode([]byte(`{"annotations":`+in+`}`), &d); err == nil {
			t.Errorf("%s is taken", in)
		}
	}
}

// pages answers with a page that names the next one, for ever.
func pages(l *liar, wait time.Duration, entry func(n int) string) http.HandlerFunc {
	var pages atomic.Int64
	return func(w http.ResponseWriter, req *http.Request) {
		time.Sleep(wait)
		n := int(pages.Add(1))
		w.Header().Set("Link", fmt.Sprintf(`<%s?n=%d>; rel="next"`, req.URL.Path, n))
		writeIndex(w, entry(n))
	}
}

func TestAllPagesOfReferrersAreBoundedTogether(t *testing.T) {
	l := newLiar(t)
	fill := strings.Repeat(" ", limits.ReferrersBytes-1000)
	l.lies["GET /referrers/"] = pages(l, 0, func(int) string { return fill + entryOf([]byte("x")) })
	_, _, err := l.verifyAll(100)
	if shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "ReferrersTotalBytes") {
		t.Errorf("%v", err)
	}
	if n := l.count.Load(); n > 2+limits.ReferrersTotalBytes/limits.ReferrersBytes {
		t.Errorf("%d requests", n)
	}
}

func TestASlowListingIsALimitAndNoTimeoutOfTheRegistry(t *testing.T) {
	l := newLiar(t)
	l.lies["GET /referrers/"] = pages(l, 20*time.Millisecond, func(n int) string { return entryOf(fmt.Appendf(nil, "%d", n)) })
	c := plainClient()
	c.timeForSignatures = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := repository(t, c, l.host, "app")
	for name, list := range map[string]func() error{
		"verify": func() error {
			a, sigs, err := r.Discover(ctx, l.artifact.Written())
			if err == nil {
				_, _, err = sigs.Signatures(ctx, a, 1000)
			}
			return err
		},
		"list": func() error { _, _, err := r.List(ctx, l.artifact, 1000); return err },
	} {
		if err := list(); shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "SignaturesTime") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatWasFetchedInTimeIsKeptWhenTheTimeForSignaturesEnds(t *testing.T) {
	l := newLiar(t)
	slow := append([]byte(nil), l.manifest...)
	slow = append(slow, ' ')
	l.lies["GET /referrers/"] = func(w http.ResponseWriter, _ *http.Request) { writeIndex(w, entryOf(l.manifest), entryOf(slow)) }
	inlined, _, err := newManifest(formArtifactType, l.artifact.Descriptor(), shuin.MediaTypeJWS, l.envelope, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.manifest = inlined
	l.lies["GET "+digest.FromBytes(slow).String()] = func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	c := plainClient()
	c.timeForSignatures = 300 * time.Millisecond
	r := repository(t, c, l.host, "app")
	found, _, err := r.Signatures(t.Context(), l.artifact, 100)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d candidates, %v", len(found), err)
	}
	if shuin.CodeOf(found[1].Err) != shuin.CodeLimit {
		t.Errorf("the slow one: %v", found[1].Err)
	}
	if found[0].EnvelopeMediaType != shuin.MediaTypeJWS {
		t.Errorf("the quick one's manifest was not kept: %+v", found[0])
	}
}

func TestAPanicInAGoroutineReachesTheCaller(t *testing.T) {
	defer func() {
		if p := recover(); p != "oh" {
			t.Errorf("recovered %v", p)
		}
	}()
	each(100, func(i int) {
		if i == 50 {
			panic("oh")
		}
	})
	t.Error("each returned")
}
