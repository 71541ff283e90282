package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// gateFunc decides by a function: by what is written of the first image.
type gateFunc func(ctx context.Context, written string) pipeline.Outcome

func (g gateFunc) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	v := &gate.Verdict{Outcome: g(ctx, w.Images[0].Written)}
	for _, i := range w.Images {
		iv := gate.ImageVerdict{Image: i, Outcome: v.Outcome, Mode: pipeline.Enforce, Rule: "r"}
		switch v.Outcome {
		case pipeline.Admit:
			iv.Allowed = true
		case pipeline.Undecided:
			iv.Err = &shuin.Error{Code: shuin.CodeThrottled, Message: "not now"}
		default:
			iv.Err = &shuin.Error{Code: shuin.CodeUnsigned, Message: "unsigned"}
		}
		v.Images = append(v.Images, iv)
	}
	return v
}

// watchedWorld is a function with this gate, and who is told.
func watchedWorld(g gateFunc) (*function, *hears) {
	ear := &hears{}
	f := sweptWorld(ear).function
	f.watcher.Gate, f.watcher.Store = g, leased{&watch.MemoryStore{}}
	return f, ear
}

// runs is a message about a task that runs an image.
func runs(id, image string, received int) ecs.Record {
	o := sweptTask(id)
	o.Phase, o.Images[0].Written = watch.Running, image
	return ecs.Record{ID: id, Received: received, Event: ecs.Event{Kind: ecs.KindSeen, What: "task", Seen: &ecs.Seen{Observation: o}}}
}

// givenBack are the messages that a batch is not done with.
func givenBack(t *testing.T, ctx context.Context, f *function, records ...ecs.Record) []string {
	t.Helper()
	body, err := f.batch(ctx, records)
	var a struct {
		Failures []struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	ids := []string{}
	for _, one := range a.Failures {
		ids = append(ids, one.ID)
	}
	return ids
}

func TestAPanicLeavesNoClaimBehind(t *testing.T) {
	calls := 0
	f, _ := watchedWorld(func(context.Context, string) pipeline.Outcome {
		if calls++; calls == 1 {
			panic("ouch")
		}
		return pipeline.Admit
	})
	if kept := givenBack(t, t.Context(), f, runs("a", "shop.example/web:v1", 1)); !slices.Equal(kept, []string{"a"}) {
		t.Errorf("after a panic %v are given back", kept)
	}
	if kept := givenBack(t, t.Context(), f, runs("a", "shop.example/web:v1", 2)); len(kept) != 0 {
		t.Errorf("the next time %v are given back", kept)
	}
}

func TestAClaimEndsWithTheInvocationThatTookIt(t *testing.T) {
	now := time.Date(2026, 11, 20, 8, 15, 30, 0, time.UTC)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Minute))
	defer cancel()
	start := time.Now()
	claim, telling := watch.Claim{Key: "task/state/a", Version: 7}, watch.Telling{ID: "f", State: digest.FromString("s"), To: "ear"}
	for _, c := range []struct {
		name string
		ctx  context.Context
		now  time.Time
		free time.Duration // after that it is another's
	}{
		{"of a minute", ctx, start, 75 * time.Second},
		{"whose time is over", ctx, start.Add(2 * time.Minute), 15 * time.Second},
		{"without an end", t.Context(), now, 16 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := leased{&watch.MemoryStore{}}
			if _, err := s.Begin(c.ctx, claim, c.now, 16*time.Minute); err != nil {
				t.Fatal(err)
			}
			if turn, err := s.Tell(c.ctx, telling, c.now, 0, 16*time.Minute); err != nil || turn != watch.First {
				t.Fatal(turn, err)
			}
			if _, err := s.Begin(c.ctx, claim, c.now.Add(c.free-2*time.Second), time.Second); !errors.Is(err, watch.ErrBusy) {
				t.Errorf("before its end: %v, want that another has it", err)
			}
			later := c.now.Add(c.free + 2*time.Second)
			if _, err := s.Begin(c.ctx, claim, later, time.Second); err != nil {
				t.Errorf("once it is over: %v", err)
			}
			if turn, err := s.Tell(c.ctx, telling, later, 0, time.Second); err != nil || turn != watch.First {
				t.Errorf("once it is over the turn to tell is %v (%v)", turn, err)
			}
		})
	}
}

