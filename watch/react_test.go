package watch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// executioner notes what it is asked to do.
type executioner struct {
	mu   sync.Mutex
	did  []string
	fail error
	// other: what it is asked about runs something else.
	other bool
}

func (e *executioner) Runs(context.Context, watch.Subject, gate.Image) (bool, error) {
	return !e.other, nil
}

func (e *executioner) do(what string, s watch.Subject, reason string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return e.fail
	}
	e.did = append(e.did, what+" "+s.ARN[strings.LastIndexByte(s.ARN, '/')+1:]+": "+reason)
	return nil
}

func (e *executioner) StopTask(_ context.Context, s watch.Subject, reason string) error {
	return e.do("stop", s, reason)
}

func (e *executioner) DeregisterTaskDefinition(_ context.Context, s watch.Subject, reason string) error {
	return e.do("deregister", s, reason)
}

var everything = watch.Reactions{DangerouslyStopTasks: true, DangerouslyDeregisterTaskDefinitions: true}

func TestWhichReactionIsAllowedAndWhy(t *testing.T) {
	with := func(s said, change func(*said)) said { change(&s); return s }
	reason := func(c shuin.Code) said { return with(bad, func(s *said) { s.code = c }) }
	for _, c := range []struct {
		name   string
		r      watch.Reactions
		kind   watch.SubjectKind
		images []said
		want   bool
		why    string
	}{
		{"a task with an unsigned image", everything, watch.Task, []said{bad}, true, `is denied by rule "shop", which enforces`},
		{"a task definition with one", everything, watch.TaskDefinition, []said{bad}, true, "which enforces"},
		{"a good and a bad one", everything, watch.Task, []said{good, bad}, true, "which enforces"},
		{"one that is not known, and a bad one", everything, watch.Task, []said{unknown, bad}, true, "which enforces"},
		{"a service", everything, watch.Service, []said{bad}, false, "nothing can be done to a subject of kind service"},
		{"a push", everything, watch.Image, []said{bad}, false, "nothing can be done"},
		{"not configured", watch.Reactions{}, watch.Task, []said{bad}, false, "dangerouslyStopTasks is not set"},
		{"only the other configured", watch.Reactions{DangerouslyStopTasks: true}, watch.TaskDefinition, []said{bad}, false, "dangerouslyDeregisterTaskDefinitions is not set"},
		{"the function in warn mode", watch.Reactions{DangerouslyStopTasks: true, Warn: true}, watch.Task, []said{bad}, false, "the function is in warn mode"},
		{"the kill switch", watch.Reactions{DangerouslyStopTasks: true, Off: true}, watch.Task, []said{bad}, false, "switched off in the function's environment"},
		{"all good", everything, watch.Task, []said{good, good}, false, "all images are admitted"},
		{"undecided", everything, watch.Task, []said{unknown}, false, "could not be checked"},
		{"good and undecided", everything, watch.Task, []said{good, unknown}, false, "could not be checked"},
		{"a rule that warns", everything, watch.Task, []said{with(bad, func(s *said) { s.mode, s.allowed = pipeline.Warn, true })}, false, "in mode warn"},
		{"a rule that audits", everything, watch.Task, []said{with(bad, func(s *said) { s.mode, s.allowed = pipeline.Audit, true })}, false, "in mode audit"},
		{"a denial that is allowed", everything, watch.Task, []said{with(bad, func(s *said) { s.allowed = true })}, false, "allows it"},
		{"no rule", everything, watch.Task, []said{with(bad, func(s *said) { s.rule = "" })}, false, "no rule matches"},
		{"revoked", everything, watch.Task, []said{reason(shuin.CodeRevoked)}, true, "which enforces"},
		{"a stage missing", everything, watch.Task, []said{reason(shuin.CodeStageMissing)}, true, "which enforces"},
		{"a limit", everything, watch.Task, []said{reason(shuin.CodeLimit)}, false, "limit-exceeded) is not the image's own"},
		{"a malformed answer", everything, watch.Task, []said{reason(shuin.CodeMalformed)}, false, "not the image's own"},
		{"a fault of ours", everything, watch.Task, []said{reason(shuin.CodeInternal)}, false, "not the image's own"},
		{"a plugin", everything, watch.Task, []said{reason(shuin.CodePluginFailed)}, false, "not the image's own"},
		{"an old program", everything, watch.Task, []said{reason(shuin.CodeTooOld)}, false, "not the image's own"},
		{"a reference that cannot be read", everything, watch.Task, []said{reason(shuin.CodeInvalidInput)}, false, "not the image's own"},
		{"a signature that expired since it began", everything, watch.Task, []said{reason(shuin.CodeExpired)}, false, "(expired) came with time"},
		{"a seal that is too old by now", everything, watch.Task, []said{reason(shuin.CodeSealTooOld)}, false, "(seal-too-old) came with time"},
		{"an expired one and an unsigned one", everything, watch.Task, []said{reason(shuin.CodeExpired), bad}, true, "which enforces"},
		{"a task definition whose signature expired", everything, watch.TaskDefinition, []said{reason(shuin.CodeExpired)}, true, "which enforces"},
		{"a tag that was moved", everything, watch.Task, []said{tagIsGone}, false, "the tag may have been moved"},
		{"no images", everything, watch.Task, nil, false, "there are no images"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &gate.Verdict{}
			for i, s := range c.images {
				v.Images = append(v.Images, s.verdict(gate.Image{Name: fmt.Sprint(i), Written: "reg.example/shop:1"}))
			}
			p := watch.Allowed(c.r, &watch.Observation{Subject: watch.Subject{Kind: c.kind}, Phase: watch.Running}, v)
			if p.Allowed != c.want || !strings.Contains(p.Why, c.why) {
				t.Fatalf("%t: %s", p.Allowed, p.Why)
			}
			if p.Allowed && v.Images[p.Image].Outcome != pipeline.Deny {
				t.Errorf("because of image %d", p.Image)
			}
		})
	}
	byDigest := bad
	byDigest.code = shuin.CodeNotInIndex
	v := &gate.Verdict{Images: []gate.ImageVerdict{byDigest.verdict(gate.Image{Written: "reg.example/shop@" + string(sha("bad")), Running: sha("else")})}}
	if p := watch.Allowed(everything, &watch.Observation{Subject: watch.Subject{Kind: watch.Task}, Phase: watch.Running}, v); !p.Allowed {
		t.Error("a task that runs something else than the digest it names:", p.Why)
	}
}

