package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/trust"
)

type certDeleteOptions struct {
	storeFlags
	file string
	all  bool
	yes  bool
}

func newCertDeleteCmd(a *app) *cobra.Command {
	var o certDeleteOptions
	cmd := &cobra.Command{
		Use:   "delete --type <type> --store <name> [flags] (--all | <cert_fileName>)",
		Short: "Delete certificates from the trust store.",
		Long: a.help(`Delete one certificate file of a trust store, or the whole store.

Example - Delete the file "cert1.pem" of a store:
  {} cert delete --type signingAuthority --store wabbit-networks cert1.pem

Example - Delete a whole store without being asked:
  {} cert delete --type ca --store acme-rockets --all -y
`),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case o.all && len(args) != 0:
				return invalid("cannot delete a single certificate file when --all flag is set. use --help flag for more details")
			case o.all:
				return nil
			case len(args) == 0:
				return invalid("delete requires either the certificate file name that needs to be deleted or --all flag to delete all certificates in the given named trust store")
			}
			o.file = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.certDelete(cmd.Context(), &o) },
	}
	o.storeFlags.addRequired(cmd)
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "delete all certificates of the store")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not prompt for confirmation")
	return cmd
}

func (a *app) certDelete(ctx context.Context, o *certDeleteOptions) error {
	name, err := o.storeFlags.name()
	if err != nil {
		return err
	}
	if o.all {
		return a.certDeleteAll(ctx, name, o.yes)
	}
	if o.file == "" {
		return invalid("to delete a specific certificate, certificate fileName cannot be empty")
	}
	ok, err := a.confirm(ctx, fmt.Sprintf("Are you sure you want to delete %q in %q of type %q?", o.file, name.Name, name.Type), o.yes)
	if err != nil || !ok {
		return err
	}
	if err := a.certDeleteFile(name, o.file); err != nil {
		return fmt.Errorf("failed to delete the certificate file: %w", err)
	}
	return nil
}

// certDeleteFile deletes a file, and its store where that leaves it empty.
func (a *app) certDeleteFile(name trust.StoreName, file string) error {
	warnings, err := a.dir().DeleteCertificate(name, file)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		a.warnf("%s", w)
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully deleted %s from trust store %s of type %s\n", file, name.Name, name.Type)
	return err
}

func (a *app) certDeleteAll(ctx context.Context, name trust.StoreName, yes bool) error {
	ok, err := a.confirm(ctx, fmt.Sprintf("Are you sure you want to delete all certificates in %q of type %q?", name.Name, name.Type), yes)
	if err != nil || !ok {
		return err
	}
	path, err := a.dir().DeleteStore(name)
	if err != nil {
		return fmt.Errorf("failed to delete the named trust store: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully deleted %s\n", path)
	return err
}
