package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// hears keeps what it is told, or fails.
type hears struct {
	told []watch.Finding
	err  error
}

func (*hears) Name() string { return "ear" }

func (h *hears) Notify(_ context.Context, f watch.Finding) error {
	if h.err == nil {
		h.told = append(h.told, f)
	}
	return h.err
}

// sweptWorld is a function without a policy: nothing can be checked.
func sweptWorld(to watch.Notifier) *sweeping {
	f := &function{settings: &settings{config: newConfig()}, now: time.Now, policies: &policies{
		config: &policyConfig{Refresh: time.Minute}, file: "/var/empty/gone", options: gate.Options{Now: time.Now},
		failed: func(context.Context, error, digest.Digest) {},
	}}
	f.watcher = &watch.Watcher{Gate: f, Store: &watch.MemoryStore{}, Routes: []watch.Route{{Notifier: to}}, Policy: f.policies.policy, Now: time.Now}
	return &sweeping{function: f}
}

func sweptTask(id string) watch.Observation {
	return watch.Observation{
		Subject: watch.Subject{Kind: watch.Task, ARN: "arn:aws:ecs:eu-west-1:111122223333:task/prod/" + id, Account: "111122223333", Region: "eu-west-1", Cluster: "prod", Group: "service:shop"},
		Phase:   watch.Swept, Version: 7, At: time.Now(), Images: []gate.Image{{Name: "web", Written: "shop.example/web:v1"}}, Where: pipeline.Where{Cluster: "prod"},
	}
}

func TestASweepTriesOnceMoreWhatCouldNotBeCheckedBeforeItTells(t *testing.T) {
	ear := &hears{}
	s := sweptWorld(ear)
	if err := s.found(t.Context(), ecs.Found{Observation: sweptTask("a"), Others: []watch.Subject{sweptTask("b").Subject}}); err != nil {
		t.Fatal(err)
	}
	if len(s.again) != 1 || len(ear.told) != 0 {
		t.Fatalf("%d are tried again, %d told; want one and none", len(s.again), len(ear.told))
	}
	if err := s.rest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(ear.told) != 1 || ear.told[0].Outcome != pipeline.Undecided || s.unsettled {
		t.Errorf("told %+v (unsettled %v), want once that it could not be checked", ear.told, s.unsettled)
	}
}

func TestASweepThatCannotTellHasNoEnd(t *testing.T) {
	s := sweptWorld(&hears{err: errors.New("the topic is gone")})
	if err := s.found(t.Context(), ecs.Found{Observation: sweptTask("a")}); err != nil {
		t.Fatal(err)
	}
	if err := s.rest(t.Context()); err != nil || !s.unsettled {
		t.Errorf("what could not be told counts as settled (%v)", err)
	}
}

func TestAnObservationThatCanNeverBeJudgedEndsNoSweep(t *testing.T) {
	s := sweptWorld(&hears{})
	o := sweptTask("a")
	o.Images = nil
	if err := s.found(t.Context(), ecs.Found{Observation: o}); err != nil || !s.unsettled || len(s.again) != 0 {
		t.Errorf("%v, unsettled %v, %d to be tried again", err, s.unsettled, len(s.again))
	}
}

