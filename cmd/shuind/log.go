package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/sqlstore"
)

func newLogCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "Look after the append-only log of what was asked and signed"}
	cmd.AddCommand(newLogVerifyCmd(a))
	return cmd
}

func newLogVerifyCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use:   "verify --config FILE",
		Short: "Compute the whole log anew and compare it with what was kept",
		Long: `Compute every leaf and hash of the log anew and compare them with the hashes in the database and the checkpoint beside
it. It works beside a running server, and takes time in proportion to the log.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			return a.logVerify(cmd.Context(), c)
		},
	}
	o.add(cmd)
	return cmd
}

func (a *app) logVerify(ctx context.Context, c *config) error {
	return a.withStore(ctx, c, func(store *sqlstore.Store) error {
		checkpoint, err := store.VerifyLog(ctx)
		if err != nil {
			return err
		}
		return a.printf("the log is whole: %d entries, root %s, name %s", checkpoint.Size, checkpoint.Root, checkpoint.Origin)
	})
}
