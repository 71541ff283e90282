package signing

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// GetRevocationStatus says which of the things asked about are revoked, in
// the words they were asked in. A job of ours that we never made is revoked:
// somebody forged it, or our state was rolled back.
func (s *Service) GetRevocationStatus(ctx context.Context, c Caller, in GetRevocationStatusInput) (*GetRevocationStatusOutput, error) {
	profile, job, err := s.checkStatus(&c, in)
	if err != nil {
		return nil, err
	}
	if e := c.mayAct(actionStatus, profile); e != nil {
		return nil, e
	}
	out := &GetRevocationStatusOutput{}
	var notices []string
	err = s.view(ctx, func(tx Tx) error {
		out.RevokedEntities, notices = nil, nil
		if err := s.ourAccount(tx, &c, profile); err != nil {
			return err
		}
		revoked, why, err := profileRevoked(tx, profile, in.SignatureTimestamp)
		if err != nil {
			return err
		}
		if revoked {
			out.RevokedEntities = append(out.RevokedEntities, in.ProfileVersionARN)
		}
		notices = append(notices, why)
		if revoked, why, err = jobRevoked(tx, job, profile, in.CertificateHashes); err != nil {
			return err
		}
		if revoked {
			out.RevokedEntities = append(out.RevokedEntities, in.JobARN)
		}
		notices = append(notices, why)
		ids, err := tx.RevokedIDs(in.CertificateHashes)
		out.RevokedEntities = append(out.RevokedEntities, ids...)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, why := range notices {
		if why != "" {
			s.notice(ctx, "revocation was asked of what this signer did not make, and reported as revoked",
				"why", why, "profile", profile.String(), "job", job.String(), "principal", c.Principal, "requestId", c.RequestID)
		}
	}
	return out, nil
}

func (s *Service) checkStatus(c *Caller, in GetRevocationStatusInput) (profile awsprofile.Profile, job awsprofile.Job, err error) {
	if err := checkPlatform(in.PlatformID); err != nil {
		return profile, job, err
	}
	if in.SignatureTimestamp.IsZero() {
		return profile, job, invalid("signatureTimestamp is missing.")
	}
	if profile, err = awsprofile.ParseProfile(in.ProfileVersionARN); err != nil || profile.Version == "" {
		return profile, job, invalid("profileVersionArn %.200q is not the ARN of a signing profile version.", in.ProfileVersionARN)
	}
	if job, err = awsprofile.ParseJob(in.JobARN); err != nil {
		return profile, job, invalid("jobArn %.200q is not the ARN of a signing job.", in.JobARN)
	}
	switch {
	case profile.Partition != s.Partition || job.Partition != s.Partition:
		return profile, job, invalid("This signer knows the revocation of partition %s only, not of %s and %s.", s.Partition, profile.Partition, job.Partition)
	case profile.Region != s.Region || job.Region != s.Region:
		return profile, job, invalid("This signer knows the revocation of region %s only, not of %s and %s.", s.Region, profile.Region, job.Region)
	case profile.Account != job.Account:
		return profile, job, invalid("The signing profile is of account %s and the signing job of account %s.", profile.Account, job.Account)
	case len(in.CertificateHashes) == 0 || len(in.CertificateHashes) > limits.RevocationHashes:
		return profile, job, invalid("certificateHashes has %d values; it has to have between 1 and %d.", len(in.CertificateHashes), limits.RevocationHashes)
	}
	if i := slices.IndexFunc(in.CertificateHashes, func(h string) bool { return !awsprofile.ValidCertificateID(h) }); i >= 0 {
		return profile, job, invalid("certificateHashes has the value %.200q, which is not a certificate id: 192 lower-case hexadecimal digits.", in.CertificateHashes[i])
	}
	return profile, job, nil
}

// ourAccount: an account is served here when it is the caller's or has a
// profile. Of others we know nothing, and say so.
func (s *Service) ourAccount(tx Tx, c *Caller, p awsprofile.Profile) error {
	if p.Account == c.Account {
		return nil
	}
	list, err := tx.Profiles(ProfileQuery{Account: p.Account, Limit: 1})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return denied(c, actionStatus, p.String(), "this signer has no signing profile of account "+p.Account)
	}
	return nil
}

func profileRevoked(tx Tx, arn awsprofile.Profile, signed time.Time) (revoked bool, why string, err error) {
	p, err := tx.ProfileVersion(arn.Account, arn.Name, arn.Version)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && p.ARN != arn:
		return true, "no such profile version", nil
	case err != nil:
		return false, "", err
	}
	return p.Revocation != nil && !signed.Before(p.Revocation.EffectiveFrom), "", nil
}

// jobRevoked: a job is good with the certificate alone that it was signed with.
// Verifiers may trust a CA that issues to others too, a company's above an
// imported certificate, and whoever has one of those can write the ARN of any
// job into a signature: of one below our own CAs as well.
func jobRevoked(tx Tx, arn awsprofile.Job, profile awsprofile.Profile, certificates []string) (revoked bool, why string, err error) {
	job, err := tx.Job(arn.Account, arn.ID)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && job.ARN != arn:
		return true, "no such job", nil
	case err != nil:
		return false, "", err
	case job.Profile != profile:
		return true, "the job is of another profile version", nil
	case len(job.CertificateIDs) == 0: // every job has its leaf's
		return true, "the stored job is damaged: it does not say which certificate signed it", nil
	case !slices.Contains(certificates, job.CertificateIDs[0]):
		return true, "the job was signed with another certificate", nil
	}
	return job.Revocation != nil, "", nil
}
