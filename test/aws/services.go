package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ecsTarget is ECS in X-Amz-Target.
const ecsTarget = "AmazonEC2ContainerServiceV20141113"

// services are the deployments of ECS services: moto takes a service, and drops
// its lifecycle hooks. The shapes are those of aws-sdk-go-v2/service/ecs/types,
// and are named after them; a member of a request that is not in them is refused.
type services struct {
	moto   string
	invoke func(context.Context, []byte) (answer, error)
	// tags are the registry's: tasks are started by what a tag names then.
	tags tags

	mu     sync.Mutex
	byARN  map[string]*service
	target map[string]*revision // every revision, by its ARN
	moves  []move               // of tags, when the next tasks start
	n      int
	wait   sync.WaitGroup
	ended  bool
	ends   chan struct{}
}

func newServices(moto string, invoke func(context.Context, []byte) (answer, error)) *services {
	return &services{moto: moto, invoke: invoke, byARN: map[string]*service{}, target: map[string]*revision{}, ends: make(chan struct{})}
}

// service is one whose deployments are gated.
type service struct {
	cluster, arn, path string // path: CLUSTER/NAME
	config             deploymentConfiguration
	current            *revision
	deployments        []*deployment
}

// deploymentConfiguration is types.DeploymentConfiguration, as far as it is known here.
type deploymentConfiguration struct {
	Strategy       string          `json:"strategy"`
	MaximumPercent *int            `json:"maximumPercent"`
	MinimumHealthy *int            `json:"minimumHealthyPercent"`
	BakeTime       *int            `json:"bakeTimeInMinutes"`
	Hooks          []lifecycleHook `json:"lifecycleHooks"`
}

// lifecycleHook is types.DeploymentLifecycleHook.
type lifecycleHook struct {
	TargetType string          `json:"targetType"`
	Target     string          `json:"hookTargetArn"`
	Role       string          `json:"roleArn"`
	Stages     []string        `json:"lifecycleStages"`
	Details    json.RawMessage `json:"hookDetails"`
}

// revision is types.ServiceRevision.
type revision struct {
	ARN            string           `json:"serviceRevisionArn"`
	Service        string           `json:"serviceArn"`
	Cluster        string           `json:"clusterArn"`
	TaskDefinition string           `json:"taskDefinition"`
	Images         []containerImage `json:"containerImages"`
	Created        float64          `json:"createdAt"`
}

// containerImage is types.ContainerImage. The digest is there when the first
// task has started.
type containerImage struct {
	Container string `json:"containerName"`
	Image     string `json:"image"`
	Digest    string `json:"imageDigest,omitempty"`
}

// deployment is types.ServiceDeploymentBrief.
type deployment struct {
	ARN      string  `json:"serviceDeploymentArn"`
	Service  string  `json:"serviceArn"`
	Cluster  string  `json:"clusterArn"`
	Revision string  `json:"targetServiceRevisionArn"`
	Status   string  `json:"status"` // types.ServiceDeploymentStatus
	Reason   string  `json:"statusReason,omitempty"`
	Created  float64 `json:"createdAt"`
	Finished float64 `json:"finishedAt,omitempty"`
}

func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }

