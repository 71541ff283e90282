package sqlstore

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

const authorityColumns = `id, profile, chain, sealed_key, not_before, not_after, crl_number, crl_next, revoked_at, revoked_invalid, crl`

// profileText is the ARN, and nothing for the intermediate's zero profile.
func profileText(p awsprofile.Profile) string {
	if p == (awsprofile.Profile{}) {
		return ""
	}
	return p.String()
}

func authorityOf(r row) (a signing.Authority, err error) {
	a = signing.Authority{
		ID: r.text(0), SealedKey: r.blob(3), NotBefore: r.time(4), NotAfter: r.time(5),
		CRLNumber: r.number(6), CRLNext: r.time(7), CRL: r.blob(10),
	}
	if !r.null(8) {
		a.Revoked = &signing.AuthorityRevocation{At: r.time(8), InvalidityDate: r.time(9)}
	}
	if text := r.text(1); text != "" {
		if a.Profile, err = awsprofile.ParseProfile(text); err != nil {
			return signing.Authority{}, err
		}
	}
	a.Chain, err = splitParts(r.blob(2))
	return a, err
}

// joinParts is list as one value, each part after its length; splitParts
// takes it apart.
func joinParts(list [][]byte) []byte {
	var out []byte
	for _, b := range list {
		out = binary.AppendUvarint(out, uint64(len(b)))
		out = append(out, b...)
	}
	return out
}

func splitParts(data []byte) (list [][]byte, err error) {
	for len(data) > 0 {
		n, k := binary.Uvarint(data)
		if k <= 0 || n > uint64(len(data)-k) {
			return nil, errors.New("a kept chain is cut off")
		}
		list = append(list, data[k:k+int(n)])
		data = data[k+int(n):]
	}
	return list, nil
}

func authorityRevocation(a signing.Authority) (at, invalidity any) {
	if r := a.Revoked; r != nil {
		return r.At, r.InvalidityDate
	}
	return nil, nil
}

func (t *tx) AddAuthority(a signing.Authority) error {
	at, invalidity := authorityRevocation(a)
	_, err := t.change("authority "+a.ID, "INSERT INTO authorities ("+authorityColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.ID, profileText(a.Profile), joinParts(a.Chain), a.SealedKey, a.NotBefore, a.NotAfter, a.CRLNumber, a.CRLNext, at, invalidity, a.CRL)
	return err
}

func (t *tx) Authority(id string) (a signing.Authority, err error) {
	err = t.one("authority "+id, "SELECT "+authorityColumns+" FROM authorities WHERE id = ?",
		func(r row) error { a, err = authorityOf(r); return err }, id)
	return a, err
}

// AuthorityOf is the newest one of a profile version.
func (t *tx) AuthorityOf(p awsprofile.Profile) (a signing.Authority, err error) {
	err = t.one("authority of "+profileText(p), "SELECT "+authorityColumns+" FROM authorities WHERE profile = ? ORDER BY seq DESC LIMIT 1",
		func(r row) error { a, err = authorityOf(r); return err }, profileText(p))
	return a, err
}

// Authorities are all, in the order they were added.
func (t *tx) Authorities() (list []signing.Authority, err error) {
	err = t.query("authorities", "SELECT "+authorityColumns+" FROM authorities ORDER BY seq", func(r row) error {
		a, err := authorityOf(r)
		list = append(list, a)
		return err
	})
	return list, err
}

// SetAuthority stores CRLNumber, CRL, CRLNext, Revoked.
func (t *tx) SetAuthority(a signing.Authority) error {
	at, invalidity := authorityRevocation(a)
	return t.must("authority "+a.ID, "UPDATE authorities SET crl_number = ?, crl = ?, crl_next = ?, revoked_at = ?, revoked_invalid = ? WHERE id = ?",
		a.CRLNumber, a.CRL, a.CRLNext, at, invalidity, a.ID)
}

func (t *tx) AddRevokedCertificate(r signing.RevokedCertificate) error {
	_, err := t.change("revoked certificate "+r.Serial, "INSERT INTO revoked_certificates (authority, serial, at, job) VALUES (?, ?, ?, ?)",
		r.Authority, r.Serial, r.At, r.Job)
	return err
}

