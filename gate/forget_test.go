package gate_test

import (
	"context"
	"sync"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// revoked are the certificates of these signers, of that depth.
func revoked(depth int, names ...string) (out []verify.Ground) {
	for _, n := range names {
		out = append(out, verify.CertificateGround(signers[n].Certs[depth]))
	}
	return out
}

func TestWhatWasForgottenIsSurveyedAnewAndNoLastGoodAnswerRestsOnIt(t *testing.T) {
	s := newSite(t, ordinary, nil)
	one, shop := s.depot.image("one/x", "v1"), s.depot.image("shop/api", "v1")
	s.depot.seal(t, "one/x", one, by("build")...)
	s.depot.seal(t, "shop/api", shop, by("build", "test", "scan")...)
	ask := func(repository string, o pipeline.Outcome, allowed bool, code shuin.Code) {
		t.Helper()
		d := one
		if repository == "shop/api" {
			d = shop
		}
		want(t, s.one(t.Context(), gate.Workload{}, written(repository, d)), o, allowed, code)
	}
	ask("one/x", pipeline.Admit, true, "")
	ask("shop/api", pipeline.Admit, true, "")
	before := s.depot.count("signatures")
	if gone := s.gate.Forget(revoked(0, "test")); gone != 1 {
		t.Errorf("%d last good answers went", gone)
	}
	ask("one/x", pipeline.Admit, true, "")
	if n := s.depot.count("signatures") - before; n != 0 {
		t.Errorf("%d surveys of what rests on nothing that was forgotten", n)
	}
	s.depot.set(func() { s.depot.err = errDown })
	ask("shop/api", pipeline.Undecided, false, shuin.CodeUnavailable)
	s.clock.Advance(limits.GateAdmitLife)
	ask("one/x", pipeline.Undecided, true, shuin.CodeUnavailable)
	if gone := s.gate.Forget(revoked(0, "scan")); gone != 0 {
		t.Errorf("%d went of which none is left", gone)
	}
	s.depot.set(func() { s.depot.err = nil })
	ask("shop/api", pipeline.Admit, true, "")
}

// What a tenant's CA revokes is his own, whatever its names: all the same, each time.
func TestNothingRestsOnACertificateOfTheSameNames(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build", "stranger")...)
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
	before := s.depot.count("signatures")
	same := shuintest.MustChain(shuintest.ChainOptions{Length: 4, NotBefore: begin, NotAfter: end, Family: 7, Subject: subject("ci-build")})
	for depth := range ci.Certs {
		if own, his := ci.Certs[depth].Subject.String(), same.Certs[depth].Subject.String(); own != his {
			t.Fatalf("%s and %s are not the same name", own, his)
		}
	}
	for range 2 * limits.GateForgotten {
		for depth := range same.Certs {
			if gone := s.gate.Forget(append(revoked(depth, "stranger"), verify.CertificateGround(same.Certs[depth]))); gone != 0 {
				t.Errorf("%d went for the certificate of depth %d", gone, depth)
			}
		}
	}
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
	if n := s.depot.count("signatures") - before; n != 0 {
		t.Errorf("%d surveys", n)
	}
	s.depot.set(func() { s.depot.err = errDown })
	s.clock.Advance(limits.GateAdmitLife)
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Undecided, true, shuin.CodeUnavailable)
	for depth := range ci.Certs {
		s = newSite(t, ordinary, nil)
		d = s.depot.image("one/x", "v1")
		s.depot.seal(t, "one/x", d, by("build")...)
		want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
		if gone := s.gate.Forget(revoked(depth, "build")); gone != 1 {
			t.Errorf("%d went for its own certificate of depth %d", gone, depth)
		}
		s.depot.set(func() { s.depot.err = errDown })
		want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Undecided, false, shuin.CodeUnavailable)
	}
}

func TestTheAnswerAboutAnIndexRestsOnTheSealsOfItsPlatforms(t *testing.T) {
	s := newSite(t, eachPlatform, nil)
	d, images := s.depot.index("one/x", "v1", "amd64", "arm64")
	s.depot.seal(t, "one/x", images[0], by("build")...)
	s.depot.seal(t, "one/x", images[1], by("short")...)
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
	if gone := s.gate.Forget(revoked(0, "short")); gone != 1 {
		t.Errorf("%d went", gone)
	}
}

