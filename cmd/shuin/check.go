package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

type checkOptions struct {
	gateFlags
	deployFlags
	whereFlags
	timeout time.Duration
	output  outputFlag
}

func newCheckCmd(a *app) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [flags] --policy <policy_file> <file>...",
		Short: "Say before a deploy whether a pipeline policy would let its images run",
		Long: a.help(`Say before a deploy whether a pipeline policy would let its images run. Read are Kubernetes manifests (every kind with
a pod template, lists, several documents), ECS task definitions (as written, and as describe-task-definition answers) and
CodePipeline's imagedefinitions.json and imageDetail.json. A file named - is standard input.

Exit status: 0 all may run, 1 one may not (or the command could not be carried out: a flag, a file), 2 could not decide.

Example - Check what kustomize would apply:
  kustomize build prod | {} check --policy pipeline.yaml --cluster prod-1 -

Example - Check a task definition that is registered, and one that a service runs:
  {} check --policy pipeline.yaml --task-definition <ARN> --service <cluster>/<service>

Example - Write annotations for code scanning:
  {} check --policy pipeline.yaml --output sarif k8s/*.yaml > check.sarif
`),
		Args: func(_ *cobra.Command, args []string) error {
			o.files = args
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.gateFlags.add(a, fs)
	o.deployFlags.add(fs)
	o.whereFlags.add(fs, "namespace of the objects that name none; without it rules that name namespaces do not apply to them")
	fs.DurationVar(&o.timeout, "timeout", limits.CheckTime, "what is not known by then is undecided")
	o.output.add(fs, "table", "json", "junit", "sarif")
	return cmd
}

// check is the whole of the command. Files are read before the network is used.
func (a *app) check(ctx context.Context, o *checkOptions) error {
	a.startDebug(o.debug)
	if err := firstError(o.output.check(), checkMaxSignatures(o.maxSignatures), o.deployFlags.check(), o.whereFlags.check(), checkTimeout(o.timeout)); err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx, o.timeout)
	defer cancel()
	p, err := loadPipelinePolicy(ctx, o.policy)
	if err != nil {
		return unfinished(ctx, err)
	}
	inputs, err := a.readDeployed(ctx, &o.deployFlags)
	if err != nil {
		return unfinished(ctx, err)
	}
	list := a.checkList(inputs, &o.whereFlags)
	a.warnPlaces(p, workloads(list), a.now())
	g, err := a.newGate(ctx, p, &o.gateFlags, a.gateSources(&o.gateFlags), len(list) > 1)
	if err != nil {
		return unfinished(ctx, err)
	}
	decideAll(ctx, g, list)
	if err := a.printChecked(o.output.value, inputs, list); err != nil {
		return err
	}
	return checkedError(list)
}

// firstError is the first that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// withTimeout bounds the whole of a command.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("the time of --timeout (%s) was over: %w", d, context.DeadlineExceeded))
}

// unfinished is the answer where the time was over, or the user gave up, before
// all was read that is asked about: nothing is known then.
func unfinished(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &verdictError{err: &shuin.Error{Code: shuin.CodeDeadline, Err: err}, undecided: true}
}

func checkTimeout(d time.Duration) error {
	if d <= 0 {
		return invalidf("timeout value %s must be positive", d)
	}
	return nil
}
