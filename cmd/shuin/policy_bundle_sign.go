package main

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/envelope"
)

// bundleSignFlags say how a bundle is signed: as images are, but for what is
// about registries.
type bundleSignFlags struct {
	signatureFlags
	names []string
}

func (s *bundleSignFlags) add(a *app, cmd *cobra.Command) {
	fs := cmd.Flags()
	before := map[string]bool{}
	fs.VisitAll(func(f *pflag.Flag) { before[f.Name] = true })
	s.signerFlags.add(a, cmd)
	s.metadataFlags.add(fs, "{key}={value} pairs that are signed with the bundle")
	s.timestampFlags.add(a, fs)
	fs.DurationVarP(&s.expiry, "expiry", "e", 0, "how long the signature is good for, in hours, minutes and seconds: 720h; 0 for no end")
	cmd.MarkFlagsRequiredTogether("timestamp-url", "timestamp-root-cert")
	fs.VisitAll(func(f *pflag.Flag) {
		if !before[f.Name] {
			s.names = append(s.names, f.Name)
		}
	})
}

func (s *bundleSignFlags) each(f func(name string)) {
	for _, name := range s.names {
		f(name)
	}
}

// bundleSignature is a signature that was made of a bundle.
type bundleSignature struct {
	envelope []byte
	suffix   string
	signer   string // the subject of its certificate
}

// signBundle signs a bundle as a blob of the Notary Project: what is signed
// names the bundle by a digest in the hash of the signing key.
func (a *app) signBundle(ctx context.Context, s *bundleSignFlags, data []byte) (*bundleSignature, error) {
	if !s.chosen() {
		if err := a.checkDirs(); err != nil { // the default key is in it
			return nil, err
		}
	}
	signer, so, err := a.signing(ctx, &s.signatureFlags)
	if err != nil {
		return nil, err
	}
	if err := a.addTimestamper(ctx, signer, &s.timestampFlags); err != nil {
		return nil, err
	}
	if so.Expiry == 0 {
		a.warnf("the signature has no end: whoever can hold back newer bundles keeps this one in use for ever; see --expiry")
	}
	so.Time = a.now().Truncate(time.Second)
	signed, err := signer.SignBlob(ctx, func(algorithm envelope.Algorithm) (shuin.Artifact, error) {
		return bundle.Artifact(data, algorithm.Hash())
	}, so)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(signed.Chain[0])
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: "read the signing certificate", Err: err}
	}
	out := &bundleSignature{envelope: signed.Envelope, suffix: bundle.JWSSuffix, signer: leaf.Subject.String()}
	if signed.MediaType == shuin.MediaTypeCOSE {
		out.suffix = bundle.COSESuffix
	}
	return out, nil
}
