package main

import "github.com/spf13/cobra"

func newPluginCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Manage plugins",
		Long:  "Install, list and remove the plugins that hold keys or check signatures.",
	}
	cmd.AddCommand(
		newPluginInstallCmd(a),
		newPluginListCmd(a),
		newPluginUninstallCmd(a),
	)
	return cmd
}
