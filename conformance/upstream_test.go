package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/notaryproject/notation-core-go/revocation"
	"github.com/notaryproject/notation-core-go/revocation/crl"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-core-go/revocation/result"
	_ "github.com/notaryproject/notation-core-go/signature/cose"
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	nx509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/plugin/proto"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	framework "github.com/notaryproject/notation-plugin-framework-go/plugin"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// at runs f with the time set to now: upstream asks the clock itself, and a
// synctest bubble has a clock that can be moved.
func at(t *testing.T, now time.Time, f func(t *testing.T)) {
	if now.IsZero() {
		f(t)
		return
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		f(t)
	})
}

// upstream says what notation-go decides about a vector: nil accepts. ok is
// false where it has nothing that could be asked.
func upstream(t *testing.T, v *vector) (err error, ok bool) {
	switch v.Kind {
	case "envelope":
		in := input[envelopeCase](t, v)
		at(t, v.Now, func(t *testing.T) { err = upstreamVerify(t.Context(), in) })
	case "chain":
		in := input[chainCase](t, v)
		at(t, v.Now, func(*testing.T) { err = upstreamChain(in) })
	case "trustpolicy":
		in := input[policyCase](t, v)
		if in.Type == "blob" { // not in this version
			return nil, false
		}
		err = upstreamPolicy(in)
	case "identity":
		err = upstreamIdentity(input[identityCase](t, v))
	case "revocation":
		in := input[revocationCase](t, v)
		at(t, v.Now, func(t *testing.T) { err = upstreamRevocation(t.Context(), in) })
	case "truststore":
		err = upstreamStore(t, input[storeCase](t, v))
	case "sign":
		in := input[signCase](t, v)
		at(t, v.Now, func(t *testing.T) { err = upstreamSign(t.Context(), in) })
	case "plugin":
		err = upstreamPlugin(t, input[pluginCase](t, v))
	case "signplugin":
		err = upstreamSignPlugin(t, v)
	case "referrers":
		err = upstreamReferrers(t, input[referrersCase](t, v))
	case "timestamping":
		err = upstreamTimestamping(t, input[timestampingCase](t, v))
	default:
		return nil, false
	}
	return err, true
}

// answering is an http.RoundTripper with fixed answers.
type answering map[string]answerJSON

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	address := r.URL.String()
	for url, answer := range a {
		// An OCSP request by GET has the request in its path.
		if address == url || strings.HasPrefix(address, url+"/") {
			status := answer.Status
			if status == 0 {
				status = http.StatusOK
			}
			return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Request: r,
				Body: io.NopCloser(bytes.NewReader(answer.Body)), ContentLength: int64(len(answer.Body))}, nil
		}
	}
	return nil, fmt.Errorf("nobody answers at %s", address)
}

func upstreamRevoker(answers map[string]answerJSON, p purpose.Purpose) (revocation.Validator, error) {
	client := &http.Client{Transport: answering(answers), Timeout: 2 * time.Second}
	fetcher, err := crl.NewHTTPFetcher(client)
	if err != nil {
		return nil, err
	}
	return revocation.NewWithOptions(revocation.Options{OCSPHTTPClient: client, CRLFetcher: fetcher, CertChainPurpose: p})
}

// upstreamStores are trust stores in memory.
type upstreamStores map[string][]*x509.Certificate

func (s upstreamStores) GetCertificates(_ context.Context, typ truststore.Type, name string) ([]*x509.Certificate, error) {
	certs, ok := s[string(typ)+":"+name]
	if !ok {
		return nil, fmt.Errorf("no store %s:%s", typ, name)
	}
	return certs, nil
}

func parseStores(stores map[string][][]byte) (upstreamStores, error) {
	out := upstreamStores{}
	for name, ders := range stores {
		for _, der := range ders {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			out[name] = append(out[name], c)
		}
	}
	return out, nil
}

// fakePlugin answers from a vector. It is both sides' plugin.
type fakePlugin struct {
	framework.Plugin
	*pluginJSON
}

