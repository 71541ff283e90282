package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/notationdir"
)

const policyExample = "https://github.com/notaryproject/specifications/blob/8cf800c60b7315a43f0adbcae463d848a353b412/specs/trust-store-trust-policy.md#trust-policy-for-oci-artifacts"

func newPolicyShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show [flags]",
		Short: "Show OCI trust policy configuration",
		Long: a.help(`Print the trust policy file as it is.

Example - Show the trust policy:
  {} policy show

Example - Keep a copy of it:
  {} policy show > my_policy.json
`),
		Args: cobra.ExactArgs(0),
		RunE: func(*cobra.Command, []string) error { return a.policyShow() },
	}
}

// policyShow prints the file's bytes, valid or not.
func (a *app) policyShow() error {
	file, err := a.dir().RawPolicy(notationdir.OCIPolicy)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("failed to show OCI trust policy as it does not exist.\nYou can import one using `%s policy import <path-to-policy.json>`", a.name)
	}
	if err != nil {
		return fmt.Errorf("failed to show OCI trust policy: %w", err)
	}
	if file.Old {
		a.warnf("old trust policy `trustpolicy.json` is deprecated; please update the trust policy configuration via `%s policy import`.", a.name)
	}
	_, invalid := a.dir().ParsePolicy(notationdir.OCIPolicy, file.Data)
	if invalid != nil {
		fmt.Fprintf(a.stderr, "Existing OCI trust policy configuration is invalid, you may update or create a new one via `%s policy import <path-to-policy.json>`. See %s for a trust policy example.\n", a.name, policyExample)
	}
	if _, err := a.stdout.Write(file.Data); err != nil {
		return err
	}
	return invalid
}
