package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newKeyListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List keys used for signing",
		RunE:    func(*cobra.Command, []string) error { return a.keyList() },
	}
}

func (a *app) keyList() error {
	keys, err := a.dir().SigningKeys()
	if err != nil {
		return err
	}
	table := newTable(a.stdout)
	fmt.Fprintln(table, "NAME\tKEY PATH\tCERTIFICATE PATH\tID\tPLUGIN NAME\t")
	for _, key := range keys.Keys {
		name := key.Name
		if name == keys.Default {
			name = "* " + name
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t\n", name, key.KeyPath, key.CertPath, key.ID, key.PluginName)
	}
	return table.Flush()
}