func (p fakePlugin) GetMetadata(context.Context, *framework.GetMetadataRequest) (*framework.GetMetadataResponse, error) {
	var m framework.GetMetadataResponse
	return &m, json.Unmarshal(p.Metadata, &m)
}

func (p fakePlugin) VerifySignature(context.Context, *framework.VerifySignatureRequest) (*framework.VerifySignatureResponse, error) {
	var r framework.VerifySignatureResponse
	return &r, json.Unmarshal(p.Verify, &r)
}

type fakeManager struct{ *pluginJSON }

func (m fakeManager) Get(_ context.Context, name string) (framework.Plugin, error) {
	if m.pluginJSON == nil || m.Name != name {
		return nil, errors.New("no such plugin")
	}
	return fakePlugin{pluginJSON: m.pluginJSON}, nil
}

func (m fakeManager) List(context.Context) ([]string, error) { return nil, nil }

var _ plugin.Manager = fakeManager{}

func newUpstream(in envelopeCase) (notation.Verifier, error) {
	var doc trustpolicy.Document
	if err := json.Unmarshal(in.TrustPolicy, &doc); err != nil {
		return nil, err
	}
	stores, err := parseStores(in.TrustStores)
	if err != nil {
		return nil, err
	}
	code, err := upstreamRevoker(in.Answers, purpose.CodeSigning)
	if err != nil {
		return nil, err
	}
	stamp, err := upstreamRevoker(in.Answers, purpose.Timestamping)
	if err != nil {
		return nil, err
	}
	return verifier.NewWithOptions(&doc, stores, fakeManager{in.Plugin}, verifier.VerifierOptions{
		RevocationCodeSigningValidator: code, RevocationTimestampingValidator: stamp})
}

func upstreamVerify(ctx context.Context, in envelopeCase) error {
	v, err := newUpstream(in)
	if err != nil {
		return err
	}
	_, _, err = notation.Verify(ctx, v, memoryRepository(in), notation.VerifyOptions{
		ArtifactReference: in.Reference, MaxSignatureAttempts: 50, UserMetadata: in.UserMetadata})
	return err
}

// memoryRepository is a vector as upstream's registry.Repository.
type memoryRepository envelopeCase

func (m memoryRepository) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{MediaType: m.Artifact.MediaType, Digest: digest.Digest(m.Artifact.Digest), Size: m.Artifact.Size}, nil
}

func (m memoryRepository) ListSignatures(_ context.Context, _ ocispec.Descriptor, fn func([]ocispec.Descriptor) error) error {
	var list []ocispec.Descriptor
	for i := range m.Signatures {
		list = append(list, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Size: int64(i), Digest: digest.FromString(fmt.Sprint(i))})
	}
	return fn(list)
}

func (m memoryRepository) FetchSignatureBlob(_ context.Context, d ocispec.Descriptor) ([]byte, ocispec.Descriptor, error) {
	s := m.Signatures[d.Size]
	b := s.content()
	return b, ocispec.Descriptor{MediaType: s.MediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}, nil
}

func (m memoryRepository) PushSignature(context.Context, string, []byte, ocispec.Descriptor, map[string]string) (ocispec.Descriptor, ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, ocispec.Descriptor{}, errors.New("read only")
}

func parseCertificates(ders [][]byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func upstreamChain(in chainCase) error {
	certs, err := parseCertificates(in.Chain)
	if err != nil {
		return err
	}
	if in.Purpose == "timestamping" {
		return nx509.ValidateTimestampingCertChain(certs)
	}
	return nx509.ValidateCodeSigningCertChain(certs, nil)
}

func upstreamPolicy(in policyCase) error {
	var doc trustpolicy.Document
	if err := json.NewDecoder(strings.NewReader(in.Document)).Decode(&doc); err != nil {
		return err
	}
	if err := doc.Validate(); err != nil {
		return err
	}
	if in.Reference == "" {
		return nil
	}
	s, err := doc.GetApplicableTrustPolicy(in.Reference)
	if err == nil && in.Statement != "" && s.Name != in.Statement {
		err = fmt.Errorf("selected %q", s.Name)
	}
	return err
}

func identityDocument(ids []string) []byte {
	data, _ := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{map[string]any{
		"name": "a", "registryScopes": []string{"*"}, "signatureVerification": map[string]any{"level": "strict"},
		"trustStores": []string{"ca:a"}, "trustedIdentities": ids}}})
	return data
}

