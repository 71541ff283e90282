package ecs

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// Decider decides about a workload within ctx's deadline. *gate.Gate is one.
type Decider interface {
	Decide(ctx context.Context, w gate.Workload) *gate.Verdict
}

// RevisionImages are what a service revision, or tasks, run, container by
// container.
type RevisionImages struct {
	// TaskDefinition is an ARN.
	TaskDefinition string
	Images         []ContainerImage
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
	// (DescribeTaskDefinition), which are never resolved.
	TaskDefinitionImages(ctx context.Context, ref TaskDefinitionRef) (RevisionImages, error)
}

// TaskReader is a RevisionReader that can look at running tasks.
type TaskReader interface {
	// RunningImages are the containers of the running tasks of a service that are
	// of the task definition, with the digests that they run; the same image in
	// several tasks once.
	RunningImages(ctx context.Context, service, taskDefinition string) ([]ContainerImage, error)
}

// HookStatus is the answer to a lifecycle hook.
type HookStatus string

// The answers ("hookStatus values", Amazon ECS Developer Guide).
const (
	HookSucceeded  HookStatus = "SUCCEEDED"
	HookFailed     HookStatus = "FAILED"
	HookInProgress HookStatus = "IN_PROGRESS"
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
	Gate   Decider
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
	// Margin is kept of the time that ctx gives; 0: limits.HookMargin, a tenth of
	// the time at most.
	Margin time.Duration
	// Record is given what was answered, and why; nil: none.
	Record func(ctx context.Context, r *HookRecord)
}

// HookRecord is what a hook was answered, and why.
type HookRecord struct {
	Stage, Service, Revision string
	Where                    pipeline.Where
	Answer                   HookStatus
	Code                     shuin.Code
	Verdict                  *gate.Verdict
}

// Answer answers one call of a hook before ctx ends.
func (h *Hook) Answer(ctx context.Context, e *HookEvent) HookAnswer { panic("unimplemented") }
