package gate_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// place is a policy of a namespace's own: images of shop need the scan alone,
// all others nothing.
const place = stages + `rules:
  - name: place
    match: {images: ["registry.example/shop/**"]}
    require: {all: [scan]}
  - name: any
    match: {images: ["**"]}
    allow: {unsigned: true, because: "not ours"}
`

func (s *site) both(tb testing.TB, own *gate.Rules, image string) (v, narrowed *gate.Verdict) {
	tb.Helper()
	w := gate.Workload{Images: []gate.Image{{Name: "app", Written: image}}, Pins: true}
	v = s.gate.Decide(tb.Context(), w)
	return v, s.gate.DecideIn(tb.Context(), w, gate.Place{Rules: own})
}

func TestAPlacesOwnPolicyOnlyNarrows(t *testing.T) {
	s := newSite(t, stages+`rules:
  - name: everywhere
    match: {images: ["registry.example/**"]}
    require: {all: [build]}
`, nil)
	own := rules(t, place)
	for _, c := range []struct {
		name, repository string
		seals            []string
		outcome          pipeline.Outcome
		rule             string
	}{
		{"both are content", "shop/a", []string{"build", "scan"}, pipeline.Admit, "everywhere"},
		{"the place wants more", "shop/b", []string{"build"}, pipeline.Deny, "place"},
		{"the place wants less", "shop/c", []string{"scan"}, pipeline.Deny, "everywhere"},
		{"the place wants nothing", "tools/d", nil, pipeline.Deny, "everywhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.depot.image(c.repository, "v1")
			s.depot.seal(t, c.repository, d, by(c.seals...)...)
			v, n := s.both(t, own, written(c.repository, d))
			if iv := n.Images[0]; n.Outcome != c.outcome || n.Allowed != (c.outcome == pipeline.Admit) || iv.Rule != c.rule {
				t.Errorf("%v, allowed %t, by %s: %v", n.Outcome, n.Allowed, iv.Rule, iv.Err)
			}
			if n.Policy != v.Policy {
				t.Error("the verdict names the policy of the place")
			}
		})
	}
}

func TestWhatWasDecidedUnderOnePolicyServesTheOtherOnlyWhereItsRuleIsTheSame(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("shop/app", "v1")
	s.depot.seal(t, "shop/app", d, by("build", "test", "scan")...)
	s.both(t, rules(t, ordinary), written("shop/app", d))
	if n := s.depot.count("signatures"); n != 1 {
		t.Errorf("the same rule is surveyed %d times", n)
	}
	s.both(t, rules(t, place), written("shop/app", d))
	if n := s.depot.count("signatures"); n != 2 {
		t.Errorf("another rule: %d surveys in all, want 2", n)
	}
}

func TestATagThatMovedBetweenTwoPoliciesIsJudgedByNeither(t *testing.T) {
	s := newSite(t, stages+`rules:
  - name: everywhere
    match: {images: ["**"]}
    require: {all: [build]}
`, nil)
	w := gate.Workload{Images: []gate.Image{{Name: "app", Written: host + "/tools/app:v1"}}, Pins: true}
	first := s.depot.image("tools/app", "v1")
	s.depot.seal(t, "tools/app", first, by("build")...)
	v := s.gate.Decide(t.Context(), w)
	s.depot.push("tools/app", "v1", shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString("moved"), Size: 5})
	n := gate.Narrow(v, s.gate.DecideUnder(t.Context(), rules(t, place), w))
	if iv := n.Images[0]; n.Allowed || n.Outcome != pipeline.Undecided || shuin.CodeOf(iv.Err) != shuin.CodeTagMoved || iv.Pinned != "" {
		t.Errorf("%v, allowed %t: %v, pinned %q", n.Outcome, n.Allowed, iv.Err, iv.Pinned)
	}
	if !v.Allowed || v.Images[0].Pinned == "" {
		t.Error("the first verdict was changed")
	}
}

func TestAPlaceWhosePolicyCannotBeUsedAdmitsNothing(t *testing.T) {
	s := newSite(t, ordinary, nil)
	good := s.depot.image("one/app", "v1")
	s.depot.seal(t, "one/app", good, by("build")...)
	bad := s.depot.image("one/bad", "v1")
	v := s.gate.Decide(t.Context(), gate.Workload{Images: []gate.Image{{Name: "a", Written: written("one/app", good)}, {Name: "b", Written: written("one/bad", bad)}}})
	why := &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the namespace's policy cannot be used", Err: errors.New("line 1")}
	n := gate.Unasked(v, why)
	want(t, n.Images[0], pipeline.Undecided, false, shuin.CodeInvalidInput)
	want(t, n.Images[1], pipeline.Deny, false, shuin.CodeUnsigned)
	if n.Allowed || n.Images[0].StaleUntil.IsZero() {
		t.Errorf("allowed %t, worth asking again at %v", n.Allowed, n.Images[0].StaleUntil)
	}
}

func TestAPlaceThatOnlyWarnsNeverSaysWhatIsPinned(t *testing.T) {
	s := newSite(t, stages+`rules:
  - name: everywhere
    match: {images: ["**"]}
    require: {all: [build]}
`, nil)
	warns := rules(t, stages+`rules:
  - name: place
    match: {images: ["**"]}
    require: {all: [scan]}
    mode: warn
`)
	w := gate.Workload{Images: []gate.Image{{Name: "app", Written: host + "/tools/app:v1"}}, Pins: true}
	first := s.depot.image("tools/app", "v1")
	s.depot.seal(t, "tools/app", first, by("build")...)
	v := s.gate.Decide(t.Context(), w)
	told := gate.Narrow(v, s.gate.DecideUnder(t.Context(), warns, w)).Images[0]
	want(t, told, pipeline.Deny, true, shuin.CodeStageMissing)
	if told.Pinned != v.Images[0].Pinned || told.Rule != "place" {
		t.Errorf("pinned %s by %s", told.Pinned, told.Rule)
	}
	s.depot.push("tools/app", "v1", shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString("moved"), Size: 5})
	moved := gate.Narrow(v, s.gate.DecideUnder(t.Context(), warns, w)).Images[0]
	want(t, moved, pipeline.Undecided, false, shuin.CodeTagMoved)
}

func TestANarrowedDecisionIsRecordedOnceAsItIs(t *testing.T) {
	var recorded []bool
	s := newSite(t, ordinary, func(o *gate.Options) {
		o.Record = func(_ context.Context, _ gate.Workload, v *gate.Verdict) error {
			recorded = append(recorded, v.Allowed)
			return nil
		}
	})
	d := s.depot.image("one/app", "v1")
	s.depot.seal(t, "one/app", d, by("build")...)
	w := gate.Workload{Images: []gate.Image{{Name: "app", Written: written("one/app", d)}}}
	wants := rules(t, strings.Replace(place, "registry.example/shop/**", "registry.example/one/**", 1))
	for _, c := range []struct {
		name    string
		place   gate.Place
		allowed bool
	}{
		{"nothing is added", gate.Place{}, true},
		{"the place refuses", gate.Place{Rules: wants}, false},
		{"the place's rules cannot be used", gate.Place{Err: errors.New("line 1")}, false},
	} {
		recorded = nil
		if v := s.gate.DecideIn(t.Context(), w, c.place); v.Allowed != c.allowed || len(recorded) != 1 || recorded[0] != c.allowed {
			t.Errorf("%s: allowed %t, recorded %v", c.name, v.Allowed, recorded)
		}
	}
}
