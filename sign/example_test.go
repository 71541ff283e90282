package sign_test

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
)

// memoryKey is a key held in memory.
type memoryKey struct{ chain *shuintest.Chain }

func (k memoryKey) Algorithm(context.Context) (envelope.Algorithm, error) {
	return envelope.AlgorithmOf(k.chain.Leaf().PublicKey)
}

func (k memoryKey) Sign(ctx context.Context, signed []byte) ([]byte, [][]byte, error) {
	a, err := k.Algorithm(ctx)
	if err != nil {
		return nil, nil, err
	}
	signature, err := a.Sign(k.chain.Key(), signed)
	return signature, k.chain.DER, err
}

func ExampleSigner_Sign() {
	artifact, err := shuin.NewArtifact(shuin.Reference{Registry: "registry.example", Repository: "app"}, shuin.Descriptor{
		MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("image"), Size: 5,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	signer := &sign.Signer{Key: memoryKey{shuintest.MustChain(shuintest.ChainOptions{})}, Agent: "example/1.0"}
	signed, err := signer.Sign(context.Background(), artifact, sign.Options{
		MediaType: shuin.MediaTypeJWS,
		Time:      time.Now(),
		Expiry:    24 * time.Hour,
		Metadata:  map[string]string{"stage": "build"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signed.MediaType, "with", len(signed.Chain), "certificates and", len(signed.Annotations), "annotations")

	_, err = signer.Sign(context.Background(), artifact, sign.Options{
		MediaType: shuin.MediaTypeJWS, Time: time.Now(),
		Metadata: map[string]string{"io.cncf.notary.mine": "no"},
	})
	fmt.Println(err)
	// Output:
	// application/jose+json with 3 certificates and 2 annotations
	// add user metadata: metadata key io.cncf.notary.mine has reserved prefix io.cncf.notary
}
