package file

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/sign"
)

// Parse reads a key out of PEM text that came from somewhere else than a file,
// where, as errors name it. Its certificates stand in the text, in certPaths,
// or in both, in any order: the key's chain is chosen from them (sign.Arrange)
// and held against the rules of signing (sign.CheckChain), but for the time.
// ask is as for LoadEncrypted.
func Parse(where string, text []byte, certPaths []string, ask Passphrase) (*Key, error) {
	if len(text) > limits.KeyFileBytes {
		return nil, fail("read private key from", where, &shuin.Error{Code: shuin.CodeLimit,
			Message: fmt.Sprintf("larger than %d bytes (limit KeyFileBytes)", limits.KeyFileBytes)})
	}
	certs, err := appendCertificates(nil, text)
	if err != nil {
		return nil, fail("read certificates from", where, err)
	}
	for _, path := range certPaths {
		data, err := read(path)
		if err != nil {
			return nil, fail("read certificate chain", path, err)
		}
		before := len(certs)
		if certs, err = appendCertificates(certs, data); err != nil {
			return nil, fail("read certificate chain", path, err)
		}
		if len(certs) == before {
			return nil, fail("read certificate chain", path, errNoCertificate)
		}
	}
	signer, err := parseKey(text, ask)
	if err != nil {
		return nil, fail("read private key from", where, err)
	}
	algorithm, err := envelope.AlgorithmOf(signer.Public())
	if err != nil {
		return nil, fail("use private key from", where, err)
	}
	if len(certs) == 0 {
		return nil, fail("use private key from", where, &shuin.Error{Code: shuin.CodeInvalidInput,
			Message: "there is no certificate with it", Hint: "put the certificate chain behind the key, or name its file with --certificate-chain"})
	}
	arranged, err := sign.Arrange(certs, signer.Public())
	if err != nil {
		return nil, fail("complete the certificate chain of the private key from", where, err)
	}
	chain := make([][]byte, len(arranged))
	for i, c := range arranged {
		chain[i] = c.Raw
	}
	if _, err := sign.CheckChain(chain, algorithm); err != nil {
		return nil, fail("use the certificate chain of the private key from", where, err)
	}
	return &Key{signer: signer, algorithm: algorithm, chain: chain}, nil
}

// LoadArranged is Parse of a key file.
func LoadArranged(keyPath string, certPaths []string, ask Passphrase) (*Key, error) {
	text, err := read(keyPath)
	if err != nil {
		return nil, fail("read private key", keyPath, err)
	}
	defer clear(text)
	return Parse(keyPath, text, certPaths, ask)
}

// appendCertificates adds the certificates of a PEM text; other blocks are passed over.
func appendCertificates(certs []*x509.Certificate, text []byte) ([]*x509.Certificate, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(certs) == limits.KeyCertificates {
			return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("more than %d certificates (limit KeyCertificates)", limits.KeyCertificates)}
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// Certificates are the chain, leaf first.
func (k *Key) Certificates() ([]*x509.Certificate, error) { return envelope.ParseChain(k.chain) }

// ChainPEM is the chain as a certificate file has it, leaf first.
func (k *Key) ChainPEM() []byte {
	var out []byte
	for _, der := range k.chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// ChainOf is the certificates of a PEM text as a certificate file has them, in
// the order they stand there.
func ChainOf(text []byte) ([]byte, error) {
	chain, _, err := parseChain(text)
	if err != nil {
		return nil, err
	}
	return (&Key{chain: chain}).ChainPEM(), nil
}
