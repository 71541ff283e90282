package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

func newSignerJobCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "job", Short: "Show and list signing jobs: the signatures that were made"}
	cmd.AddCommand(newSignerJobShowCmd(a), newSignerJobListCmd(a))
	return cmd
}

type signerJobShowOptions struct {
	signerAPIFlags
	ref string
}

func newSignerJobShowCmd(a *app) *cobra.Command {
	var o signerJobShowOptions
	cmd := &cobra.Command{
		Use:   "show [flags] <job>",
		Short: "Show a signing job",
		Args:  oneArg("one job id or ARN", &o.ref),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerJobShow(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

func (a *app) signerJobShow(ctx context.Context, o *signerJobShowOptions) error {
	ref, err := awsclient.ParseJobRef(o.ref)
	if err != nil {
		return err
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	j, err := admin.Job(ctx, ref)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, j)
	}
	revoked := ""
	if r := j.Revocation; r != nil {
		revoked = fmt.Sprintf("at %s by %s: %s", stamp(r.RevokedAt), r.RevokedBy, r.Reason)
	}
	return a.details([2]string{"Job", j.ID}, [2]string{"Owner", j.Owner}, [2]string{"Profile", j.Profile}, [2]string{"Version", j.Version},
		[2]string{"Status", j.Status}, [2]string{"Reason", j.Reason}, [2]string{"Requested by", j.Requester}, [2]string{"Invoker", j.Invoker},
		[2]string{"Created", stamp(j.Created)}, [2]string{"Completed", stamp(j.Completed)}, [2]string{"Expires", stamp(j.Expires)},
		[2]string{"Platform", j.PlatformID}, [2]string{"Certificate", materialText(j.Material)}, [2]string{"Revoked", revoked})
}

type signerJobListOptions struct {
	signerAPIFlags
	awsclient.JobFilter
	before, after string
}

func newSignerJobListCmd(a *app) *cobra.Command {
	var o signerJobListOptions
	cmd := &cobra.Command{
		Use: "list [flags]", Aliases: []string{"ls"},
		Short: "List the signing jobs of the account, newest first",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerJobList(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.StringVar(&o.Status, "status", "", "only jobs of this status: InProgress, Failed, Succeeded")
	fs.StringVar(&o.PlatformID, "platform-id", "", "only jobs of this signing platform")
	fs.StringVar(&o.RequestedBy, "requested-by", "", "only jobs that this principal (ARN) requested")
	fs.StringVar(&o.Invoker, "job-invoker", "", "only jobs that this account invoked")
	fs.BoolVar(&o.Revoked, "revoked", false, "only jobs whose signature is revoked")
	fs.StringVar(&o.before, "expires-before", "", "only jobs whose signature expires before, RFC 3339")
	fs.StringVar(&o.after, "expires-after", "", "only jobs whose signature expires after, RFC 3339")
	maxFlag(fs, &o.Max, "jobs")
	return cmd
}

func (a *app) signerJobList(ctx context.Context, o *signerJobListOptions) error {
	if err := checkMax(o.Max); err != nil {
		return err
	}
	for _, t := range []struct {
		text string
		into *time.Time
	}{{o.before, &o.ExpiresBefore}, {o.after, &o.ExpiresAfter}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.into, err = time.Parse(time.RFC3339, t.text); err != nil {
			return invalidf("time %q is not of the form 2026-01-02T15:04:05Z (RFC 3339)", t.text)
		}
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	list, more, err := admin.Jobs(ctx, o.JobFilter)
	if err != nil {
		return err
	}
	a.warnMore(more, o.Max)
	if o.json() {
		return writeJSON(a.stdout, struct {
			Jobs []awsclient.Job `json:"jobs"`
			More bool            `json:"more,omitempty"`
		}{list, more})
	}
	var rows [][]string
	for _, j := range list {
		state := j.Status
		if j.Revoked {
			state += ", revoked"
		}
		rows = append(rows, []string{j.ID, state, j.Profile, j.Version, stamp(j.Created), stamp(j.Expires)})
	}
	return a.rows([]string{"JOB", "STATUS", "PROFILE", "VERSION", "CREATED", "EXPIRES"}, rows)
}
