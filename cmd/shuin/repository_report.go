package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
)

type repositoryReportOptions struct {
	registryFlags
	gateFlags
	whereFlags
	repositories  []shuin.Reference
	unsealedSince string
	eachPlatform  bool
	concurrency   int
	state         string
	noProgress    bool
	output        outputFlag
}

func newRepositoryReportCmd(a *app) *cobra.Command {
	var o repositoryReportOptions
	cmd := &cobra.Command{
		Use:   "report [flags] --policy <policy_file> <repository>...",
		Short: "Say of every image of a repository which stages of a pipeline policy it passed",
		Long: a.help(`Say of every image of a repository which stages of a pipeline policy it passed, who sealed them, and what is missing.
Every tag is listed, and where the registry is Amazon ECR untagged images too, with the time of their push. Each distinct
image is looked at once, as a deployment by its digest would be.

Exit status: 0 the report was made (images that could not be checked are shown as undecided), 1 the input is bad,
2 a repository was not reported on to its end: it could not be listed, or its registry gave no answer any more.

Example - Show which images passed which stages:
  {} report --policy pipeline.yaml <registry>/<repository>

Example - Write all that lacks a seal since 30 days, as a table for a spreadsheet:
  {} report --policy pipeline.yaml --unsealed-since 30d --output csv <registry>/<repository> > unsealed.csv

Example - A large registry, in a job that may be stopped and go on:
  {} report --policy pipeline.yaml --state report.state --concurrency 4 --output html <registry>/<repository>... > report.html
`),
		Args: func(_ *cobra.Command, args []string) error { return o.parse(args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return a.repositoryReport(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.gateFlags.addJudging(a, fs)
	o.registryFlags.add(a, fs)
	o.whereFlags.add(fs, "namespace to ask for; without it rules that name namespaces do not apply")
	fs.StringVar(&o.unsealedSince, "unsealed-since", "", "show only images without all they need that were pushed before: a duration (720h, 30d) or a time (2026-01-31, RFC 3339)")
	fs.BoolVar(&o.eachPlatform, "each-platform", false, "show the images of an index too, each judged by itself")
	fs.IntVar(&o.concurrency, "concurrency", limits.ReportConcurrency, "images asked about at a time")
	fs.StringVar(&o.state, "state", "", "file that keeps what was found, so that a report that was stopped goes on")
	fs.BoolVar(&o.noProgress, "no-progress", false, "show no progress bar; there is none where stderr is no terminal")
	o.output.add(fs, "table", "json", "csv", "html")
	return cmd
}

// parse reads the repositories.
func (o *repositoryReportOptions) parse(args []string) error {
	if len(args) == 0 {
		return invalid("nothing to report: name a repository, <registry>/<repository>")
	}
	if len(args) > limits.ReportRepositories {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d repositories were named, more than %d (limit ReportRepositories)", len(args), limits.ReportRepositories)}
	}
	seen := map[string]bool{}
	for _, arg := range args {
		ref, err := shuin.ParseReference(arg)
		switch {
		case err != nil:
			return invalidf("%q: %v. Expecting <registry>/<repository>", arg, err)
		case ref.Tag != "" || ref.Digest != "":
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%q names one image; a report is about a whole repository", arg),
				Hint: "write " + ref.Name() + ", or ask about one image with \"shuin verify --policy\""}
		case !seen[ref.Name()]:
			seen[ref.Name()] = true
			o.repositories = append(o.repositories, ref)
		}
	}
	return nil
}

// check finds what is wrong before anything is read, and gives the time that
// --unsealed-since names.
func (o *repositoryReportOptions) check(now time.Time) (unsealed time.Time, err error) {
	if err := firstError(o.output.check(), checkMaxSignatures(o.maxSignatures), o.whereFlags.check()); err != nil {
		return unsealed, err
	}
	if o.concurrency < 1 || o.concurrency > limits.ReportConcurrent {
		return unsealed, invalidf("concurrency value %d must be between 1 and %d", o.concurrency, limits.ReportConcurrent)
	}
	if o.username != "" || o.password != "" {
		for _, r := range o.repositories[1:] {
			if r.Registry != o.repositories[0].Registry {
				return unsealed, &shuin.Error{Code: shuin.CodeInvalidInput,
					Message: "a user name or password was given, and repositories of several registries: it would be sent to each of them",
					Hint:    "log in to each with \"shuin login\", or make a report for each registry"}
			}
		}
	}
	if o.unsealedSince == "" {
		return unsealed, nil
	}
	return parseSince(o.unsealedSince, now)
}

// parseSince reads a duration back from now, days included, or a time.
func parseSince(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, invalidf("unsealed-since value %q is neither a duration (720h, 30d) nor a time (2026-01-31, 2026-01-31T12:00:00Z)", s)
}

// repositoryReport is the whole of the command. Files are read before the
// network is used.
func (a *app) repositoryReport(ctx context.Context, o *repositoryReportOptions) error {
	a.startDebug(o.debug)
	began := a.now()
	since, err := o.check(began)
	if err != nil {
		return err
	}
	if err := a.checkDirs(); err != nil {
		return err
	}
	p, err := loadPipelinePolicy(ctx, o.policy)
	if err != nil {
		return err
	}
	r, err := a.newReporter(ctx, o, p, began)
	if err != nil {
		return err
	}
	a.warnPlaces(p, o.workloads(), began)
	defer r.state.close()
	report := r.head
	r.progress = a.newProgress(o)
	for _, ref := range o.repositories {
		report.Repositories = append(report.Repositories, r.repository(ctx, ref))
	}
	r.progress.end()
	if err := ctx.Err(); err != nil {
		return &shuin.Error{Code: shuin.CodeDeadline, Message: "the report was stopped", Hint: r.state.hint(), Err: context.Cause(ctx)}
	}
	report.keep(since)
	if err := a.printRepositoryReport(o.output.value, report); err != nil {
		return err
	}
	return r.finish(report)
}

// workloads name each repository once.
func (o *repositoryReportOptions) workloads() []gate.Workload {
	var out []gate.Workload
	for _, ref := range o.repositories {
		out = append(out, gate.Workload{Images: []gate.Image{{Written: ref.Name()}}, Where: o.where()})
	}
	return out
}

// finish says what is left: a repository that could not be listed fails the
// command; images that could not be decided do not.
func (r *reporter) finish(report *repositoryReport) error {
	failed, open := 0, 0
	var first error
	for _, repo := range report.Repositories {
		if repo.err != nil {
			if failed++; first == nil {
				first = repo.err
			}
		}
		open += repo.Counts.Undecided
	}
	if failed == 0 && open == 0 {
		return r.state.remove()
	}
	if hint := r.state.hint(); hint != "" {
		r.app.warnf("%s", hint)
	}
	if failed == 0 {
		return nil
	}
	return &verdictError{undecided: true, err: &shuin.Error{
		Code: shuin.CodeOf(first), Hint: r.app.hint(shuin.CodeOf(first), first), Err: lineError{first},
		Message: fmt.Sprintf("%d of %s could not be reported on to the end", failed, repositories(len(report.Repositories))),
	}}
}

func repositories(n int) string {
	if n == 1 {
		return "1 repository"
	}
	return fmt.Sprintf("%d repositories", n)
}
