package signing

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/shuin/shuin/awsprofile"
)

// findJob is a job of an account.
func findJob(tx Tx, account, id string) (Job, error) {
	if !awsprofile.ValidJobID(id) {
		return Job{}, invalid("Value %.80q at 'jobId' is not the id of a signing job.", id)
	}
	j, err := tx.Job(account, id)
	if errors.Is(err, ErrNotFound) {
		return Job{}, notFound("Signing job %s was not found in account %s.", id, account)
	}
	return j, err
}

// DescribeSigningJob gives one job of the caller's account.
func (s *Service) DescribeSigningJob(ctx context.Context, c Caller, jobID string) (*Job, error) {
	if !allowsAction(c.Actions, actionDescribeJob) {
		return nil, noIdentityPolicy(&c, actionDescribeJob, s.jobARN(c.Account, jobID).String())
	}
	var job Job
	err := s.view(ctx, func(tx Tx) error {
		j, err := findJob(tx, c.Account, jobID)
		if err != nil {
			return err
		}
		if !c.allowsProfile(j.Profile) {
			return noIdentityPolicy(&c, actionDescribeJob, j.ARN.String())
		}
		job = j
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &job, nil
}

func (s *Service) jobARN(account, id string) awsprofile.Job {
	return awsprofile.Job{Partition: s.Partition, Region: s.Region, Account: account, ID: id}
}

// ListSigningJobs lists the jobs of the caller's account, newest first.
func (s *Service) ListSigningJobs(ctx context.Context, c Caller, in ListSigningJobsInput) (*ListSigningJobsOutput, error) {
	if e := c.mayActOnAll(actionListJobs); e != nil {
		return nil, e
	}
	n, err := pageSize(in.MaxResults)
	if err != nil {
		return nil, err
	}
	q, err := jobQuery(&c, in)
	if err != nil {
		return nil, err
	}
	bound := []string{"jobs", c.Account, in.Status, in.PlatformID, in.RequestedBy, in.JobInvoker, revokedText(in.IsRevoked),
		in.ExpiresBefore.UTC().Format(time.RFC3339Nano), in.ExpiresAfter.UTC().Format(time.RFC3339Nano)}
	if q.After, err = s.state.tokens.read(bound, in.NextToken); err != nil {
		return nil, err
	}
	out := &ListSigningJobsOutput{}
	if in.PlatformID != "" && in.PlatformID != awsprofile.PlatformID || q.Status != "" && q.Status != JobSucceeded {
		return out, nil // SignPayload makes finished jobs of the one platform only
	}
	q.Limit = n + 1
	err = s.view(ctx, func(tx Tx) error {
		list, err := tx.Jobs(q)
		if err != nil {
			return err
		}
		if len(list) > n {
			list = list[:n]
			out.NextToken = s.state.tokens.make(bound, list[n-1].ARN.ID)
		}
		out.Jobs = list
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func revokedText(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}

func jobQuery(c *Caller, in ListSigningJobsInput) (JobQuery, error) {
	switch in.Status {
	case "", "InProgress", "Failed", string(JobSucceeded):
	default:
		return JobQuery{}, invalid("Value %.40q at 'status' failed to satisfy constraint: Member must satisfy enum value set: [InProgress, Failed, Succeeded]", in.Status)
	}
	if in.JobInvoker != "" && !awsprofile.ValidAccount(in.JobInvoker) {
		return JobQuery{}, invalid("Value %.40q at 'jobInvoker' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9]{12}$", in.JobInvoker)
	}
	return JobQuery{
		Account: c.Account, Status: JobStatus(in.Status), RequestedBy: in.RequestedBy, Invoker: in.JobInvoker,
		Revoked: in.IsRevoked, ExpiresBefore: in.ExpiresBefore, ExpiresAfter: in.ExpiresAfter,
	}, nil
}
