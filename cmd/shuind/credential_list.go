package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/signing"
)

func newCredentialListCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List the access keys, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			return a.credentialList(cmd.Context(), c)
		},
	}
	o.add(cmd)
	return cmd
}

func (a *app) credentialList(ctx context.Context, c *config) error {
	var all []signing.Credential
	err := a.withStore(ctx, c, func(store *sqlstore.Store) error {
		return store.View(ctx, func(tx signing.Tx) (err error) {
			all, err = tx.Credentials()
			return err
		})
	})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "ACCESS KEY ID\tPRINCIPAL\tACTIONS\tPROFILES\tCREATED\tEXPIRES\tSTATE")
	for _, k := range all {
		state := "active"
		switch {
		case k.Disabled:
			state = "disabled"
		case !k.Expires.IsZero() && !a.now().Before(k.Expires):
			state = "expired"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.AccessKeyID, k.Principal, strings.Join(k.Actions, ","), strings.Join(k.Profiles, ","),
			timeOr(k.Created, "-"), timeOr(k.Expires, "never"), state)
	}
	return w.Flush()
}
