package ecs

import (
	"context"
	"slices"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
)

// The IAM actions that reading a deployment of CodeDeploy needs, on its
// deployment group; and ActionDescribeServices on the service.
const (
	ActionGetDeployment         = "codedeploy:GetDeployment"
	ActionListDeploymentTargets = "codedeploy:ListDeploymentTargets"
	ActionGetDeploymentTarget   = "codedeploy:GetDeploymentTarget"
)

// Deployment reads a deployment of CodeDeploy to ECS: whether it goes back
// (GetDeployment), its service and replacement task set (ListDeploymentTargets,
// GetDeploymentTarget), and that one's task definition (DescribeServices). The
// AppSpec file is not read: what ECS was told to start is.
func (c *Client) Deployment(ctx context.Context, id string) (Deployment, error) {
	group, rollback, err := c.deploymentGroup(ctx, id)
	if err != nil {
		return Deployment{}, err
	}
	target, err := c.deploymentTarget(ctx, id, group)
	if err != nil {
		return Deployment{}, err
	}
	d := Deployment{Service: target.ARN, Rollback: rollback}
	for _, e := range target.Events {
		if e.Status == "InProgress" {
			d.Event = awscall.Printable(e.Name, 60)
		}
	}
	if rollback {
		return d, nil
	}
	at := slices.IndexFunc(target.TaskSets, func(s taskSetInfo) bool { return s.Label == "Green" })
	if at < 0 || target.TaskSets[at].ID == "" {
		return d, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read deployment " + awscall.Printable(id, 60) + ": it has no replacement task set yet",
			Hint: "name the function at AfterInstall, or later, in the AppSpec file, and not at BeforeInstall"}
	}
	d.TaskSet = target.TaskSets[at].ID
	d.TaskDefinition, err = c.taskSet(ctx, target.ARN, d.TaskSet)
	return d, err
}

// codeDeploy asks an operation of CodeDeploy.
func (c *Client) codeDeploy(ctx context.Context, id, operation, action, resource string, in any, into any) (*asked, error) {
	q, err := c.askOther(ctx, codeDeployTitle, "codedeploy", "CodeDeploy", "CodeDeploy_20141006."+operation, in)
	if err != nil {
		return nil, err
	}
	q.Doing, q.Action, q.Resource = "read deployment "+awscall.Printable(id, 60), action, resource
	q.NotFound = "check account and region: there is no such deployment"
	q.Absent = func(e *awscall.ServiceError) bool {
		return e.Code == "DeploymentDoesNotExistException" || e.Code == "DeploymentTargetDoesNotExistException"
	}
	data, err := q.send(ctx)
	if err != nil {
		return nil, err
	}
	return q, q.read(data, into)
}

// deploymentGroup says in IAM's words what the deployment is of, and whether it
// goes back.
func (c *Client) deploymentGroup(ctx context.Context, id string) (group string, rollback bool, err error) {
	var got struct {
		Info struct {
			ID       string `json:"deploymentId"`
			App      string `json:"applicationName"`
			Group    string `json:"deploymentGroupName"`
			Platform string `json:"computePlatform"`
			Creator  string `json:"creator"`
			Rollback struct {
				Of string `json:"rollbackTriggeringDeploymentId"`
			} `json:"rollbackInfo"`
		} `json:"deploymentInfo"`
	}
	q, err := c.codeDeploy(ctx, id, "GetDeployment", ActionGetDeployment, "the deployment group", map[string]string{"deploymentId": id}, &got)
	if err != nil {
		return "", false, err
	}
	switch {
	case got.Info.ID != id:
		return "", false, q.malformed("the answer is about %q", awscall.Printable(got.Info.ID, 60))
	case got.Info.Platform != "ECS":
		return "", false, &shuin.Error{Code: shuin.CodeInvalidInput, Message: q.Doing + ": it is to " + awscall.Printable(got.Info.Platform, 60) + ", and not to ECS"}
	}
	group = "deployment group " + awscall.Printable(got.Info.App, 100) + "/" + awscall.Printable(got.Info.Group, 100)
	return group, got.Info.Creator == "codeDeployRollback" && got.Info.Rollback.Of != "", nil
}

