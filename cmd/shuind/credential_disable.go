package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/signing"
)

func newCredentialDisableCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use:   "disable --config FILE ACCESS_KEY_ID",
		Short: "End an access key",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			return a.credentialDisable(cmd.Context(), c, args[0])
		},
	}
	o.add(cmd)
	return cmd
}

func (a *app) credentialDisable(ctx context.Context, c *config, id string) error {
	return a.withService(ctx, c, func(service *signing.Service) error {
		if err := service.DisableCredential(ctx, operator(), id); err != nil {
			return cause(err)
		}
		return a.printf("disabled %s", printable(id))
	})
}
