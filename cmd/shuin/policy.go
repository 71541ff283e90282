package main

import "github.com/spf13/cobra"

func newPolicyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy [command]",
		Short: "Manage OCI trust policy configuration for OCI artifact signature verification",
		Long:  "Manage the trust policy by which OCI artifacts are verified.",
	}
	cmd.AddCommand(newPolicyShowCmd(a), newPolicyImportCmd(a))
	if !a.asNotation() { // notation knows no pipeline policies
		cmd.Short = "Manage the trust policy, and check, explain and try pipeline policies"
		cmd.Long = "Manage the trust policy by which OCI artifacts are verified, and check, explain and try pipeline policies."
		cmd.AddCommand(newPolicyLintCmd(a), newPolicyExplainCmd(a), newPolicyTestCmd(a), newPolicySchemaCmd(a), newPolicyBaselineCmd(a), newPolicyBundleCmd(a))
	}
	return cmd
}
