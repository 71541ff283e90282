package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

type policyLintOptions struct {
	files  []string
	strict bool
	output outputFlag
}

func newPolicyLintCmd(a *app) *cobra.Command {
	var o policyLintOptions
	cmd := &cobra.Command{
		Use:   "lint [flags] <file>...",
		Short: "Check pipeline policies, and warn of what they may not mean",
		Long: a.help(`Check pipeline policies (YAML or JSON), or trust policies: every fault with its line, and warnings of what is valid and
may not mean what its author thinks: exceptions that are over, rules that never apply, signers that are anybody.
Nothing is asked of a registry. Exit status: 0 valid, 1 not (with --strict also where there are warnings).

Example - Check a policy:
  {} policy lint pipeline.yaml
`),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("expecting policy files: use `" + cmd.CommandPath() + " --help` to see what parameters are required")
			}
			o.files = args
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.policyLint(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	fs.BoolVar(&o.strict, "strict", false, "fail where there are warnings")
	o.output.add(fs, "text", "json")
	return cmd
}

// linted is what is to be said of one file.
type linted struct {
	File     string       `json:"file"`
	Valid    bool         `json:"valid"`
	Faults   []lintedLine `json:"faults"`
	Warnings []lintedLine `json:"warnings"`
}

// lintedLine is one fault or warning. Line is 0 and left out where it is of the
// whole file.
type lintedLine struct {
	Line int    `json:"line,omitempty"`
	Path string `json:"path,omitempty"`
	Text string `json:"text"`
}

func (a *app) policyLint(ctx context.Context, o *policyLintOptions) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if len(o.files) > limits.CheckFiles {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d files were given, more than %d (limit CheckFiles)", len(o.files), limits.CheckFiles)}
	}
	all := []linted{}
	var faults, warnings int
	for _, file := range o.files {
		one, err := a.lintFile(ctx, file)
		if err != nil {
			return err
		}
		all = append(all, one)
		faults, warnings = faults+len(one.Faults), warnings+len(one.Warnings)
	}
	if err := a.printLinted(o.output.value, all); err != nil {
		return err
	}
	switch {
	case faults > 0:
		return invalidf("%s, %s", count(faults, "fault"), count(warnings, "warning"))
	case warnings > 0 && o.strict:
		return invalidf("%s", count(warnings, "warning"))
	}
	return nil
}

// lintFile reads one policy. The error is for a file that cannot be read.
func (a *app) lintFile(ctx context.Context, file string) (linted, error) {
	out := linted{File: file, Faults: []lintedLine{}, Warnings: []lintedLine{}}
	data, err := readPolicy(ctx, file)
	if err != nil {
		return out, err
	}
	p, err := pipeline.ParseEither(data)
	if err == nil {
		out.Valid, out.Warnings = true, lintedLines(p.Lint(a.now()))
		return out, nil
	}
	if faults, ok := errors.AsType[document.Faults](err); ok {
		out.Faults = lintedLines(faults)
		return out, nil
	}
	for _, e := range each(err) {
		out.Faults = append(out.Faults, lintedLine{Text: e.Error()})
	}
	return out, nil
}

func lintedLines(faults document.Faults) []lintedLine {
	out := []lintedLine{}
	for _, f := range faults {
		out = append(out, lintedLine{f.Line, f.Path, f.Text})
	}
	return out
}

// each takes apart errors that were joined: those of a trust policy.
func each(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

func (a *app) printLinted(format string, all []linted) error {
	if format == "json" {
		return writeJSON(a.stdout, all)
	}
	var b strings.Builder
	for _, one := range all {
		for _, f := range one.Faults {
			fmt.Fprintln(&b, oneLine(f.text(one.File, "")))
		}
		for _, w := range one.Warnings {
			fmt.Fprintln(&b, oneLine(w.text(one.File, "warning: ")))
		}
		if len(one.Faults)+len(one.Warnings) == 0 {
			fmt.Fprintln(&b, oneLine(one.File)+": valid")
		}
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// text is FILE:LINE: PATH: TEXT, as compilers write it.
func (l lintedLine) text(file, kind string) string {
	s := file
	if l.Line > 0 {
		s += fmt.Sprintf(":%d", l.Line)
	}
	s += ": " + kind
	if l.Path != "" {
		s += l.Path + ": "
	}
	return s + l.Text
}
