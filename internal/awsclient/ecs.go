package awsclient

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
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
	account          string // where the ARN was given
	name             string // as the API takes it
	family, revision string // revision without leading zeros; empty: the newest
}

func (t ECSTaskDefinition) String() string { return t.name }

// ParseECSTaskDefinition reads an ARN
// (arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY[:REVISION]), or
// FAMILY[:REVISION]. Without a revision ECS takes the newest active one.
func ParseECSTaskDefinition(s string) (ECSTaskDefinition, error) {
	t := ECSTaskDefinition{name: s}
	family := s
	if strings.HasPrefix(s, "arn:") {
		p, account, resource, ok := parseECS(s)
		rest, named := strings.CutPrefix(resource, "task-definition/")
		if !ok || !named {
			return t, invalidf("%q is no ARN of a task definition (arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY:REVISION)", s)
		}
		t.place, t.account, family = p, account, rest
	}
	name, revision, revised := strings.Cut(family, ":")
	if !ecsName(name) || revised && !digits(revision) {
		return t, invalidf("%q is no task definition: write its ARN, or FAMILY:REVISION", s)
	}
	t.family = name
	if t.revision = strings.TrimLeft(revision, "0"); revised && t.revision == "" {
		t.revision = "0"
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

// asked is what names the service in a call. Names alone would be looked up in
// the account of the credentials, whichever the ARN is of.
func (s ECSService) asked() (cluster, service string) {
	if s.account == "" {
		return s.Cluster, s.Name
	}
	return fmt.Sprintf("arn:%s:ecs:%s:%s:cluster/%s", s.partition, s.region, s.account, s.Cluster), s.arn(s.region)
}

// ParseECSService reads CLUSTER/NAME, or the service's ARN in the form that
// names the cluster.
func ParseECSService(s string) (ECSService, error) {
	var v ECSService
	pair := s
	if strings.HasPrefix(s, "arn:") {
		p, account, resource, ok := parseECS(s)
		rest, named := strings.CutPrefix(resource, "service/")
		if !ok || !named {
			return v, invalidf("%q is no ARN of an ECS service (arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/NAME)", s)
		}
		v.place, v.account, pair = p, account, rest
	}
	cluster, name, ok := strings.Cut(pair, "/")
	if !ok || !ecsName(cluster) || !ecsName(name) {
		return v, invalidf("%q is no ECS service: write CLUSTER/NAME", s)
	}
	v.Cluster, v.Name = cluster, name
	return v, nil
}

// parseECS takes an ARN of ECS apart.
func parseECS(s string) (p place, account, resource string, ok bool) {
	part := strings.SplitN(s, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[2] != "ecs" || !awsprofile.ValidRegion(part[3]) || !awsprofile.ValidAccount(part[4]) {
		return place{}, "", "", false
	}
	return place{partition: part[1], region: part[3]}, part[4], part[5], true
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
// taskDefinition is the one that was asked for: an answer whose
// taskDefinitionArn is of another account, region, family or revision is
// refused.
func (r *ECSReader) TaskDefinition(ctx context.Context, t ECSTaskDefinition) ([]byte, error) {
	cfg, q, err := r.call(ctx, t.place, "DescribeTaskDefinition", map[string]string{"taskDefinition": t.name})
	if err != nil {
		return nil, err
	}
	q.doing, q.action, q.resource = "read task definition "+t.name, ActionDescribeTaskDefinition, "*"
	q.notFound = "check family, revision, account and region: there is no such task definition"
	data, err := r.Client.ask(ctx, cfg, q)
	if err != nil {
		return nil, err
	}
	if err := checkTaskDefinition(data, t, ecsAsked{q, t.account, r.credentials(ctx, cfg)}); err != nil {
		return nil, err
	}
	return data, nil
}

// ServiceTaskDefinitions are the task definitions that a service runs or is
// about to: its own, and those of every deployment and task set under way. At
// least one, each once, the service's own first.
func (r *ECSReader) ServiceTaskDefinitions(ctx context.Context, s ECSService) ([]ECSTaskDefinition, error) {
	cluster, service := s.asked()
	cfg, q, err := r.call(ctx, s.place, "DescribeServices", map[string]any{"cluster": cluster, "services": []string{service}})
	if err != nil {
		return nil, err
	}
	q.doing, q.action, q.resource = "read service "+s.String(), ActionDescribeServices, s.arn(q.region)
	q.notFound = "check cluster, service, account and region: there is no such service"
	data, err := r.Client.ask(ctx, cfg, q)
	if err != nil {
		return nil, err
	}
	return readServices(data, s, ecsAsked{q, s.account, r.credentials(ctx, cfg)})
}

// credentials says whose credentials a call was made with.
func (r *ECSReader) credentials(ctx context.Context, cfg aws.Config) string {
	if r.Profile != "" {
		return "the credentials of the AWS profile " + printable(r.Profile, 100)
	}
	if c, err := cfg.Credentials.Retrieve(ctx); err == nil && c.Source != "" {
		return "the AWS credentials in use (" + printable(c.Source, 200) + ")"
	}
	return "the AWS credentials in use"
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
