package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/signing"
)

func newCertificateDeleteCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use:   "delete --config FILE ARN",
		Short: "Delete an imported signing certificate's key",
		Long: `Delete an imported signing certificate's key: nothing is signed with it any more. The certificate itself stays, as signatures made
with it stay good; to take those back see revoke. It is refused while an active profile signs with it: put that profile with other
material, or cancel or revoke it. It works beside a running server. Backups of the database still have the key, encrypted.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			return a.certificateDelete(cmd.Context(), c, args[0])
		},
	}
	o.add(cmd)
	return cmd
}

func (a *app) certificateDelete(ctx context.Context, c *config, arn string) error {
	return a.withService(ctx, c, func(service *signing.Service) error {
		if err := service.DeleteCertificate(ctx, operator(), arn); err != nil {
			return cause(err)
		}
		return a.printf("deleted %s", printable(arn))
	})
}
