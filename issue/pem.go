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
// size. Anything else in it is an error: a private key above all, one that is
// malformed too, and text around the blocks.
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	var der [][]byte
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		if len(der) == limits.ChainLength {
			return nil, fmt.Errorf("read certificates: more than %d", limits.ChainLength)
		}
		block, after, err := cutBlock(rest)
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		der, rest = append(der, block), bytes.TrimSpace(after)
	}
	if len(der) == 0 {
		return nil, errors.New("read certificates: none found, want PEM of type CERTIFICATE")
	}
	return envelope.ParseChain(der)
}

// cutBlock reads the block that text begins with. pem.Decode alone looks for
// the next one that is well-formed, over whatever stands before it.
func cutBlock(text []byte) (der, rest []byte, err error) {
	begin := []byte("-----BEGIN ")
	line, _, _ := bytes.Cut(text, []byte("\n"))
	kind, isPEM := bytes.CutPrefix(bytes.TrimSpace(line), begin)
	kind, whole := bytes.CutSuffix(kind, []byte("-----"))
	switch {
	case !isPEM || !whole:
		return nil, nil, errors.New("text that is no PEM")
	case string(kind) != pemCertificate:
		return nil, nil, fmt.Errorf("PEM of type %.40q among them", kind)
	}
	block, rest := pem.Decode(text)
	if block == nil || bytes.Count(text[:len(text)-len(rest)], begin) != 1 {
		return nil, nil, errors.New("a malformed PEM block")
	}
	return block.Bytes, rest, nil
}