func TestASweepEndsWithItsTime(t *testing.T) {
	s := sweptWorld(&hears{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.found(ctx, ecs.Found{Observation: sweptTask("a")}); err == nil {
		t.Error("it went on")
	}
}

// darkGate is a gate that denies; not before dark is over.
type darkGate struct{ dark bool }

func (d *darkGate) Decide(_ context.Context, w gate.Workload) *gate.Verdict {
	v := &gate.Verdict{Outcome: pipeline.Deny}
	code := shuin.CodeUnsigned
	if d.dark {
		v.Outcome, code = pipeline.Undecided, shuin.CodeThrottled
	}
	for _, i := range w.Images {
		v.Images = append(v.Images, gate.ImageVerdict{Image: i, Outcome: v.Outcome, Rule: "r", Err: &shuin.Error{Code: code, Message: "x"}})
	}
	return v
}

// stops notes what it is asked to stop.
type stops struct{ arns []string }

func (*stops) Runs(context.Context, watch.Subject, gate.Image) (bool, error) { return true, nil }

func (s *stops) StopTask(_ context.Context, t watch.Subject, _ string) error {
	s.arns = append(s.arns, t.ARN)
	return nil
}

func (*stops) DeregisterTaskDefinition(context.Context, watch.Subject, string) error { return nil }

func TestWhatIsLikeATaskThatIsTriedAgainIsCountedAndStoppedToo(t *testing.T) {
	like := []watch.Subject{sweptTask("b").Subject, sweptTask("c").Subject}
	for name, reacts := range map[string]bool{"and nothing is done": false, "and each is stopped": true} {
		t.Run(name, func(t *testing.T) {
			ear, d, e := &hears{}, &darkGate{dark: true}, &stops{}
			s := sweptWorld(ear)
			s.settings.React.DangerouslyStopTasks = reacts
			s.watcher = &watch.Watcher{Gate: d, Store: &watch.MemoryStore{}, Routes: []watch.Route{{Notifier: ear}}, Now: time.Now, Reactor: e,
				Reactions: watch.Reactions{DangerouslyStopTasks: reacts}}
			if err := s.found(t.Context(), ecs.Found{Observation: sweptTask("a"), Others: like}); err != nil {
				t.Fatal(err)
			}
			d.dark = false
			if err := s.rest(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got struct{ Subjects, Settled, Denied, Told, Reactions int }
			text, err := json.Marshal(&s.inventory)
			if err == nil {
				err = json.Unmarshal(text, &got)
			}
			want := got
			want.Subjects, want.Settled, want.Denied, want.Told, want.Reactions = 3, 3, 3, 1, 0
			if reacts {
				want.Reactions = 3
			}
			if err != nil || got != want || len(e.arns) != want.Reactions || len(ear.told) != 1 || s.unsettled {
				t.Errorf("%s; stopped %q, told %d (%v)", text, e.arns, len(ear.told), err)
			}
		})
	}
}

func TestWhatIsStoppedAtOnceIsNotCountedTwiceWhereItCouldNotBeTold(t *testing.T) {
	ear, e := &hears{err: errors.New("the topic is away")}, &stops{}
	s := sweptWorld(ear)
	s.settings.React.DangerouslyStopTasks = true
	s.watcher = &watch.Watcher{Gate: &darkGate{}, Store: &watch.MemoryStore{}, Routes: []watch.Route{{Notifier: ear}}, Now: time.Now, Reactor: e,
		Reactions: watch.Reactions{DangerouslyStopTasks: true}}
	if err := s.found(t.Context(), ecs.Found{Observation: sweptTask("a"), Others: []watch.Subject{sweptTask("b").Subject, sweptTask("c").Subject}}); err != nil {
		t.Fatal(err)
	}
	if len(e.arns) != 3 {
		t.Errorf("stopped %q before the end of the sweep, want all three", e.arns)
	}
	ear.err = nil
	if err := s.rest(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got struct{ Subjects, Settled int }
	text, err := json.Marshal(&s.inventory)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || got.Subjects != 3 || got.Settled != 3 || len(ear.told) != 1 || s.unsettled {
		t.Errorf("%s, told %d, unsettled %v (%v)", text, len(ear.told), s.unsettled, err)
	}
}

func TestATaskDefinitionThatRunsInTwoClustersIsSettledInEach(t *testing.T) {
	for name, c := range map[string]struct {
		second pipeline.Outcome // in cluster a, when it is tried again
		told   pipeline.Outcome
	}{
		"what still cannot be checked in the one is told, whatever the other says": {pipeline.Undecided, pipeline.Undecided},
		"what is denied in the one is told, whatever the other says":               {pipeline.Deny, pipeline.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			answers := []pipeline.Outcome{pipeline.Undecided, pipeline.Admit, c.second} // a, b, and a again
			f, ear := watchedWorld(func(context.Context, string) pipeline.Outcome {
				next := answers[0]
				answers = answers[1:]
				return next
			})
			s := &sweeping{function: f}
			for _, cluster := range []string{"a", "b"} {
				o := sweptTask("x")
				o.Subject.Kind, o.Subject.ARN, o.Subject.Group = watch.TaskDefinition, "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:5", "family:shop"
				o.Subject.Cluster, o.Where.Cluster = cluster, cluster
				if err := s.found(t.Context(), ecs.Found{Observation: o}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.rest(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(answers) != 0 || len(ear.told) != 1 || ear.told[0].Outcome != c.told || ear.told[0].Subject.Cluster != "a" || s.unsettled {
				t.Errorf("%d answers were not asked for, told %+v, unsettled %v", len(answers), ear.told, s.unsettled)
			}
		})
	}
}

func TestWhatASweepCovers(t *testing.T) {
	const here = "111122223333"
	of := func(kind watch.SubjectKind, account, region, cluster string) watch.Subject {
		return watch.Subject{Kind: kind, Account: account, Region: region, Cluster: cluster}
	}
	role := targetConfig{Role: "arn:aws:iam::444455556666:role/sweep", Region: "us-east-1", Clusters: []string{"prod-*"}, TaskDefinitions: true}
	for _, c := range []struct {
		name    string
		targets []targetConfig
		here    string
		subject watch.Subject
		want    bool
	}{
		{"a task of the function's own account", nil, here, of(watch.Task, here, "eu-west-1", "prod"), true},
		{"a service of it", nil, here, of(watch.Service, here, "eu-west-1", "prod"), true},
		{"a task definition, of which a newer one may hide this one", nil, here, of(watch.TaskDefinition, here, "eu-west-1", ""), false},
		{"a task definition that ran, and is active still", nil, here, of(watch.TaskDefinition, here, "eu-west-1", "prod"), false},
		{"where the account is not known", nil, "", of(watch.Task, here, "eu-west-1", "prod"), false},
		{"an account and region that nobody knows", nil, "", of(watch.Task, "", "eu-west-1", "prod"), false},
		{"another account", nil, here, of(watch.Task, "444455556666", "eu-west-1", "prod"), false},
		{"another region", nil, here, of(watch.Task, here, "us-east-1", "prod"), false},
		{"a task without a cluster", nil, here, of(watch.Task, here, "eu-west-1", ""), false},
		{"a pushed image", nil, here, of(watch.Image, here, "eu-west-1", ""), false},
		{"the signer's people", nil, here, of(watch.Signer, here, "eu-west-1", ""), false},
		{"an account by its role", []targetConfig{role}, here, of(watch.Task, "444455556666", "us-east-1", "prod-1"), true},
		{"a cluster that is not named", []targetConfig{role}, here, of(watch.Task, "444455556666", "us-east-1", "lab"), false},
		{"the function's own account, which is no target", []targetConfig{role}, here, of(watch.Task, here, "us-east-1", "prod-1"), false},
		{"a task definition in a cluster that is named", []targetConfig{role}, here, of(watch.TaskDefinition, "444455556666", "us-east-1", "prod-1"), false},
	} {
		s := &settings{config: newConfig(), region: "eu-west-1"}
		s.Sweep.Targets = c.targets
		if got := s.covers(c.here)(&c.subject); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
