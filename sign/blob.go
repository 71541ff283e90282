package sign

import (
	"context"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

// SignBlob signs a blob: as [Signer.Sign] signs an artifact, but for the digest,
// which is in the hash of the key that signs (PAY-03;
// signing-and-verification-workflow.md, "Signing Blobs").
//
// describe reads the blob and gives its artifact for an algorithm: media type,
// size, and the digest by [envelope.Algorithm.Digest]. It is called once where a
// Key signs. An Enveloper tells its key by what it made: describe is first called
// for ES384, that of AWS Signer's platform, and again where another key signed.
func (s *Signer) SignBlob(ctx context.Context, describe func(envelope.Algorithm) (shuin.Artifact, error), o Options) (*Signed, error) {
	if err := s.checkInput(o); err != nil {
		return nil, invalid("check signing options", err)
	}
	algorithm := envelope.ES384
	if s.Key != nil {
		var err error
		if algorithm, err = s.Key.Algorithm(ctx); err != nil {
			return nil, failed("read signing key", shuin.CodeInvalidInput, err)
		}
	}
	for range 2 {
		a, err := describe(algorithm)
		if err != nil {
			return nil, err
		}
		signed, err := s.Sign(ctx, a, o)
		if err != nil {
			return nil, err
		}
		if signed.Algorithm.Digest() == algorithm.Digest() {
			return signed, nil
		}
		algorithm = signed.Algorithm
	}
	return nil, &shuin.Error{
		Code: shuin.CodePluginFailed, Message: "the signer signs with another key each time, so that no digest of the blob goes with it",
		Hint: "sign with one key, or ask who runs the signer",
	}
}
