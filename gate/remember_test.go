package gate_test

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
)

func TestOneImageOfEightContainersIsSurveyedOnce(t *testing.T) {
	for _, remember := range []bool{true, false} {
		s := newSite(t, ordinary, func(o *gate.Options) { o.Remember = remember })
		d := s.depot.image("shop/api", "v1")
		s.depot.seal(t, "shop/api", d, by("build", "test", "scan")...)
		var w gate.Workload
		for i := range 8 {
			w.Images = append(w.Images, gate.Image{Name: fmt.Sprint("c", i), Written: written("shop/api", d)})
		}
		v := s.gate.Decide(t.Context(), w)
		if !v.Allowed || v.Images[7].Image.Name != "c7" {
			t.Errorf("%+v", v.Images[7])
		}
		if h, n := s.depot.count("head"), s.depot.count("signatures"); h != 1 || n != 1 {
			t.Errorf("%d HEADs and %d listings", h, n)
		}
	}
}

// The freshness rule: a digest is surveyed once in limits.GateAdmitLife,
// however often it is asked about; a tag costs a HEAD each time.
func TestFifteenThousandDecisionsAskNoMoreThanTheFreshnessRuleAllows(t *testing.T) {
	const decisions = 15_000
	surveys := int(decisions*time.Second/limits.GateAdmitLife) + 1
	for _, tag := range []bool{false, true} {
		s := newSite(t, ordinary, nil)
		d := s.depot.image("one/x", "v1")
		s.depot.seal(t, "one/x", d, by("build")...)
		image, heads := written("one/x", d), surveys
		if tag {
			image, heads = host+"/one/x:v1", decisions
		}
		for range decisions {
			if iv := s.one(t.Context(), gate.Workload{Pins: true}, image); iv.Outcome != pipeline.Admit {
				t.Fatal(iv.Line())
			}
			s.clock.Advance(time.Second)
		}
		if n := s.depot.count("signatures"); n > surveys || n < surveys-1 {
			t.Errorf("tag %t: %d surveys, the rule allows %d", tag, n, surveys)
		}
		if n := s.depot.count("head"); n > heads {
			t.Errorf("tag %t: %d HEADs, the rule allows %d", tag, n, heads)
		}
	}
}

func TestATagThatMovedIsJudgedByWhatItNamesNow(t *testing.T) {
	s := newSite(t, ordinary, nil)
	good := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", good, by("build")...)
	w := gate.Workload{Pins: true}
	tag := host + "/one/x:v1"
	if iv := s.one(t.Context(), w, tag); iv.Outcome != pipeline.Admit || iv.Pinned != written("one/x", good) {
		t.Fatal(iv.Line())
	}
	evil := s.depot.push("one/x", "v1", shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString("evil"), Size: 6})
	iv := s.one(t.Context(), w, tag)
	want(t, iv, pipeline.Deny, false, shuin.CodeUnsigned)
	if iv.Digest() != evil || iv.Pinned != written("one/x", evil) {
		t.Errorf("judged %s", iv.Digest())
	}
	// What runs is what the tag was: it is not what is asked about any more.
	v := s.gate.Decide(t.Context(), gate.Workload{Pins: true, Images: []gate.Image{{Written: tag, Running: good}}})
	want(t, v.Images[0], pipeline.Deny, false, shuin.CodeNotInIndex)
	// A tag beside its digest says nothing.
	want(t, s.one(t.Context(), w, tag+"@"+string(good)), pipeline.Admit, true, "")
	want(t, s.one(t.Context(), w, tag+"@"+string(evil)), pipeline.Deny, false, shuin.CodeUnsigned)
}

