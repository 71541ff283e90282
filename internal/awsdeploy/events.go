package awsdeploy

import (
	"context"
	"strconv"
	"strings"

	"github.com/shuin/shuin/internal/awscall"
)

// Rule is a rule of EventBridge on the default bus, with where it sends what
// it matches. Source: Amazon EventBridge API Reference, "DescribeRule" and
// "ListTargetsByRule".
type Rule struct {
	Name, ARN string
	State     string // ENABLED, DISABLED, ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS
	Pattern   string // JSON; empty for a schedule
	Schedule  string
	Targets   []string // ARNs
}

func eventbridge(doing, operation, action, rule string) awscall.Call {
	return awscall.Call{
		Doing: doing, Title: "Amazon EventBridge", Service: "events", ID: "EventBridge", Protocol: awscall.JSON11,
		Target: "AWSEvents." + operation, Action: action, Resource: "the rule " + rule,
		NotFound: "it was deleted behind the stack's back: deploy the stack again",
		Absent:   func(e *awscall.ServiceError) bool { return e.Code == "ResourceNotFoundException" },
	}
}

// Rule reads a rule and its targets.
func (r *Reader) Rule(ctx context.Context, name string) (Rule, error) {
	var found struct {
		Name     string `json:"Name"`
		ARN      string `json:"Arn"`
		State    string `json:"State"`
		Pattern  string `json:"EventPattern"`
		Schedule string `json:"ScheduleExpression"`
	}
	if err := r.json(ctx, eventbridge("read rule "+name, "DescribeRule", ActionDescribeRule, name), map[string]string{"Name": name}, &found); err != nil {
		return Rule{}, err
	}
	var targets struct {
		Targets []struct {
			ARN string `json:"Arn"`
		} `json:"Targets"`
	}
	if err := r.json(ctx, eventbridge("list the targets of rule "+name, "ListTargetsByRule", ActionListTargetsByRule, name), map[string]string{"Rule": name}, &targets); err != nil {
		return Rule{}, err
	}
	rule := Rule{Name: found.Name, ARN: found.ARN, State: found.State, Pattern: found.Pattern, Schedule: found.Schedule}
	for _, t := range targets.Targets {
		rule.Targets = append(rule.Targets, t.ARN)
	}
	return rule, nil
}

// Queue is how full a queue is. The numbers are approximate. Source: Amazon
// SQS API Reference, "GetQueueAttributes".
type Queue struct {
	ARN     string
	Waiting int // visible
	Taken   int // in flight, or hidden until the next try
}

// Queue reads a queue by its address.
func (r *Reader) Queue(ctx context.Context, address string) (Queue, error) {
	q := awscall.Call{
		Doing: "read queue " + address, Title: "Amazon SQS", Service: "sqs", ID: "SQS", Protocol: awscall.JSON10,
		Target: "AmazonSQS.GetQueueAttributes", Action: ActionGetQueueAttributes, Resource: "the queue " + address,
		NotFound: "it was deleted behind the stack's back: deploy the stack again",
		Absent: func(e *awscall.ServiceError) bool {
			return strings.Contains(e.Code, "QueueDoesNotExist") || strings.Contains(e.Code, "NonExistentQueue")
		},
	}
	var out struct {
		Attributes map[string]string `json:"Attributes"`
	}
	in := struct {
		URL   string   `json:"QueueUrl"`
		Names []string `json:"AttributeNames"`
	}{address, []string{"QueueArn", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}}
	if err := r.json(ctx, q, in, &out); err != nil {
		return Queue{}, err
	}
	found := Queue{ARN: out.Attributes["QueueArn"]}
	var err error
	if found.Waiting, err = strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"]); err != nil {
		return Queue{}, malformed(q, err)
	}
	if found.Taken, err = strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"]); err != nil {
		return Queue{}, malformed(q, err)
	}
	return found, nil
}

// Trails says how many trails of CloudTrail log in this region, and whether
// there is any: without one, no event of theirs reaches EventBridge.
type Trails struct {
	Found, Logging int
}

func cloudtrail(doing, operation, action, resource string) awscall.Call {
	return awscall.Call{
		Doing: doing, Title: "AWS CloudTrail", Service: "cloudtrail", ID: "CloudTrail", Protocol: awscall.JSON11,
		Target: "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101." + operation, Action: action, Resource: resource,
	}
}

// Trails reads the trails of the account, and those of its organization that
// it sees, up to the first that logs.
func (r *Reader) Trails(ctx context.Context) (Trails, error) {
	var list struct {
		Trails []struct {
			ARN string `json:"TrailARN"`
		} `json:"trailList"`
	}
	if err := r.json(ctx, cloudtrail("list trails", "DescribeTrails", ActionDescribeTrails, "*"), struct{}{}, &list); err != nil {
		return Trails{}, err
	}
	found := Trails{Found: len(list.Trails)}
	for _, t := range list.Trails {
		var status struct {
			Logging bool `json:"IsLogging"`
		}
		if err := r.json(ctx, cloudtrail("read trail "+t.ARN, "GetTrailStatus", ActionGetTrailStatus, t.ARN), map[string]string{"Name": t.ARN}, &status); err != nil {
			return Trails{}, err
		}
		if status.Logging {
			found.Logging++
			return found, nil
		}
	}
	return found, nil
}
