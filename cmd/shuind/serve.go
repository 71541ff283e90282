package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
)

type serveOptions struct {
	configFlag
	requireNames            bool
	acceptMissingCheckpoint bool
}

func newServeCmd(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve the signer, the gate, or both",
		Long: `Serve the signer, the gate, or both, as configured, until SIGINT or SIGTERM; requests under way may finish. SIGHUP reads the
TLS certificate again, and at once what the gate looks at every few seconds anyway.
At a signer's start the three names that clients use are looked up and asked for, and what was found is logged.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	cmd.Flags().BoolVar(&o.requireNames, "require-names", false, "end with an error if one of the three names does not lead here")
	cmd.Flags().BoolVar(&o.acceptMissingCheckpoint, "accept-missing-checkpoint", false,
		"start although the checkpoint file is gone; whether the database was put back to an earlier state cannot be told then")
	return cmd
}

func (a *app) serve(ctx context.Context, o *serveOptions) (err error) {
	c, err := a.loadConfig(o.path)
	if err != nil {
		return err
	}
	logger := newLogger(a.stderr, c.Log)
	a.roomForGate(c)
	if !c.signs() {
		return a.serveGate(ctx, c, o.path, logger)
	}
	store := c.storeOptions()
	store.AcceptMissingCheckpoint = o.acceptMissingCheckpoint
	n, err := a.newNode(ctx, c, store, logger)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := n.Close(); err == nil {
			err = cerr
		}
	}()
	// By a clock that is refused nothing can be said of the CA.
	if err := caValid(n.service.Intermediate, a.now()); err != nil && !n.watchClock(ctx) {
		return invalid("", "%w", err)
	}
	if err := n.begin(ctx); err != nil {
		return err
	}
	if err := n.addGate(ctx, a, o.path); err != nil {
		return err
	}
	entrances, err := n.entrances(ctx)
	if err != nil {
		return err
	}
	reload := make(chan os.Signal, 1)
	notifyReload(reload)
	defer signal.Stop(reload)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if !a.reportNames(ctx, n) && o.requireNames {
			cancel(errNames)
		}
	}()
	if err := n.serve(ctx, entrances, reload); err != nil {
		return err
	}
	if context.Cause(ctx) == errNames {
		return errNames
	}
	logger.Info("ended")
	return nil
}

var errNames = errors.New("not every name of the API leads to this server (--require-names)")

// reportNames logs what was found out about the API's names, and says whether
// all is well.
func (a *app) reportNames(ctx context.Context, n *node) bool {
	well := true
	check := nameCheck{scheme: n.c.scheme(), instance: n.instance, resolve: a.resolve}
	if n.pair != nil {
		check.leaf = n.pair.leaf()
	}
	for _, r := range check.check(ctx, n.c.names()) {
		if r.problem == "" {
			n.log.Info("name", "is", r.String())
			continue
		}
		well = false
		n.log.Warn("clients may not get here by one of the API's names", "name", r.String())
	}
	return well
}

// newLogger logs as the configuration says.
func newLogger(w io.Writer, c logConfig) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated
	o := &slog.HandlerOptions{Level: level}
	if c.Format == formatJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