func TestADigestIsJudgedAnewInAnotherRepositoryOrPlace(t *testing.T) {
	s := newSite(t, ordinary, nil)
	desc := shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString("one image"), Size: 9}
	d := s.depot.push("one/x", "", desc)
	s.depot.push("one/copy", "", desc)
	s.depot.seal(t, "one/x", d, by("build")...)
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
	want(t, s.one(t.Context(), gate.Workload{}, written("one/copy", d)), pipeline.Deny, false, shuin.CodeUnsigned)
	there := gate.Workload{Where: pipeline.Where{Cluster: "prod"}}
	iv := s.one(t.Context(), there, written("one/x", d))
	want(t, iv, pipeline.Deny, false, shuin.CodeStageMissing)
	if iv.Rule != "one-there" {
		t.Errorf("rule %q", iv.Rule)
	}
	want(t, s.one(t.Context(), gate.Workload{Where: pipeline.Where{Cluster: "dev"}}, written("one/x", d)), pipeline.Admit, true, "")
}

// accesses is a registry that shows each access its own.
type accesses map[string]*depot

func (a accesses) Open(access string, ref shuin.Reference) (gate.Source, error) {
	if d := a[access]; d != nil {
		return d, nil
	}
	return nil, &shuin.Error{Code: shuin.CodeUnauthorized, Message: "open " + ref.Name()}
}

func TestWhatOneAccessFetchedIsNeverShownToAnother(t *testing.T) {
	mine, theirs := newDepot(), newDepot()
	s := newSite(t, ordinary+"  - {name: free, match: {images: [\"registry.example/free/**\"]}, allow: {unsigned: true, because: \"a test\"}}\n",
		func(o *gate.Options) { o.Sources = accesses{"mine": mine, "theirs": theirs} })
	d, images := mine.index("one/x", "v1", "amd64")
	mine.seal(t, "one/x", d, by("build")...)
	theirs.err = &shuin.Error{Code: shuin.CodeForbidden, Message: "ask the registry"}
	ask := func(access, image string, running digest.Digest) gate.ImageVerdict {
		return s.gate.Decide(t.Context(), gate.Workload{Access: access, Pins: true, Images: []gate.Image{{Written: image, Running: running}}}).Images[0]
	}
	for _, image := range []string{written("one/x", d), host + "/one/x:v1"} {
		for _, running := range []digest.Digest{"", images[0]} {
			want(t, ask("mine", image, running), pipeline.Admit, true, "")
			iv := ask("theirs", image, running)
			want(t, iv, pipeline.Undecided, false, shuin.CodeForbidden)
			if !iv.LastGood.IsZero() || len(iv.Signatures) != 0 {
				t.Errorf("%+v", iv)
			}
			want(t, ask("", image, running), pipeline.Undecided, false, shuin.CodeUnauthorized)
		}
	}
	// What is in an index is told to nobody either, also where nothing has to be sealed.
	free, inside := mine.index("free/x", "v1", "amd64")
	want(t, ask("mine", written("free/x", free), inside[0]), pipeline.Admit, true, "")
	want(t, ask("theirs", written("free/x", free), inside[0]), pipeline.Undecided, false, shuin.CodeForbidden)
}

func TestAskersOfDifferentAccessNeverShareAFlight(t *testing.T) {
	for _, image := range []string{":v1", "@"} {
		synctest.Test(t, func(t *testing.T) {
			mine, theirs := newDepot(), newDepot()
			s := newSite(t, ordinary, func(o *gate.Options) { o.Sources = accesses{"mine": mine, "theirs": theirs} })
			d := mine.image("one/x", "v1")
			mine.seal(t, "one/x", d, by("build")...)
			theirs.err = &shuin.Error{Code: shuin.CodeForbidden, Message: "ask the registry"}
			hold := make(chan struct{})
			mine.hold, theirs.hold = hold, hold
			name := host + "/one/x" + image
			if image == "@" {
				name += string(d)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				want(t, s.one(t.Context(), gate.Workload{Access: "mine", Pins: true}, name), pipeline.Admit, true, "")
			})
			synctest.Wait()
			wg.Go(func() {
				want(t, s.one(t.Context(), gate.Workload{Access: "theirs", Pins: true}, name), pipeline.Undecided, false, shuin.CodeForbidden)
			})
			synctest.Wait()
			if theirs.total() == 0 {
				t.Error("the second asker's access was not used")
			}
			close(hold)
			wg.Wait()
		})
	}
}

