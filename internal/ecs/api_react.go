package ecs

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

var _ watch.Reactor = (*Client)(nil)

// Runs says whether a task runs, or is about to run, this image, or a task
// definition has it (API: DescribeTasks, DescribeTaskDefinition):
// the container of that name with that reference, and that digest where ECS
// tells one. What is gone, or on its way out, runs nothing.
func (c *Client) Runs(ctx context.Context, s watch.Subject, image gate.Image) (bool, error) {
	if s.Kind == watch.TaskDefinition {
		return c.defines(ctx, s, image)
	}
	t, err := parseTask(s.ARN, s.Cluster)
	if err != nil {
		return false, err
	}
	tasks, _, err := c.Tasks(ctx, ClusterName{t.place, t.account, t.cluster}, []string{s.ARN})
	if refusedAs(err, "ClusterNotFoundException") {
		return false, nil
	}
	if err != nil || len(tasks) == 0 || tasks[0].DesiredStatus == "STOPPED" {
		return false, err
	}
	if _, whole := imagesOf(tasks[0].Images); !whole { // older tasks: what they were made of says it
		if !slices.ContainsFunc(tasks[0].Images, func(i ContainerImage) bool { return same(i.Container, i.Digest, image) }) {
			return false, nil
		}
		return c.defines(ctx, watch.Subject{ARN: tasks[0].TaskDefinition}, image)
	}
	return hasImage(tasks[0].Images, image), nil
}

// defines says whether a task definition has the image.
func (c *Client) defines(ctx context.Context, s watch.Subject, image gate.Image) (bool, error) {
	got, err := c.TaskDefinitionImages(ctx, TaskDefinitionRef{Name: s.ARN})
	if shuin.CodeOf(err) == shuin.CodeNotFound {
		return false, nil
	}
	return err == nil && hasImage(got.Images, image), err
}

// hasImage says whether the image is one of these containers'.
func hasImage(all []ContainerImage, image gate.Image) bool {
	return slices.ContainsFunc(all, func(i ContainerImage) bool {
		return same(i.Container, i.Digest, image) && Image(i.Container, i.Image, "").Written == image.Written
	})
}

// same says whether it is the image's container, with its digest as far as both
// are known.
func same(container string, running digest.Digest, image gate.Image) bool {
	return container == image.Name && (running == "" || image.Running == "" || running == image.Running)
}

// StopTask stops a task (API: StopTask). One that is stopped, or does not exist
// any more, is no error. ECS keeps the first limits.ECSStopReason characters of
// the reason.
func (c *Client) StopTask(ctx context.Context, s watch.Subject, reason string) error {
	t, err := parseTask(s.ARN, s.Cluster)
	if err != nil {
		return err
	}
	cluster := ClusterName{t.place, t.account, t.cluster}
	q, err := c.ask(ctx, t.place, t.account, "StopTask", map[string]any{
		"cluster": cluster.asked(), "task": s.ARN, "reason": cut(reason, limits.ECSStopReason),
	})
	if err != nil {
		return err
	}
	q.Doing, q.Action, q.Resource = "stop task "+s.ARN, ActionStopTask, s.ARN
	q.NotFound = "there is no such task: check cluster, account and region"
	data, err := q.send(ctx)
	if err != nil {
		return c.unlessStopped(ctx, cluster, s.ARN, err)
	}
	var got struct {
		Task struct {
			ARN string `json:"taskArn"`
		} `json:"task"`
	}
	if err := q.read(data, &got); err != nil {
		return err
	}
	if got.Task.ARN != s.ARN {
		return q.malformed("the answer is about %q", awscall.Printable(got.Task.ARN, 300))
	}
	return nil
}

// refusedAs: the service answered with one of these codes.
func refusedAs(err error, codes ...string) bool {
	service, ok := errors.AsType[*awscall.ServiceError](err)
	return ok && slices.Contains(codes, service.Code)
}

// unlessStopped is err unless the task is stopped or gone: ECS has one code for
// that and for what it could not read.
func (c *Client) unlessStopped(ctx context.Context, cluster ClusterName, arn string, err error) error {
	if refusedAs(err, "ClusterNotFoundException") {
		return nil // a cluster is deleted only when nothing runs in it
	}
	if !refusedAs(err, "InvalidParameterException", "ClientException") {
		return err
	}
	tasks, gone, asked := c.Tasks(ctx, cluster, []string{arn})
	if asked == nil && (len(gone) == 1 || len(tasks) == 1 && tasks[0].DesiredStatus == "STOPPED") {
		return nil
	}
	return err
}

// DeregisterTaskDefinition deregisters the revision of a task definition that s
// names (API: DeregisterTaskDefinition): nothing new can be started from it, and
// what runs goes on. One that is not active any more is no error. AWS keeps no
// reason of it.
func (c *Client) DeregisterTaskDefinition(ctx context.Context, s watch.Subject, _ string) error {
	t, err := ParseTaskDefinition(s.ARN)
	if err != nil {
		return err
	}
	if t.account == "" || t.revision == "" {
		return invalidf("%s is not the ARN of one revision of a task definition", awscall.Printable(s.ARN, 300))
	}
	q, err := c.ask(ctx, t.place, t.account, "DeregisterTaskDefinition", map[string]any{"taskDefinition": t.name})
	if err != nil {
		return err
	}
	q.Doing, q.Action, q.Resource = "deregister task definition "+t.name, ActionDeregisterTaskDefinition, "*"
	q.NotFound = "there is no such task definition: check family, revision, account and region"
	data, err := q.send(ctx)
	if err != nil {
		return c.unlessInactive(ctx, t, err)
	}
	return checkTaskDefinition(data, t, q)
}

// unlessInactive is err unless the task definition is not active or gone: ECS
// has one code for all that.
func (c *Client) unlessInactive(ctx context.Context, t TaskDefinitionName, err error) error {
	if !refusedAs(err, "InvalidParameterException", "ClientException") {
		return err
	}
	data, asking := c.TaskDefinition(ctx, t)
	if shuin.CodeOf(asking) == shuin.CodeNotFound {
		return nil
	}
	var got struct {
		TaskDefinition struct {
			Status string `json:"status"`
		} `json:"taskDefinition"`
	}
	if asking == nil && (&asked{}).read(data, &got) == nil && (got.TaskDefinition.Status == "INACTIVE" || got.TaskDefinition.Status == "DELETE_IN_PROGRESS") {
		return nil
	}
	return err
}

// cut is the first n characters of a text, on one line.
func cut(s string, n int) string {
	r := []rune(awscall.Printable(s, n))
	return string(r[:min(n, len(r))])
}
