package watch_test

import (
	"context"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// TestATagThatWasMovedToAGoodImageResolvesNothing: a runs what the tag named
// before, b what it names now.
func TestATagThatWasMovedToAGoodImageResolvesNothing(t *testing.T) {
	s := newScene(t)
	s.Gate = decider(func(_ context.Context, w gate.Workload) *gate.Verdict {
		i := w.Images[0]
		one := said{outcome: pipeline.Admit, rule: "shop", digest: sha("new")}
		switch {
		case i.Running == sha("old"):
			one = tagIsGone
		case i.Written == "reg.example/shop@"+string(sha("old")):
			one = said{outcome: pipeline.Deny, code: shuin.CodeUnsigned, rule: "shop", digest: sha("old")}
		}
		v := &gate.Verdict{Policy: sha("policy"), Outcome: one.outcome, Allowed: one.outcome == pipeline.Admit}
		v.Images = []gate.ImageVerdict{one.verdict(i)}
		return v
	})
	a, b := task("a", 1, app), task("b", 1, app)
	a.Images[0].Running, b.Images[0].Running = sha("old"), sha("new")
	s.observe(a, watch.Decided)
	s.told("high app deny digest-not-in-index")
	for range 3 {
		s.observe(b, watch.Decided)
		a.Version, b.Version = a.Version+1, b.Version+1
		s.observe(a, watch.Decided)
		s.told("")
	}
}

func swept(name string, at time.Time, image string) watch.Observation {
	o := task(name, at.UnixMilli(), image)
	o.Phase, o.At = watch.Swept, at
	return o
}

func TestWhatASweepCouldNotCheckIsNotOver(t *testing.T) {
	const old = "reg.example/shop:0"
	for name, deaf := range map[string]bool{"told of what could not be checked": false, "not told of it": true} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Remind = 0
			if deaf {
				s.Routes[0].Outcomes = []pipeline.Outcome{pipeline.Deny, pipeline.Admit}
			}
			s.gate.say(app, good)
			sweep := func(of said, order ...string) string {
				t.Helper()
				s.after(6 * time.Hour)
				began := s.Now()
				s.gate.say(old, of)
				for _, image := range order {
					o := swept(image, began, image)
					o.Last = true
					s.observe(o, watch.Decided)
				}
				if _, err := s.EndSweep(t.Context(), began, nil); err != nil {
					t.Fatal(err)
				}
				return s.pager.take()
			}
			dark := unknown
			dark.digest = sha("bad")
			if got := sweep(bad, app, old); got != "high app deny unsigned" {
				t.Fatal(got)
			}
			for range 2 {
				for _, order := range [][]string{{app, old}, {old, app}} {
					if got := sweep(dark, order...); got != "" && got != "medium app undecided registry-throttled" {
						t.Fatalf("told %q", got)
					}
				}
				if got := sweep(bad, old, app); got != "" {
					t.Fatalf("told again: %q", got)
				}
			}
			if got := sweep(bad, app); got != "resolved app" {
				t.Errorf("once it is gone: %q", got)
			}
		})
	}
}

func TestWhatHasNoDigestIsNotResolvedByAnotherImage(t *testing.T) {
	s := newScene(t)
	s.gate.say("reg.example/shop:gone", said{outcome: pipeline.Deny, code: shuin.CodeNotFound, rule: "shop"})
	s.gate.say("reg.example/shop:dark", unknown)
	s.gate.say(app, good)
	o := task("svc", 1, "reg.example/shop:gone")
	o.Subject.Kind, o.Phase = watch.Service, watch.Deployed
	o.Images = append(o.Images, gate.Image{Name: "app", Written: app}, gate.Image{Name: "app", Written: "reg.example/shop:dark"})
	o.Last = true
	s.observe(o, watch.Decided)
	s.told("high app deny registry-not-found\nmedium app undecided registry-throttled")
	for range 3 {
		o.Event += "x"
		s.observe(o, watch.Decided)
		s.told("")
	}
	fine := o
	fine.Images = []gate.Image{{Name: "app", Written: app}}
	fine.Event = "fine"
	s.observe(fine, watch.Decided)
	s.told("")
	s.gate.say("reg.example/shop:dark", good) // the registry answers again
	fine.Images = []gate.Image{{Name: "app", Written: "reg.example/shop:dark"}}
	fine.Event = "bright"
	s.observe(fine, watch.Decided)
	s.told("resolved app")
}

func TestAnotherImageOfOneObservationResolvesNothingOfIt(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	o := task("svc", 1, app)
	o.Subject.Kind, o.Phase = watch.Service, watch.Deployed
	s.observe(o, watch.Decided)
	s.told("high app deny unsigned")
	same := good // the digest that was told, and beside it another that is bad
	same.digest = sha("bad")
	s.gate.say(app, same)
	s.gate.say("reg.example/shop:2", unknown)
	o.Images = append(o.Images, gate.Image{Name: "app", Written: "reg.example/shop:2"})
	o.Event = "next"
	s.observe(o, watch.Retry)
	s.told("")
}
