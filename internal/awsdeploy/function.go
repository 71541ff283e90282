package awsdeploy

import (
	"context"
	"net/http"
	"time"

	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// Function is the configuration of a Lambda function. Source: AWS Lambda API
// Reference, "FunctionConfiguration".
type Function struct {
	Name, ARN     string
	State, Reason string // Active, Pending, Inactive, Failed
	Update        string // Successful, Failed, InProgress
	UpdateReason  string
	Modified      time.Time // zero: not told
	CodeSHA256    string    // base64
	Architecture  string
	Environment   map[string]string // may hold what must not be shown
}

// lambdaTime is how Lambda writes times.
const lambdaTime = "2006-01-02T15:04:05.999-0700"

func lambda(doing, operation, action, resource, path string) awscall.Call {
	return awscall.Call{
		Doing: doing, Title: "AWS Lambda", Service: "lambda", ID: "Lambda", Protocol: awscall.REST, Target: operation,
		Method: http.MethodGet, Path: path, Action: action, Resource: resource,
		NotFound: "it was deleted behind the stack's back: deploy the stack again",
	}
}

// Function reads a function's configuration.
func (r *Reader) Function(ctx context.Context, name string) (Function, error) {
	q := lambda("read function "+name, "GetFunctionConfiguration", ActionGetFunctionConfiguration, "the function "+name, "/2015-03-31/functions/"+name+"/configuration")
	answer, err := r.Caller.Ask(ctx, r.As, q)
	if err != nil {
		return Function{}, err
	}
	var out struct {
		Name          string   `json:"FunctionName"`
		ARN           string   `json:"FunctionArn"`
		State         string   `json:"State"`
		Reason        string   `json:"StateReason"`
		Update        string   `json:"LastUpdateStatus"`
		UpdateReason  string   `json:"LastUpdateStatusReason"`
		Modified      string   `json:"LastModified"`
		CodeSHA256    string   `json:"CodeSha256"`
		Architectures []string `json:"Architectures"`
		Environment   struct {
			Variables map[string]string `json:"Variables"`
		} `json:"Environment"`
	}
	if err := decode(q, answer.Body, &out); err != nil {
		return Function{}, err
	}
	f := Function{
		Name: out.Name, ARN: out.ARN, State: out.State, Reason: awscall.Printable(out.Reason, limits.AWSErrorRunes),
		Update: out.Update, UpdateReason: awscall.Printable(out.UpdateReason, limits.AWSErrorRunes),
		CodeSHA256: out.CodeSHA256, Environment: out.Environment.Variables,
	}
	for _, layout := range []string{lambdaTime, time.RFC3339} {
		if t, err := time.Parse(layout, out.Modified); err == nil {
			f.Modified = t.UTC()
		}
	}
	if len(out.Architectures) > 0 {
		f.Architecture = out.Architectures[0]
	}
	return f, nil
}

// Mapping is what hands a queue's messages to a function. Source:
// "EventSourceMappingConfiguration".
type Mapping struct {
	State         string // Enabled, Disabled, Creating, …
	Reason        string
	LastResult    string
	Source        string   // ARN of the queue
	ResponseTypes []string // ReportBatchItemFailures
}

// Mapping reads an event source mapping by its UUID.
func (r *Reader) Mapping(ctx context.Context, uuid string) (Mapping, error) {
	q := lambda("read event source mapping "+uuid, "GetEventSourceMapping", ActionGetEventSourceMapping, "the event source mapping "+uuid, "/2015-03-31/event-source-mappings/"+uuid)
	answer, err := r.Caller.Ask(ctx, r.As, q)
	if err != nil {
		return Mapping{}, err
	}
	var out struct {
		State         string   `json:"State"`
		Reason        string   `json:"StateTransitionReason"`
		LastResult    string   `json:"LastProcessingResult"`
		Source        string   `json:"EventSourceArn"`
		ResponseTypes []string `json:"FunctionResponseTypes"`
	}
	if err := decode(q, answer.Body, &out); err != nil {
		return Mapping{}, err
	}
	out.Reason, out.LastResult = awscall.Printable(out.Reason, limits.AWSErrorRunes), awscall.Printable(out.LastResult, limits.AWSErrorRunes)
	return Mapping(out), nil
}
