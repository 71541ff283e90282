package watch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

const app = "reg.example/shop:1"

func TestAFindingIsToldOnceAndAgainWhenItIsDue(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny unsigned")
	s.observe(task("a", 2, app), watch.Decided)
	for i := range 20 {
		s.observe(task(fmt.Sprint("b", i), 1, app), watch.Decided)
	}
	s.after(24*time.Hour - time.Second)
	s.observe(task("c", 1, app), watch.Decided)
	s.told("")
	s.after(time.Second)
	s.observe(task("d", 1, app), watch.Decided)
	s.told("still high app deny unsigned")
	s.observe(task("e", 1, app), watch.Decided)
	s.told("")
	s.Remind = 0
	s.after(1000 * time.Hour)
	s.observe(task("f", 1, app), watch.Decided)
	s.told("")
}

func TestAFindingIsToldAgainWhenItChanges(t *testing.T) {
	s := newScene(t)
	version := int64(0)
	for _, c := range []struct {
		name string
		said said
		want string
	}{
		{"the first", bad, "high app deny unsigned"},
		{"the same", bad, ""},
		{"another digest", said{outcome: pipeline.Deny, code: shuin.CodeUnsigned, rule: "shop", digest: sha("worse")}, "high app deny unsigned"},
		{"another reason", said{outcome: pipeline.Deny, code: shuin.CodeRevoked, rule: "shop", digest: sha("bad")}, "high app deny revoked"},
		{"a stage missing", said{outcome: pipeline.Deny, code: shuin.CodeStageMissing, rule: "shop", digest: sha("bad"), missing: []string{"scan"}}, "high app deny stage-missing"},
		{"another stage missing", said{outcome: pipeline.Deny, code: shuin.CodeStageMissing, rule: "shop", digest: sha("bad"), missing: []string{"build"}}, "high app deny stage-missing"},
		{"another rule", said{outcome: pipeline.Deny, code: shuin.CodeUnsigned, rule: "other", digest: sha("bad")}, "high app deny unsigned"},
		{"another mode", said{outcome: pipeline.Deny, code: shuin.CodeUnsigned, rule: "other", mode: pipeline.Warn, allowed: true, digest: sha("bad")}, "medium app deny unsigned"},
		{"the first once more", bad, ""},
	} {
		s.gate.say(app, c.said)
		version++
		s.observe(task("a", version, app), watch.Decided)
		if got := s.pager.take(); got != c.want {
			t.Errorf("%s: told %q, wanted %q", c.name, got, c.want)
		}
	}
}

func TestFindingsOfDifferentThingsAreApart(t *testing.T) {
	s := newScene(t)
	base := task("a", 1, app)
	for name, change := range map[string]func(*watch.Observation){
		"the first":            func(*watch.Observation) {},
		"another service":      func(o *watch.Observation) { o.Subject.Group = "service:other" },
		"another cluster":      func(o *watch.Observation) { o.Subject.Cluster = "test" },
		"another account":      func(o *watch.Observation) { o.Subject.Account = "444455556666" },
		"another region":       func(o *watch.Observation) { o.Subject.Region = "eu-west-1" },
		"another container":    func(o *watch.Observation) { o.Images = []gate.Image{{Name: "side", Written: app}} },
		"another repository":   func(o *watch.Observation) { o.Images = []gate.Image{{Name: "app", Written: "reg.example/other:1"}} },
		"another kind":         func(o *watch.Observation) { o.Subject.Kind = watch.Service },
		"no group: the ARN":    func(o *watch.Observation) { o.Subject.Group = "" },
		"parts that run along": func(o *watch.Observation) { o.Subject.Cluster, o.Subject.Group = "prodservice:", "shop" },
	} {
		o := base
		change(&o)
		o.Subject.ARN += strings.ReplaceAll(name, " ", "")
		s.observe(o, watch.Decided)
		if s.pager.take() == "" {
			t.Errorf("%s is not told", name)
		}
	}
	o := task("z", 1, app)
	s.observe(o, watch.Decided)
	s.told("")
}

