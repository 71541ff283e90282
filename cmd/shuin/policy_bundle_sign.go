package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/sign"
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
	// AWS Signer's keys are of P-384; another signer of whole envelopes says
	// what its key is by the first signature it makes.
	hash := crypto.SHA384
	if signer.Key != nil {
		algorithm, err := signer.Key.Algorithm(ctx)
		if err != nil {
			return nil, &shuin.Error{Code: inputCode(err), Message: "read signing key", Err: err, Hint: shuin.HintOf(err)}
		}
		hash = algorithm.Hash()
	}
	signed, other, err := signBlob(ctx, signer, so, data, hash)
	if err == nil && other != hash && signer.Key == nil {
		a.debug().Info("The signer's key goes with another hash: signing once more")
		hash = other
		signed, other, err = signBlob(ctx, signer, so, data, hash)
	}
	switch {
	case err != nil:
		return nil, err
	case other != hash:
		return nil, &shuin.Error{Code: shuin.CodePluginFailed, Message: "the signer signs with another key each time, so that no digest goes with it"}
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

// signBlob signs, and says the hash that goes with the key that did.
func signBlob(ctx context.Context, signer *sign.Signer, so sign.Options, data []byte, hash crypto.Hash) (*sign.Signed, crypto.Hash, error) {
	artifact, err := bundle.Artifact(data, hash)
	if err != nil {
		return nil, 0, err
	}
	signed, err := signer.Sign(ctx, artifact, so)
	if err != nil {
		return nil, 0, err
	}
	e, err := envelope.Parse(signed.MediaType, signed.Envelope)
	if err != nil {
		return nil, 0, &shuin.Error{Code: shuin.CodeInternal, Message: "read the finished signature", Err: err}
	}
	return signed, e.Algorithm.Hash(), nil
}
