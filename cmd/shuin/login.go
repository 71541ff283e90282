package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/shuin/shuin/internal/registry"
)

type loginOptions struct {
	registryFlags
	debug         bool
	passwordStdin bool
	server        string
}

func newLoginCmd(a *app) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login [flags] <server>",
		Short: "Login to registry",
		Long: a.help(`Check a credential against a registry and keep it in the credentials store.

Example - Log in, with the password from a file:
  {} login -u <user> --password-stdin registry.example.com < password.txt

Example - Log in with $NOTATION_USERNAME and $NOTATION_PASSWORD:
  {} login registry.example.com
`),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("no hostname specified")
			}
			o.server = args[0]
			return nil
		},
		PreRunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.passwordStdin {
				o.password, err = readSecret(cmd.Context(), a.stdin)
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.login(cmd.Context(), &o) },
	}
	debugFlag(cmd.Flags(), &o.debug)
	o.registryFlags.add(a, cmd.Flags())
	cmd.Flags().BoolVar(&o.passwordStdin, "password-stdin", false, "take the password from stdin")
	return cmd
}

func (a *app) login(ctx context.Context, o *loginOptions) error {
	a.startDebug(o.debug)
	if err := a.askCredential(ctx, o); err != nil {
		return err
	}
	client := a.registryClient(&o.registryFlags)
	existing, err := client.Login(ctx, a.credentialStore(), o.server, registry.NewCredential(o.username, o.password))
	if err != nil {
		return err
	}
	if existing {
		a.warnf("The credentials store is not set up. It is recommended to configure the credentials store to securely store your credentials. See %s.", registry.HowToAuthenticate)
		fmt.Fprintln(a.stdout, "Authenticated with existing credentials")
	}
	_, err = fmt.Fprintln(a.stdout, "Login Succeeded")
	return err
}

// askCredential prompts for what neither flags nor environment gave.
func (a *app) askCredential(ctx context.Context, o *loginOptions) error {
	if o.password != "" {
		return nil
	}
	in := bufio.NewReader(a.stdin)
	kind := "password"
	if o.username == "" {
		fmt.Fprint(a.stdout, "Username: ")
		line, err := interruptible(ctx, func() (string, error) { return in.ReadString('\n') })
		if err != nil {
			return fmt.Errorf("error reading username: %w", err)
		}
		if o.username = strings.TrimSpace(line); o.username == "" {
			kind = "token" // without a user name the password is a token
		}
	}
	fmt.Fprint(a.stdout, strings.ToUpper(kind[:1])+kind[1:]+": ")
	password, err := a.readPassword(ctx, in)
	if err != nil {
		return fmt.Errorf("error reading %s: %w", kind, err)
	}
	fmt.Fprintln(a.stdout)
	if password == "" {
		return invalid(kind + " required")
	}
	o.password = password
	return nil
}

// readPassword does not echo where stdin is a terminal.
func (a *app) readPassword(ctx context.Context, in *bufio.Reader) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return readSecret(ctx, in)
	}
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", err
	}
	b, err := interruptible(ctx, func() ([]byte, error) { return term.ReadPassword(int(f.Fd())) })
	if ctx.Err() != nil { // the reading goes on, without echo
		_ = term.Restore(int(f.Fd()), before)
	}
	return string(b), err
}
