package awsdeploy

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// Stack is one stack of CloudFormation. Source: AWS CloudFormation API
// Reference, "Stack".
type Stack struct {
	Name, ID        string // ID is its ARN
	Status, Reason  string // CREATE_COMPLETE, …
	Created, Update time.Time
	Parameters      map[string]string
	Outputs         map[string]string
}

// Resource is one resource of a stack. Source: "StackResourceSummary".
type Resource struct {
	Logical  string // its name in the template
	Physical string // its name, address or ARN; empty before it is made
	Type     string // AWS::SQS::Queue
	Status   string
	Reason   string
}

const cloudformationVersion = "2010-05-15"

func cloudformation(doing, operation, action, stack string) awscall.Call {
	return awscall.Call{
		Doing: doing, Title: "AWS CloudFormation", Service: "cloudformation", ID: "CloudFormation", Target: operation,
		Action: action, Resource: "the stack " + stack,
		NotFound: "check the stack's name, the account and the region; \"aws cloudformation list-stacks\" shows which there are",
		Absent: func(e *awscall.ServiceError) bool {
			return e.Code == "ValidationError" && strings.Contains(e.Message, "does not exist")
		},
	}
}

type keyed struct {
	Key   string `xml:"ParameterKey"`
	Value string `xml:"ParameterValue"`
	Out   string `xml:"OutputKey"`
	Give  string `xml:"OutputValue"`
}

// Stack reads a stack by its name or ARN.
func (r *Reader) Stack(ctx context.Context, name string) (Stack, error) {
	doing := "read stack " + name
	var out struct {
		Stacks []struct {
			Name       string    `xml:"StackName"`
			ID         string    `xml:"StackId"`
			Status     string    `xml:"StackStatus"`
			Reason     string    `xml:"StackStatusReason"`
			Created    time.Time `xml:"CreationTime"`
			Updated    string    `xml:"LastUpdatedTime"`
			Parameters []keyed   `xml:"Parameters>member"`
			Outputs    []keyed   `xml:"Outputs>member"`
		} `xml:"DescribeStacksResult>Stacks>member"`
	}
	q := cloudformation(doing, "DescribeStacks", ActionDescribeStacks, name)
	if err := r.xml(ctx, q, cloudformationVersion, url.Values{"StackName": {name}}, &out); err != nil {
		return Stack{}, err
	}
	if len(out.Stacks) != 1 {
		return Stack{}, missing(doing)
	}
	found := out.Stacks[0]
	s := Stack{
		Name: found.Name, ID: found.ID, Status: found.Status, Reason: awscall.Printable(found.Reason, limits.AWSErrorRunes),
		Created: found.Created, Update: found.Created, Parameters: map[string]string{}, Outputs: map[string]string{},
	}
	if t, err := time.Parse(time.RFC3339, found.Updated); err == nil {
		s.Update = t
	}
	for _, p := range found.Parameters {
		s.Parameters[p.Key] = p.Value
	}
	for _, o := range found.Outputs {
		s.Outputs[o.Out] = o.Give
	}
	return s, nil
}

// Resources lists what a stack consists of.
func (r *Reader) Resources(ctx context.Context, stack string) ([]Resource, error) {
	doing := "list the resources of stack " + stack
	var all []Resource
	next := ""
	for range limits.DeployPages {
		var out struct {
			List []struct {
				Logical  string `xml:"LogicalResourceId"`
				Physical string `xml:"PhysicalResourceId"`
				Type     string `xml:"ResourceType"`
				Status   string `xml:"ResourceStatus"`
				Reason   string `xml:"ResourceStatusReason"`
			} `xml:"ListStackResourcesResult>StackResourceSummaries>member"`
			Next string `xml:"ListStackResourcesResult>NextToken"`
		}
		form := url.Values{"StackName": {stack}}
		if next != "" {
			form.Set("NextToken", next)
		}
		if err := r.xml(ctx, cloudformation(doing, "ListStackResources", ActionListStackResources, stack), cloudformationVersion, form, &out); err != nil {
			return nil, err
		}
		for _, f := range out.List {
			f.Reason = awscall.Printable(f.Reason, limits.AWSErrorRunes)
			all = append(all, Resource(f))
		}
		if next = out.Next; next == "" {
			return all, nil
		}
	}
	return nil, &shuin.Error{Code: shuin.CodeLimit, Message: doing + ": the list does not end (limit DeployPages)"}
}
