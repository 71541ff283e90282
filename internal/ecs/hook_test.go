package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

const (
	revisionARN   = "arn:aws:ecs:eu-west-1:210987654321:service-revision/prod-a/shop/4100000000000000002"
	olderARN      = "arn:aws:ecs:eu-west-1:210987654321:service-revision/prod-a/shop/4100000000000000001"
	definitionARN = "arn:aws:ecs:eu-west-1:210987654321:task-definition/shop:7"
	serviceARN    = "arn:aws:ecs:eu-west-1:210987654321:service/prod-a/shop"
	webImage      = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/shop/web:1.4"
)

var (
	hookNow = time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)
	digestA = digest.Digest("sha256:" + strings.Repeat("1a", 32))
	digestB = digest.Digest("sha256:" + strings.Repeat("2b", 32))
)

// decider answers as the test says, and remembers what it was asked.
type decider struct {
	asked  []gate.Workload
	answer func(ctx context.Context, w gate.Workload) *gate.Verdict
}

func (d *decider) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	d.asked = append(d.asked, w)
	return d.answer(ctx, w)
}

// verdict is one about every image alike.
func verdict(o pipeline.Outcome, allowed bool, code shuin.Code) func(context.Context, gate.Workload) *gate.Verdict {
	return func(_ context.Context, w gate.Workload) *gate.Verdict {
		v := &gate.Verdict{Outcome: o, Allowed: allowed, Time: hookNow}
		for _, i := range w.Images {
			iv := gate.ImageVerdict{Image: i, Outcome: o, Allowed: allowed, Mode: pipeline.Enforce, Rule: "shop"}
			if code != "" {
				iv.Err = &shuin.Error{Code: code, Message: "because", Hint: "do this"}
			}
			v.Images = append(v.Images, iv)
		}
		return v
	}
}

var (
	admits    = verdict(pipeline.Admit, true, "")
	denies    = verdict(pipeline.Deny, false, shuin.CodeUnsigned)
	undecided = verdict(pipeline.Undecided, false, shuin.CodeUnavailable)
)

// reader is a RevisionReader; runner a TaskReader too.
type reader struct {
	revision, definition RevisionImages
	err, definitionErr   error
	asked                []string
}

func (r *reader) ServiceRevision(_ context.Context, arn string) (RevisionImages, error) {
	r.asked = append(r.asked, arn)
	return r.revision, r.err
}

func (r *reader) TaskDefinitionImages(_ context.Context, ref TaskDefinitionRef) (RevisionImages, error) {
	r.asked = append(r.asked, ref.Name)
	return r.definition, r.definitionErr
}

type runner struct {
	*reader
	running []ContainerImage
	of      Started
	err     error
}

func (r *runner) RunningImages(_ context.Context, service string, of Started) ([]ContainerImage, error) {
	r.reader.asked, r.of = append(r.reader.asked, service), of
	return r.running, r.err
}

func someReader() *reader {
	images := []ContainerImage{{Container: "app", Image: webImage}, {Container: "proxy", Image: "nginx:1.29"}}
	return &reader{revision: RevisionImages{TaskDefinition: definitionARN}, definition: RevisionImages{TaskDefinition: definitionARN, Images: images}}
}

func hookAt(stage string) *HookEvent {
	return &HookEvent{ExecutionID: "x", Stage: stage, Service: serviceARN, Revision: revisionARN}
}

// answerOf has a hook answer and gives its record too.
func answerOf(t *testing.T, h *Hook, e *HookEvent) (HookAnswer, *HookRecord) {
	t.Helper()
	var got *HookRecord
	if h.Now == nil {
		h.Now = func() time.Time { return hookNow }
	}
	h.Record = func(_ context.Context, r *HookRecord) { got = r }
	answer := h.Answer(t.Context(), e)
	if got == nil {
		t.Fatal("nothing was recorded")
	}
	if got.Answer != string(answer.Status) {
		t.Errorf("%s was recorded, and %s answered", got.Answer, answer.Status)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Errorf("the record cannot be written: %v", err)
	}
	return answer, got
}

