package watch_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
	"github.com/shuin/shuin/watch"
)

// tags is a registry in which every tag names the same image.
type tags struct{ gate.Source }

func (tags) Open(string, shuin.Reference) (gate.Source, error) { return tags{}, nil }

func (tags) Resolve(_ context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	if ref.Digest == "" {
		ref.Digest = sha("good")
	}
	return shuin.NewArtifact(ref, shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: ref.Digest, Size: 10})
}

func (tags) Platforms(context.Context, shuin.Artifact) ([]shuin.Platform, error) { return nil, nil }

// realScene has a gate that decides by a policy's rules. GOOD in it is a digest.
func realScene(t *testing.T, rules string) (*scene, *executioner) {
	t.Helper()
	p, err := pipeline.Parse([]byte("apiVersion: shuin.dev/v1\nkind: PipelinePolicy\n" + strings.ReplaceAll(rules, "GOOD", sha("good").String())))
	if err != nil {
		t.Fatal(err)
	}
	r, err := gate.NewRules(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, e := newScene(t), &executioner{}
	s.Gate = gate.New(gate.Options{Sources: tags{}, Verifier: verify.Verifier{}, Now: s.Now, Engine: "test"}, r)
	s.Reactor, s.Reactions = e, everything
	return s, e
}

// Rules by cluster, the last of which denies the rest, as docs/lambda.md says.
const prodOnly = `rules:
  - {name: prod, match: {images: ["reg.example/shop"], clusters: [prod]}, allow: {digests: ["GOOD"]}}
  - {name: nothing-else, match: {images: ["reg.example/**"]}, allow: {digests: ["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}}
`

// ofNoPlace are the ways in which a task definition is seen though nobody runs it.
func ofNoPlace(image digest.Digest) map[string]watch.Observation {
	registered := definition(7, "reg.example/shop@"+image.String())
	registered.Where = pipeline.Where{}
	swept := registered
	swept.Phase, swept.Version = watch.Swept, begin.UnixMilli()
	return map[string]watch.Observation{"registered": registered, "swept, the newest of its family": swept}
}

func TestATaskDefinitionThatOneClusterAdmitsIsNoFindingAndStays(t *testing.T) {
	for name, policy := range map[string]string{
		"the last rule denies": prodOnly,
		"no rule for the rest": strings.Split(prodOnly, "  - {name: nothing-else")[0] + "default: deny\n",
		"an exception for one": "rules:\n  - {name: none, match: {images: [\"reg.example/**\"]}, allow: {digests: [\"" + sha("x").String() + "\"]}}\n" +
			"exceptions:\n  - {images: [\"reg.example/shop\"], clusters: [\"prod-*\"], reason: x, owner: y, expires: 2030-01-01T00:00:00Z}\n",
	} {
		for seen, o := range ofNoPlace(sha("good")) {
			t.Run(name+", "+seen, func(t *testing.T) {
				s, e := realScene(t, policy)
				r := s.observe(o, watch.Decided)
				if s.told(""); len(e.did) != 0 || r.Reaction.Allowed || len(r.Findings) != 0 {
					t.Errorf("%q, %+v, %d findings", e.did, r.Reaction, len(r.Findings))
				}
			})
		}
	}
}

func TestATaskDefinitionIsDeregisteredWhereEveryClusterDeniesIt(t *testing.T) {
	for seen, o := range ofNoPlace(sha("bad")) {
		t.Run(seen, func(t *testing.T) {
			s, e := realScene(t, prodOnly)
			s.observe(o, watch.Decided)
			if s.told("high app deny digest-not-allowed"); len(e.did) != 1 {
				t.Errorf("%q", e.did)
			}
			// Nobody wrote a rule for the others: it is told, and left alone.
			s, e = realScene(t, strings.Split(prodOnly, "  - {name: nothing-else")[0])
			r := s.observe(o, watch.Decided)
			if s.told("high app deny digest-not-allowed"); len(e.did) != 0 || !strings.Contains(r.Reaction.Why, "in which cluster it will run is not known") || !strings.Contains(r.Reaction.Why, "no rule matches") {
				t.Errorf("%q, %+v", e.did, r.Reaction)
			}
			// One cluster only warns.
			s, e = realScene(t, strings.Replace(prodOnly, "digests: [\"GOOD\"]}", "digests: [\"GOOD\"]}, mode: warn", 1))
			s.observe(o, watch.Decided)
			if s.told("medium app deny digest-not-allowed"); len(e.did) != 0 {
				t.Errorf("%q", e.did)
			}
		})
	}
}

func TestWhoRunsATaskDefinitionInAClusterOfHisOwnHasNoneDeregistered(t *testing.T) {
	s, e := realScene(t, prodOnly)
	o := definition(7, "reg.example/shop@"+sha("good").String())
	o.Phase, o.Subject.Cluster, o.Where = watch.Requested, "mine", pipeline.Where{Cluster: "mine"}
	r := s.observe(o, watch.Decided)
	if s.told("high app deny digest-not-allowed"); len(e.did) != 0 || !strings.Contains(r.Reaction.Why, "it may run in other clusters than mine: all images are admitted") {
		t.Errorf("%q, %+v", e.did, r.Reaction)
	}
	o.Images[0].Written = "reg.example/shop@" + sha("bad").String()
	o.Event = "again"
	s.after(time.Second)
	if s.observe(o, watch.Decided); len(e.did) != 1 {
		t.Errorf("what no cluster admits: %q", e.did)
	}
}

func TestAPushedImageThatOneClusterAdmitsIsNoFinding(t *testing.T) {
	s, _ := realScene(t, prodOnly)
	for image, want := range map[string]string{"good": "", "bad": "low app deny digest-not-allowed"} {
		o := definition(1, "reg.example/shop@"+sha(image).String())
		o.Subject.Kind, o.Subject.Group, o.Phase, o.Where, o.Event = watch.Image, "repository:shop", watch.Pushed, pipeline.Where{}, image
		s.observe(o, watch.Decided)
		s.told(want)
	}
}
