package signer

import (
	"context"
	"crypto"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssdk "github.com/aws/aws-sdk-go-v2/service/signer"
	corerevocation "github.com/notaryproject/notation-core-go/revocation"
	corecrl "github.com/notaryproject/notation-core-go/revocation/crl"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-core-go/signature"
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/crl"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	framework "github.com/notaryproject/notation-plugin-framework-go/plugin"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type signerKey = crypto.Signer

// signedAt is the authentic signing time as notation-core-go reads it.
func signedAt(t *testing.T, envelope []byte) time.Time {
	t.Helper()
	e, err := signature.ParseEnvelope("application/jose+json", envelope)
	if err != nil {
		t.Fatal(err)
	}
	content, err := e.Verify()
	if err != nil {
		t.Fatal(err)
	}
	at, err := content.SignerInfo.AuthenticSigningTime()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// oneSignature is a repository that holds one image and one signature of it.
type oneSignature struct {
	image    ocispec.Descriptor
	envelope []byte
}

func (o oneSignature) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return o.image, nil
}

func (o oneSignature) ListSignatures(_ context.Context, _ ocispec.Descriptor, fn func([]ocispec.Descriptor) error) error {
	return fn([]ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("signature"), Size: 9}})
}

func (o oneSignature) FetchSignatureBlob(context.Context, ocispec.Descriptor) ([]byte, ocispec.Descriptor, error) {
	return o.envelope, ocispec.Descriptor{MediaType: "application/jose+json", Digest: digest.FromBytes(o.envelope), Size: int64(len(o.envelope))}, nil
}

func (o oneSignature) PushSignature(context.Context, string, []byte, ocispec.Descriptor, map[string]string) (ocispec.Descriptor, ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, ocispec.Descriptor{}, errors.New("read only")
}

// theirStores are trust stores in memory.
type theirStores map[string][]*x509.Certificate

func (s theirStores) GetCertificates(_ context.Context, typ truststore.Type, name string) ([]*x509.Certificate, error) {
	certs, ok := s[string(typ)+":"+name]
	if !ok {
		return nil, fmt.Errorf("no store %s:%s", typ, name)
	}
	return certs, nil
}

// awsPlugin is a verification plugin that obeys the published rules of AWS
// Signer's. It shares no code with package awsprofile.
type awsPlugin struct {
	framework.Plugin
	// status is GetRevocationStatus.
	status func(ctx context.Context, version, job string, at time.Time, ids []string) ([]string, error)
	asked  int
}

// plugin asks the world's service through the AWS SDK.
func (w *world) plugin() *awsPlugin {
	return &awsPlugin{status: func(ctx context.Context, version, job string, at time.Time, ids []string) ([]string, error) {
		out, err := w.api.GetRevocationStatus(ctx, &awssdk.GetRevocationStatusInput{
			PlatformId: aws.String("Notation-OCI-SHA384-ECDSA"), ProfileVersionArn: aws.String(version), JobArn: aws.String(job),
			SignatureTimestamp: aws.Time(at), CertificateHashes: ids,
		})
		if err != nil {
			return nil, err
		}
		return out.RevokedEntities, nil
	}}
}

const awsPluginName = "com.amazonaws.signer.notation.plugin"

func (p *awsPlugin) Get(_ context.Context, name string) (framework.Plugin, error) {
	if p == nil || name != awsPluginName {
		return nil, fmt.Errorf("plugin %s is not installed", name)
	}
	return p, nil
}
func (p *awsPlugin) List(context.Context) ([]string, error) { return []string{awsPluginName}, nil }

var _ plugin.Manager = (*awsPlugin)(nil)

func (p *awsPlugin) GetMetadata(context.Context, *framework.GetMetadataRequest) (*framework.GetMetadataResponse, error) {
	return &framework.GetMetadataResponse{
		Name: awsPluginName, Description: "fixture", Version: "1.0.350", URL: "https://example.com", SupportedContractVersions: []string{"1.0"},
		Capabilities: []framework.Capability{framework.CapabilityTrustedIdentityVerifier, framework.CapabilityRevocationCheckVerifier},
	}, nil
}

