package gate_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// measured is a gate over a registry that speaks HTTP: an image with one seal
// for each stage, by signers of one CA with a certificate each.
type measured struct {
	tb     testing.TB
	reg    *devregistry.Registry
	trips  *trips
	host   string
	client *registry.Client
	image  shuin.Artifact
	policy *pipeline.Policy
	checks *atomic.Int64
	gate   *gate.Gate
	seals  int
}

// Open satisfies gate.Sources.
func (m *measured) Open(_ string, ref shuin.Reference) (gate.Source, error) {
	return m.client.Repository(ref)
}

func newMeasured(tb testing.TB, seals int) *measured {
	tb.Helper()
	reg, err := devregistry.New(devregistry.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	m := &measured{tb: tb, reg: reg, trips: &trips{next: reg}, seals: seals}
	srv := httptest.NewServer(m.trips)
	tb.Cleanup(func() {
		srv.Close()
		_ = reg.Close()
	})
	m.host = strings.TrimPrefix(srv.URL, "http://")
	m.client = &registry.Client{PlainHTTP: func(string) bool { return true }}
	m.policy = parse(tb, stages+fmt.Sprintf("rules:\n  - {name: shop, match: {images: [%q]}, require: {all: [%s]}}\n",
		m.host+"/shop/**", strings.Join([]string{"build", "unit-test", "scan"}[:seals], ", ")))

	body := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[]}`,
		typeImage, digest.FromString("{}")))
	if _, err := reg.PutBlob("shop/api", []byte("{}")); err != nil {
		tb.Fatal(err)
	}
	d, err := reg.PutManifest("shop/api", typeImage, body, "v1")
	if err != nil {
		tb.Fatal(err)
	}
	m.image, err = shuin.NewArtifact(shuin.Reference{Registry: m.host, Repository: "shop/api", Digest: d},
		shuin.Descriptor{MediaType: typeImage, Digest: d, Size: int64(len(body))})
	if err != nil {
		tb.Fatal(err)
	}
	repo, err := m.client.Repository(m.image.Written())
	if err != nil {
		tb.Fatal(err)
	}
	for _, by := range []string{"build", "test", "scan"}[:seals] {
		env := shuintest.MustEnvelope(shuintest.EnvelopeOptions{Chain: signers[by], Payload: shuintest.Payload(typeImage, string(d), int64(len(body)), nil), Time: noon})
		if _, err := repo.PushSignature(tb.Context(), m.image, shuin.MediaTypeJWS, env, nil); err != nil {
			tb.Fatal(err)
		}
	}
	m.fresh()
	return m
}

// fresh replaces the gate by one that knows nothing.
func (m *measured) fresh() {
	rules, err := gate.NewRules(m.tb.Context(), m.policy, roots{"ca:ci": ci})
	if err != nil {
		m.tb.Fatal(err)
	}
	v := verify.Verifier{Chains: verify.NewChainCache(0)}
	m.checks = v.CountChecks()
	m.gate = gate.New(gate.Options{Sources: m, Verifier: v, Now: func() time.Time { return noon }, Engine: "bench", Remember: true}, rules)
}

// arm lets requests through only in the groups that a cold decision makes.
func (m *measured) arm(tag bool) {
	groups := map[string]int{"discover": 2, "manifests": m.seals, "envelopes": m.seals}
	if tag {
		groups["resolve"], groups["discover"] = 1, 1
	}
	m.trips.arm(groups)
}

func (m *measured) workload(tag bool) gate.Workload {
	w := gate.Workload{Pins: true, Images: []gate.Image{{Name: "app", Written: m.image.String()}}}
	if tag {
		w.Images[0].Written = m.image.Name() + ":v1"
	}
	return w
}

func (m *measured) decide(w gate.Workload) {
	if v := m.gate.Decide(m.tb.Context(), w); v.Outcome != pipeline.Admit {
		m.tb.Fatal(v.Images[0].Line())
	}
}

// warmAllocs is the gate on allocations of a warm decision by digest.
const warmAllocs = 60

func TestDecideCostsWhatIsPromised(t *testing.T) {
	for _, seals := range []int{1, 3} {
		m := newMeasured(t, seals)
		for _, tag := range []bool{false, true} {
			m.fresh()
			m.arm(tag)
			m.decide(m.workload(tag))
			requests, rounds, names := m.trips.counted()
			trips := 3
			if tag {
				trips = 4
			}
			if rounds != trips || requests != 2+2*seals {
				t.Errorf("%d seals, tag %t: %d requests in %d round trips (%s), want %d in %d", seals, tag, requests, rounds, names, 2+2*seals, trips)
			}
			// The leaves, the two CAs between them and the root, the seals: the
			// root is trusted by equality.
			if n := m.checks.Load(); n != int64(2+2*seals) {
				t.Errorf("%d seals, tag %t: %d signature checks, want %d", seals, tag, n, 2+2*seals)
			}
		}
		m.trips.arm(map[string]int{}) // nothing passes any more
		allocs := testing.AllocsPerRun(100, func() { m.decide(m.workload(false)) })
		if requests, _, _ := m.trips.counted(); requests != 0 || allocs > warmAllocs {
			t.Errorf("%d seals: a warm decision takes %d requests and %.0f allocations, want 0 and at most %d", seals, requests, allocs, warmAllocs)
		}
		t.Logf("%d seals: %.0f allocations warm", seals, allocs)
	}
}

// Ten thousand signatures that anybody with the right to push may attach, and
// one good one behind them: that the rule admits what could not be checked
// changes nothing, and neither requests nor the answer grow with the junk.
func TestTenThousandJunkReferrersAreALimitAndNotUndecided(t *testing.T) {
	m := newMeasured(t, 1)
	m.policy = parse(t, strings.Replace(stages, "ci-build", "ci-scan", 1)+fmt.Sprintf(
		"rules:\n  - {name: shop, match: {images: [%q]}, require: {all: [build]}, undecided: {answer: admit}}\n", m.host+"/shop/**"))
	m.fresh()
	junk := func(i int) []byte {
		return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},`+
			`"layers":[{"mediaType":"application/jose+json","digest":%q,"size":2}],"subject":{"mediaType":%q,"digest":%q,"size":%d},"annotations":{"n":"%d"}}`,
			typeImage, shuin.ArtifactTypeSignature, digest.FromString("{}"), digest.FromString("{}"), typeImage, m.image.Digest(), m.image.Descriptor().Size, i)
	}
	for i := range 10_000 {
		if _, err := m.reg.PutManifest("shop/api", typeImage, junk(i), ""); err != nil {
			t.Fatal(err)
		}
	}
	m.trips.arm(nil)
	iv := m.gate.Decide(t.Context(), m.workload(false)).Images[0]
	want(t, iv, pipeline.Deny, false, shuin.CodeLimit)
	if requests, _, _ := m.trips.counted(); requests > 2*limits.Signatures+2+limits.ReferrersPages {
		t.Errorf("%d requests", requests)
	}
	if line := iv.Line(); len(line) > 1000 {
		t.Errorf("a line of %d bytes", len(line))
	}
}

