package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

var (
	_ RevisionReader = (*Client)(nil)
	_ TaskReader     = (*Client)(nil)
)

// containerAnswer is a container of an answer. The digest is there where ECS
// knows it.
type containerAnswer struct {
	Name     string `json:"name"`
	Revision string `json:"containerName"` // what service revisions call it
	Image    string `json:"image"`
	Digest   string `json:"imageDigest"`
	// Consistency is of task definitions: "enabled", which is the default, or
	// "disabled" ("ContainerDefinition", Amazon ECS API Reference).
	Consistency string `json:"versionConsistency"`
}

// images holds containers of an answer to what they can be.
func (q *asked) images(of string, containers []containerAnswer) ([]ContainerImage, error) {
	if len(containers) > limits.EventContainers {
		return nil, q.over(fmt.Sprintf("%s has %d containers, more than %d", of, len(containers), limits.EventContainers), "EventContainers")
	}
	var all []ContainerImage
	for _, c := range containers {
		if len(c.Name) > limits.EventStringBytes || len(c.Revision) > limits.EventStringBytes || len(c.Image) > limits.EventStringBytes {
			return nil, q.over(fmt.Sprintf("a container of %s has a text of more than %d bytes", of, limits.EventStringBytes), "EventStringBytes")
		}
		if c.Digest != "" && digest.Digest(c.Digest).Validate() != nil {
			return nil, q.malformed("imageDigest %q of a container of %s is no digest", awscall.Printable(c.Digest, 120), of)
		}
		all = append(all, ContainerImage{Container: c.Name + c.Revision, Image: c.Image, Digest: digest.Digest(c.Digest)})
	}
	return all, nil
}

func (q *asked) over(what, limit string) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: q.Doing + ": " + what + " (limit " + limit + ")"}
}

// read decodes an answer. Members that are not known are AWS's to add; those
// that are known have to be what the API says.
func (q *asked) read(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return q.malformed("the answer is not what the API says")
	}
	return nil
}

