package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

type signerProfileListOptions struct {
	signerAPIFlags
	canceled bool
	platform string
	statuses []string
	max      int
}

func newSignerProfileListCmd(a *app) *cobra.Command {
	var o signerProfileListOptions
	cmd := &cobra.Command{
		Use: "list [flags]", Aliases: []string{"ls"},
		Short: "List the signing profiles of the account",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerProfileList(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.BoolVar(&o.canceled, "include-canceled", false, "also list cancelled profiles")
	fs.StringVar(&o.platform, "platform-id", "", "only profiles of this signing platform")
	fs.StringSliceVar(&o.statuses, "status", nil, "only profiles of these statuses: Active, Canceled, Revoked")
	maxFlag(fs, &o.max, "profiles")
	return cmd
}

func (a *app) signerProfileList(ctx context.Context, o *signerProfileListOptions) error {
	if err := checkMax(o.max); err != nil {
		return err
	}
	for _, s := range o.statuses {
		if !slices.Contains([]string{"Active", "Canceled", "Revoked"}, s) {
			return invalidf("status %q is not one of Active, Canceled and Revoked", s)
		}
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	list, more, err := admin.Profiles(ctx, awsclient.ProfileFilter{Canceled: o.canceled, PlatformID: o.platform, Statuses: o.statuses, Max: o.max})
	if err != nil {
		return err
	}
	a.warnMore(more, o.max)
	if o.json() {
		return writeJSON(a.stdout, struct {
			Profiles []awsclient.Profile `json:"profiles"`
			More     bool                `json:"more,omitempty"`
		}{list, more})
	}
	var rows [][]string
	for _, p := range list {
		rows = append(rows, []string{p.Name, p.Status, p.Version, validityText(p.Validity), p.ARN})
	}
	return a.rows([]string{"NAME", "STATUS", "VERSION", "VALIDITY", "ARN"}, rows)
}
