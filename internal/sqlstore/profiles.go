package sqlstore

import (
	"maps"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

const profileColumns = `partition, region, account, name, version, kind, validity_value, validity_type, parameters,
	status, reason, created, status_by, status_at, current, revoked_from, revoked_at, revoked_by, revoked_reason, certificate`

func profileOf(r row) (signing.Profile, error) {
	p := signing.Profile{
		ARN:      awsprofile.Profile{Partition: r.text(0), Region: r.text(1), Account: r.text(2), Name: r.text(3), Version: r.text(4)},
		Kind:     signing.Kind(r.text(5)),
		Validity: signing.Validity{Value: int(r.number(6)), Type: r.text(7)},
		Status:   signing.ProfileStatus(r.text(9)), Reason: r.text(10), Created: r.time(11),
		StatusBy: r.text(12), StatusAt: r.time(13), Current: r.yes(14),
	}
	if !r.null(16) {
		p.Revocation = &signing.ProfileRevocation{
			EffectiveFrom: r.time(15), RevokedAt: r.time(16), RevokedBy: r.text(17), Reason: r.text(18),
		}
	}
	var err error
	if p.Certificate, err = certificateARN(r.text(19)); err != nil {
		return signing.Profile{}, err
	}
	if text := r.text(8); text != "{}" {
		if err := decode(text, &p.Parameters); err != nil {
			return signing.Profile{}, err
		}
	}
	return p, nil
}

// profileKey is what a profile is read by; an empty version is the current.
type profileKey struct{ account, name, version string }

// profilesRead is how many profiles a writer remembers.
const profilesRead = 1000

// Profile is the current version of account's profile.
func (t *tx) Profile(account, name string) (signing.Profile, error) {
	return t.profile(profileKey{account, key(name), ""})
}

func (t *tx) ProfileVersion(account, name, version string) (signing.Profile, error) {
	if version == "" {
		return signing.Profile{}, notFound("profile " + name + "/")
	}
	return t.profile(profileKey{account, key(name), version})
}

// profile reads a profile. A writer remembers it, since each signature reads
// its profile twice: until a profile changes, here or in another process, and
// for no longer than its transaction stands.
func (t *tx) profile(k profileKey) (p signing.Profile, err error) {
	if err := t.usable(false); err != nil {
		return p, err
	}
	if t.w != nil {
		if p, ok := t.w.profiles[k]; ok {
			return copyOf(p), nil
		}
	}
	sql, args := " AND current = 1", []any{k.account, k.name}
	if k.version != "" {
		sql, args = " AND version = ?", append(args, k.version)
	}
	err = t.one("profile "+k.name, "SELECT "+profileColumns+" FROM profiles WHERE account = ? AND name_key = ?"+sql,
		func(r row) error { p, err = profileOf(r); return err }, args...)
	if err == nil && t.w != nil {
		if len(t.w.profiles) >= profilesRead {
			clear(t.w.profiles)
		}
		t.w.profiles[k] = copyOf(p)
	}
	return p, err
}

// copyOf shares nothing with p that a caller could change.
func copyOf(p signing.Profile) signing.Profile {
	p.Parameters = maps.Clone(p.Parameters)
	if p.Revocation != nil {
		r := *p.Revocation
		p.Revocation = &r
	}
	return p
}

// changeProfile is change for profiles: none that was read counts any more.
func (t *tx) changeProfile(what, sql string, args ...any) (int64, error) {
	if t.w != nil {
		t.profiles = true
		clear(t.w.profiles)
	}
	return t.change(what, sql, args...)
}

// revocation is four columns of a profile.
func revocation(p signing.Profile) []any {
	if r := p.Revocation; r != nil {
		return []any{r.EffectiveFrom, r.RevokedAt, r.RevokedBy, r.Reason}
	}
	return []any{nil, nil, nil, nil}
}

// AddProfile stores a version and makes it the current one.
func (t *tx) AddProfile(p signing.Profile) error {
	what := "profile " + p.ARN.Name + "/" + p.ARN.Version
	parameters := "{}"
	if len(p.Parameters) > 0 {
		var err error
		if parameters, err = encode(p.Parameters); err != nil {
			return err
		}
	}
	if _, err := t.changeProfile(what, "UPDATE profiles SET current = 0 WHERE account = ? AND name_key = ? AND current = 1",
		p.ARN.Account, key(p.ARN.Name)); err != nil {
		return err
	}
	args := append([]any{
		p.ARN.Partition, p.ARN.Region, p.ARN.Account, p.ARN.Name, p.ARN.Version, string(p.Kind), p.Validity.Value,
		p.Validity.Type, parameters, string(p.Status), p.Reason, p.Created, p.StatusBy, p.StatusAt, true,
	}, revocation(p)...)
	_, err := t.changeProfile(what, "INSERT INTO profiles ("+profileColumns+`, name_key)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(args, p.Certificate.String(), key(p.ARN.Name))...)
	return err
}

// SetProfile replaces a version's status, reason and revocation.
func (t *tx) SetProfile(p signing.Profile) error {
	args := append([]any{string(p.Status), p.Reason, p.StatusBy, p.StatusAt}, revocation(p)...)
	what := "profile " + p.ARN.Name + "/" + p.ARN.Version
	n, err := t.changeProfile(what, `UPDATE profiles SET status = ?, reason = ?, status_by = ?, status_at = ?,
		revoked_from = ?, revoked_at = ?, revoked_by = ?, revoked_reason = ? WHERE account = ? AND name_key = ? AND version = ?`,
		append(args, p.ARN.Account, key(p.ARN.Name), p.ARN.Version)...)
	if err == nil && n == 0 {
		return notFound(what)
	}
	return err
}

// Profiles lists current versions by name after the one named, at most limit.
func (t *tx) Profiles(q signing.ProfileQuery) (list []signing.Profile, err error) {
	sql := "SELECT " + profileColumns + " FROM profiles WHERE current = 1 AND account = ? AND name_key > ?"
	args := []any{q.Account, key(q.After)}
	if len(q.Statuses) > 0 {
		statuses, err := encode(q.Statuses)
		if err != nil {
			return nil, err
		}
		sql += " AND status IN (SELECT value FROM json_each(?))" // one statement, however many
		args = append(args, statuses)
	}
	if q.Certificate != (awsprofile.Certificate{}) {
		sql += " AND certificate = ?"
		args = append(args, q.Certificate.String())
	}
	err = t.query("profiles", sql+" ORDER BY name_key LIMIT ?", func(r row) error {
		p, err := profileOf(r)
		list = append(list, p)
		return err
	}, append(args, q.Limit)...)
	return list, err
}

// Tags are those of a profile; none: empty.
func (t *tx) Tags(account, name string) (map[string]string, error) {
	tags := map[string]string{}
	err := t.query("tags", "SELECT tags FROM profile_names WHERE account = ? AND name_key = ?",
		func(r row) error { return decode(r.text(0), &tags) }, account, key(name))
	return tags, err
}

func (t *tx) SetTags(account, name string, tags map[string]string) error {
	if tags == nil {
		tags = map[string]string{}
	}
	text, err := encode(tags)
	if err != nil {
		return err
	}
	_, err = t.change("tags", `INSERT INTO profile_names (account, name_key, tags) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET tags = excluded.tags`, account, key(name), text)
	return err
}

// permission is signing.Permission as it is kept.
type permission struct {
	StatementID    string `json:"statementId"`
	Action         string `json:"action"`
	Principal      string `json:"principal"`
	ProfileVersion string `json:"profileVersion,omitzero"`
}

// Permissions of a profile in the order they were set; none: an empty
// revision and list.
func (t *tx) Permissions(account, name string) (revision string, list []signing.Permission, err error) {
	var kept []permission
	err = t.query("permissions", "SELECT revision, permissions FROM profile_names WHERE account = ? AND name_key = ?",
		func(r row) error { revision = r.text(0); return decode(r.text(1), &kept) }, account, key(name))
	for _, p := range kept {
		list = append(list, signing.Permission(p))
	}
	return revision, list, err
}

func (t *tx) SetPermissions(account, name, revision string, list []signing.Permission) error {
	kept := make([]permission, 0, len(list))
	for _, p := range list {
		kept = append(kept, permission(p))
	}
	text, err := encode(kept)
	if err != nil {
		return err
	}
	_, err = t.change("permissions", `INSERT INTO profile_names (account, name_key, revision, permissions) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET revision = excluded.revision, permissions = excluded.permissions`, account, key(name), revision, text)
	return err
}
