package sign

import (
	"context"
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

// SignBlob signs a blob: as [Signer.Sign] signs an artifact, but for the digest,
// which is in the hash of the key that signs (PAY-03;
// signing-and-verification-workflow.md, "Signing Blobs").
//
// describe reads the blob and gives its artifact for an algorithm: media type,
// size, and the digest by [envelope.Algorithm.Digest]. It is called once where a
// Key or a [BlobEnveloper] signs. Another Enveloper tells its key by what it
// made: describe is first called for ES384, that of AWS Signer's platform, and
// again where another key signed.
func (s *Signer) SignBlob(ctx context.Context, describe func(envelope.Algorithm) (shuin.Artifact, error), o Options) (*Signed, error) {
	if err := s.checkInput(o); err != nil {
		return nil, invalid("check signing options", err)
	}
	algorithm, known, err := s.algorithm(ctx)
	if err != nil {
		return nil, failed("read signing key", shuin.CodeInvalidInput, err)
	}
	for tries := 2; tries > 0; tries-- {
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
		if known {
			return nil, refused(fmt.Errorf("it is signed with %s, the key was said to be one of %s", signed.Algorithm, algorithm))
		}
		algorithm = signed.Algorithm
	}
	return nil, &shuin.Error{
		Code: shuin.CodePluginFailed, Message: "the signer signs with another key each time, so that no digest of the blob goes with it",
		Hint: "sign with one key, or ask who runs the signer",
	}
}

// algorithm is the signing key's; where nobody knows it yet, the likeliest.
func (s *Signer) algorithm(ctx context.Context) (a envelope.Algorithm, known bool, err error) {
	if s.Key != nil {
		a, err = s.Key.Algorithm(ctx)
		return a, true, err
	}
	if e, ok := s.Enveloper.(BlobEnveloper); ok {
		a, err = e.Algorithm(ctx)
		return a, true, err
	}
	return envelope.ES384, false, nil
}
