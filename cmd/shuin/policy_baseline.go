package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

type policyBaselineOptions struct {
	gateFlags
	deployFlags
	whereFlags
	expires, owner, reason string
	timeout                time.Duration
}

func newPolicyBaselineCmd(a *app) *cobra.Command {
	var o policyBaselineOptions
	cmd := &cobra.Command{
		Use:   "baseline [flags] --policy <policy_file> --expires <time> --owner <who> <file>...",
		Short: "Write dated, owned exceptions for images that a pipeline policy would not admit today",
		Long: a.help(`Ask a pipeline policy about what is deployed, and write exceptions for the images that it denies today: so adoption starts quiet,
and the list can only shrink. Each image is excepted by its digest, where --cluster and its namespace say, until --expires. The exceptions go to
standard output, to become part of the policy. An image that could not be checked gets none: it is listed on standard error.

Exit status: 0 an exception, or none needed, for each image; 1 one is denied and no exception helps; 2 one could not be checked.

Example - Before a policy is enforced in a cluster:
  kubectl get deploy,sts,ds,cronjob -A -o yaml | {} policy baseline --policy pipeline.yaml --cluster prod-1 --expires 90d --owner sre@example.com -

Example - For task definitions that are registered:
  {} policy baseline --policy pipeline.yaml --expires 2026-12-31 --owner sre@example.com --from task-definitions td/*.json
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
	return a.writeBaseline(list, o, expires)
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

// writeBaseline writes the exceptions, and lists what gets none.
func (a *app) writeBaseline(list []*checked, o *policyBaselineOptions, expires time.Time) error {
	var images []pipeline.Excepted
	var helpless, undecided int
	told := map[string]bool{}
	for _, c := range list {
		for i := range c.verdict.Images {
			v := &c.verdict.Images[i]
			switch {
			case v.Outcome == pipeline.Admit:
				continue
			case v.Outcome == pipeline.Deny && v.Digest() != "" && shuin.CodeOf(v.Err) != shuin.CodeInternal:
				images = append(images, exceptedImage(v, c.Workload.Where, o.reason))
				if code := shuin.CodeOf(v.Err); code == shuin.CodeRevoked || code == shuin.CodeTampered {
					a.warnf("an exception is written for what is %s: %s", code, a.imageLine(v))
				}
				continue
			case v.Outcome == pipeline.Undecided:
				undecided++
			default:
				helpless++
			}
			if line := a.imageLine(v); !told[line] {
				told[line] = true
				fmt.Fprintf(a.stderr, "no exception: %s (%s)\n", line, oneLine(c.place(i)))
			}
		}
	}
	text, err := pipeline.Baseline(images, o.owner, expires)
	if err != nil {
		return err
	}
	if _, err := a.stdout.Write(text); err != nil {
		return err
	}
	switch {
	case undecided > 0:
		return &verdictError{err: &shuin.Error{Code: shuin.CodeUnavailable, Message: "could not check " + count(undecided, "image")}, undecided: true}
	case helpless > 0:
		return &shuin.Error{Code: shuin.CodeNotAllowed, Message: count(helpless, "image") + " would be denied, and an exception does not help"}
	case len(images) == 0:
		fmt.Fprintln(a.stderr, "Every image is admitted: no exception is needed.")
	}
	return nil
}

// exceptedImage is the exception for an image where it was judged.
func exceptedImage(v *gate.ImageVerdict, w pipeline.Where, reason string) pipeline.Excepted {
	ref, _ := shuin.ParseReference(v.Image.Written) // it was judged: it is one
	why := strings.TrimPrefix(v.Err.Error(), fmt.Sprintf("rule %q: ", v.Rule))
	e := pipeline.Excepted{Repository: ref.Name(), Digest: v.Digest(), Reason: cut(oneLine(reason+": "+why), limits.PolicyTextBytes/4)}
	if w.Cluster != "" {
		e.Clusters = []string{w.Cluster}
	}
	if w.Namespace != "" {
		e.Namespaces = []string{w.Namespace}
	}
	return e
}

// cut is at most n runes of s.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
