package gate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
)

func TestAnImageWithEverySealIsAdmittedAndPinned(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("shop/api", "v1")
	s.depot.seal(t, "shop/api", d, by("build", "test", "scan")...)
	iv := s.one(t.Context(), gate.Workload{Pins: true}, host+"/shop/api:v1")
	want(t, iv, pipeline.Admit, true, "")
	if iv.Pinned != written("shop/api", d) || iv.Rule != "shop" || iv.Digest() != d || len(iv.Signatures) != 3 || len(iv.Stages) != 3 || iv.Unpinned {
		t.Errorf("%+v", iv)
	}
	if iv.TrustHash == "" || iv.Artifact.Written().Tag != "v1" {
		t.Errorf("%+v", iv)
	}
}

func TestADenialNamesWhatIsMissing(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("shop/api", "v1")
	s.depot.seal(t, "shop/api", d, by("build")...)
	iv := s.one(t.Context(), gate.Workload{}, written("shop/api", d))
	want(t, iv, pipeline.Deny, false, shuin.CodeStageMissing)
	for _, stage := range []string{"unit-test", "scan"} {
		if !strings.Contains(iv.Err.Error(), stage) {
			t.Errorf("the reason does not name %s: %v", stage, iv.Err)
		}
	}
}

func TestNobodyIsAskedAboutWhatNeedsNoAnswer(t *testing.T) {
	policy := ordinary + `  - name: refused
    match: {images: ["registry.example/refused/**"]}
    require: {all: [build]}
    tags: refuse
  - name: vendor
    match: {images: ["registry.example/vendor/**"]}
    allow: {unsigned: true, because: "the vendor signs nothing"}
`
	s := newSite(t, policy, nil)
	some := digest.FromString("some")
	for image, tt := range map[string]struct {
		outcome pipeline.Outcome
		code    shuin.Code
	}{
		"":                                    {pipeline.Deny, shuin.CodeInvalidInput},
		"nginx":                               {pipeline.Deny, shuin.CodeInvalidInput},
		host + "/shop/a@sha256:12":            {pipeline.Deny, shuin.CodeInvalidInput},
		host + "/shop/\x1b[2Ja:v1":            {pipeline.Deny, shuin.CodeInvalidInput},
		host + "/shop/\xff\xfe:v1":            {pipeline.Deny, shuin.CodeInvalidInput},
		"evil.example/x:v1":                   {pipeline.Deny, shuin.CodeNoPolicy},
		"evil.example/x@" + string(some):      {pipeline.Deny, shuin.CodeNoPolicy},
		host + "/shop/api:v1":                 {pipeline.Deny, shuin.CodeTagRefused}, // nobody pins
		host + "/shop/api":                    {pipeline.Deny, shuin.CodeTagRefused},
		host + "/refused/x:v1":                {pipeline.Deny, shuin.CodeTagRefused},
		written("vendor/x", some):             {pipeline.Admit, ""},
		host + "/vendor/x:v1@" + string(some): {pipeline.Admit, ""},
	} {
		iv := s.one(t.Context(), gate.Workload{}, image)
		if iv.Outcome != tt.outcome || shuin.CodeOf(iv.Err) != tt.code {
			t.Errorf("%q: outcome %d, %s: %v", image, iv.Outcome, shuin.CodeOf(iv.Err), iv.Err)
		}
		if tt.outcome == pipeline.Admit && iv.Digest() != some {
			t.Errorf("%q: digest %q", image, iv.Digest())
		}
	}
	if n := s.depot.total(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestATagIsTakenOnlyWhereItIsPinnedOrMarked(t *testing.T) {
	s := newSite(t, stages+`rules:
  - {name: pin, match: {images: ["registry.example/pin/**"]}, require: {all: [build]}}
  - {name: refuse, match: {images: ["registry.example/refuse/**"]}, require: {all: [build]}, tags: refuse}
  - {name: loose, match: {images: ["registry.example/loose/**"]}, require: {all: [build]}, tags: allowUnpinned}
`, nil)
	for _, tt := range []struct {
		repository     string
		pins, admitted bool
		unpinned       bool
	}{
		{"pin/x", true, true, false},
		{"pin/x", false, false, false},
		{"refuse/x", true, false, false},
		{"loose/x", false, true, true},
		{"loose/x", true, true, false},
	} {
		d := s.depot.image(tt.repository, "v1")
		s.depot.seal(t, tt.repository, d, by("build")...)
		iv := s.one(t.Context(), gate.Workload{Pins: tt.pins}, host+"/"+tt.repository+":v1")
		if tt.admitted {
			want(t, iv, pipeline.Admit, true, "")
		} else {
			want(t, iv, pipeline.Deny, false, shuin.CodeTagRefused)
		}
		if iv.Unpinned != tt.unpinned {
			t.Errorf("%s pins %t: unpinned %t", tt.repository, tt.pins, iv.Unpinned)
		}
		want(t, s.one(t.Context(), gate.Workload{}, written(tt.repository, d)), pipeline.Admit, true, "")
	}
}

func TestWhatCouldNotBeCheckedIsNeitherGoodNorBad(t *testing.T) {
	s := newSite(t, ordinary+`  - name: warned
    match: {images: ["registry.example/warned/**"]}
    require: {all: [build]}
    mode: warn
`, nil)
	s.depot.err = errDown
	some := digest.FromString("some")
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", some)), pipeline.Undecided, false, shuin.CodeUnavailable)
	want(t, s.one(t.Context(), gate.Workload{}, written("lenient/x", some)), pipeline.Undecided, true, shuin.CodeUnavailable)
	want(t, s.one(t.Context(), gate.Workload{}, written("warned/x", some)), pipeline.Undecided, true, shuin.CodeUnavailable)
	want(t, s.one(t.Context(), gate.Workload{Pins: true}, host+"/one/x:v1"), pipeline.Undecided, false, shuin.CodeUnavailable)
	// It is not remembered: the next question finds out.
	s.depot.set(func() { s.depot.err = nil })
	d := s.depot.push("one/x", "v1", shuin.Descriptor{MediaType: typeImage, Digest: some, Size: 1})
	s.depot.seal(t, "one/x", d, by("build")...)
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", some)), pipeline.Admit, true, "")
}

// A limit that is hit and an answer that is malformed are bad, or whoever
// fills a registry with junk could choose "could not check".
func TestJunkIsDeniedAlsoWhereUndecidedIsAdmitted(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("lenient/x", "v1")
	junk := make([]shuin.Signature, 10_000)
	for i := range junk {
		junk[i] = shuin.Signature{Manifest: shuin.Descriptor{MediaType: typeImage, Digest: digest.FromString(fmt.Sprint(i)), Size: 1}, EnvelopeMediaType: shuin.MediaTypeJWS, Envelope: []byte("{}")}
	}
	s.depot.signatures[written("lenient/x", d)] = junk
	iv := s.one(t.Context(), gate.Workload{}, written("lenient/x", d))
	want(t, iv, pipeline.Deny, false, shuin.CodeLimit)
	if len(iv.Signatures) > limits.GateReports {
		t.Errorf("%d signatures are told", len(iv.Signatures))
	}
	for _, code := range []shuin.Code{shuin.CodeLimit, shuin.CodeMalformed} {
		s := newSite(t, ordinary, nil)
		d := s.depot.image("lenient/x", "v1")
		s.depot.listing = &shuin.Error{Code: code, Message: "list signatures"}
		want(t, s.one(t.Context(), gate.Workload{}, written("lenient/x", d)), pipeline.Deny, false, code)
		s.depot.err, s.depot.listing = s.depot.listing, nil
		want(t, s.one(t.Context(), gate.Workload{Pins: true}, host+"/lenient/x:v1"), pipeline.Deny, false, code)
	}
}

func TestAnExceptionAdmitsSaysSoAndEnds(t *testing.T) {
	s := newSite(t, ordinary+`exceptions:
  - {images: ["registry.example/shop/hotfix"], reason: "INC-1", owner: sre@example.com, expires: 2026-06-01T13:00:00Z}
`, nil)
	d := s.depot.image("shop/hotfix", "v1")
	for _, image := range []string{written("shop/hotfix", d), host + "/shop/hotfix:v1"} {
		iv := s.one(t.Context(), gate.Workload{Pins: true}, image)
		want(t, iv, pipeline.Admit, true, "")
		if iv.Exception == nil || iv.Exception.Reason != "INC-1" || !iv.StaleUntil.Equal(noon.Add(time.Hour)) || iv.Digest() != d {
			t.Errorf("%+v", iv)
		}
		if !strings.Contains(iv.Line(), "INC-1") {
			t.Errorf("the line does not say so: %s", iv.Line())
		}
	}
	s.clock.Advance(time.Hour)
	iv := s.one(t.Context(), gate.Workload{}, written("shop/hotfix", d))
	want(t, iv, pipeline.Deny, false, shuin.CodeUnsigned)
	if !strings.Contains(iv.Err.Error(), "INC-1") || !strings.Contains(iv.Err.Error(), "expired") || iv.Exception != nil {
		t.Errorf("the denial does not name the exception that is over: %v", iv.Err)
	}
	// Another repository of the rule never had one.
	other := s.depot.image("shop/other", "v1")
	if iv := s.one(t.Context(), gate.Workload{}, written("shop/other", other)); strings.Contains(iv.Err.Error(), "INC-1") {
		t.Errorf("%v", iv.Err)
	}
}

// Exceptions by digest hold for a tag, too, where it is pinned: also in a
// repository that no rule matches.
func TestAnExceptionForADigestHoldsForATagThatIsPinned(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d, other := s.depot.image("outside/x", "v1"), s.depot.image("outside/x", "v2")
	s.gate.Use(rules(t, ordinary+`exceptions:
  - {images: ["registry.example/outside/x@`+string(d)+`"], reason: "INC-3", owner: sre@example.com, expires: 2026-07-01T00:00:00Z}
`))
	pins := gate.Workload{Pins: true}
	iv := s.one(t.Context(), pins, host+"/outside/x:v1")
	want(t, iv, pipeline.Admit, true, "")
	if iv.Pinned != written("outside/x", d) || iv.Exception == nil {
		t.Errorf("%+v", iv)
	}
	want(t, s.one(t.Context(), pins, host+"/outside/x:v2"), pipeline.Deny, false, shuin.CodeNoPolicy)
	want(t, s.one(t.Context(), pins, written("outside/x", other)), pipeline.Deny, false, shuin.CodeNoPolicy)
	asked := s.depot.total()
	want(t, s.one(t.Context(), gate.Workload{}, host+"/outside/x:v1"), pipeline.Deny, false, shuin.CodeNoPolicy)
	want(t, s.one(t.Context(), pins, host+"/outside/y:v1"), pipeline.Deny, false, shuin.CodeNoPolicy)
	s.clock.Set(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))
	want(t, s.one(t.Context(), pins, host+"/outside/x:v1"), pipeline.Deny, false, shuin.CodeNoPolicy)
	if n := s.depot.total(); n != asked {
		t.Errorf("%d requests for nothing", n-asked)
	}
}

func TestASurveyTellsEveryStageAndChangesNoAnswer(t *testing.T) {
	policy := ordinary + `  - name: vendor
    match: {images: ["registry.example/vendor/**"]}
    allow: {unsigned: true, because: "the vendor signs nothing"}
  - name: listed
    match: {images: ["registry.example/listed/**"]}
    allow: {digests: ["` + digest.FromString("listed").String() + `"]}
exceptions:
  - {images: ["registry.example/shop/hotfix"], reason: "INC-1", owner: sre@example.com, expires: 2026-06-01T13:00:00Z}
`
	plain, surveys := newSite(t, policy, nil), newSite(t, policy, func(o *gate.Options) { o.Survey = true })
	for _, name := range []string{"shop/hotfix", "shop/api", "vendor/x", "listed/x", "nobody/x"} {
		for _, down := range []bool{false, true} {
			var got [2]gate.ImageVerdict
			for i, s := range []*site{plain, surveys} {
				d := s.depot.image(name, fmt.Sprint(down))
				s.depot.seal(t, name, d, by("build", "test")...)
				if s.depot.listing = nil; down {
					s.depot.listing = errDown
				}
				got[i] = s.one(t.Context(), gate.Workload{}, written(name, d))
			}
			a, b := got[0], got[1]
			if a.Outcome != b.Outcome || a.Allowed != b.Allowed || shuin.CodeOf(a.Err) != shuin.CodeOf(b.Err) || !a.StaleUntil.Equal(b.StaleUntil) || (a.Exception == nil) != (b.Exception == nil) {
				t.Errorf("%s, down %t: %s\n%s", name, down, a.Line(), b.Line())
			}
			if down {
				continue
			}
			var sealed []string
			for _, st := range b.Stages {
				if st.Outcome == shuin.Passed {
					sealed = append(sealed, st.Stage)
				}
			}
			if strings.Join(sealed, " ") != "build unit-test" || len(b.Stages) != 3 || len(b.Signatures) != 2 {
				t.Errorf("%s: sealed are %v of %d, %d signatures", name, sealed, len(b.Stages), len(b.Signatures))
			}
		}
	}
}

// A denial that is remembered is the same in every place of its rule; the
// exception that would have held in one of them is not.
func TestAnExceptionThatIsOverIsNamedWhereItHeld(t *testing.T) {
	s := newSite(t, ordinary+`exceptions:
  - {images: ["registry.example/shop/x"], clusters: ["dev-*"], reason: "INC-2", owner: sre@example.com, expires: 2026-06-01T11:00:00Z}
`, nil)
	d := s.depot.image("shop/x", "v1")
	for _, cluster := range []string{"dev-1", "prod-1", "dev-2"} {
		iv := s.one(t.Context(), gate.Workload{Where: pipeline.Where{Cluster: cluster}}, written("shop/x", d))
		want(t, iv, pipeline.Deny, false, shuin.CodeUnsigned)
		named := 0
		if strings.HasPrefix(cluster, "dev") {
			named = 1
		}
		if n := strings.Count(iv.Err.Error(), "INC-2"); n != named {
			t.Errorf("%s: named %d times: %v", cluster, n, iv.Err)
		}
	}
	if n := s.depot.count("signatures"); n != 1 {
		t.Errorf("%d surveys", n)
	}
}

func TestWhatRunsIsCheckedAgainstTheIndex(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d, images := s.depot.index("one/x", "v1", "amd64", "arm64")
	s.depot.seal(t, "one/x", d, by("build")...)
	ask := func(image string, running digest.Digest) gate.ImageVerdict {
		return s.gate.Decide(t.Context(), gate.Workload{Pins: true, Images: []gate.Image{{Written: image, Running: running}}}).Images[0]
	}
	stray := digest.FromString("stray")
	want(t, ask(written("one/x", d), d), pipeline.Admit, true, "")
	want(t, ask(written("one/x", d), images[1]), pipeline.Admit, true, "")
	want(t, ask(host+"/one/x:v1", images[0]), pipeline.Admit, true, "")
	want(t, ask(written("one/x", d), stray), pipeline.Deny, false, shuin.CodeNotInIndex)
	if n := s.depot.count("platforms"); n != 1 {
		t.Errorf("the index was read %d times", n)
	}
	if iv := ask(host+"/one/x:v1", stray); shuin.CodeOf(iv.Err) != shuin.CodeNotInIndex || !strings.Contains(iv.Err.Error(), "moved") {
		t.Errorf("%v", iv.Err)
	}
	want(t, ask(written("one/x", d), "sha256:no"), pipeline.Deny, false, shuin.CodeInvalidInput)
	single := s.depot.image("one/y", "v1")
	s.depot.seal(t, "one/y", single, by("build")...)
	want(t, ask(written("one/y", single), stray), pipeline.Deny, false, shuin.CodeNotInIndex)
	// A platform of the index is not, for that, sealed itself.
	want(t, ask(written("one/x", images[0]), images[0]), pipeline.Deny, false, shuin.CodeUnsigned)
	// Nothing is assumed where the index cannot be read.
	d2, images2 := s.depot.index("one/z", "v1", "amd64")
	s.depot.set(func() { s.depot.err = errDown })
	want(t, ask(written("one/z", d2), images2[0]), pipeline.Undecided, false, shuin.CodeUnavailable)
}

func TestPlatformsAreJudgedAsTheRuleSays(t *testing.T) {
	const policy = stages + `rules:
  - {name: index, match: {images: ["registry.example/index/**"]}, require: {all: [build]}}
  - {name: each, match: {images: ["registry.example/each/**"]}, require: {all: [build, scan]}, platforms: each}
  - {name: either, match: {images: ["registry.example/either/**"]}, require: {all: [build]}, platforms: either}
`
	type on = map[string][]string // "index", "amd64", "arm64" -> signers
	for name, tt := range map[string]struct {
		rule    string
		seals   on
		outcome pipeline.Outcome
		says    string
	}{
		"index: sealed":                       {"index", on{"index": {"build"}}, pipeline.Admit, ""},
		"index: only platforms are":           {"index", on{"amd64": {"build"}, "arm64": {"build"}}, pipeline.Deny, ""},
		"each: all are, with every stage":     {"each", on{"amd64": {"build", "scan"}, "arm64": {"build", "scan"}}, pipeline.Admit, ""},
		"each: one lacks a stage":             {"each", on{"amd64": {"build", "scan"}, "arm64": {"build"}}, pipeline.Deny, "linux/arm64"},
		"each: one has none":                  {"each", on{"amd64": {"build", "scan"}}, pipeline.Deny, "linux/arm64"},
		"each: stages on different platforms": {"each", on{"amd64": {"build"}, "arm64": {"scan"}}, pipeline.Deny, "linux/amd64"},
		"each: only the index is":             {"each", on{"index": {"build", "scan"}}, pipeline.Deny, "linux/amd64"},
		"either: the index":                   {"either", on{"index": {"build"}}, pipeline.Admit, ""},
		"either: all platforms":               {"either", on{"amd64": {"build"}, "arm64": {"build"}}, pipeline.Admit, ""},
		"either: one platform":                {"either", on{"arm64": {"build"}}, pipeline.Deny, ""},
		"either: none":                        {"either", on{}, pipeline.Deny, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, policy, nil)
			repository := tt.rule + "/x"
			d, images := s.depot.index(repository, "v1", "amd64", "arm64")
			for where, digest := range map[string]digest.Digest{"index": d, "amd64": images[0], "arm64": images[1]} {
				s.depot.seal(t, repository, digest, by(tt.seals[where]...)...)
			}
			iv := s.one(t.Context(), gate.Workload{}, written(repository, d))
			if iv.Outcome != tt.outcome || iv.Allowed != (tt.outcome == pipeline.Admit) {
				t.Errorf("outcome %d: %v", iv.Outcome, iv.Err)
			}
			for _, stage := range iv.Stages {
				sealed := tt.outcome == pipeline.Admit && (stage.Stage == "build" || stage.Stage == "scan" && tt.rule == "each")
				if stage.Required && sealed != (stage.Outcome == shuin.Passed) && name != "each: one lacks a stage" {
					t.Errorf("stage %s is %s", stage.Stage, stage.Outcome)
				}
				if name == "each: one lacks a stage" && stage.Required && (stage.Outcome == shuin.Passed) != (stage.Stage == "build") {
					t.Errorf("stage %s is %s", stage.Stage, stage.Outcome)
				}
			}
			if tt.says != "" && !strings.Contains(iv.Err.Error(), tt.says) {
				t.Errorf("the reason does not name %s: %v", tt.says, iv.Err)
			}
			if hint := shuin.HintOf(iv.Err); tt.says != "" && (strings.Contains(hint, string(d)) || !strings.Contains(hint, "sha256:")) {
				t.Errorf("the hint is about the index: %s", hint)
			}
		})
	}
	t.Run("an index without images is not sealed by that", func(t *testing.T) {
		s := newSite(t, policy, nil)
		d, _ := s.depot.index("each/x", "v1")
		want(t, s.one(t.Context(), gate.Workload{}, written("each/x", d)), pipeline.Deny, false, shuin.CodeMalformed)
	})
	t.Run("an image of one platform is judged itself", func(t *testing.T) {
		s := newSite(t, policy, nil)
		d := s.depot.image("each/x", "v1")
		s.depot.seal(t, "each/x", d, by("build", "scan")...)
		want(t, s.one(t.Context(), gate.Workload{}, written("each/x", d)), pipeline.Admit, true, "")
	})
}

