package ecs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// irrelevant says that nothing has to be done, and why.
func (ev *Event) irrelevant(format string, args ...any) {
	ev.Kind, ev.Reason = KindIrrelevant, fmt.Sprintf(format, args...)
}

// taskDetail is detail of "ECS Task State Change" ("Amazon ECS task state
// change events", Amazon ECS Developer Guide).
type taskDetail struct {
	Task           string          `json:"taskArn"`
	Cluster        string          `json:"clusterArn"`
	TaskDefinition string          `json:"taskDefinitionArn"`
	Group          string          `json:"group"`
	StartedBy      string          `json:"startedBy"`
	LastStatus     string          `json:"lastStatus"`
	DesiredStatus  string          `json:"desiredStatus"`
	Version        int64           `json:"version"`
	PullStarted    string          `json:"pullStartedAt"`
	Started        string          `json:"startedAt"`
	Containers     []taskContainer `json:"containers"`
}

type taskContainer struct {
	Name        string `json:"name"`
	Image       string `json:"image"`
	ImageDigest string `json:"imageDigest"`
	ExitCode    *int64 `json:"exitCode"`  // of one that ran, and has ended; not where who would know was lost
	RuntimeID   string `json:"runtimeId"` // of one that was made of its image
}

// made reports whether the container was made of its image, and so may have run.
func (c *taskContainer) made() bool { return c.ExitCode != nil || c.RuntimeID != "" }

// pulled reports whether its image was.
func (c *taskContainer) pulled() bool { return c.ImageDigest != "" || c.made() }

// untold reports whether it was made of an image of which nobody tells the digest.
func (c *taskContainer) untold() bool {
	return c.made() && c.ImageDigest == "" && !strings.Contains(c.Image, "@")
}

// ran leaves those containers that were made or pulled, where of one of a task that
// never started nobody tells what it was made of: an init container, which others
// wait for, or any whose host was lost. It says whether that is so. What was never
// made is nothing to judge then, for what its tag names would be held against it.
func (d *taskDetail) ran() bool {
	var pulled []taskContainer
	untold := false
	for _, c := range d.Containers {
		if c.Image == "" {
			return false // the task definition has to be read, which has all
		}
		if c.pulled() {
			pulled = append(pulled, c)
		}
		untold = untold || c.untold()
	}
	if untold {
		d.Containers = pulled
	}
	return untold
}

// began reports whether anything of the task ran, or was pulled to run.
func (d *taskDetail) began() bool {
	for _, c := range d.Containers {
		if c.pulled() {
			return true
		}
	}
	return d.Started != "" || d.PullStarted != ""
}

// over reports whether the task is stopping or has stopped, and ran before: of a
// short one no other event may tell. Its states between are left out, for it
// comes to STOPPED after them.
func (d *taskDetail) over() bool {
	return d.LastStatus == "RUNNING" && d.DesiredStatus == "STOPPED" || d.LastStatus == "STOPPED" && d.began()
}

// phases are the states of a task ("Amazon ECS task lifecycle") in which it is
// judged; empty: it is on its way out.
var phases = map[string]watch.Phase{
	"PROVISIONING": watch.Starting, "PENDING": watch.Starting, "ACTIVATING": watch.Starting, "RUNNING": watch.Running,
	"DEACTIVATING": "", "STOPPING": "", "DEPROVISIONING": "", "STOPPED": "", "DELETED": "",
}

