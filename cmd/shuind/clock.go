package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/signing"
)

func newClockCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "clock", Short: "Accept this machine's clock where it contradicts the signer's store"}
	cmd.AddCommand(newClockAcceptCmd(a))
	return cmd
}

type clockAcceptOptions struct {
	configFlag
	reason string
}

func newClockAcceptCmd(a *app) *cobra.Command {
	var o clockAcceptOptions
	cmd := &cobra.Command{
		Use:   "accept --config FILE --reason TEXT",
		Short: "Have signing times go on from now",
		Long: `Have signing times go on from now. A server neither signs nor makes CRLs by a clock that is far behind the newest signing time or CRL
it made, nor, at its start, by one far ahead of them: one of the two is wrong, and a signature of a wrong date cannot be called in again. Make
sure that this machine's clock is right; then this command says so, and the log keeps it. The server has to be stopped.

Signatures that were made with a wrong clock stay good, and are dated by it: aws signer list-signing-jobs shows them first;
take them back with revoke-signature.

Example:
  shuind clock accept --config /etc/shuind/shuind.yaml --reason 'the host started with the year 2030'
`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.clockAccept(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	cmd.Flags().StringVar(&o.reason, "reason", "", "why; it is logged")
	if err := cmd.MarkFlagRequired("reason"); err != nil {
		panic(err) // the flag was declared in the line above
	}
	return cmd
}

func (a *app) clockAccept(ctx context.Context, o *clockAcceptOptions) (err error) {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	release, err := c.lockData() // a server remembers the clock it read last
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	return a.withStore(ctx, c, func(store *sqlstore.Store) error {
		service := c.newService(store, nil)
		service.Now = a.now
		before, now, err := service.AcceptClock(ctx, c.caFiles().inUse(), operator(), o.reason)
		if err != nil {
			return cause(err)
		}
		if before.After(now) {
			return a.printf("signing times go on from %s; those up to %s were given out by a wrong clock: revoke their signatures", now.Format(time.RFC3339), before.UTC().Format(time.RFC3339))
		}
		return a.printf("signing times go on from %s", now.Format(time.RFC3339))
	})
}

// clockFits refuses what is dated by a clock that contradicts the store.
func (y *ceremony) clockFits(ctx context.Context) error {
	err := y.store.View(ctx, func(tx signing.Tx) error { return signing.RefuseClock(tx, y.c.caFiles().inUse(), y.now()) })
	if errors.Is(err, signing.ErrClock) {
		return invalid("set this machine's clock right; or, if it is right now, accept it with shuind clock accept", "%w", err)
	}
	return err
}

// watchClock tells that the clock is refused, and that it is not any more: once
// each. Requests that need it are told each time.
func (n *node) watchClock(ctx context.Context) (refused bool) {
	err := n.service.CheckClock(ctx)
	refused = errors.Is(err, signing.ErrClock)
	switch {
	case err != nil && !refused: // the store's failure is logged
		return n.clockRefused.Load()
	case refused == n.clockRefused.Swap(refused):
	case refused:
		n.log.Error("the clock is refused: nothing is signed by it; all else is served", "error", err)
	default:
		n.log.Info("the clock is not refused any more")
	}
	return refused
}