func TestTheWorstImageIsTheWorkloadsAnswer(t *testing.T) {
	s := newSite(t, ordinary+`  - name: warned
    match: {images: ["registry.example/warned/**"]}
    require: {all: [build]}
    mode: warn
`, nil)
	good, bad, warned := s.depot.image("one/good", "v1"), s.depot.image("one/bad", "v1"), s.depot.image("warned/x", "v1")
	s.depot.seal(t, "one/good", good, by("build")...)
	gone := digest.FromString("gone")
	ask := func(images ...string) *gate.Verdict {
		var w gate.Workload
		for _, i := range images {
			w.Images = append(w.Images, gate.Image{Written: i})
		}
		return s.gate.Decide(t.Context(), w)
	}
	g, b, wd, u := written("one/good", good), written("one/bad", bad), written("warned/x", warned), written("one/gone", gone)
	for _, tt := range []struct {
		images  []string
		outcome pipeline.Outcome
		allowed bool
	}{
		{[]string{g, g}, pipeline.Admit, true},
		{[]string{g, b}, pipeline.Deny, false},
		{[]string{b, g}, pipeline.Deny, false},
		{[]string{g, u}, pipeline.Undecided, false},
		{[]string{u, b}, pipeline.Deny, false},
		{[]string{g, wd}, pipeline.Deny, true},
		{[]string{wd, u}, pipeline.Undecided, false}, // of those that are not allowed
	} {
		v := ask(tt.images...)
		if v.Outcome != tt.outcome || v.Allowed != tt.allowed {
			t.Errorf("%v: outcome %d, allowed %t", tt.images, v.Outcome, v.Allowed)
		}
	}
	if v := ask(); v.Outcome != pipeline.Deny || v.Allowed || len(v.Images) != 1 {
		t.Errorf("no image: %+v", v)
	}
	many := make([]string, limits.GateImages+1)
	for i := range many {
		many[i] = g
	}
	if v := ask(many...); v.Outcome != pipeline.Deny || v.Allowed || shuin.CodeOf(v.Images[0].Err) != shuin.CodeLimit {
		t.Errorf("too many images: %d, %t", v.Outcome, v.Allowed)
	}
}

