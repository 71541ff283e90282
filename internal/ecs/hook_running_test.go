package ecs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// movedTags is a registry in which every tag names digestB now.
type movedTags struct{ gate.Source }

func (movedTags) Open(string, shuin.Reference) (gate.Source, error) { return movedTags{}, nil }

func (movedTags) Resolve(_ context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	d := ref.Digest
	if d == "" {
		d = digestB
	}
	return shuin.NewArtifact(ref, shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d, Size: 10})
}

func (movedTags) Platforms(context.Context, shuin.Artifact) ([]shuin.Platform, error) {
	return nil, nil
}

// realGate is a gate over that registry, under a policy that allows these
// digests of shop, by tag too.
func realGate(t *testing.T, mode string, good []digest.Digest) *gate.Gate {
	t.Helper()
	allowed := make([]string, len(good))
	for i, g := range good {
		allowed[i] = `"` + g.String() + `"`
	}
	p, err := pipeline.ParseEither(fmt.Appendf(nil, `apiVersion: shuin.dev/v1
kind: PipelinePolicy
rules:
  - name: shop
    match: {images: ["210987654321.dkr.ecr.eu-west-1.amazonaws.com/shop/**", "quay.io/shop/**"]}
    allow: {digests: [%s]}
    tags: allowUnpinned
    mode: %s
`, strings.Join(allowed, ", "), mode))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := gate.NewRules(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return gate.New(gate.Options{Sources: movedTags{}, Verifier: verify.Verifier{}, Now: time.Now, Engine: "x"}, rules)
}

func TestAfterTheStartWhatRunsIsJudged(t *testing.T) {
	const elsewhere = "quay.io/shop/web:1"
	app := func(d digest.Digest) ContainerImage { return ContainerImage{"app", webImage, d} }
	byDigest := func(d digest.Digest) ContainerImage { return ContainerImage{"app", webImage + "@" + d.String(), d} }
	a, b := []digest.Digest{digestA}, []digest.Digest{digestB}
	for _, c := range []struct {
		name            string
		stage           string
		image, mode     string
		record, running []ContainerImage
		good            []digest.Digest
		want            HookStatus
		note            string
	}{
		{"what is on record is sealed, and another one runs", "POST_SCALE_UP", "", "", []ContainerImage{app(digestB)}, []ContainerImage{app(digestA)}, b, HookFailed, ""},
		{"and beside it", "POST_SCALE_UP", "", "", []ContainerImage{app(digestB)}, []ContainerImage{app(digestB), app(digestA)}, b, HookFailed, ""},
		{"the tag was moved, both are allowed, and both run", "POST_SCALE_UP", "", "", nil, []ContainerImage{app(digestA), app(digestB)}, append(a, digestB), HookSucceeded, ""},
		{"the tag was moved, and what runs is allowed", "POST_SCALE_UP", "", "", nil, []ContainerImage{app(digestA)}, append(a, digestB), HookSucceeded, ""},
		{"the tag was moved to what is allowed, and what runs is not", "POST_SCALE_UP", "", "", nil, []ContainerImage{app(digestA)}, b, HookFailed, ""},
		{"no task tells a digest", "POST_SCALE_UP", "", "", nil, []ContainerImage{app("")}, b, HookInProgress, ""},
		{"no task runs", "POST_SCALE_UP", "", "", nil, nil, b, HookInProgress, ""},
		{"no task runs, and it is not allowed in any case", "POST_SCALE_UP", "", "", nil, nil, a, HookFailed, ""},
		{"no task runs, and it is on record", "POST_SCALE_UP", "", "", []ContainerImage{app(digestB)}, nil, b, HookSucceeded, ""},
		{"it is on record by digest, and another one runs", "POST_SCALE_UP", "", "", []ContainerImage{byDigest(digestB)}, []ContainerImage{app(digestA)}, b, HookFailed, ""},
		{"it is on record by digest, another one runs, and both are allowed", "POST_SCALE_UP", "", "", []ContainerImage{byDigest(digestB)}, []ContainerImage{app(digestA)}, append(a, digestB), HookSucceeded, ""},
		{"it is on record by digest, which runs", "POST_SCALE_UP", "", "", []ContainerImage{byDigest(digestB)}, []ContainerImage{app(digestB)}, b, HookSucceeded, ""},
		{"it is on record by digest, and no task runs", "POST_SCALE_UP", "", "", []ContainerImage{byDigest(digestB)}, nil, b, HookSucceeded, ""},
		{"it is on record by digest, before the start", "PRE_SCALE_UP", "", "", []ContainerImage{byDigest(digestB)}, []ContainerImage{app(digestA)}, b, HookSucceeded, ""},
		{"it is written by digest, and another one runs", "POST_SCALE_UP", webImage + "@" + digestB.String(), "", nil, []ContainerImage{app(digestA)}, append(a, digestB), HookSucceeded, ""},
		{"no task runs, and it is written by digest", "POST_SCALE_UP", webImage + "@" + digestB.String(), "", nil, nil, b, HookSucceeded, ""},
		{"no task runs, and the rule only warns", "POST_SCALE_UP", "", "warn", nil, nil, b, HookSucceeded, "not known which digest runs of app (" + webImage + ")"},
		{"a later stage", "TEST_TRAFFIC_SHIFT", "", "", nil, nil, b, HookInProgress, ""},
		{"no stage is named: tasks may not run yet", "", "", "", nil, nil, b, HookSucceeded, "not known which digest runs of app"},
		{"no stage is named, and something else runs", "", "", "", nil, []ContainerImage{app(digestA)}, b, HookFailed, ""},
		{"before the start", "PRE_SCALE_UP", "", "", nil, nil, b, HookSucceeded, ""},
		{"of another registry ECS tells no digest", "POST_SCALE_UP", elsewhere, "", nil, []ContainerImage{{"app", elsewhere, ""}}, b, HookSucceeded, "not known which digest runs of app (" + elsewhere + ")"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := someReader()
			r.definition.Images = []ContainerImage{app("")}
			if c.image != "" {
				r.definition.Images[0].Image = c.image
			}
			r.revision.Images = c.record
			if c.mode == "" {
				c.mode = "enforce"
			}
			tasks := &runner{reader: r, running: c.running}
			answer, record := answerOf(t, &Hook{Gate: realGate(t, c.mode, c.good), Reader: tasks}, hookAt(c.stage))
			if answer.Status != c.want || (c.note == "") != (record.Note == "") || !strings.Contains(record.Note, c.note) {
				t.Errorf("%s, not %s (note %q): %s", answer.Status, c.want, record.Note, record.Reason())
			}
			if c.want == HookInProgress && (record.Code() != shuin.CodeUnavailable || !strings.Contains(record.Reason(), "app ("+webImage+")")) {
				t.Errorf("%s", record.Reason())
			}
			if tasks.of != (Started{}) && tasks.of != (Started{definitionARN, "ecs-svc/4100000000000000002"}) {
				t.Errorf("asked for %+v", tasks.of)
			}
		})
	}
}

