package ecs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

func (q *asked) malformed(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeMalformed, Message: q.Doing + ": " + fmt.Sprintf(format, args...)}
}

// named takes the ARN of something in an answer apart, and holds its place and
// account to what was asked. what is its name there.
func (q *asked) named(what, arn, kind string) (account, rest string, err error) {
	if arn == "" {
		return "", "", q.malformed("the answer does not say what it is about (%s)", what)
	}
	p, account, resource, ok := parseECS(arn)
	rest, is := strings.CutPrefix(resource, kind+"/")
	switch {
	case !ok || !is:
		return "", "", q.malformed("%s %q is no ARN of a %s", what, awscall.Printable(arn, 300), kind)
	case p.region != q.Region || p.partition != awscall.Partition(q.Region):
		return "", "", q.malformed("region %s of %s was asked, and the answer is about %s", q.Region, awscall.Partition(q.Region), awscall.Printable(arn, 300))
	case q.account != "" && account != q.account:
		return "", "", &shuin.Error{
			Code:    shuin.CodeForbidden,
			Message: fmt.Sprintf("%s: account %s was asked for, and %s are answered for account %s (%s)", q.Doing, q.account, q.credentials, account, awscall.Printable(arn, 300)),
			Hint:    "use credentials of account " + q.account + " (--aws-profile, or AWS_PROFILE), or name what is in account " + account,
		}
	}
	return account, rest, nil
}

// checkTaskDefinition holds an answer of DescribeTaskDefinition to what was asked.
func checkTaskDefinition(data []byte, t TaskDefinitionName, q *asked) error {
	var got struct {
		TaskDefinition struct {
			ARN string `json:"taskDefinitionArn"`
		} `json:"taskDefinition"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		return q.malformed("the answer is not what the API says")
	}
	arn := got.TaskDefinition.ARN
	if _, _, err := q.named("taskDefinitionArn", arn, "task-definition"); err != nil {
		return err
	}
	is, err := ParseTaskDefinition(arn)
	switch {
	case err != nil || is.revision == "":
		return q.malformed("taskDefinitionArn %q is no ARN of a task definition with its revision", awscall.Printable(arn, 300))
	case is.family != t.family || t.revision != "" && is.revision != t.revision:
		return q.malformed("%s was asked for, and the answer is about %s", t.name, arn)
	}
	return nil
}

// checkService holds a service of an answer of DescribeServices to what was
// asked, and gives the account it is in.
func checkService(serviceARN, clusterARN string, s ServiceName, q *asked) (account string, err error) {
	account, name, err := q.named("serviceArn", serviceARN, "service")
	if err != nil {
		return "", err
	}
	_, cluster, err := q.in(account).named("clusterArn", clusterARN, "cluster")
	if err != nil {
		return "", err
	}
	// ARNs of before 2018 name the service alone.
	if name != s.Name && name != s.String() || cluster != s.Cluster {
		return "", q.malformed("the answer is about %s in %s", awscall.Printable(serviceARN, 300), awscall.Printable(clusterARN, 300))
	}
	return account, nil
}

// running is what names a task definition that something runs.
type running struct {
	TaskDefinition string `json:"taskDefinition"`
}

// serviceAnswer is a service in an answer of DescribeServices.
type serviceAnswer struct {
	running
	ARN         string    `json:"serviceArn"`
	Cluster     string    `json:"clusterArn"`
	Status      string    `json:"status"`
	Deployments []running `json:"deployments"`
	TaskSets    []running `json:"taskSets"`
}

// servicesAnswer is an answer of DescribeServices.
type servicesAnswer struct {
	Services []serviceAnswer `json:"services"`
	Failures []failure       `json:"failures"`
}

// readService reads the answer of DescribeServices about one service.
func readService(data []byte, is ServiceName, q *asked) (serviceAnswer, *asked, error) {
	var got servicesAnswer
	if err := q.read(data, &got); err != nil {
		return serviceAnswer{}, nil, err
	}
	switch {
	case len(got.Services) == 0 && len(got.Failures) > 0:
		return serviceAnswer{}, nil, q.failed(got.Failures[0])
	case len(got.Services) != 1:
		return serviceAnswer{}, nil, q.malformed("the answer holds %d services", len(got.Services))
	}
	s := got.Services[0]
	account, err := checkService(s.ARN, s.Cluster, is, q)
	if err != nil {
		return serviceAnswer{}, nil, err
	}
	if s.Status == "INACTIVE" {
		return serviceAnswer{}, nil, &shuin.Error{Code: shuin.CodeNotFound, Message: q.Doing + ": the service was deleted", Hint: q.NotFound}
	}
	return s, q.in(account), nil // what a service runs is of its own account
}

// readServices reads the task definitions of an answer of DescribeServices
// about one service: at least one.
func readServices(data []byte, is ServiceName, q *asked) ([]TaskDefinitionName, error) {
	s, q, err := readService(data, is, q)
	if err != nil {
		return nil, err
	}
	all, err := q.underWay(s)
	if err == nil && len(all) == 0 {
		return nil, q.malformed("the service has no task definition")
	}
	return all, err
}

// underWay are the task definitions of a service: its own, then those of its
// deployments and task sets, each once. None: its controller is not ECS, and
// has made no task set.
func (q *asked) underWay(s serviceAnswer) ([]TaskDefinitionName, error) {
	var all []TaskDefinitionName
	for _, r := range slices.Concat([]running{s.running}, s.Deployments, s.TaskSets) {
		if r.TaskDefinition == "" {
			continue // the controller is not ECS: its task sets have them
		}
		if _, _, err := q.named("taskDefinition", r.TaskDefinition, "task-definition"); err != nil {
			return nil, err
		}
		t, err := ParseTaskDefinition(r.TaskDefinition)
		if err != nil {
			return nil, q.malformed("%q is no task definition", awscall.Printable(r.TaskDefinition, 300))
		}
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	if len(all) > limits.ServiceTaskDefinitions {
		return nil, q.over(fmt.Sprintf("it has %d task definitions under way, more than %d", len(all), limits.ServiceTaskDefinitions), "ServiceTaskDefinitions")
	}
	return all, nil
}
