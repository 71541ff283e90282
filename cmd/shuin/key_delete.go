package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/notationdir"
)

type keyDeleteOptions struct {
	debug bool
	names []string
}

func newKeyDeleteCmd(a *app) *cobra.Command {
	var o keyDeleteOptions
	cmd := &cobra.Command{
		Use:   "delete [flags] <key_name>...",
		Short: "Remove key from Notation signing key list",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("missing key names")
			}
			o.names = args
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyDelete(cmd.Context(), &o) },
	}
	debugFlag(cmd.Flags(), &o.debug)
	return cmd
}

// keyDelete takes all names off the list, or none.
func (a *app) keyDelete(ctx context.Context, o *keyDeleteOptions) error {
	a.startDebug(o.debug)
	var wasDefault string
	if err := a.dir().UpdateSigningKeys(ctx, func(keys *notationdir.SigningKeys) error {
		wasDefault = keys.Default
		return keys.Remove(o.names...)
	}); err != nil {
		return err
	}
	if len(o.names) == 1 {
		name := o.names[0]
		if name == wasDefault {
			name = "default key " + name
		}
		_, err := fmt.Fprintf(a.stdout, "Removed %s from Notation signing key list. The source key still exists.\n", name)
		return err
	}
	fmt.Fprintln(a.stdout, "Removed the following keys from Notation signing key list. The source keys still exist.")
	for _, name := range o.names {
		if name == wasDefault {
			name += " (default)"
		}
		fmt.Fprintln(a.stdout, name)
	}
	return nil
}
