// Package awscall makes signed calls of AWS's APIs: with configuration and
// credentials as AWS's own tools find them, bounded answers, a few tries, and
// errors that pass AWS's words through and name the IAM action that is missing.
//
// It knows no operation of any service and decides nothing about an answer.
// The SDK's clients of the services are left out: one or two operations are
// all that is needed of each, and their tables take longer to set up at the
// start of every process than the rest of it.
package awscall

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Caller holds what all calls of a process share. Its fields are set before
// first use and not changed after; it may be used by many goroutines.
type Caller struct {
	// UserAgent is "NAME/VERSION" of the program.
	UserAgent string
	// Wrap, where set, goes around the transport: it sees each request, signed,
	// and each answer.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Now is the clock. Required.
	Now func() time.Time
	// Warn is told what the user should know and what fails nothing. Nil: dropped.
	Warn func(message string)
	// Wait waits between two tries, or ends with ctx. Nil: a timer.
	Wait func(ctx context.Context, d time.Duration) error

	mu      sync.Mutex
	configs map[As]*loading
	roles   map[role]aws.CredentialsProvider
	warned  map[string]bool
}

// As says whose credentials a call is made with, and where. The zero value:
// what the AWS environment says.
type As struct {
	// Region of the call and its signature. Empty: the AWS environment's.
	Region string
	// Profile of AWS's shared configuration. Empty: the environment's.
	Profile string
	// Role is the ARN of a role that is assumed first, with the credentials
	// found; its session is named "shuin". Empty: none.
	Role string
	// ExternalID is what the role's trust policy may ask for (sts:ExternalId).
	ExternalID string
}

// Protocol is how a service takes its calls.
type Protocol uint8

// The protocols.
const (
	_      Protocol = iota
	JSON11          // POST /, X-Amz-Target, application/x-amz-json-1.1: ECS, ECR, EventBridge, CodeDeploy, CodePipeline
	JSON10          // the same with application/x-amz-json-1.0: DynamoDB
	Query           // POST /, a form with Action and Version; answers and errors are XML: SNS, STS, CloudFormation
	REST            // method, path and query; errors are XML or JSON: S3, Lambda
)

// Call is one operation of a service.
type Call struct {
	// Doing is what is being done, for errors: "read task definition shop:7".
	Doing string
	// Title is the service's name, for texts: "Amazon ECS".
	Title string
	// Service is its name in signatures, and begins its host: "ecs".
	Service string
	// ID is its name in configured endpoints, as the SDK spells it: "ECS", "ECR PUBLIC".
	ID string
	// Region of the call. Empty: that of the configuration.
	Region string
	// Host is AWS's own. Empty: SERVICE[-fips].REGION.DOMAIN.
	Host string

	Protocol Protocol
	// Target is X-Amz-Target of JSON11 and JSON10 ("…V20141113.DescribeTasks"),
	// whose last part is the operation; with the others it is the operation alone.
	Target string
	// Method and Path are of REST. Path is not escaped, begins with "/" and goes
	// behind that of a configured endpoint.
	Method, Path string
	// Query is the address's, with REST; the form, with Query.
	Query url.Values
	// Header is sent beside what the protocol needs, and signed.
	Header http.Header
	Body   []byte

	// Action is the IAM action that is needed, Resource what it is needed on, for
	// hints.
	Action, Resource string
	// NotFound is the hint where there is no such thing.
	NotFound string
	// Absent says whether an error means that there is no such thing, where the
	// service does not say so with status 404. Nil: no other does.
	Absent func(*ServiceError) bool
	// Large: the answer may have limits.AWSLargeAnswer bytes, not limits.AWSAnswer.
	Large bool
	// Tries of the call where another may help. Zero: limits.AWSTries. One: of
	// what must not be done twice, where an answer that got lost counts as done.
	Tries int
}

// Operation is the last part of the target.
func (q Call) Operation() string { return q.Target[strings.LastIndexByte(q.Target, '.')+1:] }

// Answer is what a service answered with.
type Answer struct {
	Body   []byte
	Header http.Header
}

// Ask makes a call, again where that may help, within limits.AWSCallTime. The
// error is a *shuin.Error; where the service answered, a *ServiceError is in
// its tree.
func (c *Caller) Ask(ctx context.Context, as As, q Call) (Answer, error) {
	cfg, err := c.Config(ctx, as)
	if err != nil {
		return Answer{}, err
	}
	if q.Region == "" {
		q.Region = cfg.Region
	}
	if !validRegion(q.Region) {
		return Answer{}, noRegion(q.Region)
	}
	if err := c.Credentials(ctx, cfg); err != nil {
		return Answer{}, err
	}
	endpoint, err := c.endpoint(ctx, cfg, q)
	if err != nil {
		return Answer{}, err
	}
	tries := q.Tries
	if tries == 0 {
		tries = limits.AWSTries
	}
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	for try := 1; ; try++ {
		answer, err := c.send(limited, cfg, q, endpoint)
		if err == nil {
			return answer, nil
		}
		if try >= tries || !passing(err) || !c.pause(limited, try) {
			return Answer{}, q.failed(ctx, err)
		}
	}
}

func noRegion(region string) error {
	if region != "" {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%q is no AWS region", Printable(region, 100))}
	}
	return &shuin.Error{
		Code: shuin.CodeInvalidInput, Message: "no AWS region is known",
		Hint: "give --region, set AWS_REGION, or write the whole ARN",
	}
}

// pause waits before the next try, within ctx's deadline.
func (c *Caller) pause(ctx context.Context, try int) bool {
	wait := (200 * time.Millisecond) << try
	wait += rand.N(wait / 2)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	if c.Wait != nil {
		return c.Wait(ctx, wait) == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Warnf warns, each text once.
func (c *Caller) Warnf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	again := c.warned[text]
	if c.warned == nil {
		c.warned = map[string]bool{}
	}
	c.warned[text] = true
	c.mu.Unlock()
	if !again && c.Warn != nil {
		c.Warn(text)
	}
}