// taskSetInfo is one task set of a deployment ("ECSTaskSet", AWS CodeDeploy API
// Reference); the name of its ID is spelt so there.
type taskSetInfo struct {
	ID    string `json:"identifer"`
	Label string `json:"taskSetLabel"`
}

// deploymentTarget is the service that a deployment is to ("ECSTarget").
type deploymentTarget struct {
	ARN      string        `json:"targetArn"`
	TaskSets []taskSetInfo `json:"taskSetsInfo"`
	Events   []struct {
		Name   string `json:"lifecycleEventName"`
		Status string `json:"status"`
	} `json:"lifecycleEvents"`
}

// deploymentTarget reads the one service that a deployment is to.
func (c *Client) deploymentTarget(ctx context.Context, id, group string) (*deploymentTarget, error) {
	var list struct {
		IDs []string `json:"targetIds"`
	}
	q, err := c.codeDeploy(ctx, id, "ListDeploymentTargets", ActionListDeploymentTargets, group, map[string]string{"deploymentId": id}, &list)
	if err != nil {
		return nil, err
	}
	if len(list.IDs) != 1 {
		return nil, q.malformed("it has %d targets: a deployment to ECS has one service", len(list.IDs))
	}
	var got struct {
		Target struct {
			Kind string           `json:"deploymentTargetType"`
			ECS  deploymentTarget `json:"ecsTarget"`
		} `json:"deploymentTarget"`
	}
	q, err = c.codeDeploy(ctx, id, "GetDeploymentTarget", ActionGetDeploymentTarget, group, map[string]string{"deploymentId": id, "targetId": list.IDs[0]}, &got)
	if err != nil {
		return nil, err
	}
	if got.Target.Kind != "" && got.Target.Kind != "ECSTarget" {
		return nil, q.malformed("its target is a %s", awscall.Printable(got.Target.Kind, 60))
	}
	if _, _, err := q.named("targetArn", got.Target.ECS.ARN, "service"); err != nil {
		return nil, err
	}
	return &got.Target.ECS, nil
}

// taskSet is the task definition of a task set of a service.
func (c *Client) taskSet(ctx context.Context, service, id string) (string, error) {
	s, err := ParseService(service)
	if err != nil {
		return "", err
	}
	cluster, name := s.asked()
	q, err := c.ask(ctx, s.place, s.account, "DescribeServices", map[string]any{"cluster": cluster, "services": []string{name}})
	if err != nil {
		return "", err
	}
	q.Doing, q.Action, q.Resource = "read service "+s.String(), ActionDescribeServices, s.arn(q.Region)
	q.NotFound = "check cluster, service, account and region: there is no such service"
	data, err := q.send(ctx)
	if err != nil {
		return "", err
	}
	var got struct {
		Services []struct {
			ARN      string `json:"serviceArn"`
			Cluster  string `json:"clusterArn"`
			TaskSets []struct {
				ID             string `json:"id"`
				TaskDefinition string `json:"taskDefinition"`
			} `json:"taskSets"`
		} `json:"services"`
	}
	if err := q.read(data, &got); err != nil {
		return "", err
	}
	if len(got.Services) != 1 {
		return "", q.malformed("the answer holds %d services", len(got.Services))
	}
	account, err := checkService(got.Services[0].ARN, got.Services[0].Cluster, s, q)
	if err != nil {
		return "", err
	}
	for _, t := range got.Services[0].TaskSets {
		if t.ID == id {
			_, _, err := q.in(account).named("taskDefinition", t.TaskDefinition, "task-definition")
			return t.TaskDefinition, err
		}
	}
	return "", &shuin.Error{Code: shuin.CodeNotFound, Message: q.Doing + ": it has no task set " + awscall.Printable(id, 100)}
}

var (
	_ DeploymentReader   = (*Client)(nil)
	_ DeploymentAnswerer = (*Client)(nil)
	_ DefinitionReader   = (*Client)(nil)
	_ JobAnswerer        = (*Client)(nil)
)
