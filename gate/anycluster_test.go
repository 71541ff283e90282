package gate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

func TestWhatMayRunInAnyClusterIsBadOnlyWhereAllClustersRefuseIt(t *testing.T) {
	s := newSite(t, stages+`rules:
  - {name: prod, match: {images: ["registry.example/shop/**"], clusters: ["prod-*"]}, require: {all: [build, scan]}}
  - {name: dev, match: {images: ["registry.example/shop/**"], clusters: [dev]}, require: {all: [build]}}
  - {name: rest, match: {images: ["registry.example/shop/**"]}, require: {all: [build, unit-test, scan]}}
  - {name: warned, match: {images: ["registry.example/warned/**"], clusters: [dev]}, require: {all: [build]}, mode: warn}
  - {name: strict, match: {images: ["registry.example/warned/**"]}, require: {all: [build]}}
  - {name: only, match: {images: ["registry.example/only/**"], clusters: [prod]}, require: {all: [build]}}
exceptions:
  - {images: ["registry.example/shop/excepted"], clusters: [attic], reason: x, owner: y, expires: 2026-12-01T00:00:00Z}
`, nil)
	for _, c := range []struct {
		name, repository string
		seals            []string
		outcome          pipeline.Outcome
		allowed          bool
		code             shuin.Code
		rule             string
		elsewhere        int
	}{
		{"one cluster admits it", "shop/a", []string{"build"}, pipeline.Admit, true, "", "dev", 2},
		{"all admit it", "shop/b", []string{"build", "test", "scan"}, pipeline.Admit, true, "", "prod", 2},
		{"no cluster does", "shop/c", nil, pipeline.Deny, false, shuin.CodeUnsigned, "prod", 2},
		{"one excepts it", "shop/excepted", nil, pipeline.Admit, true, "", "rest", 3},
		{"one warns", "warned/a", nil, pipeline.Deny, true, shuin.CodeUnsigned, "warned", 1},
		{"a rule refuses it in one, and there is none for the others", "only/a", nil, pipeline.Deny, false, shuin.CodeUnsigned, "only", 1},
		{"it is good in the one that has a rule", "only/b", []string{"build"}, pipeline.Admit, true, "", "only", 1},
		{"no rule is about it", "other/a", nil, pipeline.Deny, false, shuin.CodeNoPolicy, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.depot.image(c.repository, "v1")
			if len(c.seals) > 0 {
				s.depot.seal(t, c.repository, d, by(c.seals...)...)
			}
			iv := s.one(t.Context(), gate.Workload{AnyCluster: true}, written(c.repository, d))
			want(t, iv, c.outcome, c.allowed, c.code)
			if iv.Rule != c.rule || len(iv.Elsewhere) != c.elsewhere {
				t.Errorf("rule %q, and %d elsewhere", iv.Rule, len(iv.Elsewhere))
			}
		})
	}
	d := s.depot.image("only/dark", "v1")
	s.depot.err = errDown
	iv := s.one(t.Context(), gate.Workload{AnyCluster: true}, written("only/dark", d))
	want(t, iv, pipeline.Undecided, false, shuin.CodeUnavailable) // though all other clusters refuse it
	if iv := s.one(t.Context(), gate.Workload{AnyCluster: true}, "nginx"); iv.Outcome != pipeline.Deny || shuin.CodeOf(iv.Err) != shuin.CodeInvalidInput {
		t.Errorf("a reference that cannot be read: %d %v", iv.Outcome, iv.Err)
	}
}

func TestMoreClustersThanAreLookedAtDenyNothing(t *testing.T) {
	var rules strings.Builder
	for i := range limits.GateClusters + 3 {
		fmt.Fprintf(&rules, "  - {name: r%d, match: {images: [\"registry.example/shop/**\"], clusters: [c%d]}, allow: {digests: [%q]}}\n", i, i, digest.FromString(fmt.Sprint(i)))
	}
	s := newSite(t, stages+"rules:\n"+rules.String(), nil)
	want(t, s.one(t.Context(), gate.Workload{AnyCluster: true}, written("shop/a", digest.FromString("7"))), pipeline.Admit, true, "")
	want(t, s.one(t.Context(), gate.Workload{AnyCluster: true}, written("shop/a", digest.FromString("none"))), pipeline.Undecided, false, shuin.CodeLimit)
}

// TestWhatOthersOfAWorkloadWouldAskKeepsNoImageFromBeingDenied: who adds images
// whose clusters are many does not hide one whose are few.
func TestWhatOthersOfAWorkloadWouldAskKeepsNoImageFromBeingDenied(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("  - {name: shop, match: {images: [\"registry.example/shop/**\"], clusters: [prod]}, require: {all: [build]}}\n")
	for i := range limits.GateClusters + 3 {
		fmt.Fprintf(&rules, "  - {name: r%d, match: {images: [\"registry.example/many/m%d/**\"], clusters: [c%d, d%d]}, allow: {unsigned: true, because: x}}\n", i, i%60, i, i)
	}
	s := newSite(t, stages+"rules:\n"+rules.String(), nil)
	bad := s.depot.image("shop/bad", "v1")
	w := gate.Workload{AnyCluster: true}
	for i := range 60 {
		w.Images = append(w.Images, gate.Image{Name: fmt.Sprint("c", i), Written: written(fmt.Sprintf("many/m%d/x", i), digest.FromString("x"))})
	}
	w.Images = append(w.Images, gate.Image{Name: "bad", Written: written("shop/bad", bad)}, gate.Image{Name: "again", Written: written("shop/bad", bad)})
	v := s.gate.Decide(t.Context(), w)
	for i := range v.Images[:60] {
		want(t, v.Images[i], pipeline.Admit, true, "")
	}
	for i := range v.Images[60:] {
		iv := v.Images[60+i]
		if want(t, iv, pipeline.Deny, false, shuin.CodeUnsigned); iv.Rule != "shop" || len(iv.Elsewhere) != 1 || iv.Image != w.Images[60+i] {
			t.Errorf("%+v by rule %q, and %d elsewhere", iv.Image, iv.Rule, len(iv.Elsewhere))
		}
	}
}

func TestAnExceptionFromOutsideMakesItsClusterOneThatIsLookedAt(t *testing.T) {
	s := newSite(t, stages+"rules:\n  - {name: shop, match: {images: [\"registry.example/shop/**\"]}, require: {all: [build]}}\n", nil)
	bad := written("shop/bad", s.depot.image("shop/bad", "v1"))
	any := gate.Workload{AnyCluster: true}
	want(t, s.one(t.Context(), any, bad), pipeline.Deny, false, shuin.CodeUnsigned)
	a, err := pipeline.ParseAddition([]byte("images: [registry.example/shop/bad]\nclusters: [dev]\nreason: x\nowner: y\nexpires: 2100-01-01T00:00:00Z\n"), "outside")
	if err != nil {
		t.Fatal(err)
	}
	plain := s.gate.Rules()
	with, err := plain.WithExceptions([]*pipeline.Addition{a})
	if err != nil {
		t.Fatal(err)
	}
	s.gate.Use(with)
	want(t, s.one(t.Context(), any, bad), pipeline.Admit, true, "")
	s.gate.Use(with.WithExceptionsOf(plain))
	want(t, s.one(t.Context(), any, bad), pipeline.Deny, false, shuin.CodeUnsigned)
}
