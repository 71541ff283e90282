package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

type signerJobRevokeOptions struct {
	signerAPIFlags
	ref    string
	reason string
	yes    bool
}

func newSignerRevokeCmd(a *app) *cobra.Command {
	var o signerJobRevokeOptions
	cmd := &cobra.Command{
		Use:   "revoke [flags] --reason <why> <job>",
		Short: "Revoke one signature, by its signing job",
		Args:  oneArg("one job id or ARN", &o.ref),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerRevoke(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.StringVar(&o.reason, "reason", "", "why; 1 to 500 characters")
	fs.BoolVarP(&o.yes, "yes", "y", false, "do not prompt for confirmation")
	return cmd
}

func (a *app) signerRevoke(ctx context.Context, o *signerJobRevokeOptions) error {
	ref, err := awsclient.ParseJobRef(o.ref)
	if err != nil {
		return err
	}
	if err := checkReason(o.reason); err != nil {
		return err
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	name := jobText(ref)
	if ok, err := a.confirm(ctx, fmt.Sprintf("Are you sure you want to revoke the signature of job %s? This cannot be undone.", name), o.yes); err != nil || !ok {
		return err
	}
	if err := admin.RevokeSignature(ctx, ref, o.reason); err != nil {
		return err
	}
	return a.done(&o.signerAPIFlags, "Revoked the signature of job "+name, map[string]string{"revoked": name})
}
