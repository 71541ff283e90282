package awsclient

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// The IAM actions that reading from ECS needs.
const (
	ActionDescribeTaskDefinition = "ecs:DescribeTaskDefinition" // on "*": it knows no resources
	ActionDescribeServices       = "ecs:DescribeServices"       // on the service
)

// ecsTarget begins the X-Amz-Target of every operation of ECS.
const ecsTarget = "AmazonEC2ContainerServiceV20141113."

const ecsTitle = "Amazon ECS"

// absent: ECS says with status 400 that there is no such thing, of task
// definitions with its code for everything.
func (e *ServiceError) absent() bool {
	return strings.HasSuffix(e.Code, "NotFoundException") || e.Code == "ClientException" && e.Operation == "DescribeTaskDefinition"
}

// ECSTaskDefinition names a task definition: by its ARN, or by family and
// revision in the region of the AWS settings.
type ECSTaskDefinition struct {
	place
	name string // as the API takes it
}

func (t ECSTaskDefinition) String() string { return t.name }

// ParseECSTaskDefinition reads an ARN
// (arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY[:REVISION]), or
// FAMILY[:REVISION]. Without a revision ECS takes the newest active one.
func ParseECSTaskDefinition(s string) (ECSTaskDefinition, error) {
	t := ECSTaskDefinition{name: s}
	family := s
	if strings.HasPrefix(s, "arn:") {
		p, resource, ok := parseECS(s)
		rest, named := strings.CutPrefix(resource, "task-definition/")
		if !ok || !named {
			return t, invalidf("%q is no ARN of a task definition (arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY:REVISION)", s)
		}
		t.place, family = p, rest
	}
	name, revision, revised := strings.Cut(family, ":")
	if !ecsName(name) || revised && !digits(revision) {
		return t, invalidf("%q is no task definition: write its ARN, or FAMILY:REVISION", s)
	}
	return t, nil
}

// ECSService names a service of a cluster.
type ECSService struct {
	place
	account       string // where the ARN was given
	Cluster, Name string
}

func (s ECSService) String() string { return s.Cluster + "/" + s.Name }

// arn is of the service, as IAM policies name it.
func (s ECSService) arn(region string) string {
	account := s.account
	if account == "" {
		account = "*"
	}
	return fmt.Sprintf("arn:%s:ecs:%s:%s:service/%s/%s", partitionOf(region), region, account, s.Cluster, s.Name)
}

// ParseECSService reads CLUSTER/NAME, or the service's ARN in the form that
// names the cluster.
func ParseECSService(s string) (ECSService, error) {
	var v ECSService
	pair := s
	if strings.HasPrefix(s, "arn:") {
		p, resource, ok := parseECS(s)
		rest, named := strings.CutPrefix(resource, "service/")
		if !ok || !named {
			return v, invalidf("%q is no ARN of an ECS service (arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/NAME)", s)
		}
		v.place, v.account, pair = p, strings.Split(s, ":")[4], rest
	}
	cluster, name, ok := strings.Cut(pair, "/")
	if !ok || !ecsName(cluster) || !ecsName(name) {
		return v, invalidf("%q is no ECS service: write CLUSTER/NAME", s)
	}
	v.Cluster, v.Name = cluster, name
	return v, nil
}