func TestEveryVerdictIsRecordedBeforeItIsGiven(t *testing.T) {
	var recorded []*gate.Verdict
	var fault error
	s := newSite(t, ordinary, func(o *gate.Options) {
		o.Record = func(ctx context.Context, _ gate.Workload, v *gate.Verdict) error {
			if ctx.Err() != nil {
				t.Error("the record goes with the caller")
			}
			recorded = append(recorded, v)
			return fault
		}
	})
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	bad := s.depot.image("one/bad", "v1")
	ctx, cancel := context.WithCancel(t.Context())
	want(t, s.one(ctx, gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
	cancel()
	want(t, s.one(ctx, gate.Workload{}, written("one/x", d)), pipeline.Admit, true, "")
	if len(recorded) != 2 || recorded[0].Images[0].Outcome != pipeline.Admit {
		t.Fatalf("%d records", len(recorded))
	}
	fault = errors.New("disk full")
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Undecided, false, shuin.CodeUnavailable)
	want(t, s.one(t.Context(), gate.Workload{}, written("one/bad", bad)), pipeline.Deny, false, shuin.CodeUnsigned)
}

func TestRulesNeedEveryTrustStoreThePolicyNames(t *testing.T) {
	p := parse(t, ordinary)
	_, err := gate.NewRules(t.Context(), p, roots{})
	if err == nil || !strings.Contains(err.Error(), "ca:ci") {
		t.Errorf("%v", err)
	}
	a := rules(t, ordinary)
	other, err := gate.NewRules(t.Context(), p, roots{"ca:ci": signers["stranger"]})
	if err != nil || a.TrustHash() == other.TrustHash() {
		t.Errorf("another root has the same hash: %v", err)
	}
}

func TestACommandsGateForgetsEverything(t *testing.T) {
	s := newSite(t, ordinary, func(o *gate.Options) { o.Remember = false })
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, by("build")...)
	w := gate.Workload{Pins: true, Images: []gate.Image{
		{Name: "a", Written: written("one/x", d)}, {Name: "b", Written: host + "/one/x:v1"}, {Name: "c", Written: host + "/one/x:v1@" + string(d)},
	}}
	for n := 1; n <= 2; n++ {
		if v := s.gate.Decide(t.Context(), w); !v.Allowed {
			t.Fatal(v.Images[0].Line())
		}
		if got := s.depot.count("signatures"); got != n {
			t.Errorf("after %d decisions: %d surveys, want one each", n, got)
		}
	}
}