// answer answers what moto lacks, and says whether it did.
func (s *services) answer(w http.ResponseWriter, r *http.Request, operation string) bool {
	var of func(body []byte) (any, error)
	switch operation {
	case "DescribeServiceRevisions":
		of = s.describeRevisions
	case "ListServiceDeployments":
		of = s.list
	case "CreateService", "UpdateService":
		s.deploy(w, r, operation)
		return true
	case "DescribeTasks":
		of = s.tasks
	default:
		return false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var out any
	if err == nil {
		out, err = of(body)
	}
	if err != nil {
		awsError(w, http.StatusBadRequest, "InvalidParameterException", err.Error())
		return true
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
	return true
}

// strict reads a request; a member that is not known is an error.
func strict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// describeRevisions is DescribeServiceRevisions.
func (s *services) describeRevisions(body []byte) (any, error) {
	var in struct {
		ARNs []string `json:"serviceRevisionArns"`
	}
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, failures := []revision{}, []map[string]string{}
	for _, arn := range in.ARNs {
		if r := s.target[arn]; r != nil {
			found = append(found, *r)
			continue
		}
		failures = append(failures, map[string]string{"arn": arn, "reason": "MISSING"}) // types.Failure
	}
	return map[string]any{"serviceRevisions": found, "failures": failures}, nil
}

// tasks is DescribeTasks: moto gives a task the first container of its task
// definition, and here it gets the others.
func (s *services) tasks(body []byte) (any, error) {
	var out map[string]any
	if err := s.known("DescribeTasks", json.RawMessage(body), &out); err != nil {
		return nil, err
	}
	all, _ := out["tasks"].([]any)
	for _, one := range all {
		task, _ := one.(map[string]any)
		definition, _ := task["taskDefinitionArn"].(string)
		images, err := s.imagesOf(definition)
		if err != nil {
			return nil, err
		}
		containers, _ := task["containers"].([]any)
		for _, image := range images[min(len(containers), len(images)):] {
			containers = append(containers, map[string]any{"name": image.Container, "image": image.Image, "taskArn": task["taskArn"], "lastStatus": task["lastStatus"]})
		}
		task["containers"] = containers
	}
	return out, nil
}

// list is ListServiceDeployments, newest first.
func (s *services) list(body []byte) (any, error) {
	var in struct {
		Service    string   `json:"service"`
		Cluster    string   `json:"cluster"`
		Status     []string `json:"status"`
		MaxResults int      `json:"maxResults"`
	}
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []deployment{}
	for arn, one := range s.byARN {
		if arn != in.Service && one.path != in.Cluster+"/"+in.Service {
			continue
		}
		for i := len(one.deployments) - 1; i >= 0; i-- {
			out = append(out, *one.deployments[i])
		}
	}
	return map[string]any{"serviceDeployments": out}, nil
}

// ask has moto answer a call of ECS.
func (s *services) ask(operation string, body []byte) (status int, header http.Header, answer []byte, err error) {
	req, err := http.NewRequest(http.MethodPost, s.moto+"/", bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	sign(req, "ecs")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", ecsTarget+"."+operation)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, resp.Header, answer, err
}

// known asks moto, and reads its answer.
func (s *services) known(operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	status, _, answer, err := s.ask(operation, body)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s: status %d: %s", operation, status, answer)
	}
	return json.Unmarshal(answer, out)
}

// deploy is CreateService and UpdateService: moto keeps the service, and its
// deployment begins here.
func (s *services) deploy(w http.ResponseWriter, r *http.Request, operation string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var in struct {
		Deployment json.RawMessage `json:"deploymentConfiguration"`
	}
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	var config *deploymentConfiguration
	if err == nil && in.Deployment != nil {
		config = &deploymentConfiguration{}
		if err = strict(in.Deployment, config); err == nil {
			err = config.check()
		}
	}
	if err != nil {
		awsError(w, http.StatusBadRequest, "InvalidParameterException", err.Error())
		return
	}
	status, header, answer, err := s.ask(operation, body)
	if err == nil && status == http.StatusOK {
		err = s.begin(answer, config)
	}
	if err != nil {
		awsError(w, http.StatusInternalServerError, "ServerException", err.Error())
		return
	}
	w.Header().Set("Content-Type", header.Get("Content-Type"))
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// check refuses what ECS would: hooks come with three strategies, and are of
// Lambda here.
func (c *deploymentConfiguration) check() error {
	if c.Strategy != "BLUE_GREEN" && c.Strategy != "LINEAR" && c.Strategy != "CANARY" {
		return fmt.Errorf("strategy %q: hooks are documented for BLUE_GREEN, LINEAR and CANARY", c.Strategy)
	}
	for _, h := range c.Hooks {
		switch {
		case h.TargetType != "" && h.TargetType != "AWS_LAMBDA":
			return fmt.Errorf("targetType %q is not known here", h.TargetType)
		case h.Target != functionARN:
			return fmt.Errorf("hookTargetArn %q is no function", h.Target)
		case !strings.HasPrefix(h.Role, "arn:aws:iam::"+account+":role/"):
			return fmt.Errorf("roleArn %q is no role of %s", h.Role, account)
		}
		for _, stage := range h.Stages {
			if order(stage) < 0 {
				return fmt.Errorf("lifecycleStages: %q has no hooks", stage)
			}
		}
	}
	return nil
}

// begin begins a deployment of what moto answers that the service is to be.
func (s *services) begin(answer []byte, config *deploymentConfiguration) error {
	var got struct {
		Service struct {
			ARN            string `json:"serviceArn"`
			Cluster        string `json:"clusterArn"`
			Name           string `json:"serviceName"`
			TaskDefinition string `json:"taskDefinition"`
		} `json:"service"`
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return err
	}
	images, err := s.imagesOf(got.Service.TaskDefinition)
	if err != nil {
		return err
	}
	_, cluster, _ := strings.Cut(got.Service.Cluster, ":cluster/")
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byARN[got.Service.ARN]
	if one == nil {
		one = &service{arn: got.Service.ARN, cluster: got.Service.Cluster, path: cluster + "/" + got.Service.Name}
		s.byARN[one.arn] = one
	}
	if config != nil {
		one.config = *config
	}
	s.n++
	place := "arn:aws:ecs:" + region + ":" + account + ":"
	r := &revision{
		ARN: fmt.Sprintf("%sservice-revision/%s/%019d", place, one.path, 4980306466373577000+s.n), Service: one.arn, Cluster: one.cluster,
		TaskDefinition: got.Service.TaskDefinition, Images: images, Created: now(),
	}
	d := &deployment{
		ARN: fmt.Sprintf("%sservice-deployment/%s/EZe5RNVLH6PPzHX%06d", place, one.path, s.n), Service: one.arn, Cluster: one.cluster,
		Revision: r.ARN, Status: "IN_PROGRESS", Created: now(),
	}
	one.deployments = append(one.deployments, d)
	s.target[r.ARN] = r
	if s.ended {
		return nil
	}
	s.wait.Go(func() { s.roll(one, d, r) })
	return nil
}

// imagesOf are the images of a task definition, without digests.
func (s *services) imagesOf(taskDefinition string) ([]containerImage, error) {
	var got struct {
		TaskDefinition struct {
			Containers []struct {
				Name  string `json:"name"`
				Image string `json:"image"`
			} `json:"containerDefinitions"`
		} `json:"taskDefinition"`
	}
	if err := s.known("DescribeTaskDefinition", map[string]string{"taskDefinition": taskDefinition}, &got); err != nil {
		return nil, err
	}
	var out []containerImage
	for _, c := range got.TaskDefinition.Containers {
		out = append(out, containerImage{Container: c.Name, Image: c.Image})
	}
	return out, nil
}
