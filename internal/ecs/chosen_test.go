package ecs

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// odd are groups that whoever starts a task may choose.
var odd = []string{"a\x07b", "a\u202eb", "service:shop\u200b", "a\ufffdb", strings.Repeat("x", limits.WatchTextBytes+1), strings.Repeat("x", 6*limits.EventStringBytes)}

func TestATaskIsJudgedAndToldWhateverItsGroupAndWhoSaysToHaveStartedIt(t *testing.T) {
	seen := map[string]bool{}
	judge := func(o watch.Observation) {
		t.Helper()
		if len(o.Images) == 0 {
			o.Images = []gate.Image{{Name: "app", Written: webImage}}
		}
		var asked int
		g := &decider{answer: func(ctx context.Context, w gate.Workload) *gate.Verdict { asked++; return admits(ctx, w) }}
		w := &watch.Watcher{Gate: g, Store: &watch.MemoryStore{}, Now: time.Now}
		if r, err := w.Observe(t.Context(), o); err != nil || asked == 0 || r.Disposition != watch.Decided {
			t.Errorf("%s of group %q, by %q: asked %d times, %v", o.Phase, o.Subject.Group, o.Subject.StartedBy, asked, err)
		}
	}
	for _, text := range odd {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for name, from := range map[string]string{"task-running": `"service:shop"`, "run-task": `"family:batch"`} {
			sent := changed(t, name, `"group": `+from, `"startedBy": `+string(quoted)+`, "group": `+string(quoted))
			if name == "task-running" {
				sent = strings.Replace(sent, `"startedBy": "ecs-svc/1234567890123456789",`, "", 1)
			}
			e, err := Parse([]byte(sent))
			if err != nil || e.Seen == nil {
				t.Fatalf("%s with the group %.20q: %v", name, text, err)
			}
			judge(e.Seen.Observation)
			seen[e.Seen.Observation.Subject.Group] = true
		}
		f, c := newFake(t)
		f.clusters, f.defs = []string{"prod"}, map[string][]string{"batch:1": {"busybox"}}
		f.tasks["prod"] = []fakeTask{{id: "t", group: text, by: text, def: "batch:1", images: []fakeImage{{"c0", "busybox", ""}}}}
		all, report := sweep(t, c, Target{})
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(all, func(f Found) bool { return f.Observation.Subject.Kind == watch.Task })
		if at < 0 {
			t.Fatalf("the sweep found no task: %+v", all)
		}
		judge(all[at].Observation)
		seen[all[at].Observation.Subject.Group] = true
	}
	if len(seen) != len(odd) {
		t.Errorf("%d groups for %d, however they came: one of them hides another's findings, or is told twice", len(seen), len(odd))
	}
	for _, plain := range []string{"", "service:shop", "family:バッチ", "a group of one's own"} {
		if got := chosen(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
}
