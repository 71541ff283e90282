package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// policyFlag declares --policy, a pipeline policy's path.
func policyFlag(fs *pflag.FlagSet, path *string) {
	fs.StringVar(path, "policy", "", "pipeline policy (YAML or JSON), or a trust policy, which counts as one stage for each of its statements")
}

// loadPipelinePolicy reads the policy file at path: a pipeline policy, YAML or
// JSON, or a Notary trust policy, known by its trustPolicies. The error has
// code invalid-input or limit-exceeded, and names every fault of the file.
func loadPipelinePolicy(ctx context.Context, path string) (*pipeline.Policy, error) {
	if path == "" {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "no policy file was given", Hint: "give one with --policy FILE"}
	}
	data, err := readPolicy(ctx, path)
	if err != nil {
		return nil, err
	}
	p, err := pipeline.ParseEither(data)
	if err != nil {
		return nil, &shuin.Error{Code: inputCode(err), Err: below("policy "+path+" cannot be used", err),
			Hint: "\"shuin policy lint " + path + "\" shows every fault with its line"}
	}
	return p, nil
}

// readPolicy reads a policy file's bytes.
func readPolicy(ctx context.Context, path string) ([]byte, error) {
	data, err := readFile(ctx, path, limits.PolicyBytes, "PolicyBytes")
	if err != nil {
		return nil, &shuin.Error{Code: inputCode(err), Message: "read policy", Err: err}
	}
	return data, nil
}

// below is what is wrong under a heading: on its line where it is one thing,
// else each on a line of its own.
func below(heading string, errs ...error) error {
	one := len(errs) == 1
	if one {
		faults, ok := errors.AsType[document.Faults](errs[0])
		one = !ok || len(faults) == 1
	}
	if one {
		return fmt.Errorf("%s: %w", heading, errs[0])
	}
	return &headed{heading, errs}
}

// headed is several things wrong, each on its own line.
type headed struct {
	heading string
	errs    []error
}

func (h *headed) Error() string   { return h.heading + ":\n" + errors.Join(h.errs...).Error() }
func (h *headed) Unwrap() []error { return h.errs }
