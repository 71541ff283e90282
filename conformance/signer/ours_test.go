package signer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

type ourStores map[string]*trust.Store

func (s ourStores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	if st, ok := s[name.String()]; ok {
		return st, nil
	}
	return nil, fmt.Errorf("no store %s", name)
}

// oneOfOurs is the same repository for Shuin.
type oneOfOurs struct{ envelope []byte }

func (o oneOfOurs) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	return []shuin.Signature{{
		Manifest:          shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("signature"), Size: 9},
		EnvelopeMediaType: shuin.MediaTypeJWS, Envelope: o.envelope,
	}}, false, nil
}

// weVerify is Shuin's answer about one signature. No plugin is installed; AWS
// Signer's rules are built in, and its status is asked at the world's address.
func (w *world) weVerify(t *testing.T, p policyCase, envelope []byte, revocation verify.RevocationChecker) *shuin.Report {
	t.Helper()
	return weVerify(t, w.artifact, p, envelope, revocation, &awsclient.Status{Client: &awsclient.Client{Caller: &awscall.Caller{Now: time.Now}}}, w.url)
}

func weVerify(t *testing.T, image ocispec.Descriptor, p policyCase, envelope []byte, revocation verify.RevocationChecker, status verify.SignerStatus, endpoint string) *shuin.Report {
	t.Helper()
	doc, err := policy.ParseOCI(p.document(t))
	if err != nil {
		t.Fatal(err)
	}
	stores := ourStores{}
	for text, certs := range p.Roots {
		name, err := trust.ParseStoreName(text)
		if err != nil {
			t.Fatal(err)
		}
		if stores[text], err = trust.NewStore(name, certs, nil); err != nil {
			t.Fatal(err)
		}
	}
	v := &verify.Verifier{Stores: stores, Revocation: revocation, SignerStatus: status}
	return v.Verify(t.Context(), shuinArtifact(t, image), oneOfOurs{envelope}, doc, verify.Options{
		Now: time.Now(), PluginConfig: map[string]string{awsclient.ConfigEndpoint: endpoint},
	})
}

func shuinArtifact(t *testing.T, image ocispec.Descriptor) shuin.Artifact {
	t.Helper()
	ref, err := shuin.ParseReference(repository + "@" + image.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := shuin.NewArtifact(ref, shuin.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