// task reads a task's change of state.
func (e *envelope) task(ev *Event) error {
	var d taskDetail
	if err := e.detail(&d); err != nil {
		return err
	}
	at := e.field("detail")
	if err := check(text{join(at, "taskArn"), d.Task}, text{join(at, "clusterArn"), d.Cluster}, text{join(at, "taskDefinitionArn"), d.TaskDefinition},
		text{join(at, "lastStatus"), d.LastStatus}, text{join(at, "desiredStatus"), d.DesiredStatus}); err != nil {
		return err
	}
	phase, known := phases[d.LastStatus]
	switch {
	case !known:
		return malformed(join(at, "lastStatus"), "%q is no state of a task that is known", awscall.Printable(d.LastStatus, 60))
	case d.DesiredStatus != "RUNNING" && d.DesiredStatus != "STOPPED":
		return malformed(join(at, "desiredStatus"), "%q is neither RUNNING nor STOPPED", awscall.Printable(d.DesiredStatus, 60))
	}
	ev.What += " " + d.LastStatus
	over := d.over()
	if over && d.LastStatus == "STOPPED" && d.Started == "" && !d.ran() {
		phase = watch.Starting // a container that tells no digest may never have been pulled
	} else if over {
		phase = watch.Running
	} else if phase == "" || d.DesiredStatus == "STOPPED" {
		ev.irrelevant("the task is on its way out (lastStatus %s, desiredStatus %s)", d.LastStatus, d.DesiredStatus)
		return nil
	}
	if d.Version < 1 {
		return malformed(join(at, "version"), "missing: events of one task could not be put in order")
	}
	if d.Version > limits.EventTaskVersion {
		return malformed(join(at, "version"), "%d: no task changes so often, and after it nothing of the task would be looked at", d.Version)
	}
	o, err := e.taskObservation(ev, &d)
	if err != nil {
		return err
	}
	o.Phase, o.Over = phase, over
	images, all, err := d.images(join(at, "containers"))
	if err != nil {
		return err
	}
	o.Images = images
	ev.Kind, ev.Seen = KindSeen, &Seen{Observation: *o}
	if !all {
		ev.Seen.Read = &TaskDefinitionRef{Account: o.Subject.Account, Region: o.Subject.Region, Name: d.TaskDefinition}
	}
	return nil
}

// taskObservation is all but phase and images.
func (e *envelope) taskObservation(ev *Event, d *taskDetail) (*watch.Observation, error) {
	at := e.field("detail")
	task, err := arnOf(join(at, "taskArn"), d.Task, "ecs", "task")
	if err != nil {
		return nil, err
	}
	if err := task.in(join(at, "taskArn"), ev.Account, ev.Region); err != nil {
		return nil, err
	}
	cluster, err := arnOf(join(at, "clusterArn"), d.Cluster, "ecs", "cluster")
	if err != nil {
		return nil, err
	}
	definition, err := arnOf(join(at, "taskDefinitionArn"), d.TaskDefinition, "ecs", "task-definition")
	if err != nil {
		return nil, err
	}
	for name, r := range map[string]resource{"clusterArn": cluster, "taskDefinitionArn": definition} {
		if err := r.in(join(at, name), task.account, task.region); err != nil {
			return nil, err
		}
	}
	d.Group, d.StartedBy = chosen(d.Group), chosen(d.StartedBy)
	if d.Group == "" {
		name, _ := family(definition.path)
		d.Group = "family:" + name // ECS's own default
	}
	return &watch.Observation{
		Subject: watch.Subject{
			Kind: watch.Task, ARN: d.Task, Account: task.account, Region: task.region, Cluster: cluster.path,
			Group: d.Group, TaskDefinition: d.TaskDefinition, StartedBy: d.StartedBy,
		},
		Version: d.Version, At: ev.Time, Where: pipeline.Where{Cluster: cluster.path}, Event: ev.ID, By: d.StartedBy,
	}, nil
}