func TestADenialIsRememberedForSeconds(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	ask := func() gate.ImageVerdict { return s.one(t.Context(), gate.Workload{}, written("one/x", d)) }
	want(t, ask(), pipeline.Deny, false, shuin.CodeUnsigned)
	s.depot.seal(t, "one/x", d, by("build")...)
	s.clock.Advance(limits.GateDenyLife - time.Nanosecond)
	want(t, ask(), pipeline.Deny, false, shuin.CodeUnsigned)
	if n := s.depot.count("signatures"); n != 1 {
		t.Errorf("%d surveys", n)
	}
	s.clock.Advance(time.Nanosecond)
	want(t, ask(), pipeline.Admit, true, "")
}

func TestAFaultIsNotRememberedAsADenial(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	ask := func() gate.ImageVerdict { return s.one(t.Context(), gate.Workload{}, written("one/x", d)) }
	for _, code := range []shuin.Code{shuin.CodeUnavailable, shuin.CodeThrottled, shuin.CodeUnauthorized, shuin.CodeForbidden, shuin.CodeNotFound, shuin.CodeRevocationUnavailable} {
		s.depot.set(func() { s.depot.err = &shuin.Error{Code: code, Message: "ask the registry"} })
		want(t, ask(), pipeline.Undecided, false, code)
	}
	s.depot.set(func() { s.depot.err = &shuin.Error{Code: shuin.CodeInternal, Message: "a fault of ours"} })
	want(t, ask(), pipeline.Deny, false, shuin.CodeInternal)
	s.depot.set(func() { s.depot.err = &shuin.Error{Code: shuin.CodeMalformed, Message: "resolve"} })
	want(t, ask(), pipeline.Deny, false, shuin.CodeMalformed)
	s.depot.set(func() { s.depot.err = nil })
	want(t, ask(), pipeline.Admit, true, "")
}

func TestAnAnswerDoesNotOutliveWhatItRestsOn(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("short")...)
	s.clock.Set(noon.Add(59 * time.Minute))
	iv := s.one(t.Context(), gate.Workload{}, written("one/x", d))
	want(t, iv, pipeline.Admit, true, "")
	if !iv.StaleUntil.Equal(noon.Add(time.Hour)) {
		t.Errorf("stale until %s", iv.StaleUntil)
	}
	s.clock.Set(noon.Add(time.Hour + time.Second)) // the certificate is over, the answer's five minutes are not
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Deny, false, shuin.CodeExpired)
}

func TestAClockThatWasSetBackMakesNoAnswerLiveLonger(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	s.one(t.Context(), gate.Workload{}, written("one/x", d))
	s.clock.Set(noon.Add(-time.Hour))
	s.one(t.Context(), gate.Workload{}, written("one/x", d))
	if n := s.depot.count("signatures"); n != 2 {
		t.Errorf("%d surveys", n)
	}
}

