package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/signing"
)

func newCertificateListCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List the signing certificates that were imported, without their keys",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			return a.certificateList(cmd.Context(), c)
		},
	}
	o.add(cmd)
	return cmd
}

func (a *app) certificateList(ctx context.Context, c *config) error {
	var all []signing.Certificate
	states := map[string]string{}
	err := a.withStore(ctx, c, func(store *sqlstore.Store) error {
		return store.View(ctx, func(tx signing.Tx) (err error) {
			if all, err = tx.Certificates(); err != nil {
				return err
			}
			used, err := tx.CertificatesInUse()
			if err != nil {
				return err
			}
			for _, k := range all {
				if states[k.ARN.String()], err = certificateState(tx, k, slices.Contains(used, k.ARN), a.now()); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "CERTIFICATE ARN\tSUBJECT\tIMPORTED\tVALID UNTIL\tSTATE")
	for _, k := range all {
		subject := "-"
		if cert, err := x509.ParseCertificate(k.Chain[0]); err == nil {
			subject = oneLine(cert.Subject.String())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ARN, subject, timeOr(k.Imported, "-"), timeOr(k.NotAfter, "-"), states[k.ARN.String()])
	}
	return w.Flush()
}

// certificateState is what an operator wants to know of a certificate first.
func certificateState(tx signing.Tx, c signing.Certificate, used bool, now time.Time) (string, error) {
	revoked, err := tx.RevokedEditions(c.IDs)
	switch {
	case err != nil:
		return "", err
	case !c.Deleted.IsZero():
		return "deleted", nil
	case len(revoked) > 0:
		return "revoked", nil
	case now.After(c.NotAfter):
		return "ended", nil
	case used:
		return "in use", nil
	}
	return "not in use", nil
}
