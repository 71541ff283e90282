package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

type policyTestOptions struct {
	policy string
	files  []string
	output outputFlag
}

// newPolicyTestCmd is in a file of another name: Go takes …_test.go for tests.
func newPolicyTestCmd(a *app) *cobra.Command {
	var o policyTestOptions
	cmd := &cobra.Command{
		Use:   "test [flags] --policy <policy_file> <test_file>...",
		Short: "Try a pipeline policy on a table of cases",
		Long: a.help(`Try a pipeline policy on files of cases (kind: PipelinePolicyTest): an image, a place, made-up seals, and the answer that is
expected. Nothing is asked of a registry, and no trust store is read. Exit status: 0 every case passes, 1 one does not.

Example - In the CI of the policy itself:
  {} policy test --policy pipeline.yaml pipeline-test.yaml
`),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("expecting files of cases: use `" + cmd.CommandPath() + " --help` to see what parameters are required")
			}
			o.files = args
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.policyTest(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	policyFlag(fs, &o.policy)
	o.output.add(fs, "text", "json", "junit")
	return cmd
}

// triedFile is what became of one file's cases.
type triedFile struct {
	File  string      `json:"file"`
	Cases []triedCase `json:"cases"`
}

type triedCase struct {
	Name        string   `json:"name"`
	Line        int      `json:"line"`
	Passed      bool     `json:"passed"`
	Differences []string `json:"differences"`
}

func (a *app) policyTest(ctx context.Context, o *policyTestOptions) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if len(o.files) > limits.CheckFiles {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d files were given, more than %d (limit CheckFiles)", len(o.files), limits.CheckFiles)}
	}
	p, err := loadPipelinePolicy(ctx, o.policy)
	if err != nil {
		return err
	}
	all := []triedFile{}
	var faults []error
	var cases, failed int
	for _, file := range o.files {
		one, err := a.tryCases(ctx, p, file)
		if err != nil {
			faults = append(faults, &shuin.Error{Code: inputCode(err), Err: below(file, err)})
			continue
		}
		for _, c := range one.Cases {
			if cases++; !c.Passed {
				failed++
			}
		}
		all = append(all, one)
	}
	if len(faults) > 0 {
		return joinLines(faults)
	}
	if err := a.printTried(o.output.value, all); err != nil {
		return err
	}
	if failed > 0 {
		return invalidf("%d of %s failed", failed, count(cases, "case"))
	}
	return nil
}

// tryCases asks the policy the cases of one file.
func (a *app) tryCases(ctx context.Context, p *pipeline.Policy, file string) (triedFile, error) {
	out := triedFile{File: file, Cases: []triedCase{}}
	data, err := readFile(ctx, file, limits.PolicyTestBytes, "PolicyTestBytes")
	if err != nil {
		return out, err
	}
	cases, err := pipeline.ParseTests(data, p)
	if err != nil {
		return out, err
	}
	for _, r := range p.Test(cases, a.now()) {
		differences := r.Differences
		if differences == nil {
			differences = []string{}
		}
		out.Cases = append(out.Cases, triedCase{Name: r.Name, Line: r.Line, Passed: r.Passed(), Differences: differences})
	}
	return out, nil
}
