package main

import (
	"context"
	"fmt"

	"github.com/shuin/shuin/pipeline"
)

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
		return s.absent(p, "EcsHook", "no service can be gated")
	}
	return p.well("paste the stack's output LifecycleHooks into a service: shown by \"aws cloudformation describe-stacks\"")
}