func TestOnlyWhatARuleEnforcesAndAllowsHasToTellItsDigest(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(name string, iv *gate.ImageVerdict)
		want HookStatus
		code shuin.Code
		note string
	}{
		{"both are allowed by a rule", func(string, *gate.ImageVerdict) {}, HookInProgress, shuin.CodeUnavailable, "proxy"},
		{"no rule matches the one of Amazon ECR", func(_ string, iv *gate.ImageVerdict) { iv.Rule = "" }, HookSucceeded, "", "app"},
		{"the other is denied: that is known, and needs no asking again", func(name string, iv *gate.ImageVerdict) {
			if name == "proxy" {
				iv.Outcome, iv.Allowed, iv.Err = pipeline.Deny, false, &shuin.Error{Code: shuin.CodeUnsigned, Message: "unsigned"}
			}
		}, HookFailed, shuin.CodeUnsigned, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &decider{answer: func(ctx context.Context, w gate.Workload) *gate.Verdict {
				v := admits(ctx, w)
				for i := range v.Images {
					c.say(v.Images[i].Image.Name, &v.Images[i])
					if v.Images[i].Outcome == pipeline.Deny {
						v.Outcome, v.Allowed = pipeline.Deny, false
					}
				}
				return v
			}}
			answer, record := answerOf(t, &Hook{Gate: g, Reader: &runner{reader: someReader()}}, hookAt("POST_SCALE_UP"))
			if answer.Status != c.want || record.Code() != c.code || (record.Note == "") != (c.note == "") || !strings.Contains(record.Note, c.note) {
				t.Errorf("%s %q, note %q", answer.Status, record.Code(), record.Note)
			}
		})
	}
}

