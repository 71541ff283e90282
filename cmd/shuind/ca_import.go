package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

type caImportOptions struct {
	configFlag
	chain, key string
}

func newCAImportCmd(a *app) *cobra.Command {
	var o caImportOptions
	cmd := &cobra.Command{
		Use:   "import --config FILE --chain CHAIN --key KEY",
		Short: "Use an intermediate of your own CA",
		Long: `Use an intermediate of your own CA instead of shuind ca init. CHAIN is PEM, the intermediate first, the self-signed root
last; it has to allow one more CA below (path length). KEY is its private key (ECDSA or RSA), PEM or encrypted with age to the
configuration's identity; it is kept encrypted. The CRL that lists the intermediate is your CA's to publish.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.caImport(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	cmd.Flags().StringVar(&o.chain, "chain", "", "the intermediate's chain (PEM)")
	cmd.Flags().StringVar(&o.key, "key", "", "the intermediate's private key")
	for _, name := range []string{"chain", "key"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was declared above
		}
	}
	return cmd
}

func (a *app) caImport(ctx context.Context, o *caImportOptions) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	identity, err := a.identity(c.Identity)
	if err != nil {
		return err
	}
	chain, err := readChain(o.chain)
	if err != nil {
		return err
	}
	key, err := readKey(o.key, identity)
	if err != nil {
		return err
	}
	if !samePublic(key, chain[0]) {
		return invalid("", "%s is not the key of the first certificate of %s", o.key, o.chain)
	}
	if err := fitForIntermediate(chain, key); err != nil {
		return invalid("an intermediate of a CA, its chain up to the root, and room for one CA below it are wanted", "%s: %w", o.chain, err)
	}
	files := c.caFiles()
	place := func(y *ceremony, tmp string) error {
		made := caFiles{tmp}
		if err := age.WriteKey(made.intermediateKey(), key, identity.Lock()); err != nil {
			return err
		}
		if err := createFile(made.root(), issue.EncodeChain(chain[len(chain)-1:]), publicPerm); err != nil {
			return err
		}
		if err := createFile(made.intermediate(), issue.EncodeChain(chain), publicPerm); err != nil {
			return err
		}
		_, err := y.note(ctx, audit.Entry{
			Kind: audit.IssueResult, Action: "shuind:ImportCA", Attempt: -1, Outcome: "ok", Detail: "intermediate of another CA",
			Certificate: fingerprint(chain[0]), Serial: hex.EncodeToString(chain[0].SerialNumber.Bytes()),
		})
		return err
	}
	err = a.exclusive(ctx, c, func(y *ceremony) error {
		return staged(files.dir, func(tmp string) error { return place(y, tmp) })
	})
	if err != nil {
		return err
	}
	return a.printCA(c)
}

// fitForIntermediate checks what the service needs of an intermediate.
func fitForIntermediate(chain []*x509.Certificate, key crypto.Signer) error {
	if len(chain) < 2 {
		return errors.New("a root alone cannot be used on-line: bring an intermediate below it")
	}
	for i, cert := range chain {
		if cert.MaxPathLen >= 0 && (cert.MaxPathLen > 0 || cert.MaxPathLenZero) && cert.MaxPathLen < i+1 {
			return errors.New("its path length leaves no room for issuing CAs below it")
		}
	}
	_, err := issue.NewAuthority(chain, key)
	return err
}

// readKey reads a private key, encrypted with age or not.
func readKey(path string, identity *age.Identity) (crypto.Signer, error) {
	text, err := readFile(path, limits.KeyFileBytes, "KeyFileBytes")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(bytes.TrimSpace(text))
	if block == nil || block.Type == "AGE ENCRYPTED FILE" {
		key, err := age.OpenKey(text, identity.Lock())
		if err != nil {
			return nil, invalid("", "%s: %w", path, keyHint(err))
		}
		return key, nil
	}
	key, err := parsePrivateKey(block)
	if err != nil {
		return nil, invalid("", "%s: %w", path, err)
	}
	return key, nil
}

// parsePrivateKey quotes nothing of what it could not read.
func parsePrivateKey(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "PRIVATE KEY":
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer, nil
			}
		}
	case "EC PRIVATE KEY":
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
	case "RSA PRIVATE KEY":
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("no private key that can be used (PKCS#8, SEC 1 or PKCS#1 in PEM)")
}