func TestWhatWasDecidedIsNotDecidedAgain(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	s.observe(task("a", 4, app), watch.Decided)
	if r := s.observe(task("a", 4, app), watch.Dropped); !errors.Is(r.Reason, watch.ErrDuplicate) {
		t.Error(r.Reason)
	}
	early := task("a", 1, app)
	early.Phase = watch.Starting
	if r := s.observe(early, watch.Dropped); !errors.Is(r.Reason, watch.ErrOlder) {
		t.Error("a task that runs starts again:", r.Reason)
	}
	swept := task("a", 1, app)
	swept.Phase = watch.Swept
	s.observe(swept, watch.Decided) // has versions of its own
	s.observe(swept, watch.Dropped)
	s.observe(task("a", 5, app), watch.Decided)
	if len(s.gate.asked) != 3 {
		t.Errorf("the gate was asked %d times", len(s.gate.asked))
	}
}

func TestCallsOfOneSecondAreEachDecided(t *testing.T) {
	for _, phase := range []watch.Phase{watch.Requested, watch.Deployed, watch.Pushed} {
		s := newScene(t)
		call := task("a", begin.UnixMilli(), app)
		call.Phase, call.Event = phase, "first"
		s.observe(call, watch.Decided)
		call.Event = "second"
		s.observe(call, watch.Decided)
		call.Event, call.Version = "late", call.Version-1000
		s.observe(call, watch.Decided)
		s.observe(call, watch.Dropped) // delivered twice
		if len(s.gate.asked) != 3 {
			t.Errorf("%s: the gate was asked %d times", phase, len(s.gate.asked))
		}
	}
}

func TestWhatIsBeingDecidedElsewhereComesAgain(t *testing.T) {
	s := newScene(t)
	o := task("a", 4, app)
	claim := watch.Claim{Key: "task/state/" + o.Subject.ARN, Version: 4}
	if _, err := s.store.Begin(context.Background(), claim, begin, time.Minute); err != nil {
		t.Fatal(err)
	}
	if r := s.observe(o, watch.Retry); !errors.Is(r.Reason, watch.ErrBusy) || len(s.gate.asked) != 0 {
		t.Error(r.Reason)
	}
	s.after(time.Minute)
	s.observe(o, watch.Decided)
}

func TestWhatCouldNotBeCheckedComesAgainUntilTheLastTime(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, unknown)
	o := task("a", 4, app)
	for range 3 {
		if r := s.observe(o, watch.Retry); len(r.Findings) != 0 || shuin.CodeOf(r.Reason) != shuin.CodeThrottled {
			t.Errorf("%v: %v", r.Reason, r.Findings)
		}
	}
	s.told("")
	o.Last = true
	r := s.observe(o, watch.Decided)
	s.told("medium app undecided registry-throttled")
	if f := r.Findings[0]; f.Outcome != pipeline.Undecided || f.Code == shuin.CodeUnsigned || !strings.Contains(f.Line(), "could not be checked") {
		t.Error(f.Line())
	}
	o.Version++
	s.observe(o, watch.Decided)
	s.told("")
	s.gate.say(app, good)
	o.Version++
	s.observe(o, watch.Decided)
	s.told("resolved app")
}

func TestWhatIsWrongForCertainIsToldThoughTheRestIsNotKnown(t *testing.T) {
	s := newScene(t)
	s.gate.say("reg.example/a:1", bad)
	s.gate.say("reg.example/b:1", unknown)
	s.gate.say("reg.example/c:1", said{outcome: pipeline.Deny, code: shuin.CodeRevoked, rule: "shop", digest: sha("c")})
	o := task("a", 1, "")
	o.Images = []gate.Image{{Name: "a", Written: "reg.example/a:1"}, {Name: "b", Written: "reg.example/b:1"}, {Name: "c", Written: "reg.example/c:1"}, {Name: "a", Written: "reg.example/a:1"}}
	if r := s.observe(o, watch.Retry); len(r.Findings) != 2 {
		t.Errorf("%d findings", len(r.Findings))
	}
	s.told("high a deny unsigned\nhigh c deny revoked")
	s.gate.say("reg.example/b:1", good)
	s.observe(o, watch.Decided)
	s.told("")
}