func reacting(t *testing.T) (*scene, *executioner) {
	s, e := newScene(t), &executioner{}
	s.Reactor, s.Reactions = e, everything
	s.gate.say(app, bad)
	return s, e
}

func TestAReactionNamesItsFindingAndItsReason(t *testing.T) {
	s, e := reacting(t)
	r := s.observe(task("a", 1, app), watch.Decided)
	if len(e.did) != 1 || !strings.HasPrefix(e.did[0], "stop a: shuin: image reg.example/shop:1 is not admitted: ") || !strings.Contains(e.did[0], "[unsigned] (finding "+r.Findings[0].ID+")") {
		t.Errorf("%q", e.did)
	}
	if !r.Reaction.Done || !r.Reaction.Allowed || r.Reaction.Reaction != watch.StopTask || r.Reaction.Finding != r.Findings[0].ID {
		t.Errorf("%+v", r.Reaction)
	}
	s.observe(definition(7, app), watch.Decided)
	if len(e.did) != 2 || !strings.HasPrefix(e.did[1], "deregister shop:7: ") {
		t.Errorf("%q", e.did)
	}
	s.gate.say(app, good)
	if r := s.observe(task("a", 2, app), watch.Decided); r.Reaction.Done || len(e.did) != 2 {
		t.Errorf("%+v, %q", r.Reaction, e.did)
	}
}

func TestNothingIsStoppedForWhatCouldNotBeChecked(t *testing.T) {
	s, e := reacting(t)
	s.gate.say(app, unknown)
	o := task("a", 1, app)
	s.observe(o, watch.Retry)
	o.Last = true
	r := s.observe(o, watch.Decided)
	if len(e.did) != 0 || r.Reaction.Done || r.Reaction.Allowed {
		t.Errorf("%q, %+v", e.did, r.Reaction)
	}
}

func TestALongReasonIsCut(t *testing.T) {
	s, e := reacting(t)
	long := bad
	long.rule = strings.Repeat("規", 5000)
	s.gate.say(app, long)
	s.observe(task("a", 1, app), watch.Decided)
	if reason := strings.TrimPrefix(e.did[0], "stop a: "); len(reason) > limits.WatchReasonBytes || strings.ContainsRune(reason, '\uFFFD') {
		t.Errorf("%d bytes: %q", len(reason), reason)
	}
}

