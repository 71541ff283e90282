package main

import "github.com/spf13/cobra"

func newKeyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage keys used for signing",
		Long: a.help(`Manage the list of signing keys. It names keys; it holds none.

Example - Add a key that a plugin holds:
  {} key add --plugin <plugin_name> --id <key_id> <key_name>

Example - List the keys:
  {} key ls

Example - Choose the default key:
  {} key set --default <key_name>

Example - Take keys off the list:
  {} key delete <key_name>...
`),
	}
	cmd.AddCommand(newKeyAddCmd(a), newKeyUpdateCmd(a), newKeyListCmd(a), newKeyDeleteCmd(a))
	return cmd
}
