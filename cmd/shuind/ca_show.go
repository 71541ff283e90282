package main

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/limits"
)

func newCAShowCmd(a *app) *cobra.Command {
	var o configFlag
	cmd := &cobra.Command{
		Use:   "show --config FILE",
		Short: "Show the certificates of the CA, where their keys are, and the root's CRL",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := o.load(a)
			if err != nil {
				return err
			}
			return a.printCA(c)
		},
	}
	o.add(cmd)
	return cmd
}

// printCA shows the chain, root first.
func (a *app) printCA(c *config) error {
	files := c.caFiles()
	chain, err := files.chain()
	if err != nil {
		return err
	}
	for i := len(chain) - 1; i >= 0; i-- {
		what, key := "Intermediate", ""
		switch i {
		case 0:
			key = keyPlace(files.intermediateKey())
		case len(chain) - 1:
			what, key = "Root", keyPlace(files.rootKey())
		}
		a.printf("%s: %s", what, printable(chain[i].Subject.String()))
		a.printf("  valid:    %s to %s%s", chain[i].NotBefore.Format(time.RFC3339), chain[i].NotAfter.Format(time.RFC3339), ended(chain[i], a.now()))
		a.printf("  SHA-256:  %s", fingerprint(chain[i]))
		if key != "" {
			a.printf("  key:      %s", key)
		}
	}
	root := chain[len(chain)-1]
	if list, err := c.readRootCRL(root); err == nil {
		a.printf("Root CRL: number %v, %d revoked, good until %s", list.Number, len(list.RevokedCertificateEntries), list.NextUpdate.Format(time.RFC3339))
	} else {
		a.printf("Root CRL: none here (%s)", oneLine(err.Error()))
	}
	return a.printf("Verifiers trust the root: %s", files.root())
}

func keyPlace(path string) string {
	if _, err := os.Stat(path); err != nil {
		return "not on this machine"
	}
	return path + " (encrypted)"
}

func ended(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return " (ENDED)"
	case now.Before(c.NotBefore):
		return " (not yet)"
	}
	return ""
}

// readRootCRL reads the root's CRL and checks that the root signed it.
func (c *config) readRootCRL(root *x509.Certificate) (*x509.RevocationList, error) {
	path := c.rootCRLPath(root)
	der, err := readFile(path, limits.CRLBytes, "CRLBytes")
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err == nil {
		err = list.CheckSignatureFrom(root)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no CRL of the root: %w", path, err)
	}
	return list, nil
}

// oidInvalidityDate is RFC 5280 section 5.3.2.
var oidInvalidityDate = asn1.ObjectIdentifier{2, 5, 29, 24}

// invalidityDate of one line of a CRL; zero for none.
func invalidityDate(e x509.RevocationListEntry) time.Time {
	for _, x := range e.Extensions {
		var at time.Time
		if x.Id.Equal(oidInvalidityDate) {
			if rest, err := asn1.UnmarshalWithParams(x.Value, &at, "generalized"); err == nil && len(rest) == 0 {
				return at
			}
		}
	}
	return time.Time{}
}