func TestReactionsAreBoundedForAllFunctionsTogether(t *testing.T) {
	s, e := reacting(t)
	s.Reactions.PerMinute, s.Reactions.PerHour, s.Reactions.PerGroup = 3, 4, 100
	other := &watch.Watcher{Gate: s.gate, Store: s.store, Now: s.Now, Reactor: e, Reactions: s.Reactions}
	n := 0
	round := func() (refused string) {
		for range 3 {
			for _, w := range []*watch.Watcher{s.Watcher, other} {
				n++
				r, err := w.Observe(context.Background(), task(fmt.Sprint("t", n), 1, app))
				if err != nil || r.Disposition != watch.Decided {
					t.Fatal(r, err)
				}
				if !r.Reaction.Done {
					refused = r.Reaction.Why
				}
			}
		}
		return refused
	}
	if why := round(); len(e.did) != 3 || !strings.Contains(why, "there were 3 reactions in this minute") {
		t.Errorf("%d: %s", len(e.did), why)
	}
	s.after(time.Minute)
	if why := round(); len(e.did) != 4 || !strings.Contains(why, "minute") && !strings.Contains(why, "there were 4 reactions in this hour") {
		t.Errorf("%d: %s", len(e.did), why)
	}
	s.after(time.Hour)
	if round(); len(e.did) != 7 {
		t.Errorf("%d", len(e.did))
	}
}

// counting is a store whose counts and switch can be broken.
type counting struct {
	watch.Store
	take, off error
}

func (c counting) Take(ctx context.Context, name string, most int, now, expires time.Time) (bool, error) {
	if c.take != nil {
		return true, c.take
	}
	return c.Store.Take(ctx, name, most, now, expires)
}

func (c counting) ReactionsOff(ctx context.Context) (bool, error) {
	if c.off != nil {
		return false, c.off
	}
	return c.Store.ReactionsOff(ctx)
}

func TestNothingIsDoneWhereItIsNotSureThatItMayBe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scene)
		why    string
		retry  bool
	}{
		{"no reactor", func(s *scene) { s.Reactor = nil }, "there is nobody to do it", false},
		{"switched off in the store", func(s *scene) { s.store.Off = true }, "switched off in the store", false},
		{"the switch cannot be read", func(s *scene) { s.Store = counting{Store: s.store, off: errStore} }, "not known whether", true},
		{"the count cannot be made", func(s *scene) { s.Store = counting{Store: s.store, take: errStore} }, "could not be counted", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, e := reacting(t)
			c.change(s)
			want := watch.Decided
			if c.retry {
				want = watch.Retry
			}
			r := s.observe(task("a", 1, app), want)
			if len(e.did) != 0 || r.Reaction.Done || r.Reaction.Allowed || !strings.Contains(r.Reaction.Why, c.why) || c.retry != errors.Is(r.Reason, errStore) {
				t.Errorf("%q, %+v, %v", e.did, r.Reaction, r.Reason)
			}
			s.told("high app deny unsigned")
		})
	}
}

func TestAReactionThatFailsComesAgain(t *testing.T) {
	s, e := reacting(t)
	e.fail = errors.New("throttled")
	r := s.observe(task("a", 1, app), watch.Retry)
	if !strings.Contains(r.Reason.Error(), "stop-task: throttled") || r.Reaction.Done {
		t.Error(r.Reason)
	}
	e.fail = nil
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny unsigned")
	if len(e.did) != 1 {
		t.Errorf("%q", e.did)
	}
}

func TestATaskThatStartsWithAnExpiredSealIsStopped(t *testing.T) {
	for phase, want := range map[watch.Phase]bool{watch.Starting: true, watch.Running: false, watch.Swept: false} {
		for _, code := range []shuin.Code{shuin.CodeExpired, shuin.CodeSealTooOld} {
			s, e := reacting(t)
			old := bad
			old.code = code
			s.gate.say(app, old)
			o := task("a", 1, app)
			o.Phase = phase
			if r := s.observe(o, watch.Decided); r.Reaction.Done != want || len(e.did) == 1 != want {
				t.Errorf("%s, %s: %+v", phase, code, r.Reaction)
			}
		}
	}
}

