package main

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/verify"
)

type blobVerifyOptions struct {
	metadataFlags
	debug      bool
	blob       string
	signature  string
	mediaType  string
	policy     string
	output     outputFlag
	revocation revocationFlags
	installed  bool
}

func newBlobVerifyCmd(a *app) *cobra.Command {
	var o blobVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify [flags] --signature <signature_path> <blob_path>",
		Short: "Verify a signature associated with a blob",
		Long: a.help(`Verify the signature of a blob against the blob trust policy.

Before: add a certificate to a trust store ("{} cert add") and write a blob trust policy ("{} blob policy init").

Example - Verify by the global statement of the policy:
  {} blob verify --signature <signature_path> <blob_path>

Example - Verify by a statement that is named, and that metadata and media type were signed:
  {} blob verify --policy-name <policy_name> --user-metadata <key>=<value> --media-type <media_type> --signature <signature_path> <blob_path>

Example - Show every check as JSON:
  {} blob verify --output json --signature <signature_path> <blob_path>
`),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return missingArgument(cmd, "path to the blob artifact")
			}
			o.blob = args[0]
			return nil
		},
		PreRunE: func(cmd *cobra.Command, _ []string) error { return o.check(cmd.Flags()) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.verifyBlob(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	fs.StringVarP(&o.signature, "signature", "s", "", "file of the signature to verify")
	o.metadataFlags.add(fs, "user defined {key}={value} pairs that must be signed for the verification to succeed")
	fs.StringVar(&o.mediaType, "media-type", "", "media type that the blob must be signed with")
	fs.StringVar(&o.policy, "policy-name", "", "statement of the blob trust policy to verify by (default: the global one)")
	o.output.add(fs, "text", "json")
	o.revocation.add(a, fs)
	installedPluginFlag(fs, &o.installed)
	if err := cmd.MarkFlagRequired("signature"); err != nil {
		panic(err) // the flag is declared above
	}
	return cmd
}

// check is made before cobra looks for required flags, as in notation.
func (o *blobVerifyOptions) check(fs *pflag.FlagSet) error {
	if o.signature == "" {
		return invalid("filepath of the signature cannot be empty")
	}
	if fs.Changed("media-type") && o.mediaType == "" {
		return invalid("--media-type is set but with empty value")
	}
	return o.output.check()
}

// verifyBlob is the whole of the command.
func (a *app) verifyBlob(ctx context.Context, o *blobVerifyOptions) error {
	a.startDebug(o.debug)
	fail := func(err error) error {
		switch {
		case ctx.Err() != nil: // whatever it was that waited
			err = &shuin.Error{Code: shuin.CodeDeadline, Err: err}
		case shuin.CodeOf(err) == shuin.CodeInternal: // a file's or argument's fault
			err = &shuin.Error{Code: shuin.CodeInvalidInput, Err: err}
		}
		return a.reportUnresolved(o.output.value, o.blob, err)
	}
	if err := a.checkDirs(); err != nil {
		return fail(err)
	}
	blob, err := openBlob(ctx, o.blob)
	if err != nil {
		return fail(err)
	}
	defer blob.close()
	data, err := readFile(ctx, o.signature, limits.EnvelopeBytes, "EnvelopeBytes")
	if err != nil {
		return fail(err)
	}
	doc, err := a.dir().Policy(notationdir.BlobPolicy)
	if err != nil {
		return fail(err)
	}
	sig, bo, err := a.blobQuestion(o, data)
	if err != nil {
		return fail(err)
	}
	bo.Now = a.now()
	a.logBlobQuestion(&sig, doc, bo.Policy)
	report := a.newVerifier(&o.revocation, o.installed).VerifyBlob(ctx, shuin.Reference{File: o.blob}, blob.digest, sig, doc, bo)
	a.logReport(report, doc)
	return a.printBlobReport(o, report)
}

// blobQuestion is what is asked about the signature.
func (a *app) blobQuestion(o *blobVerifyOptions, data []byte) (sig shuin.Signature, bo verify.BlobOptions, err error) {
	bo.Policy, bo.MediaType = o.policy, o.mediaType
	if bo.Metadata, bo.PluginConfig, err = o.metadataFlags.parse(); err != nil {
		return sig, bo, err
	}
	if _, err := awsclient.SettingsOf(bo.PluginConfig); err != nil && !o.installed {
		return sig, bo, err
	}
	mediaType, err := a.signatureType(o.signature, data)
	if err != nil {
		return sig, bo, err
	}
	if len(data) == 0 {
		return sig, bo, invalid("signature verification failed: signature cannot be nil or empty")
	}
	if err := checkMediaType(o.mediaType); err != nil {
		return sig, bo, fmt.Errorf("signature verification failed: %w", err)
	}
	return shuin.Signature{
		Manifest:          shuin.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))},
		EnvelopeMediaType: mediaType, Envelope: data,
	}, bo, nil
}