const eachPlatform = stages + `rules:
  - name: one
    match: {images: ["registry.example/one/**"]}
    platforms: each
    require: {all: [build]}
`

// Junk around an image makes its last good answer rest on nothing more.
func TestTheAnswerAboutAnImageWithManySignaturesIsForgottenForItsOwnAlone(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	for range 40 {
		s.depot.seal(t, "one/x", d, by("stranger")...)
	}
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
	if gone := s.gate.Forget(revoked(0, "test", "stranger")); gone != 0 {
		t.Errorf("%d went", gone)
	}
	if gone := s.gate.Forget(revoked(0, "build")); gone != 1 {
		t.Errorf("%d went", gone)
	}
}

// heldDepot holds whoever listed signatures, each time until the test lets go.
type heldDepot struct {
	*depot
	listed, letGo chan struct{}
}

func (h *heldDepot) Open(string, shuin.Reference) (gate.Source, error) { return h, nil }

func (h *heldDepot) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	a, err := h.Resolve(ctx, ref)
	return a, h, err
}

func (h *heldDepot) Signatures(ctx context.Context, a shuin.Artifact, most int) ([]shuin.Signature, bool, error) {
	found, more, err := h.depot.Signatures(ctx, a, most)
	h.listed <- struct{}{}
	<-h.letGo
	return found, more, err
}

// heldSite asks about one image twice: the second comes after the first survey
// listed the signatures, and after Forget.
func heldSite(t *testing.T, forget []verify.Ground, between func(*depot, string)) (s *site, h *heldDepot, answers []gate.ImageVerdict) {
	t.Helper()
	h = &heldDepot{listed: make(chan struct{}), letGo: make(chan struct{})}
	s = newSite(t, ordinary, func(o *gate.Options) { h.depot, o.Sources = o.Sources.(*depot), h })
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	answers = make([]gate.ImageVerdict, 2)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = s.one(t.Context(), gate.Workload{}, written("one/x", d)) })
		if i == 0 {
			<-h.listed
			s.depot.set(func() { between(s.depot, host+"/one/x@"+string(d)) })
			s.gate.Forget(forget)
		}
	}
	h.letGo <- struct{}{}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for {
		select {
		case <-h.listed:
			h.letGo <- struct{}{}
		case <-done:
			return s, h, answers
		}
	}
}

func TestACheckUnderWayIsMadeAnewWhereWhatItRestsOnWasRevoked(t *testing.T) {
	_, _, answers := heldSite(t, revoked(0, "build"), func(d *depot, name string) { d.signatures[name] = nil })
	for _, iv := range answers {
		want(t, iv, pipeline.Deny, false, shuin.CodeUnsigned)
	}
}

func TestACheckUnderWayCountsWhereItRestsOnSomethingElse(t *testing.T) {
	s, _, answers := heldSite(t, revoked(0, "test", "stranger"), func(*depot, string) {})
	for _, iv := range answers {
		want(t, iv, pipeline.Admit, true, "")
	}
	if n := s.depot.count("signatures"); n != 1 {
		t.Errorf("%d surveys", n)
	}
	if gone := s.gate.Forget(revoked(0, "build")); gone != 1 {
		t.Errorf("%d went: it was not remembered", gone)
	}
}

// Whatever the order, no good answer outlives a Forget that began after its survey.
func TestForgetAndChecksAtOnceLeaveNothingBehind(t *testing.T) {
	for range 50 {
		s := newSite(t, ordinary, nil)
		d := s.depot.image("one/x", "v1")
		s.depot.seal(t, "one/x", d, by("build")...)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { s.one(t.Context(), gate.Workload{}, written("one/x", d)) })
		}
		all.Go(func() {
			s.depot.set(func() { s.depot.signatures = map[string][]shuin.Signature{} })
			s.gate.Forget(revoked(0, "build"))
		})
		all.Wait()
		s.depot.set(func() { s.depot.err = errDown })
		if iv := s.one(t.Context(), gate.Workload{}, written("one/x", d)); iv.Allowed {
			t.Fatalf("an answer from before: %+v", iv)
		}
	}
}

func TestAGateThatRemembersNothingForgetsNothing(t *testing.T) {
	s := newSite(t, ordinary, func(o *gate.Options) { o.Remember = false })
	if gone := s.gate.Forget(revoked(0, "build")); gone != 0 {
		t.Errorf("%d went", gone)
	}
}
