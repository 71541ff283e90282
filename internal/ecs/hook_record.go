package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// MediaTypeHook is the media type of a [HookRecord] as JSON.
const MediaTypeHook = "application/vnd.shuin.hook.v1+json"

// HookRecord is what a hook or a job was answered, and why: for a log. Its JSON
// holds the verdict as every entrance prints it.
type HookRecord struct {
	Kind           Kind   // KindHook, KindCodeDeploy, KindCodePipeline
	Execution      string // executionId, LifecycleEventHookExecutionId, the job's ID
	Stage          string // of a hook of ECS
	Service        string // ARN; may be empty
	Revision       string // of a hook of ECS
	Deployment     string // of a hook of CodeDeploy
	TaskDefinition string // ARN, where it was read
	Where          pipeline.Where
	Answer         string // what was answered
	Wanted         string // what would have been without warn mode
	Warn           bool
	// Rollback: traffic goes back, nothing was judged.
	Rollback bool
	// Attempt counts the answers "ask again" before this one; Since is when the
	// first was given.
	Attempt int
	Since   time.Time
	// Verdict is the gate's; nil where it was not asked.
	Verdict *gate.Verdict
	// Err is why there is no verdict, or why one that allows all is not enough.
	Err error
	// Note is what is odd, and changed nothing for the better.
	Note string
}

// take takes over what became of a judgement.
func (r *HookRecord) take(got result) {
	r.Verdict, r.TaskDefinition, r.Where, r.Note, r.Err = got.verdict, got.taskDefinition, got.where, got.note, got.err
	if r.Verdict == nil && r.Err == nil {
		r.Err = &shuin.Error{Code: shuin.CodeInternal, Message: "the gate gave no verdict"}
	}
}

// Outcome is Admit where all is allowed to run, Undecided where asking again may
// help, and else Deny.
func (r *HookRecord) Outcome() pipeline.Outcome {
	switch {
	case r.Err != nil && shuin.CodeOf(r.Err).Undecided():
		return pipeline.Undecided
	case r.Err != nil:
		return pipeline.Deny
	case r.Verdict.Allowed:
		return pipeline.Admit
	case r.Verdict.Outcome == pipeline.Undecided:
		return pipeline.Undecided
	}
	return pipeline.Deny
}

// Code is the stable name of the reason; empty where all is well.
func (r *HookRecord) Code() shuin.Code {
	if r.Err != nil {
		return shuin.CodeOf(r.Err)
	}
	for _, iv := range r.refused() {
		return shuin.CodeOf(iv.Err)
	}
	return ""
}

// Reason says in one line for people why the answer is what it is: of a verdict,
// every image that is not allowed.
func (r *HookRecord) Reason() string {
	switch {
	case r.Rollback:
		return "traffic goes back to the revision before: nothing is judged"
	case r.Err != nil:
		return awscall.Printable(strings.ReplaceAll(r.Err.Error(), "\n", "; "), limits.JobMessageRunes)
	case r.Verdict == nil:
		return ""
	}
	refused := r.refused()
	if len(refused) == 0 {
		return fmt.Sprintf("all %d images are allowed", len(r.Verdict.Images))
	}
	lines := []string{fmt.Sprintf("%d of %d images are not allowed", len(refused), len(r.Verdict.Images))}
	for _, iv := range refused {
		lines = append(lines, iv.Line())
	}
	return awscall.Printable(strings.Join(lines, "; "), limits.JobMessageRunes)
}

// refused are the images that are not allowed, denials first.
func (r *HookRecord) refused() []*gate.ImageVerdict {
	if r.Verdict == nil {
		return nil
	}
	var out []*gate.ImageVerdict
	for i := range r.Verdict.Images {
		if !r.Verdict.Images[i].Allowed {
			out = append(out, &r.Verdict.Images[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *gate.ImageVerdict) int { return rank(a) - rank(b) })
	return out
}

func rank(iv *gate.ImageVerdict) int {
	if iv.Outcome == pipeline.Deny {
		return 0
	}
	return 1
}

// MarshalJSON writes the versioned form, media type [MediaTypeHook].
func (r *HookRecord) MarshalJSON() ([]byte, error) {
	type reason struct {
		Code    shuin.Code `json:"code"`
		Message string     `json:"message"`
		Hint    string     `json:"hint,omitempty"`
	}
	out := struct {
		MediaType      string        `json:"mediaType"`
		Kind           string        `json:"kind"`
		Execution      string        `json:"execution,omitempty"`
		Stage          string        `json:"stage,omitempty"`
		Service        string        `json:"service,omitempty"`
		Revision       string        `json:"revision,omitempty"`
		Deployment     string        `json:"deployment,omitempty"`
		TaskDefinition string        `json:"taskDefinition,omitempty"`
		Cluster        string        `json:"cluster,omitempty"`
		Answer         string        `json:"answer"`
		Wanted         string        `json:"wanted"`
		Warn           bool          `json:"warn,omitzero"`
		Rollback       bool          `json:"rollback,omitzero"`
		Attempt        int           `json:"attempt,omitzero"`
		Since          time.Time     `json:"since,omitzero"`
		Note           string        `json:"note,omitempty"`
		Reason         *reason       `json:"reason,omitzero"`
		Verdict        *gate.Verdict `json:"verdict,omitzero"`
	}{
		MediaTypeHook, r.Kind.String(), printed(r.Execution), printed(r.Stage), printed(r.Service), printed(r.Revision), printed(r.Deployment),
		printed(r.TaskDefinition), printed(r.Where.Cluster), r.Answer, r.Wanted, r.Warn, r.Rollback, r.Attempt, r.Since.UTC(), printed(r.Note), nil, r.Verdict,
	}
	if r.Since.IsZero() {
		out.Since = time.Time{}
	}
	if r.Err != nil || len(r.refused()) > 0 {
		out.Reason = &reason{r.Code(), r.Reason(), awscall.Printable(r.hint(), limits.JobMessageRunes)}
	}
	return json.Marshal(out)
}

func (r *HookRecord) hint() string {
	if r.Err != nil {
		return shuin.HintOf(r.Err)
	}
	for _, iv := range r.refused() {
		return shuin.HintOf(iv.Err)
	}
	return ""
}

func printed(s string) string { return awscall.Printable(s, 500) }
