package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

func newCARootCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "root",
		Short: "Export and remove the root's key, make the root's CRL anew",
	}
	cmd.AddCommand(newCARootExportCmd(a), newCARootRemoveCmd(a), newCARootCRLCmd(a))
	return cmd
}

func newCARootExportCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use:   "export --config FILE OUT",
		Short: "Copy the root's key, encrypted as it is, to a new file",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			sealed, err := readFile(c.caFiles().rootKey(), limits.KeyFileBytes, "KeyFileBytes")
			if err != nil {
				return fmt.Errorf("export the root's key: %w", err)
			}
			if err := createFile(args[0], sealed, secretPerm); err != nil {
				return fmt.Errorf("export the root's key: %w", err)
			}
			return a.printf("wrote %s: keep it off-line, with its passphrase or identity elsewhere; then shuind ca root remove --exported %s", args[0], args[0])
		},
	}
	o.add(cmd)
	return cmd
}

func newCARootRemoveCmd(a *app) *cobra.Command {
	var o configFlag
	var exported string
	cmd := &cobra.Command{
		Use:   "remove --config FILE --exported COPY",
		Short: "Remove the root's key from this machine, once a copy is elsewhere",
		Long: `Remove the root's key from the data directory. COPY is the exported file; it has to be the same, byte for byte.
The bytes on the disk are not overwritten: file systems and disks keep copies of their own. What is left there is encrypted.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			return a.removeRoot(c.caFiles().rootKey(), exported)
		},
	}
	o.add(cmd)
	cmd.Flags().StringVar(&exported, "exported", "", "the exported copy")
	if err := cmd.MarkFlagRequired("exported"); err != nil {
		panic(err) // the flag was declared in the line above
	}
	return cmd
}

func (a *app) removeRoot(path, exported string) error {
	sealed, err := readFile(path, limits.KeyFileBytes, "KeyFileBytes")
	if err != nil {
		return fmt.Errorf("remove the root's key: %w", err)
	}
	backup, err := readFile(exported, limits.KeyFileBytes, "KeyFileBytes")
	if err != nil {
		return fmt.Errorf("remove the root's key: %w", err)
	}
	here, err := os.Stat(path)
	if err != nil {
		return err
	}
	there, err := os.Stat(exported)
	if err != nil {
		return err
	}
	switch {
	case os.SameFile(here, there):
		return invalid("", "%s is the key itself, not a copy", exported)
	case !bytes.Equal(sealed, backup):
		return invalid("export it first: shuind ca root export", "%s is not a copy of %s", exported, path)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return a.printf("removed %s", path)
}

type caRootCRLOptions struct {
	configFlag
	lock    lockFlags
	rootKey string
	revoke  []string
}

func newCARootCRLCmd(a *app) *cobra.Command {
	var o caRootCRLOptions
	cmd := &cobra.Command{
		Use:   "crl --config FILE",
		Short: "Make the root's CRL anew for 180 days, and revoke intermediates",
		Long: `Make the root's CRL anew for 180 days; what it listed before stays listed. It has to be done before the old one ends
(/readyz and shuind ca show tell when), since verifiers need it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.caRootCRL(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	o.lock.add(cmd, "root-", "the root's key")
	cmd.Flags().StringVar(&o.rootKey, "root-key", "", "the root's key, if it is not in the data directory")
	cmd.Flags().StringArrayVar(&o.revoke, "revoke", nil, "certificate (PEM) of an intermediate to revoke; may be repeated")
	return cmd
}

func (a *app) caRootCRL(ctx context.Context, o *caRootCRLOptions) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	root, err := a.openRoot(c, o.rootKey, &o.lock)
	if err != nil {
		return err
	}
	cert := root.Chain()[0]
	before, err := c.readRootCRL(cert)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
		a.warnf("there is no earlier CRL of the root in %s: what it listed is not carried over", c.CRL.Directory)
	}
	if err != nil {
		return err
	}
	now := a.now()
	var revoked []issue.Revoked
	for _, path := range o.revoke {
		chain, err := readChain(path)
		if err != nil {
			return err
		}
		if err := chain[0].CheckSignatureFrom(cert); err != nil {
			return invalid("", "%s was not issued by the root: %w", path, err)
		}
		if before != nil && lists(before, chain[0].SerialNumber) {
			return invalid("", "%s is revoked already", path)
		}
		revoked = append(revoked, issue.Revoked{Serial: chain[0].SerialNumber, At: now})
	}
	if err := a.ceremony(ctx, c, func(y *ceremony) error { return y.rootCRL(ctx, root, before, revoked...) }); err != nil {
		return err
	}
	return a.printCA(c)
}

// openRoot opens the root with its key, which may have been brought back for
// this one call.
func (a *app) openRoot(c *config, keyPath string, flags *lockFlags) (*issue.Authority, error) {
	lock, err := flags.lock(a)
	if err != nil {
		return nil, err
	}
	files := c.caFiles()
	if keyPath == "" {
		keyPath = files.rootKey()
	}
	return rootAuthority(files.root(), keyPath, lock)
}
