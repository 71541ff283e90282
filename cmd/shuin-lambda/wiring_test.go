package main

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

func TestEachSettingReachesWhatItIsFor(t *testing.T) {
	const text = `policy: {s3: "s3://bucket-one/pipeline.yaml"}
hook: {retries: 7, retryAfter: 70s, margin: 8s}
state: {dynamodb: shuin}
remind: 9h
tell: [{log: true, name: oncall, rules: ["prod-*"], outcomes: [deny, undecided, admit], kinds: [image-not-admitted], severities: [high]}, {log: true, rules: ["prod-*", "*"]}]
react: {dangerouslyStopTasks: true, dangerouslyDeregisterTaskDefinitions: true, perMinute: 11, perHour: 12, perGroup: 13, calm: 14m}
sweep: {interval: 40h}
`
	env := with(pkg(t, nil), envConfig, text, envReactions, "off", envMode, modeWarn)
	s, err := loadSettings(env)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFunction(s, env, newLogger(io.Discard), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	w := f.watcher
	wanted := watch.Reactions{DangerouslyStopTasks: true, DangerouslyDeregisterTaskDefinitions: true, Off: true, Warn: true, PerMinute: 11, PerHour: 12, PerGroup: 13, Calm: 14 * time.Minute}
	if diff := cmp.Diff(wanted, w.Reactions); diff != "" {
		t.Errorf("reactions: %s", diff)
	}
	if w.Remind != 9*time.Hour || w.Settle != 60*time.Hour || w.Gate != f || w.Reactor != f.ecs || w.Policy == nil || w.Now == nil || !w.Shared {
		t.Errorf("remind %s, settle %s, %+v", w.Remind, w.Settle, w)
	}
	filters := []watch.Route{
		{Rules: []string{"prod-*"}, Outcomes: []pipeline.Outcome{pipeline.Deny, pipeline.Undecided, pipeline.Admit}, Kinds: []watch.Kind{watch.NotAdmitted}, Severity: []watch.Severity{watch.High}},
		{},
	}
	for i := range w.Routes {
		if name := []string{"oncall", "log"}[i]; w.Routes[i].Notifier.Name() != name {
			t.Errorf("place %d is called %q, want %q", i, w.Routes[i].Notifier.Name(), name)
		}
		w.Routes[i].Notifier = nil
	}
	if diff := cmp.Diff(filters, w.Routes); diff != "" {
		t.Errorf("what the places hear: %s", diff)
	}
	if h := f.hook; h.Retries != 7 || h.Delay != 70*time.Second || h.Margin != 2*time.Second || !h.Warn || h.Gate != f || h.Reader != f.ecs || h.Record == nil {
		t.Errorf("%+v", h)
	}
	s.Sweep.Interval, s.State.DynamoDB = time.Hour, ""
	if w, err := f.newWatcher(f.ecs.Caller, env, io.Discard); err != nil || w.Settle != limits.WatchSettle || w.Shared {
		t.Errorf("with sweeps of each hour it settles after %s, want the least of %s (%v)", w.Settle, limits.WatchSettle, err)
	}
}

func TestWhoNamesEveryRuleHearsOfWhatNoneMatches(t *testing.T) {
	for name, c := range map[string]struct {
		rules []string
		told  int
	}{"no list": {nil, 1}, "every rule": {[]string{"*"}, 1}, "rules by name": {[]string{"prod-*"}, 0}} {
		t.Run(name, func(t *testing.T) {
			f, ear := watchedWorld(func(context.Context, string) pipeline.Outcome { return pipeline.Deny })
			f.watcher.Routes = []watch.Route{(&tellConfig{Log: true, Rules: c.rules}).route(ear)}
			f.watcher.Gate = noRule{f.watcher.Gate}
			if kept := givenBack(t, t.Context(), f, runs("a", "evil.example/web:v1", 1)); len(kept) != 0 || len(ear.told) != c.told {
				t.Errorf("told %d, want %d (given back: %v)", len(ear.told), c.told, kept)
			}
		})
	}
}

// noRule is a gate whose answers no rule gave.
type noRule struct{ watch.Decider }

func (g noRule) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	v := g.Decider.Decide(ctx, w)
	for i := range v.Images {
		v.Images[i].Rule = ""
	}
	return v
}
