package signing

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

func checkReason(reason string) error {
	if n := utf8.RuneCountInString(reason); n < 1 || n > 500 || !utf8.ValidString(reason) {
		return invalid("Value at 'reason' failed to satisfy constraint: Member must have length between 1 and 500")
	}
	return nil
}

// RevokeSignature takes one signature back, for good. A second time changes
// nothing. Of KindStandard the certificate goes into the CRL at once.
func (s *Service) RevokeSignature(ctx context.Context, c Caller, in RevokeSignatureInput) error {
	owner := in.JobOwner
	if owner == "" {
		owner = c.Account
	}
	resource := s.jobARN(owner, in.JobID).String()
	switch {
	case !awsprofile.ValidAccount(owner):
		return invalid("Value %.40q at 'jobOwner' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9]{12}$", owner)
	case !allowsAction(c.Actions, actionRevokeSignature):
		return noIdentityPolicy(&c, actionRevokeSignature, resource)
	}
	if err := checkReason(in.Reason); err != nil {
		return err
	}
	s.state.revoking.Lock()
	defer s.state.revoking.Unlock()
	var job Job
	err := s.update(ctx, func(tx Tx) (err error) {
		if job, err = s.revocableJob(tx, &c, owner, in.JobID); err != nil || job.Revocation != nil {
			return err
		}
		job.Revocation = &JobRevocation{Reason: in.Reason, RevokedAt: s.Now().UTC(), RevokedBy: c.Principal}
		return s.revokeJob(tx, &c, job)
	})
	if err != nil || job.Kind != KindStandard {
		return err
	}
	return s.listed(s.reissue(ctx, job.Authority))
}

// revocableJob is a job that the caller may revoke.
func (s *Service) revocableJob(tx Tx, c *Caller, owner, id string) (Job, error) {
	resource := s.jobARN(owner, id).String()
	job, err := findJob(tx, owner, id)
	if e := refusal(err); e != nil && owner != c.Account {
		return Job{}, noResourcePolicy(c, actionRevokeSignature, resource)
	}
	if err != nil {
		return Job{}, err
	}
	if !c.allowsProfile(job.Profile) {
		return Job{}, noIdentityPolicy(c, actionRevokeSignature, resource)
	}
	if err := s.mayCross(tx, c, actionRevokeSignature, job.Profile); err != nil {
		if refusal(err) != nil {
			err = noResourcePolicy(c, actionRevokeSignature, resource)
		}
		return Job{}, err
	}
	return job, nil
}

func (s *Service) revokeJob(tx Tx, c *Caller, job Job) error {
	if err := tx.SetJobRevocation(job); err != nil {
		return err
	}
	e := audit.Entry{ProfileVersion: job.Profile.String(), Job: job.ARN.String(), Detail: "signature; " + job.Revocation.Reason}
	if job.Kind == KindStandard {
		e.Serial = job.Serial
		if err := listLeaf(tx, job, job.Revocation.RevokedAt); err != nil {
			return err
		}
		if err := tx.AddRevokedID(job.CertificateIDs[0], job.Revocation.RevokedAt); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		if err := crlDue(tx, job.Authority); err != nil {
			return err
		}
	}
	return s.note(tx, c, audit.Revocation, actionRevokeSignature, e)
}

// listLeaf puts the leaf of a job of KindStandard on the list that its
// authority's next CRL is made of.
func listLeaf(tx Tx, job Job, at time.Time) error {
	if there, err := tx.CertificateRevoked(job.Authority, job.Serial); err != nil || there {
		return err
	}
	return tx.AddRevokedCertificate(RevokedCertificate{Authority: job.Authority, Serial: job.Serial, At: at, Job: job.ARN.ID})
}

// crlDue marks that a CRL has to be made anew: should that fail now, then
// the next refresh does it.
func crlDue(tx Tx, id string) error {
	a, err := tx.Authority(id)
	if err != nil {
		return err
	}
	a.CRLNext = time.Time{}
	return tx.SetAuthority(a)
}

