package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/notationdir"
)

type keyUpdateOptions struct {
	debug     bool
	name      string
	isDefault bool
}

func newKeyUpdateCmd(a *app) *cobra.Command {
	var o keyUpdateOptions
	cmd := &cobra.Command{
		Use:     "update [flags] <key_name>",
		Aliases: []string{"set"},
		Short:   "Update key in Notation signing key list",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("missing key name")
			}
			o.name = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyUpdate(cmd.Context(), &o) },
	}
	debugFlag(cmd.Flags(), &o.debug)
	cmd.Flags().BoolVar(&o.isDefault, "default", false, "mark as default")
	return cmd
}

func (a *app) keyUpdate(ctx context.Context, o *keyUpdateOptions) error {
	a.startDebug(o.debug)
	if !o.isDefault {
		a.debug().Warn("--default flag is not set, command did not take effect")
		return nil
	}
	if err := a.dir().UpdateSigningKeys(ctx, func(keys *notationdir.SigningKeys) error { return keys.SetDefault(o.name) }); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s: marked as default\n", o.name)
	return err
}
