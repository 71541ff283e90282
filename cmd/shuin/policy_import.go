package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
)

type policyImportOptions struct {
	file  string
	force bool
}

func newPolicyImportCmd(a *app) *cobra.Command { return newImportCmd(a, &ociPolicy) }

// newImportCmd is "policy import" of a kind of trust policy.
func newImportCmd(a *app, k *trustPolicyKind) *cobra.Command {
	var o policyImportOptions
	cmd := &cobra.Command{
		Use:   "import [flags] <file_path>",
		Short: "Import " + k.name + " trust policy configuration from a JSON file",
		Long: a.help(k.fill(`Check a trust policy file and store it as "FILE".

Example - Import a trust policy:
  {} COMMAND import my_policy.json

Example - Import a trust policy over the existing one without being asked:
  {} COMMAND import --force my_policy.json
`)),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return invalidf("requires 1 argument but received %d.\nUsage: %s %s import <path-to-policy.json>\nPlease specify a trust policy %s location as the argument",
					len(args), a.name, k.command, k.argument)
			}
			o.file = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.policyImport(cmd.Context(), k, &o) },
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "override the existing "+k.name+" trust policy configuration without prompt")
	return cmd
}

func (a *app) policyImport(ctx context.Context, k *trustPolicyKind, o *policyImportOptions) error {
	data, err := readFile(ctx, o.file, limits.PolicyBytes, "PolicyBytes")
	if err != nil {
		return fmt.Errorf("failed to read %s: %w", k.toRead, err)
	}
	doc, err := a.dir().ParsePolicy(k.kind, data)
	if err != nil {
		doing := "validate"
		if _, ok := errors.AsType[*policy.SyntaxError](err); ok {
			doing = "parse"
		}
		return fmt.Errorf("failed to %s %s trust policy configuration: %w", doing, k.name, err)
	}
	for _, s := range doc.Statements {
		if s.Level.Skip() && (s.GlobalPolicy || slices.Contains(s.RegistryScopes, policy.GlobalScope)) {
			a.warnf("trust policy statement %q accepts every artifact without verification", s.Name)
		}
	}
	path, err := a.replacePolicy(ctx, k, data, o.force)
	if err != nil || path == "" {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully imported %s trust policy configuration to %s.\n", k.name, path)
	return err
}

// replacePolicy writes a valid policy to its place, and asks before it takes
// another's, unless forced. The path is empty where the answer was no.
func (a *app) replacePolicy(ctx context.Context, k *trustPolicyKind, data []byte, force bool) (path string, err error) {
	dir := a.dir()
	// An existing policy that is malformed is replaced without a question.
	if dir.HasPolicy(k.kind) {
		if force {
			a.warnf("existing %s trust policy configuration will be overwritten", k.name)
		} else if ok, err := a.confirm(ctx, "The "+k.name+" trust policy configuration already exists, do you want to overwrite it?", false); err != nil || !ok {
			return "", err
		}
	}
	result, err := dir.ImportPolicy(k.kind, data)
	if err != nil {
		return "", fmt.Errorf("failed to write %s trust policy configuration: %w", k.name, err)
	}
	if result.OldErr != nil {
		a.warnf("failed to delete old trust policy configuration trustpolicy.json: %v", result.OldErr)
	}
	if result.DeletedOld {
		fmt.Fprintln(a.stdout, "Deleted old trust policy configuration trustpolicy.json.")
	}
	return result.Path, nil
}
