package ecs

import (
	"context"
	"fmt"
	"strings"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
)

// place is where something with an ARN is; zero: it has none.
type place struct{ partition, region string }

// TaskDefinitionName names a task definition: by its ARN, or by family and
// revision in the region of the AWS settings.
type TaskDefinitionName struct {
	place
	account          string // where the ARN was given
	name             string // as the API takes it
	family, revision string // revision without leading zeros; empty: the newest
}

func (t TaskDefinitionName) String() string { return t.name }

// ParseTaskDefinition reads an ARN
// (arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY[:REVISION]), or
// FAMILY[:REVISION]. Without a revision ECS takes the newest active one.
func ParseTaskDefinition(s string) (TaskDefinitionName, error) {
	t := TaskDefinitionName{name: s}
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

// ServiceName names a service of a cluster.
type ServiceName struct {
	place
	account       string // where the ARN was given
	Cluster, Name string
}

func (s ServiceName) String() string { return s.Cluster + "/" + s.Name }

// arn is of the service, as IAM policies name it.
func (s ServiceName) arn(region string) string {
	account := s.account
	if account == "" {
		account = "*"
	}
	return fmt.Sprintf("arn:%s:ecs:%s:%s:service/%s/%s", awscall.Partition(region), region, account, s.Cluster, s.Name)
}

// asked is what names the service in a call. Names alone would be looked up in
// the account of the credentials, whichever the ARN is of.
func (s ServiceName) asked() (cluster, service string) {
	if s.account == "" {
		return s.Cluster, s.Name
	}
	return fmt.Sprintf("arn:%s:ecs:%s:%s:cluster/%s", s.partition, s.region, s.account, s.Cluster), s.arn(s.region)
}

// ParseService reads CLUSTER/NAME, or the service's ARN in the form that
// names the cluster.
func ParseService(s string) (ServiceName, error) {
	var v ServiceName
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

// TaskDefinition is the whole answer of DescribeTaskDefinition, JSON, whose
// taskDefinition is the one that was asked for: an answer whose
// taskDefinitionArn is of another account, region, family or revision is
// refused.
func (c *Client) TaskDefinition(ctx context.Context, t TaskDefinitionName) ([]byte, error) {
	q, err := c.ask(ctx, t.place, t.account, "DescribeTaskDefinition", map[string]string{"taskDefinition": t.name})
	if err != nil {
		return nil, err
	}
	q.Doing, q.Action, q.Resource = "read task definition "+t.name, ActionDescribeTaskDefinition, "*"
	q.NotFound = "check family, revision, account and region: there is no such task definition"
	data, err := q.send(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkTaskDefinition(data, t, q); err != nil {
		return nil, err
	}
	return data, nil
}

// ServiceTaskDefinitions are the task definitions that a service runs or is
// about to: its own, and those of every deployment and task set under way. At
// least one, each once, the service's own first.
func (c *Client) ServiceTaskDefinitions(ctx context.Context, s ServiceName) ([]TaskDefinitionName, error) {
	data, q, err := c.describeService(ctx, s)
	if err != nil {
		return nil, err
	}
	return readServices(data, s, q)
}

// describeService is the answer of DescribeServices about one service.
func (c *Client) describeService(ctx context.Context, s ServiceName) ([]byte, *asked, error) {
	cluster, service := s.asked()
	q, err := c.ask(ctx, s.place, s.account, "DescribeServices", map[string]any{"cluster": cluster, "services": []string{service}})
	if err != nil {
		return nil, nil, err
	}
	q.Doing, q.Action, q.Resource = "read service "+s.String(), ActionDescribeServices, s.arn(q.Region)
	q.NotFound = "check cluster, service, account and region: there is no such service"
	data, err := q.send(ctx)
	return data, q, err
}
