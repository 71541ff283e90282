package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// newRootCmd is the command tree.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:          a.name,
		Short:        a.title(),
		SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if refusesEmpty(cmd) {
				if err := refuseEmpty(cmd.Flags()); err != nil {
					return err
				}
			}
			if needsNoDirs(cmd) {
				return nil
			}
			return a.checkDirs()
		},
	}
	root.AddCommand(
		newSignCmd(a),
		newVerifyCmd(a),
		newListCmd(a),
		newInspectCmd(a),
		newBlobCmd(a),
		newCertCmd(a),
		newPolicyCmd(a),
		newKeyCmd(a),
		newPluginCmd(a),
		newLoginCmd(a),
		newLogoutCmd(a),
		newVersionCmd(a),
		newSignerCmd(a),
		newAWSCmd(a),
		newDevRegistryCmd(a),
	)
	if !a.asNotation() { // notation has none of these
		root.AddCommand(newCheckCmd(a), newSealCmd(a), newRepositoryReportCmd(a), newK8sCmd(a))
	}
	return root
}

// refusesEmpty are the commands of which no flag may be given and be empty.
// Those that notation has take it as notation does.
func refusesEmpty(cmd *cobra.Command) bool {
	switch topCommand(cmd).Name() {
	case "signer", "aws", "check", "seal", "report", "k8s":
		return true
	case "policy":
		return cmd.Name() != "show" && cmd.Name() != "import"
	}
	return false
}

// title is the one-line description.
func (a *app) title() string {
	if a.asNotation() {
		return "Notation - a tool to sign and verify artifacts"
	}
	return "Shuin - sign and verify container images; a superset of notation"
}

// own is help of what notation does not have; empty under that name.
func (a *app) own(text string) string {
	if a.asNotation() {
		return ""
	}
	return text
}

// help fills the program's name into a help text: "{}" stands for it.
func (a *app) help(text string) string { return strings.ReplaceAll(text, "{}", a.name) }