// BenchmarkDecide reports, beside time and allocations: requests/op,
// roundtrips/op (one after the other; a request waits until all of its group
// are in flight), sigchecks/op, and for warm x-lookup/op, the time over that of
// one look-up in the cache of verdicts, both measured in turns.
func BenchmarkDecide(b *testing.B) {
	for _, seals := range []int{1, 3} {
		b.Run(fmt.Sprintf("warm/%dstages", seals), func(b *testing.B) { benchWarm(b, seals) })
		for _, tag := range []bool{false, true} {
			name := fmt.Sprintf("cold/%dstages", seals)
			if tag {
				name += "/tag"
			}
			b.Run(name, func(b *testing.B) { benchCold(b, seals, tag) })
		}
	}
}

func benchWarm(b *testing.B, seals int) {
	m := newMeasured(b, seals)
	w := m.workload(false)
	m.decide(w)
	m.trips.arm(map[string]int{})
	m.checks.Store(0)
	found := m.gate.LookUp(w)
	const batch = 64
	var ours, theirs time.Duration
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		m.decide(w)
		if n++; n%batch != 0 {
			continue
		}
		b.StopTimer()
		began := time.Now()
		for range batch {
			m.decide(w)
		}
		ours += time.Since(began)
		began = time.Now()
		for range 8 * batch {
			if !found() {
				b.Fatal("not in the cache")
			}
		}
		theirs += time.Since(began) / 8
		b.StartTimer()
	}
	requests, rounds, _ := m.trips.counted()
	b.ReportMetric(float64(requests)/float64(n), "requests/op")
	b.ReportMetric(float64(rounds)/float64(n), "roundtrips/op")
	b.ReportMetric(float64(m.checks.Load())/float64(n), "sigchecks/op")
	if theirs > 0 {
		b.ReportMetric(float64(ours)/float64(theirs), "x-lookup/op")
	}
}

func benchCold(b *testing.B, seals int, tag bool) {
	m := newMeasured(b, seals)
	w := m.workload(tag)
	var requests, rounds, n int
	var checks int64
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m.fresh()
		m.arm(tag)
		b.StartTimer()
		m.decide(w)
		b.StopTimer()
		r, t, _ := m.trips.counted()
		requests, rounds, checks, n = requests+r, rounds+t, checks+m.checks.Load(), n+1
		b.StartTimer()
	}
	b.ReportMetric(float64(requests)/float64(n), "requests/op")
	b.ReportMetric(float64(rounds)/float64(n), "roundtrips/op")
	b.ReportMetric(float64(checks)/float64(n), "sigchecks/op")
}

