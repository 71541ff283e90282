package sqlstore

import (
	"strings"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

const certificateColumns = `arn, chain, ids, sealed_key, not_before, not_after, imported, deleted`

// certificateARN reads a column with the ARN of a certificate; empty: none.
func certificateARN(text string) (awsprofile.Certificate, error) {
	if text == "" {
		return awsprofile.Certificate{}, nil
	}
	return awsprofile.ParseCertificate(text)
}

func certificateOf(r row) (c signing.Certificate, err error) {
	c = signing.Certificate{NotBefore: r.time(4), NotAfter: r.time(5), Imported: r.time(6)}
	if sealed := r.blob(3); len(sealed) > 0 {
		c.SealedKey = sealed
	}
	if ids := r.text(2); ids != "" {
		c.IDs = strings.Split(ids, "\n")
	}
	if !r.null(7) {
		c.Deleted = r.time(7)
	}
	if c.ARN, err = certificateARN(r.text(0)); err != nil {
		return signing.Certificate{}, err
	}
	c.Chain, err = splitParts(r.blob(1))
	return c, err
}

// orNull is t, and NULL when there is none.
func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func (t *tx) AddCertificate(c signing.Certificate) error {
	_, err := t.change("certificate "+c.ARN.ID, "INSERT INTO certificates ("+certificateColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		c.ARN.String(), joinParts(c.Chain), strings.Join(c.IDs, "\n"), c.SealedKey, c.NotBefore, c.NotAfter, c.Imported, orNull(c.Deleted))
	return err
}

func (t *tx) Certificate(arn awsprofile.Certificate) (c signing.Certificate, err error) {
	err = t.one("certificate "+arn.ID, "SELECT "+certificateColumns+" FROM certificates WHERE arn = ?",
		func(r row) error { c, err = certificateOf(r); return err }, arn.String())
	return c, err
}

// Certificates are all, in the order they were added.
func (t *tx) Certificates() (list []signing.Certificate, err error) {
	err = t.query("certificates", "SELECT "+certificateColumns+" FROM certificates ORDER BY seq", func(r row) error {
		c, err := certificateOf(r)
		list = append(list, c)
		return err
	})
	return list, err
}

// CertificatesInUse are those that an active profile signs with.
func (t *tx) CertificatesInUse() (list []awsprofile.Certificate, err error) {
	err = t.query("certificates in use", "SELECT DISTINCT certificate FROM profiles WHERE current = 1 AND status = ? AND certificate <> '' ORDER BY certificate", func(r row) error {
		arn, err := certificateARN(r.text(0))
		list = append(list, arn)
		return err
	}, string(signing.ProfileActive))
	return list, err
}

// SetCertificate stores SealedKey and Deleted.
func (t *tx) SetCertificate(c signing.Certificate) error {
	return t.must("certificate "+c.ARN.ID, "UPDATE certificates SET sealed_key = ?, deleted = ? WHERE arn = ?",
		c.SealedKey, orNull(c.Deleted), c.ARN.String())
}