// RevokedCertificates are those of one authority, oldest first.
func (t *tx) RevokedCertificates(authority string) (list []signing.RevokedCertificate, err error) {
	err = t.query("revoked certificates", "SELECT serial, at, job FROM revoked_certificates WHERE authority = ? ORDER BY at, seq", func(r row) error {
		list = append(list, signing.RevokedCertificate{Authority: authority, Serial: r.text(0), At: r.time(1), Job: r.text(2)})
		return nil
	}, authority)
	return list, err
}

func (t *tx) CertificateRevoked(authority, serial string) (revoked bool, err error) {
	err = t.query("revoked certificate", "SELECT 1 FROM revoked_certificates WHERE authority = ? AND serial = ?",
		func(row) error { revoked = true; return nil }, authority, serial)
	return revoked, err
}

// RevokedIDs says which of ids were added, in their order.
func (t *tx) RevokedIDs(ids []string) (revoked []string, err error) {
	for _, id := range ids {
		err := t.query("revoked ids", "SELECT 1 FROM revoked_ids WHERE id = ?",
			func(row) error { revoked = append(revoked, id); return nil }, id)
		if err != nil {
			return nil, err
		}
	}
	return revoked, nil
}

// RevokedEditions are those that were added of the certificates that ids name,
// in the order of ids. Ids are hexadecimal: g is after all that they hold.
func (t *tx) RevokedEditions(ids []string) (revoked []string, err error) {
	for _, id := range ids {
		own := awsprofile.OwnHash(id)
		err := t.query("revoked ids", "SELECT id FROM revoked_ids WHERE id >= ? AND id < ? ORDER BY id",
			func(r row) error { revoked = append(revoked, r.text(0)); return nil }, own, own+"g")
		if err != nil {
			return nil, err
		}
	}
	return revoked, nil
}

// AddRevokedID adds id; one that is there keeps its time.
func (t *tx) AddRevokedID(id string, at time.Time) error {
	_, err := t.change("revoked id", "INSERT INTO revoked_ids (id, at) VALUES (?, ?) ON CONFLICT DO NOTHING", id, at)
	return err
}

const credentialColumns = `access_key_id, sealed_secret, account, principal, actions, profiles, created, expires, disabled`

func credentialOf(r row) (c signing.Credential, err error) {
	c = signing.Credential{
		AccessKeyID: r.text(0), SealedSecret: r.blob(1), Account: r.text(2), Principal: r.text(3),
		Created: r.time(6), Expires: r.time(7), Disabled: r.yes(8),
	}
	if c.Actions, err = parseWords(r.text(4)); err != nil {
		return signing.Credential{}, err
	}
	c.Profiles, err = parseWords(r.text(5))
	return c, err
}

func (t *tx) AddCredential(c signing.Credential) error {
	actions, err := words(c.Actions)
	if err != nil {
		return err
	}
	profiles, err := words(c.Profiles)
	if err != nil {
		return err
	}
	_, err = t.change("credential "+c.AccessKeyID, "INSERT INTO credentials ("+credentialColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		c.AccessKeyID, c.SealedSecret, c.Account, c.Principal, actions, profiles, c.Created, c.Expires, c.Disabled)
	return err
}

func (t *tx) Credential(accessKeyID string) (c signing.Credential, err error) {
	err = t.one("credential "+accessKeyID, "SELECT "+credentialColumns+" FROM credentials WHERE access_key_id = ?",
		func(r row) error { c, err = credentialOf(r); return err }, accessKeyID)
	return c, err
}

// Credentials are all, by when they were made.
func (t *tx) Credentials() (list []signing.Credential, err error) {
	err = t.query("credentials", "SELECT "+credentialColumns+" FROM credentials ORDER BY created, access_key_id", func(r row) error {
		c, err := credentialOf(r)
		list = append(list, c)
		return err
	})
	return list, err
}

// SetCredential stores Disabled and Expires.
func (t *tx) SetCredential(c signing.Credential) error {
	return t.must("credential "+c.AccessKeyID, "UPDATE credentials SET disabled = ?, expires = ? WHERE access_key_id = ?",
		c.Disabled, c.Expires, c.AccessKeyID)
}