func TestTheLastGoodAnswerServesAnOutageAndNothingElse(t *testing.T) {
	type scene struct {
		*site
		d digest.Digest
	}
	ask := func(s scene) gate.ImageVerdict { return s.one(s.tb.Context(), gate.Workload{}, written("one/x", s.d)) }
	for name, tt := range map[string]struct {
		by     string
		happen func(s scene)
		served bool
	}{
		"after the answer grew old":    {"build", func(s scene) { s.clock.Advance(limits.GateAdmitLife) }, true},
		"after nearly a day":           {"build", func(s scene) { s.clock.Advance(limits.GateLastGoodLife - time.Second) }, true},
		"after a day":                  {"build", func(s scene) { s.clock.Advance(limits.GateLastGoodLife) }, false},
		"after the certificate ended":  {"short", func(s scene) { s.clock.Advance(time.Hour + time.Second) }, false},
		"before the certificate ended": {"short", func(s scene) { s.clock.Advance(50 * time.Minute) }, true},
		"after an answer that was malformed": {"build", func(s scene) {
			s.clock.Advance(time.Hour)
			s.depot.set(func() { s.depot.err = &shuin.Error{Code: shuin.CodeMalformed, Message: "resolve"} })
			want(s.tb, ask(s), pipeline.Deny, false, shuin.CodeMalformed)
		}, true},
		"after too many signatures to look at": {"build", func(s scene) {
			s.clock.Advance(time.Hour)
			s.unseal(s.d)
			s.depot.seal(s.tb, "one/x", s.d, by("stranger")...)
			s.depot.set(func() { s.depot.more = true })
			want(s.tb, ask(s), pipeline.Deny, false, shuin.CodeLimit)
			s.clock.Advance(time.Hour)
		}, false},
		"after a listing that was malformed": {"build", func(s scene) {
			s.clock.Advance(time.Hour)
			s.unseal(s.d)
			s.depot.set(func() { s.depot.listing = &shuin.Error{Code: shuin.CodeMalformed, Message: "list signatures"} })
			want(s.tb, ask(s), pipeline.Deny, false, shuin.CodeMalformed)
			s.clock.Advance(time.Hour)
		}, false},
		"after another rule changed": {"build", func(s scene) {
			s.clock.Advance(time.Hour)
			s.gate.Use(rules(s.tb, ordinary+"  - {name: more, match: {images: [\"registry.example/more/**\"]}, require: {all: [scan]}}\n"))
		}, true},
		"after the rule changed": {"build", func(s scene) {
			s.clock.Advance(time.Hour)
			s.gate.Use(rules(s.tb, strings.Replace(ordinary, "require: {all: [build]}", "require: {any: [build]}", 1)))
		}, false},
		"after the trust changed": {"build", func(s scene) { s.clock.Advance(time.Hour); s.gate.Use(otherTrust(s.tb)) }, false},
		"after it was denied once": {"build", func(s scene) {
			s.clock.Advance(time.Hour)
			s.unseal(s.d)
			want(s.tb, ask(s), pipeline.Deny, false, shuin.CodeUnsigned)
			s.clock.Advance(time.Hour)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := scene{site: newSite(t, ordinary, nil)}
			s.d = s.depot.image("one/x", "v1")
			s.depot.seal(t, "one/x", s.d, by(tt.by)...)
			want(t, ask(s), pipeline.Admit, true, "")
			at := s.clock.Now()
			tt.happen(s)
			s.depot.set(func() { s.depot.err = errDown })
			iv := ask(s)
			want(t, iv, pipeline.Undecided, tt.served, shuin.CodeUnavailable)
			if iv.LastGood.Equal(at) != tt.served {
				t.Errorf("last good %s", iv.LastGood)
			}
		})
	}
}

// A seal for another stage stays that when what it says beside is too much to
// be kept.
func TestWhatIsCutOfALastGoodAnswerIsNotTheStageOfASeal(t *testing.T) {
	long := strings.Repeat("x", limits.GateMetadataBytes)
	for stage, served := range map[string]bool{"scan": false, "build": true} {
		s := newSite(t, ordinary, nil)
		d := s.depot.image("one/x", "v1")
		s.depot.seal(t, "one/x", d, seal{by: "short"}, seal{by: "build", metadata: map[string]string{shuin.MetadataStage: stage, "log": long}})
		want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
		s.clock.Advance(2 * time.Hour) // the certificate of the first has ended
		s.depot.set(func() { s.depot.err = errDown })
		want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Undecided, served, shuin.CodeUnavailable)
	}
}

