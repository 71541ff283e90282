package conformance

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	upstreamregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/tspclient-go"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/internal/timestamp"
	"github.com/shuin/shuin/sign"
	"oras.land/oras-go/v2/registry/remote"
)

type policyFilesCase struct {
	Files     map[string]entryJSON `json:"files"`
	Statement string               `json:"statement"`
}

func shuinPolicyFiles(t *testing.T, in policyFilesCase) error {
	root := writeTree(t, in.Files)
	doc, err := notationdir.New(root, root, root).Policy(notationdir.OCIPolicy)
	if err != nil {
		return err
	}
	s, _, err := doc.Select("registry.example/app")
	if err == nil && s.Name != in.Statement {
		err = fmt.Errorf("statement %q applies, want %q", s.Name, in.Statement)
	}
	return err
}

type referrersCase struct {
	Artifact    descriptorJSON `json:"artifact"`
	Pages       []string       `json:"pages"`
	Filtered    bool           `json:"filtered"`
	Endless     bool           `json:"endless"`
	ContentType string         `json:"contentType"`
	Signatures  []string       `json:"signatures"`
}

func referrersRegistry(in referrersCase) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/app/manifests/"):
			w.Header().Set("Content-Type", in.Artifact.MediaType)
			w.Header().Set("Docker-Content-Digest", in.Artifact.Digest)
			w.Header().Set("Content-Length", fmt.Sprint(in.Artifact.Size))
		case strings.HasPrefix(r.URL.Path, "/v2/app/referrers/"):
			n, _ := strconv.Atoi(r.URL.Query().Get("page"))
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			if in.ContentType != "" {
				w.Header().Set("Content-Type", in.ContentType)
			}
			if in.Filtered {
				w.Header().Set("OCI-Filters-Applied", "artifactType")
			}
			if n+1 < len(in.Pages) || in.Endless {
				w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n+1))
			}
			_, _ = w.Write([]byte(in.Pages[n%len(in.Pages)]))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func sameDigests(got, want []string) error {
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		return fmt.Errorf("found %v, want %v", got, want)
	}
	return nil
}

func shuinReferrers(t *testing.T, in referrersCase) error {
	server := httptest.NewServer(referrersRegistry(in))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	client := &registry.Client{PlainHTTP: func(string) bool { return true }}
	a, err := artifactOf(host+"/app@"+in.Artifact.Digest, in.Artifact)
	if err != nil {
		return err
	}
	repo, err := client.Repository(a.Written())
	if err != nil {
		return err
	}
	list, _, err := repo.List(t.Context(), a, 1_000_000)
	if err != nil {
		return strip(err, host)
	}
	var got []string
	for _, d := range list {
		got = append(got, d.Digest.String())
	}
	return sameDigests(got, in.Signatures)
}

func upstreamReferrers(t *testing.T, in referrersCase) error {
	if in.Endless {
		return errors.New("notation-go would never come back")
	}
	server := httptest.NewServer(referrersRegistry(in))
	defer server.Close()
	repo, err := remote.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/app")
	if err != nil {
		return err
	}
	repo.PlainHTTP = true
	var got []string
	err = upstreamregistry.NewRepository(repo).ListSignatures(t.Context(), ocispec.Descriptor{MediaType: in.Artifact.MediaType, Digest: digest.Digest(in.Artifact.Digest), Size: in.Artifact.Size},
		func(list []ocispec.Descriptor) error {
			for _, d := range list {
				got = append(got, d.Digest.String())
			}
			return nil
		})
	if err != nil {
		return err
	}
	return sameDigests(got, in.Signatures)
}

type timestampingCase struct {
	Fault string `json:"fault"`
}

// faultyTSA plays the authority of a vector. Its second result is the root that
// the signer trusts.
func faultyTSA(t *testing.T, fault string) (url string, root *x509.Certificate) {
	t.Helper()
	chain := shuintest.MustChain(shuintest.ChainOptions{Timestamping: true, Family: 8, CA: "TSA"})
	tsa, root := &shuintest.TSA{Chain: chain}, chain.Root()
	mutate := map[string]func(*shuintest.Token){
		"other-imprint":      func(k *shuintest.Token) { k.Imprint[0] ^= 1 },
		"rejected":           func(k *shuintest.Token) { k.Status = 2 },
		"other-nonce":        func(k *shuintest.Token) { k.Nonce.Add(k.Nonce, k.Nonce) },
		"broken-signature":   func(k *shuintest.Token) { k.BadSignature = true },
		"no-certificates":    func(k *shuintest.Token) { k.Certs = nil },
		"wrong-hash":         func(k *shuintest.Token) { k.ImprintHash, k.Imprint = crypto.SHA512, make([]byte, 64) },
		"no-signing-cert-v2": func(k *shuintest.Token) { k.SigningCertificate = shuintest.SigningCertificateNone },
	}
	switch fault {
	case "":
	case "untrusted":
		root = shuintest.MustChain(shuintest.ChainOptions{Timestamping: true, Family: 9, CA: "Other TSA"}).Root()
	case "not-found":
		tsa.Fault.Status = http.StatusNotFound
	case "not-a-response":
		tsa.Fault.Body = []byte("hello")
	default:
		if tsa.Mutate = mutate[fault]; tsa.Mutate == nil {
			t.Fatalf("unknown fault %q", fault)
		}
	}
	server := httptest.NewServer(tsa)
	t.Cleanup(server.Close)
	return server.URL, root
}

func shuinTimestamping(t *testing.T, in timestampingCase) error {
	url, root := faultyTSA(t, in.Fault)
	chain := shuintest.MustChain(shuintest.ChainOptions{Family: 1})
	key, err := newMemoryKey(chain.Key(), chain.DER)
	if err != nil {
		return err
	}
	a, err := artifactOf("registry.example/app@"+pluginArtifact.Digest, pluginArtifact)
	if err != nil {
		return err
	}
	s := &sign.Signer{Key: key, Timestamper: &timestamp.Client{URL: url, RootCerts: []*x509.Certificate{root}}}
	_, err = s.Sign(t.Context(), a, sign.Options{MediaType: shuin.MediaTypeCOSE, Time: time.Now()})
	return strip(err, strings.TrimPrefix(url, "http://"))
}

func upstreamTimestamping(t *testing.T, in timestampingCase) error {
	url, root := faultyTSA(t, in.Fault)
	chain := shuintest.MustChain(shuintest.ChainOptions{Family: 1})
	s, err := signer.NewGenericSigner(chain.Key().(crypto.PrivateKey), chain.Certs)
	if err != nil {
		return err
	}
	o := notation.SignerSignOptions{SignatureMediaType: shuin.MediaTypeCOSE, TSARootCAs: x509.NewCertPool()}
	o.TSARootCAs.AddCert(root)
	if o.Timestamper, err = tspclient.NewHTTPTimestamper(nil, url); err != nil {
		return err
	}
	repo := &sinkRepository{desc: ocispec.Descriptor{MediaType: pluginArtifact.MediaType, Digest: digest.Digest(pluginArtifact.Digest), Size: pluginArtifact.Size}}
	_, err = notation.Sign(t.Context(), s, repo, notation.SignOptions{SignerSignOptions: o, ArtifactReference: "registry.example/app@" + pluginArtifact.Digest})
	return err
}
