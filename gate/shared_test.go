package gate_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// everything holds images of every registry to one stage.
const everything = stages + `rules: [{name: all, match: {images: ["**"]}, require: {all: [build]}}]
`

// besides is a site whose registry answers, beside registries named slow…,
// which do not before hold is closed.
func besides(t *testing.T) (s *site, hold chan struct{}) {
	slow, fast := newDepot(), newDepot()
	s = bubbled(t, func(o *gate.Options) {
		o.Sources = sourcesOf(func(ref shuin.Reference) gate.Source {
			if strings.HasPrefix(ref.Registry, "slow") {
				return slow
			}
			return fast
		})
	})
	s.depot = fast
	slow.hold = make(chan struct{})
	s.gate.Use(rules(t, everything))
	return s, slow.hold
}

// throng asks about many images of as many slow registries: with each it is
// asked whether the asker stays.
func throng(ctx context.Context, s *site, access string, registries, images int) {
	var wg sync.WaitGroup
	for r := range registries {
		var w gate.Workload
		w.Access = access
		for i := range images {
			w.Images = append(w.Images, gate.Image{Written: fmt.Sprintf("slow%d.example/x@%s", r, digest.FromString(fmt.Sprint(r, i)))})
		}
		wg.Go(func() { s.gate.Decide(ctx, w) })
	}
	wg.Wait()
}

// answers asks the healthy registry about several images, with seconds to wait.
func answers(t *testing.T, s *site, access string) {
	t.Helper()
	var w gate.Workload
	for i := range 8 {
		name := fmt.Sprint("one/x", i)
		d := s.depot.image(name, "v1")
		s.depot.seal(t, name, d, by("build")...)
		w.Images = append(w.Images, gate.Image{Written: written(name, d)})
	}
	w.Access = access
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, iv := range s.gate.Decide(ctx, w).Images {
		if iv.Outcome != pipeline.Admit {
			t.Errorf("sealed, in a registry that answers at once: %s", iv.Line())
		}
	}
}

func TestSlowRegistriesHoldUpNoOther(t *testing.T) {
	for _, registries := range []int{1, 4, 16, 60} {
		for _, stay := range []bool{false, true} {
			t.Run(fmt.Sprint(registries, stay), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, hold := besides(t)
					ctx, cancel := context.WithCancel(t.Context())
					if !stay {
						ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
					}
					var wg sync.WaitGroup
					wg.Go(func() { throng(ctx, s, "", registries, 40) })
					time.Sleep(10 * time.Millisecond) // of the bubble: all have come
					synctest.Wait()
					answers(t, s, "")
					close(hold)
					wg.Wait()
					cancel()
					synctest.Wait()
					if !s.gate.Idle() {
						t.Error("places are taken that nobody has")
					}
				})
			})
		}
	}
}

// Nor do many, of which one asker has more than any place is left for.
func TestOneAskerLeavesPlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, fast := newDepot(), newDepot()
		slow.hold = make(chan struct{})
		s := bubbled(t, func(o *gate.Options) { o.Sources = byAccess{"many": slow, "other": fast} })
		s.depot = fast
		s.gate.Use(rules(t, everything))
		var wg sync.WaitGroup
		wg.Go(func() { throng(t.Context(), s, "many", 90, 60) })
		synctest.Wait()
		answers(t, s, "other")
		close(slow.hold)
		wg.Wait()
		synctest.Wait()
		if !s.gate.Idle() {
			t.Error("places are taken that nobody has")
		}
	})
}

type byAccess map[string]*depot

func (b byAccess) Open(access string, _ shuin.Reference) (gate.Source, error) { return b[access], nil }

func TestFiveThousandImagesOfOneSlowRegistryTakeFewPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, hold := besides(t)
		for r := range 5 {
			var w gate.Workload
			for i := range limits.GateImages {
				w.Images = append(w.Images, gate.Image{Written: fmt.Sprintf("slow.example/x@%s", digest.FromString(fmt.Sprint(r, i)))})
			}
			gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			s.gate.Decide(gone, w)
			cancel()
		}
		synctest.Wait()
		answers(t, s, "")
		close(hold)
	})
}

func TestNothingIsBegunForWhoeverHasGone(t *testing.T) {
	for _, name := range []string{"one/x", "lenient/x"} { // and no rule admits it for that
		s := newSite(t, ordinary, nil)
		d := s.depot.image(name, "v1") // nobody sealed it
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for _, image := range []string{written(name, d), host + "/" + name + ":v1"} {
			want(t, s.one(gone, gate.Workload{Pins: true}, image), pipeline.Undecided, false, shuin.CodeNotBegun)
		}
		if n := s.depot.total(); n != 0 || !s.gate.Idle() {
			t.Errorf("%d requests", n)
		}
	}
}

func TestWhoPausesBetweenTwoTriesHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, fast := newDepot(), newDepot()
		down.err = errDown
		s := bubbled(t, func(o *gate.Options) {
			o.Sources = sourcesOf(func(ref shuin.Reference) gate.Source {
				if strings.HasPrefix(ref.Repository, "patient/") {
					return down
				}
				return fast
			})
		})
		s.depot = fast
		var wg sync.WaitGroup
		var tries atomic.Int64
		for i := range 4 * limits.GatePerRegistry {
			wg.Go(func() {
				iv := s.one(t.Context(), gate.Workload{}, written("patient/x", digest.FromString(fmt.Sprint(i))))
				want(t, iv, pipeline.Undecided, false, shuin.CodeUnavailable)
				tries.Add(1)
			})
		}
		time.Sleep(10 * time.Second) // of the bubble
		synctest.Wait()
		if n := tries.Load(); n != 0 {
			t.Fatalf("%d have given up", n)
		}
		answers(t, s, "")
		wg.Wait()
		synctest.Wait() // a place is given back after the answer
		if !s.gate.Idle() {
			t.Error("places are taken that nobody has")
		}
	})
}
