package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/sign"
)

type signOptions struct {
	registryFlags
	metadataFlags
	signerFlags
	timestampFlags
	debug             bool
	reference         string
	expiry            time.Duration
	forceReferrersTag bool
	layout            bool
}

func newSignCmd(a *app) *cobra.Command {
	var o signOptions
	cmd := &cobra.Command{
		Use:   "sign [flags] <reference>",
		Short: "Sign artifacts",
		Long: a.help(`Sign an artifact and store the signature beside it.

The key is the default one, one of the key list (--key), a plugin's (--plugin and --id), or AWS Signer's (--profile).

Example - Sign an artifact with the default key:
  {} sign <registry>/<repository>@<digest>

Example - Sign with a key of the key list, as COSE:
  {} sign --key <key_name> --signature-format cose <registry>/<repository>@<digest>

Example - Sign with a key that a plugin holds:
  {} sign --plugin <plugin_name> --id <remote_key_id> <registry>/<repository>@<digest>

Example - Sign with a signing profile of AWS Signer, which is built in:
  {} sign --plugin com.amazonaws.signer.notation.plugin --id <signing_profile_ARN> <registry>/<repository>@<digest>
  {} sign --profile <signing_profile_ARN> <registry>/<repository>@<digest>

Example - Sign an artifact named by a tag, which is resolved to a digest:
  {} sign <registry>/<repository>:<tag>

Example - Sign for 24 hours, with a timestamp:
  {} sign --expiry 24h --timestamp-url <TSA_url> --timestamp-root-cert <TSA_root_certificate_filepath> <registry>/<repository>@<digest>
`),
		Args:    a.oneReference(&o.reference),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkExperimental(cmd, "oci-layout") },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.timestampFlags.check(cmd.Flags()); err != nil {
				return err
			}
			if err := o.signerFlags.check(cmd.Flags()); err != nil {
				return err
			}
			return a.sign(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	o.signerFlags.add(a, cmd)
	o.registryFlags.add(a, fs)
	o.metadataFlags.add(fs, "{key}={value} pairs that are signed with the artifact")
	o.timestampFlags.add(a, fs)
	fs.DurationVarP(&o.expiry, "expiry", "e", 0, "how long the signature is good for, in hours, minutes and seconds: 12h, 30m, 3h20m; 0 for no end")
	fs.BoolVar(&o.forceReferrersTag, "force-referrers-tag", false, "store the signature with the referrers tag schema even where the registry has the referrers API")
	fs.BoolVar(&o.layout, "oci-layout", false, a.experimental("sign an artifact stored as an OCI image layout"))
	cmd.MarkFlagsMutuallyExclusive("oci-layout", "force-referrers-tag")
	cmd.MarkFlagsRequiredTogether("timestamp-url", "timestamp-root-cert")
	a.hideExperimental(cmd, "oci-layout")
	return cmd
}

// sign reads all files and checks all flags before it uses the network.
func (a *app) sign(ctx context.Context, o *signOptions) error {
	a.startDebug(o.debug)
	so, err := o.signing()
	if err != nil {
		return err
	}
	signer, config, err := a.newSigner(ctx, &o.signerFlags, so.PluginConfig)
	if err != nil {
		return err
	}
	so.PluginConfig = config
	ref, err := parseReference(o.reference, o.layout)
	if err != nil {
		return err
	}
	repo, err := a.openTarget(ref, &o.registryFlags, &pushing{forceReferrersTag: o.forceReferrersTag})
	if err != nil {
		return err
	}
	if err := a.addTimestamper(ctx, signer, &o.timestampFlags); err != nil {
		return err
	}
	artifact, err := repo.Resolve(ctx, ref)
	if err != nil {
		return resolveError(err)
	}
	a.logResolved(artifact)
	a.warnTag("sign", ref)
	so.Time = a.now()
	signed, err := signer.Sign(ctx, artifact, so)
	if err != nil {
		return err
	}
	stored, err := repo.PushSignature(ctx, artifact, signed.MediaType, signed.Envelope, signed.Annotations)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully signed %s\nPushed the signature to %s@%s\n", artifact, artifact.Name(), stored.Digest)
	return err
}

// signing is what the flags say of the signature.
func (o *signOptions) signing() (sign.Options, error) {
	mediaType, err := envelopeMediaType(o.signerFlags.format)
	if err != nil {
		return sign.Options{}, err
	}
	metadata, config, err := o.metadataFlags.parse()
	if err != nil {
		return sign.Options{}, err
	}
	if o.expiry < 0 {
		return sign.Options{}, invalid("expiry duration cannot be a negative value")
	}
	if o.expiry%time.Second != 0 {
		return sign.Options{}, invalid("expiry duration supports minimum granularity of seconds")
	}
	return sign.Options{MediaType: mediaType, Expiry: o.expiry, Metadata: metadata, PluginConfig: config}, nil
}

// envelopeMediaType reads --signature-format.
func envelopeMediaType(format string) (string, error) {
	switch format {
	case "jws":
		return shuin.MediaTypeJWS, nil
	case "cose":
		return shuin.MediaTypeCOSE, nil
	}
	return "", invalidf("signature format %q not supported\nSupported signature envelope formats are \"jws\" and \"cose\"", format)
}
