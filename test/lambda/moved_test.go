package main

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A tag is moved while a deployment goes on: what the hook let through before the
// start is not what runs before traffic, whatever ECS has on record, and whatever
// the tag names by then.
func TestATagThatIsMovedBetweenTheStagesOfADeploymentIsSeen(t *testing.T) {
	const before, after = "PRE_SCALE_UP", "POST_SCALE_UP"
	w := newIAMWorld(t)
	tag := w.host + "/shop/web:v1"
	recorded := func(d digest.Digest, byDigest bool) []container {
		if byDigest {
			return []container{{"app", tag + "@" + d.String(), d}}
		}
		return []container{{"app", tag, d}}
	}
	f := newLambda(t, shipped, 30*time.Second, w.env(w.cloud.env("SHUIN_CONFIG", "policy: {s3: \""+policyS3+"\"}\nhook: {retries: 1, retryAfter: 1s}\n")...))
	for _, c := range []struct {
		name   string
		stage  string
		tag    string // what it names now: the label of good or bad
		record []container
		runs   []digest.Digest // what tasks of the service run
		want   string
	}{
		{"before the start the tag names what is sealed", before, "good", nil, nil, "SUCCEEDED"},
		{"what was pulled is another, and the tag names that", after, "bad", nil, []digest.Digest{w.bad.Digest}, "FAILED"},
		{"what was pulled is another, and the tag was moved back", after, "good", nil, []digest.Digest{w.bad.Digest}, "FAILED"},
		{"what is sealed is on record, and another runs", after, "good", recorded(w.good.Digest, false), []digest.Digest{w.bad.Digest}, "FAILED"},
		{"what is sealed is on record by digest, and another runs", after, "good", recorded(w.good.Digest, true), []digest.Digest{w.bad.Digest}, "FAILED"},
		{"one task of two runs another", after, "good", recorded(w.good.Digest, true), []digest.Digest{w.good.Digest, w.bad.Digest}, "FAILED"},
		{"the tag was moved since, and what runs is sealed", after, "bad", nil, []digest.Digest{w.good.Digest}, "SUCCEEDED"},
		{"what is on record by digest runs", after, "good", recorded(w.good.Digest, true), []digest.Digest{w.good.Digest}, "SUCCEEDED"},
		{"nobody tells what runs", after, "good", nil, nil, "IN_PROGRESS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.push("shop/web", c.tag, "v1")
			s := &w.cloud.ecs
			s.definitions["shop:7"], s.revision, s.tasks = []container{{"app", tag, ""}}, c.record, nil
			for i, d := range c.runs {
				s.tasks = append(s.tasks, ecsTask{string(rune('a' + i)), "service:" + service, "shop:7", []container{{"app", tag, d}}})
			}
			if a := f.hook(hookEvent(c.stage, nil)); a.Status != c.want {
				t.Errorf("answered %+v, want %s\n%s", a, c.want, f.logs)
			}
		})
	}
}