func TestWhatAHookIsAnswered(t *testing.T) {
	unavailable := &shuin.Error{Code: shuin.CodeUnavailable, Message: "read service revision"}
	broken := &shuin.Error{Code: shuin.CodeMalformed, Message: "read service revision"}
	for _, c := range []struct {
		name   string
		gate   func(context.Context, gate.Workload) *gate.Verdict
		change func(*Hook, *reader)
		want   HookStatus
		warned string // what is wanted where it warns: as if it did not
	}{
		{"what is admitted goes on", admits, nil, HookSucceeded, "SUCCEEDED"},
		{"what is denied does not", denies, nil, HookFailed, "FAILED"},
		{"what is denied where the rule does not enforce goes on", verdict(pipeline.Deny, true, shuin.CodeUnsigned), nil, HookSucceeded, "SUCCEEDED"},
		{"what could not be checked is asked again", undecided, nil, HookInProgress, "IN_PROGRESS"},
		{"what could not be checked and is allowed goes on", verdict(pipeline.Undecided, true, shuin.CodeUnavailable), nil, HookSucceeded, "SUCCEEDED"},
		{"a revision that cannot be read now is asked again", admits, func(_ *Hook, r *reader) { r.err = unavailable }, HookInProgress, "IN_PROGRESS"},
		{"a task definition that cannot be read now is asked again", admits, func(_ *Hook, r *reader) { r.definitionErr = unavailable }, HookInProgress, "IN_PROGRESS"},
		{"a malformed answer is a denial", admits, func(_ *Hook, r *reader) { r.err = broken }, HookFailed, "FAILED"},
		{"a revision without a task definition is a denial", admits, func(_ *Hook, r *reader) { r.revision.TaskDefinition = "" }, HookFailed, "FAILED"},
		{"a task definition without containers is a denial", admits, func(_ *Hook, r *reader) { r.definition.Images = nil }, HookFailed, "FAILED"},
		{"an error without a code is a denial", admits, func(_ *Hook, r *reader) { r.err = errors.New("odd") }, HookFailed, "FAILED"},
		{"no verdict is a denial", func(context.Context, gate.Workload) *gate.Verdict { return nil }, nil, HookFailed, "FAILED"},
		{"a panic is a denial", func(context.Context, gate.Workload) *gate.Verdict { panic("at the gate") }, nil, HookFailed, "FAILED"},
		{"without retries what could not be checked fails", undecided, func(h *Hook, _ *reader) { h.Retries = -1 }, HookFailed, "FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, warn := range []bool{false, true} {
				r := someReader()
				h := &Hook{Gate: &decider{answer: c.gate}, Reader: r, Warn: warn}
				if c.change != nil {
					c.change(h, r)
				}
				want := c.want
				if warn {
					want = HookSucceeded
				}
				answer, record := answerOf(t, h, hookAt("PRE_SCALE_UP"))
				if answer.Status != want || record.Wanted != c.warned {
					t.Errorf("warn mode %t: %s (wanted %s), expected %s: %s", warn, answer.Status, record.Wanted, want, record.Reason())
				}
				if answer.Status != HookInProgress && (answer.Delay != 0 || answer.Details != nil) {
					t.Errorf("%+v", answer)
				}
			}
		})
	}
}

