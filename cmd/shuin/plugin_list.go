package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/plugin"
)

func newPluginListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List installed plugins",
		Long: a.help(`List the plugins that are installed, and ask each for its version and capabilities.

Example - List the installed plugins:
  {} plugin ls
`),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.pluginList(cmd.Context()) },
	}
}

func (a *app) pluginList(ctx context.Context) error {
	host := a.plugins()
	names, err := host.List()
	if err != nil {
		return a.pluginDirError(host, err)
	}
	rows := askPlugins(ctx, host, names)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	table := newTable(a.stdout)
	fmt.Fprintln(table, "NAME\tDESCRIPTION\tVERSION\tCAPABILITIES\tERROR\t")
	for i, name := range names {
		m := rows[i].meta
		fmt.Fprintf(table, "%s\t%s\t%s\t[%s]\t%s\t\n", visible(name), visible(m.Description), visible(m.Version),
			visible(strings.Join(m.Capabilities, " ")), visible(a.pluginError(name, rows[i].err)))
	}
	return table.Flush()
}

// pluginDirError is a plugin directory that could not be read.
func (a *app) pluginDirError(host *plugin.Host, err error) error {
	cause := err
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		cause = path
	}
	advice := "Please ensure that the current user has permission to access the plugin directory: " + host.Dir
	if a.asNotation() {
		return &shuin.Error{Code: shuin.CodeOf(err), Message: fmt.Sprintf("failed to list plugin: %v.\n%s", cause, advice)}
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Err: err, Hint: advice}
}

// pluginRow is what a plugin said about itself.
type pluginRow struct {
	meta plugin.Metadata
	err  error
}

// askPlugins asks all plugins, some at a time: one that hangs is waited for once.
func askPlugins(ctx context.Context, host *plugin.Host, names []string) []pluginRow {
	rows := make([]pluginRow, len(names))
	free := make(chan struct{}, limits.PluginsAsked)
	var wg sync.WaitGroup
	for i, name := range names {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			rows[i].meta, rows[i].err = host.Metadata(ctx, name, nil)
		})
	}
	wg.Wait()
	return rows
}