func TestWhatAnotherIsAtIsNoTry(t *testing.T) {
	f, ear := watchedWorld(func(context.Context, string) pipeline.Outcome { return pipeline.Undecided })
	f.settings.Events.Receives = 2
	message := func(received int) ecs.Record { return runs("a", "shop.example/web:v1", received) }
	busy := watch.Claim{Key: "task/state/" + sweptTask("a").Subject.ARN, Version: 7}
	token, err := f.watcher.Store.Begin(t.Context(), busy, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		received, told int
		kept           bool
	}{{1, 0, true}, {2, 0, true}, {3, 1, false}} {
		if kept := givenBack(t, t.Context(), f, message(step.received)); (len(kept) > 0) != step.kept || len(ear.told) != step.told {
			t.Errorf("receive %d: %v given back, %d told", step.received, kept, len(ear.told))
		}
		if step.received == 1 {
			if err := f.watcher.Store.Release(t.Context(), busy, token); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNothingThatFollowsAFailureInAQueueThatKeepsOrderIsLookedAt(t *testing.T) {
	var asked []string
	f, _ := watchedWorld(func(_ context.Context, written string) pipeline.Outcome {
		asked = append(asked, written)
		return pipeline.Undecided
	})
	records := []ecs.Record{runs("a", "shop.example/a:v1", 1), runs("b", "shop.example/b:v1", 1)}
	for i := range records {
		records[i].Source = "arn:aws:sqs:eu-west-1:111122223333:shuin.fifo"
	}
	if kept := givenBack(t, t.Context(), f, records...); len(kept) != 2 || !slices.Equal(asked, []string{"shop.example/a:v1"}) {
		t.Errorf("%v given back, %v looked at", kept, asked)
	}
}

func TestARegistryThatHangsDoesNotUseUpTheTimeOfOthers(t *testing.T) {
	f, _ := watchedWorld(func(ctx context.Context, written string) pipeline.Outcome {
		if strings.HasPrefix(written, "hangs.example/") {
			<-ctx.Done()
			return pipeline.Undecided
		}
		if ctx.Err() != nil {
			return pipeline.Undecided
		}
		return pipeline.Admit
	})
	for name, source := range map[string]string{"at once": "q", "one after the other": "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var records []ecs.Record
			var want []string
			for i := range 8 {
				id := fmt.Sprint(name, " hangs ", i)
				if source == "q.fifo" && i > 0 {
					break
				}
				records, want = append(records, runs(id, "hangs.example/web:v1", 1)), append(want, id)
			}
			last := runs(name+" good", "shop.example/web:v1", 1)
			records = append(records, last)
			if source == "q.fifo" {
				records[0], records[1] = records[1], records[0]
			}
			for i := range records {
				records[i].Source = source
			}
			if kept := givenBack(t, ctx, f, records...); !slices.Equal(kept, want) {
				t.Errorf("given back: %v, want %v", kept, want)
			}
		})
	}
}

func TestNothingIsStoppedInWarnModeOrWhereReactionsAreOff(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*settings)
		want int
	}{
		{"a function that enforces stops", func(*settings) {}, 1},
		{"one in warn mode does not", func(s *settings) { s.Mode = modeWarn }, 0},
		{"one whose reactions are off does not", func(s *settings) { s.reactionsOff = true }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, _ := watchedWorld(nil)
			f.settings.React.DangerouslyStopTasks, f.settings.React.PerGroup, f.settings.React.Calm = true, 4, 0
			c.set(f.settings)
			w, err := f.newWatcher(newCaller(newLogger(io.Discard)), envOf(nil), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if w.Reactions.PerGroup != 4 || w.Reactions.Calm >= 0 {
				t.Errorf("%d for a group and %s of calm, want 4 and none", w.Reactions.PerGroup, w.Reactions.Calm)
			}
			e := &stops{}
			w.Gate, w.Reactor, f.watcher = gateFunc(func(context.Context, string) pipeline.Outcome { return pipeline.Deny }), e, w
			if kept := givenBack(t, t.Context(), f, runs("a", "shop.example/web:v1", 1)); len(kept) != 0 || len(e.arns) != c.want {
				t.Errorf("%d stopped, want %d (given back: %v)", len(e.arns), c.want, kept)
			}
		})
	}
}

