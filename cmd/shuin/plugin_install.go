package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/plugin"
)

type pluginInstallOptions struct {
	debug  bool
	file   bool
	url    bool
	source string
	sum    string
	force  bool
}

func newPluginInstallCmd(a *app) *cobra.Command {
	var o pluginInstallOptions
	cmd := &cobra.Command{
		Use:     "install [flags] <--file|--url> <plugin_source>",
		Aliases: []string{"add"},
		Short:   "Install a plugin",
		Long: a.help(`Install a plugin from a zip, a tar.gz, or its bare executable. It is run once, for what it says about itself.

An installed plugin stays as it is until the new one is there whole, and where anything fails.

Example - Install a plugin from a file:
  {} plugin install --file wabbit-plugin-v1.0.zip

Example - Install a plugin from a file that has this SHA-256:
  {} plugin install --file wabbit-plugin-v1.0.tar.gz --sha256sum 113062a462674a0e35cb5cad75a0bb2ea16e9537025531c0fd705018fcdbc17e

Example - Install a plugin whatever version is installed:
  {} plugin install --file wabbit-plugin-v1.0.zip --force

Example - Install a plugin that is one executable:
  {} plugin install --file notation-wabbit-plugin

Example - Install a plugin from a URL; its SHA-256 has to be given:
  {} plugin install --url https://wabbit-networks.com/installer/linux/amd64/wabbit-plugin-v1.0.tar.gz --sha256sum f8a75d9234db90069d9eb5660e5374820edf36d710bd063f4ef81e7063d3810b
`),
		Args: o.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.file && o.sum == "" && cmd.Flags().Changed("sha256sum") {
				return invalid("flag --sha256sum cannot be empty") // an unset variable of a script must not switch the check off
			}
			return a.pluginInstall(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	fs.BoolVar(&o.file, "file", false, "install the plugin from a file")
	fs.BoolVar(&o.url, "url", false, fmt.Sprintf("install the plugin from an HTTPS URL, within %s", limits.PluginDownloadTime))
	fs.StringVar(&o.sum, "sha256sum", "", "SHA-256 that the plugin source must have; required with \"--url\"")
	fs.BoolVar(&o.force, "force", false, "install the plugin whatever version is installed, and over one that does not work")
	cmd.MarkFlagsMutuallyExclusive("file", "url")
	cmd.MarkFlagsOneRequired("file", "url")
	return cmd
}

// args is the Args rule: exactly one source.
func (o *pluginInstallOptions) args(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return invalidf("can only install one plugin at a time, but got %v", args)
	case len(args) == 1:
		o.source = args[0]
		return nil
	case o.file:
		return invalid("missing plugin file path")
	case o.url:
		return invalid("missing plugin URL")
	}
	return invalid("missing plugin source location")
}

func (a *app) pluginInstall(ctx context.Context, o *pluginInstallOptions) error {
	a.startDebug(o.debug)
	p, err := a.pluginPackage(ctx, o)
	if err != nil {
		return err
	}
	defer p.Close()
	installed, err := a.installPackage(ctx, p, o)
	if err != nil {
		return fmt.Errorf("plugin installation failed: %w", err)
	}
	a.pluginWarnings(installed)
	if old := installed.Replaced; old != nil {
		_, err = fmt.Fprintf(a.stdout, "Successfully updated plugin %s from version %s to %s\n", installed.Name, visible(old.Version), visible(installed.Version))
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully installed plugin %s, version %s\n", installed.Name, visible(installed.Version))
	return err
}

// installPackage compares the checksum before anything is unpacked or run.
func (a *app) installPackage(ctx context.Context, p *plugin.Package, o *pluginInstallOptions) (plugin.Installed, error) {
	if o.sum != "" {
		if err := p.Check(o.sum); err != nil {
			return plugin.Installed{}, err
		}
	}
	installed, err := a.plugins().Install(ctx, p, o.force)
	if err != nil {
		return installed, a.installError(err)
	}
	return installed, nil
}

// pluginWarnings tell what somebody who installs a plugin should know. Notation
// says nothing of it.
func (a *app) pluginWarnings(p plugin.Installed) {
	if a.asNotation() {
		return
	}
	for _, name := range p.Skipped {
		a.warnf("%q was left out: it is no regular file", name)
	}
	if p.Name == awsprofile.PluginName {
		a.warnf("AWS Signer is built in: the installed plugin is started with --use-installed-plugin alone")
	}
}
