package sign

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/shuin/shuin"
)

// Signer makes one signature at a time. Exactly one of Key and Enveloper is
// set. A Signer is not changed by signing; it may be used concurrently when
// its parts may.
type Signer struct {
	// Key makes the primitive signature; the Signer builds the envelope.
	Key Key
	// Enveloper builds the whole envelope; the Signer checks it.
	Enveloper Enveloper
	// Timestamper, when set, countersigns (only with Key: an Enveloper does
	// its own). Any failure of it fails the signing (TSA-01).
	Timestamper Timestamper
	// TSARevocation, when set, is asked about the timestamp's chain (leaf
	// first, already anchored in Timestamper.Roots); an error fails the signing.
	TSARevocation func(ctx context.Context, chain []*x509.Certificate) error
	// Agent is the signing agent written into the envelope; it is never verified.
	Agent string
}

// Options are what differs from one signature to the next.
type Options struct {
	// MediaType is shuin.MediaTypeJWS or shuin.MediaTypeCOSE.
	MediaType string
	// Time is the signing time; it is cut to whole seconds. Required with a Key.
	Time time.Time
	// Expiry is how long the signature is good for, in whole seconds; 0: no end.
	Expiry time.Duration
	// Metadata becomes annotations of the signed descriptor. Keys starting
	// with shuin.ReservedAnnotationPrefix are refused (PAY-04), as are keys the
	// artifact's descriptor already has.
	Metadata map[string]string
	// PluginConfig is handed to the Enveloper.
	PluginConfig map[string]string
}

// Signed is a finished signature, ready to be stored beside its artifact.
type Signed struct {
	MediaType string
	Envelope  []byte
	Chain     [][]byte // DER, leaf first
	// Annotations belong on the signature manifest: the certificate
	// thumbprints, the creation time, and what an Enveloper added.
	Annotations map[string]string
}

// Sign signs a and checks what it made before it returns it: parsed again,
// compared field by field, value verified, certificate rules checked. The
// error is a [*shuin.Error]; after an error nothing may be stored.
func (s *Signer) Sign(ctx context.Context, a shuin.Artifact, o Options) (*Signed, error) {
	return nil, errors.ErrUnsupported
}
