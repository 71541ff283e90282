package signing

import (
	"context"

	"github.com/shuin/shuin/awsprofile"
)

// platform is the only one: container images. Id and display name are those
// of AWS's documentation; partner, target and category follow the pattern of
// AWS's other platforms (PARTNER-TARGET), as AWS documents none.
func platform() Platform {
	return Platform{
		PlatformID: awsprofile.PlatformID, DisplayName: PlatformDisplayName,
		Partner: "Notation-OCI", Target: "SHA384-ECDSA", Category: "AWS", RevocationSupported: true,
		EncryptionAlgorithm: "ECDSA", HashAlgorithm: "SHA384",
	}
}

// PlatformDisplayName is AWS's name of the platform for people.
const PlatformDisplayName = "Notation for container registries"

// GetSigningPlatform describes the platform.
func (s *Service) GetSigningPlatform(_ context.Context, c Caller, platformID string) (*Platform, error) {
	if !allowsAction(c.Actions, actionGetPlatform) {
		return nil, noIdentityPolicy(&c, actionGetPlatform, "*")
	}
	if platformID == "" {
		return nil, invalid("platformId is missing.")
	}
	if platformID != awsprofile.PlatformID {
		return nil, notFound("Signing platform %.80q was not found: this signer has %s only.", platformID, awsprofile.PlatformID)
	}
	p := platform()
	return &p, nil
}

// ListSigningPlatforms lists the platform, or nothing where a filter says so.
func (s *Service) ListSigningPlatforms(_ context.Context, c Caller, in ListSigningPlatformsInput) (*ListSigningPlatformsOutput, error) {
	if !allowsAction(c.Actions, actionListPlatforms) {
		return nil, noIdentityPolicy(&c, actionListPlatforms, "*")
	}
	if _, err := pageSize(in.MaxResults); err != nil {
		return nil, err
	}
	if in.NextToken != "" {
		return nil, badToken() // one page is all there ever is
	}
	p := platform()
	out := &ListSigningPlatformsOutput{}
	for _, f := range [][2]string{{in.Category, p.Category}, {in.Partner, p.Partner}, {in.Target, p.Target}} {
		if f[0] != "" && f[0] != f[1] {
			return out, nil
		}
	}
	out.Platforms = []Platform{p}
	return out, nil
}

// StartSigningJob is for code in S3, which no platform of this signer takes.
func (s *Service) StartSigningJob(_ context.Context, c Caller, profileName string) error {
	if e := c.mayAct(actionStartJob, s.profileARN(c.Account, profileName)); e != nil {
		return e
	}
	return invalid("StartSigningJob is not supported for platform %s: container images are signed with SignPayload.", awsprofile.PlatformID)
}

func checkPlatform(id string) error {
	switch id {
	case awsprofile.PlatformID:
		return nil
	case "":
		return invalid("platformId is missing.")
	}
	return invalid("Signing platform %.80q is not supported: this signer signs container images (%s) only.", id, awsprofile.PlatformID)
}
