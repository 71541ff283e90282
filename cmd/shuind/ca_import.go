package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

type caImportOptions struct {
	configFlag
	chain, key string
	replace    bool
}

func newCAImportCmd(a *app) *cobra.Command {
	var o caImportOptions
	cmd := &cobra.Command{
		Use:   "import --config FILE --chain CHAIN --key KEY",
		Short: "Use an intermediate of your own CA",
		Long: `Use an intermediate of your own CA instead of shuind ca init. CHAIN is PEM, the intermediate first, the self-signed root
last; it has to allow one more CA below (path length). KEY is its private key (ECDSA or RSA), PEM or encrypted with age to the
configuration's identity; it is kept encrypted. The CRL that lists the intermediate is your CA's to publish.

With --replace it takes the place of the intermediate there is, whose last CRL is made first, good until its end: without it the signatures
made below it could not be verified any more once its CRL ended. Stop the server first. The old files stay beside the new ones.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.caImport(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	cmd.Flags().StringVar(&o.chain, "chain", "", "the intermediate's chain (PEM)")
	cmd.Flags().StringVar(&o.key, "key", "", "the intermediate's private key")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "take the place of the intermediate there is, after making its last CRL")
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
	key, _, err := readKey(o.key, identity.Lock())
	if err != nil {
		return err
	}
	if !samePublic(key, chain[0]) {
		return invalid("", "%s is not the key of the first certificate of %s", o.key, o.chain)
	}
	if err := fitForIntermediate(chain, key); err != nil {
		return invalid("an intermediate of a CA, its chain up to the root, and room for one CA below it are wanted", "%s: %w", o.chain, err)
	}
	i := imported{chain: chain, key: key, identity: identity}
	do := func(y *ceremony) error { return y.importCA(ctx, i) }
	if o.replace {
		do = func(y *ceremony) error { return y.importInPlace(ctx, i) }
	}
	if err := a.exclusive(ctx, c, do); err != nil {
		return err
	}
	return a.printCA(c)
}

// imported is an intermediate of somebody else's CA.
type imported struct {
	chain    []*x509.Certificate
	key      crypto.Signer
	identity *age.Identity
}

// write makes the files of an imported intermediate, and logs it.
func (y *ceremony) write(ctx context.Context, i imported, dir string) error {
	made := caFiles{dir}
	if err := age.WriteKey(made.intermediateKey(), i.key, i.identity.Lock()); err != nil {
		return err
	}
	if err := createFile(made.root(), issue.EncodeChain(i.chain[len(i.chain)-1:]), publicPerm); err != nil {
		return err
	}
	if err := createFile(made.intermediate(), issue.EncodeChain(i.chain), publicPerm); err != nil {
		return err
	}
	_, err := y.note(ctx, audit.Entry{
		Kind: audit.IssueResult, Action: "shuind:ImportCA", Attempt: -1, Outcome: "ok", Detail: "intermediate of another CA",
		Certificate: fingerprint(i.chain[0]), Serial: hex.EncodeToString(i.chain[0].SerialNumber.Bytes()),
	})
	return err
}

// importCA takes an intermediate where there is none.
func (y *ceremony) importCA(ctx context.Context, i imported) error {
	dir := y.c.caFiles().dir
	if _, err := os.Lstat(dir); err == nil {
		return invalid("shuind ca import --replace puts it in the place of the one there is", "%s exists already", dir)
	}
	return staged(dir, func(tmp string) error { return y.write(ctx, i, tmp) })
}

// importInPlace takes an intermediate in place of the one there is.
func (y *ceremony) importInPlace(ctx context.Context, i imported) error {
	files := y.c.caFiles()
	old, err := files.replaced(i.identity)
	if err != nil {
		return err
	}
	if old.Chain()[0].Equal(i.chain[0]) {
		return invalid("", "this is the intermediate in use")
	}
	r := replacement{files: files, identity: i.identity, old: old, root: i.chain[len(i.chain)-1]}
	return y.inPlaceOf(ctx, r, func(tmp string) error { return y.write(ctx, i, tmp) })
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
func readKey(path string, lock *age.Lock) (key crypto.Signer, encrypted bool, err error) {
	text, err := readFile(path, limits.KeyFileBytes, "KeyFileBytes")
	if err != nil {
		return nil, false, err
	}
	block := keyBlock(bytes.TrimSpace(text))
	if block == nil || block.Type == "AGE ENCRYPTED FILE" {
		if key, err = age.OpenKey(text, lock); err != nil {
			return nil, true, invalid("", "%s: %w", path, keyHint(err))
		}
		return key, true, nil
	}
	if key, err = parsePrivateKey(block); err != nil {
		return nil, false, invalid("", "%s: %w", path, err)
	}
	return key, false, nil
}

// keyBlock is the first block of PEM but the curve's parameters, which openssl
// writes before a key.
func keyBlock(text []byte) *pem.Block {
	block, rest := pem.Decode(text)
	if block != nil && block.Type == "EC PARAMETERS" {
		block, _ = pem.Decode(rest)
	}
	return block
}

// parsePrivateKey quotes nothing of what it could not read.
func parsePrivateKey(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, invalid(`encrypt it with age instead, to the configuration's identity: openssl pkey -in KEY | age -a -r "$(age-keygen -y IDENTITY)", IDENTITY being the file that identity.file names`,
			"the private key is encrypted, but not with age")
	}
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