// parseECS takes an ARN of ECS apart.
func parseECS(s string) (p place, resource string, ok bool) {
	part := strings.SplitN(s, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[2] != "ecs" || !awsprofile.ValidRegion(part[3]) || !awsprofile.ValidAccount(part[4]) {
		return place{}, "", false
	}
	return place{partition: part[1], region: part[3]}, part[5], true
}

// ecsName holds the names of clusters, services and families against what ECS
// allows: letters, digits, "-" and "_", at most 255.
func ecsName(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

func digits(s string) bool {
	return s != "" && len(s) <= 10 && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// ECSReader reads task definitions from ECS.
type ECSReader struct {
	Client *Client
	// Region and Profile as in Settings; an ARN brings its own region.
	Region, Profile string
}

// TaskDefinition is the whole answer of DescribeTaskDefinition, JSON, whose
// taskDefinition is the one that was asked for.
func (r *ECSReader) TaskDefinition(ctx context.Context, t ECSTaskDefinition) ([]byte, error) {
	cfg, q, err := r.call(ctx, t.place, "DescribeTaskDefinition", map[string]string{"taskDefinition": t.name})
	if err != nil {
		return nil, err
	}
	q.doing, q.action, q.resource = "read task definition "+t.name, ActionDescribeTaskDefinition, "*"
	q.notFound = "check family, revision, account and region: there is no such task definition"
	return r.Client.ask(ctx, cfg, q)
}

// ServiceTaskDefinitions are the task definitions that a service runs or is
// about to: its own, and those of every deployment and task set under way. At
// least one, each once, the service's own first.
func (r *ECSReader) ServiceTaskDefinitions(ctx context.Context, s ECSService) ([]ECSTaskDefinition, error) {
	cfg, q, err := r.call(ctx, s.place, "DescribeServices", map[string]any{"cluster": s.Cluster, "services": []string{s.Name}})
	if err != nil {
		return nil, err
	}
	q.doing, q.action, q.resource = "read service "+s.String(), ActionDescribeServices, s.arn(q.region)
	q.notFound = "check cluster, service, account and region: there is no such service"
	data, err := r.Client.ask(ctx, cfg, q)
	if err != nil {
		return nil, err
	}
	return readServices(data, q)
}

// call is a call of an operation for something at p, and the settings it is made with.
func (r *ECSReader) call(ctx context.Context, p place, operation string, in any) (aws.Config, jsonCall, error) {
	switch {
	case r.Region != "" && p.region != "" && r.Region != p.region:
		return aws.Config{}, jsonCall{}, invalidf("the region %s was given, and the ARN is of %s", r.Region, p.region)
	case p.region != "" && !awsprofile.InPartition(p.partition, p.region):
		return aws.Config{}, jsonCall{}, invalidf("the partition %s has no region %s", p.partition, p.region)
	}
	cfg, err := r.Client.config(ctx, Settings{Region: r.Region, Profile: r.Profile}.at(p))
	if err != nil {
		return cfg, jsonCall{}, err
	}
	if !awsprofile.ValidRegion(cfg.Region) {
		return cfg, jsonCall{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "no AWS region is known",
			Hint: "give --region, set AWS_REGION, or write the whole ARN"}
	}
	body, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return cfg, jsonCall{}, err
	}
	return cfg, jsonCall{
		title: ecsTitle, service: "ecs", id: "ECS", region: cfg.Region, host: ecsHost(ctx, cfg),
		target: ecsTarget + operation, body: body,
	}, nil
}

// ecsHost is AWS's own for the region.
func ecsHost(ctx context.Context, cfg aws.Config) string {
	name := "ecs"
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok {
			if state, found, err := s.GetUseFIPSEndpoint(ctx); err == nil && found {
				if state == aws.FIPSEndpointStateEnabled {
					name = "ecs-fips"
				}
				break
			}
		}
	}
	return name + "." + cfg.Region + "." + domainOf(partitionOf(cfg.Region))
}

// domainOf is the domain that a partition's services lie under.
func domainOf(partition string) string {
	for _, p := range []struct{ partition, domain string }{
		{"aws-cn", "amazonaws.com.cn"}, {"aws-iso", "c2s.ic.gov"}, {"aws-iso-b", "sc2s.sgov.gov"},
		{"aws-iso-e", "cloud.adc-e.uk"}, {"aws-iso-f", "csp.hci.ic.gov"}, {"aws-eusc", "amazonaws.eu"},
	} {
		if p.partition == partition {
			return p.domain
		}
	}
	return "amazonaws.com"
}

// readServices reads the answer of DescribeServices about one service.
func readServices(data []byte, q jsonCall) ([]ECSTaskDefinition, error) {
	type running struct {
		TaskDefinition string `json:"taskDefinition"`
	}
	var got struct {
		Services []struct {
			running
			Status      string    `json:"status"`
			Deployments []running `json:"deployments"`
			TaskSets    []running `json:"taskSets"`
		} `json:"services"`
		Failures []struct {
			Reason string `json:"reason"`
			Detail string `json:"detail"`
		} `json:"failures"`
	}
	malformed := func(what string) error {
		return &shuin.Error{Code: shuin.CodeMalformed, Message: q.doing + ": " + what}
	}
	// Other members are AWS's to add, and hold nothing that is used here.
	if err := json.Unmarshal(data, &got); err != nil {
		return nil, malformed("the answer is not what the API says")
	}
	switch {
	case len(got.Services) == 0 && len(got.Failures) > 0:
		f := got.Failures[0]
		reason := printable(strings.TrimSpace(f.Reason+" "+f.Detail), limits.AWSErrorRunes)
		return nil, &shuin.Error{Code: shuin.CodeNotFound, Message: q.doing + ": Amazon ECS answers " + reason, Hint: q.notFound}
	case len(got.Services) != 1:
		return nil, malformed(fmt.Sprintf("the answer holds %d services", len(got.Services)))
	case got.Services[0].Status == "INACTIVE":
		return nil, &shuin.Error{Code: shuin.CodeNotFound, Message: q.doing + ": the service was deleted", Hint: q.notFound}
	}
	s := got.Services[0]
	var all []ECSTaskDefinition
	for _, r := range slices.Concat([]running{s.running}, s.Deployments, s.TaskSets) {
		if r.TaskDefinition == "" {
			continue // the controller is not ECS: its task sets have them
		}
		t, err := ParseECSTaskDefinition(r.TaskDefinition)
		if err != nil {
			return nil, malformed(fmt.Sprintf("%q is no task definition", printable(r.TaskDefinition, 300)))
		}
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	switch {
	case len(all) == 0:
		return nil, malformed("the service has no task definition")
	case len(all) > limits.ServiceTaskDefinitions:
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s: it has %d task definitions under way, more than %d (limit ServiceTaskDefinitions)", q.doing, len(all), limits.ServiceTaskDefinitions)}
	}
	return all, nil
}
