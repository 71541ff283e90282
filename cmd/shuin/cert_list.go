package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/trust"
)

type certListOptions struct {
	storeFlags
	debug bool
}

func newCertListCmd(a *app) *cobra.Command {
	var o certListOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List certificates in the trust store.",
		Long: a.help(`List the certificate files of the trust stores.

Example - List all certificate files:
  {} cert ls

Example - List those of the store "acme-rockets", of whatever type:
  {} cert ls --store "acme-rockets"

Example - List those of all stores of type "ca":
  {} cert ls --type ca

Example - List those of one store:
  {} cert ls --type signingAuthority --store "wabbit-networks"
`),
		RunE: func(*cobra.Command, []string) error { return a.certList(&o) },
	}
	debugFlag(cmd.Flags(), &o.debug)
	o.storeFlags.add(cmd.Flags())
	return cmd
}

// certList prints nothing where there is nothing, or where the type is none.
func (a *app) certList(o *certListOptions) error {
	a.startDebug(o.debug)
	if o.storeType != "" && !trust.StoreType(o.storeType).Valid() {
		return nil
	}
	files, err := a.dir().ListCertificates(trust.StoreType(o.storeType), o.store)
	if err != nil {
		return fmt.Errorf("%s, with error: %w", o.failed(), err)
	}
	if len(files) == 0 {
		return nil
	}
	table := newTable(a.stdout)
	fmt.Fprintln(table, "STORE TYPE\tSTORE NAME\tCERTIFICATE\t")
	for _, f := range files {
		fmt.Fprintf(table, "%s\t%s\t%s\t\n", f.Store.Type, f.Store.Name, f.Name)
	}
	return table.Flush()
}

func (o *certListOptions) failed() string {
	switch {
	case o.store != "" && o.storeType != "":
		return fmt.Sprintf("failed to list all certificates stored in the named store %s of type %s", o.store, o.storeType)
	case o.storeType != "":
		return fmt.Sprintf("failed to list all certificates stored of type %s", o.storeType)
	case o.store != "":
		return fmt.Sprintf("failed to list all certificates stored in the named store %s", o.store)
	}
	return "failed to list all certificates stored in the trust store"
}
