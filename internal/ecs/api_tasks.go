package ecs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// Task is a task as DescribeTasks tells of it.
type Task struct {
	ARN, Cluster   string // ARNs
	TaskDefinition string // ARN, with its revision
	Group          string // "service:NAME", "family:NAME", or what RunTask was given
	StartedBy      string
	LastStatus     string // RUNNING, PENDING, …
	DesiredStatus  string // RUNNING or STOPPED
	// Images are all containers', with the digests that they run where ECS
	// reports them; older tasks may have containers without an image.
	Images []ContainerImage
}

// Tasks describes up to limits.ECSTasksBatch tasks of a cluster by their ARNs,
// in no order. gone are those that do not exist any more.
func (c *Client) Tasks(ctx context.Context, cluster ClusterName, arns []string) (tasks []Task, gone []string, err error) {
	if len(arns) == 0 {
		return nil, nil, nil
	}
	if len(arns) > limits.ECSTasksBatch {
		return nil, nil, invalidf("%d tasks were asked for at once, more than %d", len(arns), limits.ECSTasksBatch)
	}
	q, err := c.ask(ctx, cluster.place, cluster.account, "DescribeTasks", map[string]any{"cluster": cluster.asked(), "tasks": arns})
	if err != nil {
		return nil, nil, err
	}
	q.Doing, q.Action, q.Large = fmt.Sprintf("read %d tasks of cluster %s", len(arns), cluster.Name), ActionDescribeTasks, true
	q.Resource = place{awscall.Partition(q.Region), q.Region}.arn("task", cmp.Or(cluster.account, "*"), cluster.Name+"/*")
	q.NotFound = "there is no such cluster: check its name, account and region"
	data, err := q.send(ctx)
	if err != nil {
		return nil, nil, err
	}
	return readTasks(data, cluster, arns, q)
}

// taskAnswer is a task in an answer of DescribeTasks.
type taskAnswer struct {
	ARN            string            `json:"taskArn"`
	Cluster        string            `json:"clusterArn"`
	TaskDefinition string            `json:"taskDefinitionArn"`
	Group          string            `json:"group"`
	StartedBy      string            `json:"startedBy"`
	LastStatus     string            `json:"lastStatus"`
	DesiredStatus  string            `json:"desiredStatus"`
	Containers     []containerAnswer `json:"containers"`
}

// readTasks reads the answer of DescribeTasks: each task that was asked for is
// in it, or among the failures as missing; nothing else is.
func readTasks(data []byte, cluster ClusterName, arns []string, q *asked) (tasks []Task, gone []string, err error) {
	var got struct {
		Tasks    []taskAnswer `json:"tasks"`
		Failures []failure    `json:"failures"`
	}
	if err := q.read(data, &got); err != nil {
		return nil, nil, err
	}
	open := make(map[string]bool, len(arns))
	for _, arn := range arns {
		open[arn] = true
	}
	for _, f := range got.Failures {
		if f.Reason != missing {
			return nil, nil, q.failed(f)
		}
		if open[f.ARN] {
			gone = append(gone, f.ARN)
		}
		delete(open, f.ARN)
	}
	for i := range got.Tasks {
		t := &got.Tasks[i]
		if !open[t.ARN] {
			return nil, nil, q.malformed("the answer is about %s, which was not asked for", awscall.Printable(t.ARN, 300))
		}
		delete(open, t.ARN)
		one, err := q.task(t, cluster)
		if err != nil {
			return nil, nil, err
		}
		tasks = append(tasks, one)
	}
	if len(open) > 0 {
		return nil, nil, q.malformed("the answer says nothing of %d of them, %s among them", len(open), slices.Min(slices.Collect(maps.Keys(open))))
	}
	return tasks, gone, nil
}

// task holds a task of an answer to its cluster, account and bounds.
func (q *asked) task(t *taskAnswer, cluster ClusterName) (Task, error) {
	account, _, err := q.named("taskArn", t.ARN, "task")
	if err != nil {
		return Task{}, err
	}
	own := q.in(account) // all of it is in one
	_, name, err := own.named("clusterArn", t.Cluster, "cluster")
	if err != nil {
		return Task{}, err
	}
	if name != cluster.Name {
		return Task{}, q.malformed("the answer is about %s in cluster %s", t.ARN, awscall.Printable(name, 300))
	}
	if _, err := own.taskDefinition("taskDefinitionArn", t.TaskDefinition); err != nil {
		return Task{}, err
	}
	if max(len(t.LastStatus), len(t.DesiredStatus)) > limits.EventStringBytes {
		return Task{}, q.over(fmt.Sprintf("a text of %s is longer than %d bytes", t.ARN, limits.EventStringBytes), "EventStringBytes")
	}
	images, err := q.images(t.ARN, t.Containers)
	return Task{t.ARN, t.Cluster, t.TaskDefinition, chosen(t.Group), chosen(t.StartedBy), t.LastStatus, t.DesiredStatus, images}, err
}

// eachTask describes the tasks of a cluster that are to run, or those of one of
// its services, page by page. What ends meanwhile is left out.
func (c *Client) eachTask(ctx context.Context, cluster ClusterName, service string, page func([]Task) error) error {
	return c.ListTasks(ctx, cluster, service, func(arns []string) error {
		for batch := range slices.Chunk(arns, limits.ECSTasksBatch) { // a page may be larger than was asked for
			tasks, _, err := c.Tasks(ctx, cluster, batch)
			if err != nil {
				return err
			}
			if err := page(tasks); err != nil {
				return err
			}
		}
		return nil
	})
}

// sortedImages are the images in order of container, image and digest.
func sortedImages(set map[ContainerImage]bool) []ContainerImage {
	return slices.SortedFunc(maps.Keys(set), func(a, b ContainerImage) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.Image, b.Image), cmp.Compare(a.Digest, b.Digest))
	})
}