// listed words the failure to publish what is revoked already.
func (s *Service) listed(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Fault: FaultUnavailable, Message: "the revocation is recorded, but the CRL could not be made yet; it will be tried again", Err: err}
}

// RevokeSigningProfile takes back all signatures of a profile version that
// were made at or after EffectiveTime, and ends new ones. Again, it may move
// that time earlier, never later.
func (s *Service) RevokeSigningProfile(ctx context.Context, c Caller, in RevokeSigningProfileInput) error {
	p, effective, err := s.checkRevokeProfile(&c, in)
	if err != nil {
		return err
	}
	s.state.revoking.Lock()
	defer s.state.revoking.Unlock()
	var profile Profile
	var authorities []string
	err = s.update(ctx, func(tx Tx) (err error) {
		if profile, err = findVersion(tx, p); err != nil {
			return err
		}
		authorities, err = s.revokeProfile(tx, &c, &profile, effective, in.Reason)
		return err
	})
	if err != nil {
		return err
	}
	s.forget(profile.ARN)
	if len(authorities) == 0 {
		return nil // it never signed
	}
	failed := s.reissue(ctx, intermediateID(s.Intermediate))
	if profile.Kind == KindStandard {
		if err := s.revokeLeaves(ctx, &c, profile); err != nil {
			return err
		}
		for _, id := range authorities {
			failed = errors.Join(failed, s.reissue(ctx, id))
		}
	}
	return s.listed(failed)
}

func (s *Service) checkRevokeProfile(c *Caller, in RevokeSigningProfileInput) (p awsprofile.Profile, effective time.Time, err error) {
	if !awsprofile.ValidName(in.ProfileName) {
		return p, effective, badName(in.ProfileName)
	}
	if !awsprofile.ValidVersion(in.ProfileVersion) {
		return p, effective, invalid("Value %.40q at 'profileVersion' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9]{10}$", in.ProfileVersion)
	}
	p = s.profileARN(c.Account, in.ProfileName)
	p.Version = in.ProfileVersion
	if e := c.mayActOnOwn(actionRevokeProfile, p); e != nil {
		return p, effective, e
	}
	if err := checkReason(in.Reason); err != nil {
		return p, effective, err
	}
	// Signing times are whole seconds: the second it lies in is taken back whole.
	effective = in.EffectiveTime.UTC().Truncate(time.Second)
	switch now := s.Now(); {
	case in.EffectiveTime.IsZero():
		return p, effective, invalid("effectiveTime is missing.")
	case effective.After(now):
		return p, effective, invalid("effectiveTime %s lies in the future; it has to be in the past.", effective.Format(time.RFC3339))
	case effective.Year() < 1970:
		return p, effective, invalid("effectiveTime lies before 1970.")
	}
	return p, effective, nil
}

func findVersion(tx Tx, p awsprofile.Profile) (Profile, error) {
	if _, err := findProfile(tx, p.Account, p.Name); err != nil {
		return Profile{}, err
	}
	v, err := tx.ProfileVersion(p.Account, p.Name, p.Version)
	if errors.Is(err, ErrNotFound) {
		return Profile{}, notFound("Signing profile %s has no version %s.", p.Name, p.Version)
	}
	return v, err
}

// revokeProfile stores the revocation and gives the issuing CAs of the version.
func (s *Service) revokeProfile(tx Tx, c *Caller, p *Profile, effective time.Time, reason string) ([]string, error) {
	now := s.Now().UTC()
	known := p.Revocation != nil
	switch {
	case known && effective.After(p.Revocation.EffectiveFrom):
		return nil, invalid("Version %s of signing profile %s is revoked from %s already; that can be moved earlier, not later.",
			p.ARN.Version, p.ARN.Name, p.Revocation.EffectiveFrom.UTC().Format(time.RFC3339))
	case !known || effective.Before(p.Revocation.EffectiveFrom):
		p.Status, p.Reason, p.StatusBy, p.StatusAt = ProfileRevoked, reason, c.Principal, now
		p.Revocation = &ProfileRevocation{EffectiveFrom: effective, RevokedAt: now, RevokedBy: c.Principal, Reason: reason}
		if err := tx.SetProfile(*p); err != nil {
			return nil, err
		}
		detail := fmt.Sprintf("profile version from %s; %s", effective.Format(time.RFC3339), reason)
		if err := s.note(tx, c, audit.Revocation, actionRevokeProfile, audit.Entry{ProfileVersion: p.ARN.String(), Detail: detail}); err != nil {
			return nil, err
		}
	}
	return s.revokeAuthorities(tx, p.ARN, effective, now)
}