func (p *awsPlugin) VerifySignature(ctx context.Context, r *framework.VerifySignatureRequest) (*framework.VerifySignatureResponse, error) {
	p.asked++
	attrs := r.Signature.CriticalAttributes
	version, ok := attrs.ExtendedAttributes["com.amazonaws.signer.signingProfileVersion"].(string)
	job, okJob := attrs.ExtendedAttributes["com.amazonaws.signer.signingJob"].(string)
	switch {
	case r.ContractVersion != "1.0":
		return nil, errors.New("contract version")
	case slices.Contains(r.TrustPolicy.TrustedIdentities, "*"):
		return nil, errors.New("wildcard identity is not supported")
	case attrs.AuthenticSigningTime == nil || attrs.AuthenticSigningTime.IsZero():
		return nil, errors.New("no authentic signing time")
	case attrs.ContentType != "application/vnd.cncf.notary.payload.v1+json" || attrs.SigningScheme != "notary.x509.signingAuthority":
		return nil, fmt.Errorf("signing scheme %s", attrs.SigningScheme)
	case !ok || !okJob:
		return nil, errors.New("profile version or job is missing")
	}
	out := &framework.VerifySignatureResponse{
		VerificationResults: map[framework.Capability]*framework.VerificationResult{},
		ProcessedAttributes: []any{"com.amazonaws.signer.signingProfileVersion", "com.amazonaws.signer.signingJob"},
	}
	for _, check := range r.TrustPolicy.SignatureVerification {
		switch check {
		case framework.CapabilityTrustedIdentityVerifier:
			out.VerificationResults[check] = trustedIdentity(r.TrustPolicy.TrustedIdentities, version)
		case framework.CapabilityRevocationCheckVerifier:
			out.VerificationResults[check] = p.revocation(ctx, version, job, *attrs.AuthenticSigningTime, r.Signature.CertificateChain)
		default:
			return nil, fmt.Errorf("cannot check %s", check)
		}
	}
	return out, nil
}

func trustedIdentity(identities []string, version string) *framework.VerificationResult {
	profile := version[:max(strings.LastIndex(version, "/"), 0)]
	for _, id := range identities {
		f := strings.SplitN(id, ":", 6)
		if len(f) != 6 || f[0] != "arn" || f[2] != "signer" || !strings.HasPrefix(f[5], "/signing-profiles/") {
			continue
		}
		switch len(strings.Split(f[5], "/")) {
		case 3:
			if strings.EqualFold(id, profile) {
				return &framework.VerificationResult{Success: true}
			}
		case 4:
			if strings.EqualFold(id, version) {
				return &framework.VerificationResult{Success: true}
			}
		}
	}
	return &framework.VerificationResult{Reason: "publisher is no trusted identity"}
}

func (p *awsPlugin) revocation(ctx context.Context, version, job string, at time.Time, chain [][]byte) *framework.VerificationResult {
	var sums, ids []string
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return &framework.VerificationResult{Reason: err.Error()}
		}
		sums = append(sums, fmt.Sprintf("%x", sha512.Sum384(c.RawTBSCertificate)))
	}
	for i := range sums {
		issuer := i
		if i+1 < len(sums) {
			issuer++
		}
		ids = append(ids, sums[i]+sums[issuer])
	}
	what, err := p.status(ctx, version, job, at, ids)
	switch {
	case err != nil:
		return &framework.VerificationResult{Reason: "status call failed: " + err.Error()}
	case len(what) == 0:
		return &framework.VerificationResult{Success: true}
	}
	for i, e := range what {
		if _, err := hex.DecodeString(e); err == nil {
			what[i] = "certificate"
		}
	}
	return &framework.VerificationResult{Reason: "revoked: " + strings.Join(what, ", ")}
}

// policyCase is a trust policy statement and what its stores hold.
type policyCase struct {
	Stores     []string
	Identities []string
	Level      map[string]any
	Roots      theirStores
}

func (p policyCase) document(t *testing.T) []byte {
	t.Helper()
	level := p.Level
	if level == nil {
		level = map[string]any{"level": "strict"}
	}
	data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{map[string]any{
		"name": "app", "registryScopes": []string{repository}, "signatureVerification": level, "trustStores": p.Stores, "trustedIdentities": p.Identities,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// theyVerify is notation-go's answer about one signature. Its revocation
// checks fetch through client and keep CRLs below cache.
func theyVerify(t *testing.T, image ocispec.Descriptor, p policyCase, envelope []byte, plugins *awsPlugin, client *http.Client, cache string) error {
	t.Helper()
	var doc trustpolicy.Document
	if err := json.Unmarshal(p.document(t), &doc); err != nil {
		t.Fatal(err)
	}
	fetcher, err := corecrl.NewHTTPFetcher(client)
	if err != nil {
		t.Fatal(err)
	}
	if fetcher.Cache, err = crl.NewFileCache(cache); err != nil {
		t.Fatal(err)
	}
	validator, err := corerevocation.NewWithOptions(corerevocation.Options{OCSPHTTPClient: client, CRLFetcher: fetcher, CertChainPurpose: purpose.CodeSigning})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verifier.NewWithOptions(&doc, p.Roots, plugins, verifier.VerifierOptions{RevocationCodeSigningValidator: validator})
	if err != nil {
		t.Fatal(err)
	}
	_, outcomes, err := notation.Verify(t.Context(), v, oneSignature{image, envelope}, notation.VerifyOptions{
		ArtifactReference: repository + "@" + image.Digest.String(), MaxSignatureAttempts: 10})
	if err != nil {
		// The reason stands with the signature, not in what Verify returns.
		for _, o := range outcomes {
			err = fmt.Errorf("%w: %w", err, o.Error)
		}
	}
	return err
}
