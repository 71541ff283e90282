package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin/trust"
)

func newCertCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "certificate",
		Aliases: []string{"cert"},
		Short:   "Manage certificates in trust store",
		Long:    "Manage the certificates of the trust stores that trust policies name.",
	}
	cmd.AddCommand(
		newCertAddCmd(a),
		newCertListCmd(a),
		newCertShowCmd(a),
		newCertDeleteCmd(a),
		newCertGenerateTestCmd(a),
		newCertCleanupTestCmd(a),
	)
	return cmd
}

// storeFlags name a trust store.
type storeFlags struct {
	storeType string
	store     string
}

func (s *storeFlags) add(fs *pflag.FlagSet) {
	fs.StringVarP(&s.storeType, "type", "t", "", "trust store type, options: ca, signingAuthority, tsa")
	fs.StringVarP(&s.store, "store", "s", "", "name of the trust store")
}

// addRequired declares the flags as required.
func (s *storeFlags) addRequired(cmd *cobra.Command) {
	s.add(cmd.Flags())
	for _, name := range []string{"type", "store"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was declared in the line above
		}
	}
}

// name is the store the flags name.
func (s *storeFlags) name() (trust.StoreName, error) {
	switch {
	case s.storeType == "":
		return trust.StoreName{}, invalid("store type cannot be empty")
	case !trust.StoreType(s.storeType).Valid():
		return trust.StoreName{}, invalidf("unsupported store type: %s", s.storeType)
	case !trust.ValidName(s.store):
		return trust.StoreName{}, invalid("named store name needs to follow [a-zA-Z0-9_.-]+ format")
	}
	return trust.StoreName{Type: trust.StoreType(s.storeType), Name: s.store}, nil
}
