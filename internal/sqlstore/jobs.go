package sqlstore

import (
	"strings"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

const (
	madeColumns = `partition, region, account, id, profile, kind, requested_by, invoker, created, completed, signed_at,
	expires, status, payload_sha256, signature_input, authority, serial, certificate_ids, entry`
	jobColumns = madeColumns + `, revoked_at, revoked_by, revoked_reason, certificate`
)

func jobOf(r row) (signing.Job, error) {
	j := signing.Job{
		ARN:  awsprofile.Job{Partition: r.text(0), Region: r.text(1), Account: r.text(2), ID: r.text(3)},
		Kind: signing.Kind(r.text(5)), RequestedBy: r.text(6), Invoker: r.text(7), Created: r.time(8), Completed: r.time(9),
		SignedAt: r.time(10), Expires: r.time(11), Status: signing.JobStatus(r.text(12)), PayloadSHA256: r.text(13),
		SignatureInput: r.text(14), Authority: r.text(15), Serial: r.text(16), Entry: r.number(18),
	}
	if ids := r.text(17); ids != "" {
		j.CertificateIDs = strings.Split(ids, "\n")
	}
	if !r.null(19) {
		j.Revocation = &signing.JobRevocation{RevokedAt: r.time(19), RevokedBy: r.text(20), Reason: r.text(21)}
	}
	var err error
	if j.Certificate, err = certificateARN(r.text(22)); err != nil {
		return signing.Job{}, err
	}
	j.Profile, err = awsprofile.ParseProfile(r.text(4))
	return j, err
}

func jobRevocation(j signing.Job) (at, by, reason any) {
	if r := j.Revocation; r != nil {
		return r.RevokedAt, r.RevokedBy, r.Reason
	}
	return nil, nil, nil
}

// AddJob leaves out what a usual job does not have: each value that is bound
// costs time at every signature.
func (t *tx) AddJob(j signing.Job) error {
	what, sql := "job "+j.ARN.ID, "INSERT INTO jobs ("+madeColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	args := append(make([]any, 0, 23),
		j.ARN.Partition, j.ARN.Region, j.ARN.Account, j.ARN.ID, j.Profile.String(), string(j.Kind), j.RequestedBy, j.Invoker,
		j.Created, j.Completed, j.SignedAt, j.Expires, string(j.Status), j.PayloadSHA256, j.SignatureInput,
		j.Authority, j.Serial, strings.Join(j.CertificateIDs, "\n"), j.Entry)
	if j.Revocation != nil || j.Certificate != (awsprofile.Certificate{}) {
		sql = "INSERT INTO jobs (" + jobColumns + `)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
		at, by, reason := jobRevocation(j)
		args = append(args, at, by, reason, j.Certificate.String())
	}
	_, err := t.change(what, sql, args...)
	return err
}

func (t *tx) Job(account, id string) (j signing.Job, err error) {
	err = t.one("job "+id, "SELECT "+jobColumns+" FROM jobs WHERE id = ? AND account = ?",
		func(r row) error { j, err = jobOf(r); return err }, id, account)
	return j, err
}

// SetJobRevocation stores j.Revocation.
func (t *tx) SetJobRevocation(j signing.Job) error {
	at, by, reason := jobRevocation(j)
	return t.must("job "+j.ARN.ID, "UPDATE jobs SET revoked_at = ?, revoked_by = ?, revoked_reason = ? WHERE id = ? AND account = ?",
		at, by, reason, j.ARN.ID, j.ARN.Account)
}

// Jobs lists newest first, after (older than) the job named, at most limit.
// The page is read off an index; jobs that Status or the expiry leave out on
// the way are read too. A job named that is not there is signing.ErrNotFound.
func (t *tx) Jobs(q signing.JobQuery) (list []signing.Job, err error) {
	var sql strings.Builder
	sql.WriteString("SELECT " + jobColumns + " FROM jobs WHERE account = ?")
	args := []any{q.Account}
	and := func(condition string, values ...any) {
		sql.WriteString(" AND " + condition)
		args = append(args, values...)
	}
	if q.After != "" {
		var created, seq int64
		err := t.one("job "+q.After, "SELECT created, seq FROM jobs WHERE id = ? AND account = ?",
			func(r row) error { created, seq = r.number(0), r.number(1); return nil }, q.After, q.Account)
		if err != nil {
			return nil, err
		}
		and("(created, seq) < (?, ?)", created, seq)
	}
	if q.Revoked != nil {
		and(map[bool]string{true: "revoked_at IS NOT NULL", false: "revoked_at IS NULL"}[*q.Revoked])
	}
	if q.Status != "" {
		and("status = ?", string(q.Status))
	}
	if q.RequestedBy != "" {
		and("requested_by = ?", q.RequestedBy)
	}
	if q.Invoker != "" {
		and("invoker = ?", q.Invoker)
		if q.Invoker != q.Account {
			and("invoker <> account") // as its index says
		}
	}
	if !q.ExpiresBefore.IsZero() {
		and("expires < ?", q.ExpiresBefore)
	}
	if !q.ExpiresAfter.IsZero() {
		and("expires > ?", q.ExpiresAfter)
	}
	sql.WriteString(" ORDER BY created DESC, seq DESC LIMIT ?")
	err = t.query("jobs", sql.String(), func(r row) error {
		j, err := jobOf(r)
		list = append(list, j)
		return err
	}, append(args, q.Limit)...)
	return list, err
}
