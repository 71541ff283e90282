package awsclient

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/aws-sdk-go-v2/service/signer/types"
)

// Job is one signature that was made, in the API's words.
type Job struct {
	ID         string           `json:"jobId"`
	Owner      string           `json:"jobOwner,omitempty"`
	Invoker    string           `json:"jobInvoker,omitempty"`
	Profile    string           `json:"profileName,omitempty"`
	Version    string           `json:"profileVersion,omitempty"`
	PlatformID string           `json:"platformId,omitempty"`
	Platform   string           `json:"platformDisplayName,omitempty"`
	Requester  string           `json:"requestedBy,omitempty"`
	Status     string           `json:"status,omitempty"`
	Reason     string           `json:"statusReason,omitempty"`
	Created    *time.Time       `json:"createdAt,omitempty"`
	Completed  *time.Time       `json:"completedAt,omitempty"`
	Expires    *time.Time       `json:"signatureExpiresAt,omitempty"`
	Material   *SigningMaterial `json:"signingMaterial,omitempty"`
	Revoked    bool             `json:"isRevoked"`
	Revocation *Revocation      `json:"revocationRecord,omitempty"`
}

// Job looks a job up.
func (a *Admin) Job(ctx context.Context, r JobRef) (Job, error) {
	out, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "DescribeSigningJob", resource: r.resource()}, func(ctx context.Context, c *signer.Client) (*signer.DescribeSigningJobOutput, error) {
		return c.DescribeSigningJob(ctx, &signer.DescribeSigningJobInput{JobId: aws.String(r.ID)})
	})
	if err != nil {
		return Job{}, err
	}
	j := Job{
		ID: deref(out.JobId), Owner: deref(out.JobOwner), Invoker: deref(out.JobInvoker), Profile: deref(out.ProfileName), Version: deref(out.ProfileVersion),
		PlatformID: deref(out.PlatformId), Platform: deref(out.PlatformDisplayName), Requester: deref(out.RequestedBy),
		Status: string(out.Status), Reason: deref(out.StatusReason), Material: material(out.SigningMaterial),
		Created: timeOf(out.CreatedAt), Completed: timeOf(out.CompletedAt), Expires: timeOf(out.SignatureExpiresAt),
	}
	if v := out.RevocationRecord; v != nil {
		j.Revoked = true
		j.Revocation = &Revocation{Reason: deref(v.Reason), RevokedAt: timeOf(v.RevokedAt), RevokedBy: deref(v.RevokedBy)}
	}
	if r.ARN.ID != "" && j.Owner != "" && j.Owner != r.ARN.Account {
		return Job{}, invalidf("job %s is of account %s, not %s", r.ID, j.Owner, r.ARN.Account)
	}
	return j, nil
}

// JobFilter selects jobs. Zero fields do not select.
type JobFilter struct {
	Status        string
	PlatformID    string
	RequestedBy   string
	Invoker       string
	Revoked       bool
	ExpiresBefore time.Time
	ExpiresAfter  time.Time
	Max           int // 0: all
}

// Jobs lists the account's jobs, newest first.
func (a *Admin) Jobs(ctx context.Context, f JobFilter) (list []Job, more bool, err error) {
	in := signer.ListSigningJobsInput{
		Status: types.SigningStatus(f.Status), PlatformId: optional(f.PlatformID), RequestedBy: optional(f.RequestedBy),
		JobInvoker: optional(f.Invoker), IsRevoked: f.Revoked, SignatureExpiresBefore: timeOf(&f.ExpiresBefore), SignatureExpiresAfter: timeOf(&f.ExpiresAfter),
	}
	found, more, err := pages("ListSigningJobs", f.Max, func(token *string, size *int32) ([]types.SigningJob, *string, error) {
		out, err := do(ctx, a, place{}, call{operation: "ListSigningJobs"}, func(ctx context.Context, c *signer.Client) (*signer.ListSigningJobsOutput, error) {
			q := in
			q.NextToken, q.MaxResults = token, size
			return c.ListSigningJobs(ctx, &q)
		})
		if err != nil {
			return nil, nil, err
		}
		return out.Jobs, out.NextToken, nil
	})
	list = make([]Job, 0, len(found))
	for _, j := range found {
		list = append(list, Job{
			ID: deref(j.JobId), Owner: deref(j.JobOwner), Invoker: deref(j.JobInvoker), Profile: deref(j.ProfileName), Version: deref(j.ProfileVersion),
			PlatformID: deref(j.PlatformId), Platform: deref(j.PlatformDisplayName), Status: string(j.Status), Revoked: j.IsRevoked, Material: material(j.SigningMaterial),
			Created: timeOf(j.CreatedAt), Expires: timeOf(j.SignatureExpiresAt),
		})
	}
	return list, more, err
}

// RevokeSignature makes one signature bad, for good.
func (a *Admin) RevokeSignature(ctx context.Context, r JobRef, reason string) error {
	_, err := do(ctx, a, place{r.ARN.Partition, r.ARN.Region}, call{operation: "RevokeSignature", resource: r.resource()}, func(ctx context.Context, c *signer.Client) (*signer.RevokeSignatureOutput, error) {
		return c.RevokeSignature(ctx, &signer.RevokeSignatureInput{JobId: aws.String(r.ID), JobOwner: optional(r.ARN.Account), Reason: aws.String(reason)})
	})
	return err
}
