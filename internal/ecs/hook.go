package ecs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// Decider decides about a workload within ctx's deadline. *gate.Gate is one.
type Decider interface {
	Decide(ctx context.Context, w gate.Workload) *gate.Verdict
}

// RevisionImages are what a service revision, or a task definition, runs,
// container by container.
type RevisionImages struct {
	// TaskDefinition is an ARN with its revision.
	TaskDefinition string
	Images         []ContainerImage
	// Unresolved are the containers of a task definition whose tags ECS resolves
	// for each task anew (versionConsistency "disabled"), and not once for all.
	Unresolved []string
}

// ContainerImage is the image of one container, in ECS's words.
type ContainerImage struct {
	Container string
	Image     string        // as the task definition writes it
	Digest    digest.Digest // that ECS resolved it to, or runs; empty: not known
}

// RevisionReader reads what hooks do not say. Its errors are *shuin.Error: what
// their codes call undecided is asked again, all else is a denial.
type RevisionReader interface {
	// ServiceRevision reads a service revision (DescribeServiceRevisions): its
	// task definition, and the images that ECS has on record, which may be none,
	// or not those of every container.
	ServiceRevision(ctx context.Context, arn string) (RevisionImages, error)
	// TaskDefinitionImages reads every container of a task definition
	// (DescribeTaskDefinition); there are no digests.
	TaskDefinitionImages(ctx context.Context, ref TaskDefinitionRef) (RevisionImages, error)
}

// TaskReader is a RevisionReader that can look at running tasks.
type TaskReader interface {
	// RunningImages are the containers of the running tasks of a service (by ARN)
	// that are what is asked for, with the digests that they run; the same
	// container with the same digest once.
	RunningImages(ctx context.Context, service string, of Started) ([]ContainerImage, error)
}

// Started tells which tasks of a service are a deployment's.
type Started struct {
	TaskDefinition string // ARN
	// By is startedBy of the deployment's tasks as far as it is known: where any
	// has it, those without it are another deployment's of the same task
	// definition. Where none has it, all are looked at.
	By string
}

// HookStatus is the answer to a lifecycle hook.
type HookStatus string

// The answers ("hookStatus values", Amazon ECS Developer Guide).
const (
	HookSucceeded  HookStatus = "SUCCEEDED"
	HookFailed     HookStatus = "FAILED"
	HookInProgress HookStatus = "IN_PROGRESS"
)

// The stages at which it matters which one it is. Every other one, known or
// not, is judged like them.
const (
	stageReconcile      = "RECONCILE_SERVICE"
	stagePreScaleUp     = "PRE_SCALE_UP"
	stageTestShift      = "TEST_TRAFFIC_SHIFT"
	stagePostTest       = "POST_TEST_TRAFFIC_SHIFT"
	stageProduction     = "PRODUCTION_TRAFFIC_SHIFT"
	stagePostProduction = "POST_PRODUCTION_TRAFFIC_SHIFT"
)

// HookAnswer is what a lifecycle hook's function returns.
type HookAnswer struct {
	Status HookStatus `json:"hookStatus"`
	// Delay is in seconds, for IN_PROGRESS alone; ECS's own default is 30.
	Delay int `json:"callBackDelay,omitzero"`
	// Details are handed to the next call of this hook in this deployment.
	Details jsontext.Value `json:"hookDetails,omitzero"`
}

// Hook answers the lifecycle hooks of ECS service deployments. Safe for
// concurrent use.
type Hook struct {
	Gate Decider
	// Reader reads revisions. Where it is a TaskReader too, the tasks that started
	// are looked at for what runs of each container that is not written by digest.
	Reader RevisionReader
	Now    func() time.Time
	// Warn answers SUCCEEDED whatever happens; what would have been answered is
	// in the record.
	Warn bool
	// Retries is how often what could not be checked is answered with
	// IN_PROGRESS, before FAILED; 0: limits.HookRetries, negative: never.
	Retries int
	// Delay is until ECS asks again; 0: limits.HookDelay.
	Delay time.Duration
	// Margin is kept of the time that ctx gives; 0: limits.HookMargin. It is a
	// tenth of that time at most.
	Margin time.Duration
	// Record is given what was answered, and why, before the answer is returned;
	// nil: none. It may not keep ctx waiting.
	Record func(ctx context.Context, r *HookRecord)
}

// Answer answers one call of a hook before ctx ends. It never panics where
// Gate, Reader or Record do in its own goroutines: that is a failure, and in
// warn mode SUCCEEDED.
func (h *Hook) Answer(ctx context.Context, e *HookEvent) HookAnswer {
	r := &HookRecord{Kind: KindHook, Execution: e.ExecutionID, Stage: e.Stage, Service: e.Service, Revision: e.Revision, Warn: h.Warn}
	_, before, _ := readState(e.Details, h.Now().UTC())
	r.Attempt, r.Since = before.Attempts, before.Since
	answer := HookAnswer{Status: HookSucceeded}
	if r.Rollback = e.Rollback(); !r.Rollback {
		work := func(ctx context.Context) result { return h.judge(ctx, e) }
		r.take(within(ctx, h.Margin, work))
		answer = h.answer(e, r)
	}
	r.Wanted = string(answer.Status)
	if h.Warn {
		answer = HookAnswer{Status: HookSucceeded}
	}
	r.Answer = string(answer.Status)
	record(ctx, h.Record, r)
	return answer
}

