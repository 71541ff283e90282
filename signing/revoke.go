package signing

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	release, err := s.state.revoking.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	var job Job
	err = s.update(ctx, func(tx Tx) (err error) {
		if job, err = s.revocableJob(tx, &c, owner, in.JobID); err != nil || job.Revocation != nil {
			return err
		}
		job.Revocation = &JobRevocation{Reason: in.Reason, RevokedAt: s.Now().UTC(), RevokedBy: c.Principal}
		return s.revokeJob(tx, &c, job)
	})
	if err != nil || job.Kind != KindStandard {
		return err
	}
	// What is durable goes on without its client, who may have gone meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.PublishTime)
	defer cancel()
	return listed(s.publish(ctx, []string{job.Authority}))
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
func listed(err error) error {
	if err == nil {
		return nil
	}
	why := "not every CRL could be made yet; it will be tried again"
	if errors.Is(err, ErrClock) {
		why = "no CRL is made while the signer's clock is refused: it is made as soon as that is right"
	}
	return &Error{Fault: FaultUnavailable, Message: "the revocation is recorded, but " + why, Err: err}
}

// RevokeSigningProfile takes back all signatures of a profile version that
// were made at or after EffectiveTime, and ends new ones. Again, it may move
// that time earlier, never later.
func (s *Service) RevokeSigningProfile(ctx context.Context, c Caller, in RevokeSigningProfileInput) error {
	p, effective, err := s.checkRevokeProfile(&c, in)
	if err != nil {
		return err
	}
	release, err := s.state.revoking.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	var profile Profile
	var authorities []Authority
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
	s.forget(profile)
	ctx = context.WithoutCancel(ctx) // there may be much to list
	var due, elsewhere []string
	for _, a := range authorities {
		if s.ofToday(a) {
			due = []string{s.intermediate()}
		} else {
			elsewhere = append(elsewhere, intermediateOf(a))
		}
	}
	if profile.Kind == KindStandard {
		for _, a := range authorities {
			due = append(due, a.ID)
		}
	}
	if err := listed(s.publish(ctx, due)); err != nil {
		return err
	}
	return s.listedInPart(ctx, profile, elsewhere)
}

// listedInPart tells of issuing CAs that no CRL can list any more, since the
// intermediate that made them was replaced. Of KindAWS nobody misses it:
// verifiers ask for the revocation status.
func (s *Service) listedInPart(ctx context.Context, p Profile, elsewhere []string) error {
	if len(elsewhere) == 0 || p.Kind != KindStandard {
		return nil
	}
	slices.Sort(elsewhere)
	names := strings.Join(slices.Compact(elsewhere), ", ")
	s.notice(ctx, "issuing CAs of a revoked profile version cannot be listed by the intermediate that made them: it was replaced", "profile", p.ARN.String(), "intermediate", names)
	return invalid("Version %s of signing profile %s is revoked, and each signature of it made from then on is listed in the CRL of its issuing CA. "+
		"But the issuing CAs themselves could not be listed: they are of an intermediate that was replaced, and makes no more CRLs. "+
		"Should the key of one be out of hand, revoke that intermediate in its root's CRL: %s.", p.ARN.Version, p.ARN.Name, names)
}

// ofToday: a was made by the intermediate that is here.
func (s *Service) ofToday(a Authority) bool {
	return len(a.Chain) > 1 && bytes.Equal(a.Chain[1], s.Intermediate.Chain()[0].Raw)
}

