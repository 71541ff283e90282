package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/verify"
)

type policyBundleShowOptions struct {
	file, signature, trust string
	signer                 bundle.Signer
	revocation             revocationFlags
	output                 outputFlag
}

func newPolicyBundleShowCmd(a *app) *cobra.Command {
	var o policyBundleShowOptions
	cmd := &cobra.Command{
		Use:   "show [flags] <bundle_file>",
		Short: "Show what is in a policy bundle, and verify its signature",
		Long: a.help(`Show what is in a policy bundle: its digest and sequence, the policy and the certificates of its trust stores. With --signature it is
verified first, strictly, as a function or gate with the same signer would, and nothing is shown of a bundle whose signature is not good.
Without, nothing is said of who made it. Exit status: 0 shown, 1 it cannot be used or its signature is not good.

Example - Show it, and the policy alone:
  {} policy bundle show policy.json
  {} policy bundle show --output policy policy.json
`),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return invalid("expecting one bundle: use `" + cmd.CommandPath() + " --help` to see what parameters are required")
			}
			o.file = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return err
			}
			return a.policyBundleShow(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.signature, "signature", "", "the signature's file, whose name ends in .jws.sig or .cose.sig")
	fs.StringArrayVar(&o.signer.Identities, "identity", nil, "trusted identity that may have signed it, as in a trust policy; may be given several times")
	fs.StringVar(&o.signer.SigningProfile, "signing-profile", "", "ARN of the signing profile that may have signed it, in place of --identity")
	fs.StringArrayVar(&o.signer.TrustStores, "trust-store", nil, "trust store that the signer's certificate has to lead to: ca:policy; may be given several times")
	fs.StringVar(&o.trust, "trust", "", "notation configuration directory with that trust store (default: the one in use)")
	o.revocation.add(a, fs)
	o.output.add(fs, "text", "json", "policy")
	return cmd
}

func (o *policyBundleShowOptions) check(fs *pflag.FlagSet) error {
	for _, name := range []string{"identity", "signing-profile", "trust-store", "trust"} {
		if fs.Changed(name) && o.signature == "" {
			return invalidf("flag --%s says who may have signed: it goes with --signature", name)
		}
	}
	return firstError(refuseEmpty(fs), o.output.check())
}

func (a *app) policyBundleShow(ctx context.Context, o *policyBundleShowOptions) error {
	data, err := readFile(ctx, o.file, limits.BundleBytes, "BundleBytes")
	if err != nil {
		return &shuin.Error{Code: inputCode(err), Message: "read bundle", Err: err}
	}
	var signer *shownSigner
	if o.signature != "" {
		if signer, err = a.verifyBundle(ctx, o, data); err != nil {
			return err
		}
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return err
	}
	if o.output.value == "policy" {
		_, err := a.stdout.Write(b.PolicyText())
		return err
	}
	shown := shownBundle{b.Digest(), b.Sequence(), b.Policy().Digest(), []shownStore{}, signer}
	for _, name := range b.Stores() {
		store, err := b.Store(ctx, name)
		if err != nil {
			return err
		}
		s := shownStore{Name: name.String()}
		for _, c := range store.Certificates() {
			sum := sha256.Sum256(c.Raw)
			s.Certificates = append(s.Certificates, shownCertificate{c.Subject.String(), hex.EncodeToString(sum[:]), c.NotAfter.UTC()})
		}
		shown.TrustStores = append(shown.TrustStores, s)
	}
	if o.output.value == "json" {
		return writeJSON(a.stdout, shown)
	}
	return a.printBundle(&shown)
}

// verifyBundle verifies the signature beside a bundle.
func (a *app) verifyBundle(ctx context.Context, o *policyBundleShowOptions, data []byte) (*shownSigner, error) {
	statement, err := o.signer.Statement()
	if err != nil {
		return nil, err
	}
	mediaType := bundle.SignatureType(o.signature)
	if mediaType == "" {
		return nil, invalidf("the signature's name is %s; it ends in %s or %s", o.signature, bundle.JWSSuffix, bundle.COSESuffix)
	}
	env, err := readFile(ctx, o.signature, limits.BundleSignatureBytes, "BundleSignatureBytes")
	if err != nil {
		return nil, &shuin.Error{Code: inputCode(err), Message: "read signature", Err: err}
	}
	v := verify.Verifier{Stores: a.trustStores(), Revocation: a.revocationChecker(&o.revocation), SignerStatus: &awsclient.Status{Client: a.awsClient()}}
	if o.trust != "" {
		v.Stores = notationdir.New(o.trust, "", "")
	} else if err := a.checkDirs(); err != nil {
		return nil, err
	}
	signed, err := bundle.Verify(ctx, v, statement, data, bundle.Signature{MediaType: mediaType, Envelope: env}, a.now())
	if err != nil {
		return nil, err
	}
	return &shownSigner{signed.Identity, signed.TrustStore, signed.Ends.UTC()}, nil
}
