package signing

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

// checkSigned reads the finished envelope as a stranger would and compares it
// field by field with what was meant. The value of the signature is verified
// for the first signature of each key, then for one in a thousand, or always.
// Where each signature has a key of its own, the issuing CA stands for it.
func (s *Service) checkSigned(want envelope.Draft, m *made, signed []byte) error {
	got, err := envelope.Parse(shuin.MediaTypeJWS, m.envelope)
	if err != nil {
		return err
	}
	if field := difference(got, want, m.leaf.der, signed, m.signature); field != "" {
		return fmt.Errorf("the envelope came out with another %s than was meant", field)
	}
	n := m.leaf.made.Add(1) - 1
	if s.SelfCheck != SelfCheckAlways && n%limits.SelfCheckEvery != 0 {
		return nil
	}
	if err := got.VerifySignature(m.leaf.cert.PublicKey); err != nil {
		return errors.Join(errors.New("the key made a wrong signature"), err)
	}
	return nil
}

func difference(got *envelope.Envelope, want envelope.Draft, chain [][]byte, signed, signature []byte) string {
	switch {
	case got.MediaType != want.MediaType:
		return "media type"
	case got.Algorithm != want.Algorithm:
		return "algorithm"
	case got.ContentType != shuin.MediaTypePayload:
		return "content type"
	case !bytes.Equal(got.Payload, want.Payload):
		return "payload"
	case got.Scheme != want.Scheme:
		return "signing scheme"
	case !got.SigningTime.IsZero() || !got.AuthenticSigningTime.Equal(want.AuthenticSigningTime):
		return "signing time"
	case !got.Expiry.Equal(want.Expiry):
		return "expiry"
	case !slices.Equal(got.Extended, want.Extended): // both by name: a draft writes them so
		return "set of attributes"
	case !slices.EqualFunc(got.Chain, chain, bytes.Equal):
		return "certificate chain"
	case len(got.TimestampToken) != 0 || got.SigningAgent != "":
		return "unsigned header"
	case !bytes.Equal(got.Signature, signature):
		return "signature"
	case !bytes.Equal(got.SignedBytes(), signed):
		return "signed content"
	}
	return ""
}
