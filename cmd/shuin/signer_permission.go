package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

func newSignerPermissionCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "permission", Short: "Let other accounts use a signing profile"}
	cmd.AddCommand(newSignerPermissionAddCmd(a), newSignerPermissionListCmd(a), newSignerPermissionRemoveCmd(a))
	return cmd
}

type signerPermissionOptions struct {
	signerAPIFlags
	awsclient.Permission
	ref      string
	revision string
}

func newSignerPermissionAddCmd(a *app) *cobra.Command {
	var o signerPermissionOptions
	cmd := &cobra.Command{
		Use:   "add [flags] --statement-id <id> --action <action> --principal <account_or_ARN> <profile>",
		Short: "Allow an account or principal an action on a signing profile",
		Long: a.help(`Allow an account or principal an action on a signing profile: SignPayload, GetSigningProfile or RevokeSignature.

Example - Let another account sign with a profile:
  {} signer permission add --statement-id ci --action SignPayload --principal 444455556666 build
`),
		Args: oneArg("one profile name or ARN", &o.ref),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.signerPermissionAdd(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.StringVar(&o.StatementID, "statement-id", "", "name of the permission")
	fs.StringVar(&o.Action, "action", "", "what is allowed: signer:SignPayload, signer:GetSigningProfile or signer:RevokeSignature")
	fs.StringVar(&o.Principal, "principal", "", "who: an account id or the ARN of a principal")
	fs.StringVar(&o.ProfileVersion, "profile-version", "", "only this version of the profile")
	fs.StringVar(&o.revision, "revision-id", "", "change only if this is still the newest revision of the permissions")
	return cmd
}

func (a *app) signerPermissionAdd(ctx context.Context, o *signerPermissionOptions) error {
	ref, err := awsclient.ParseProfileRef(o.ref)
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{{"statement-id", o.StatementID}, {"action", o.Action}, {"principal", o.Principal}} {
		if f.value == "" {
			return invalidf("flag --%s is required", f.name)
		}
	}
	if !strings.Contains(o.Action, ":") {
		o.Action = "signer:" + o.Action
	}
	if ref.Version != "" {
		if o.ProfileVersion != "" && o.ProfileVersion != ref.Version {
			return invalidf("the ARN names version %s, --profile-version %s", ref.Version, o.ProfileVersion)
		}
		o.ProfileVersion = ref.Version
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	revision, err := admin.AddPermission(ctx, ref, o.Permission, o.revision)
	if err != nil {
		return err
	}
	return a.done(&o.signerAPIFlags, "Added permission "+o.StatementID+", revision "+revision, map[string]string{"statementId": o.StatementID, "revisionId": revision})
}

func newSignerPermissionListCmd(a *app) *cobra.Command {
	var o signerPermissionOptions
	cmd := &cobra.Command{
		Use: "list [flags] <profile>", Aliases: []string{"ls"},
		Short: "List the permissions of a signing profile",
		Args:  oneArg("one profile name or ARN", &o.ref),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerPermissionList(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

func (a *app) signerPermissionList(ctx context.Context, o *signerPermissionOptions) error {
	admin, ref, err := o.profileAdmin(a, o.ref)
	if err != nil {
		return err
	}
	all, err := admin.Permissions(ctx, ref)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, all)
	}
	var rows [][]string
	for _, p := range all.Permissions {
		version := p.ProfileVersion
		if version == "" {
			version = "all"
		}
		rows = append(rows, []string{p.StatementID, p.Action, p.Principal, version})
	}
	return a.rows([]string{"STATEMENT", "ACTION", "PRINCIPAL", "VERSION"}, rows)
}

func newSignerPermissionRemoveCmd(a *app) *cobra.Command {
	var o signerPermissionOptions
	cmd := &cobra.Command{
		Use: "remove [flags] <profile> <statement_id>", Aliases: []string{"rm"},
		Short: "Take a permission away",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == "" || args[1] == "" {
				return invalid("expecting one profile name or ARN and one statement id: use `" + cmd.CommandPath() + " --help` to see what parameters are required")
			}
			o.ref, o.StatementID = args[0], args[1]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.signerPermissionRemove(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	cmd.Flags().StringVar(&o.revision, "revision-id", "", "change only if this is still the newest revision of the permissions (default: whatever it is now)")
	return cmd
}

func (a *app) signerPermissionRemove(ctx context.Context, o *signerPermissionOptions) error {
	admin, ref, err := o.profileAdmin(a, o.ref)
	if err != nil {
		return err
	}
	revision, err := admin.RemovePermission(ctx, ref, o.StatementID, o.revision)
	if err != nil {
		return err
	}
	return a.done(&o.signerAPIFlags, "Removed permission "+o.StatementID+", revision "+revision, map[string]string{"statementId": o.StatementID, "revisionId": revision})
}
