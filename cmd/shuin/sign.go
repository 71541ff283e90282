package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/sign"
)

type signOptions struct {
	registryFlags
	signatureFlags
	pin       pinFlags
	debug     bool
	reference string
	layout    bool
}

// signatureFlags say how a signature is made and stored, whoever asks for it.
type signatureFlags struct {
	signerFlags
	metadataFlags
	timestampFlags
	expiry            time.Duration
	forceReferrersTag bool
}

// add declares all of them, for signatures that a registry stores.
func (s *signatureFlags) add(a *app, cmd *cobra.Command) {
	s.addMaking(a, cmd)
	cmd.Flags().BoolVar(&s.forceReferrersTag, "force-referrers-tag", false, "store the signature with the referrers tag schema even where the registry has the referrers API")
}

// addMaking declares those that say how a signature is made.
func (s *signatureFlags) addMaking(a *app, cmd *cobra.Command) {
	fs := cmd.Flags()
	s.signerFlags.add(a, cmd)
	s.metadataFlags.add(fs, "{key}={value} pairs that are signed with the artifact")
	s.timestampFlags.add(a, fs)
	fs.DurationVarP(&s.expiry, "expiry", "e", 0, "how long the signature is good for, in hours, minutes and seconds: 12h, 30m, 3h20m; 0 for no end")
	cmd.MarkFlagsRequiredTogether("timestamp-url", "timestamp-root-cert")
}

// check refuses flags that were given and are empty.
func (s *signatureFlags) check(fs *pflag.FlagSet) error {
	if err := s.timestampFlags.check(fs); err != nil {
		return err
	}
	return s.signerFlags.check(fs)
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
` + a.own(`
Example - Sign what a build tool pushed, and keep its pinned reference:
  docker buildx build --push --metadata-file build.json -t <registry>/<repository>:<tag> .
  IMAGE=$({} sign --print-digest --metadata-file build.json <registry>/<repository>)
`)),
		Args: a.oneReference(&o.reference),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkExperimental(cmd, "oci-layout"); err != nil {
				return err
			}
			return o.pin.check(a, cmd.Flags())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.signatureFlags.check(cmd.Flags()); err != nil {
				return err
			}
			return a.sign(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	o.registryFlags.add(a, fs)
	o.signatureFlags.add(a, cmd)
	o.pin.add(a, cmd, true)
	fs.BoolVar(&o.layout, "oci-layout", false, a.experimental("sign an artifact stored as an OCI image layout"))
	cmd.MarkFlagsMutuallyExclusive("oci-layout", "force-referrers-tag")
	a.hideExperimental(cmd, "oci-layout")
	return cmd
}

// sign reads all files and checks all flags before it uses the network.
func (a *app) sign(ctx context.Context, o *signOptions) error {
	a.startDebug(o.debug)
	pinned := a.onlyPinned(&o.pin)
	signer, so, err := a.signing(ctx, &o.signatureFlags)
	if err != nil {
		return err
	}
	ref, err := o.pin.reference(ctx, o.reference, o.layout)
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
		return o.pin.unresolved(err)
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
	if _, err := fmt.Fprintf(a.stdout, "Successfully signed %s\nPushed the signature to %s@%s\n", artifact, artifact.Name(), stored.Digest); err != nil {
		return err
	}
	return pinned.print(artifact.String(), "signed")
}

// signing is the signer that the flags choose, without a timestamper, and what
// they say of its signatures. Nothing is sent.
func (a *app) signing(ctx context.Context, s *signatureFlags) (*sign.Signer, sign.Options, error) {
	so, err := s.options()
	if err != nil {
		return nil, so, err
	}
	signer, config, err := a.newSigner(ctx, &s.signerFlags, so.PluginConfig)
	so.PluginConfig = config
	return signer, so, err
}

// options is what the flags say of the signature.
func (s *signatureFlags) options() (sign.Options, error) {
	mediaType, err := envelopeMediaType(s.signerFlags.format)
	if err != nil {
		return sign.Options{}, err
	}
	metadata, config, err := s.metadataFlags.parse()
	if err != nil {
		return sign.Options{}, err
	}
	if s.expiry < 0 {
		return sign.Options{}, invalid("expiry duration cannot be a negative value")
	}
	if s.expiry%time.Second != 0 {
		return sign.Options{}, invalid("expiry duration supports minimum granularity of seconds")
	}
	return sign.Options{MediaType: mediaType, Expiry: s.expiry, Metadata: metadata, PluginConfig: config}, nil
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