// Whatever is not admitted has an end, after which it is worth asking again.
func TestEveryAnswerButAGoodOneHasAnEnd(t *testing.T) {
	s := newSite(t, ordinary, nil)
	ends := func(name string, iv gate.ImageVerdict, want time.Time) {
		t.Helper()
		if !iv.StaleUntil.Equal(want) {
			t.Errorf("%s: %s\nstale until %s, want %s", name, iv.Line(), iv.StaleUntil, want)
		}
	}
	ask := func(image string) gate.ImageVerdict { return s.one(t.Context(), gate.Workload{}, image) }
	soon := func() time.Time { return s.clock.Now().Add(limits.GateDenyLife) }
	d := s.depot.image("one/x", "v1")
	first := soon()
	ends("denied", ask(written("one/x", d)), first)
	s.clock.Advance(3 * time.Second)
	ends("denied, remembered", ask(written("one/x", d)), first)
	ends("no reference", ask("x"), soon())
	ends("a tag that nobody pins", ask(host+"/one/x:v1"), soon())
	ends("no rule", ask("elsewhere.example/x:v1"), soon())
	ends("not there", ask(written("one/y", d)), soon())
	s.depot.seal(t, "one/x", d, by("short")...)
	s.clock.Advance(limits.GateDenyLife)
	ends("good", ask(written("one/x", d)), noon.Add(time.Hour))
	s.depot.set(func() { s.depot.err = errDown })
	s.clock.Advance(limits.GateAdmitLife)
	iv := ask(written("one/x", d))
	if ends("last good", iv, soon()); iv.LastGood.IsZero() {
		t.Error("the last good answer did not serve")
	}
	s.clock.Set(noon.Add(time.Hour - time.Second))
	ends("last good, and soon no more", ask(written("one/x", d)), noon.Add(time.Hour))
	s.clock.Advance(time.Second)
	ends("could not be checked", ask(written("one/x", d)), soon())
	v := s.gate.Decide(t.Context(), gate.Workload{})
	if !v.StaleUntil.Equal(soon()) {
		t.Errorf("no images: stale until %s", v.StaleUntil)
	}
}

// unseal takes all signatures away.
func (s *site) unseal(d digest.Digest) {
	s.depot.set(func() { delete(s.depot.signatures, written("one/x", d)) })
}

func otherTrust(tb testing.TB) *gate.Rules {
	tb.Helper()
	r, err := gate.NewRules(tb.Context(), parse(tb, ordinary), roots{"ca:ci": signers["stranger"]})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestAReloadedPolicyKeepsWhatItDidNotChange(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	before := s.gate.Decide(t.Context(), gate.Workload{Images: []gate.Image{{Written: written("one/x", d)}}})
	s.gate.Use(rules(t, ordinary+"  - {name: more, match: {images: [\"registry.example/more/**\"]}, require: {all: [scan]}}\n"))
	after := s.gate.Decide(t.Context(), gate.Workload{Images: []gate.Image{{Written: written("one/x", d)}}})
	if !before.Allowed || !after.Allowed || before.Policy == after.Policy {
		t.Errorf("%s, %s", before.Policy, after.Policy)
	}
	if n := s.depot.count("signatures"); n != 1 {
		t.Errorf("%d surveys", n)
	}
	s.gate.Use(otherTrust(t))
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Deny, false, shuin.CodeStageMissing)
}

func TestWhatCouldNotBeCheckedIsTriedAgainAsLongAsTheRuleSays(t *testing.T) {
	for name, tt := range map[string]struct {
		fails   int
		outcome pipeline.Outcome
	}{"it comes back": {3, pipeline.Admit}, "it stays away": {1 << 30, pipeline.Undecided}} {
		t.Run(name, func(t *testing.T) {
			for _, image := range []string{"digest", "tag"} {
				s := newSite(t, ordinary, nil)
				d := s.depot.image("patient/x", "v1")
				s.depot.seal(t, "patient/x", d, by("build")...)
				f := &failing{depot: s.depot, left: tt.fails}
				s.gate = gate.New(gate.Options{Sources: f, Now: s.clock.Now, Remember: true, Wait: func(_ context.Context, d time.Duration) error {
					s.clock.Advance(d)
					return nil
				}}, rules(t, ordinary))
				name := written("patient/x", d)
				if image == "tag" {
					name = host + "/patient/x:v1"
				}
				iv := s.one(t.Context(), gate.Workload{Pins: true}, name)
				if iv.Outcome != tt.outcome {
					t.Errorf("%s: %s", image, iv.Line())
				}
				if took := s.clock.Now().Sub(noon); took > 30*time.Second || tt.outcome == pipeline.Undecided && took < 20*time.Second {
					t.Errorf("%s: it took %s", image, took)
				}
				if tt.outcome == pipeline.Undecided && f.opened > 12 {
					t.Errorf("%s: tried %d times", image, f.opened)
				}
			}
		})
	}
}