func TestEveryContainerIsJudgedWhateverECSHasOnRecord(t *testing.T) {
	web, nginx := gate.Image{Name: "app", Written: webImage}, gate.Image{Name: "proxy", Written: "docker.io/library/nginx:1.29"}
	with := func(i gate.Image, d digest.Digest) gate.Image { i.Running = d; return i }
	for _, c := range []struct {
		name    string
		stage   string
		record  []ContainerImage
		running []ContainerImage
		want    []gate.Image
		asked   int // calls made
	}{
		{"nothing on record: those of the task definition", "PRE_SCALE_UP", nil, nil, []gate.Image{web, nginx}, 2},
		{"only some on record: all of the task definition", "PRE_SCALE_UP", []ContainerImage{{"app", webImage, digestA}}, nil, []gate.Image{with(web, digestA), nginx}, 2},
		{"one on record that the task definition has not: it too", "PRE_SCALE_UP", []ContainerImage{{"agent", "public.ecr.aws/x/agent:1", digestB}}, nil,
			[]gate.Image{web, nginx, {Name: "agent", Written: "public.ecr.aws/x/agent:1", Running: digestB}}, 2},
		{"before the start no tasks are looked at", "RECONCILE_SERVICE", nil, []ContainerImage{{"app", webImage, digestA}}, []gate.Image{web, nginx}, 2},
		{"after the start what runs is judged", "POST_SCALE_UP", nil, []ContainerImage{{"app", webImage, digestA}}, []gate.Image{with(web, digestA), nginx}, 3},
		{"after the start each digest that runs is judged", "POST_SCALE_UP", nil, []ContainerImage{{"app", webImage, digestA}, {"app", webImage, digestB}},
			[]gate.Image{with(web, digestA), with(web, digestB), nginx}, 3},
		{"what ECS has on record does not hide what tasks run", "POST_SCALE_UP", []ContainerImage{{"app", webImage, digestA}, {"proxy", "nginx:1.29", digestB}},
			[]ContainerImage{{"app", webImage, digestB}}, []gate.Image{with(web, digestA), with(web, digestB), with(nginx, digestB)}, 3},
		{"what runs beside what ECS has on record is judged too", "POST_SCALE_UP", []ContainerImage{{"app", webImage, digestA}},
			[]ContainerImage{{"app", webImage, digestB}, {"app", webImage, digestA}, {"proxy", "nginx:1.29", ""}}, []gate.Image{with(web, digestA), with(web, digestB), nginx}, 3},
		{"a stage that nobody knows is judged like those after the start", "SOME_NEW_STAGE", nil, []ContainerImage{{"app", webImage, digestA}}, []gate.Image{with(web, digestA), nginx}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := someReader()
			r.revision.Images = c.record
			d := &decider{answer: admits}
			answer, record := answerOf(t, &Hook{Gate: d, Reader: &runner{reader: r, running: c.running}}, hookAt(c.stage))
			if answer.Status != HookSucceeded || len(d.asked) != 1 {
				t.Fatalf("%+v: %s", answer, record.Reason())
			}
			if diff := cmp.Diff(c.want, d.asked[0].Images); diff != "" {
				t.Error(diff)
			}
			if d.asked[0].Where != (pipeline.Where{Cluster: "prod-a"}) || d.asked[0].Pins {
				t.Errorf("asked for %+v, pins %t", d.asked[0].Where, d.asked[0].Pins)
			}
			if len(r.asked) != c.asked {
				t.Errorf("asked ECS for %q", r.asked)
			}
		})
	}
}

func TestTasksThatCannotBeLookedAtAreNotTakenForGood(t *testing.T) {
	h := &Hook{Gate: &decider{answer: admits}, Reader: &runner{reader: someReader(), err: &shuin.Error{Code: shuin.CodeForbidden, Message: "list tasks", Hint: "allow ecs:ListTasks"}}}
	if answer, record := answerOf(t, h, hookAt("POST_SCALE_UP")); answer.Status != HookInProgress || record.Code() != shuin.CodeForbidden {
		t.Errorf("%+v, %s", answer, record.Reason())
	}
}

