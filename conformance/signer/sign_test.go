package signer

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssdk "github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/google/go-cmp/cmp"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	framework "github.com/notaryproject/notation-plugin-framework-go/plugin"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/signing"
)

// signPlugin has the service make the envelope, as AWS Signer's plugin does:
// what SignPayload answers goes back unchanged, its metadata as annotations.
type signPlugin struct {
	framework.Plugin
	w *world
}

func (p signPlugin) GetMetadata(context.Context, *framework.GetMetadataRequest) (*framework.GetMetadataResponse, error) {
	return &framework.GetMetadataResponse{
		Name: awsPluginName, Description: "fixture", Version: "1.0.350", URL: "https://example.com", SupportedContractVersions: []string{"1.0"},
		Capabilities: []framework.Capability{framework.CapabilityEnvelopeGenerator},
	}, nil
}

func (p signPlugin) GenerateEnvelope(ctx context.Context, r *framework.GenerateEnvelopeRequest) (*framework.GenerateEnvelopeResponse, error) {
	if r.SignatureEnvelopeType != "application/jose+json" || r.ExpiryDurationInSeconds != 0 {
		return nil, errors.New("not supported")
	}
	profile, err := awsprofile.ParseProfile(r.KeyID)
	if err != nil {
		return nil, err
	}
	out, err := p.w.api.SignPayload(ctx, &awssdk.SignPayloadInput{
		ProfileName: aws.String(profile.Name), ProfileOwner: aws.String(profile.Account), Payload: r.Payload, PayloadFormat: aws.String(r.PayloadType),
	})
	if err != nil {
		return nil, err
	}
	return &framework.GenerateEnvelopeResponse{SignatureEnvelope: out.Signature, SignatureEnvelopeType: r.SignatureEnvelopeType, Annotations: out.Metadata}, nil
}

// pushed is a repository that keeps what was pushed.
type pushed struct {
	oneSignature
	mediaType   string
	annotations map[string]string
}

func (p *pushed) PushSignature(_ context.Context, mediaType string, blob []byte, _ ocispec.Descriptor, annotations map[string]string) (ocispec.Descriptor, ocispec.Descriptor, error) {
	p.mediaType, p.envelope, p.annotations = mediaType, blob, annotations
	return ocispec.Descriptor{}, ocispec.Descriptor{}, nil
}

func TestNotationGoSignsThroughTheService(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		kind    signing.Kind
		trusted string // empty: the profile
	}{{signing.KindAWS, ""}, {signing.KindStandard, "x509.subject: C=JP, ST=Tokyo, O=Example"}} {
		t.Run(string(tt.kind), func(t *testing.T) {
			p := w.profile(t, "sign_"+string(tt.kind), tt.kind)
			s, err := signer.NewPluginSigner(signPlugin{w: w}, p.Unversioned().String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			repo := &pushed{oneSignature: oneSignature{image: w.artifact}}
			metadata := map[string]string{"io.example.stage": "build", "io.example.more": "<&>\u2028"}
			if _, err := notation.Sign(t.Context(), s, repo, notation.SignOptions{
				SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: "application/jose+json"},
				ArtifactReference: repository + "@" + w.artifact.Digest.String(), UserMetadata: metadata,
			}); err != nil {
				t.Fatal(err)
			}
			annotations := maps.Clone(repo.annotations)
			maps.DeleteFunc(annotations, func(k, _ string) bool { return k != keyVersion && k != keyJob })
			if annotations[keyVersion] != p.String() || len(annotations) != 2 {
				t.Errorf("annotations %v", repo.annotations)
			}
			c := w.trusting(p.String())
			if tt.trusted != "" {
				c = w.trusting(tt.trusted)
			}
			if err := theyVerify(t, w.artifact, c, repo.envelope, w.plugin(), &http.Client{Timeout: time.Minute}, t.TempDir()); err != nil {
				t.Errorf("notation-go: %v", err)
			}
			ours := w.weVerify(t, c, repo.envelope, online())
			if ours.Accepted() == nil {
				t.Fatalf("Shuin: %s: %v", ours.Result, ours.Err)
			}
			if d := cmp.Diff(metadata, ours.Accepted().Metadata); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestShuinSignsThroughTheService(t *testing.T) {
	w := newWorld(t)
	for kind, trusted := range map[signing.Kind]string{signing.KindAWS: "", signing.KindStandard: "x509.subject: C=JP, ST=Tokyo, O=Example"} {
		t.Run(string(kind), func(t *testing.T) {
			p := w.profile(t, "ours_"+string(kind), kind)
			if trusted == "" {
				trusted = p.Unversioned().String()
			}
			s := &sign.Signer{Enveloper: &awsclient.Signer{Client: &awsclient.Client{Caller: &awscall.Caller{Now: time.Now}}, Profile: p.Unversioned()}}
			signed, err := s.Sign(t.Context(), shuinArtifact(t, w.artifact), sign.Options{
				MediaType: "application/jose+json", Time: time.Now(), Metadata: map[string]string{"io.example.stage": "build"},
				PluginConfig: map[string]string{awsclient.ConfigEndpoint: w.url},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := signed.Annotations[keyVersion]; got != p.String() {
				t.Errorf("annotations %v", signed.Annotations)
			}
			if err := theyVerify(t, w.artifact, w.trusting(trusted), signed.Envelope, w.plugin(), &http.Client{Timeout: time.Minute}, t.TempDir()); err != nil {
				t.Errorf("notation-go: %v", err)
			}
			if r := w.weVerify(t, w.trusting(trusted), signed.Envelope, online()); r.Result != shuin.Verified {
				t.Errorf("Shuin: %s: %v", r.Result, r.Err)
			}
		})
	}
}
