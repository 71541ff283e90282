package ecs

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
)

// Client asks ECS, CodeDeploy and CodePipeline, as one principal or, where
// Roles says so, as one of each account. Safe for concurrent use.
type Client struct {
	Caller *awscall.Caller
	// As says whose credentials are used, and where what has no ARN is looked
	// for. An ARN brings its own region; one of another region than As.Region is
	// refused.
	As awscall.As
	// Roles are the roles by which other accounts are reached, by account. What
	// is in an account that is not among them is asked for as As says.
	Roles map[string]Role
	// Tries of a call that is throttled or not answered; 0: limits.AWSTries.
	Tries int

	asking func(operation string) // is told of each call

	mu          sync.Mutex
	definitions map[string]RevisionImages // by ARN: a revision never changes
}

// Role is a role that is assumed.
type Role struct{ ARN, ExternalID string }

// The names of services in texts.
const (
	ecsTitle          = "Amazon ECS"
	codeDeployTitle   = "AWS CodeDeploy"
	codePipelineTitle = "AWS CodePipeline"
)

// asked is a call, and what its answer is held to.
type asked struct {
	awscall.Call
	client      *Client
	as          awscall.As
	account     string // that was asked for; empty: whichever the credentials are of
	credentials string // whose they are, for texts
}

// ask is a call of an operation of ECS for something at p in an account, both
// where known. Doing, Action and Resource are the caller's to set.
func (c *Client) ask(ctx context.Context, p place, account, operation string, in any) (*asked, error) {
	switch {
	case c.As.Region != "" && p.region != "" && c.As.Region != p.region:
		return nil, invalidf("the region %s was given, and the ARN is of %s", c.As.Region, p.region)
	case p.region != "" && !awsprofile.InPartition(p.partition, p.region):
		return nil, invalidf("the partition %s has no region %s", p.partition, p.region)
	}
	q := &asked{client: c, as: c.As, account: account}
	if q.as.Region == "" {
		q.as.Region = p.region
	}
	if r, ok := c.Roles[account]; ok {
		q.as.Role, q.as.ExternalID = r.ARN, r.ExternalID
	}
	if q.account == "" {
		q.account = accountOf(q.as.Role)
	}
	region, err := c.Caller.Region(ctx, q.as)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	q.credentials = c.Caller.Whose(ctx, q.as)
	q.Call = awscall.Call{
		Title: ecsTitle, Service: "ecs", ID: "ECS", Region: region, Protocol: awscall.JSON11,
		Target: "AmazonEC2ContainerServiceV20141113." + operation, Body: body,
		// ECS says with status 400 that there is no such thing, of task definitions
		// with its code for everything.
		Absent: func(e *awscall.ServiceError) bool {
			return strings.HasSuffix(e.Code, "NotFoundException") || e.Code == "ClientException" && e.Operation == "DescribeTaskDefinition"
		},
	}
	return q, nil
}

// accountOf is the account of a role: it acts in no other. Empty: there is no
// role, or its ARN is none.
func accountOf(role string) string {
	if part := strings.SplitN(role, ":", 6); len(part) == 6 && awsprofile.ValidAccount(part[4]) {
		return part[4]
	}
	return ""
}

// send makes the call.
func (q *asked) send(ctx context.Context) ([]byte, error) {
	if q.client.asking != nil {
		q.client.asking(q.Operation())
	}
	q.Tries = q.client.Tries
	answer, err := q.client.Caller.Ask(ctx, q.as, q.Call)
	return answer.Body, err
}

// in is q where the account is known that all else has to be of.
func (q *asked) in(account string) *asked {
	known := *q
	known.account = account
	return &known
}

func invalidf(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf(format, args...)}
}