func TestADeploymentIsNotHeldUpOnItsWayBack(t *testing.T) {
	weights := func(own, other float64) map[string]float64 {
		return map[string]float64{revisionARN: own, olderARN: other}
	}
	for _, c := range []struct {
		name             string
		stage            string
		test, production map[string]float64
		want             bool
	}{
		{"production traffic goes back", "PRODUCTION_TRAFFIC_SHIFT", nil, weights(0, 100), true},
		{"test traffic goes back", "TEST_TRAFFIC_SHIFT", weights(0, 100), nil, true},
		{"production traffic goes back to two revisions", "PRODUCTION_TRAFFIC_SHIFT", nil, map[string]float64{revisionARN: 0, olderARN: 60, olderARN + "0": 40}, true},
		{"production traffic goes back, in the older shape without a stage", "", nil, weights(0, 100), true},
		{"production traffic comes", "PRODUCTION_TRAFFIC_SHIFT", nil, weights(100, 0), false},
		{"some production traffic comes", "PRODUCTION_TRAFFIC_SHIFT", nil, weights(10, 90), false},
		{"no traffic yet, before the shift", "PRE_PRODUCTION_TRAFFIC_SHIFT", nil, weights(0, 100), false},
		{"no traffic yet, at the start", "PRE_SCALE_UP", nil, weights(0, 100), false},
		{"test traffic comes, and production's has not", "TEST_TRAFFIC_SHIFT", weights(100, 0), weights(0, 100), false},
		{"no weights", "PRODUCTION_TRAFFIC_SHIFT", nil, nil, false},
		{"its own weight is not told", "PRODUCTION_TRAFFIC_SHIFT", nil, map[string]float64{olderARN: 100}, false},
		{"nobody has all of it", "PRODUCTION_TRAFFIC_SHIFT", nil, weights(0, 50), false},
		{"all of nothing", "PRODUCTION_TRAFFIC_SHIFT", nil, map[string]float64{revisionARN: 0}, false},
		{"a stage that nobody knows", "SOME_NEW_STAGE", nil, weights(0, 100), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &decider{answer: denies}
			e := hookAt(c.stage)
			e.TestWeights, e.ProductionWeights = c.test, c.production
			answer, record := answerOf(t, &Hook{Gate: d, Reader: someReader()}, e)
			if (answer.Status == HookSucceeded) != c.want || record.Rollback != c.want || (len(d.asked) == 0) != c.want {
				t.Errorf("%+v, rollback %t, asked %d times", answer, record.Rollback, len(d.asked))
			}
		})
	}
}

func TestAskingAgainIsCountedAndEnds(t *testing.T) {
	h := &Hook{Gate: &decider{answer: undecided}, Reader: someReader(), Retries: 3, Delay: 45*time.Second + time.Millisecond}
	e := hookAt("PRE_SCALE_UP")
	e.Details = []byte(`{"team":"shop","nested":{"a":[1,2]}}`)
	for i := range 3 {
		answer, record := answerOf(t, h, e)
		if answer.Status != HookInProgress || answer.Delay != 46 || record.Attempt != i {
			t.Fatalf("attempt %d: %+v", i, answer)
		}
		want := fmt.Sprintf(`{"nested":{"a":[1,2]},"shuin":{"attempts":%d,"since":"2026-11-20T08:30:00Z"},"team":"shop"}`, i+1)
		if string(answer.Details) != want {
			t.Errorf("attempt %d keeps %s, not %s", i, answer.Details, want)
		}
		e.Details = answer.Details
		later := hookNow.Add(time.Duration(i+1) * time.Minute)
		h.Now = func() time.Time { return later }
	}
	answer, record := answerOf(t, h, e)
	if answer.Status != HookFailed || record.Attempt != 3 || !record.Since.Equal(hookNow) || !strings.Contains(record.Note, "all 4 attempts") || record.Code() != shuin.CodeUnavailable {
		t.Errorf("%+v, %+v", answer, record)
	}
	h.Gate = &decider{answer: admits}
	if answer, record := answerOf(t, h, e); answer.Status != HookSucceeded || record.Attempt != 3 || !record.Since.Equal(hookNow) {
		t.Errorf("what went well in the end says it took %d attempts since %s: %+v", record.Attempt, record.Since, answer)
	}
}

