package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

func newSignerPlatformCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "platform", Short: "Show and list signing platforms: what can be signed for"}
	cmd.AddCommand(newSignerPlatformShowCmd(a), newSignerPlatformListCmd(a))
	return cmd
}

type signerPlatformOptions struct {
	signerAPIFlags
	id string
}

func newSignerPlatformShowCmd(a *app) *cobra.Command {
	var o signerPlatformOptions
	cmd := &cobra.Command{
		Use:   "show [flags] <platform_id>",
		Short: "Show a signing platform",
		Args:  oneArg("one platform id", &o.id),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerPlatformShow(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

func (a *app) signerPlatformShow(ctx context.Context, o *signerPlatformOptions) error {
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	p, err := admin.Platform(ctx, o.id)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, p)
	}
	return a.details([2]string{"Platform", p.ID}, [2]string{"Name", p.Name}, [2]string{"Partner", p.Partner}, [2]string{"Target", p.Target},
		[2]string{"Category", p.Category}, [2]string{"Algorithm", strings.Trim(p.Encryption+" "+p.Hash, " ")}, [2]string{"Revocation", supported(p.Revocation)})
}

func supported(b bool) string {
	if b {
		return "supported"
	}
	return "not supported"
}

func newSignerPlatformListCmd(a *app) *cobra.Command {
	var o signerPlatformOptions
	cmd := &cobra.Command{
		Use: "list [flags]", Aliases: []string{"ls"},
		Short: "List the signing platforms",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerPlatformList(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

func (a *app) signerPlatformList(ctx context.Context, o *signerPlatformOptions) error {
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	list, err := admin.Platforms(ctx)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, map[string][]awsclient.Platform{"platforms": list})
	}
	var rows [][]string
	for _, p := range list {
		rows = append(rows, []string{p.ID, p.Name, supported(p.Revocation)})
	}
	return a.rows([]string{"PLATFORM", "NAME", "REVOCATION"}, rows)
}
