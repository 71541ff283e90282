package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

// inspection is what inspect shows of one signature: claims of the envelope,
// none of them verified.
type inspection struct {
	digest    string // of the signature's manifest; empty: a blob's, which has none
	mediaType string
	env       *envelope.Envelope
	artifact  shuin.Descriptor
	chain     []*x509.Certificate
	timestamp *inspectedTimestamp // nil: none
}

// inspectedTimestamp is a timestamp token as far as it could be read.
type inspectedTimestamp struct {
	from, to time.Time // time minus and plus accuracy
	chain    []*x509.Certificate
	err      error
}

// inspectSignature reads a fetched signature. It checks form, not trust.
func inspectSignature(sig shuin.Signature) (*inspection, error) {
	env, err := envelope.Parse(sig.EnvelopeMediaType, sig.Envelope)
	if err != nil {
		return nil, err
	}
	return inspectEnvelope(env, sig)
}

func inspectEnvelope(env *envelope.Envelope, sig shuin.Signature) (*inspection, error) {
	if env.ContentType != shuin.MediaTypePayload {
		return nil, fmt.Errorf("payload content type %q not supported", env.ContentType)
	}
	payload, err := envelope.ParsePayload(env.Payload)
	if err != nil {
		return nil, err
	}
	chain, err := envelope.ParseChain(env.Chain)
	if err != nil {
		return nil, err
	}
	return &inspection{
		digest:    sig.Manifest.Digest.String(),
		mediaType: sig.EnvelopeMediaType,
		env:       env,
		artifact:  payload.TargetArtifact,
		chain:     chain,
		timestamp: inspectTimestamp(env),
	}, nil
}

// signingTime is the signer's claim, or the signing authority's.
func (i *inspection) signingTime() time.Time {
	if i.env.Scheme == envelope.SchemeSigningAuthority {
		return i.env.AuthenticSigningTime.UTC()
	}
	return i.env.SigningTime.UTC()
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
