package awsclient

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/aws-sdk-go-v2/service/signer/types"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
)

// Validity is how long signatures of a profile are good.
type Validity struct {
	Value int    `json:"value"`
	Type  string `json:"type"` // DAYS, MONTHS, YEARS
}

// Profile is a signing profile, in the API's words.
type Profile struct {
	ARN        string            `json:"arn"`
	Name       string            `json:"profileName"`
	Version    string            `json:"profileVersion,omitempty"`
	VersionARN string            `json:"profileVersionArn,omitempty"`
	Status     string            `json:"status,omitempty"`
	Reason     string            `json:"statusReason,omitempty"`
	PlatformID string            `json:"platformId,omitempty"`
	Platform   string            `json:"platformDisplayName,omitempty"`
	Validity   *Validity         `json:"signatureValidityPeriod,omitempty"`
	Parameters map[string]string `json:"signingParameters,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Material   *SigningMaterial  `json:"signingMaterial,omitempty"`
	Revocation *Revocation       `json:"revocationRecord,omitempty"`
}

// SigningMaterial is the certificate, with its key, that a profile signs with
// where the signer does not make them.
type SigningMaterial struct {
	CertificateARN string `json:"certificateArn"`
}

func material(m *types.SigningMaterial) *SigningMaterial {
	if m == nil {
		return nil
	}
	return &SigningMaterial{deref(m.CertificateArn)}
}

// Revocation says when and by whom something was revoked.
type Revocation struct {
	Reason        string     `json:"reason,omitempty"`
	EffectiveFrom *time.Time `json:"revocationEffectiveFrom,omitempty"`
	RevokedAt     *time.Time `json:"revokedAt,omitempty"`
	RevokedBy     string     `json:"revokedBy,omitempty"`
}

// NewProfile is what PutSigningProfile is asked.
type NewProfile struct {
	Name       string
	PlatformID string
	Validity   *Validity // nil: the service's default
	Parameters map[string]string
	Tags       map[string]string
	Material   *SigningMaterial // nil: the signer makes key and certificate
}

// PutProfile makes a profile, or a new version of it.
func (a *Admin) PutProfile(ctx context.Context, n NewProfile) (Profile, error) {
	in := &signer.PutSigningProfileInput{
		ProfileName: aws.String(n.Name), PlatformId: aws.String(n.PlatformID),
	}
	if len(n.Parameters) > 0 { // an empty map would be sent, and refused
		in.SigningParameters = n.Parameters
	}
	if len(n.Tags) > 0 {
		in.Tags = n.Tags
	}
	if n.Material != nil {
		in.SigningMaterial = &types.SigningMaterial{CertificateArn: aws.String(n.Material.CertificateARN)}
	}
	if n.Validity != nil {
		in.SignatureValidityPeriod = &types.SignatureValidityPeriod{Type: types.ValidityType(n.Validity.Type), Value: int32(n.Validity.Value)}
	}
	out, err := do(ctx, a, place{}, call{operation: "PutSigningProfile", resource: "signing profile " + n.Name}, func(ctx context.Context, c *signer.Client) (*signer.PutSigningProfileOutput, error) {
		return c.PutSigningProfile(ctx, in)
	})
	if err != nil {
		return Profile{}, err
	}
	return Profile{
		ARN: canonical(deref(out.Arn)), Name: n.Name, Version: deref(out.ProfileVersion), VersionARN: canonical(deref(out.ProfileVersionArn)),
		PlatformID: n.PlatformID, Validity: n.Validity, Parameters: n.Parameters, Tags: n.Tags, Material: n.Material,
	}, nil
}

// Profile looks a profile up, in its owner's account. The API knows the
// current version only: another one asked for is an error.
func (a *Admin) Profile(ctx context.Context, r ProfileRef) (Profile, error) {
	q := call{operation: "GetSigningProfile", resource: r.resource()}
	out, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, q, func(ctx context.Context, c *signer.Client) (*signer.GetSigningProfileOutput, error) {
		return c.GetSigningProfile(ctx, &signer.GetSigningProfileInput{ProfileName: aws.String(r.Name), ProfileOwner: optional(r.ARN.Account)})
	})
	if err != nil {
		return Profile{}, err
	}
	p := Profile{
		ARN: canonical(deref(out.Arn)), Name: deref(out.ProfileName), Version: deref(out.ProfileVersion), VersionARN: canonical(deref(out.ProfileVersionArn)),
		Status: string(out.Status), Reason: deref(out.StatusReason), PlatformID: deref(out.PlatformId), Platform: deref(out.PlatformDisplayName),
		Validity: validity(out.SignatureValidityPeriod), Parameters: out.SigningParameters, Tags: out.Tags, Material: material(out.SigningMaterial),
	}
	if v := out.RevocationRecord; v != nil {
		p.Revocation = &Revocation{EffectiveFrom: timeOf(v.RevocationEffectiveFrom), RevokedAt: timeOf(v.RevokedAt), RevokedBy: deref(v.RevokedBy)}
	}
	if r.Version != "" && r.Version != p.Version {
		return Profile{}, invalidf("signing profile %s has version %s now; the API shows no other version, so not %s", p.ARN, p.Version, r.Version)
	}
	return p, nil
}

func validity(v *types.SignatureValidityPeriod) *Validity {
	if v == nil {
		return nil
	}
	return &Validity{Value: int(v.Value), Type: string(v.Type)}
}

// ProfileFilter selects profiles.
type ProfileFilter struct {
	Canceled   bool // also cancelled ones
	PlatformID string
	Statuses   []string
	Max        int // 0: all
}

// Profiles lists the account's profiles.
func (a *Admin) Profiles(ctx context.Context, f ProfileFilter) (list []Profile, more bool, err error) {
	statuses := make([]types.SigningProfileStatus, len(f.Statuses))
	for i, s := range f.Statuses {
		statuses[i] = types.SigningProfileStatus(s)
	}
	found, more, err := pages("ListSigningProfiles", f.Max, func(token *string, size *int32) ([]types.SigningProfile, *string, error) {
		out, err := do(ctx, a, place{}, call{operation: "ListSigningProfiles"}, func(ctx context.Context, c *signer.Client) (*signer.ListSigningProfilesOutput, error) {
			return c.ListSigningProfiles(ctx, &signer.ListSigningProfilesInput{
				IncludeCanceled: f.Canceled, PlatformId: optional(f.PlatformID), Statuses: statuses, NextToken: token, MaxResults: size,
			})
		})
		if err != nil {
			return nil, nil, err
		}
		return out.Profiles, out.NextToken, nil
	})
	list = make([]Profile, 0, len(found))
	for _, p := range found {
		list = append(list, Profile{
			ARN: canonical(deref(p.Arn)), Name: deref(p.ProfileName), Version: deref(p.ProfileVersion), VersionARN: canonical(deref(p.ProfileVersionArn)),
			Status: string(p.Status), PlatformID: deref(p.PlatformId), Platform: deref(p.PlatformDisplayName),
			Validity: validity(p.SignatureValidityPeriod), Parameters: p.SigningParameters, Tags: p.Tags, Material: material(p.SigningMaterial),
		})
	}
	return list, more, err
}

// CancelProfile ends a profile: nothing more is signed, what was signed stays
// good.
func (a *Admin) CancelProfile(ctx context.Context, r ProfileRef) error {
	if r.Version != "" {
		return invalidf("a profile is cancelled with all its versions: leave the version out")
	}
	if err := a.own(ctx, r); err != nil {
		return err
	}
	_, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "CancelSigningProfile", resource: r.resource()}, func(ctx context.Context, c *signer.Client) (*signer.CancelSigningProfileOutput, error) {
		return c.CancelSigningProfile(ctx, &signer.CancelSigningProfileInput{ProfileName: aws.String(r.Name)})
	})
	return err
}

// RevokeProfile makes what a profile version signed since effective bad.
func (a *Admin) RevokeProfile(ctx context.Context, r ProfileRef, reason string, effective time.Time) error {
	if !awsprofile.ValidVersion(r.Version) {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("revoke signing profile %s: no profile version is named", r.Name),
			Hint: "give the version's ARN, or --profile-version",
		}
	}
	if err := a.own(ctx, r); err != nil {
		return err
	}
	_, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "RevokeSigningProfile", resource: r.resource()}, func(ctx context.Context, c *signer.Client) (*signer.RevokeSigningProfileOutput, error) {
		return c.RevokeSigningProfile(ctx, &signer.RevokeSigningProfileInput{
			ProfileName: aws.String(r.Name), ProfileVersion: aws.String(r.Version), Reason: aws.String(reason), EffectiveTime: aws.Time(effective),
		})
	})
	return err
}
