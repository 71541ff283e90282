package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
)

type pluginUninstallOptions struct {
	debug bool
	name  string
	yes   bool
}

func newPluginUninstallCmd(a *app) *cobra.Command {
	var o pluginUninstallOptions
	cmd := &cobra.Command{
		Use:     "uninstall [flags] <plugin_name>",
		Aliases: []string{"remove", "rm"},
		Short:   "Uninstall a plugin",
		Long: a.help(`Remove a plugin with all files of its directory. Keys of the key list that it holds stay there, and cannot be used.

Example - Uninstall a plugin:
  {} plugin uninstall wabbit-plugin
`),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return invalid("plugin name is required")
			case len(args) > 1:
				return invalid("only one plugin can be removed at a time")
			}
			o.name = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.pluginUninstall(cmd.Context(), &o) },
	}
	debugFlag(cmd.Flags(), &o.debug)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not prompt for confirmation")
	return cmd
}

func (a *app) pluginUninstall(ctx context.Context, o *pluginUninstallOptions) error {
	a.startDebug(o.debug)
	host := a.plugins()
	installed, err := host.Has(o.name)
	if err != nil {
		return fmt.Errorf("failed to check plugin existence: %w", err)
	}
	if !installed {
		return a.noPlugin(o.name)
	}
	ok, err := a.confirm(ctx, fmt.Sprintf("Are you sure you want to uninstall plugin %q?", o.name), o.yes)
	if err != nil {
		return fmt.Errorf("failed when asking for confirmation: %w", err)
	}
	if !ok {
		return nil
	}
	if err := host.Uninstall(ctx, o.name); err != nil {
		return fmt.Errorf("failed to uninstall plugin %s: %w", o.name, err)
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully uninstalled plugin %s\n", visible(o.name))
	return err
}

func (a *app) noPlugin(name string) error {
	advice := a.help("To view a list of installed plugins, use `{} plugin list`")
	e := &shuin.Error{Code: shuin.CodeInvalidInput, Message: "unable to find plugin " + name, Hint: advice}
	if a.asNotation() {
		e.Message += ".\n" + advice
	}
	return e
}
