package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newCertAddCmd(a *app) *cobra.Command {
	var store storeFlags
	cmd := &cobra.Command{
		Use:   "add --type <type> --store <name> [flags] <cert_path>...",
		Short: "Add certificates to the trust store.",
		Long: a.help(`Add certificates to a trust store.

Example - Add a root certificate to the store "acme-rockets" of type "ca":
  {} cert add --type ca --store acme-rockets acme-rockets.crt

Example - Add a signing authority's certificate:
  {} cert add --type signingAuthority --store wabbit-networks wabbit-networks.pem

Example - Add a timestamping authority's root certificate:
  {} cert add --type tsa --store timestamp wabbit-networks-timestamp.pem
`),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return invalid("missing certificate path")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.certAdd(&store, args) },
	}
	store.addRequired(cmd)
	return cmd
}

// certAdd adds each file on its own: one that cannot be added does not stop
// the others, but fails the command.
func (a *app) certAdd(store *storeFlags, paths []string) error {
	name, err := store.name()
	if err != nil {
		return err
	}
	dir := a.dir()
	var added []string
	var failed strings.Builder
	for _, path := range paths {
		if _, err := dir.AddCertificate(name, path); err != nil {
			fmt.Fprintf(&failed, "%s, with error %q\n", path, err)
			continue
		}
		added = append(added, path)
	}
	if len(added) > 0 {
		fmt.Fprintf(a.stdout, "Successfully added following certificates to named store %s of type %s:\n%s\n",
			name.Name, name.Type, strings.Join(added, "\n"))
	}
	if failed.Len() > 0 {
		return errors.New(fmt.Sprintf("Failed to add following certificates to named store %s of type %s:\n", name.Name, name.Type) + failed.String())
	}
	return nil
}