func TestATaskDefinitionThatCannotBeReadIsForTheDeadLettersAndForNobodyToHearOf(t *testing.T) {
	malformed, throttled := &shuin.Error{Code: shuin.CodeInvalidInput, Message: "no container"}, &shuin.Error{Code: shuin.CodeThrottled, Message: "later"}
	for _, c := range []struct {
		name  string
		err   error
		last  bool
		fails bool
	}{
		{"it is malformed", malformed, false, true},
		{"it is malformed, the last time", malformed, true, true},
		{"ECS is away", throttled, false, false},
		{"ECS is away, the last time", throttled, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, ear := watchedWorld(nil)
			e := runs("a", "", 1).Event
			e.Seen.Read = &ecs.TaskDefinitionRef{Name: "shop:7"}
			ack, err := f.unread(t.Context(), e, c.err, c.last)
			if ack || (err != nil) != c.fails || err != nil && shuin.CodeOf(err) != shuin.CodeOf(c.err) {
				t.Errorf("settled %v, %v", ack, err)
			}
			if len(ear.told) != 0 {
				t.Errorf("told %+v, which nothing that is judged later would show to be over", ear.told)
			}
		})
	}
}

func TestTheStartVerifiesNoSignature(t *testing.T) {
	const signed = "policy:\n  bundle: policy.json\n  signedBy: {identities: [\"x509.subject: C=JP, ST=Tokyo, O=Example, CN=policy\"], trustStores: [\"ca:policy\"]}\n"
	for name, c := range map[string]struct {
		text  string
		looks bool
	}{"a bundle that is signed waits for the first event": {signed, false}, "a bundle in the package is read at once": {"policy: {bundle: policy.json}\n", true}} {
		t.Run(name, func(t *testing.T) {
			env := with(pkg(t, map[string]string{"policy.json": "{}", "policy.json.jws.sig": "{}"}), envConfig, c.text)
			s, err := loadSettings(env)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			f, err := newFunction(s, env, newLogger(&log), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if looked := !f.policies.looked.IsZero(); looked != c.looks {
				t.Errorf("looked at: %v, want %v\n%s", looked, c.looks, &log)
			}
		})
	}
}

// emptyECS is an account without clusters, which counts who lists them.
type emptyECS struct {
	mu     sync.Mutex
	lists  int
	status int // answered instead, when not zero
}

func (e *emptyECS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status != 0 {
		w.WriteHeader(e.status)
		return
	}
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ListClusters") {
		e.lists++
	}
	_, _ = io.WriteString(w, `{"clusterArns":[],"families":[]}`)
}

// newEmptyECS is what a function that sweeps meets.
func newEmptyECS(t *testing.T) (*emptyECS, *function) {
	t.Helper()
	e := &emptyECS{}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "of no use", "AWS_PROFILE": "",
		"AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	f, _ := watchedWorld(nil)
	f.ecs = &ecs.Client{Caller: newCaller(newLogger(io.Discard))}
	return e, f
}

// scheduled is the message of a schedule.
func scheduled(t *testing.T, id, at string) ecs.Record {
	t.Helper()
	body, err := json.Marshal(`{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event","source":"aws.events","account":"111122223333","time":"` + at +
		`","region":"eu-west-1","resources":["arn:aws:events:eu-west-1:111122223333:rule/shuin-SweepRule"],"detail":{}}`)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecs.Parse([]byte(`{"Records":[{"messageId":"` + id + `","receiptHandle":"x","body":` + string(body) +
		`,"attributes":{"ApproximateReceiveCount":"1"},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:111122223333:q","awsRegion":"eu-west-1"}]}`))
	if err != nil || len(e.Records) != 1 || e.Records[0].Err != nil {
		t.Fatalf("%+v, %v", e, err)
	}
	return e.Records[0]
}

func TestASweepThatComesThroughAQueueIsRun(t *testing.T) {
	e, f := newEmptyECS(t)
	const before, after = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
	if kept := givenBack(t, t.Context(), f, scheduled(t, "a", before), scheduled(t, "b", before)); len(kept) != 0 || e.lists != 1 {
		t.Errorf("given back: %v; %d sweeps for two messages that waited, want one", kept, e.lists)
	}
	if kept := givenBack(t, t.Context(), f, scheduled(t, "c", after)); len(kept) != 0 || e.lists != 2 {
		t.Errorf("given back: %v; %d sweeps, want another for what was sent since", kept, e.lists)
	}
	e.status = http.StatusForbidden
	if kept := givenBack(t, t.Context(), f, scheduled(t, "d", after)); !slices.Equal(kept, []string{"d"}) {
		t.Errorf("given back: %v, want the sweep that could see nothing", kept)
	}
	e.status = 0
	if kept := givenBack(t, t.Context(), f, scheduled(t, "d", after)); len(kept) != 0 || e.lists != 3 {
		t.Errorf("given back: %v, %d sweeps: what failed is run when it comes again", kept, e.lists)
	}
}

