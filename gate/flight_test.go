package gate_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// bubbled is a site whose clock is the bubble's, so that deadlines, waits and
// the gate's time agree.
func bubbled(t *testing.T, change func(*gate.Options)) *site {
	start := time.Now()
	s := newSite(t, ordinary, func(o *gate.Options) {
		o.Now = func() time.Time { return noon.Add(time.Since(start)) }
		o.Wait = func(ctx context.Context, d time.Duration) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if change != nil {
			change(o)
		}
	})
	s.depot.hold = make(chan struct{})
	return s
}

func TestTwoHundredWorkloadsOfOneImageAreOneSurvey(t *testing.T) {
	for _, tag := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := bubbled(t, nil)
			d := s.depot.image("shop/api", "v1")
			s.depot.seal(t, "shop/api", d, by("build", "test", "scan")...)
			image := written("shop/api", d)
			if tag {
				image = host + "/shop/api:v1"
			}
			var wg sync.WaitGroup
			var admitted atomic.Int64
			for range 200 {
				wg.Go(func() {
					if s.one(t.Context(), gate.Workload{Pins: true}, image).Outcome == pipeline.Admit {
						admitted.Add(1)
					}
				})
			}
			synctest.Wait() // all have asked, and nobody has an answer
			if n := s.depot.total(); n != 1 {
				t.Errorf("tag %t: %d requests before the first answer", tag, n)
			}
			close(s.depot.hold)
			wg.Wait()
			if h, n := s.depot.count("head"), s.depot.count("signatures"); admitted.Load() != 200 || h != 1 || n != 1 {
				t.Errorf("tag %t: %d admitted, %d HEADs, %d surveys", tag, admitted.Load(), h, n)
			}
		})
	}
}

func TestACallerLeavesOnHisOwnDeadlineAndTheNextFindsItDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t, nil)
		d := s.depot.image("one/x", "v1")
		s.depot.seal(t, "one/x", d, by("build")...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want(t, s.one(ctx, gate.Workload{}, written("one/x", d)), pipeline.Undecided, false, shuin.CodeDeadline)
		close(s.depot.hold)
		synctest.Wait()
		s.depot.set(func() { s.depot.err = errDown })
		// Warm, also for somebody who has no time at all.
		want(t, s.one(ctx, gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
		if n := s.depot.count("signatures"); n != 1 {
			t.Errorf("%d surveys", n)
		}
	})
}

func TestACommandsWorkEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t, func(o *gate.Options) { o.Remember = false })
		d := s.depot.image("one/x", "v1")
		for _, image := range []string{written("one/x", d), host + "/one/x:v1"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			want(t, s.one(ctx, gate.Workload{Pins: true}, image), pipeline.Undecided, false, shuin.CodeDeadline)
		}
		synctest.Wait() // nothing is left waiting: the depot is still held
	})
}

func TestWorkThatNobodyWaitsForEndsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t, nil) // the depot never answers
		d := s.depot.image("one/x", "v1")
		began := time.Now()
		want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Undecided, false, shuin.CodeDeadline)
		if took := time.Since(began); took != limits.GateFlightTime {
			t.Errorf("it took %s", took)
		}
	})
}

