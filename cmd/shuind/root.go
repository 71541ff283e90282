package main

import "github.com/spf13/cobra"

// newRootCmd is the command tree.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:          "shuind",
		Short:        "Shuind - a signing service for container images that speaks the AWS Signer API",
		SilenceUsage: true,
	}
	root.AddCommand(
		newServeCmd(a),
		newConfigCmd(a),
		newCACmd(a),
		newIdentityCmd(a),
		newCredentialCmd(a),
		newCertificateCmd(a),
		newClockCmd(a),
		newLogCmd(a),
		newDevCmd(a),
		newVersionCmd(a),
	)
	return root
}