func TestAnExpiredSealIsToldAsThat(t *testing.T) {
	s := newSite(t, ordinary, nil)
	d := s.depot.image("one/x", "v1")
	s.depot.seal(t, "one/x", d, seal{by: "build", change: func(o *shuintest.EnvelopeOptions) { o.Expiry = noon }})
	want(t, s.one(t.Context(), gate.Workload{}, written("one/x", d)), pipeline.Deny, false, shuin.CodeExpired)
}

// Who deploys an image before pushing it must not get it in as one that could
// not be checked.
func TestWhatIsNotThereIsNotAdmittedAsWhatCouldNotBeChecked(t *testing.T) {
	waits := 0
	s := newSite(t, ordinary+`  - {name: both, match: {images: ["registry.example/both/**"]}, require: {all: [build]}, tags: allowUnpinned, undecided: {answer: admit, retryFor: 30s}}
  - {name: listed, match: {images: ["registry.example/listed/**"]}, allow: {digests: ["`+string(digest.FromString("listed"))+`"]}, undecided: {answer: admit}}
  - {name: warns, match: {images: ["registry.example/warns/**"]}, require: {all: [build]}, mode: warn}
`, func(o *gate.Options) {
		o.Wait = func(context.Context, time.Duration) error { waits++; return context.Canceled }
	})
	missing := digest.FromString("pushed in a second")
	for image, allowed := range map[string]bool{
		written("lenient/app", missing): false,
		host + "/lenient/app:not-yet":   false,
		written("both/app", missing):    false,
		host + "/both/app:not-yet":      false,
		host + "/listed/app:not-yet":    false,
		written("one/app", missing):     false,
		written("warns/app", missing):   true,
		host + "/warns/app:not-yet":     true,
	} {
		iv := s.one(t.Context(), gate.Workload{Pins: true}, image)
		want(t, iv, pipeline.Undecided, allowed, shuin.CodeNotFound)
	}
	if waits != 0 {
		t.Errorf("%d pauses for what is not there", waits)
	}
	d := s.depot.image("lenient/app", "v1")
	s.depot.set(func() { s.depot.err = errDown })
	want(t, s.one(t.Context(), gate.Workload{}, written("lenient/app", d)), pipeline.Undecided, true, shuin.CodeUnavailable)
	// The last good answer serves also while the image is not there.
	s.depot.set(func() { s.depot.err = nil })
	s.depot.seal(t, "lenient/app", d, by("build")...)
	want(t, s.one(t.Context(), gate.Workload{}, written("lenient/app", d)), pipeline.Admit, true, "")
	s.clock.Advance(limits.GateAdmitLife)
	s.depot.set(func() { s.depot.err = &shuin.Error{Code: shuin.CodeNotFound, Message: "resolve"} })
	want(t, s.one(t.Context(), gate.Workload{}, written("lenient/app", d)), pipeline.Undecided, true, shuin.CodeNotFound)
}

