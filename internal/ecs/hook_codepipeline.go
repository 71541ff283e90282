package ecs

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// DefinitionReader reads task definitions.
type DefinitionReader interface {
	// TaskDefinitionImages as in RevisionReader.
	TaskDefinitionImages(ctx context.Context, ref TaskDefinitionRef) (RevisionImages, error)
}

// JobAnswerer answers CodePipeline. *Client is one.
type JobAnswerer interface {
	PutJobSuccess(ctx context.Context, job string, r JobResult) error
	PutJobFailure(ctx context.Context, job string, why JobFailure, message string) error
}

// What a job is answered, as records tell it.
const (
	jobSucceeded = "success"
	jobFailed    = "failure"
	jobContinues = "continue"
)

// Job answers the jobs of a Lambda action in CodePipeline. What is to be judged
// stands in the action's UserParameters, JSON:
//
//	{"images": ["registry/name@sha256:…"], "cluster": "prod"}
//	{"taskDefinition": "shop:7", "cluster": "prod"}
//
// with "cluster" for policies whose rules name clusters. Variables of the
// pipeline ("#{build.IMAGE}") are filled in before. Safe for concurrent use.
type Job struct {
	Gate   Decider
	Reader DefinitionReader
	To     JobAnswerer
	Now    func() time.Time
	// Region is the function's, and the pipeline's.
	Region string
	// Warn, Margin and Record are as in [DeploymentHook], Retries as in [Hook]:
	// CodePipeline itself chooses when it asks again, and gives up after 20
	// minutes, or what the action's timeout says.
	Warn    bool
	Retries int
	Margin  time.Duration
	Record  func(ctx context.Context, r *HookRecord)
}

// parameters are UserParameters.
type parameters struct {
	Images         []string `json:"images"`
	TaskDefinition string   `json:"taskDefinition"`
	Cluster        string   `json:"cluster"`
}

// Answer judges what a job names and tells CodePipeline. The error is of
// telling it.
func (h *Job) Answer(ctx context.Context, e *CodePipelineEvent) error {
	r := &HookRecord{Kind: KindCodePipeline, Execution: e.Job, Warn: h.Warn}
	r.take(within(ctx, marginOfCall(h.Margin), func(ctx context.Context) result { return h.judge(ctx, e) }))
	answer, token := jobFailed, ""
	switch r.Outcome() {
	case pipeline.Admit:
		answer = jobSucceeded
	case pipeline.Undecided:
		answer, token = h.again(e, r)
	}
	r.Wanted = answer
	if h.Warn {
		answer, token = jobSucceeded, ""
	}
	r.Answer = answer
	var err error
	if answer == jobFailed {
		err = h.To.PutJobFailure(ctx, e.Job, failureType(r), failureText(r))
	} else {
		err = h.To.PutJobSuccess(ctx, e.Job, JobResult{Summary: r.Reason(), Continuation: token})
	}
	if err != nil {
		r.Note = joinNotes(r.Note, "CodePipeline could not be told: "+err.Error())
	}
	record(ctx, h.Record, r)
	return err
}

// judge has what the parameters name decided.
func (h *Job) judge(ctx context.Context, e *CodePipelineEvent) (out result) {
	p, err := parseParameters(e.Parameters)
	if err != nil {
		return result{err: err}
	}
	out.where = pipeline.Where{Cluster: p.Cluster}
	var images []gate.Image
	for _, one := range p.Images {
		images = append(images, Image("", one, ""))
	}
	if p.TaskDefinition != "" {
		got, err := h.Reader.TaskDefinitionImages(ctx, TaskDefinitionRef{Account: e.Account, Region: h.Region, Name: p.TaskDefinition})
		if err == nil {
			out.taskDefinition = got.TaskDefinition
			images, err = merged(got.Images, nil)
		}
		if err != nil {
			out.err = err
			return out
		}
	}
	out.verdict = h.Gate.Decide(ctx, gate.Workload{Images: images, Where: out.where})
	return out
}

// parseParameters reads UserParameters strictly: the format is ours.
func parseParameters(s string) (parameters, error) {
	const hint = `write the action's UserParameters as {"images":["registry/name@sha256:…"],"cluster":"…"} or {"taskDefinition":"family:revision","cluster":"…"}`
	invalid := func(what string) (parameters, error) {
		return parameters{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read UserParameters: " + what, Hint: hint}
	}
	if s == "" {
		return invalid("there are none: what is to be judged is not said")
	}
	if _, err := object("", []byte(s)); err != nil {
		return invalid(strings.TrimPrefix(err.Error(), "read the event: "))
	}
	var p parameters
	if err := decode("", []byte(s), &p, json.RejectUnknownMembers(true)); err != nil {
		return invalid(strings.TrimPrefix(err.Error(), "read the event: "))
	}
	switch {
	case len(p.Images) == 0 && p.TaskDefinition == "":
		return invalid("neither images nor taskDefinition: what is to be judged is not said")
	case len(p.Images) > 0 && p.TaskDefinition != "":
		return invalid("images and taskDefinition: which of them is meant is not clear")
	case len(p.Images) > limits.EventContainers:
		return invalid("more images than may be asked about at once (limit EventContainers)")
	}
	for i, one := range p.Images {
		if one == "" || strings.ContainsAny(one, "#{}") {
			return invalid(index("images", i) + ": " + cmp.Or(awscall.Printable(one, 200), "empty") + " is no image: a variable of the pipeline was not filled in")
		}
	}
	return p, nil
}

// again is the token to be asked with once more, as long as that was not done
// too often. It comes back through CodePipeline alone.
func (h *Job) again(e *CodePipelineEvent, r *HookRecord) (answer, token string) {
	now := h.Now().UTC()
	var s hookState
	if e.Continuation != "" {
		if err := json.Unmarshal([]byte(e.Continuation), &s, json.RejectUnknownMembers(true)); err != nil || s.Attempts < 1 || s.Attempts > limits.HookRetriesMost {
			r.Note = "the continuation token is not ours: calls cannot be counted"
			return jobFailed, ""
		}
	} else {
		s.Since = now.Truncate(time.Second)
	}
	r.Attempt, r.Since = s.Attempts, s.Since
	if s.Attempts >= retriesOf(h.Retries) {
		r.Note = "it could not be checked in " + times(s.Attempts+1)
		return jobFailed, ""
	}
	s.Attempts++
	data, err := json.Marshal(s)
	if err != nil {
		return jobFailed, ""
	}
	return jobContinues, string(data)
}

// failureType is CodePipeline's word for the reason ("FailureDetails", AWS
// CodePipeline API Reference).
func failureType(r *HookRecord) JobFailure {
	switch code := r.Code(); {
	case code == shuin.CodeInvalidInput && r.Err != nil:
		return JobConfiguration
	case code == shuin.CodeForbidden || code == shuin.CodeUnauthorized:
		return JobPermission
	case code.Undecided():
		return JobUnavailable
	}
	return JobFailed
}

func failureText(r *HookRecord) string {
	text := r.Reason()
	if hint := r.hint(); hint != "" {
		text += "; " + hint
	}
	return awscall.Printable(text, limits.JobMessageRunes)
}
