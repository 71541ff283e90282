package ecs

import (
	"context"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// Deployment is a deployment of CodeDeploy to an ECS service.
type Deployment struct {
	Service string // ARN
	// TaskDefinition is that of the replacement task set, ARN.
	TaskDefinition string
	// TaskSet is the replacement task set's ID.
	TaskSet string
	// Event is the lifecycle event under way, as far as CodeDeploy tells:
	// AfterInstall, AfterAllowTestTraffic, …
	Event string
	// Rollback: CodeDeploy made the deployment itself, to go back after another
	// one failed.
	Rollback bool
}

// DeploymentReader reads what a CodeDeploy hook does not say. *Client is one.
type DeploymentReader interface {
	// Deployment reads a deployment by its ID, and of its service the task set
	// that is to replace the other. Before CodeDeploy has made that (at
	// BeforeInstall), it is an error.
	Deployment(ctx context.Context, id string) (Deployment, error)
	// TaskDefinitionImages as in RevisionReader.
	TaskDefinitionImages(ctx context.Context, ref TaskDefinitionRef) (RevisionImages, error)
}

// DeploymentAnswerer answers CodeDeploy. *Client is one.
type DeploymentAnswerer interface {
	PutHookStatus(ctx context.Context, e *CodeDeployEvent, succeeded bool) error
}

// What CodeDeploy is answered, as records tell it ("AppSpec 'hooks' section",
// AWS CodeDeploy User Guide).
const (
	deploymentSucceeded = "Succeeded"
	deploymentFailed    = "Failed"
)

// DeploymentHook answers the lifecycle hooks of CodeDeploy deployments to ECS.
// CodeDeploy cannot be told to ask again: what could not be checked in the time
// that ctx gives fails the deployment. Safe for concurrent use.
type DeploymentHook struct {
	Gate Decider
	// Reader may be a TaskReader too, as in [Hook].
	Reader DeploymentReader
	To     DeploymentAnswerer
	// Warn, Margin and Record are as in [Hook]; an answer is a call, so that
	// three times the margin is kept.
	Warn   bool
	Margin time.Duration
	Record func(ctx context.Context, r *HookRecord)
}

// Answer judges what a deployment brings and tells CodeDeploy. The error is of
// telling it: CodeDeploy then waits for an answer, and fails in the end.
func (h *DeploymentHook) Answer(ctx context.Context, e *CodeDeployEvent) error {
	r := &HookRecord{Kind: KindCodeDeploy, Execution: e.Execution, Deployment: e.Deployment, Warn: h.Warn}
	got := within(ctx, marginOfCall(h.Margin), func(ctx context.Context) result {
		d, err := h.Reader.Deployment(ctx, e.Deployment)
		if err != nil || d.Rollback {
			return result{deployment: d, err: err}
		}
		out := judgeDeployment(ctx, h.Gate, h.Reader, d)
		out.deployment = d
		return out
	})
	r.Service, r.Stage = got.deployment.Service, got.deployment.Event
	answer := deploymentFailed
	if r.Rollback = got.err == nil && got.deployment.Rollback; r.Rollback {
		answer = deploymentSucceeded
	} else if r.take(got); r.Outcome() == pipeline.Admit {
		answer = deploymentSucceeded
	}
	r.Wanted = answer
	if h.Warn {
		answer = deploymentSucceeded
	}
	r.Answer = answer
	err := h.To.PutHookStatus(ctx, e, answer == deploymentSucceeded)
	if err != nil {
		r.Note = joinNotes(r.Note, "CodeDeploy could not be told: "+err.Error())
	}
	record(ctx, h.Record, r)
	return err
}

func marginOfCall(margin time.Duration) time.Duration {
	if margin <= 0 {
		margin = limits.HookMargin
	}
	return 3 * margin
}

// judgeDeployment has the task definition of a deployment decided, with the
// digests of the tasks that run already.
func judgeDeployment(ctx context.Context, g Decider, reader DeploymentReader, d Deployment) (out result) {
	service, err := arnOf("serviceArn", d.Service, "ecs", "service")
	if err != nil {
		return result{err: err}
	}
	cluster, name, _ := cutPath(service.path)
	if name == "" {
		return result{err: &shuin.Error{Code: shuin.CodeMalformed, Message: "read the deployment: the ARN of the service names no cluster: " + d.Service}}
	}
	out.where, out.taskDefinition = pipeline.Where{Cluster: cluster}, d.TaskDefinition
	definition, err := reader.TaskDefinitionImages(ctx, TaskDefinitionRef{Account: service.account, Region: service.region, Name: d.TaskDefinition})
	if err != nil {
		out.err = err
		return out
	}
	images, err := merged(definition.Images, nil)
	if err != nil {
		out.err = err
		return out
	}
	// At AfterInstall the tasks may be starting yet.
	of, must := Started{TaskDefinition: d.TaskDefinition, By: d.TaskSet}, d.Event != "AfterInstall"
	out.running(ctx, g, reader, d.Service, of, gate.Workload{Images: images, Where: out.where}, tagged(definition, nil), must)
	out.note = joinNotes(notPinned(definition), out.note)
	return out
}
