package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awsclient"
)

type signerProfilePutOptions struct {
	signerAPIFlags
	name       string
	platform   string
	validity   string
	parameters []string
	tags       []string
	material   string
}

func newSignerProfilePutCmd(a *app) *cobra.Command {
	var o signerProfilePutOptions
	cmd := &cobra.Command{
		Use:   "put [flags] <profile_name>",
		Short: "Make a signing profile, in the account of the credentials",
		Long: a.help(`Make a signing profile, in the account of the credentials.

Example - Make a profile whose signatures are good for a year:
  {} signer profile put --validity 12months build

Example - Make a profile on a signer of your own whose signatures plain notation verifies:
  {} signer profile put --endpoint-url https://signer.example.com --region us-west-2 --parameter profileKind=standard build

Example - Make a profile on a signer of your own that signs with a certificate and key which were imported there:
  {} signer profile put --endpoint-url https://signer.example.com --region us-west-2 --signing-material arn:aws:acm:us-west-2:111122223333:certificate/0199aaaa-0000-7000-8000-000000000000 build
`),
		Args: oneArg("one profile name", &o.name),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.signerProfilePut(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.StringVar(&o.platform, "platform-id", awsprofile.PlatformID, "signing platform")
	fs.StringVar(&o.validity, "validity", "", "how long signatures are good: a number and days, months or years, as in 12months (default: the signer's, 135 months)")
	fs.StringArrayVar(&o.parameters, "parameter", nil, "{key}={value} pairs of signing parameters")
	fs.StringVar(&o.material, "signing-material", "", "ARN of the certificate to sign with (certificateArn), where the signer has it with its key")
	fs.StringArrayVar(&o.tags, "tag", nil, "{key}={value} pairs to tag the profile with")
	return cmd
}

func (a *app) signerProfilePut(ctx context.Context, o *signerProfilePutOptions) error {
	if !awsprofile.ValidName(o.name) {
		if _, err := awsprofile.ParseProfile(o.name); err == nil {
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "a profile is made by its name, in the account of the credentials: an ARN cannot be chosen",
				Hint: "give the last part of the ARN, and --region"}
		}
		return invalidf("%q is no profile name: 2 to 64 letters, digits and underscores", o.name)
	}
	n := awsclient.NewProfile{Name: o.name, PlatformID: o.platform}
	var err error
	if n.Parameters, err = parsePairs("parameter", o.parameters); err != nil {
		return err
	}
	if n.Tags, err = parsePairs("tag", o.tags); err != nil {
		return err
	}
	if n.Validity, err = parseValidity(o.validity); err != nil {
		return err
	}
	if o.material != "" {
		arn := strings.TrimPrefix(o.material, "certificateArn=") // as the AWS CLI writes it
		if _, err := awsprofile.ParseCertificate(arn); err != nil {
			return invalidf("signing material: %v", err)
		}
		n.Material = &awsclient.SigningMaterial{CertificateARN: arn}
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	p, err := admin.PutProfile(ctx, n)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, p)
	}
	return a.details([2]string{"ARN", p.ARN}, [2]string{"Version", p.Version}, [2]string{"Version ARN", p.VersionARN})
}

// parseValidity reads a number and a unit; nil for the empty text.
func parseValidity(s string) (*awsclient.Validity, error) {
	if s == "" {
		return nil, nil
	}
	digits := strings.TrimRight(strings.TrimSpace(s), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToUpper(strings.TrimSpace(strings.TrimSpace(s)[len(digits):]))
	if !strings.HasSuffix(unit, "S") {
		unit += "S"
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > 1_000_000 || !slices.Contains([]string{"DAYS", "MONTHS", "YEARS"}, unit) {
		return nil, invalidf("validity %q is not a number and days, months or years, as in 12months", s)
	}
	return &awsclient.Validity{Value: n, Type: unit}, nil
}