// answer is what a judgement comes to.
func (h *Hook) answer(e *HookEvent, r *HookRecord) HookAnswer {
	switch r.Outcome() {
	case pipeline.Admit:
		return HookAnswer{Status: HookSucceeded}
	case pipeline.Undecided:
		return h.again(e, r)
	}
	return HookAnswer{Status: HookFailed}
}

// result is what became of a piece of work.
type result struct {
	verdict        *gate.Verdict
	taskDefinition string
	where          pipeline.Where
	deployment     Deployment // of CodeDeploy
	note           string
	err            error
}

// judge has what a revision runs decided.
func (h *Hook) judge(ctx context.Context, e *HookEvent) result {
	place, err := e.place("")
	if err != nil {
		return result{err: err}
	}
	cluster, _, _ := cutPath(place.path)
	out := result{where: pipeline.Where{Cluster: cluster}}
	revision, err := h.Reader.ServiceRevision(ctx, e.Revision)
	if err != nil {
		out.err = err
		return out
	}
	out.taskDefinition = revision.TaskDefinition
	images, definition, err := h.images(ctx, place, revision)
	if err != nil {
		out.err = err
		return out
	}
	work := gate.Workload{Images: images, Where: out.where}
	if !e.started() {
		out.note, out.verdict = notPinned(definition), h.Gate.Decide(ctx, work)
		return out
	}
	service := e.Service
	_, name, id := cutPath(place.path)
	if service == "" {
		service = place.sibling("service", cluster+"/"+name)
	}
	// That a deployment's tasks carry the revision's number is not documented.
	of := Started{TaskDefinition: revision.TaskDefinition, By: "ecs-svc/" + id}
	out.running(ctx, h.Gate, h.Reader, service, of, work, tagged(definition, images), e.Stage != "")
	out.note = joinNotes(notPinned(definition), out.note)
	return out
}

// images are all containers of a revision: those of its task definition, which
// are all there are, each with what ECS has on record of it, and what ECS has
// on record beside them; and its task definition as it is.
func (h *Hook) images(ctx context.Context, place resource, revision RevisionImages) (images []gate.Image, definition RevisionImages, err error) {
	if _, err := arnOf("taskDefinition of the service revision", revision.TaskDefinition, "ecs", "task-definition"); err != nil {
		return nil, definition, err
	}
	definition, err = h.Reader.TaskDefinitionImages(ctx, TaskDefinitionRef{Account: place.account, Region: place.region, Name: revision.TaskDefinition})
	if err != nil {
		return nil, definition, err
	}
	var known []gate.Image
	for i, c := range revision.Images {
		image, err := imageOf(index("containerImages", i), c.Container, c.Image, string(c.Digest))
		if err != nil {
			return nil, definition, err
		}
		known = append(known, image)
	}
	images, err = merged(definition.Images, known)
	return images, definition, err
}

// started reports whether tasks of the new revision run at this stage. The
// older shape may leave the stage out: they may.
func (e *HookEvent) started() bool { return e.Stage != stageReconcile && e.Stage != stagePreScaleUp }

// Rollback reports whether the call is for traffic that goes back to where it
// came from: the revision that was to be deployed has none, and others have all
// of it. Such a call is never failed. ECS says so in no other way, and only
// where traffic has shifted or shifts: before it shifts, the new revision has
// none as well.
func (e *HookEvent) Rollback() bool {
	switch e.Stage {
	case stageTestShift, stagePostTest:
		return e.back(e.TestWeights)
	case stageProduction, stagePostProduction:
		return e.back(e.ProductionWeights)
	case "": // the older shape: weights come with the shift alone
		return len(e.TestWeights) == 0 && e.back(e.ProductionWeights) || len(e.ProductionWeights) == 0 && e.back(e.TestWeights)
	}
	return false
}

func (e *HookEvent) back(weights map[string]float64) bool {
	own, there := weights[e.Revision]
	others := 0.0
	for _, w := range weights {
		others += w
	}
	return there && own == 0 && others > 99.99 && others < 100.01
}

// within runs work with ctx's time less a margin, and answers by then, whether
// or not work does: what a function answers too late is a failure of its own.
func within(ctx context.Context, margin time.Duration, work func(context.Context) result) result {
	if margin <= 0 {
		margin = limits.HookMargin
	}
	inner, outer := ctx, ctx
	if end, ok := ctx.Deadline(); ok {
		margin = min(margin, time.Until(end)/10)
		var stop, give context.CancelFunc
		inner, stop = context.WithDeadline(ctx, end.Add(-margin))
		defer stop()
		outer, give = context.WithDeadline(ctx, end.Add(-margin/2)) // for work to say how far it came
		defer give()
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- result{err: &shuin.Error{Code: shuin.CodeInternal, Message: "judge the deployment", Err: panicked(p)}}
			}
		}()
		done <- work(inner)
	}()
	select {
	case r := <-done:
		return r
	case <-outer.Done():
		select {
		case r := <-done:
			return r
		default:
		}
		return result{err: &shuin.Error{Code: shuin.CodeDeadline, Message: "judge the deployment", Err: context.Cause(outer),
			Hint: "give the function more time, or see why a registry or AWS is slow"}}
	}
}

// Panic is a panic that was caught, with where it came from.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

func panicked(p any) error { return &Panic{p, debug.Stack()} }

// record hands a record on; what it does to itself does not reach the answer.
func record(ctx context.Context, to func(context.Context, *HookRecord), r *HookRecord) {
	if to == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.Err = errors.Join(r.Err, panicked(p))
		}
	}()
	to(ctx, r)
}