func TestAFindingIsResolvedOnce(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	open := s.observe(task("a", 1, app), watch.Decided).Findings[0]
	s.told("high app deny unsigned")

	sealed := good
	sealed.digest = sha("bad") // it was sealed meanwhile
	s.gate.say(app, sealed)
	r := s.observe(task("a", 2, app), watch.Decided)
	s.told("resolved app")
	if f := r.Told[0].Finding; !f.Resolved || f.Outcome != pipeline.Admit || !strings.HasPrefix(f.Message, "finding resolved: ") || !strings.HasPrefix(f.Line(), "resolved: ") {
		t.Error(f.Line())
	} else if f.ID != open.ID || !slices.Equal(f.Ends, []digest.Digest{open.State}) {
		t.Errorf("it ends %v of %s, and told was %s of %s", f.Ends, f.ID, open.State, open.ID)
	}
	s.observe(task("b", 1, app), watch.Decided)
	s.told("")

	s.gate.say(app, bad)
	s.observe(task("a", 3, app), watch.Decided)
	s.told("high app deny unsigned")
	excepted := sealed
	excepted.excepts = &pipeline.Exception{Reason: "INC-1", Owner: "sre", Expires: begin.Add(time.Hour)}
	s.gate.say(app, excepted)
	r = s.observe(task("a", 4, app), watch.Decided)
	s.told("resolved app")
	if !strings.Contains(r.Told[0].Finding.Message, `exception "INC-1" of sre`) {
		t.Error(r.Told[0].Finding.Message)
	}
}

func TestADeploymentOfAnotherImageDoesNotFlap(t *testing.T) {
	s := newScene(t)
	const old = "reg.example/shop:0"
	s.gate.say(old, bad)
	s.gate.say(app, good)
	sweep := int64(0)
	both := func() {
		sweep++
		for _, o := range []watch.Observation{task("new", sweep, app), task("old", sweep, old)} {
			o.Phase = watch.Swept
			s.observe(o, watch.Decided)
		}
	}
	both()
	s.told("high app deny unsigned")
	for range 5 {
		s.after(time.Hour)
		both()
		s.told("")
	}
	for range 2 { // the old one is gone, and no sweep is ended
		s.after(limits.WatchSettle/2 - time.Minute)
		sweep++
		o := task("new", sweep, app)
		o.Phase = watch.Swept
		s.observe(o, watch.Decided)
		s.told("")
	}
	s.after(2 * time.Minute)
	s.observe(task("new", 1, app), watch.Decided)
	s.told("resolved app")
}

func TestTheEndOfASweepResolvesWhatItDidNotSee(t *testing.T) {
	s := newScene(t)
	const old = "reg.example/shop:0"
	s.gate.say(old, bad)
	s.gate.say(app, good)
	sweep := func(end bool, want string, images ...string) {
		t.Helper()
		s.after(6 * time.Hour)
		began := s.Now()
		for _, image := range images {
			s.after(time.Second)
			o := task(image[len(image)-1:], began.UnixMilli(), image)
			o.Phase, o.At = watch.Swept, began
			s.observe(o, watch.Decided)
		}
		if end {
			told, err := s.EndSweep(context.Background(), began, nil)
			if err != nil || (len(told) > 0) != (want == "resolved app") {
				t.Fatal(told, err)
			}
		}
		s.told(want)
	}
	s.Remind = 0
	sweep(true, "high app deny unsigned", app, old)
	sweep(true, "", app, old)
	sweep(true, "", old, app)
	sweep(false, "", app) // it failed somewhere: who knows what it did not see
	sweep(true, "", old)
	sweep(true, "resolved app", app)
	sweep(true, "", app)
	sweep(true, "high app deny unsigned", app, old)
	sweep(false, "", app)
	sweep(true, "") // saw nothing of the group
	sweep(true, "resolved app", app)

	// A store may be minutes late in saying when it was seen.
	s.after(6*time.Hour - limits.WatchSeenEvery + time.Second)
	s.observe(task("e", 1, old), watch.Decided)
	s.told("high app deny unsigned")
	s.after(limits.WatchSeenEvery - time.Second - 6*time.Hour)
	sweep(true, "", app)
	sweep(true, "resolved app", app)

	sweep(true, "high app deny unsigned", app, old)
	s.pager.fail = true
	sweep2 := func() error {
		s.after(6 * time.Hour)
		o := task("1", s.Now().UnixMilli(), app)
		o.Phase, o.At = watch.Swept, s.Now()
		s.observe(o, watch.Decided)
		_, err := s.EndSweep(context.Background(), o.At, nil)
		return err
	}
	if sweep2() == nil {
		t.Error("nobody was told, and nobody says so")
	}
	s.pager.fail = false
	if err := sweep2(); err != nil {
		t.Error(err)
	}
	s.told("resolved app")
}

