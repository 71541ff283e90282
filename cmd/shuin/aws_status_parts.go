package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin/pipeline"
)

// Logical names of the template's resources.
const (
	partFunction = "Function"
	partQueue    = "Queue"
)

// stackRule is a rule of the template.
type stackRule struct {
	name, logical string
	off           string // what is not done without it
	trail         bool   // it needs a trail of CloudTrail
}

func stackRules() []stackRule {
	return []stackRule{
		{"rule: tasks", "TaskRule", "tasks are not judged when they start (WatchTasks)", false},
		{"rule: ECS calls", "CloudTrailRule", "task definitions and services are not judged when they change (WatchCloudTrail)", true},
		{"rule: signer calls", "SignerRule", "who signs and who administers the signer is not watched (WatchSigner)", true},
		{"rule: pushes", "EcrRule", "images are not judged when they are pushed (WatchEcr)", false},
		{"rule: sweep", "SweepRule", "what no event reported is not found (SweepSchedule)", false},
	}
}

func (s *stackAsker) stackItself(context.Context) stackPart {
	p := stackPart{Name: "stack", ID: s.stack.ID}
	says := s.stack.Status
	if s.stack.Reason != "" {
		says += ": " + s.stack.Reason
	}
	switch status := s.stack.Status; {
	case status == "CREATE_COMPLETE", status == "UPDATE_COMPLETE", status == "IMPORT_COMPLETE":
		return p.well(fmt.Sprintf("%s, %s", says, s.stack.Update.UTC().Format("2006-01-02 15:04 UTC")))
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
	return s.last(p.well(fmt.Sprintf("active, %s, updated %s", f.Architecture, f.Modified.Format("2006-01-02 15:04 UTC"))), partFunction)
}

// mode says what the function does with what it finds.
func (s *stackAsker) mode(context.Context) stackPart {
	p := stackPart{Name: "mode"}
	switch mode := s.stack.Parameters["Mode"]; mode {
	case "enforce":
		return p.well("enforce: hooks fail for what the policy denies")
	case "warn":
		return p.well("warn: all hooks succeed, and what would have failed is only reported")
	default:
		return p.bad(fmt.Sprintf("the stack's parameter Mode is %q", mode), "this is no stack of the template that \"shuin aws template\" prints")
	}
}

func (s *stackAsker) policy(ctx context.Context) stackPart {
	bucket, key, want := s.stack.Parameters["PolicyBucket"], s.stack.Parameters["PolicyKey"], s.stack.Parameters["PolicyDigest"]
	p := stackPart{Name: "policy", ID: "s3://" + bucket + "/" + key}
	if bucket == "" || key == "" {
		return p.bad("the stack names none", "deploy the stack again with PolicyBucket and PolicyKey")
	}
	object, err := s.reader.Object(ctx, bucket, key)
	if err != nil {
		return p.failed(err)
	}
	p.Digest = object.Digest.String()
	if _, err := pipeline.ParseEither(object.Data); err != nil {
		return p.bad("it cannot be used: "+oneLine(err.Error()), "\"shuin policy lint\" shows every fault; upload it again")
	}
	switch want {
	case "":
		return p.well(p.Digest + ", not pinned: whoever can write the object changes the policy (PolicyDigest)")
	case p.Digest:
		return p.well(p.Digest + ", pinned")
	}
	return p.bad("the object is "+p.Digest+", and the stack pins "+want, "if the change is meant, deploy the stack with PolicyDigest="+p.Digest+"; else put the old policy back")
}

func (s *stackAsker) hookRole(context.Context) stackPart {
	p, _, ok := s.part("hook role", "HookRole")
	if !ok {
		return p.off("no service can be gated (EcsHook)")
	}
	return p.well("paste the stack's output LifecycleHooks into a service: shown by \"aws cloudformation describe-stacks\"")
}

func (s *stackAsker) rule(ctx context.Context, rule stackRule) stackPart {
	p, r, ok := s.part(rule.name, rule.logical)
	if !ok {
		return p.off(rule.off)
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
