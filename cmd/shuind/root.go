package main

import "github.com/spf13/cobra"

// newRootCmd is the command tree.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:          "shuind",
		Short:        "Shuind - the server of Shuin: a signing service that speaks the AWS Signer API, and a gate for what may run",
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
		newReactionsCmd(a),
		newDevCmd(a),
		newVersionCmd(a),
	)
	return root
}
