package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

type policyBaselineOptions struct {
	gateFlags
	deployFlags
	whereFlags
	expires, owner, reason string
	anyPlace               bool
	timeout                time.Duration
}

func newPolicyBaselineCmd(a *app) *cobra.Command {
	var o policyBaselineOptions
	cmd := &cobra.Command{
		Use:   "baseline [flags] --policy <policy_file> --expires <time> --owner <who> <file>...",
		Short: "Write dated, owned exceptions for images that a pipeline policy would not admit today",
		Long: a.help(`Ask a pipeline policy about what is deployed, and write exceptions for the images that it denies today: so adoption starts quiet,
and the list can only shrink. Each image is excepted by its digest, where --cluster and its namespace say, until --expires. The exceptions go to
standard output, to become part of the policy. What names no place is excepted everywhere, and that only with --any-place. An image that could not be checked gets none: it is listed on standard error.

Exit status: 0 an exception, or none needed, for each image; 1 one is denied and no exception helps; 2 one could not be checked.

Example - Before a policy is enforced in a cluster:
  kubectl get deploy,sts,ds,cronjob -A -o yaml | {} policy baseline --policy pipeline.yaml --cluster prod-1 --expires 90d --owner sre@example.com -

Example - For task definitions that are registered:
  {} policy baseline --policy pipeline.yaml --cluster prod-1 --expires 2026-12-31 --owner sre@example.com --from task-definitions td/*.json
`),
		Args: func(_ *cobra.Command, args []string) error {
			o.files = args
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.policyBaseline(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.gateFlags.add(a, fs)
	o.deployFlags.add(fs)
	o.whereFlags.add(fs, "namespace of the objects that name none")
	fs.StringVar(&o.expires, "expires", "", "when the exceptions end: 90d, a day (2026-12-31) or a time (2026-12-31T00:00:00Z)")
	fs.StringVar(&o.owner, "owner", "", "who answers for the exceptions: an address or a team")
	fs.StringVar(&o.reason, "reason", "", "why they are there (default: baseline and the day); what each image lacks is added")
	fs.BoolVar(&o.anyPlace, "any-place", false, "except what names no namespace, without --cluster or --namespace, in every cluster and namespace")
	fs.DurationVar(&o.timeout, "timeout", limits.CheckTime, "what is not known by then could not be checked")
	return cmd
}

func (a *app) policyBaseline(ctx context.Context, o *policyBaselineOptions) error {
	a.startDebug(o.debug)
	if err := firstError(checkMaxSignatures(o.maxSignatures), o.deployFlags.check(), o.whereFlags.check(), checkTimeout(o.timeout)); err != nil {
		return err
	}
	expires, err := parseExpires(o.expires, a.now())
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(o.owner) == "":
		return invalid("flag --owner is required: every exception has somebody who answers for it")
	case o.reason == "":
		o.reason = "baseline " + a.now().UTC().Format(time.DateOnly)
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
	if err := o.checkPlaces(list); err != nil {
		return err
	}
	a.warnPlaces(p, workloads(list), a.now())
	g, err := a.newGate(ctx, p, &o.gateFlags, a.gateSources(&o.gateFlags), len(list) > 1)
	if err != nil {
		return unfinished(ctx, err)
	}
	decideAll(ctx, g, list)
	return a.writeBaseline(list, o, expires)
}

// checkPlaces refuses exceptions that would hold everywhere, unless they are
// asked for.
func (o *policyBaselineOptions) checkPlaces(list []*checked) error {
	if o.anyPlace {
		return nil
	}
	var first *checked
	more := 0
	for _, c := range list {
		if w := c.Workload.Where; w.Cluster != "" || w.Namespace != "" {
			continue
		}
		if first == nil {
			first = c
		} else {
			more++
		}
	}
	if first == nil {
		return nil
	}
	which := first.from.label()
	if first.from.file != "" {
		which += fmt.Sprintf(":%d", first.Line)
	}
	which = oneLine(which + ": " + first.Source.String())
	if more > 0 {
		which += ", and " + count(more, "more workload")
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "neither cluster nor namespace is known of " + which + ": an exception would hold everywhere",
		Hint: "say where it runs with --cluster or --namespace, or write exceptions for every place with --any-place"}
}

// parseExpires reads the end of exceptions, which has to come.
func parseExpires(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, invalid("flag --expires is required: an exception without an end stays forever")
	}
	end, err := time.Parse(time.RFC3339, s)
	if err != nil {
		end, err = time.Parse(time.DateOnly, s)
	}
	if err != nil {
		d, bad := pipeline.ParseDuration(s)
		if bad != nil {
			return time.Time{}, invalidf("flag --expires is %q; it has to be a number of days (90d), a day (2026-12-31) or a time (2026-12-31T00:00:00Z)", s)
		}
		end = now.Add(d).Truncate(time.Second)
	}
	if !end.After(now) {
		return time.Time{}, invalidf("flag --expires is %q, which is over", s)
	}
	return end, nil
}
