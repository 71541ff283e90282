package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Logical names of the template's resources.
const (
	partFunction = "Function"
	partQueue    = "Queue"
)

// stackRule is a rule of the template.
type stackRule struct {
	name, logical string
	parameter     string // that switches it off
	off           string // what is not done without it
	trail         bool   // it needs a trail of CloudTrail
}

func stackRules() []stackRule {
	return []stackRule{
		{"rule: tasks", "TaskRule", "WatchTasks", "tasks are not judged when they start", false},
		{"rule: ECS calls", "CloudTrailRule", "WatchCloudTrail", "task definitions and services are not judged when they change", true},
		{"rule: signer calls", "SignerRule", "WatchSigner", "who signs and who administers the signer is not watched", true},
		{"rule: pushes", "EcrRule", "WatchEcr", "images are not judged when they are pushed", false},
		{"rule: sweep", "SweepRule", "SweepSchedule", "what no event reported is not found", false},
	}
}

// clock is a time of AWS's, to the minute.
func clock(t time.Time) string {
	if t.IsZero() {
		return "at no known time"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func (s *stackAsker) stackItself(context.Context) stackPart {
	p := stackPart{Name: "stack", ID: s.stack.ID}
	says := s.stack.Status
	if s.stack.Reason != "" {
		says += ": " + s.stack.Reason
	}
	switch status := s.stack.Status; {
	case status == "CREATE_COMPLETE", status == "UPDATE_COMPLETE", status == "IMPORT_COMPLETE":
		return p.well(says + ", " + clock(s.stack.Update))
	case strings.HasSuffix(status, "_IN_PROGRESS"):
		return p.bad(says, "wait until CloudFormation is done, and ask again")
	case status == "UPDATE_ROLLBACK_COMPLETE":
		return p.bad(says, "the last update failed and what was before it is in force: \"aws cloudformation describe-stack-events\" says why")
	}
	return p.bad(says, "\"aws cloudformation describe-stack-events\" says why; a stack that was never made whole has to be deleted first")
}

func (s *stackAsker) function(ctx context.Context) stackPart {
	p, r, ok := s.part("function", partFunction)
	if !ok {
		return p.lost()
	}
	f, err := s.reader.Function(ctx, r.Physical)
	switch {
	case err != nil:
		return p.failed(err)
	case f.State != "" && f.State != "Active":
		return p.bad("it is "+f.State+": "+f.Reason, "Lambda says why; the zip has to be of the stack's architecture and hold a file named bootstrap")
	case f.Update == "Failed":
		return p.bad("its last update failed: "+f.UpdateReason, "deploy the stack again")
	case f.Update == "InProgress":
		return p.bad("it is being updated", "ask again in a minute")
	}
	return s.last(p.well(fmt.Sprintf("active, %s, updated %s", f.Architecture, clock(f.Modified))), partFunction)
}

func (s *stackAsker) rule(ctx context.Context, rule stackRule) stackPart {
	p, r, ok := s.part(rule.name, rule.logical)
	if !ok {
		return s.absent(p, rule.parameter, rule.off)
	}
	name := r.Physical[strings.LastIndexAny(r.Physical, "|/")+1:]
	found, err := s.reader.Rule(ctx, name)
	queue := s.resources[partQueue].Physical
	queue = queue[strings.LastIndexByte(queue, '/')+1:]
	switch {
	case err != nil:
		return p.failed(err)
	case !strings.HasPrefix(found.State, "ENABLED"):
		return p.bad("it is "+found.State, "\"aws events enable-rule --name "+name+"\"")
	case !slices.ContainsFunc(found.Targets, func(arn string) bool { return queue != "" && strings.HasSuffix(arn, ":"+queue) }):
		return p.bad("it does not send to the stack's queue", "deploy the stack again, or \"aws events put-targets\"")
	}
	return s.last(p.well("enabled"), rule.logical)
}

// trail asks for a trail where a rule needs one.
func (s *stackAsker) trail(ctx context.Context) stackPart {
	p := stackPart{Name: "trail"}
	if !slices.ContainsFunc(stackRules(), func(r stackRule) bool { _, ok := s.resources[r.logical]; return ok && r.trail }) {
		return p.off("no rule needs one")
	}
	found, err := s.reader.Trails(ctx)
	switch {
	case err != nil:
		return p.failed(err)
	case found.Logging == 0:
		return p.bad(fmt.Sprintf("no trail logs here (%s found): calls of ECS and of AWS Signer reach no rule", plural(found.Found, "trail was", "trails were")),
			"\"aws cloudtrail create-trail\" with management events, and \"aws cloudtrail start-logging\"")
	}
	return p.well("a trail logs")
}
