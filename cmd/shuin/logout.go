package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type logoutOptions struct {
	debug  bool
	server string
}

func newLogoutCmd(a *app) *cobra.Command {
	var o logoutOptions
	cmd := &cobra.Command{
		Use:   "logout [flags] <server>",
		Short: "Log out from the logged in registries",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("no hostname specified")
			}
			o.server = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.logout(cmd.Context(), &o) },
	}
	debugFlag(cmd.Flags(), &o.debug)
	return cmd
}

func (a *app) logout(ctx context.Context, o *logoutOptions) error {
	a.startDebug(o.debug)
	if err := a.credentialStore().Delete(ctx, o.server); err != nil {
		return fmt.Errorf("failed to log out of %s: %w", o.server, err)
	}
	_, err := fmt.Fprintln(a.stdout, "Logout Succeeded")
	return err
}
