package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

func newSignerProfileCancelCmd(a *app) *cobra.Command {
	var o signerProfileOptions
	cmd := &cobra.Command{
		Use:   "cancel [flags] <profile>",
		Short: "Cancel a signing profile: it signs nothing more, what it signed stays good",
		Args:  oneArg("one profile name or ARN", &o.ref),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerProfileCancel(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not prompt for confirmation")
	return cmd
}

func (a *app) signerProfileCancel(ctx context.Context, o *signerProfileOptions) error {
	admin, ref, err := o.profileAdmin(a, o.ref)
	if err != nil {
		return err
	}
	name := profileText(ref)
	if ok, err := a.confirm(ctx, fmt.Sprintf("Are you sure you want to cancel signing profile %s? This cannot be undone.", name), o.yes); err != nil || !ok {
		return err
	}
	if err := admin.CancelProfile(ctx, ref); err != nil {
		return err
	}
	return a.done(&o.signerAPIFlags, "Canceled signing profile "+name, map[string]string{"canceled": name})
}

func newSignerProfileRevokeCmd(a *app) *cobra.Command {
	var o signerProfileOptions
	cmd := &cobra.Command{
		Use:   "revoke [flags] --reason <why> <profile>",
		Short: "Revoke a version of a signing profile: what it signed since a point in time is bad",
		Long: a.help(`Revoke a version of a signing profile. What it signed before the effective time stays good; what it signed since is
bad, and it signs nothing more. The effective time can be moved to earlier, by revoking again, and never to later.

Example - Revoke what was signed since a Monday morning:
  {} signer profile revoke --reason "key of the build host leaked" --effective-time 2026-11-16T09:00:00Z arn:aws:signer:us-west-2:111122223333:/signing-profiles/build/abcde12345
`),
		Args: oneArg("one profile name or ARN", &o.ref),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.signerProfileRevoke(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.StringVar(&o.version, "profile-version", "", "version to revoke, where the argument does not name it")
	fs.StringVar(&o.reason, "reason", "", "why; 1 to 500 characters")
	fs.StringVar(&o.from, "effective-time", "", "since when its signatures are bad, RFC 3339 (default: now)")
	fs.BoolVarP(&o.yes, "yes", "y", false, "do not prompt for confirmation")
	return cmd
}

func (a *app) signerProfileRevoke(ctx context.Context, o *signerProfileOptions) error {
	ref, err := awsclient.ParseProfileRef(o.ref)
	if err != nil {
		return err
	}
	switch {
	case o.version == "":
	case ref.Version != "" && ref.Version != o.version:
		return invalidf("the ARN names version %s, --profile-version %s", ref.Version, o.version)
	default:
		ref.Version = o.version
	}
	if err := checkReason(o.reason); err != nil {
		return err
	}
	from := a.now().UTC().Truncate(time.Second)
	if o.from != "" {
		if from, err = time.Parse(time.RFC3339, o.from); err != nil {
			return invalidf("effective time %q is not of the form 2026-01-02T15:04:05Z (RFC 3339)", o.from)
		}
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	name := profileText(ref)
	question := fmt.Sprintf("Are you sure you want to revoke version %s of signing profile %s from %s on? This cannot be undone.", ref.Version, ref.Name, from.UTC().Format(time.RFC3339))
	if ok, err := a.confirm(ctx, question, o.yes); err != nil || !ok {
		return err
	}
	if err := admin.RevokeProfile(ctx, ref, o.reason, from); err != nil {
		return err
	}
	return a.done(&o.signerAPIFlags, fmt.Sprintf("Revoked version %s of signing profile %s from %s on", ref.Version, name, from.UTC().Format(time.RFC3339)),
		map[string]string{"revoked": name, "profileVersion": ref.Version, "effectiveTime": from.UTC().Format(time.RFC3339)})
}

// done says what was done.
func (a *app) done(s *signerAPIFlags, text string, facts map[string]string) error {
	if s.json() {
		return writeJSON(a.stdout, facts)
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

// profileText is a profile without its version: the canonical ARN where it is
// known, else the name.
func profileText(r awsclient.ProfileRef) string {
	if r.ARN.Name != "" {
		return r.ARN.Unversioned().String()
	}
	return r.Name
}

func jobText(r awsclient.JobRef) string {
	if r.ARN.ID != "" {
		return r.ARN.String()
	}
	return r.ID
}
