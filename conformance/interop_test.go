package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	upstreamregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/tspclient-go"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/internal/timestamp"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/verify"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
)

// place is where signatures are kept: a registry or an OCI layout, reached by
// each side's own code.
type place struct {
	// image stores a new image under a name and a tag of its own.
	image func(t *testing.T, name string) ocispec.Descriptor
	// theirs is upstream's repository of that name, ours Shuin's.
	theirs func(t *testing.T, name string) upstreamregistry.Repository
	ours   func(t *testing.T, name string) (shuinRepository, shuin.Reference)
}

type shuinRepository interface {
	Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error)
	Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error)
	PushSignature(ctx context.Context, a shuin.Artifact, mediaType string, envelope []byte, annotations map[string]string) (shuin.Descriptor, error)
}

// imageOf is a small image of that name: config and manifest.
func imageOf(t *testing.T, name string) (config, manifest []byte) {
	t.Helper()
	config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"name":%q}}}`, name)
	manifest, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))}, Layers: []ocispec.Descriptor{}})
	if err != nil {
		t.Fatal(err)
	}
	return config, manifest
}

func described(manifest []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
}

func registryPlace(t *testing.T, options devregistry.Options) place {
	reg, err := devregistry.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(reg)
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	client := &registry.Client{PlainHTTP: func(string) bool { return true }}
	return place{
		image: func(t *testing.T, name string) ocispec.Descriptor {
			config, manifest := imageOf(t, name)
			if _, err := reg.PutBlob(name, config); err != nil {
				t.Fatal(err)
			}
			if _, err := reg.PutManifest(name, ocispec.MediaTypeImageManifest, manifest, "v1"); err != nil {
				t.Fatal(err)
			}
			return described(manifest)
		},
		theirs: func(t *testing.T, name string) upstreamregistry.Repository {
			repo, err := remote.NewRepository(host + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			repo.PlainHTTP = true
			return upstreamregistry.NewRepository(repo)
		},
		ours: func(t *testing.T, name string) (shuinRepository, shuin.Reference) {
			ref, err := shuin.ParseReference(host + "/" + name + ":v1")
			if err != nil {
				t.Fatal(err)
			}
			repo, err := client.Repository(ref)
			if err != nil {
				t.Fatal(err)
			}
			return repo, ref
		},
	}
}

func layoutPlace(t *testing.T) place {
	root := t.TempDir()
	return place{
		image: func(t *testing.T, name string) ocispec.Descriptor {
			store, err := oci.New(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			config, manifest := imageOf(t, name)
			for _, c := range []struct {
				desc    ocispec.Descriptor
				content []byte
			}{
				{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))}, config},
				{described(manifest), manifest},
			} {
				if err := store.Push(t.Context(), c.desc, bytes.NewReader(c.content)); err != nil {
					t.Fatal(err)
				}
			}
			if err := store.Tag(t.Context(), described(manifest), "v1"); err != nil {
				t.Fatal(err)
			}
			return described(manifest)
		},
		theirs: func(t *testing.T, name string) upstreamregistry.Repository {
			repo, err := upstreamregistry.NewOCIRepository(filepath.Join(root, name), upstreamregistry.RepositoryOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return repo
		},
		ours: func(t *testing.T, name string) (shuinRepository, shuin.Reference) {
			layout, err := registry.OpenLayout(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = layout.Close() })
			ref, err := shuin.ParseLayoutReference(filepath.Join(root, name) + ":v1")
			if err != nil {
				t.Fatal(err)
			}
			return layout, ref
		},
	}
}

// party is one combination of key, envelope and timestamp, with all both sides
// need to sign and verify.
type party struct {
	name      string
	media     string
	chain     *shuintest.Chain
	tsa       *shuintest.Chain
	tsaURL    string // empty: no timestamp
	documents envelopeCase
}

func parties(t *testing.T) []party {
	tsa := shuintest.MustChain(shuintest.ChainOptions{Timestamping: true, Family: 7, CA: "TSA"})
	server := httptest.NewServer(&shuintest.TSA{Chain: tsa})
	t.Cleanup(server.Close)
	var out []party
	for i, key := range shuintest.KeyTypes {
		chain := shuintest.MustChain(shuintest.ChainOptions{Key: key, Family: i})
		for format, media := range map[string]string{"jws": shuin.MediaTypeJWS, "cose": shuin.MediaTypeCOSE} {
			for _, stamped := range []bool{false, true} {
				p := party{name: strings.ToLower(fmt.Sprintf("%s-%s", format, key)), media: media, chain: chain, tsa: tsa}
				p.name = strings.Map(func(r rune) rune {
					if r == '-' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
						return r
					}
					return -1
				}, p.name)
				stores := `["ca:a"]`
				p.documents.TrustStores = map[string][][]byte{"ca:a": {chain.Root().Raw}}
				if stamped {
					p.name += "-timestamp"
					p.tsaURL = server.URL
					stores = `["ca:a","tsa:t"]`
					p.documents.TrustStores["tsa:t"] = [][]byte{tsa.Root().Raw}
				}
				p.documents.TrustPolicy = fmt.Appendf(nil, `{"version":"1.0","trustPolicies":[{"name":"a","registryScopes":["*"],
					"signatureVerification":{"level":"strict"},"trustStores":%s,"trustedIdentities":["x509.subject:C=JP,ST=Tokyo,O=Example"]}]}`, stores)
				out = append(out, p)
			}
		}
	}
	return out
}

// scopeName is the repository that trust policies are asked for.
const scopeName = "registry.example/interop"

func (p party) theySign(t *testing.T, repo upstreamregistry.Repository, d ocispec.Descriptor) {
	t.Helper()
	s, err := signer.NewGenericSigner(p.chain.Key().(crypto.PrivateKey), p.chain.Certs)
	if err != nil {
		t.Fatal(err)
	}
	o := notation.SignerSignOptions{SignatureMediaType: p.media}
	if p.tsaURL != "" {
		if o.Timestamper, err = tspclient.NewHTTPTimestamper(nil, p.tsaURL); err != nil {
			t.Fatal(err)
		}
		o.TSARootCAs = x509.NewCertPool()
		o.TSARootCAs.AddCert(p.tsa.Root())
	}
	if _, err := notation.Sign(t.Context(), s, repo, notation.SignOptions{SignerSignOptions: o,
		ArtifactReference: scopeName + "@" + d.Digest.String(), UserMetadata: map[string]string{"io.example.by": "them"}}); err != nil {
		t.Fatalf("notation-go signs: %v", err)
	}
}

func (p party) theyVerify(t *testing.T, repo upstreamregistry.Repository, d ocispec.Descriptor, metadata map[string]string) {
	t.Helper()
	v, err := newUpstream(p.documents)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := notation.Verify(t.Context(), v, repo, notation.VerifyOptions{
		ArtifactReference: scopeName + "@" + d.Digest.String(), MaxSignatureAttempts: 10, UserMetadata: metadata}); err != nil {
		t.Fatalf("notation-go verifies: %v", err)
	}
}

func (p party) weSign(t *testing.T, repo shuinRepository, ref shuin.Reference) {
	t.Helper()
	a, err := repo.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	key, err := newMemoryKey(p.chain.Key(), p.chain.DER)
	if err != nil {
		t.Fatal(err)
	}
	s := &sign.Signer{Key: key, Agent: "interop"}
	if p.tsaURL != "" {
		s.Timestamper = &timestamp.Client{URL: p.tsaURL, RootCerts: []*x509.Certificate{p.tsa.Root()}}
	}
	signed, err := s.Sign(t.Context(), a, sign.Options{MediaType: p.media, Time: time.Now(), Metadata: map[string]string{"io.example.by": "us"}})
	if err != nil {
		t.Fatalf("Shuin signs: %v", err)
	}
	if _, err := repo.PushSignature(t.Context(), a, signed.MediaType, signed.Envelope, signed.Annotations); err != nil {
		t.Fatalf("Shuin pushes: %v", err)
	}
}

func (p party) weVerify(t *testing.T, repo shuinRepository, ref shuin.Reference, metadata map[string]string) {
	t.Helper()
	doc, err := policy.ParseOCI(p.documents.TrustPolicy)
	if err != nil {
		t.Fatal(err)
	}
	stores, err := newStores(p.documents.TrustStores)
	if err != nil {
		t.Fatal(err)
	}
	a, sigs, err := repo.Discover(t.Context(), ref)
	if err != nil {
		t.Fatalf("Shuin discovers: %v", err)
	}
	v := &verify.Verifier{Stores: stores, Revocation: &revocation.Checker{}}
	r := v.Verify(t.Context(), a, sigs, doc, verify.Options{Now: time.Now(), Scope: scopeName, Metadata: metadata})
	if r.Result != shuin.Verified {
		t.Fatalf("Shuin verifies: %s: %v", r.Result, reasonsOf(r))
	}
	want := shuin.TimeSourceNone
	if p.tsaURL != "" {
		want = shuin.TimeSourceTimestamp
	}
	if got := r.Accepted().TimeSource; got != want {
		t.Errorf("time source %q, want %q", got, want)
	}
}

// What notation-go signs Shuin verifies, and the other way round: both envelope
// formats, six key types, with and without timestamp, in a registry with and
// without the referrers API and in an OCI layout. Both sign the same image, so
// each also has to find its way past the other's signature.
func TestInterop(t *testing.T) {
	places := map[string]func(t *testing.T) place{
		"registry":                   func(t *testing.T) place { return registryPlace(t, devregistry.Options{}) },
		"registry-without-referrers": func(t *testing.T) place { return registryPlace(t, devregistry.Options{NoReferrers: true}) },
		"layout":                     layoutPlace,
	}
	all := parties(t)
	for where, make := range places {
		t.Run(where, func(t *testing.T) {
			at := make(t)
			for _, p := range all {
				t.Run(p.name, func(t *testing.T) {
					them, us := map[string]string{"io.example.by": "them"}, map[string]string{"io.example.by": "us"}
					d := at.image(t, p.name)
					p.theySign(t, at.theirs(t, p.name), d)
					ours, ref := at.ours(t, p.name)
					p.weVerify(t, ours, ref, them)

					p.weSign(t, ours, ref)
					p.theyVerify(t, at.theirs(t, p.name), d, us)
					again, _ := at.ours(t, p.name)
					p.weVerify(t, again, ref, us)
					p.theyVerify(t, at.theirs(t, p.name), d, them)
				})
			}
		})
	}
}