func upstreamIdentity(in identityCase) error {
	return upstreamPolicy(policyCase{Type: "oci", Document: string(identityDocument(in.TrustedIdentities))})
}

func upstreamRevocation(ctx context.Context, in revocationCase) (err error) {
	// It panics on a base or delta CRL without a number.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("notation-core-go panics: %v", p)
		}
	}()
	certs, err := parseCertificates(in.Chain)
	if err != nil {
		return err
	}
	v, err := upstreamRevoker(in.Answers, purpose.CodeSigning)
	if err != nil {
		return err
	}
	found, err := v.ValidateContext(ctx, revocation.ValidateContextOptions{CertChain: certs, AuthenticSigningTime: in.At})
	if err != nil {
		return err
	}
	for i, want := range in.Status {
		got := found[i].Result
		is := map[result.Result]string{result.ResultOK: "good", result.ResultNonRevokable: "no-source", result.ResultRevoked: "revoked", result.ResultUnknown: "unavailable"}[got]
		if is == "revoked" || is == "unavailable" {
			err = fmt.Errorf("certificate %d is %s", i, is)
			if is != want {
				err = fmt.Errorf("certificate %d is %s, want %s", i, is, want)
			}
		}
	}
	return err
}

func upstreamStore(t *testing.T, in storeCase) error {
	root := writeTree(t, in.Files, "truststore", "x509")
	typ, name, _ := strings.Cut(in.Store, ":")
	certs, err := truststore.NewX509TrustStore(dir.NewSysFS(root)).GetCertificates(t.Context(), truststore.Type(typ), name)
	if err != nil {
		return err
	}
	return sameCertificates(certs, in.Certificates)
}

func upstreamSign(ctx context.Context, in signCase) error {
	key, err := x509.ParsePKCS8PrivateKey(in.Key)
	if err != nil {
		return err
	}
	certs, err := parseCertificates(in.Chain)
	if err != nil {
		return err
	}
	s, err := signer.NewGenericSigner(key.(crypto.PrivateKey), certs)
	if err != nil {
		return err
	}
	repo := &sinkRepository{desc: ocispec.Descriptor{MediaType: in.Artifact.MediaType, Digest: digest.Digest(in.Artifact.Digest), Size: in.Artifact.Size}}
	_, err = notation.Sign(ctx, s, repo, notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: in.MediaType, ExpiryDuration: time.Duration(in.ExpirySeconds) * time.Second},
		ArtifactReference: "registry.example/app@" + in.Artifact.Digest, UserMetadata: in.UserMetadata})
	return err
}

// sinkRepository resolves to one descriptor and takes every signature.
type sinkRepository struct {
	memoryRepository
	desc ocispec.Descriptor
}

func (s *sinkRepository) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return s.desc, nil
}

func (s *sinkRepository) PushSignature(context.Context, string, []byte, ocispec.Descriptor, map[string]string) (ocispec.Descriptor, ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, ocispec.Descriptor{}, nil
}

func upstreamPlugin(t *testing.T, in pluginCase) error {
	root := writePlugin(t, in)
	p, err := plugin.NewCLIManager(dir.NewSysFS(root)).Get(t.Context(), in.Name)
	if err != nil {
		return err
	}
	if _, err := p.GetMetadata(t.Context(), &framework.GetMetadataRequest{}); err != nil || in.Ask == "metadata" {
		return err
	}
	// What a signer makes of the answer.
	s, err := signer.NewPluginSigner(p, "key-1", nil)
	if err != nil {
		return err
	}
	d, err := p.DescribeKey(t.Context(), &framework.DescribeKeyRequest{KeyID: "key-1"})
	if err != nil {
		return err
	}
	if d.KeyID != "key-1" {
		return fmt.Errorf("describes %q", d.KeyID)
	}
	_, err = proto.DecodeKeySpec(d.KeySpec)
	_ = s
	return err
}