// failure is what ECS could not tell of one of several things asked for ("API
// failure reasons", Amazon ECS Developer Guide).
type failure struct {
	ARN    string `json:"arn"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// missing is the reason of what does not exist, or does no longer.
const missing = "MISSING"

func (f failure) text() string {
	s := f.Reason
	if f.Detail != "" {
		s += " " + f.Detail
	}
	if f.ARN != "" {
		s += " (" + f.ARN + ")"
	}
	return awscall.Printable(s, limits.AWSErrorRunes)
}

// failed is the error of a failure: what is missing is not found, all else is
// not known.
func (q *asked) failed(f failure) error {
	code, hint := shuin.CodeUnavailable, "try again"
	if f.Reason == missing {
		code, hint = shuin.CodeNotFound, q.NotFound
	}
	return &shuin.Error{Code: code, Message: q.Doing + ": " + q.Title + " answers " + f.text(), Hint: hint}
}

// ServiceRevision reads a service revision by its ARN (API:
// DescribeServiceRevisions): its task definition, and the images that ECS
// resolved, none where it did not yet. shuin.CodeNotFound: there is no such
// revision; an answer about anything else is shuin.CodeMalformed.
func (c *Client) ServiceRevision(ctx context.Context, arn string) (RevisionImages, error) {
	r, err := parseRevision(arn)
	if err != nil {
		return RevisionImages{}, err
	}
	q, err := c.ask(ctx, r.place, r.account, "DescribeServiceRevisions", map[string]any{"serviceRevisionArns": []string{arn}})
	if err != nil {
		return RevisionImages{}, err
	}
	q.Doing, q.Action, q.Resource = "read service revision "+arn, ActionDescribeServiceRevisions, arn
	q.NotFound = "there is no such service revision: check service, account and region"
	data, err := q.send(ctx)
	if err != nil {
		return RevisionImages{}, err
	}
	return readRevision(data, arn, r, q)
}

// readRevision reads the answer of DescribeServiceRevisions about one revision.
func readRevision(data []byte, arn string, r revisionName, q *asked) (RevisionImages, error) {
	var got struct {
		Revisions []struct {
			ARN            string            `json:"serviceRevisionArn"`
			Service        string            `json:"serviceArn"`
			Cluster        string            `json:"clusterArn"`
			TaskDefinition string            `json:"taskDefinition"`
			Containers     []containerAnswer `json:"containerImages"`
		} `json:"serviceRevisions"`
		Failures []failure `json:"failures"`
	}
	if err := q.read(data, &got); err != nil {
		return RevisionImages{}, err
	}
	switch {
	case len(got.Revisions) == 0 && len(got.Failures) > 0:
		return RevisionImages{}, q.failed(got.Failures[0])
	case len(got.Revisions) != 1:
		return RevisionImages{}, q.malformed("the answer holds %d service revisions", len(got.Revisions))
	}
	one := got.Revisions[0]
	if _, _, err := q.named("serviceRevisionArn", one.ARN, "service-revision"); err != nil {
		return RevisionImages{}, err
	}
	if one.ARN != arn {
		return RevisionImages{}, q.malformed("the answer is about %s", awscall.Printable(one.ARN, 300))
	}
	if _, err := checkService(one.Service, one.Cluster, ServiceName{Cluster: r.cluster, Name: r.service}, q); err != nil {
		return RevisionImages{}, err
	}
	t, err := q.taskDefinition("taskDefinition", one.TaskDefinition)
	if err != nil {
		return RevisionImages{}, err
	}
	images, err := q.images("the revision", one.Containers)
	return RevisionImages{TaskDefinition: t.name, Images: images}, err
}

// taskDefinition holds the ARN of a task definition in an answer to what it
// can be, revision included.
func (q *asked) taskDefinition(what, arn string) (TaskDefinitionName, error) {
	if _, _, err := q.named(what, arn, "task-definition"); err != nil {
		return TaskDefinitionName{}, err
	}
	t, err := ParseTaskDefinition(arn)
	if err != nil || t.revision == "" {
		return t, q.malformed("%s %q is no ARN of a task definition with its revision", what, awscall.Printable(arn, 300))
	}
	return t, nil
}

// TaskDefinitionImages reads every container of a task definition (API:
// DescribeTaskDefinition), with the images as written: ECS resolves them later.
// A family alone is its newest active revision. What an ARN with its revision
// names never changes, and is asked for once.
func (c *Client) TaskDefinitionImages(ctx context.Context, ref TaskDefinitionRef) (RevisionImages, error) {
	t, err := ParseTaskDefinition(ref.Name)
	if err != nil {
		return RevisionImages{}, err
	}
	switch {
	case t.account == "":
		t.account = ref.Account
		if ref.Region != "" {
			t.place = place{awscall.Partition(ref.Region), ref.Region}
		}
	case ref.Account != "" && ref.Account != t.account, ref.Region != "" && ref.Region != t.region:
		return RevisionImages{}, invalidf("%s is not of account %s and region %s", t.name, ref.Account, ref.Region)
	}
	key := ""
	if strings.HasPrefix(t.name, "arn:") && t.revision != "" {
		key = t.name
	}
	c.mu.Lock()
	known, ok := c.definitions[key]
	c.mu.Unlock()
	if ok {
		return known.clone(), nil
	}
	data, err := c.TaskDefinition(ctx, t)
	if err != nil {
		return RevisionImages{}, err
	}
	got, err := readTaskDefinition(data, &asked{Call: awscall.Call{Doing: "read task definition " + t.name}})
	if err != nil || key == "" {
		return got, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.definitions == nil || len(c.definitions) >= limits.ECSDefinitions {
		c.definitions = map[string]RevisionImages{}
	}
	c.definitions[key] = got
	return got.clone(), nil
}

func (r RevisionImages) clone() RevisionImages {
	r.Images, r.Unresolved = slices.Clone(r.Images), slices.Clone(r.Unresolved)
	return r
}

// readTaskDefinition reads the containers of an answer of
// DescribeTaskDefinition that was held to what was asked before.
func readTaskDefinition(data []byte, q *asked) (RevisionImages, error) {
	var got struct {
		TaskDefinition struct {
			ARN        string            `json:"taskDefinitionArn"`
			Containers []containerAnswer `json:"containerDefinitions"`
		} `json:"taskDefinition"`
	}
	if err := q.read(data, &got); err != nil {
		return RevisionImages{}, err
	}
	images, err := q.images("the task definition", got.TaskDefinition.Containers)
	if err != nil {
		return RevisionImages{}, err
	}
	if len(images) == 0 {
		return RevisionImages{}, q.malformed("the task definition has no containers")
	}
	if i := slices.IndexFunc(images, func(c ContainerImage) bool { return c.Container == "" || c.Image == "" }); i >= 0 {
		return RevisionImages{}, q.malformed("container %d of the task definition has no name or no image", i)
	}
	out := RevisionImages{TaskDefinition: got.TaskDefinition.ARN, Images: images}
	for _, c := range got.TaskDefinition.Containers {
		if c.Consistency == "disabled" {
			out.Unresolved = append(out.Unresolved, c.Name)
		}
	}
	return out, nil
}

// RunningImages are the containers of the running tasks of a service (its ARN)
// that are what is asked for: the same image under the same container once, in
// order. None: none runs.
func (c *Client) RunningImages(ctx context.Context, service string, of Started) ([]ContainerImage, error) {
	s, err := ParseService(service)
	if err != nil {
		return nil, err
	}
	cluster := ClusterName{s.place, s.account, s.Cluster}
	all, own := map[ContainerImage]bool{}, map[ContainerImage]bool{}
	err = c.eachTask(ctx, cluster, s.Name, func(tasks []Task) error {
		for _, t := range tasks {
			if t.TaskDefinition != of.TaskDefinition || t.LastStatus != "RUNNING" || t.DesiredStatus != "RUNNING" {
				continue
			}
			for _, i := range t.Images {
				all[i] = true
				if of.By != "" && t.StartedBy == of.By {
					own[i] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(own) > 0 {
		return sortedImages(own), nil
	}
	return sortedImages(all), nil
}
