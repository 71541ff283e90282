package ecs

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// askOther is a call of an operation of another service than ECS, in the region
// of the AWS settings: its events are of the function's own account and region.
func (c *Client) askOther(ctx context.Context, title, service, id, target string, in any) (*asked, error) {
	region, err := c.Caller.Region(ctx, c.As)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	return &asked{client: c, as: c.As, Call: awscall.Call{
		Title: title, Service: service, ID: id, Region: region, Protocol: awscall.JSON11, Target: target, Body: body,
	}}, nil
}

// isID holds an id of CodeDeploy or CodePipeline to a size; both are given back
// to the service that made them.
func isID(s string) bool { return s != "" && len(s) <= 256 && awscall.Printable(s, 256) == s }

// PutHookStatus tells CodeDeploy how a lifecycle hook ended (API:
// PutLifecycleEventHookExecutionStatus). A hook that has ended before is no
// error: what it was told first stands.
func (c *Client) PutHookStatus(ctx context.Context, e *CodeDeployEvent, succeeded bool) error {
	if !isID(e.Deployment) || !isID(e.Execution) {
		return invalidf("the event names no deployment of CodeDeploy, or no execution of its hook")
	}
	status := "Failed"
	if succeeded {
		status = "Succeeded"
	}
	q, err := c.askOther(ctx, codeDeployTitle, "codedeploy", "CodeDeploy", "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus", map[string]any{
		"deploymentId": e.Deployment, "lifecycleEventHookExecutionId": e.Execution, "status": status,
	})
	if err != nil {
		return err
	}
	q.Doing, q.Action = fmt.Sprintf("tell CodeDeploy that the hook of deployment %s ended with %s", e.Deployment, status), ActionPutLifecycleEventHookStatus
	q.Resource = "the deployment group (arn:" + awscall.Partition(q.Region) + ":codedeploy:" + q.Region + ":ACCOUNT:deploymentgroup:APPLICATION/GROUP)"
	q.NotFound = "there is no such deployment: check account and region"
	q.Absent = func(e *awscall.ServiceError) bool { return e.Code == "DeploymentDoesNotExistException" }
	data, err := q.send(ctx)
	if refusedAs(err, "LifecycleEventAlreadyCompletedException") {
		return nil
	}
	if err != nil {
		return err
	}
	var got struct {
		Execution string `json:"lifecycleEventHookExecutionId"`
	}
	if err := q.read(data, &got); err != nil {
		return err
	}
	if got.Execution != "" && got.Execution != e.Execution {
		return q.malformed("the answer is about the execution %q", awscall.Printable(got.Execution, 300))
	}
	return nil
}

// JobResult is what a job of CodePipeline ends with, or goes on with.
type JobResult struct {
	// Summary is shown in the pipeline.
	Summary string
	// Continuation, where set, says that the job is not done: CodePipeline
	// invokes the function again, with this token. At most
	// limits.JobContinuation bytes.
	Continuation string
}

// PutJobSuccess tells CodePipeline that a job succeeded, or is to go on (API:
// PutJobSuccessResult). A job that has ended before is no error: what was told
// first stands.
func (c *Client) PutJobSuccess(ctx context.Context, job string, r JobResult) error {
	if len(r.Continuation) > limits.JobContinuation {
		return invalidf("the job's token is longer than %d bytes", limits.JobContinuation)
	}
	in := map[string]any{"jobId": job}
	if r.Summary != "" {
		in["executionDetails"] = map[string]any{"summary": cut(r.Summary, limits.JobMessageRunes)}
	}
	if r.Continuation != "" {
		in["continuationToken"] = r.Continuation
	}
	return c.putJob(ctx, "PutJobSuccessResult", ActionPutJobSuccessResult, job, in)
}

// JobFailure is why a job failed, in CodePipeline's words. The zero value is
// none of them.
type JobFailure string

// Why jobs fail ("FailureDetails", AWS CodePipeline API Reference).
const (
	JobFailed        JobFailure = "JobFailed"
	JobConfiguration JobFailure = "ConfigurationError"
	JobPermission    JobFailure = "PermissionError"
	JobUnavailable   JobFailure = "SystemUnavailable"
)

// PutJobFailure tells CodePipeline that a job failed (API:
// PutJobFailureResult). A job that has ended before is no error: what was told
// first stands.
func (c *Client) PutJobFailure(ctx context.Context, job string, why JobFailure, message string) error {
	return c.putJob(ctx, "PutJobFailureResult", ActionPutJobFailureResult, job, map[string]any{
		"jobId": job, "failureDetails": map[string]any{"type": why, "message": cut(message, limits.JobMessageRunes)},
	})
}

func (c *Client) putJob(ctx context.Context, operation, action, job string, in any) error {
	if !isID(job) {
		return invalidf("the event names no job of CodePipeline")
	}
	q, err := c.askOther(ctx, codePipelineTitle, "codepipeline", "CodePipeline", "CodePipeline_20150709."+operation, in)
	if err != nil {
		return err
	}
	q.Doing, q.Action, q.Resource = "tell CodePipeline how job "+job+" ended", action, "*"
	q.NotFound = "there is no such job: check account and region"
	q.Absent = func(e *awscall.ServiceError) bool { return e.Code == "JobNotFoundException" }
	_, err = q.send(ctx) // the answer is empty
	if refusedAs(err, "InvalidJobStateException") {
		return nil
	}
	return err
}
