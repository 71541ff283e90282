package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

func newCertificateCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certificate",
		Short: "Bring signing certificates of your own; revoke one whose key is out of hand",
		Long: `Bring signing certificates of your own with their keys, list and delete them; revoke any certificate whose key is out of hand. All of it
works beside a running server.`,
	}
	cmd.AddCommand(newCertificateImportCmd(a), newCertificateListCmd(a), newCertificateDeleteCmd(a), newCertificateRevokeCmd(a))
	return cmd
}

type certificateRevokeOptions struct {
	configFlag
	file, reason string
}

func newCertificateRevokeCmd(a *app) *cobra.Command {
	var o certificateRevokeOptions
	cmd := &cobra.Command{
		Use:   "revoke --config FILE --reason TEXT (ARN | ID | --file CHAIN)",
		Short: "Have GetRevocationStatus report a certificate",
		Long: `Have GetRevocationStatus report a certificate, whatever signature it is in, for good. ARN is that of an imported
one (shuind certificate list). ID is the certificate's as that call names it: 192 hexadecimal digits. Or CHAIN is PEM, the certificate first and
its issuer second (a root alone): then the id is computed. It works beside a running server.

Nothing is signed any more with an imported certificate that is revoked, or is below a revoked CA: the command names those. An id names the
certificate and an edition of its issuer's; where it was imported with another edition, as a CA reissued its own certificate, its id there is
revoked too. One that was never imported is revoked with each edition apart.

It is for signatures of the kind aws, whose verifiers ask the server. CRLs do not change: of the kind standard a signature is taken back
with revoke-signature, and an issuing CA with revoke-signing-profile.

Example:
  shuind certificate revoke --config /etc/shuind/shuind.yaml --file leaf-and-issuer.pem --reason 'memory of the server was read'
  shuind certificate revoke --config /etc/shuind/shuind.yaml --reason 'the key was copied' arn:aws:acm:us-west-2:111122223333:certificate/0199aaaa-0000-7000-8000-000000000000
`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.certificateRevoke(cmd.Context(), &o, args) },
	}
	o.configFlag.add(cmd)
	cmd.Flags().StringVar(&o.file, "file", "", "the certificate and its issuer (PEM), instead of ARN or id")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why; it is logged")
	if err := cmd.MarkFlagRequired("reason"); err != nil {
		panic(err) // the flag was declared in the line above
	}
	return cmd
}

func (a *app) certificateRevoke(ctx context.Context, o *certificateRevokeOptions, args []string) error {
	c, err := o.load(a)
	if err != nil {
		return err
	}
	what, err := o.what(args)
	if err != nil {
		return err
	}
	return a.withService(ctx, c, func(service *signing.Service) error {
		revoked, err := service.RevokeCertificate(ctx, operator(), what, o.reason)
		if err != nil {
			return cause(err)
		}
		for _, id := range revoked.IDs {
			if err := a.printf("revoked %s", id); err != nil {
				return err
			}
		}
		for _, arn := range revoked.Certificates {
			if err := a.printf("nothing more is signed with %s", arn); err != nil {
				return err
			}
		}
		if len(revoked.Certificates) == 0 {
			return a.printf("no imported certificate is this one, or below it")
		}
		return nil
	})
}

// what is the ARN or the id that was given, or the id computed.
func (o *certificateRevokeOptions) what(args []string) (string, error) {
	switch {
	case (len(args) == 1) == (o.file != ""):
		return "", invalid("", "one of these is wanted: the certificate's ARN, its id, --file")
	case len(args) == 1:
		if _, err := awsprofile.ParseCertificate(args[0]); err != nil && !awsprofile.ValidCertificateID(args[0]) {
			return "", invalid("", "%.200q is no certificate id, which has 192 lower-case hexadecimal digits, nor the ARN of an imported certificate", args[0])
		}
		return args[0], nil
	}
	chain, err := readChain(o.file)
	if err != nil {
		return "", err
	}
	cert := chain[0]
	switch {
	case len(chain) > 1 && cert.CheckSignatureFrom(chain[1]) != nil:
		return "", invalid("", "%s: the second certificate did not issue the first", o.file)
	case len(chain) == 1 && cert.CheckSignatureFrom(cert) != nil:
		return "", invalid("add its issuer's certificate after it: the id names both", "%s has one certificate, and it is no root", o.file)
	}
	return awsprofile.CertificateIDs(chain)[0], nil
}
