package gate_test

import (
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// madeBy says that what a signer's certificate made counts no more.
func madeBy(names ...string) func(*shuin.SignatureReport) bool {
	return func(r *shuin.SignatureReport) bool {
		for _, n := range names {
			if r.Signer.Subject == signers[n].Certs[0].Subject.String() {
				return true
			}
		}
		return false
	}
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
	if gone := s.gate.Forget(madeBy("test")); gone != 1 {
		t.Errorf("%d last good answers went", gone)
	}
	ask("one/x", pipeline.Admit, true, "")
	if n := s.depot.count("signatures") - before; n != 1 {
		t.Errorf("%d surveys", n)
	}
	s.depot.set(func() { s.depot.err = errDown })
	ask("shop/api", pipeline.Undecided, false, shuin.CodeUnavailable)
	s.clock.Advance(limits.GateAdmitLife)
	ask("one/x", pipeline.Undecided, true, shuin.CodeUnavailable)
	if gone := s.gate.Forget(madeBy("scan")); gone != 0 {
		t.Errorf("%d went of which none is left", gone)
	}
	s.depot.set(func() { s.depot.err = nil })
	ask("shop/api", pipeline.Admit, true, "")
}

func TestACheckThatBeganBeforeIsNotRememberedAsGood(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	hold := make(chan struct{})
	s.depot.set(func() { s.depot.hold = hold })
	done := make(chan gate.ImageVerdict)
	go func() { done <- s.one(t.Context(), gate.Workload{}, written("one/x", d)) }()
	for s.depot.count("head") == 0 {
		time.Sleep(time.Millisecond)
	}
	s.gate.Forget(madeBy("build"))
	close(hold)
	want(t, <-done, pipeline.Admit, true, "")
	s.depot.set(func() { s.depot.err = errDown })
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Undecided, false, shuin.CodeUnavailable)
}

func TestAGateThatRemembersNothingForgetsNothing(t *testing.T) {
	s := newSite(t, ordinary, func(o *gate.Options) { o.Remember = false })
	if gone := s.gate.Forget(madeBy("build")); gone != 0 {
		t.Errorf("%d went", gone)
	}
}
