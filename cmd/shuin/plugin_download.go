package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/shuin/shuin/internal/download"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/internal/registry"
)

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
