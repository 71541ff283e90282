package conformance

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/internal/timestamp"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/verify"
)

// A signed policy bundle is a signed blob of the Notary Project. This version
// of notation-go has no call for blobs; what it does for images is the same but
// for who makes the descriptor: "notation blob verify" makes it of the blob's
// bytes, in the hash of the key, and of the media type that is asked for.
func TestUpstreamVerifiesSignedBundles(t *testing.T) {
	const text = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules: [{name: a, match: {images: [\"shop.example/**\"]}, allow: {unsigned: true, because: \"a test\"}}]\ndefault: deny\n"
	data, err := bundle.Build(bundle.Content{Sequence: 7, Policy: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parties(t) {
		t.Run(p.name, func(t *testing.T) {
			envelope := p.signsBundle(t, data)
			h, err := shuintest.HashOf(p.chain.Leaf().PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name, mediaType string
				data            []byte
				hash            crypto.Hash
				good            bool
			}{
				{"the bundle", bundle.MediaType, data, h, true},
				{"another media type", "application/octet-stream", data, h, false},
				{"a byte more", bundle.MediaType, append(data[:len(data):len(data)], '\n'), h, false},
			} {
				theirs := p.theyVerifyBlob(t, c.data, c.mediaType, c.hash, envelope)
				if (theirs == nil) != c.good {
					t.Errorf("%s: upstream says %v", c.name, theirs)
				}
				if c.mediaType != bundle.MediaType {
					continue // it is always this one for us
				}
				if ours := p.weVerifyBundle(t, c.data, envelope); (ours == nil) != c.good {
					t.Errorf("%s: Shuin says %v", c.name, ours)
				}
			}
		})
	}
}

func (p party) signsBundle(t *testing.T, data []byte) []byte {
	t.Helper()
	key, err := newMemoryKey(p.chain.Key(), p.chain.DER)
	if err != nil {
		t.Fatal(err)
	}
	s := &sign.Signer{Key: key, Agent: "bundles"}
	if p.tsaURL != "" {
		s.Timestamper = &timestamp.Client{URL: p.tsaURL, RootCerts: []*x509.Certificate{p.tsa.Root()}}
	}
	a, err := bundle.Artifact(data, key.algorithm.Hash())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(t.Context(), a, sign.Options{MediaType: p.media, Time: time.Now(), Expiry: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return signed.Envelope
}

func (p party) theyVerifyBlob(t *testing.T, data []byte, mediaType string, h crypto.Hash, envelope []byte) error {
	t.Helper()
	v, err := newUpstream(p.documents)
	if err != nil {
		t.Fatal(err)
	}
	sum := h.New()
	sum.Write(data)
	desc := ocispec.Descriptor{MediaType: mediaType, Size: int64(len(data)),
		Digest: digest.NewDigestFromEncoded(digest.Algorithm(strings.ToLower(strings.ReplaceAll(h.String(), "-", ""))), fmt.Sprintf("%x", sum.Sum(nil)))}
	_, err = v.Verify(t.Context(), desc, envelope, notation.VerifierVerifyOptions{
		ArtifactReference: "registry.example/policy@" + desc.Digest.String(), SignatureMediaType: p.media})
	return err
}

func (p party) weVerifyBundle(t *testing.T, data, envelope []byte) error {
	t.Helper()
	stores, err := newStores(p.documents.TrustStores)
	if err != nil {
		t.Fatal(err)
	}
	signer := bundle.Signer{Identities: []string{"x509.subject:C=JP,ST=Tokyo,O=Example"}, TrustStores: []string{"ca:a"}}
	if p.tsaURL != "" {
		signer.TrustStores = append(signer.TrustStores, "tsa:t")
	}
	statement, err := signer.Statement()
	if err != nil {
		t.Fatal(err)
	}
	_, err = bundle.Verify(t.Context(), verify.Verifier{Stores: stores}, statement, data, bundle.Signature{MediaType: p.media, Envelope: envelope}, time.Now())
	return err
}