func TestAReactionIsDoneAndCountedOnceThoughNobodyCanBeTold(t *testing.T) {
	s, e := reacting(t)
	s.Reactions.PerMinute, s.Reactions.PerGroup = 2, 2
	s.pager.fail = true
	if r := s.observe(task("a", 1, app), watch.Retry); !r.Reaction.Done {
		t.Fatalf("%+v", r.Reaction)
	}
	for range 4 {
		if r := s.observe(task("a", 1, app), watch.Retry); r.Reaction.Done || !strings.Contains(r.Reaction.Why, "done before") {
			t.Fatalf("%+v", r.Reaction)
		}
	}
	if r := s.observe(task("b", 1, app), watch.Retry); !r.Reaction.Done || len(e.did) != 2 {
		t.Errorf("another task: %+v, %q", r.Reaction, e.did)
	}
	s.pager.fail = false
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny unsigned")
}

func TestNoGroupAndNoJunkUsesUpAllReactions(t *testing.T) {
	s, e := reacting(t)
	s.Reactions.PerMinute, s.Reactions.PerHour, s.Reactions.PerGroup = 100, 10, 3
	n, startedBy := 0, "ecs-svc/1234567890123456789"
	stopped := func(group string) int {
		before := len(e.did)
		for range 8 {
			n++
			o := task(fmt.Sprint("t", n), 1, app)
			o.Subject.Group, o.Subject.StartedBy = group, startedBy
			if r := s.observe(o, watch.Decided); !r.Reaction.Done && !strings.Contains(r.Reaction.Why, "no more are allowed") {
				t.Fatalf("%+v", r.Reaction)
			}
		}
		return len(e.did) - before
	}
	for _, c := range []struct {
		group string
		want  int
	}{{"service:shop", 3}, {"service:shop", 0}, {"family:junk", 3}, {"junk-2", 2}, {"junk-3", 0}, {"service:other", 2}, {"service:third", 0}} {
		if got := stopped(c.group); got != c.want {
			t.Errorf("%s: %d were stopped, wanted %d", c.group, got, c.want)
		}
	}
	s.after(time.Hour)
	if got := stopped("service:shop"); got != 3 {
		t.Errorf("an hour later %d", got)
	}
	startedBy = "me" // and says to be of a service
	s.after(time.Hour)
	for i, want := range []int{3, 2, 0} {
		if got := stopped(fmt.Sprint("service:junk-", i)); got != want {
			t.Errorf("of what only says that it is a service's %d were stopped, wanted %d", got, want)
		}
	}
}

func TestNothingIsStoppedThatDoesNotRunTheImage(t *testing.T) {
	s, e := reacting(t)
	e.other = true
	s.Reactions.PerGroup = 1
	if r := s.observe(task("forged", 1, app), watch.Decided); r.Reaction.Done || r.Reaction.Err != nil || !strings.Contains(r.Reaction.Why, "does not run this image") || len(e.did) != 0 {
		t.Errorf("%+v", r.Reaction)
	}
	e.other = false
	if r := s.observe(task("a", 1, app), watch.Decided); !r.Reaction.Done {
		t.Errorf("what was not done is counted: %+v", r.Reaction)
	}
}

func TestNothingIsDoneForAWhileAfterPolicyOrTrustChanged(t *testing.T) {
	s, e := reacting(t)
	policy, trust := sha("one"), sha("certificates")
	s.Gate = decider(func(ctx context.Context, w gate.Workload) *gate.Verdict {
		v := s.gate.Decide(ctx, w)
		v.Policy = policy
		for i := range v.Images {
			v.Images[i].TrustHash = trust
		}
		return v
	})
	n := 0
	done := func(w *watch.Watcher, want bool, why string) {
		t.Helper()
		n++
		o := task(fmt.Sprint("t", n), 1, app)
		o.Subject.Group = fmt.Sprint("service:", n)
		r, err := w.Observe(t.Context(), o)
		if err != nil || r.Reaction.Done != want || !strings.Contains(r.Reaction.Why, why) {
			t.Fatalf("%v, %+v", err, r.Reaction)
		}
	}
	done(s.Watcher, true, "") // the first is no change
	s.after(time.Hour)
	policy = sha("two")
	done(s.Watcher, false, "the policy changed at 2026-03-01T13:00:00Z, and nothing is done for 30m0s after that")
	s.after(limits.WatchCalm - time.Second)
	fresh := &watch.Watcher{Gate: s.Gate, Store: s.store, Now: s.Now, Reactor: e, Reactions: everything}
	done(fresh, false, "the policy changed at 2026-03-01T13:00:00Z") // another process knows, too
	s.after(time.Second)
	done(s.Watcher, true, "")
	done(fresh, true, "")
	s.after(time.Hour)
	trust = sha("other certificates")
	s.Reactions.Calm = time.Minute
	done(s.Watcher, false, "the trust stores changed at")
	s.after(time.Minute)
	done(s.Watcher, true, "")
	policy, s.Reactions.Calm = sha("three"), -1
	done(s.Watcher, true, "")
}

