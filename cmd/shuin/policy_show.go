package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
)

func newPolicyShowCmd(a *app) *cobra.Command { return newShowCmd(a, &ociPolicy) }

// newShowCmd is "policy show" of a kind of trust policy.
func newShowCmd(a *app, k *trustPolicyKind) *cobra.Command {
	return &cobra.Command{
		Use:   "show [flags]",
		Short: "Show " + k.name + " trust policy configuration",
		Long: a.help(k.fill(`Print the trust policy file as it is.

Example - Show the trust policy:
  {} COMMAND show

Example - Keep a copy of it:
  {} COMMAND show > my_policy.json
`)),
		Args: cobra.ExactArgs(0),
		RunE: func(*cobra.Command, []string) error { return a.policyShow(k) },
	}
}

// policyShow prints the file's bytes, valid or not.
func (a *app) policyShow(k *trustPolicyKind) error {
	file, err := a.dir().RawPolicy(k.kind)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("failed to show %s.\nYou can import one using `%s %s import <path-to-policy.json>`", k.missing, a.name, k.command)
	}
	if err != nil {
		return fmt.Errorf("failed to show %s: %w", k.toShow, err)
	}
	if file.Old {
		a.warnf("old trust policy `trustpolicy.json` is deprecated; please update the trust policy configuration via `%s policy import`.", a.name)
	}
	_, invalid := a.dir().ParsePolicy(k.kind, file.Data)
	if invalid != nil {
		fmt.Fprintf(a.stderr, "Existing %s trust policy configuration is invalid, you may update or create a new one via `%s %s import <path-to-policy.json>`. See %s for a %s example.\n",
			k.name, a.name, k.command, k.example, k.anExample)
	}
	if _, err := a.stdout.Write(file.Data); err != nil {
		return err
	}
	return invalid
}
