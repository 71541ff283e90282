package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
	"github.com/shuin/shuin/watch"
)

var goodDigest, badDigest = digest.FromString("good"), digest.FromString("bad")

// goodTags is a registry in which every tag names goodDigest.
type goodTags struct{ gate.Source }

func (goodTags) Open(string, shuin.Reference) (gate.Source, error) { return goodTags{}, nil }

func (goodTags) Resolve(_ context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	d := ref.Digest
	if d == "" {
		d = goodDigest
	}
	return shuin.NewArtifact(ref, shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d, Size: 10})
}

func (goodTags) Platforms(context.Context, shuin.Artifact) ([]shuin.Platform, error) { return nil, nil }

// gateOver is a gate over that registry that allows goodDigest of web and proxy.
func gateOver(t *testing.T, tags string) *gate.Gate {
	t.Helper()
	p, err := pipeline.ParseEither(fmt.Appendf(nil, `apiVersion: shuin.dev/v1
kind: PipelinePolicy
rules:
  - name: shop
    match: {images: ["shop.example/**"]}
    allow: {digests: [%q]}
    tags: %s
`, goodDigest, tags))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := gate.NewRules(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return gate.New(gate.Options{Sources: goodTags{}, Verifier: verify.Verifier{}, Now: time.Now, Engine: "x"}, rules)
}

func TestWhatATagNamesNowIsNotTakenForWhatRuns(t *testing.T) {
	web, proxy := gate.Image{Name: "web", Written: "shop.example/web:v1"}, gate.Image{Name: "proxy", Written: "shop.example/proxy:v1"}
	runs := func(i gate.Image, d digest.Digest) gate.Image { i.Running = d; return i }
	for name, c := range map[string]struct {
		tags   string
		phase  watch.Phase
		images []gate.Image
		want   shuin.Code // of the last image; empty: it is admitted
		marked bool

		unstarted bool
	}{
		"nobody tells what runs":                                {"pin", watch.Running, []gate.Image{web}, shuin.CodeTagRefused, false, false},
		"a sweep finds nobody who tells it":                     {"pin", watch.Swept, []gate.Image{web}, shuin.CodeTagRefused, false, false},
		"it is told of one container and not of the other":      {"pin", watch.Running, []gate.Image{runs(web, goodDigest), proxy}, shuin.CodeTagRefused, false, false},
		"the rule lets a tag alone in, and the verdict says so": {"allowUnpinned", watch.Running, []gate.Image{web}, "", true, false},
		"a sweep finds it while it starts":                      {"pin", watch.Swept, []gate.Image{web}, "", false, true},
		"it starts, and what it runs is judged then":            {"pin", watch.Starting, []gate.Image{web}, "", false, false},
		"what runs is told":                                     {"pin", watch.Running, []gate.Image{runs(web, goodDigest)}, "", false, false},
		"what runs is told, and is another":                     {"pin", watch.Running, []gate.Image{runs(web, badDigest)}, shuin.CodeNotInIndex, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			ear, e := &hears{}, &stops{}
			w := &watch.Watcher{Gate: gateOver(t, c.tags), Store: &watch.MemoryStore{}, Routes: []watch.Route{{Notifier: ear}}, Now: time.Now, Reactor: e,
				Reactions: watch.Reactions{DangerouslyStopTasks: true}}
			o := sweptTask("t")
			o.Phase, o.Images, o.Unstarted = c.phase, c.images, c.unstarted
			r, err := w.Observe(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			n := len(c.images) - 1
			for i := range r.Verdict.Images[:n] {
				if r.Verdict.Images[i].Outcome != pipeline.Admit {
					t.Errorf("the one that tells what runs: %v", r.Verdict.Images[i].Err)
				}
			}
			iv := r.Verdict.Images[n]
			if shuin.CodeOf(iv.Err) != c.want || (iv.Outcome == pipeline.Admit) != (c.want == "") || iv.Unpinned != c.marked || r.Verdict.Allowed != (c.want == "") {
				t.Errorf("%v %q, unpinned %v: %v", iv.Outcome, shuin.CodeOf(iv.Err), iv.Unpinned, iv.Err)
			}
			if wanted := c.want != ""; (len(ear.told) == 1) != wanted || len(e.arns) != 0 {
				t.Errorf("told %+v, stopped %q: what nobody knows is no reason to stop anything", ear.told, e.arns)
			}
		})
	}
}