func TestANotifierThatFailsIsToldNextTime(t *testing.T) {
	s := newScene(t)
	chat := &pager{name: "chat", fail: true}
	s.Routes = append([]watch.Route{{Notifier: chat}}, s.Routes...)
	s.gate.say(app, bad)
	r := s.observe(task("a", 1, app), watch.Retry)
	s.told("high app deny unsigned")
	if len(r.Told) != 2 || r.Told[0].Err == nil || r.Told[0].To != "chat" || r.Told[1].Err != nil || !strings.Contains(r.Reason.Error(), "to chat: nobody answers") {
		t.Errorf("%v: %+v", r.Reason, r.Told)
	}
	last := task("a", 1, app)
	last.Last = true
	s.observe(last, watch.Retry) // nobody was told: it is not settled
	chat.fail = false
	s.observe(task("a", 1, app), watch.Decided)
	if got := chat.take(); got != "high app deny unsigned" {
		t.Errorf("chat was told %q", got)
	}
	s.told("")

	// The same for what is resolved.
	sealed := good
	sealed.digest = sha("bad")
	s.gate.say(app, sealed)
	chat.fail = true
	s.observe(task("a", 2, app), watch.Retry)
	s.told("resolved app")
	chat.fail = false
	s.observe(task("a", 2, app), watch.Decided)
	if got := chat.take(); got != "resolved app" {
		t.Errorf("chat was told %q", got)
	}
	s.told("")
}

func TestARouteHearsWhatItWants(t *testing.T) {
	for _, c := range []struct {
		name  string
		route watch.Route
		want  bool
	}{
		{"everything", watch.Route{}, true},
		{"its rule", watch.Route{Rules: []string{"other", "shop"}}, true},
		{"its rule by a star", watch.Route{Rules: []string{"sh*"}}, true},
		{"another rule", watch.Route{Rules: []string{"other"}}, false},
		{"its outcome", watch.Route{Outcomes: []pipeline.Outcome{pipeline.Deny}}, true},
		{"another outcome", watch.Route{Outcomes: []pipeline.Outcome{pipeline.Undecided}}, false},
		{"its kind", watch.Route{Kinds: []watch.Kind{watch.NotAdmitted}}, true},
		{"another kind", watch.Route{Kinds: []watch.Kind{watch.NotAdmin}}, false},
		{"its severity", watch.Route{Severity: []watch.Severity{watch.High}}, true},
		{"another severity", watch.Route{Severity: []watch.Severity{watch.Low}}, false},
		{"all but one", watch.Route{Rules: []string{"shop"}, Outcomes: []pipeline.Outcome{pipeline.Deny}, Kinds: []watch.Kind{watch.NotAdmin}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.gate.say(app, bad)
			c.route.Notifier = s.pager
			s.Routes = []watch.Route{c.route}
			s.observe(task("a", 1, app), watch.Decided)
			if got := s.pager.take() != ""; got != c.want {
				t.Errorf("told: %t", got)
			}
		})
	}
}

func TestARunningTaskIsJudgedByWhatRuns(t *testing.T) {
	running := gate.Image{Name: "app", Written: app, Running: sha("old")}
	for _, c := range []struct {
		name  string
		moved said // of the tag
		runs  said // of what runs
		asked int
		want  string
	}{
		{"the tag is where it was", good, bad, 1, ""},
		{"the tag was moved, and what runs is good", tagIsGone, good, 2, ""},
		{"the tag was moved, and what runs could not be checked", tagIsGone, unknown, 2, "retry"},
		{"the tag was moved, and what runs is not sealed itself", tagIsGone, bad, 2, "high app deny digest-not-in-index"},
		{"what the tag names is bad", bad, good, 1, "high app deny unsigned"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.gate.say(app, c.moved)
			s.gate.say("reg.example/shop@"+string(sha("old")), c.runs)
			o := task("a", 1, app)
			o.Images = []gate.Image{running}
			want := watch.Decided
			if c.want == "retry" {
				want, c.want = watch.Retry, ""
			}
			r := s.observe(o, want)
			s.told(c.want)
			if len(s.gate.asked) != c.asked || r.Verdict.Images[0].Image != running {
				t.Errorf("asked %d times, about %+v", len(s.gate.asked), r.Verdict.Images[0].Image)
			}
		})
	}
}