func TestTasksAreNotReadWhereEveryImageIsWrittenByDigest(t *testing.T) {
	r := someReader()
	for i := range r.definition.Images {
		r.definition.Images[i].Image += "@" + digestA.String()
	}
	if answer, record := answerOf(t, &Hook{Gate: &decider{answer: admits}, Reader: &runner{reader: r}}, hookAt("POST_SCALE_UP")); answer.Status != HookSucceeded || len(r.asked) != 2 {
		t.Errorf("%+v, asked ECS for %q: %s", answer, r.asked, record.Reason())
	}
}

func TestATagThatECSResolvesForEachTaskIsNoted(t *testing.T) {
	for stage, running := range map[string][]ContainerImage{"PRE_SCALE_UP": nil, "POST_SCALE_UP": {{"app", webImage, digestA}}} {
		r := someReader()
		r.definition.Unresolved = []string{"app", "log"}
		answer, record := answerOf(t, &Hook{Gate: &decider{answer: admits}, Reader: &runner{reader: r, running: running}}, hookAt(stage))
		if answer.Status != HookSucceeded || !strings.Contains(record.Note, "versionConsistency is disabled") || !strings.Contains(record.Note, "of app ("+webImage+")") {
			t.Errorf("%s: %+v, %q", stage, answer, record.Note)
		}
		r.definition.Images[0].Image = webImage + "@" + digestA.String()
		if _, record := answerOf(t, &Hook{Gate: &decider{answer: admits}, Reader: &runner{reader: r}}, hookAt(stage)); strings.Contains(record.Note, "versionConsistency") {
			t.Errorf("%s, by digest: %q", stage, record.Note)
		}
	}
}

func TestATagThatECSResolvesForEachTaskIsNotedThoughADigestIsOnRecord(t *testing.T) {
	r := someReader()
	r.definition.Unresolved = []string{"app"}
	r.revision.Images = []ContainerImage{{"app", webImage + "@" + digestA.String(), digestA}}
	for _, stage := range []string{"PRE_SCALE_UP", "POST_SCALE_UP"} {
		answer, record := answerOf(t, &Hook{Gate: &decider{answer: admits}, Reader: &runner{reader: r}}, hookAt(stage))
		if answer.Status != HookSucceeded || !strings.Contains(record.Note, "versionConsistency is disabled") || !strings.Contains(record.Note, "of app ("+webImage+")") {
			t.Errorf("%s: %+v, %q", stage, answer, record.Note)
		}
	}
}

func TestContainersOfRunningTasksAreBounded(t *testing.T) {
	for n, want := range map[int]HookStatus{limits.EventContainers: HookSucceeded, limits.EventContainers + 1: HookFailed} {
		tasks := &runner{reader: someReader()}
		for i := range n {
			tasks.running = append(tasks.running, ContainerImage{"app", webImage, digest.FromString(fmt.Sprint(i))})
		}
		if answer, record := answerOf(t, &Hook{Gate: &decider{answer: admits}, Reader: tasks}, hookAt("POST_SCALE_UP")); answer.Status != want {
			t.Errorf("%d: %+v: %s", n, answer, record.Reason())
		}
	}
}
