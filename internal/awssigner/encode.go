package awssigner

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

// epoch is a timestamp of an answer: a JSON number, for SDKs refuse strings.
type epoch struct{ time.Time }

// MarshalJSON writes seconds since 1970, to the millisecond.
func (t epoch) MarshalJSON() ([]byte, error) {
	seconds := math.Round(float64(t.UnixMilli())) / 1000
	return strconv.AppendFloat(nil, seconds, 'f', -1, 64), nil
}

// Members that are unset are left out; lists and tags are always there.

type signPayloadOut struct {
	JobID     string            `json:"jobId"`
	JobOwner  string            `json:"jobOwner"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Signature []byte            `json:"signature"`
}

type putSigningProfileOut struct {
	ARN               string `json:"arn"`
	ProfileVersion    string `json:"profileVersion"`
	ProfileVersionARN string `json:"profileVersionArn"`
}

type validityOut struct {
	Value int    `json:"value"`
	Type  string `json:"type"`
}

type profileOut struct {
	ProfileName         string                `json:"profileName"`
	ProfileVersion      string                `json:"profileVersion"`
	ProfileVersionARN   string                `json:"profileVersionArn"`
	Revocation          *profileRevocationOut `json:"revocationRecord,omitzero"`
	Material            *materialOut          `json:"signingMaterial,omitzero"`
	Validity            *validityOut          `json:"signatureValidityPeriod,omitzero"`
	PlatformID          string                `json:"platformId"`
	PlatformDisplayName string                `json:"platformDisplayName"`
	Parameters          map[string]string     `json:"signingParameters,omitempty"`
	Status              string                `json:"status"`
	StatusReason        string                `json:"statusReason,omitempty"`
	ARN                 string                `json:"arn"`
	Tags                map[string]string     `json:"tags"`
}

type materialOut struct {
	CertificateARN string `json:"certificateArn"`
}

// material is nil where the signer made key and certificate itself.
func material(c awsprofile.Certificate) *materialOut {
	if c == (awsprofile.Certificate{}) {
		return nil
	}
	return &materialOut{c.String()}
}

type profileRevocationOut struct {
	EffectiveFrom epoch  `json:"revocationEffectiveFrom,omitzero"`
	RevokedAt     epoch  `json:"revokedAt,omitzero"`
	RevokedBy     string `json:"revokedBy,omitempty"`
}

type profilesOut struct {
	Profiles  []profileOut `json:"profiles"`
	NextToken string       `json:"nextToken,omitempty"`
}

// describedProfile is GetSigningProfile's answer.
func describedProfile(in *signing.GetSigningProfileOutput) profileOut {
	out := listedProfile(in)
	out.StatusReason = in.Profile.Reason
	if r := in.Profile.Revocation; r != nil {
		out.Revocation = &profileRevocationOut{epoch{r.EffectiveFrom}, epoch{r.RevokedAt}, r.RevokedBy}
	}
	return out
}

// listedProfile has less: neither revocation nor the status's reason.
func listedProfile(in *signing.GetSigningProfileOutput) profileOut {
	p := in.Profile
	out := profileOut{
		ProfileName: p.ARN.Name, ProfileVersion: p.ARN.Version, ProfileVersionARN: p.ARN.String(), ARN: p.ARN.Unversioned().String(),
		PlatformID: awsprofile.PlatformID, PlatformDisplayName: signing.PlatformDisplayName,
		Parameters: p.Parameters, Status: string(p.Status), Tags: tagsOf(in.Tags), Material: material(p.Certificate),
	}
	if p.Validity != (signing.Validity{}) {
		out.Validity = &validityOut{p.Validity.Value, p.Validity.Type}
	}
	return out
}

func listedProfiles(in *signing.ListSigningProfilesOutput) profilesOut {
	out := profilesOut{Profiles: []profileOut{}, NextToken: in.NextToken}
	for i := range in.Profiles {
		out.Profiles = append(out.Profiles, listedProfile(&in.Profiles[i]))
	}
	return out
}

type jobOut struct {
	JobID               string            `json:"jobId"`
	ProfileName         string            `json:"profileName"`
	ProfileVersion      string            `json:"profileVersion"`
	Material            *materialOut      `json:"signingMaterial,omitzero"`
	PlatformID          string            `json:"platformId"`
	PlatformDisplayName string            `json:"platformDisplayName"`
	CreatedAt           epoch             `json:"createdAt,omitzero"`
	CompletedAt         epoch             `json:"completedAt,omitzero"`
	SignatureExpiresAt  epoch             `json:"signatureExpiresAt,omitzero"`
	RequestedBy         string            `json:"requestedBy,omitempty"`
	Status              string            `json:"status"`
	StatusReason        string            `json:"statusReason,omitempty"`
	Revocation          *jobRevocationOut `json:"revocationRecord,omitzero"`
	IsRevoked           *bool             `json:"isRevoked,omitzero"`
	JobOwner            string            `json:"jobOwner"`
	JobInvoker          string            `json:"jobInvoker,omitempty"`
}

type jobRevocationOut struct {
	Reason    string `json:"reason,omitempty"`
	RevokedAt epoch  `json:"revokedAt,omitzero"`
	RevokedBy string `json:"revokedBy,omitempty"`
}

type jobsOut struct {
	Jobs      []jobOut `json:"jobs"`
	NextToken string   `json:"nextToken,omitempty"`
}

func commonJob(j *signing.Job) jobOut {
	return jobOut{
		JobID: j.ARN.ID, ProfileName: j.Profile.Name, ProfileVersion: j.Profile.Version,
		PlatformID: awsprofile.PlatformID, PlatformDisplayName: signing.PlatformDisplayName,
		CreatedAt: epoch{j.Created}, SignatureExpiresAt: epoch{j.Expires},
		Status: string(j.Status), JobOwner: j.ARN.Account, JobInvoker: j.Invoker,
		Material: material(j.Certificate),
	}
}

// describedJob is DescribeSigningJob's answer.
func describedJob(j *signing.Job) jobOut {
	out := commonJob(j)
	out.CompletedAt, out.RequestedBy = epoch{j.Completed}, j.RequestedBy
	if j.Status == signing.JobSucceeded {
		out.StatusReason = "Signing Succeeded"
	}
	if r := j.Revocation; r != nil {
		out.Revocation = &jobRevocationOut{r.Reason, epoch{r.RevokedAt}, r.RevokedBy}
	}
	return out
}

func listedJobs(in *signing.ListSigningJobsOutput) jobsOut {
	out := jobsOut{Jobs: []jobOut{}, NextToken: in.NextToken}
	for i := range in.Jobs {
		job := commonJob(&in.Jobs[i])
		revoked := in.Jobs[i].Revocation != nil
		job.IsRevoked = &revoked
		out.Jobs = append(out.Jobs, job)
	}
	return out
}

type revisionOut struct {
	RevisionID string `json:"revisionId"`
}

type permissionOut struct {
	Action         string `json:"action"`
	Principal      string `json:"principal"`
	StatementID    string `json:"statementId"`
	ProfileVersion string `json:"profileVersion,omitempty"`
}

type permissionsOut struct {
	RevisionID      string          `json:"revisionId,omitempty"`
	PolicySizeBytes int             `json:"policySizeBytes"`
	Permissions     []permissionOut `json:"permissions"`
	NextToken       string          `json:"nextToken,omitempty"`
}

func listedPermissions(in *signing.ListProfilePermissionsOutput) permissionsOut {
	out := permissionsOut{RevisionID: in.RevisionID, PolicySizeBytes: in.PolicySizeBytes, Permissions: []permissionOut{}, NextToken: in.NextToken}
	for _, p := range in.Permissions {
		out.Permissions = append(out.Permissions, permissionOut{p.Action, p.Principal, p.StatementID, p.ProfileVersion})
	}
	return out
}

type revocationStatusOut struct {
	RevokedEntities []string `json:"revokedEntities"`
}

type platformOut struct {
	PlatformID          string                  `json:"platformId"`
	DisplayName         string                  `json:"displayName"`
	Partner             string                  `json:"partner,omitempty"`
	Target              string                  `json:"target,omitempty"`
	Category            string                  `json:"category,omitempty"`
	Configuration       signingConfigurationOut `json:"signingConfiguration"`
	ImageFormat         imageFormatOut          `json:"signingImageFormat"`
	MaxSizeInMB         int                     `json:"maxSizeInMB"`
	RevocationSupported bool                    `json:"revocationSupported"`
}

type signingConfigurationOut struct {
	Encryption choiceOut `json:"encryptionAlgorithmOptions"`
	Hash       choiceOut `json:"hashAlgorithmOptions"`
}

type choiceOut struct {
	Allowed []string `json:"allowedValues"`
	Default string   `json:"defaultValue"`
}

type imageFormatOut struct {
	Supported []string `json:"supportedFormats"`
	Default   string   `json:"defaultFormat"`
}

func describedPlatform(p signing.Platform) platformOut {
	return platformOut{
		PlatformID: p.PlatformID, DisplayName: p.DisplayName, Partner: p.Partner, Target: p.Target, Category: p.Category,
		Configuration: signingConfigurationOut{choiceOut{[]string{p.EncryptionAlgorithm}, p.EncryptionAlgorithm}, choiceOut{[]string{p.HashAlgorithm}, p.HashAlgorithm}},
		ImageFormat:   imageFormatOut{[]string{"JSONEmbedded"}, "JSONEmbedded"},
		MaxSizeInMB:   p.MaxSizeInMB, RevocationSupported: p.RevocationSupported,
	}
}

type platformsOut struct {
	Platforms []platformOut `json:"platforms"`
	NextToken string        `json:"nextToken,omitempty"`
}

func listedPlatforms(in *signing.ListSigningPlatformsOutput) platformsOut {
	out := platformsOut{Platforms: []platformOut{}, NextToken: in.NextToken}
	for _, p := range in.Platforms {
		out.Platforms = append(out.Platforms, describedPlatform(p))
	}
	return out
}

type tagsOut struct {
	Tags map[string]string `json:"tags"`
}

func tagsOf(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}

func list(in []string) []string {
	if in == nil {
		return []string{}
	}
	return in
}

// append writes the answer without reflection: it is the one that is asked for
// often, and long. Not ok: a text is not UTF-8.
func (o *signPayloadOut) append() (_ []byte, ok bool) {
	size := 128 + base64.StdEncoding.EncodedLen(len(o.Signature))
	for k, v := range o.Metadata {
		size += len(k) + len(v) + 6
	}
	b := make([]byte, 0, size)
	var err error
	text := func(before, s string) {
		if err == nil {
			b, err = jsontext.AppendQuote(append(b, before...), s)
		}
	}
	text(`{"jobId":`, o.JobID)
	text(`,"jobOwner":`, o.JobOwner)
	before := `,"metadata":{`
	for _, k := range slices.Sorted(maps.Keys(o.Metadata)) {
		text(before, k)
		text(":", o.Metadata[k])
		before = ","
	}
	if len(o.Metadata) > 0 {
		b = append(b, '}')
	}
	b = base64.StdEncoding.AppendEncode(append(b, `,"signature":"`...), o.Signature)
	return append(b, `"}`...), err == nil
}