func TestOnlyOfTasksAndPodsItIsAskedWhatTheirTagsResolveTo(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, good)
	starts := task("a", 1, app)
	starts.Phase = watch.Starting
	s.observe(starts, watch.Decided)
	s.observe(definition(7, app), watch.Decided)
	pod := task("b", 1, app)
	pod.Phase, pod.Subject = watch.Swept, watch.Subject{Kind: watch.Pod, ARN: "k8s://prod/shop/pods/web-1", Cluster: "prod", Group: "deployment:shop/web"}
	s.observe(pod, watch.Decided)
	if !s.gate.asked[0].Pins || s.gate.asked[1].Pins || !s.gate.asked[2].Pins || len(s.gate.asked) != 3 {
		t.Errorf("%+v", s.gate.asked)
	}
	if s.gate.asked[0].Where.Cluster != "prod" {
		t.Errorf("asked for the cluster %q", s.gate.asked[0].Where.Cluster)
	}
}

func TestAnObservationThatNobodyCanDecideIsPoison(t *testing.T) {
	for name, change := range map[string]func(*watch.Observation){
		"no kind":        func(o *watch.Observation) { o.Subject.Kind = "" },
		"a signer":       func(o *watch.Observation) { o.Subject.Kind = watch.Signer },
		"no phase":       func(o *watch.Observation) { o.Phase = "later" },
		"no ARN":         func(o *watch.Observation) { o.Subject.ARN = "" },
		"no images":      func(o *watch.Observation) { o.Images = nil },
		"many images":    func(o *watch.Observation) { o.Images = make([]gate.Image, limits.GateImages+1) },
		"a long ARN":     func(o *watch.Observation) { o.Subject.ARN = strings.Repeat("a", limits.WatchARNBytes+1) },
		"a long group":   func(o *watch.Observation) { o.Subject.Group = strings.Repeat("a", limits.WatchTextBytes+1) },
		"a long account": func(o *watch.Observation) { o.Subject.Account = strings.Repeat("1", 100) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			o := task("a", 1, app)
			change(&o)
			r, err := s.Observe(context.Background(), o)
			if code := shuin.CodeOf(err); code != shuin.CodeInvalidInput && code != shuin.CodeLimit || r != nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestAThousandContainersAreJudgedEach(t *testing.T) {
	s := newScene(t)
	o := task("a", 1, "")
	o.Images = nil
	for i := range limits.GateImages {
		o.Images = append(o.Images, gate.Image{Name: fmt.Sprint("c", i), Written: fmt.Sprintf("reg.example/shop/%d:1", i)})
	}
	if r := s.observe(o, watch.Decided); len(r.Findings) != limits.GateImages {
		t.Errorf("%d findings", len(r.Findings))
	}
	if n := len(strings.Split(s.pager.take(), "\n")); n != limits.GateImages {
		t.Errorf("%d told", n)
	}
}

// flaky is a store that fails once, at one of its calls.
type flaky struct {
	watch.Store
	at, calls int
	did       bool // the call is made, and its answer lost
}

var errStore = errors.New("the store does not answer")

func (f *flaky) fails(call func()) bool {
	f.calls++
	if f.calls != f.at {
		return false
	}
	if f.did {
		call()
	}
	return true
}

func (f *flaky) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	if f.fails(func() { _, _ = f.Store.Begin(ctx, c, now, lease) }) {
		return "", errStore
	}
	return f.Store.Begin(ctx, c, now, lease)
}

func (f *flaky) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	if f.fails(func() { _ = f.Store.Done(ctx, c, token, now) }) {
		return errStore
	}
	return f.Store.Done(ctx, c, token, now)
}

func (f *flaky) Release(ctx context.Context, c watch.Claim, token string) error {
	if f.fails(func() { _ = f.Store.Release(ctx, c, token) }) {
		return errStore
	}
	return f.Store.Release(ctx, c, token)
}

func (f *flaky) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	if f.fails(func() { _, _ = f.Store.Tell(ctx, t, now, remind, lease) }) {
		return 0, errStore
	}
	return f.Store.Tell(ctx, t, now, remind, lease)
}

