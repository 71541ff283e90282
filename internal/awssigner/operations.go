package awssigner

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// Each operation here reads its members, asks the service, and gives what is
// to be encoded (nil: an empty answer).

func signPayload(ctx context.Context, s Service, q *request) (any, error) {
	var in struct {
		ProfileName   *string `json:"profileName"`
		ProfileOwner  *string `json:"profileOwner"`
		Payload       []byte  `json:"payload"`
		PayloadFormat *string `json:"payloadFormat"`
	}
	if err := q.decode(&in, true); err != nil {
		return nil, err
	}
	ask := signing.SignPayloadInput{
		ProfileName:   q.need("profileName", in.ProfileName, profileNameRule),
		ProfileOwner:  q.text("profileOwner", in.ProfileOwner, accountRule),
		PayloadFormat: q.need("payloadFormat", in.PayloadFormat, anyText),
		Payload:       in.Payload,
	}
	if in.Payload == nil {
		q.missing("payload")
	} else {
		q.length("payload", len(in.Payload), 1, payloadMost)
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.SignPayload(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return signPayloadOut{out.JobID, out.JobOwner, out.Metadata, out.Signature}, nil
}

func startSigningJob(ctx context.Context, s Service, q *request) (any, error) {
	var in struct {
		Source *struct {
			S3 *struct {
				BucketName *string `json:"bucketName"`
				Key        *string `json:"key"`
				Version    *string `json:"version"`
			} `json:"s3"`
		} `json:"source"`
		Destination        *struct{} `json:"destination"`
		ProfileName        *string   `json:"profileName"`
		ProfileOwner       *string   `json:"profileOwner"`
		ClientRequestToken *string   `json:"clientRequestToken"`
	}
	if err := q.decode(&in, false); err != nil {
		return nil, err
	}
	if in.Source == nil {
		q.missing("source")
	} else if s3 := in.Source.S3; s3 != nil {
		q.need("source.s3.bucketName", s3.BucketName, anyText)
		q.need("source.s3.key", s3.Key, anyText)
		q.need("source.s3.version", s3.Version, anyText)
	}
	if in.Destination == nil {
		q.missing("destination")
	}
	name := q.need("profileName", in.ProfileName, profileNameRule)
	q.text("profileOwner", in.ProfileOwner, accountRule)
	q.need("clientRequestToken", in.ClientRequestToken, anyText)
	if err := q.invalid(); err != nil {
		return nil, err
	}
	return nil, s.StartSigningJob(ctx, q.caller, name)
}

func describeSigningJob(ctx context.Context, s Service, q *request) (any, error) {
	job, err := s.DescribeSigningJob(ctx, q.caller, q.labels[0])
	if err != nil {
		return nil, err
	}
	return describedJob(job), nil
}

func listSigningJobs(ctx context.Context, s Service, q *request) (any, error) {
	p := q.params()
	ask := signing.ListSigningJobsInput{
		Status:        p.text("status", jobStatusRule),
		PlatformID:    p.text("platformId", anyText),
		RequestedBy:   p.text("requestedBy", anyText),
		JobInvoker:    p.text("jobInvoker", accountRule),
		MaxResults:    p.maxResults(),
		NextToken:     p.text("nextToken", anyText),
		IsRevoked:     p.flag("isRevoked"),
		ExpiresBefore: p.time("signatureExpiresBefore", false),
		ExpiresAfter:  p.time("signatureExpiresAfter", false),
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.ListSigningJobs(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return listedJobs(out), nil
}

func revokeSignature(ctx context.Context, s Service, q *request) (any, error) {
	var in struct {
		Reason   *string `json:"reason"`
		JobOwner *string `json:"jobOwner"`
	}
	if err := q.decode(&in, false); err != nil {
		return nil, err
	}
	ask := signing.RevokeSignatureInput{
		JobID:    q.labels[0],
		JobOwner: q.text("jobOwner", in.JobOwner, accountRule),
		Reason:   q.need("reason", in.Reason, reasonRule),
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	return nil, s.RevokeSignature(ctx, q.caller, ask)
}

// profileName is the label of the profile operations, checked.
func (q *request) profileName() string { return q.text("profileName", &q.labels[0], profileNameRule) }

func putSigningProfile(ctx context.Context, s Service, q *request) (any, error) {
	var in struct {
		PlatformID *string `json:"platformId"`
		Validity   *struct {
			Value *int32  `json:"value"`
			Type  *string `json:"type"`
		} `json:"signatureValidityPeriod"`
		Material *struct {
			CertificateARN *string `json:"certificateArn"`
		} `json:"signingMaterial"`
		Overrides  *struct{}          `json:"overrides"`
		Parameters map[string]*string `json:"signingParameters"`
		Tags       map[string]*string `json:"tags"`
	}
	if err := q.decode(&in, false); err != nil {
		return nil, err
	}
	ask := signing.PutSigningProfileInput{
		ProfileName: q.profileName(),
		PlatformID:  q.need("platformId", in.PlatformID, anyText),
		Overrides:   in.Overrides != nil,
		Tags:        q.tagMap("tags", in.Tags),
	}
	if in.Material != nil {
		ask.SigningMaterial = &signing.SigningMaterial{CertificateARN: q.need("signingMaterial.certificateArn", in.Material.CertificateARN, anyText)}
	}
	if v := in.Validity; v != nil {
		ask.Validity = &signing.Validity{Type: q.need("signatureValidityPeriod.type", v.Type, validityRule)}
		if v.Value == nil {
			q.missing("signatureValidityPeriod.value")
		} else {
			ask.Validity.Value = int(*v.Value)
		}
	}
	if in.Parameters != nil {
		ask.Parameters = make(map[string]string, len(in.Parameters))
		for k, v := range in.Parameters {
			ask.Parameters[k] = q.need("signingParameters."+clip(k, limits.APIEchoBytes), v, anyText)
		}
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.PutSigningProfile(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return putSigningProfileOut{out.ARN, out.ProfileVersion, out.ProfileVersionARN}, nil
}

func getSigningProfile(ctx context.Context, s Service, q *request) (any, error) {
	ask := signing.GetSigningProfileInput{ProfileName: q.profileName(), ProfileOwner: q.params().text("profileOwner", accountRule)}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.GetSigningProfile(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return describedProfile(out), nil
}

func listSigningProfiles(ctx context.Context, s Service, q *request) (any, error) {
	p := q.params()
	canceled := p.flag("includeCanceled")
	ask := signing.ListSigningProfilesInput{
		IncludeCanceled: canceled != nil && *canceled,
		MaxResults:      p.maxResults(),
		NextToken:       p.text("nextToken", anyText),
		PlatformID:      p.text("platformId", anyText),
		Statuses:        q.list("statuses", p.values["statuses"], statusRule),
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.ListSigningProfiles(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return listedProfiles(out), nil
}

func cancelSigningProfile(ctx context.Context, s Service, q *request) (any, error) {
	name := q.profileName()
	if err := q.invalid(); err != nil {
		return nil, err
	}
	return nil, s.CancelSigningProfile(ctx, q.caller, name)
}

func revokeSigningProfile(ctx context.Context, s Service, q *request) (any, error) {
	var in struct {
		ProfileVersion *string        `json:"profileVersion"`
		Reason         *string        `json:"reason"`
		EffectiveTime  jsontext.Value `json:"effectiveTime"`
	}
	if err := q.decode(&in, false); err != nil {
		return nil, err
	}
	ask := signing.RevokeSigningProfileInput{
		ProfileName:    q.profileName(),
		ProfileVersion: q.need("profileVersion", in.ProfileVersion, versionRule),
		Reason:         q.need("reason", in.Reason, reasonRule),
		EffectiveTime:  q.epochTime("effectiveTime", in.EffectiveTime),
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	return nil, s.RevokeSigningProfile(ctx, q.caller, ask)
}

func addProfilePermission(ctx context.Context, s Service, q *request) (any, error) {
	var in struct {
		Action         *string `json:"action"`
		Principal      *string `json:"principal"`
		StatementID    *string `json:"statementId"`
		ProfileVersion *string `json:"profileVersion"`
		RevisionID     *string `json:"revisionId"`
	}
	if err := q.decode(&in, false); err != nil {
		return nil, err
	}
	ask := signing.AddProfilePermissionInput{
		ProfileName:    q.profileName(),
		Action:         q.need("action", in.Action, anyText),
		Principal:      q.need("principal", in.Principal, anyText),
		StatementID:    q.need("statementId", in.StatementID, anyText),
		ProfileVersion: q.text("profileVersion", in.ProfileVersion, versionRule),
		RevisionID:     q.text("revisionId", in.RevisionID, anyText),
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	revision, err := s.AddProfilePermission(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return revisionOut{revision}, nil
}

func listProfilePermissions(ctx context.Context, s Service, q *request) (any, error) {
	ask := signing.ListProfilePermissionsInput{ProfileName: q.profileName(), NextToken: q.params().text("nextToken", anyText)}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.ListProfilePermissions(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return listedPermissions(out), nil
}

func removeProfilePermission(ctx context.Context, s Service, q *request) (any, error) {
	ask := signing.RemoveProfilePermissionInput{ProfileName: q.profileName(), StatementID: q.labels[1], RevisionID: q.params().need("revisionId", anyText)}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	revision, err := s.RemoveProfilePermission(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return revisionOut{revision}, nil
}

func getRevocationStatus(ctx context.Context, s Service, q *request) (any, error) {
	p := q.params()
	ask := signing.GetRevocationStatusInput{
		SignatureTimestamp: p.time("signatureTimestamp", true),
		PlatformID:         p.need("platformId", anyText),
		ProfileVersionARN:  p.need("profileVersionArn", arnRule),
		JobARN:             p.need("jobArn", arnRule),
		CertificateHashes:  p.values["certificateHashes"],
	}
	if ask.CertificateHashes == nil {
		q.missing("certificateHashes")
	} else {
		q.length("certificateHashes", len(ask.CertificateHashes), 1, limits.RevocationHashes)
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.GetRevocationStatus(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return revocationStatusOut{list(out.RevokedEntities)}, nil
}

func getSigningPlatform(ctx context.Context, s Service, q *request) (any, error) {
	out, err := s.GetSigningPlatform(ctx, q.caller, q.labels[0])
	if err != nil {
		return nil, err
	}
	return describedPlatform(*out), nil
}

func listSigningPlatforms(ctx context.Context, s Service, q *request) (any, error) {
	p := q.params()
	ask := signing.ListSigningPlatformsInput{
		Category:   p.text("category", anyText),
		Partner:    p.text("partner", anyText),
		Target:     p.text("target", anyText),
		MaxResults: p.maxResults(),
		NextToken:  p.text("nextToken", anyText),
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	out, err := s.ListSigningPlatforms(ctx, q.caller, ask)
	if err != nil {
		return nil, err
	}
	return listedPlatforms(out), nil
}

func tagResource(ctx context.Context, s Service, q *request) (any, error) {
	var in struct {
		Tags map[string]*string `json:"tags"`
	}
	if err := q.decode(&in, false); err != nil {
		return nil, err
	}
	if in.Tags == nil {
		q.missing("tags")
	}
	tags := q.tagMap("tags", in.Tags)
	if err := q.invalid(); err != nil {
		return nil, err
	}
	return struct{}{}, s.TagResource(ctx, q.caller, q.labels[0], tags)
}

func untagResource(ctx context.Context, s Service, q *request) (any, error) {
	keys := q.params().values["tagKeys"]
	if keys == nil {
		q.missing("tagKeys")
	} else {
		q.length("tagKeys", len(keys), 1, tagsMost)
		q.list("tagKeys", keys, tagKeyRule)
	}
	if err := q.invalid(); err != nil {
		return nil, err
	}
	return struct{}{}, s.UntagResource(ctx, q.caller, q.labels[0], keys)
}

func listTagsForResource(ctx context.Context, s Service, q *request) (any, error) {
	tags, err := s.ListTagsForResource(ctx, q.caller, q.labels[0])
	if err != nil {
		return nil, err
	}
	return tagsOut{tagsOf(tags)}, nil
}