// chosen is a text that whoever starts a task chooses (group, startedBy; "RunTask",
// Amazon ECS API Reference, which gives group no pattern), as it becomes part of
// keys and findings. What cannot be shown, or is too long, is replaced, and told
// apart from others by its digest: no task is left unjudged for its group.
func chosen(s string) string {
	plain := strings.ReplaceAll(s, string(utf8.RuneError), "?")
	if len(s) <= limits.WatchTextBytes && awscall.Printable(plain, limits.WatchTextBytes) == s {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return awscall.Printable(plain, limits.EventChosenRunes) + "#" + hex.EncodeToString(sum[:8])
}

// images are the task's containers; all says whether each has its image: older
// events leave it out.
func (d *taskDetail) images(at string) (images []gate.Image, all bool, err error) {
	if len(d.Containers) > limits.EventContainers {
		return nil, false, tooMuch(at, len(d.Containers), "containers", limits.EventContainers, "EventContainers")
	}
	all = len(d.Containers) > 0
	for i, c := range d.Containers {
		image, err := imageOf(index(at, i), c.Name, c.Image, c.ImageDigest)
		if err != nil {
			return nil, false, err
		}
		all = all && image.Written != ""
		images = append(images, image)
	}
	return images, all, nil
}

// WithTaskDefinition is the observation with the images of the task definition
// that had to be read: where the event told a digest, or an image, of a
// container, that stays.
func (s *Seen) WithTaskDefinition(got RevisionImages) (watch.Observation, error) {
	o := s.Observation
	images, err := merged(got.Images, o.Images)
	if err != nil {
		return o, err
	}
	o.Images = images
	if o.Subject.TaskDefinition == "" && o.Subject.Kind != watch.TaskDefinition {
		o.Subject.TaskDefinition = got.TaskDefinition
	}
	if o.Subject.Kind == watch.TaskDefinition {
		r, err := arnOf("taskDefinitionArn", got.TaskDefinition, "ecs", "task-definition")
		if err != nil {
			return o, err
		}
		o.Subject.ARN = got.TaskDefinition
		if _, revision := family(r.path); o.Phase == watch.Registered && revision > 0 {
			o.Version = revision
		}
	}
	return o, nil
}

// merged are the containers of a task definition, each with what is known of
// it beside, and what is known beside of containers that it does not hold: ECS
// itself adds those (agents of AWS's), nobody else can. One of them whose image
// is not told is left out: there is nothing to be judged, and to refuse it
// would refuse every task that has the agent. Where both name another image for
// a container, both are judged.
func merged(written []ContainerImage, known []gate.Image) ([]gate.Image, error) {
	if len(written)+len(known) > 2*limits.EventContainers {
		return nil, tooMuch("containers", len(written)+len(known), "containers", 2*limits.EventContainers, "EventContainers")
	}
	byName := make(map[string][]int, len(known))
	for i, k := range known {
		byName[k.Name] = append(byName[k.Name], i)
	}
	var out []gate.Image
	there := map[gate.Image]bool{}
	add := func(image gate.Image) {
		if !there[image] {
			there[image] = true
			out = append(out, image)
		}
	}
	used := make([]bool, len(known))
	for _, w := range written {
		image, alike := Image(w.Container, w.Image, w.Digest), false
		for _, i := range byName[w.Container] {
			if used[i] = true; !differ(image, known[i]) {
				alike = true
				add(over(image, known[i]))
			}
		}
		if !alike {
			add(image)
		}
		for _, i := range byName[w.Container] {
			if differ(image, known[i]) {
				add(known[i])
			}
		}
	}
	for i, k := range known {
		if !used[i] && k.Written != "" {
			add(k)
		}
	}
	if len(out) == 0 {
		return nil, malformed("containers", "there are none: what would run is not said")
	}
	return out, nil
}

// differ reports whether what is known is of another image than what is
// written. A tag and the digest that it was resolved to are one.
func differ(image, known gate.Image) bool {
	if known.Written == "" || known.Written == image.Written {
		return false
	}
	written, err := shuin.ParseReference(image.Written)
	told, fault := shuin.ParseReference(known.Written)
	return err != nil || fault != nil || written.Name() != told.Name() || written.Digest != "" || told.Digest == ""
}

// over is an image with what is known of it besides.
func over(image, known gate.Image) gate.Image {
	if known.Written != "" {
		image.Written = known.Written
	}
	if known.Running != digest.Digest("") {
		image.Running = known.Running
	}
	return image
}
