package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/keys/file"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/trust"
)

type certGenerateOptions struct {
	bits      int
	isDefault bool
}

func newCertGenerateTestCmd(a *app) *cobra.Command {
	var o certGenerateOptions
	cmd := &cobra.Command{
		Use:   "generate-test [flags] <common_name>",
		Short: "Generate a test RSA key and a corresponding self-signed certificate.",
		Long: a.help(`Generate an RSA key and a self-signed certificate for tests, and add them to the key list and to a trust store.

Example - Generate the test key "wabbit-networks.io":
  {} cert generate-test "wabbit-networks.io"

Example - The same, as the default signing key:
  {} cert generate-test --default "wabbit-networks.io"
`),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("missing certificate common_name")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.certGenerateTest(cmd.Context(), &o, args[0]) },
	}
	cmd.Flags().IntVarP(&o.bits, "bits", "b", 2048, "RSA key bits")
	cmd.Flags().BoolVar(&o.isDefault, "default", false, "mark as default signing key")
	return cmd
}

func (a *app) certGenerateTest(ctx context.Context, o *certGenerateOptions, name string) error {
	if !trust.ValidName(name) {
		return invalid("name needs to follow [a-zA-Z0-9_.-]+ format")
	}
	fmt.Fprintln(a.stdout, "generating RSA Key with", o.bits, "bits")
	key, err := file.GenerateTest(name, o.bits, a.now())
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "generated certificate expiring on", key.Certificate.NotAfter.Format(time.RFC3339))
	if err := a.storeTestKey(ctx, name, key, o.isDefault); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: added to the key list\n", name)
	if o.isDefault {
		fmt.Fprintf(a.stdout, "%s: marked as default signing key\n", name)
	}
	return nil
}

// storeTestKey writes key and certificate and names them in the key list and
// in a trust store. Nothing that exists is replaced.
func (a *app) storeTestKey(ctx context.Context, name string, key *file.TestKey, isDefault bool) error {
	dir := a.dir()
	keyPath, err := dir.CreateLocalKey(name, key.KeyPEM)
	if err != nil {
		return fmt.Errorf("failed to write key file: %w", err)
	}
	fmt.Fprintln(a.stdout, "wrote key:", keyPath)
	certPath, err := dir.CreateLocalCertificate(name, key.CertificatePEM)
	if err != nil {
		return fmt.Errorf("failed to write certificate file: %w", err)
	}
	fmt.Fprintln(a.stdout, "wrote certificate:", certPath)
	entry := notationdir.SigningKey{Name: name, KeyPath: keyPath, CertPath: certPath}
	if err := dir.UpdateSigningKeys(ctx, func(keys *notationdir.SigningKeys) error { return keys.Add(entry, isDefault) }); err != nil {
		return err
	}
	store := trust.StoreName{Type: trust.CA, Name: name}
	added, err := dir.AddCertificate(store, certPath)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully added %s to named store %s of type %s\n", added.Name, store.Name, store.Type)
	return err
}
