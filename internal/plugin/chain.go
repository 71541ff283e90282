package plugin

import (
	"crypto/x509"

	"github.com/shuin/shuin/envelope"
)

// checkChain checks the certificate rules of a chain that a plugin returned
// (CERT-01) and gives its leaf. Trust is not asked for.
func checkChain(der [][]byte) (*x509.Certificate, error) {
	chain, err := envelope.ParseChain(der)
	if err != nil {
		return nil, err
	}
	if err := envelope.CheckChain(chain, envelope.CodeSigning); err != nil {
		return nil, err
	}
	if err := envelope.CheckLinks(chain, nil); err != nil {
		return nil, err
	}
	if len(chain) > 1 {
		if err := envelope.CheckRoot(chain); err != nil {
			return nil, err
		}
	}
	return chain[0], nil
}
