package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/signing"
)

type certificateImportOptions struct {
	configFlag
	account, chain, key string
	lock                lockFlags
}

func newCertificateImportCmd(a *app) *cobra.Command {
	var o certificateImportOptions
	cmd := &cobra.Command{
		Use:   "import --config FILE --account ID --chain CHAIN --key KEY",
		Short: "Bring a signing certificate of your own with its key",
		Long: `Bring a signing certificate of your own with its key, for an account's profiles of the kind aws to sign with. CHAIN is PEM, the
signing certificate first, the self-signed root last. KEY is its private key, ECDSA on P-384: PEM, or encrypted with age, to the
configuration's identity unless a flag names another one or a passphrase. The key is kept encrypted in the database, and is never shown.

It prints the ARN, which a profile is made with:
  aws signer put-signing-profile --profile-name build --platform-id Notation-OCI-SHA384-ECDSA --signing-material certificateArn=ARN

Verifiers trust one CA of CHAIN: the narrowest, which is the issuer of the signing certificate, the second of CHAIN. Who has another
certificate below the CA that they trust is kept out by revocation alone.

Signatures outlive the certificate, but none is made after its end: import its successor, and put the profile again. It works beside a running server. KEY stays where it is: remove it, or keep it off this machine.

Example:
  shuind certificate import --config /etc/shuind/shuind.yaml --account 111122223333 --chain chain.pem --key key.pem
`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.certificateImport(cmd.Context(), &o) },
	}
	o.configFlag.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&o.account, "account", "", "account whose profiles may sign with it, twelve digits")
	fs.StringVar(&o.chain, "chain", "", "the certificate's chain (PEM), root included")
	fs.StringVar(&o.key, "key", "", "the certificate's private key")
	o.lock.addOptional(cmd, "key-", "the private key")
	for _, name := range []string{"account", "chain", "key"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was declared above
		}
	}
	return cmd
}

func (a *app) certificateImport(ctx context.Context, o *certificateImportOptions) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	if !awsprofile.ValidAccount(o.account) {
		return invalid("", "--account %q: an account has twelve digits", o.account)
	}
	chain, err := readChain(o.chain)
	if err != nil {
		return err
	}
	key, err := a.importedKey(c, o)
	if err != nil {
		return err
	}
	der := make([][]byte, len(chain))
	for i, cert := range chain {
		der[i] = cert.Raw
	}
	return a.withService(ctx, c, func(service *signing.Service) error {
		made, err := service.ImportCertificate(ctx, operator(), o.account, der, key)
		if err != nil {
			if e, ok := errors.AsType[*signing.Error](err); ok && e.Fault == signing.FaultValidation {
				return invalid(importHint(chain, err), "%s, %s: %w", o.chain, o.key, err)
			}
			return cause(err)
		}
		return a.printImported(made, chain)
	})
}

// printImported names the CA that verifiers need, too: the narrowest of the chain.
func (a *app) printImported(made signing.Certificate, chain []*x509.Certificate) error {
	name := func(c *x509.Certificate) string {
		return oneLine(c.Subject.String()) + " (SHA-256 " + fingerprint(c) + ")"
	}
	issuer, root := chain[min(1, len(chain)-1)], chain[len(chain)-1]
	return a.printf("Certificate ARN: %s\nSubject:         %s\nSHA-256:         %s\nValid:           %s to %s, with all above it\nIssuer:          %s\nRoot:            %s\nVerifiers trust the issuer, the narrowest CA above it: who has another certificate below the one they trust is kept out by revocation alone.",
		made.ARN, oneLine(chain[0].Subject.String()), fingerprint(chain[0]), timeOr(made.NotBefore, "-"), timeOr(made.NotAfter, "-"), name(issuer), name(root))
}

// importedKey reads the private key: in the clear, or encrypted with age.
func (a *app) importedKey(c *config, o *certificateImportOptions) (crypto.Signer, error) {
	var lock *age.Lock
	var err error
	if o.lock != (lockFlags{}) {
		if lock, err = o.lock.lock(a); err != nil {
			return nil, err
		}
	} else {
		identity, err := a.identity(c.Identity)
		if err != nil {
			return nil, err
		}
		lock = identity.Lock()
	}
	key, encrypted, err := readKey(o.key, lock)
	if err == nil && !encrypted && o.lock != (lockFlags{}) {
		return nil, invalid("leave the flag out, or name the encrypted file", "%s: the private key is not encrypted, but a flag says what opens it", o.key)
	}
	return key, err
}

// importHint says what to look at where a chain was refused.
func importHint(chain []*x509.Certificate, refused error) string {
	switch {
	case errors.Is(refused, signing.ErrImported):
		return "put profiles with that ARN; to have it under another one, delete that first: shuind certificate delete"
	case errors.Is(refused, signing.ErrRevoked):
		return "a revocation is for good: bring a certificate with a new key, below a CA that was not revoked"
	}
	root := chain[len(chain)-1]
	if root.CheckSignature(root.SignatureAlgorithm, root.RawTBSCertificate, root.Signature) != nil {
		return "add the certificates that are missing, up to the self-signed root: the last one here was issued by " + strings.TrimSpace(oneLine(root.Issuer.String()))
	}
	return "a certificate for code signing with a key on P-384, each certificate's issuer after it, the self-signed root last, all of them valid now, and the first one's private key are wanted"
}
