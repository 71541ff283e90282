package main

import (
	"context"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/signing"
)

func newCredentialCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "credential",
		Short: "Make, list and disable access keys",
		Long:  "Make, list and disable the access keys that clients sign their requests with. All of it works beside a running server.",
	}
	cmd.AddCommand(newCredentialCreateCmd(a), newCredentialListCmd(a), newCredentialDisableCmd(a))
	return cmd
}

// operator is who the log says made a change from this machine's command line.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "local:" + u.Username
	}
	return "local"
}

// withService runs f on the service of a configuration as far as access keys
// need it: its store and its sealer. No CA key is opened.
func (a *app) withService(ctx context.Context, c *config, f func(*signing.Service) error) error {
	identity, err := a.identity(c.Identity)
	if err != nil {
		return err
	}
	return a.withStore(ctx, c, func(store *sqlstore.Store) error {
		service := c.newService(store, nil)
		service.Sealer, service.Now = identity, a.now
		return f(service)
	})
}

// withStore runs f on the store of a configuration.
func (a *app) withStore(ctx context.Context, c *config, f func(*sqlstore.Store) error) (err error) {
	if err := c.checkNeeds(c.storeNeeds()); err != nil {
		return err
	}
	if err := c.checkOrigin(); err != nil {
		return err
	}
	store, err := openStore(ctx, c.storeOptions())
	if err != nil {
		return err
	}
	defer func() {
		if cerr := store.Close(); err == nil {
			err = cerr
		}
	}()
	return f(store)
}
