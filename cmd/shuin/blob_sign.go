package main

import (
	"context"
	"math"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

type blobSignOptions struct {
	signatureFlags
	debug     bool
	blob      string
	mediaType string
	directory string
	force     bool
}

func newBlobSignCmd(a *app) *cobra.Command {
	o := blobSignOptions{signatureFlags: signatureFlags{signerFlags: signerFlags{blobs: true}}}
	cmd := &cobra.Command{
		Use:   "sign [flags] <blob_path>",
		Short: "Produce a detached signature for a given blob",
		Long: a.help(`Sign a blob and write the signature to a file of its own: {blob file name}.{signature format}.sig, beside the blob
unless --signature-directory says otherwise.

Example - Sign a blob with the default key, as JWS:
  {} blob sign <blob_path>

Example - Sign with a key of the key list, as COSE, and put the signature elsewhere:
  {} blob sign --key <key_name> --signature-format cose --signature-directory <directory> <blob_path>

Example - Sign with a signing profile of AWS Signer, which is built in:
  {} blob sign --plugin com.amazonaws.signer.notation.plugin --id <signing_profile_ARN> <blob_path>

Example - Sign for 24 hours, with metadata, a media type and a timestamp:
  {} blob sign --expiry 24h --user-metadata <key>=<value> --media-type <media_type> --timestamp-url <TSA_url> --timestamp-root-cert <TSA_root_certificate_filepath> <blob_path>

Example - Sign again over the signature that is there:
  {} blob sign --force <blob_path>
`),
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return missingArgument(cmd, "file path to the blob artifact")
			case args[0] == "":
				return invalid("blob path cannot be empty")
			}
			o.blob = args[0]
			return nil
		},
		PreRunE: func(cmd *cobra.Command, _ []string) error { return o.prepare(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.signatureFlags.check(cmd.Flags()); err != nil {
				return err
			}
			return a.signBlob(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	o.signatureFlags.addMaking(a, cmd)
	fs.StringVar(&o.mediaType, "media-type", "application/octet-stream", "media type of the blob, which is signed with it")
	fs.StringVar(&o.directory, "signature-directory", "", "directory that the signature file is written to (default: the blob's)")
	fs.BoolVar(&o.force, "force", false, "write over an existing signature file without a question")
	return cmd
}

// prepare refuses flags that were given and are empty, which notation does
// before it looks at groups of flags, and finds the signature's directory.
func (o *blobSignOptions) prepare(fs *pflag.FlagSet) error {
	switch {
	case !fs.Changed("signature-directory"):
		o.directory = filepath.Dir(o.blob)
	case o.directory == "":
		return invalid("signature directory cannot be empty")
	}
	if fs.Changed("timestamp-url") && o.url == "" {
		return invalid("timestamping: tsa url cannot be empty")
	}
	if fs.Changed("timestamp-root-cert") && o.rootCert == "" {
		return invalid("timestamping: tsa root certificate path cannot be empty")
	}
	return nil
}

// signBlob reads all files and checks all flags before it uses the network.
func (a *app) signBlob(ctx context.Context, o *blobSignOptions) error {
	a.startDebug(o.debug)
	a.warnSettings() // the format's default is in them
	signer, so, err := a.signing(ctx, &o.signatureFlags)
	if err != nil {
		return err
	}
	if err := a.addTimestamper(ctx, signer, &o.timestampFlags); err != nil {
		return err
	}
	if o.mediaType == "" {
		return invalid("content media-type cannot be empty")
	}
	if err := checkMediaType(o.mediaType); err != nil {
		return err
	}
	blob, err := openBlob(ctx, o.blob)
	if err != nil {
		return err
	}
	defer blob.close()
	so.Time = a.now()
	signed, err := signer.SignBlob(ctx, func(algorithm envelope.Algorithm) (shuin.Artifact, error) {
		d, size, err := blob.digest(ctx, algorithm.Digest(), math.MaxInt64)
		if err != nil {
			return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err}
		}
		return shuin.NewArtifact(shuin.Reference{File: o.blob}, shuin.Descriptor{MediaType: o.mediaType, Digest: d, Size: size})
	}, so)
	if err != nil {
		return err
	}
	return a.storeBlobSignature(ctx, o, signed)
}
