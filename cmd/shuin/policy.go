package main

import "github.com/spf13/cobra"

func newPolicyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy [command]",
		Short: "Manage OCI trust policy configuration for OCI artifact signature verification",
		Long:  "Manage the trust policy by which OCI artifacts are verified.",
	}
	cmd.AddCommand(newPolicyShowCmd(a), newPolicyImportCmd(a))
	return cmd
}