// failing is a registry that does not answer the first times.
type failing struct {
	*depot
	left, opened int
}

func (f *failing) Open(string, shuin.Reference) (gate.Source, error) {
	if f.opened++; f.left > 0 {
		f.left--
		return nil, errDown
	}
	return f.depot, nil
}

// An answer that is remembered must not hold on to megabytes that somebody
// wrote into signatures and certificates.
func TestWhatIsRememberedIsSmallWhateverSignaturesHold(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	long := map[string]string{"note": strings.Repeat("x", 500_000)}
	for range 20 {
		s.depot.seal(t, "one/x", d, seal{by: "build", metadata: long})
	}
	iv := s.one(t.Context(), gate.Workload{}, written("one/x", d))
	want(t, iv, pipeline.Admit, true, "")
	if n := s.gate.Remembered(); n == 0 || n > 200_000 {
		t.Errorf("%d bytes are remembered", n)
	}
	long[shuin.MetadataStage] = strings.Repeat("\x1b]0;x", 50_000)
	for range 20 {
		s.depot.seal(t, "one/y", s.depot.image("one/y", "v1"), seal{by: "stranger", metadata: long, change: func(o *shuintest.EnvelopeOptions) {}})
	}
	s.one(t.Context(), gate.Workload{}, written("one/y", s.depot.image("one/y", "v1")))
	if n := s.gate.Remembered(); n > 400_000 {
		t.Errorf("%d bytes are remembered", n)
	}
	// A certificate of the trusted CA may be large too.
	big, err := ci.NewLeaf(shuintest.ChainOptions{NotBefore: begin, NotAfter: end, Subject: pkix.Name{
		Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{strings.Repeat("y", 40_000)}, CommonName: "big"}})
	if err != nil {
		t.Fatal(err)
	}
	z := s.depot.image("one/z", "v1")
	for range 20 {
		s.depot.seal(t, "one/z", z, seal{by: "build", change: func(o *shuintest.EnvelopeOptions) { o.Chain = big }})
	}
	before := s.gate.Remembered()
	iv = s.one(t.Context(), gate.Workload{}, written("one/z", z))
	want(t, iv, pipeline.Deny, false, shuin.CodeStageMissing)
	if n := s.gate.Remembered() - before; n > 20*limits.GateReportBytes || len(iv.Signatures) != 20 || iv.Signatures[0].Err == nil {
		t.Errorf("%d bytes are remembered of %d signatures", n, len(iv.Signatures))
	}
}

func TestAPanicInADoorIsOneDenialAndNoMore(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	boom := true
	s.gate = gate.New(gate.Options{Sources: opening(func() (gate.Source, error) {
		if boom {
			panic("boom")
		}
		return s.depot, nil
	}), Now: s.clock.Now, Remember: true}, rules(t, ordinary))
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Deny, false, shuin.CodeInternal)
	want(t, s.one(t.Context(), gate.Workload{Pins: true}, host+"/one/x:v1"), pipeline.Deny, false, shuin.CodeInternal)
	boom = false
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
}

type opening func() (gate.Source, error)

func (o opening) Open(string, shuin.Reference) (gate.Source, error) { return o() }
