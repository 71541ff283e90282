// Package file is the door to private keys in files: PEM keys, encrypted or
// not, and certificate chains that satisfy sign.Key, and the self-signed test
// keys of `cert generate-test`. It checks that key and leaf certificate belong
// together and nothing else of the chain: package sign does. It encrypts
// nothing, and asks nobody for a passphrase itself. No error and no way of
// printing shows key material.
package file

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

var errNoCertificate = errors.New("it holds no PEM certificate")

// Key is a private key with its certificate chain. Immutable; safe for
// concurrent use.
type Key struct {
	signer    crypto.Signer
	algorithm envelope.Algorithm
	chain     [][]byte // DER, leaf first
}

// Passphrase says what opens an encrypted key. It is asked at most once, and
// only for a key that is encrypted; what it returns is cleared after use.
type Passphrase func() ([]byte, error)

// Load is LoadEncrypted for a key that is not encrypted.
func Load(keyPath, certPath string) (*Key, error) { return LoadEncrypted(keyPath, certPath, nil) }

// LoadEncrypted reads a PEM private key (PKCS#8, PKCS#1 or SEC 1; PKCS#8 may
// be encrypted with PBES2, RFC 8018, if ask is not nil) and a PEM certificate
// chain, leaf first, each at most limits.KeyFileBytes. The key must be the
// leaf's, and of one of the six kinds the Notary Project signs with (ALG-02).
// The error has code shuin.CodeInvalidInput or shuin.CodeLimit, or is ask's.
func LoadEncrypted(keyPath, certPath string, ask Passphrase) (*Key, error) {
	keyPEM, err := read(keyPath)
	if err != nil {
		return nil, fail("read private key", keyPath, err)
	}
	defer clear(keyPEM)
	signer, err := parseKey(keyPEM, ask)
	if err != nil {
		return nil, fail("read private key", keyPath, err)
	}
	certPEM, err := read(certPath)
	if err != nil {
		return nil, fail("read certificate chain", certPath, err)
	}
	chain, leaf, err := parseChain(certPEM)
	if err != nil {
		return nil, fail("read certificate chain", certPath, err)
	}
	algorithm, err := envelope.AlgorithmOf(signer.Public())
	if err != nil {
		return nil, fail("use private key", keyPath, err)
	}
	if pub, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(leaf.PublicKey) {
		return nil, fail("use private key", keyPath, fmt.Errorf("it does not belong to the first certificate in %s (subject %q)", certPath, leaf.Subject))
	}
	return &Key{signer: signer, algorithm: algorithm, chain: chain}, nil
}

// fail names the file; cause must not hold key material.
func fail(doing, path string, cause error) error {
	code := shuin.CodeInvalidInput
	if c := shuin.CodeOf(cause); c == shuin.CodeLimit {
		code = c
	}
	return &shuin.Error{Code: code, Message: doing + " " + path, Hint: shuin.HintOf(cause), Err: cause}
}

// read reads a regular file; a symlink to one is followed, since secrets are
// often mounted so.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limits.KeyFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limits.KeyFileBytes {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("larger than %d bytes", limits.KeyFileBytes)}
	}
	return data, nil
}

// parseKey reads the first private key of a PEM file. Other blocks, such as EC
// parameters, may stand before it. ask is nil where none may be encrypted.
func parseKey(data []byte, ask Passphrase) (crypto.Signer, error) {
	sawCertificate := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") && ask == nil:
			return nil, errors.New("the private key is encrypted, which is not supported")
		case block.Type == "ENCRYPTED PRIVATE KEY":
			return decryptKey(block.Bytes, ask)
		case block.Headers["DEK-Info"] != "":
			return nil, errEncryption
		case block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY"):
			return parsePrivateKey(block.Bytes)
		case block.Type == "CERTIFICATE":
			sawCertificate = true
		}
	}
	if sawCertificate {
		return nil, errors.New("it holds a certificate, not a private key")
	}
	return nil, errors.New("it holds no PEM private key")
}

// decryptKey opens an encrypted PKCS#8 key with the passphrase that ask says.
func decryptKey(der []byte, ask Passphrase) (crypto.Signer, error) {
	encrypted, err := parseEncrypted(der)
	if err != nil {
		return nil, err // before anybody is asked
	}
	passphrase, err := ask()
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	if len(passphrase) == 0 {
		return nil, errors.New("the private key is encrypted, and the passphrase is empty")
	}
	plain, err := encrypted.open(passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	// Any key is as good as none where the padding came out right by chance.
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		return nil, ErrPassphrase
	}
	return parsePrivateKey(plain)
}

// parsePrivateKey reads PKCS#8, PKCS#1 or SEC 1 DER, whatever the block was
// called. The parsers' own errors are left out: they say only which of the
// three forms the key is not.
func parsePrivateKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		switch k := k.(type) {
		case *rsa.PrivateKey:
			return k, nil
		case *ecdsa.PrivateKey:
			return k, nil
		}
		return nil, fmt.Errorf("private keys of type %T are not supported (RSA or ECDSA)", k)
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return nil, errors.New("the private key is malformed, or neither PKCS#8, PKCS#1 nor SEC 1")
}

// parseChain reads every certificate of a PEM file; other blocks are passed over.
func parseChain(data []byte) (chain [][]byte, leaf *x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		if leaf == nil {
			leaf = c
		}
		chain = append(chain, c.Raw)
		if len(chain) > limits.ChainLength {
			return nil, nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("holds more than %d certificates", limits.ChainLength)}
		}
	}
	if leaf == nil {
		return nil, nil, errNoCertificate
	}
	return chain, leaf, nil
}

// Algorithm is the one the key signs with (ALG-02).
func (k *Key) Algorithm(context.Context) (envelope.Algorithm, error) { return k.algorithm, nil }

// Sign signs signed and returns the primitive signature (ECDSA as r||s) and
// the chain, DER, leaf first, not to be changed.
func (k *Key) Sign(ctx context.Context, signed []byte) (signature []byte, chain [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	signature, err = k.algorithm.Sign(k.signer, signed)
	if err != nil {
		return nil, nil, fmt.Errorf("sign with key file: %w", err)
	}
	return signature, k.chain, nil
}

// String names the algorithm and the leaf's fingerprint, never the key.
func (k *Key) String() string {
	if k == nil || len(k.chain) == 0 {
		return "key file"
	}
	return fmt.Sprintf("key file (%s, leaf sha256:%x)", k.algorithm, sha256.Sum256(k.chain[0]))
}

// Format prints what String does, whatever the verb.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue keeps the key out of logs.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