// A rule is chosen by name: a second spelling of a registry would choose
// another one.
func TestAnotherSpellingOfARegistryIsRefusedWithTheRightOne(t *testing.T) {
	s := newSite(t, stages+`rules:
  - {name: shop, match: {images: ["registry.example/shop/**", "registry.example:5000/shop/**", "docker.io/library/*"]}, require: {all: [build, unit-test, scan]}}
  - {name: rest, match: {images: ["**"]}, require: {all: [build]}, mode: warn}
`, nil)
	d := string(digest.FromString("evil"))
	for image, right := range map[string]string{
		"Registry.Example/shop/app":          "registry.example/shop/app",
		"registry.example:443/shop/app":      "registry.example/shop/app",
		"registry.example:05000/shop/app":    "registry.example:5000/shop/app",
		"docker.io/nginx":                    "docker.io/library/nginx",
		"index.docker.io/library/nginx":      "docker.io/library/nginx",
		"registry-1.docker.io/library/nginx": "docker.io/library/nginx",
	} {
		for range 2 { // the second time it was read before
			iv := s.one(t.Context(), gate.Workload{}, image+"@"+d)
			want(t, iv, pipeline.Deny, false, shuin.CodeInvalidInput)
			if hint := shuin.HintOf(iv.Err); !strings.Contains(hint, right+"@"+d) {
				t.Errorf("%s: hint %q", image, hint)
			}
		}
		if iv := s.one(t.Context(), gate.Workload{}, right+"@"+d); iv.Rule != "shop" || iv.Allowed {
			t.Errorf("%s: %s", right, iv.Line())
		}
	}
}

