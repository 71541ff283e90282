package main

import (
	"context"
	"crypto/x509"
	"math/big"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/issue"
)

func lists(list *x509.RevocationList, serial *big.Int) bool {
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(serial) == 0 {
			return true
		}
	}
	return false
}

type caIntermediateOptions struct {
	configFlag
	lock    lockFlags
	rootKey string
	years   int
}

func newCAIntermediateCmd(a *app) *cobra.Command {
	group := &cobra.Command{Use: "intermediate", Short: "Make a new intermediate from the root"}
	var o caIntermediateOptions
	cmd := &cobra.Command{
		Use:   "new --config FILE",
		Short: "Replace the intermediate by a new one that the root issues",
		Long: `Make a new intermediate; the root's key may be brought back for this one call (--root-key). The old one's files are
kept beside it under its serial number, and its last CRL is made good until its end. Stop the server first (it is refused beside one) and start it afterwards. Verifiers trust the root, so nothing changes for them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.caIntermediateNew(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	o.lock.add(cmd, "root-", "the root's key")
	cmd.Flags().StringVar(&o.rootKey, "root-key", "", "the root's key, if it is not in the data directory")
	cmd.Flags().IntVar(&o.years, "years", intermediateYears, "years it is valid for; not beyond the root")
	group.AddCommand(cmd)
	return group
}

func (a *app) caIntermediateNew(ctx context.Context, o *caIntermediateOptions) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	if o.years < 1 || o.years > 100 {
		return invalid("", "--years %d: want 1 to 100", o.years)
	}
	identity, err := a.identity(c.Identity)
	if err != nil {
		return err
	}
	root, err := a.openRoot(c, o.rootKey, &o.lock)
	if err != nil {
		return err
	}
	if err := a.exclusive(ctx, c, func(y *ceremony) error { return y.newIntermediate(ctx, root, identity, o.years) }); err != nil {
		return err
	}
	return a.printCA(c)
}

// newIntermediate makes an intermediate in place of the one there is.
func (y *ceremony) newIntermediate(ctx context.Context, root *issue.Authority, identity *age.Identity, years int) error {
	files := y.c.caFiles()
	old, err := files.replaced(identity)
	if err != nil {
		return err
	}
	r := replacement{files: files, identity: identity, old: old, root: root.Chain()[0]}
	return y.inPlaceOf(ctx, r, func(tmp string) error { return y.makeIntermediate(ctx, caFiles{tmp}, root, identity, years) })
}
