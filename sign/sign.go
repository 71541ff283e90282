// Package sign makes signatures: artifact and key in, envelope out, and checks
// its own work before anything leaves. It stores nothing and asks no clock.
package sign

import (
	"context"
	"crypto/x509"

	"github.com/shuin/shuin/envelope"
)

// Key signs bytes and gives the chain. internal/keys/file and raw signing
// plugins satisfy it.
type Key interface {
	// Algorithm is the one the key signs with.
	Algorithm(ctx context.Context) (envelope.Algorithm, error)
	// Sign signs signed (not its digest) and returns the primitive signature
	// (ECDSA as r||s) and the chain, DER, leaf first.
	Sign(ctx context.Context, signed []byte) (signature []byte, chain [][]byte, err error)
}

// Enveloper returns a whole envelope: envelope plugins, AWS Signer, our signer.
type Enveloper interface {
	// Envelope signs payload (of content type shuin.MediaTypePayload) into an
	// envelope of mediaType.
	Envelope(ctx context.Context, req EnvelopeRequest) (EnvelopeResponse, error)
}

// BlobEnveloper is an Enveloper that tells its key beforehand: the digest of a
// blob is in the hash of the key (PAY-03, PLG-08).
type BlobEnveloper interface {
	Enveloper
	// Algorithm is the one the key signs with.
	Algorithm(ctx context.Context) (envelope.Algorithm, error)
}

// Timestamper gets an RFC 3161 countersignature. internal/timestamp satisfies it.
type Timestamper interface {
	// Timestamp returns a DER TimeStampToken over signature (the primitive
	// signature; hashed with a's hash), with certReq set. The token's own
	// signature and imprint are already checked; roots anchor its chain.
	Timestamp(ctx context.Context, signature []byte, a envelope.Algorithm) (token []byte, err error)
	// Roots are the certificates the token's chain must end in.
	Roots() []*x509.Certificate
}

// EnvelopeRequest is what an Enveloper is asked.
type EnvelopeRequest struct {
	MediaType     string
	Payload       []byte
	PayloadType   string
	ExpirySeconds int64 // 0: none
	SigningAgent  string
	PluginConfig  map[string]string
}

// EnvelopeResponse is its answer.
type EnvelopeResponse struct {
	MediaType   string
	Envelope    []byte
	Annotations map[string]string // for the signature manifest
}