func TestHookDetailsAreNotTrusted(t *testing.T) {
	for _, c := range []struct {
		name, details string
		want          HookStatus
		kept          string
	}{
		{"there are none", ``, HookInProgress, `{"shuin":{"attempts":1,"since":"2026-11-20T08:30:00Z"}}`},
		{"they are a list", `[1]`, HookFailed, ""},
		{"they are a text", `"x"`, HookFailed, ""},
		{"they are an object in a text, which may come again and again", `"{\"team\":\"shop\"}"`, HookFailed, ""},
		{"a count below zero, which would never end", `{"shuin":{"attempts":-1000000,"since":"2026-11-20T08:00:00Z"}}`, HookFailed, ""},
		{"a count of zero, which is never kept", `{"shuin":{"attempts":0,"since":"2026-11-20T08:00:00Z"}}`, HookFailed, ""},
		{"a count larger than any", `{"shuin":{"attempts":99999999,"since":"2026-11-20T08:00:00Z"}}`, HookFailed, ""},
		{"a count that is a text", `{"shuin":{"attempts":"1","since":"2026-11-20T08:00:00Z"}}`, HookFailed, ""},
		{"a beginning that is to come", `{"shuin":{"attempts":1,"since":"2027-11-20T08:00:00Z"}}`, HookFailed, ""},
		{"a member that is not ours", `{"shuin":{"attempts":1,"since":"2026-11-20T08:00:00Z","more":1}}`, HookFailed, ""},
		{"ours is no object", `{"shuin":7}`, HookFailed, ""},
		{"ours in another case is somebody else's", `{"Shuin":{"attempts":-1}}`, HookInProgress, `{"Shuin":{"attempts":-1},"shuin":{"attempts":1,"since":"2026-11-20T08:30:00Z"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := hookAt("PRE_SCALE_UP")
			e.Details = []byte(c.details)
			answer, record := answerOf(t, &Hook{Gate: &decider{answer: undecided}, Reader: someReader()}, e)
			if answer.Status != c.want || string(answer.Details) != c.kept {
				t.Errorf("%s %s (%s)", answer.Status, answer.Details, record.Note)
			}
			// and they never make anything else of a denial or an admission
			for want, g := range map[HookStatus]func(context.Context, gate.Workload) *gate.Verdict{HookFailed: denies, HookSucceeded: admits} {
				if answer, _ := answerOf(t, &Hook{Gate: &decider{answer: g}, Reader: someReader()}, e); answer.Status != want {
					t.Errorf("%s where %s is due", answer.Status, want)
				}
			}
		})
	}
}

func TestNothingIsCountedBeyondTheMostThatMayBeAskedFor(t *testing.T) {
	for n, want := range map[int]string{limits.HookRetriesMost: "all 10001 attempts", limits.HookRetriesMost + 1: "that is not ours"} {
		e := hookAt("PRE_SCALE_UP")
		e.Details = fmt.Appendf(nil, `{"shuin":{"attempts":%d,"since":"2026-11-20T08:00:00Z"}}`, n)
		answer, record := answerOf(t, &Hook{Gate: &decider{answer: undecided}, Reader: someReader(), Retries: limits.HookRetriesMost}, e)
		if answer.Status != HookFailed || !strings.Contains(record.Note, want) {
			t.Errorf("%d: %+v, %q", n, answer, record.Note)
		}
	}
}

func TestAnAnswerComesBeforeTheEndWhateverIsSlow(t *testing.T) {
	for _, c := range []struct {
		name string
		gate func(stuck chan struct{}) func(context.Context, gate.Workload) *gate.Verdict
		warn bool
		want HookStatus
		took time.Duration
	}{
		{"a gate that says how far it came", func(chan struct{}) func(context.Context, gate.Workload) *gate.Verdict {
			return func(ctx context.Context, w gate.Workload) *gate.Verdict {
				<-ctx.Done()
				return verdict(pipeline.Undecided, false, shuin.CodeDeadline)(ctx, w)
			}
		}, false, HookInProgress, 57 * time.Second},
		{"a gate that never comes back", never, false, HookInProgress, 58500 * time.Millisecond},
		{"a gate that never comes back, in warn mode", never, true, HookSucceeded, 58500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stuck := make(chan struct{})
				defer close(stuck)
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var got *HookRecord
				h := &Hook{Gate: &decider{answer: c.gate(stuck)}, Reader: someReader(), Now: func() time.Time { return hookNow }, Warn: c.warn, Margin: 3 * time.Second,
					Record: func(_ context.Context, r *HookRecord) { got = r }}
				answer := h.Answer(ctx, hookAt("PRE_SCALE_UP"))
				if took := time.Since(begun); took != c.took {
					t.Errorf("the answer took %v of a minute", took)
				}
				if answer.Status != c.want || got.Code() != shuin.CodeDeadline || got.Wanted != string(HookInProgress) {
					t.Errorf("%+v, %s", answer, got.Reason())
				}
			})
		})
	}
}

// never does not answer, deadline or not.
func never(stuck chan struct{}) func(context.Context, gate.Workload) *gate.Verdict {
	return func(context.Context, gate.Workload) *gate.Verdict { <-stuck; return nil }
}

func TestAShortTimeLeavesATenthForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		within(ctx, 0, func(ctx context.Context) result { <-ctx.Done(); return result{} })
		if took := time.Since(begun); took != 2700*time.Millisecond {
			t.Errorf("the work had %v", took)
		}
	})
}

func TestARecordThatPanicsDoesNotReachTheAnswer(t *testing.T) {
	h := &Hook{Gate: &decider{answer: admits}, Reader: someReader(), Now: func() time.Time { return hookNow }, Record: func(context.Context, *HookRecord) { panic("in the log") }}
	if answer := h.Answer(t.Context(), hookAt("PRE_SCALE_UP")); answer.Status != HookSucceeded {
		t.Errorf("%+v", answer)
	}
}

func TestAnAnswerIsWrittenAsECSReadsIt(t *testing.T) {
	for want, a := range map[string]HookAnswer{
		`{"hookStatus":"SUCCEEDED"}`: {Status: HookSucceeded},
		`{"hookStatus":"IN_PROGRESS","callBackDelay":30,"hookDetails":{"a":1}}`: {Status: HookInProgress, Delay: 30, Details: []byte(`{"a":1}`)},
	} {
		if got, err := json.Marshal(a); err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestTheRecordTellsEveryImageAndTheVerdict(t *testing.T) {
	_, record := answerOf(t, &Hook{Gate: &decider{answer: denies}, Reader: someReader()}, hookAt("PRE_SCALE_UP"))
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		MediaType, Kind, Answer, Cluster, TaskDefinition string
		Reason                                           struct{ Code, Message, Hint string }
		Verdict                                          struct {
			MediaType string
			Images    []struct{ Image string }
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.MediaType != MediaTypeHook || got.Kind != "hook" || got.Answer != "FAILED" || got.Cluster != "prod-a" || got.TaskDefinition != definitionARN ||
		got.Reason.Code != "unsigned" || got.Reason.Hint != "do this" || got.Verdict.MediaType != gate.MediaTypeVerdict || len(got.Verdict.Images) != 2 {
		t.Errorf("%s", data)
	}
	for _, image := range []string{webImage, "docker.io/library/nginx:1.29"} {
		if !strings.Contains(got.Reason.Message, image) {
			t.Errorf("the reason leaves %s out: %s", image, got.Reason.Message)
		}
	}
}