func TestARuleThatOnlyWarnsWarnsOfAMalformedDigestThatRuns(t *testing.T) {
	s := newSite(t, ordinary+`  - {name: warns, match: {images: ["registry.example/warns/**"]}, require: {all: [build]}, mode: warn}
`, nil)
	for repository, allowed := range map[string]bool{"warns/x": true, "one/x": false} {
		v := s.gate.Decide(t.Context(), gate.Workload{Images: []gate.Image{{Written: written(repository, digest.FromString("x")), Running: "nonsense"}}})
		want(t, v.Images[0], pipeline.Deny, allowed, shuin.CodeInvalidInput)
		if v.Allowed != allowed || v.Images[0].Rule == "" {
			t.Errorf("%s: allowed %t, rule %q", repository, v.Allowed, v.Images[0].Rule)
		}
	}
}

// A denial costs the same however many exceptions there were for the
// repository.
func TestOldExceptionsDoNotMakeADenialSlow(t *testing.T) {
	cost := func(n int) float64 {
		var b strings.Builder
		b.WriteString(stages + "rules: [{name: r, match: {images: [\"registry.example/shop/**\"]}, require: {all: [build]}}]\nexceptions:\n")
		for i := range n {
			fmt.Fprintf(&b, "  - {images: [\"registry.example/old/a@%s\"], reason: baseline, owner: x, expires: \"2026-01-01T00:00:00Z\"}\n", digest.FromString(fmt.Sprint(i)))
		}
		s := newSite(t, b.String(), nil)
		w := gate.Workload{Pins: true, Images: []gate.Image{{Written: host + "/old/a:v1"}}}
		return testing.AllocsPerRun(5, func() {
			if v := s.gate.Decide(t.Context(), w); v.Allowed || s.depot.total() != 0 {
				t.Errorf("%s", v.Images[0].Line())
			}
		})
	}
	if few, many := cost(10), cost(2000); many > few+5 {
		t.Errorf("%v allocations with 10 exceptions, %v with 2000", few, many)
	}
}
