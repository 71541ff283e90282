package awsclient

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/aws-sdk-go-v2/service/signer/types"
)

// Platform is a signing platform, in the API's words.
type Platform struct {
	ID          string `json:"platformId"`
	Name        string `json:"displayName,omitempty"`
	Partner     string `json:"partner,omitempty"`
	Target      string `json:"target,omitempty"`
	Category    string `json:"category,omitempty"`
	Encryption  string `json:"encryptionAlgorithm,omitempty"`
	Hash        string `json:"hashAlgorithm,omitempty"`
	ImageFormat string `json:"imageFormat,omitempty"`
	MaxSizeInMB int    `json:"maxSizeInMB"`
	Revocation  bool   `json:"revocationSupported"`
}

// Platforms lists what can be signed for.
func (a *Admin) Platforms(ctx context.Context) ([]Platform, error) {
	found, _, err := pages("ListSigningPlatforms", 0, func(token *string, _ *int32) ([]types.SigningPlatform, *string, error) {
		out, err := do(ctx, a, place{}, call{operation: "ListSigningPlatforms"}, func(ctx context.Context, c *signer.Client) (*signer.ListSigningPlatformsOutput, error) {
			return c.ListSigningPlatforms(ctx, &signer.ListSigningPlatformsInput{NextToken: token})
		})
		if err != nil {
			return nil, nil, err
		}
		return out.Platforms, out.NextToken, nil
	})
	list := make([]Platform, 0, len(found))
	for _, p := range found {
		list = append(list, platform(p))
	}
	return list, err
}

// Platform looks one up.
func (a *Admin) Platform(ctx context.Context, id string) (Platform, error) {
	out, err := do(ctx, a, place{}, call{operation: "GetSigningPlatform"}, func(ctx context.Context, c *signer.Client) (*signer.GetSigningPlatformOutput, error) {
		return c.GetSigningPlatform(ctx, &signer.GetSigningPlatformInput{PlatformId: aws.String(id)})
	})
	if err != nil {
		return Platform{}, err
	}
	return platform(types.SigningPlatform{
		Category: out.Category, DisplayName: out.DisplayName, MaxSizeInMB: out.MaxSizeInMB, Partner: out.Partner, PlatformId: out.PlatformId,
		RevocationSupported: out.RevocationSupported, SigningConfiguration: out.SigningConfiguration, SigningImageFormat: out.SigningImageFormat, Target: out.Target,
	}), nil
}

func platform(p types.SigningPlatform) Platform {
	out := Platform{
		ID: deref(p.PlatformId), Name: deref(p.DisplayName), Partner: deref(p.Partner), Target: deref(p.Target), Category: string(p.Category),
		MaxSizeInMB: int(p.MaxSizeInMB), Revocation: p.RevocationSupported,
	}
	if c := p.SigningConfiguration; c != nil {
		if c.EncryptionAlgorithmOptions != nil {
			out.Encryption = string(c.EncryptionAlgorithmOptions.DefaultValue)
		}
		if c.HashAlgorithmOptions != nil {
			out.Hash = string(c.HashAlgorithmOptions.DefaultValue)
		}
	}
	if p.SigningImageFormat != nil {
		out.ImageFormat = string(p.SigningImageFormat.DefaultFormat)
	}
	return out
}