// crowd makes up images as they are asked for: any digest exists and has one
// seal. It holds nothing itself, so that what is measured is the gate's.
type crowd struct{ asked atomic.Int64 }

func (c *crowd) Open(string, shuin.Reference) (gate.Source, error) { return c, nil }

func (c *crowd) Resolve(_ context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	return shuin.NewArtifact(ref, shuin.Descriptor{MediaType: typeImage, Digest: ref.Digest, Size: 1})
}

func (c *crowd) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	a, err := c.Resolve(ctx, ref)
	return a, c, err
}

func (c *crowd) Platforms(context.Context, shuin.Artifact) ([]shuin.Platform, error) { return nil, nil }

func (c *crowd) Signatures(_ context.Context, a shuin.Artifact, _ int) ([]shuin.Signature, bool, error) {
	c.asked.Add(1)
	env, err := shuintest.NewEnvelope(shuintest.EnvelopeOptions{Chain: ci, Payload: shuintest.Payload(typeImage, string(a.Digest()), 1, map[string]string{"commit": "0123456789abcdef"}), Time: noon})
	return []shuin.Signature{{
		Manifest: shuin.Descriptor{MediaType: typeImage, Digest: digest.FromBytes(env), Size: 1}, EnvelopeMediaType: shuin.MediaTypeJWS, Envelope: env,
	}}, false, err
}

// many are workloads of distinct digests, a thousand images each at most.
func many(from, n int) (out []gate.Workload) {
	for i := from; i < from+n; i++ {
		if len(out) == 0 || len(out[len(out)-1].Images) == limits.GateImages {
			out = append(out, gate.Workload{})
		}
		w := &out[len(out)-1]
		w.Images = append(w.Images, gate.Image{Written: written(fmt.Sprint("one/x", i%200), digest.FromString(fmt.Sprint(i)))})
	}
	return out
}

func newCrowd(tb testing.TB) (*gate.Gate, *crowd) {
	c := &crowd{}
	return gate.New(gate.Options{
		Sources: c, Verifier: verify.Verifier{Chains: verify.NewChainCache(0)}, Now: func() time.Time { return noon }, Engine: "bench", Remember: true,
	}, rules(tb, ordinary)), c
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// BenchmarkDecideMany decides about many distinct digests, a thousand at a
// time: peak-heap-MB is the most that was on the heap between two of those,
// with garbage not collected yet; held-MB what the gate holds on to at the end;
// counted-MB what it counts for that against its limits.
func BenchmarkDecideMany(b *testing.B) {
	for _, digests := range []int{10_000, 40_000} {
		b.Run(fmt.Sprint(digests), func(b *testing.B) { benchMany(b, digests) })
	}
}

func benchMany(b *testing.B, digests int) {
	for b.Loop() {
		b.StopTimer()
		before := heap()
		g, c := newCrowd(b)
		var peak int64
		for from := 0; from < digests; from += limits.GateImages {
			w := many(from, min(limits.GateImages, digests-from))
			b.StartTimer()
			v := g.Decide(b.Context(), w[0])
			b.StopTimer()
			if !v.Allowed {
				b.Fatal(v.Images[0].Line())
			}
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			peak = max(peak, int64(s.HeapAlloc)-before)
		}
		b.ReportMetric(float64(c.asked.Load()), "surveys/op")
		b.ReportMetric(float64(peak)/1e6, "peak-heap-MB")
		b.ReportMetric(float64(heap()-before)/1e6, "held-MB")
		b.ReportMetric(float64(g.Remembered())/1e6, "counted-MB")
		b.ReportMetric(float64(g.Entries()), "entries")
		runtime.KeepAlive(g)
		b.StartTimer()
	}
}

// What is counted of an image is no less than half of what it takes.
func TestWhatIsCountedOfAnAnswerIsWhatItTakes(t *testing.T) {
	g, _ := newCrowd(t)
	const n = 3000
	for i, w := range many(0, n) {
		if v := g.Decide(t.Context(), w); !v.Allowed {
			t.Fatalf("%d: %s", i, v.Images[0].Line())
		}
	}
	if e := g.Entries(); e != n {
		t.Errorf("%d entries", e)
	}
	perEntry := g.Remembered() / n
	if perEntry < 2*limits.GateEntryBytes || perEntry > 20_000 {
		t.Errorf("%d bytes are counted for an image in both caches", perEntry)
	}
	before := heap()
	g2, _ := newCrowd(t)
	for _, w := range many(n, n) {
		g2.Decide(t.Context(), w)
	}
	held := (heap() - before) / n
	t.Logf("an image takes %d bytes, and %d are counted", held, perEntry)
	if held > int64(2*perEntry) {
		t.Errorf("an image takes %d bytes, and %d are counted", held, perEntry)
	}
	runtime.KeepAlive(g2)
}
