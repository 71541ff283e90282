package main

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

type certShowOptions struct {
	storeFlags
	debug bool
}

func newCertShowCmd(a *app) *cobra.Command {
	var o certShowOptions
	cmd := &cobra.Command{
		Use:   "show --type <type> --store <name> [flags] <cert_fileName>",
		Short: "Show certificate details given trust store type, named store, and certificate file name. If the certificate file contains multiple certificates, then all certificates are displayed.",
		Long: a.help(`Show the certificates of one file of a trust store.

Example - Show the certificates of the file "cert1.pem" of the store "acme-rockets" of type "ca":
  {} cert show --type ca --store acme-rockets cert1.pem
`),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return invalid("missing certificate file name")
			case len(args) > 1:
				return invalid("show only supports single certificate file")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.certShow(&o, args[0]) },
	}
	debugFlag(cmd.Flags(), &o.debug)
	o.storeFlags.addRequired(cmd)
	return cmd
}

func (a *app) certShow(o *certShowOptions, file string) error {
	a.startDebug(o.debug)
	name, err := o.storeFlags.name()
	if err != nil {
		return err
	}
	if file == "" {
		return invalid("certificate fileName cannot be empty")
	}
	certs, err := a.dir().ShowCertificate(name, file)
	if err != nil {
		return fmt.Errorf("failed to show details of certificate %s, with error: %w", file, err)
	}
	return a.printCertificates(certs)
}

func (a *app) printCertificates(certs []*x509.Certificate) error {
	rule := strings.Repeat("-", 80) + "\n"
	var b strings.Builder
	b.WriteString("Certificate details\n" + rule)
	for i, cert := range certs {
		if i > 0 {
			b.WriteString(rule)
		}
		fmt.Fprintf(&b, "Issuer: %s\nSubject: %s\nValid from: %s\nValid to: %s\nIsCA: %t\nSHA256 Thumbprint: %s\n",
			visible(cert.Issuer.String()), visible(cert.Subject.String()), cert.NotBefore, cert.NotAfter, cert.IsCA, fingerprint(cert))
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}
