package awsdeploy

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/awscall"
)

// TableStatus reads the state of a table of DynamoDB: ACTIVE, CREATING, ….
func (r *Reader) TableStatus(ctx context.Context, name string) (string, error) {
	q := awscall.Call{
		Doing: "read table " + name, Title: "Amazon DynamoDB", Service: "dynamodb", ID: "DynamoDB", Protocol: awscall.JSON10,
		Target: "DynamoDB_20120810.DescribeTable", Action: ActionDescribeTable, Resource: "the table " + name,
		NotFound: "it was deleted behind the stack's back: deploy the stack again",
		Absent:   func(e *awscall.ServiceError) bool { return e.Code == "ResourceNotFoundException" },
	}
	var out struct {
		Table struct {
			Status string `json:"TableStatus"`
		} `json:"Table"`
	}
	err := r.json(ctx, q, map[string]string{"TableName": name}, &out)
	return out.Table.Status, err
}

// Subscribers says how many subscriptions of a topic are confirmed, and how
// many wait for that, of the first 100. Source: Amazon SNS API Reference,
// "ListSubscriptionsByTopic".
func (r *Reader) Subscribers(ctx context.Context, topic string) (confirmed, pending int, err error) {
	q := awscall.Call{
		Doing: "list the subscriptions of topic " + topic, Title: "Amazon SNS", Service: "sns", ID: "SNS", Target: "ListSubscriptionsByTopic",
		Action: ActionListSubscriptions, Resource: topic,
		NotFound: "create the topic, or deploy the stack with another",
	}
	var out struct {
		Subscriptions []string `xml:"ListSubscriptionsByTopicResult>Subscriptions>member>SubscriptionArn"`
	}
	if err := r.xml(ctx, q, "2010-03-31", url.Values{"TopicArn": {topic}}, &out); err != nil {
		return 0, 0, err
	}
	for _, arn := range out.Subscriptions {
		if strings.HasPrefix(arn, "arn:") { // else: PendingConfirmation, Deleted
			confirmed++
		} else if arn == "PendingConfirmation" {
			pending++
		}
	}
	return confirmed, pending, nil
}

// Object is an object of S3: its bytes, and what they hash to.
type Object struct {
	Digest digest.Digest
	Data   []byte
}

// Object reads an object whole, within limits.AWSLargeAnswer.
func (r *Reader) Object(ctx context.Context, bucket, key string) (Object, error) {
	name := "s3://" + bucket + "/" + key
	answer, err := r.Caller.Ask(ctx, r.As, awscall.Call{
		Doing: "read " + name, Title: "Amazon S3", Service: "s3", ID: "S3", Protocol: awscall.REST, Target: "GetObject",
		Method: http.MethodGet, Path: "/" + bucket + "/" + key, Action: ActionGetObject, Resource: name, Large: true,
		NotFound: "there is no such object: \"aws s3 cp pipeline.yaml " + name + "\" puts the policy there",
	})
	if err != nil {
		return Object{}, err
	}
	return Object{Digest: digest.FromBytes(answer.Body), Data: answer.Body}, nil
}