// intermediateOf names the intermediate that made a, for an operator.
func intermediateOf(a Authority) string {
	if len(a.Chain) > 1 {
		if cert, err := x509.ParseCertificate(a.Chain[1]); err == nil {
			return fmt.Sprintf("%s, serial %x", cert.Subject, cert.SerialNumber)
		}
	}
	return "unknown (issuing CA " + a.ID + ")"
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
	switch {
	case in.EffectiveTime.IsZero():
		return p, effective, invalid("effectiveTime is missing.")
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
func (s *Service) revokeProfile(tx Tx, c *Caller, p *Profile, effective time.Time, reason string) ([]Authority, error) {
	now := s.Now().UTC()
	signed, err := tx.Clock()
	if err != nil {
		return nil, err
	}
	known := p.Revocation != nil
	switch {
	case effective.After(latest(now, signed)): // a clock that was set back takes no signature out of reach
		return nil, invalid("effectiveTime %s lies in the future; it has to be in the past.", effective.Format(time.RFC3339))
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

// revokeAuthorities marks the issuing CAs of a profile version as revoked from
// the effective time on, and their CRLs and their issuer's as due.
func (s *Service) revokeAuthorities(tx Tx, p awsprofile.Profile, effective, now time.Time) ([]Authority, error) {
	all, err := tx.Authorities()
	if err != nil {
		return nil, err
	}
	var of []Authority
	for _, a := range all {
		if a.Profile != p {
			continue
		}
		of = append(of, a)
		if a.Revoked == nil {
			a.Revoked = &AuthorityRevocation{At: now}
		}
		a.Revoked = &AuthorityRevocation{At: a.Revoked.At, InvalidityDate: effective}
		a.CRLNext = time.Time{}
		if err := tx.SetAuthority(a); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(of, s.ofToday) {
		return of, nil
	}
	return of, crlDue(tx, s.intermediate())
}

// revokeLeaves lists the leaves of a revoked version of KindStandard that were
// issued at or after the effective time, some at a time: there may be very
// many. An end half-way loses nothing: see publish.
func (s *Service) revokeLeaves(ctx context.Context, version awsprofile.Profile) error {
	var p Profile
	err := s.view(ctx, func(tx Tx) (err error) {
		p, err = tx.ProfileVersion(version.Account, version.Name, version.Version)
		return err
	})
	if err != nil || p.Kind != KindStandard || p.Revocation == nil {
		return err
	}
	after, from := "", p.Revocation.EffectiveFrom
	for {
		page, err := s.revokePage(ctx, p, after)
		if err != nil {
			return err
		}
		// Newest first: the rest was made before.
		if len(page) < limits.RevokeBatch || page[len(page)-1].Created.Before(from.Add(-limits.SignTime-limits.ClockBack)) {
			return nil
		}
		after = page[len(page)-1].ARN.ID
	}
}

// revokePage reads the jobs after one, and lists the leaves among them that
// the revocation of p takes back and that are not listed yet. Their number is
// logged with them, so that it is right whatever becomes of later pages.
func (s *Service) revokePage(ctx context.Context, p Profile, after string) ([]Job, error) {
	var page, hit []Job
	err := s.view(ctx, func(tx Tx) (err error) {
		hit = nil
		page, err = tx.Jobs(JobQuery{Account: p.ARN.Account, After: after, Limit: limits.RevokeBatch})
		for _, j := range page {
			if j.Profile != p.ARN || j.SignedAt.Before(p.Revocation.EffectiveFrom) {
				continue
			}
			there, err := tx.CertificateRevoked(j.Authority, j.Serial)
			if err != nil {
				return err
			}
			if !there {
				hit = append(hit, j)
			}
		}
		return err
	})
	if err != nil || len(hit) == 0 {
		return page, err
	}
	return page, s.update(ctx, func(tx Tx) error {
		now := s.Now().UTC()
		for _, j := range hit {
			if err := listLeaf(tx, j, now); err != nil {
				return err
			}
		}
		detail := fmt.Sprintf("%d certificates of the profile version listed", len(hit))
		return s.note(tx, &Caller{Principal: p.Revocation.RevokedBy}, audit.Revocation, actionRevokeProfile, audit.Entry{ProfileVersion: p.ARN.String(), Detail: detail})
	})
}

// RevokedImports is what RevokeCertificate did.
type RevokedImports struct {
	IDs []string // that are reported from now on
	// Certificates are the imported ones that it is, or is above: they sign no
	// more. Deleted ones are among them.
	Certificates []awsprofile.Certificate
}

// RevokeCertificate has GetRevocationStatus report a certificate, whatever
// signature it is in: for a leaf or CA whose key is out of hand. what is its id
// (awsprofile.CertificateIDs) or the ARN of an imported one. An id names an
// edition of the issuer's certificate too: where the certificate was imported
// with another edition, its id there is reported as well. by names the operator.
func (s *Service) RevokeCertificate(ctx context.Context, by, what, reason string) (RevokedImports, error) {
	arn, notARN := awsprofile.ParseCertificate(what)
	if notARN != nil && !awsprofile.ValidCertificateID(what) {
		return RevokedImports{}, invalid("%.200q is no certificate id, which has 192 lower-case hexadecimal digits, nor the ARN of an imported certificate.", what)
	}
	if err := checkReason(reason); err != nil {
		return RevokedImports{}, err
	}
	var out RevokedImports
	err := s.update(ctx, func(tx Tx) error {
		out = RevokedImports{IDs: []string{what}}
		if notARN == nil {
			c, err := tx.Certificate(arn)
			if errors.Is(err, ErrNotFound) {
				return notFound("There is no certificate %s.", arn)
			}
			if err != nil {
				return err
			}
			if len(c.IDs) == 0 {
				return internal("revoke a certificate", fmt.Errorf("%s has no certificate id", arn))
			}
			out.IDs = c.IDs[:1]
		}
		if err := out.find(tx); err != nil {
			return err
		}
		return s.revokeIDs(tx, by, out.IDs, reason)
	})
	if err != nil {
		return RevokedImports{}, err
	}
	for _, c := range out.Certificates {
		s.forgetImported(c)
	}
	return out, nil
}

// find adds the imported certificates that IDs[0] is or is above, and its ids
// there.
func (r *RevokedImports) find(tx Tx) error {
	all, err := tx.Certificates()
	if err != nil {
		return err
	}
	own := awsprofile.OwnHash(r.IDs[0])
	for _, c := range all {
		i := slices.IndexFunc(c.IDs, func(id string) bool { return awsprofile.OwnHash(id) == own })
		if i < 0 {
			continue
		}
		r.Certificates = append(r.Certificates, c.ARN)
		if !slices.Contains(r.IDs, c.IDs[i]) {
			r.IDs = append(slices.Clone(r.IDs), c.IDs[i])
		}
	}
	return nil
}

// revokeIDs adds those that are not there yet, each with its entry.
func (s *Service) revokeIDs(tx Tx, by string, ids []string, reason string) error {
	there, err := tx.RevokedIDs(ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if slices.Contains(there, id) {
			continue
		}
		if err := tx.AddRevokedID(id, s.Now().UTC()); err != nil {
			return err
		}
		if err := s.note(tx, &Caller{Principal: by}, audit.CertificateRevocation, "signer:RevokeCertificate", audit.Entry{Detail: "certificate id " + id + "; " + reason}); err != nil {
			return err
		}
	}
	return nil
}
