package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/manifest"
	"github.com/shuin/shuin/pipeline"
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
	p, err := loadPipelinePolicy(ctx, o.policy)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	inputs, err := a.readDeployed(ctx, &o.deployFlags)
	if err != nil {
		return err
	}
	list := a.checkList(inputs, &o.whereFlags)
	g, err := a.newGate(ctx, p, &o.gateFlags, a.gateSources(&o.gateFlags), len(list) > 1)
	if err != nil {
		return err
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

func checkTimeout(d time.Duration) error {
	if d <= 0 {
		return invalidf("timeout value %s must be positive", d)
	}
	return nil
}

// checked is one workload and the answer about it.
type checked struct {
	*manifest.Item
	from    *deployed
	verdict *gate.Verdict
}

// checkList are the workloads of all inputs, where they are to run. What is
// deployed to Kubernetes is pinned there by the cluster's gate; nobody does
// that for ECS.
func (a *app) checkList(inputs []*deployed, w *whereFlags) []*checked {
	var list []*checked
	for _, in := range inputs {
		if len(in.Items) == 0 {
			a.warnf("%s holds no images: %s", in.label(), kinds(in.Without))
		}
		for i := range in.Items {
			item := &in.Items[i]
			where := &item.Workload.Where
			if where.Cluster = w.cluster; w.cluster == "" {
				where.Cluster = in.cluster
			}
			if where.Namespace == "" {
				where.Namespace = w.namespace
			}
			item.Workload.Pins = in.Format == manifest.Kubernetes
			list = append(list, &checked{Item: item, from: in})
		}
	}
	return list
}

// decideAll asks the gate about every workload, several at a time.
func decideAll(ctx context.Context, g *gate.Gate, list []*checked) {
	slots := make(chan struct{}, limits.CheckInFlight)
	var wg sync.WaitGroup
	for _, c := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c.verdict = g.Decide(ctx, c.Workload)
		})
	}
	wg.Wait()
}

// checkedError is nil where everything may run. What is denied counts before
// what could not be decided.
func checkedError(list []*checked) error {
	var denied, undecided, images int
	for _, c := range list {
		for i := range c.verdict.Images {
			images++
			switch v := &c.verdict.Images[i]; {
			case v.Allowed:
			case v.Outcome == pipeline.Undecided:
				undecided++
			default:
				denied++
			}
		}
	}
	switch {
	case denied > 0:
		return &verdictError{err: &shuin.Error{Code: shuin.CodeNotAllowed, Message: fmt.Sprintf("%d of %s may not run", denied, count(images, "image"))}}
	case undecided > 0:
		return &verdictError{err: &shuin.Error{Code: shuin.CodeUnavailable, Message: fmt.Sprintf("could not decide about %d of %s", undecided, count(images, "image"))}, undecided: true}
	}
	return nil
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
