package conformance

import (
	"crypto"
	"fmt"

	"github.com/shuin/shuin/envelope"
)

// newMemoryKey makes a sign.Key of a private key.
func newMemoryKey(private any, chain [][]byte) (memoryKey, error) {
	signer, ok := private.(crypto.Signer)
	if !ok {
		return memoryKey{}, fmt.Errorf("%T cannot sign", private)
	}
	alg, err := envelope.AlgorithmOf(signer.Public())
	if err != nil {
		return memoryKey{}, err
	}
	return memoryKey{algorithm: alg, chain: chain, sign: func(signed []byte) ([]byte, error) { return alg.Sign(signer, signed) }}, nil
}
