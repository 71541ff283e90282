package main

import (
	"context"
	"crypto/x509"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/issue"
)

// backdate is how much earlier than now certificates begin, for verifiers
// whose clocks are behind.
const backdate = 10 * time.Minute

// certificateYears are how long the CAs are good for, at first.
const (
	rootYears         = 30
	intermediateYears = 15
)

type caInitOptions struct {
	configFlag
	lock              lockFlags
	rootYears         int
	intermediateYears int
}

func newCAInitCmd(a *app) *cobra.Command {
	var o caInitOptions
	cmd := &cobra.Command{
		Use:   "init --config FILE",
		Short: "Make a root and an intermediate, and the root's CRL",
		Long: `Make a root and an intermediate in the data directory, and the root's CRL for 180 days. The root's key is encrypted
with a passphrase or an age identity of your choice, the intermediate's with the configuration's identity.
Export the root's key afterwards (shuind ca root export), keep it off-line, and remove it from this machine (shuind ca root remove).

Example:
  shuind identity new /etc/shuind/identity.txt
  shuind ca init --config /etc/shuind/shuind.yaml --root-passphrase-file ./passphrase
`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.caInit(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	o.lock.add(cmd, "root-", "the root's key")
	cmd.Flags().IntVar(&o.rootYears, "root-years", rootYears, "years the root is valid for")
	cmd.Flags().IntVar(&o.intermediateYears, "intermediate-years", intermediateYears, "years the intermediate is valid for; not beyond the root")
	return cmd
}

func (a *app) caInit(ctx context.Context, o *caInitOptions) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	if o.intermediateYears < 1 || o.rootYears < o.intermediateYears || o.rootYears > 100 {
		return invalid("", "--root-years %d and --intermediate-years %d: want 1 ≤ intermediate ≤ root ≤ 100", o.rootYears, o.intermediateYears)
	}
	identity, err := a.identity(c.Identity)
	if err != nil {
		return err
	}
	lock, err := o.lock.lock(a)
	if err != nil {
		return err
	}
	err = a.exclusive(ctx, c, func(y *ceremony) error { return y.makeCA(ctx, identity, lock, o.rootYears, o.intermediateYears) })
	if err != nil {
		return err
	}
	return a.printCA(c)
}

// makeCA makes root, intermediate and the root's CRL.
func (y *ceremony) makeCA(ctx context.Context, identity *age.Identity, lock *age.Lock, rootYears, intermediateYears int) error {
	return staged(y.c.caFiles().dir, func(tmp string) error {
		made := caFiles{tmp}
		root, key, err := y.root(ctx, rootYears)
		if err != nil {
			return err
		}
		if err := age.WriteKey(made.rootKey(), key, lock); err != nil {
			return err
		}
		if err := createFile(made.root(), issue.EncodeChain(root.Chain()), publicPerm); err != nil {
			return err
		}
		if err := y.makeIntermediate(ctx, made, root, identity, intermediateYears); err != nil {
			return err
		}
		return y.rootCRL(ctx, root, nil)
	})
}

// makeIntermediate makes an intermediate below root and writes its files.
func (y *ceremony) makeIntermediate(ctx context.Context, files caFiles, root *issue.Authority, identity *age.Identity, years int) error {
	ca, key, err := y.intermediate(ctx, root, years)
	if err != nil {
		return err
	}
	if err := age.WriteKey(files.intermediateKey(), key, identity.Lock()); err != nil {
		return err
	}
	return createFile(files.intermediate(), issue.EncodeChain(ca.Chain()), publicPerm)
}

func (c *config) rootCRLPath(root *x509.Certificate) string {
	return filepath.Join(c.CRL.Directory, crlID(root)+".crl")
}