func (f *flaky) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	if f.fails(func() { _ = f.Store.Told(ctx, t, now) }) {
		return errStore
	}
	return f.Store.Told(ctx, t, now)
}

func (f *flaky) Untell(ctx context.Context, t watch.Telling) error {
	if f.fails(func() { _ = f.Store.Untell(ctx, t) }) {
		return errStore
	}
	return f.Store.Untell(ctx, t)
}

func (f *flaky) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	if f.fails(func() {}) {
		return nil, errStore
	}
	return f.Store.Tellings(ctx, id)
}

func (f *flaky) Forget(ctx context.Context, t watch.Telling) (bool, error) {
	if f.fails(func() {}) {
		return false, errStore
	}
	return f.Store.Forget(ctx, t)
}

// TestWhereverTheStoreFailsNothingIsLost has each call of the store fail in
// turn, with and without effect, and brings the observation again until it is
// settled.
func TestWhereverTheStoreFailsNothingIsLost(t *testing.T) {
	for _, c := range []struct{ did, deaf bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		did := c.did
		for at := 1; ; at++ {
			s := newScene(t)
			s.pager.fail = c.deaf // the first time
			f := &flaky{Store: s.store, at: at, did: did}
			s.Store = f
			s.gate.say(app, bad)
			s.gate.say("reg.example/good:1", good)
			o := task("a", 1, app)
			o.Images = append(o.Images, gate.Image{Name: "good", Written: "reg.example/good:1"})
			settled := 0
			for range 40 {
				r, err := s.Observe(context.Background(), o)
				if err != nil {
					t.Fatal(err)
				}
				if r.Ack() {
					settled++
					if !errors.Is(r.Reason, watch.ErrDuplicate) && r.Disposition != watch.Decided {
						t.Fatalf("call %d: %v", at, r.Reason)
					}
					break
				}
				s.pager.fail = false
				s.after(time.Minute)
			}
			told := s.pager.take()
			twice := told == "high app deny unsigned\nhigh app deny unsigned" // sent, and not recorded
			if settled != 1 || told != "high app deny unsigned" && !(twice && !did) {
				t.Errorf("call %d of the store fails (%+v): settled %d times, told %q", at, c, settled, told)
			}
			if f.calls < at {
				if at < 6 {
					t.Errorf("the store was called %d times only", at)
				}
				break
			}
		}
	}
}

func TestAClaimIsGivenBackThoughTheCallersTimeIsOver(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, unknown)
	ctx, cancel := context.WithCancel(context.Background())
	s.Gate = decider(func(c context.Context, w gate.Workload) *gate.Verdict { cancel(); return s.gate.Decide(c, w) })
	r, err := s.Observe(ctx, task("a", 1, app))
	if err != nil || r.Disposition != watch.Retry {
		t.Fatal(r, err)
	}
	s.Gate = s.gate
	s.gate.say(app, good)
	s.observe(task("a", 1, app), watch.Decided)
}

type decider func(context.Context, gate.Workload) *gate.Verdict

func (d decider) Decide(ctx context.Context, w gate.Workload) *gate.Verdict { return d(ctx, w) }

func TestWhoDiesWhileHeTellsLeavesItToTheNext(t *testing.T) {
	s := newScene(t)
	s.gate.say(app, bad)
	s.Gate = decider(func(ctx context.Context, w gate.Workload) *gate.Verdict {
		s.after(time.Minute)
		return s.gate.Decide(ctx, w)
	})
	s.Lease = 10 * time.Minute
	s.Routes = []watch.Route{{Notifier: dying{s.pager}}}
	died := make(chan struct{})
	go func() {
		defer close(died)
		_, _ = s.Observe(context.Background(), task("a", 1, app))
	}()
	<-died
	s.Gate, s.Routes = s.gate, []watch.Route{{Notifier: s.pager}}
	s.observe(task("a", 1, app), watch.Retry)
	s.after(9 * time.Minute)
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny unsigned")
}

type dying struct{ *pager }

// Notify never returns, nor does who called it: nothing after it is done.
func (dying) Notify(context.Context, watch.Finding) error { runtime.Goexit(); return nil }