// revokeAuthorities lists the issuing CAs of a profile version in their
// issuer's CRL from the effective time on.
func (s *Service) revokeAuthorities(tx Tx, p awsprofile.Profile, effective, now time.Time) ([]string, error) {
	all, err := tx.Authorities()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, a := range all {
		if a.Profile != p {
			continue
		}
		ids = append(ids, a.ID)
		if a.Revoked == nil {
			a.Revoked = &AuthorityRevocation{At: now}
		}
		a.Revoked = &AuthorityRevocation{At: a.Revoked.At, InvalidityDate: effective}
		a.CRLNext = time.Time{}
		if err := tx.SetAuthority(a); err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return ids, crlDue(tx, intermediateID(s.Intermediate))
}

// revokeLeaves lists the leaves of a version of KindStandard that were issued
// at or after the effective time, some at a time: there may be very many. The
// issuing CA is listed already, so that an end half-way loses nothing; the
// same request again goes on.
func (s *Service) revokeLeaves(ctx context.Context, c *Caller, p Profile) error {
	after, from, listed := "", p.Revocation.EffectiveFrom, 0
	for {
		var page, hit []Job
		err := s.view(ctx, func(tx Tx) (err error) {
			page, err = tx.Jobs(JobQuery{Account: p.ARN.Account, After: after, Limit: limits.RevokeBatch})
			return err
		})
		if err != nil {
			return err
		}
		for _, j := range page {
			if j.Profile == p.ARN && !j.SignedAt.Before(from) {
				hit = append(hit, j)
			}
		}
		if len(hit) > 0 {
			if err := s.listLeaves(ctx, hit); err != nil {
				return err
			}
			listed += len(hit)
		}
		// Newest first: the rest was made before.
		if len(page) < limits.RevokeBatch || page[len(page)-1].Created.Before(from.Add(-limits.SignTime-limits.ClockBack)) {
			break
		}
		after = page[len(page)-1].ARN.ID
	}
	if listed == 0 {
		return nil
	}
	return s.update(ctx, func(tx Tx) error {
		detail := fmt.Sprintf("%d certificates of the profile version listed", listed)
		return s.note(tx, c, audit.Revocation, actionRevokeProfile, audit.Entry{ProfileVersion: p.ARN.String(), Detail: detail})
	})
}

func (s *Service) listLeaves(ctx context.Context, jobs []Job) error {
	return s.update(ctx, func(tx Tx) error {
		now := s.Now().UTC()
		for _, j := range jobs {
			if err := listLeaf(tx, j, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// RevokeCertificate has GetRevocationStatus report a certificate, by its id
// (awsprofile.CertificateIDs), whatever signature it is in: for a leaf or CA
// whose key is out of hand. by names the operator.
func (s *Service) RevokeCertificate(ctx context.Context, by, id, reason string) error {
	if !awsprofile.ValidCertificateID(id) {
		return invalid("%.200q is no certificate id: 192 lower-case hexadecimal digits.", id)
	}
	if err := checkReason(reason); err != nil {
		return err
	}
	return s.update(ctx, func(tx Tx) error {
		there, err := tx.RevokedIDs([]string{id})
		if err != nil || len(there) > 0 {
			return err
		}
		if err := tx.AddRevokedID(id, s.Now().UTC()); err != nil {
			return err
		}
		return s.note(tx, &Caller{Principal: by}, audit.Revocation, "signer:RevokeCertificate", audit.Entry{Detail: "certificate id " + id + "; " + reason})
	})
}
