package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

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
	old, err := files.authority(identity)
	if err != nil {
		return fmt.Errorf("the intermediate that is to be replaced: %w", err)
	}
	return y.inPlaceOf(ctx, old, func(tmp string) error { return y.makeIntermediate(ctx, caFiles{tmp}, root, identity, years) })
}

// inPlaceOf puts the intermediate that make writes in the place of old, after
// old's last CRL.
func (y *ceremony) inPlaceOf(ctx context.Context, old *issue.Authority, make func(tmp string) error) error {
	files := y.c.caFiles()
	tmp, err := os.MkdirTemp(files.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := make(tmp); err != nil {
		return err
	}
	if err := y.lastCRL(ctx, old); err != nil {
		return fmt.Errorf("the last CRL of the intermediate that is to be replaced: %w", err)
	}
	return files.replace(old.Chain(), caFiles{tmp})
}

// replace moves what there is aside and made in its place; the root and its key
// too if made has another root. Ended half-way, key, certificate and root do
// not belong together, which every start notices; the old files are there
// under their serial numbers.
func (f caFiles) replace(old []*x509.Certificate, made caFiles) error {
	aside := func(path, name string, cert *x509.Certificate, ext string) error {
		to := filepath.Join(f.dir, name+"-"+cert.SerialNumber.Text(16)+ext)
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("%s exists already", to)
		}
		return os.Link(path, to)
	}
	if err := errors.Join(
		aside(f.intermediateKey(), "intermediate", old[0], ".key.age"),
		aside(f.intermediate(), "intermediate", old[0], ".pem"),
	); err != nil {
		return err
	}
	if err := f.replaceRoot(old[len(old)-1], made, aside); err != nil {
		return err
	}
	return errors.Join(
		os.Rename(made.intermediateKey(), f.intermediateKey()),
		os.Rename(made.intermediate(), f.intermediate()),
		syncDir(f.dir),
	)
}

func (f caFiles) replaceRoot(old *x509.Certificate, made caFiles, aside func(path, name string, cert *x509.Certificate, ext string) error) error {
	chain, err := readChain(made.intermediate())
	if err != nil || chain[len(chain)-1].Equal(old) {
		return err
	}
	if err := aside(f.root(), "root", old, ".pem"); err != nil {
		return err
	}
	switch err := aside(f.rootKey(), "root", old, ".key.age"); {
	case errors.Is(err, fs.ErrNotExist): // off-line, or never here
	case err != nil:
		return err
	default:
		if err := os.Remove(f.rootKey()); err != nil {
			return err
		}
	}
	return os.Rename(made.root(), f.root())
}
