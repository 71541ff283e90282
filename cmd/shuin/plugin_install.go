package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/download"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/internal/registry"
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

// pluginPackage opens or downloads the package. Nothing of it is run.
func (a *app) pluginPackage(ctx context.Context, o *pluginInstallOptions) (*plugin.Package, error) {
	switch {
	case o.file:
		p, err := plugin.OpenPackage(o.source)
		if err != nil {
			return nil, fmt.Errorf("plugin installation failed: %w", err)
		}
		return p, nil
	case o.url:
		return a.downloadPlugin(ctx, o)
	}
	return nil, invalid("plugin installation failed: unknown plugin source type")
}

func (a *app) downloadPlugin(ctx context.Context, o *pluginInstallOptions) (*plugin.Package, error) {
	if o.sum == "" {
		return nil, invalid("installing from URL requires non-empty SHA256 checksum of the plugin source")
	}
	address, err := download.Parse(o.source)
	if err != nil {
		return nil, err
	}
	p, err := plugin.NewPackage()
	if err != nil {
		return nil, fmt.Errorf("failed to create temporary file required for downloading plugin: %w", err)
	}
	shown := download.Shown(o.source)
	fmt.Fprintf(a.stdout, "Downloading plugin from %s\n", visible(shown))
	if err := a.downloadClient().Fetch(ctx, address, p, limits.PluginBinary); err != nil {
		return nil, errors.Join(fmt.Errorf("failed to download plugin from URL %s with error: %w", shown, err), p.Close())
	}
	fmt.Fprintln(a.stdout, "Download completed")
	// A download has no right to execute; what it is, its checksum says.
	p.Name, p.Path, p.Mode = download.Name(address), shown, 0o755
	return p, nil
}

func (a *app) downloadClient() *download.Client {
	c := &download.Client{UserAgent: a.userAgent()}
	if a.log != nil {
		c.Wrap = func(t http.RoundTripper) http.RoundTripper {
			return registry.Traced(t, func(text string) { a.log.Debug(text) })
		}
	}
	return c
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

// installError says why a plugin was not installed, and what to do about it: in
// notation's one message, or as message and hint.
func (a *app) installError(err error) error {
	advice := a.installAdvice(err)
	if !a.asNotation() {
		if advice == "" {
			return err
		}
		return &shuin.Error{Code: shuin.CodeOf(err), Err: err, Hint: advice}
	}
	text := err.Error()
	if step, ok := errors.AsType[*plugin.InstallError](err); ok {
		words, malformed := notationPluginWords(step.Err)
		if text = step.Step + ": " + words; malformed {
			text = words
		}
	}
	if advice != "" {
		text += ".\n" + advice
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Message: text}
}

// installAdvice is what to do about a plugin that was not installed; empty
// where there is nothing to say.
func (a *app) installAdvice(err error) string {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if _, ok := errors.AsType[*plugin.DowngradeError](err); ok {
		return `It is not recommended to install an older version. To force the installation, use the "--force" option`
	}
	if _, ok := errors.AsType[*plugin.EqualVersionError](err); ok && !a.asNotation() {
		return `To install it again, use the "--force" option`
	}
	own, failed := errors.AsType[*plugin.Error](err)
	if failed && own.Code == "" && own.Message == "" {
		return "Please ensure that the plugin executable file is compatible with " + platform + " and has appropriate permissions."
	}
	bad, unusable := errors.AsType[*plugin.MetadataError](err)
	if failed && own.Code == "" || unusable && bad.Fault != plugin.MetadataOtherName {
		return "Please ensure that the plugin executable file is intact and compatible with " + platform + ". Contact the plugin publisher for further assistance."
	}
	return ""
}