func TestATaskDefinitionIsDeregisteredOnlyForWhatIsSoInEveryCluster(t *testing.T) {
	s, e := reacting(t)
	everywhere := false
	s.Gate = decider(func(ctx context.Context, w gate.Workload) *gate.Verdict {
		v := s.gate.Decide(ctx, w)
		if w.Where.Cluster != "sandbox" && !everywhere {
			s := good
			v.Outcome, v.Allowed, v.Images = pipeline.Admit, true, []gate.ImageVerdict{s.verdict(w.Images[0])}
		}
		return v
	})
	o := definition(7, app)
	o.Phase, o.Subject.Cluster, o.Where = watch.Requested, "sandbox", pipeline.Where{Cluster: "sandbox"}
	if r := s.observe(o, watch.Decided); r.Reaction.Done || len(e.did) != 0 || !strings.Contains(r.Reaction.Why, "it may run in other clusters than sandbox: all images are admitted") {
		t.Errorf("%+v, %q", r.Reaction, e.did)
	}
	s.told("high app deny unsigned")
	everywhere = true
	o.Event = "again"
	if r := s.observe(o, watch.Decided); !r.Reaction.Done || len(e.did) != 1 {
		t.Errorf("%+v, %q", r.Reaction, e.did)
	}
}

func TestATaskThatIsOverIsToldAndLeftAlone(t *testing.T) {
	s, e := reacting(t)
	over := task("a", 1, app)
	over.Over = true
	r := s.observe(over, watch.Decided)
	if len(e.did) != 0 || r.Reaction.Allowed || !strings.Contains(r.Reaction.Why, "stopping already, or has stopped") {
		t.Errorf("%q, %+v", e.did, r.Reaction)
	}
	if len(r.Told) != 1 || r.Told[0].Finding.Resolved {
		t.Errorf("%+v", r.Told)
	}
	same := good
	same.digest = bad.digest
	s.gate.say(app, same)
	over = task("b", 1, app)
	over.Over = true
	if r := s.observe(over, watch.Decided); len(r.Told) != 0 {
		t.Errorf("what has stopped ends a finding: %+v", r.Told)
	}
	if r := s.observe(task("c", 1, app), watch.Decided); len(r.Told) != 1 || !r.Told[0].Finding.Resolved {
		t.Errorf("what runs does not: %+v", r.Told)
	}
}

func TestWhatOneRateRefusesSpendsNothingOfTheOthers(t *testing.T) {
	s, e := reacting(t)
	s.Reactions.Calm = -1
	n := 0
	stop := func(group string) watch.Reacted {
		n++
		o := task(fmt.Sprint("t", n), 1, app)
		o.Subject.Group = group
		return s.observe(o, watch.Decided).Reaction
	}
	for i := range limits.WatchReactionsPerMinute {
		stop(fmt.Sprint("service:flood-", i))
	}
	for range 3 * limits.WatchReactionsPerGroup { // refused for this minute
		if r := stop("service:shop"); r.Done || !strings.Contains(r.Why, "in this minute") {
			t.Fatalf("%+v", r)
		}
	}
	s.after(time.Minute)
	for range limits.WatchReactionsPerGroup {
		if r := stop("service:shop"); !r.Done {
			t.Errorf("the minute before has spent it: %+v", r)
		}
	}
	s.after(time.Minute)
	for range 10 * limits.WatchReactionsPerMinute { // a flood of a group that has had its share
		if r := stop("service:shop"); r.Done {
			t.Fatalf("%+v", r)
		}
	}
	before := len(e.did)
	stop("service:quiet")
	if len(e.did) != before+1 {
		t.Error("another group's flood has spent the minute")
	}
}
