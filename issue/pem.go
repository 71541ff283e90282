package issue

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

const pemCertificate = "CERTIFICATE"

// EncodeChain is chain in PEM, in its order.
func EncodeChain(chain []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range chain {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw}))
	}
	return out.Bytes()
}

// ParseChain reads certificates in PEM, in their order, bounded in number and
// size. Anything else in it is an error: a private key above all.
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	var der [][]byte
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && len(bytes.TrimSpace(rest)) > 0:
			return nil, errors.New("read certificates: text that is no PEM")
		case block == nil && len(der) == 0:
			return nil, errors.New("read certificates: none found, want PEM of type CERTIFICATE")
		case block == nil:
			return envelope.ParseChain(der)
		case block.Type != pemCertificate:
			return nil, fmt.Errorf("read certificates: PEM of type %q among them", block.Type)
		case len(der) == limits.ChainLength:
			return nil, fmt.Errorf("read certificates: more than %d", limits.ChainLength)
		}
		der = append(der, block.Bytes)
	}
}
