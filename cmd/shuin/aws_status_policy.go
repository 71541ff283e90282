package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
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
	says := p.Digest
	if s.stack.Parameters["PolicyKind"] == "bundle" {
		var bad *stackPart
		if says, bad = s.bundle(ctx, p, bucket, key, object.Data); bad != nil {
			return *bad
		}
	} else if _, err := pipeline.ParseEither(object.Data); err != nil {
		return p.bad("it cannot be used: "+oneLine(err.Error()), "\"shuin policy lint\" shows every fault; upload it again")
	}
	switch {
	case want == p.Digest:
		return p.well(says + ", pinned")
	case want != "":
		return p.bad("the object is "+p.Digest+", and the stack pins "+want, "if the change is meant, deploy the stack with PolicyDigest="+p.Digest+"; else put the old policy back")
	case s.policySigner() != "":
		return p.well(says)
	}
	return p.well(says + ", not pinned: whoever can write the object changes the policy (PolicyDigest)")
}

// policySigner is who signs the stack's bundle; empty: nobody.
func (s *stackAsker) policySigner() string {
	return cmp.Or(s.stack.Parameters["PolicySignerIdentity"], s.stack.Parameters["PolicySigningProfileArn"])
}

// bundle says what a bundle is, or why the function cannot use it. Whether its
// signer is who should sign, the function alone can say: it has the trust
// stores.
func (s *stackAsker) bundle(ctx context.Context, p stackPart, bucket, key string, data []byte) (string, *stackPart) {
	bad := func(says, mend string) (string, *stackPart) {
		p = p.bad(says, mend)
		return "", &p
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return bad("it cannot be used: "+oneLine(err.Error()), "\"shuin policy bundle\" makes one; upload it again, its signature first")
	}
	says := fmt.Sprintf("%s, a bundle of sequence %d", p.Digest, b.Sequence())
	signer := s.policySigner()
	if least, err := strconv.ParseInt(cmp.Or(s.stack.Parameters["PolicyLeastSequence"], "0"), 10, 64); signer != "" && (err != nil || b.Sequence() < least) {
		return bad(fmt.Sprintf("the bundle's sequence is %d, and the stack takes none below %s", b.Sequence(), s.stack.Parameters["PolicyLeastSequence"]),
			"upload a newer bundle, its signature first")
	}
	if signer == "" {
		return says, nil
	}
	if says, mend, err := s.signature(ctx, bucket, key, data); err != nil {
		p = p.failed(err)
		return "", &p
	} else if says != "" {
		return bad(says, mend)
	}
	return says + ", signed: whether by " + oneLine(signer) + ", the function looks", nil
}

// signature says what is wrong with a bundle's signature, and what mends it;
// nothing where one is of its bytes. It is looked for as the function does: by
// the bundle's digest, and by its fixed name. The error is that it could not be
// looked at.
func (s *stackAsker) signature(ctx context.Context, bucket, key string, data []byte) (says, mend string, err error) {
	fixed := key + bundle.JWSSuffix
	says, mend = "the bundle is unsigned: there is no object s3://"+bucket+"/"+fixed, "\"shuin policy bundle --sign\" makes the signature; copy it there before the bundle"
	for _, name := range []string{bundle.SignatureName(key, data, bundle.JWSSuffix), fixed} {
		object, asked := s.reader.Object(ctx, bucket, name)
		if asked != nil {
			if shuin.CodeOf(asked) != shuin.CodeNotFound {
				err = cmp.Or(err, asked)
			}
			continue
		}
		sig := bundle.Signature{MediaType: bundle.SignatureType(name), Envelope: object.Data}
		wrong := sig.Fits(data)
		if wrong == nil {
			return "", "", nil
		}
		says, mend = oneLine(wrong.Error()), "copy the signature that was made with this bundle to s3://"+bucket+"/"+name
	}
	return says, mend, err
}

func (s *stackAsker) hookRole(context.Context) stackPart {
	p, _, ok := s.part("hook role", "HookRole")
	if !ok {
		return s.absent(p, "EcsHook", "no service can be gated")
	}
	return p.well("paste the stack's output LifecycleHooks into a service: shown by \"aws cloudformation describe-stacks\"")
}