func TestNoRegistryIsTalkedToByMoreThanItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t, nil)
		const images = 100
		var refs []string
		for i := range images {
			name := fmt.Sprint("one/x", i)
			d := s.depot.image(name, "v1")
			s.depot.seal(t, name, d, by("build")...)
			refs = append(refs, written(name, d))
		}
		var wg sync.WaitGroup
		var admitted atomic.Int64
		for _, ref := range refs {
			wg.Go(func() {
				if s.one(t.Context(), gate.Workload{}, ref).Outcome == pipeline.Admit {
					admitted.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := s.depot.total(); n != limits.GatePerRegistry {
			t.Errorf("%d requests at a time, want %d", n, limits.GatePerRegistry)
		}
		close(s.depot.hold)
		wg.Wait()
		if admitted.Load() != images {
			t.Errorf("%d of %d admitted", admitted.Load(), images)
		}
	})
}

func TestTheImagesOfOneWorkloadAreLookedAtTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t, nil)
		var w gate.Workload
		for i := range 12 {
			name := fmt.Sprint("one/x", i%6)
			d := s.depot.image(name, "v1")
			if i < 6 {
				s.depot.seal(t, name, d, by("build")...)
			}
			w.Images = append(w.Images, gate.Image{Name: fmt.Sprint(i), Written: written(name, d)})
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			v := s.gate.Decide(t.Context(), w)
			for i, iv := range v.Images {
				if iv.Outcome != pipeline.Admit || iv.Image != w.Images[i] {
					t.Errorf("image %d: %s", i, iv.Line())
				}
			}
		})
		synctest.Wait()
		if n := s.depot.total(); n != 6 {
			t.Errorf("%d requests at a time, want one for each of 6 digests", n)
		}
		close(s.depot.hold)
		wg.Wait()
	})
}

func TestOneSlowRegistryHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := newDepot()
		var slow *depot
		s := bubbled(t, nil)
		slow = s.depot
		s = bubbled(t, func(o *gate.Options) {
			o.Sources = sourcesOf(func(ref shuin.Reference) gate.Source {
				if ref.Registry == host {
					return slow
				}
				return fast
			})
		})
		s.gate.Use(rules(t, stages+"rules: [{name: all, match: {images: [\"**\"]}, require: {all: [build]}}]\n"))
		var wg sync.WaitGroup
		for i := range 200 {
			d := slow.image(fmt.Sprint("one/x", i), "v1")
			wg.Go(func() { s.one(t.Context(), gate.Workload{}, written(fmt.Sprint("one/x", i), d)) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		iv := s.one(ctx, gate.Workload{Pins: true}, "other.example/x:v1")
		want(t, iv, pipeline.Undecided, false, shuin.CodeNotFound) // it answered
		close(slow.hold)
		wg.Wait()
	})
}

type sourcesOf func(shuin.Reference) gate.Source

func (f sourcesOf) Open(_ string, ref shuin.Reference) (gate.Source, error) { return f(ref), nil }

// No decision mixes two policies: each verdict is one policy's from its rule
// to its outcome.
func TestAPolicyReplacedUnderLoadIsNeverMixedWithAnother(t *testing.T) {
	const text = stages + `rules:
  - name: %s
    match: {images: ["registry.example/one/**"]}
    require: {all: [%s]}
`
	build, scan := rules(t, fmt.Sprintf(text, "wants-build", "build")), rules(t, fmt.Sprintf(text, "wants-scan", "scan"))
	s := newSite(t, ordinary, nil)
	s.gate.Use(build)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	w := gate.Workload{Pins: true, Images: []gate.Image{{Written: written("one/x", d)}, {Written: host + "/one/x:v1"}}}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s.gate.Use([]*gate.Rules{build, scan}[i%2])
			s.clock.Advance(time.Second)
		}
	})
	var seen [2]atomic.Int64
	var askers sync.WaitGroup
	for range 8 {
		askers.Go(func() {
			for range 300 {
				v := s.gate.Decide(t.Context(), w)
				rule, outcome, which := "wants-build", pipeline.Admit, 0
				if v.Policy == scan.Policy().Digest() {
					rule, outcome, which = "wants-scan", pipeline.Deny, 1
				}
				seen[which].Add(1)
				for _, iv := range v.Images {
					if iv.Rule != rule || iv.Outcome != outcome {
						t.Errorf("policy %s: rule %q, outcome %d: %v", v.Policy, iv.Rule, iv.Outcome, iv.Err)
						return
					}
				}
			}
		})
	}
	askers.Wait()
	close(stop)
	wg.Wait()
	if seen[0].Load() == 0 || seen[1].Load() == 0 {
		t.Error("only one of the policies was in use")
	}
}
