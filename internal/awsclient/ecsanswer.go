package awsclient

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// ecsAsked is a call that was answered, and what its answer is held to.
type ecsAsked struct {
	jsonCall
	account     string // that was asked for; empty: whichever the credentials are of
	credentials string // whose they are, for texts
}

func (q ecsAsked) malformed(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeMalformed, Message: q.doing + ": " + fmt.Sprintf(format, args...)}
}

// named takes the ARN of something in an answer apart, and holds its place and
// account to what was asked. what is its name there.
func (q ecsAsked) named(what, arn, kind string) (account, rest string, err error) {
	if arn == "" {
		return "", "", q.malformed("the answer does not say what it is about (%s)", what)
	}
	p, account, resource, ok := parseECS(arn)
	rest, is := strings.CutPrefix(resource, kind+"/")
	switch {
	case !ok || !is:
		return "", "", q.malformed("%s %q is no ARN of a %s", what, printable(arn, 300), kind)
	case p.region != q.region || p.partition != partitionOf(q.region):
		return "", "", q.malformed("region %s of %s was asked, and the answer is about %s", q.region, partitionOf(q.region), printable(arn, 300))
	case q.account != "" && account != q.account:
		return "", "", &shuin.Error{
			Code:    shuin.CodeForbidden,
			Message: fmt.Sprintf("%s: account %s was asked for, and %s are answered for account %s (%s)", q.doing, q.account, q.credentials, account, printable(arn, 300)),
			Hint:    "use credentials of account " + q.account + " (--aws-profile, or AWS_PROFILE), or name what is in account " + account,
		}
	}
	return account, rest, nil
}

// checkTaskDefinition holds an answer of DescribeTaskDefinition to what was asked.
func checkTaskDefinition(data []byte, t ECSTaskDefinition, q ecsAsked) error {
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
	is, err := ParseECSTaskDefinition(arn)
	switch {
	case err != nil || is.revision == "":
		return q.malformed("taskDefinitionArn %q is no ARN of a task definition with its revision", printable(arn, 300))
	case is.family != t.family || t.revision != "" && is.revision != t.revision:
		return q.malformed("%s was asked for, and the answer is about %s", t.name, arn)
	}
	return nil
}

// checkService holds a service of an answer of DescribeServices to what was
// asked, and gives the account it is in.
func checkService(serviceARN, clusterARN string, s ECSService, q ecsAsked) (account string, err error) {
	account, name, err := q.named("serviceArn", serviceARN, "service")
	if err != nil {
		return "", err
	}
	q.account = account // all of it is in one
	_, cluster, err := q.named("clusterArn", clusterARN, "cluster")
	if err != nil {
		return "", err
	}
	// ARNs of before 2018 name the service alone.
	if name != s.Name && name != s.String() || cluster != s.Cluster {
		return "", q.malformed("the answer is about %s in %s", printable(serviceARN, 300), printable(clusterARN, 300))
	}
	return account, nil
}

// readServices reads the answer of DescribeServices about one service.
func readServices(data []byte, asked ECSService, q ecsAsked) ([]ECSTaskDefinition, error) {
	type running struct {
		TaskDefinition string `json:"taskDefinition"`
	}
	var got struct {
		Services []struct {
			running
			ARN         string    `json:"serviceArn"`
			Cluster     string    `json:"clusterArn"`
			Status      string    `json:"status"`
			Deployments []running `json:"deployments"`
			TaskSets    []running `json:"taskSets"`
		} `json:"services"`
		Failures []struct {
			Reason string `json:"reason"`
			Detail string `json:"detail"`
		} `json:"failures"`
	}
	// Other members are AWS's to add, and hold nothing that is used here.
	if err := json.Unmarshal(data, &got); err != nil {
		return nil, q.malformed("the answer is not what the API says")
	}
	switch {
	case len(got.Services) == 0 && len(got.Failures) > 0:
		f := got.Failures[0]
		reason := printable(strings.TrimSpace(f.Reason+" "+f.Detail), limits.AWSErrorRunes)
		return nil, &shuin.Error{Code: shuin.CodeNotFound, Message: q.doing + ": Amazon ECS answers " + reason, Hint: q.notFound}
	case len(got.Services) != 1:
		return nil, q.malformed("the answer holds %d services", len(got.Services))
	}
	s := got.Services[0]
	account, err := checkService(s.ARN, s.Cluster, asked, q)
	if err != nil {
		return nil, err
	}
	if s.Status == "INACTIVE" {
		return nil, &shuin.Error{Code: shuin.CodeNotFound, Message: q.doing + ": the service was deleted", Hint: q.notFound}
	}
	q.account = account // what a service runs is of its own account
	var all []ECSTaskDefinition
	for _, r := range slices.Concat([]running{s.running}, s.Deployments, s.TaskSets) {
		if r.TaskDefinition == "" {
			continue // the controller is not ECS: its task sets have them
		}
		if _, _, err := q.named("taskDefinition", r.TaskDefinition, "task-definition"); err != nil {
			return nil, err
		}
		t, err := ParseECSTaskDefinition(r.TaskDefinition)
		if err != nil {
			return nil, q.malformed("%q is no task definition", printable(r.TaskDefinition, 300))
		}
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	switch {
	case len(all) == 0:
		return nil, q.malformed("the service has no task definition")
	case len(all) > limits.ServiceTaskDefinitions:
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s: it has %d task definitions under way, more than %d (limit ServiceTaskDefinitions)", q.doing, len(all), limits.ServiceTaskDefinitions)}
	}
	return all, nil
}