func TestOneSweepIsUnderWayAtATime(t *testing.T) {
	e, f := newEmptyECS(t)
	release, err := f.sweeps.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if kept := givenBack(t, ctx, f, scheduled(t, "a", "2999-01-01T00:00:00Z")); !slices.Equal(kept, []string{"a"}) || e.lists != 0 {
		t.Errorf("given back: %v, %d sweeps beside the other", kept, e.lists)
	}
	release()
	if kept := givenBack(t, t.Context(), f, scheduled(t, "a", "2999-01-01T00:00:00Z")); len(kept) != 0 || e.lists != 1 {
		t.Errorf("given back: %v, %d sweeps once the other has ended", kept, e.lists)
	}
}

func TestOnlyAWholeSweepSaysWhatIsOver(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*sweeping, *ecs.SweepReport) error
		over  bool
	}{
		{"all was seen and settled", func(*sweeping, *ecs.SweepReport) error { return nil }, true},
		{"a part of it failed", func(_ *sweeping, r *ecs.SweepReport) error {
			r.Failures = append(r.Failures, errors.New("access denied"))
			return nil
		}, false},
		{"something stays unsettled", func(s *sweeping, _ *ecs.SweepReport) error { s.leave(); return nil }, false},
		{"it ended before its time", func(*sweeping, *ecs.SweepReport) error { return context.DeadlineExceeded }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, ear := watchedWorld(func(_ context.Context, written string) pipeline.Outcome {
				if strings.HasSuffix(written, ":bad") {
					return pipeline.Deny
				}
				return pipeline.Admit
			})
			now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
			f.now = func() time.Time { return now }
			f.watcher.Now = f.now
			sweep := func(image string, spoil func(*sweeping, *ecs.SweepReport) error) {
				t.Helper()
				s, report := &sweeping{function: f}, &ecs.SweepReport{Began: now}
				o := sweptTask("a")
				o.At, o.Version, o.Images[0].Written = now, now.UnixMilli(), image
				if err := s.found(t.Context(), ecs.Found{Observation: o}); err != nil {
					t.Fatal(err)
				}
				why := spoil(s, report)
				if err := s.close(t.Context(), report, why); !errors.Is(err, why) {
					t.Fatal(err)
				}
			}
			sweep("shop.example/web:bad", func(*sweeping, *ecs.SweepReport) error { return nil })
			if len(ear.told) != 1 || ear.told[0].Resolved {
				t.Fatalf("told %+v", ear.told)
			}
			now = now.Add(time.Hour)
			sweep("shop.example/web:good", c.spoil)
			if over := len(ear.told) == 2 && ear.told[1].Resolved; over != c.over {
				t.Errorf("told that it is over: %v, want %v", over, c.over)
			}
		})
	}
}

func TestWhatASweepHasNoRoomToTryAgainIsUnsettled(t *testing.T) {
	f, ear := watchedWorld(func(context.Context, string) pipeline.Outcome { return pipeline.Undecided })
	s := &sweeping{function: f}
	s.again = make([]ecs.Found, 10_000)
	if err := s.found(t.Context(), ecs.Found{Observation: sweptTask("a"), Others: []watch.Subject{sweptTask("b").Subject}}); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(&s.inventory)
	if err != nil || !s.unsettled || len(ear.told) != 0 || !strings.Contains(string(text), `"subjects":2`) || !strings.Contains(string(text), `"retried":2`) {
		t.Errorf("unsettled %v, told %d, counted %s (%v)", s.unsettled, len(ear.told), text, err)
	}
}

func TestRetriesOfZeroMeanNever(t *testing.T) {
	f, _ := watchedWorld(nil)
	f.settings.Hook.Retries = 0
	if h := f.newHook(); h.Retries >= 0 {
		t.Errorf("%d, which a hook takes for its default", h.Retries)
	}
}

func TestTheConfigurationOfAPackageIsReadBesideItsMode(t *testing.T) {
	env := with(pkg(t, map[string]string{"pipeline.yaml": somePolicy, "shuin-lambda.yaml": "mode: warn\npolicy: {file: pipeline.yaml}\n"}), envMode, "EnForce")
	s, err := loadSettings(env)
	if err != nil || s.warns() || s.source != filepath.Join(env(envPackage), configName) {
		t.Errorf("%s of %s (%v)", s.Mode, s.source, err)
	}
}
