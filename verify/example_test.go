package verify_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// One trust store, one signature, both in memory. A real program has its
// stores from a configuration directory and its signatures from a registry.
func ExampleVerifier_Verify() {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	artifact, err := shuin.NewArtifact(shuin.Reference{Registry: "registry.example", Repository: "app"}, shuin.Descriptor{
		MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("image"), Size: 5,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := trust.NewStore(trust.StoreName{Type: trust.CA, Name: "acme"}, []*x509.Certificate{chain.Root()}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	doc, err := policy.ParseOCI([]byte(`{"version": "1.0", "trustPolicies": [{
		"name": "production",
		"registryScopes": ["registry.example/app"],
		"signatureVerification": {"level": "strict"},
		"trustStores": ["ca:acme"],
		"trustedIdentities": ["x509.subject: C=JP, ST=Tokyo, O=Example"]
	}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	found := oneSignature{shuin.Signature{
		EnvelopeMediaType: shuin.MediaTypeJWS,
		Envelope: shuintest.MustEnvelope(shuintest.EnvelopeOptions{
			Chain: chain, Payload: payloadOf(artifact, map[string]string{"stage": "build"}),
		}),
	}}

	v := &verify.Verifier{Stores: oneStore{store}, Chains: verify.NewChainCache(0)}
	report := v.Verify(context.Background(), artifact, found, doc, verify.Options{Now: time.Now()})
	fmt.Println(report.Result, "by", report.Accepted().Signer.Subject)
	fmt.Println("stage", report.Accepted().Metadata["stage"])

	report = v.Verify(context.Background(), artifact, found, doc, verify.Options{
		Now: time.Now(), Metadata: map[string]string{"stage": "scan"},
	})
	fmt.Println(report.Result, "for", shuin.CodeOf(report.Err))
	// Output:
	// verified by CN=signer,O=Example,ST=Tokyo,C=JP
	// stage build
	// not-verified for metadata-mismatch
}

// oneSignature is a registry that holds one signature.
type oneSignature struct{ signature shuin.Signature }

func (o oneSignature) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	return []shuin.Signature{o.signature}, false, nil
}
