package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/trust"
)

func newCertCleanupTestCmd(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "cleanup-test [flags] <common_name>",
		Short: `Clean up a test RSA key and its corresponding certificate that were generated using the "generate-test" command.`,
		Long: a.help(`Remove what "generate-test" made: key, certificate, key list entry and trust store. What is missing is told and passed over.

Example - Clean up the test key "wabbit-networks.io":
  {} cert cleanup-test wabbit-networks.io
`),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("missing certificate common name")
			}
			if !trust.ValidName(args[0]) {
				return invalid("certificate common name must follow [a-zA-Z0-9_.-]+ format")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.certCleanupTest(cmd.Context(), args[0], yes) },
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not prompt for confirmation")
	return cmd
}

func (a *app) certCleanupTest(ctx context.Context, name string, yes bool) error {
	keyPath, certPath := a.dir().LocalKey(name)
	ok, err := a.confirm(ctx, fmt.Sprintf(`The test key %[1]s and its corresponding certificate will be cleaned up with the following changes:
- Delete certificate %[1]s.crt from trust store %[1]s of type ca
- Remove key %[1]s from the key list
- Delete key file: %[2]s
- Delete certificate file: %[3]s

Are you sure you want to continue?`, name, keyPath, certPath), yes)
	if err != nil || !ok {
		return err
	}
	steps := []func() error{
		func() error { return a.cleanupStore(name) },
		func() error { return a.cleanupKeyList(ctx, name) },
		func() error { return a.cleanupFile(name, "key", keyPath) },
		func() error { return a.cleanupFile(name, "certificate", certPath) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(a.stdout, "Cleanup completed successfully")
	return err
}

func (a *app) cleanupStore(name string) error {
	err := a.certDeleteFile(trust.StoreName{Type: trust.CA, Name: name}, name+".crt")
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(a.stdout, "Certificate %s.crt does not exist in trust store %s of type ca\n", name, name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("failed to delete certificate %s.crt from trust store %s of type ca: %w", name, name, err)
	}
	return nil
}

func (a *app) cleanupKeyList(ctx context.Context, name string) error {
	err := a.dir().UpdateSigningKeys(ctx, func(keys *notationdir.SigningKeys) error { return keys.Remove(name) })
	if _, missing := errors.AsType[notationdir.KeyNotFoundError](err); missing {
		fmt.Fprintf(a.stdout, "Key %s does not exist in the key list\n", name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("failed to remove key %s from the key list: %w", name, err)
	}
	fmt.Fprintf(a.stdout, "Successfully removed key %s from the key list\n", name)
	return nil
}

// cleanupFile removes a file; kind is how messages call it.
func (a *app) cleanupFile(name, kind, path string) error {
	err := a.dir().RemoveLocalFile(name, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		missing := map[string]string{"key": "Key", "certificate": "Certificate"}[kind]
		fmt.Fprintf(a.stdout, "%s file %s does not exist\n", missing, path)
		return nil
	case err != nil:
		return fmt.Errorf("failed to delete %s file %s: %w", kind, path, err)
	}
	fmt.Fprintf(a.stdout, "Successfully deleted %s file: %s\n", kind, path)
	return nil
}
