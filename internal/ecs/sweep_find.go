package ecs

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// observed is an observation of the sweep.
func (w *sweeping) observed(s watch.Subject, images []gate.Image) watch.Observation {
	return watch.Observation{
		Subject: s, Phase: watch.Swept, Version: w.report.Began.UnixMilli(), At: w.report.Began,
		Images: images, Where: pipeline.Where{Cluster: s.Cluster}, By: s.StartedBy,
	}
}

// tasks sweeps the tasks of a cluster: those that are alike in all that is
// judged are told at once.
func (w *sweeping) tasks(ctx context.Context, c sweptCluster) error {
	groups := map[string][]Task{}
	err := c.target.client.eachTask(ctx, c.name, "", func(tasks []Task) error {
		for _, t := range tasks {
			if phase, known := phases[t.LastStatus]; known && phase == "" || t.DesiredStatus == "STOPPED" {
				continue // on its way out
			}
			key := t.likeness()
			groups[key] = append(groups[key], t)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		tasks := groups[key]
		slices.SortFunc(tasks, func(a, b Task) int { return strings.Compare(a.ARN, b.ARN) })
		if err := w.likeTasks(ctx, c, tasks); err != nil {
			return err
		}
	}
	return nil
}

// unstarted says whether its images may not be pulled yet: its containers then
// tell no digests.
func (t *Task) unstarted() bool { return phases[t.LastStatus] == watch.Starting }

// likeness is what tasks have in common that are judged at once.
func (t *Task) likeness() string {
	parts := []string{t.group(), t.TaskDefinition, strconv.FormatBool(t.unstarted())}
	for _, i := range t.Images {
		parts = append(parts, i.Container+"\x00"+i.Image+"\x00"+string(i.Digest))
	}
	slices.Sort(parts[3:])
	return strings.Join(parts, "\x01")
}

// group is the task's, or ECS's own default.
func (t *Task) group() string {
	if t.Group != "" {
		return t.Group
	}
	_, resource, _ := strings.Cut(t.TaskDefinition, "task-definition/")
	name, _ := family(resource)
	return "family:" + name
}

// subject is the task's.
func (t *Task) subject(cluster string) watch.Subject {
	p, account, _, _ := parseECS(t.ARN) // as it was read
	return watch.Subject{
		Kind: watch.Task, ARN: t.ARN, Account: account, Region: p.region, Cluster: cluster,
		Group: t.group(), TaskDefinition: t.TaskDefinition, StartedBy: t.StartedBy,
	}
}

// likeTasks tells of tasks that are alike.
func (w *sweeping) likeTasks(ctx context.Context, c sweptCluster, tasks []Task) error {
	first := &tasks[0]
	images, whole := imagesOf(first.Images)
	if !whole {
		definition, err := c.target.definition(ctx, first.TaskDefinition)
		if err != nil {
			return w.fail(ctx, c.target, c.name.Name, err)
		}
		if images, err = merged(definition.Images, images); err != nil {
			return w.fail(ctx, c.target, c.name.Name, err)
		}
	}
	if !strings.HasPrefix(first.group(), "service:") {
		c.target.mu.Lock()
		c.target.standalone[first.TaskDefinition] = append(c.target.standalone[first.TaskDefinition], c.name.Name)
		c.target.mu.Unlock()
	}
	f := Found{Observation: w.observed(first.subject(c.name.Name), images)}
	f.Observation.Unstarted = first.unstarted()
	for i := range tasks[1:] {
		f.Others = append(f.Others, tasks[1+i].subject(c.name.Name))
	}
	return w.tell(ctx, f, &w.report.Tasks, len(tasks))
}

// imagesOf are a task's containers as the gate takes them; whole says whether
// each has its image.
func imagesOf(containers []ContainerImage) (images []gate.Image, whole bool) {
	whole = len(containers) > 0
	for _, i := range containers {
		image := gate.Image{Name: i.Container, Running: i.Digest}
		if i.Image == "" {
			whole = false
		} else {
			image = Image(i.Container, i.Image, i.Digest)
		}
		images = append(images, image)
	}
	return images, whole
}

// definition reads a task definition once for its target. Where it may not be
// read, no other is tried.
func (t *sweptTarget) definition(ctx context.Context, name string) (RevisionImages, error) {
	t.mu.Lock()
	if t.denied != nil {
		defer t.mu.Unlock()
		return RevisionImages{}, t.denied
	}
	d := t.definitions[name]
	if d == nil {
		d = &definition{}
		t.definitions[name] = d
	}
	t.mu.Unlock()
	d.once.Do(func() {
		d.got, d.err = t.client.TaskDefinitionImages(ctx, TaskDefinitionRef{Name: name})
		if code := shuin.CodeOf(d.err); code == shuin.CodeForbidden || code == shuin.CodeUnauthorized {
			t.mu.Lock()
			t.denied = d.err
			t.mu.Unlock()
		}
	})
	return d.got, d.err
}

// services sweeps the services of a cluster: what they would start next.
func (w *sweeping) services(ctx context.Context, c sweptCluster) error {
	return c.target.client.ListServices(ctx, c.name, func(arns []string) error {
		for batch := range slices.Chunk(arns, limits.ECSServicesBatch) {
			services, err := c.target.client.services(ctx, c.name, batch)
			if err != nil {
				return err
			}
			for i := range services {
				if err := w.service(ctx, c, &services[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// service tells of one service: the images of all its task definitions under
// way, for its ARN can be observed once.
func (w *sweeping) service(ctx context.Context, c sweptCluster, s *describedService) error {
	if len(s.definitions) == 0 {
		return nil // another controller's than ECS's, without a task set: it starts nothing
	}
	var images []gate.Image
	for _, name := range s.definitions {
		definition, err := c.target.definition(ctx, name)
		if err != nil {
			return w.fail(ctx, c.target, c.name.Name, err)
		}
		own, _ := imagesOf(definition.Images)
		for _, i := range own {
			if !slices.Contains(images, i) {
				images = append(images, i)
			}
		}
	}
	subject := watch.Subject{
		Kind: watch.Service, ARN: s.arn, Account: s.account, Region: s.region, Cluster: c.name.Name,
		Group: "service:" + s.name, TaskDefinition: s.definitions[0],
	}
	return w.tell(ctx, Found{Observation: w.observed(subject, images)}, &w.report.Services, 1)
}

// taskDefinitions tells of a target's task definitions that run outside of
// services, for each cluster that they run in.
func (w *sweeping) taskDefinitions(ctx context.Context, t *sweptTarget) error {
	for _, name := range slices.Sorted(maps.Keys(t.standalone)) {
		definition, err := t.definition(ctx, name)
		if err != nil {
			if err := w.fail(ctx, t, "", err); err != nil {
				return err
			}
			continue
		}
		clusters := slices.Sorted(slices.Values(t.standalone[name]))
		for _, cluster := range slices.Compact(clusters) {
			if err := w.fail(ctx, t, "", w.taskDefinition(ctx, definition, cluster)); err != nil {
				return err
			}
		}
	}
	return nil
}

// families are those of a target whose newest revisions are wanted; what was
// listed before a page failed is among them.
func (w *sweeping) families(ctx context.Context, t *sweptTarget) (all []string, err error) {
	if !t.TaskDefinitions {
		return nil, nil
	}
	err = t.client.ListFamilies(ctx, func(page []string) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

// family tells of the newest revision of a family, unless it was told already.
func (w *sweeping) family(ctx context.Context, f sweptFamily) error {
	newest, err := f.target.definition(ctx, f.name)
	switch {
	case shuin.CodeOf(err) == shuin.CodeNotFound:
		return nil // deregistered since it was listed
	case err != nil:
		return w.fail(ctx, f.target, "", err)
	case f.target.standalone[newest.TaskDefinition] != nil:
		return nil
	}
	return w.fail(ctx, f.target, "", w.taskDefinition(ctx, newest, ""))
}

// taskDefinition tells of a task definition in a cluster.
func (w *sweeping) taskDefinition(ctx context.Context, d RevisionImages, cluster string) error {
	p, account, resource, _ := parseECS(d.TaskDefinition) // as it was read
	name, _ := family(strings.TrimPrefix(resource, "task-definition/"))
	images, _ := imagesOf(d.Images)
	return w.tell(ctx, Found{Observation: w.observed(watch.Subject{
		Kind: watch.TaskDefinition, ARN: d.TaskDefinition, Account: account, Region: p.region, Cluster: cluster,
		Group: "family:" + name, TaskDefinition: d.TaskDefinition,
	}, images)}, &w.report.TaskDefinitions, 1)
}
