package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/policy"
)

type policyImportOptions struct {
	file  string
	force bool
}

func newPolicyImportCmd(a *app) *cobra.Command {
	var o policyImportOptions
	cmd := &cobra.Command{
		Use:   "import [flags] <file_path>",
		Short: "Import OCI trust policy configuration from a JSON file",
		Long: a.help(`Check a trust policy file and store it as "trustpolicy.oci.json".

Example - Import a trust policy:
  {} policy import my_policy.json

Example - Import a trust policy over the existing one without being asked:
  {} policy import --force my_policy.json
`),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return invalidf("requires 1 argument but received %d.\nUsage: %s policy import <path-to-policy.json>\nPlease specify a trust policy file location as the argument", len(args), a.name)
			}
			o.file = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.policyImport(cmd.Context(), &o) },
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "override the existing OCI trust policy configuration without prompt")
	return cmd
}

func (a *app) policyImport(ctx context.Context, o *policyImportOptions) error {
	data, err := readFile(ctx, o.file, limits.PolicyBytes, "PolicyBytes")
	if err != nil {
		return fmt.Errorf("failed to read OCI trust policy configuration: %w", err)
	}
	dir := a.dir()
	doc, err := dir.ParsePolicy(notationdir.OCIPolicy, data)
	if err != nil {
		doing := "validate"
		if _, ok := errors.AsType[*policy.SyntaxError](err); ok {
			doing = "parse"
		}
		return fmt.Errorf("failed to %s OCI trust policy configuration: %w", doing, err)
	}
	for _, s := range doc.Statements {
		if s.Level.Skip() && slices.Contains(s.RegistryScopes, policy.GlobalScope) {
			a.warnf("trust policy statement %q accepts every artifact without verification", s.Name)
		}
	}
	// An existing policy that is malformed is replaced without a question.
	if dir.HasPolicy(notationdir.OCIPolicy) {
		if o.force {
			a.warnf("existing OCI trust policy configuration will be overwritten")
		} else if ok, err := a.confirm(ctx, "The OCI trust policy configuration already exists, do you want to overwrite it?", false); err != nil || !ok {
			return err
		}
	}
	result, err := dir.ImportPolicy(notationdir.OCIPolicy, data)
	if err != nil {
		return fmt.Errorf("failed to write OCI trust policy configuration: %w", err)
	}
	if result.OldErr != nil {
		a.warnf("failed to delete old trust policy configuration trustpolicy.json: %v", result.OldErr)
	}
	if result.DeletedOld {
		fmt.Fprintln(a.stdout, "Deleted old trust policy configuration trustpolicy.json.")
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully imported OCI trust policy configuration to %s.\n", result.Path)
	return err
}
