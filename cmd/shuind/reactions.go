package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sqlstore"
)

func newReactionsCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reactions",
		Short: "Switch off, and on again, what watchers do beside telling",
		Long: "Switch off, and on again, what watchers (shuin-lambda) do beside telling: stopping tasks, deregistering task definitions.\n" +
			"It holds for all watchers that keep with this server what they decided and told (state.server), from their next reaction on. All of it works beside a running server.",
	}
	cmd.AddCommand(newReactionsOffCmd(a), newReactionsOnCmd(a), newReactionsShowCmd(a))
	return cmd
}

func newReactionsOffCmd(a *app) *cobra.Command {
	var o configFlag
	var because string
	cmd := &cobra.Command{
		Use: "off --config FILE --because TEXT", Short: "Have watchers tell, and do nothing else", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if because = strings.TrimSpace(because); because == "" || len(because) > limits.WatchTextBytes || oneLine(because) != because {
				return invalid("say who wants it and why, in a line, for whoever finds it switched off", "--because is empty, too long, or more than a line")
			}
			return a.switchReactions(cmd.Context(), &o, true, because)
		},
	}
	o.add(cmd)
	cmd.Flags().StringVar(&because, "because", "", "why, for whoever finds it switched off")
	_ = cmd.MarkFlagRequired("because")
	return cmd
}

func newReactionsOnCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use: "on --config FILE", Short: "Let watchers do again what their configurations allow", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.switchReactions(cmd.Context(), &o, false, "") },
	}
	o.add(cmd)
	return cmd
}

func newReactionsShowCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use: "show --config FILE", Short: "Say whether reactions are switched off, and why", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withFindings(cmd.Context(), &o, a.showReactions)
		},
	}
	o.add(cmd)
	return cmd
}

func (a *app) switchReactions(ctx context.Context, o *configFlag, off bool, because string) error {
	return a.withFindings(ctx, o, func(ctx context.Context, f *sqlstore.Findings) error {
		if err := f.SwitchReactions(ctx, off, because); err != nil {
			return err
		}
		return a.showReactions(ctx, f)
	})
}

func (a *app) showReactions(ctx context.Context, f *sqlstore.Findings) error {
	switch off, because, err := f.ReactionsOff(ctx); {
	case err != nil:
		return err
	case off:
		return a.printf("reactions are OFF: %s", printable(because))
	}
	return a.printf("reactions are on, as far as each watcher's configuration allows them")
}

// withFindings runs f on the database of findings of a configuration, which the
// server has made. It takes the server's user: what SQLite makes beside the
// database would be another's, and the server could not use it.
func (a *app) withFindings(ctx context.Context, o *configFlag, f func(context.Context, *sqlstore.Findings) error) (err error) {
	c, err := a.loadConfig(o.path)
	if err != nil {
		return err
	}
	path := c.Gate.Findings
	if path == "" {
		return invalid("set gate.findings: what watchers decided and told is kept there", "this server keeps nothing for watchers")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return invalid("start the server first: it makes it", "there is no database %s", path)
	}
	if uid, _, known := owner(path); known && uid != os.Geteuid() {
		return invalid(fmt.Sprintf("run it as that user: sudo -u %s shuind …", systemUser(uid)), "the user %s may not use %s", systemUser(os.Geteuid()), described(path))
	}
	findings, err := sqlstore.OpenFindings(ctx, sqlstore.FindingsOptions{Path: path})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, findings.Close()) }()
	return f(ctx, findings)
}
