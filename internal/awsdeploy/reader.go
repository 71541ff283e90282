// Package awsdeploy is the door to what a stack of the deploy kit set up on
// AWS: it asks CloudFormation, Lambda, EventBridge, SQS, CloudWatch, DynamoDB,
// SNS, CloudTrail and S3 what is there and in which state it is.
//
// It changes nothing on AWS, and leaves what is said of the answers to
// `shuin aws status`.
package awsdeploy

import (
	"context"
	"encoding/xml"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
)

// Reader asks with the credentials and in the region that As says. It may be
// used by many goroutines. All errors are *shuin.Error; what is not there is
// shuin.CodeNotFound.
type Reader struct {
	Caller *awscall.Caller
	As     awscall.As
}

// Actions are the IAM actions that the methods of a Reader need.
const (
	ActionDescribeStacks           = "cloudformation:DescribeStacks"
	ActionListStackResources       = "cloudformation:ListStackResources"
	ActionGetFunctionConfiguration = "lambda:GetFunctionConfiguration"
	ActionGetEventSourceMapping    = "lambda:GetEventSourceMapping"
	ActionDescribeRule             = "events:DescribeRule"
	ActionListTargetsByRule        = "events:ListTargetsByRule"
	ActionGetQueueAttributes       = "sqs:GetQueueAttributes"
	ActionDescribeTable            = "dynamodb:DescribeTable"
	ActionDescribeAlarms           = "cloudwatch:DescribeAlarms"
	ActionGetMetricData            = "cloudwatch:GetMetricData"
	ActionListSubscriptions        = "sns:ListSubscriptionsByTopic"
	ActionDescribeTrails           = "cloudtrail:DescribeTrails"
	ActionGetTrailStatus           = "cloudtrail:GetTrailStatus"
	ActionGetObject                = "s3:GetObject"
)

// json asks in JSON and reads the answer into out, whose unknown members are
// AWS's own to add.
func (r *Reader) json(ctx context.Context, q awscall.Call, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInternal, Message: q.Doing, Err: err}
	}
	q.Body = body
	answer, err := r.Caller.Ask(ctx, r.As, q)
	if err != nil {
		return err
	}
	return decode(q, answer.Body, out)
}

func decode(q awscall.Call, data []byte, out any) error {
	if err := json.Unmarshal(data, out, json.RejectUnknownMembers(false), jsontext.AllowInvalidUTF8(true)); err != nil {
		return malformed(q, err)
	}
	return nil
}

// xml asks a query service and reads the answer into out.
func (r *Reader) xml(ctx context.Context, q awscall.Call, version string, form url.Values, out any) error {
	q.Protocol, q.Query = awscall.Query, form
	form.Set("Version", version)
	answer, err := r.Caller.Ask(ctx, r.As, q)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(answer.Body, out); err != nil {
		return malformed(q, err)
	}
	return nil
}

func malformed(q awscall.Call, err error) error {
	return &shuin.Error{
		Code: shuin.CodeMalformed, Message: q.Doing + ": read the answer of " + q.Title, Err: awscall.Passed(err),
		Hint: "the answer is not AWS's: check the endpoint that is configured",
	}
}

// missing is an answer that lacks what was asked for.
func missing(doing string) error {
	return &shuin.Error{Code: shuin.CodeNotFound, Message: doing + ": AWS answers that there is none"}
}
