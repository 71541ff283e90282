package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// ceremony does what is done with CA keys by hand, and logs it before and
// after in the signer's own log: no CA certificate is made in secret either.
type ceremony struct {
	c     *config
	now   func() time.Time
	store *sqlstore.Store
}

// ceremony opens the log, making data directory and database where they are
// not there yet.
func (a *app) ceremony(ctx context.Context, c *config, f func(*ceremony) error) error {
	if err := a.makeData(c); err != nil {
		return err
	}
	return a.logged(ctx, c, f)
}

// logged runs a ceremony whose data directory is there.
func (a *app) logged(ctx context.Context, c *config, f func(*ceremony) error) error {
	return a.withStore(ctx, c, func(store *sqlstore.Store) error {
		y := &ceremony{c: c, now: a.now, store: store}
		if err := y.clockFits(ctx); err != nil { // before anything is made
			return err
		}
		return f(y)
	})
}

// makeData makes the data directory where there is none. Root is warned where
// it, or what it is made in, is somebody else's.
func (a *app) makeData(c *config) error {
	there := c.Data
	for {
		if _, err := os.Lstat(there); err == nil || there == filepath.Dir(there) {
			break
		}
		there = filepath.Dir(there)
	}
	if name, foreign := foreignData(there); foreign {
		a.warnf("%s belongs to %s, and what this command makes there is root's: run it as that user, or chown -R it afterwards", there, name)
	}
	return os.MkdirAll(c.Data, dirPerm)
}

// exclusive is a ceremony beside which nothing else uses the data directory.
func (a *app) exclusive(ctx context.Context, c *config, f func(*ceremony) error) (err error) {
	if err := a.makeData(c); err != nil {
		return err
	}
	release, err := c.lockData()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	return a.logged(ctx, c, f)
}

// note appends an entry.
func (y *ceremony) note(ctx context.Context, e audit.Entry) (index int64, err error) {
	e.Time, e.Principal = y.now().UTC(), operator()
	err = y.store.Update(ctx, func(tx signing.Tx) (err error) {
		index, err = tx.AppendEntry(e)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write to the log: %w", err)
	}
	return index, nil
}

// make issues one CA: what says what for, f does it.
func (y *ceremony) make(ctx context.Context, what string, key crypto.Signer, f func(serial *big.Int) (*issue.Authority, error)) (*issue.Authority, error) {
	serial, err := issue.NewSerial()
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(public)
	attempt, err := y.note(ctx, audit.Entry{
		Kind: audit.IssueAttempt, Action: "shuind:IssueCA", Attempt: -1, Detail: what, Serial: hex.EncodeToString(serial.Bytes()), PublicKey: hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return nil, err
	}
	result := audit.Entry{Kind: audit.IssueResult, Action: "shuind:IssueCA", Attempt: attempt, Detail: what, Outcome: "ok"}
	made, err := f(serial)
	if err != nil {
		result.Outcome, result.Reason = "failed", oneLine(err.Error())
		_, noted := y.note(ctx, result)
		return nil, errors.Join(err, noted)
	}
	cert := made.Chain()[0]
	result.Certificate, result.Serial = fingerprint(cert), hex.EncodeToString(cert.SerialNumber.Bytes())
	if _, err := y.note(ctx, result); err != nil {
		return nil, err
	}
	return made, nil
}

// root makes a root.
func (y *ceremony) root(ctx context.Context, years int) (*issue.Authority, crypto.Signer, error) {
	key, err := issue.NewKey(issue.P384)
	if err != nil {
		return nil, nil, err
	}
	root, err := y.make(ctx, "root", key, func(serial *big.Int) (*issue.Authority, error) {
		now := y.now()
		return issue.NewRoot(y.c.caSubject("Signing Root CA"), key, serial, now.Add(-backdate), now.AddDate(years, 0, 0))
	})
	return root, key, err
}

// intermediate makes an intermediate below root, inside root's validity.
func (y *ceremony) intermediate(ctx context.Context, root *issue.Authority, years int) (*issue.Authority, crypto.Signer, error) {
	key, err := issue.NewKey(issue.P384)
	if err != nil {
		return nil, nil, err
	}
	ca, err := y.make(ctx, "intermediate", key, func(serial *big.Int) (*issue.Authority, error) {
		now := y.now()
		begin, end := now.Add(-backdate), now.AddDate(years, 0, 0)
		rootBegin, rootEnd := root.Validity()
		if begin.Before(rootBegin) {
			begin = rootBegin
		}
		if end.After(rootEnd) {
			end = rootEnd
		}
		return root.NewCA(ctx, issue.Request{
			MaxPathLen: 1, // the issuing CAs
			Subject:    y.c.caSubject("Signing CA " + now.UTC().Format("2006-01-02")),
			Serial:     serial, NotBefore: begin, NotAfter: end,
			CRL: y.c.crlAddress(crlID(root.Chain()[0])),
		}, key)
	})
	return ca, key, err
}

func (c *config) caSubject(what string) issue.Subject {
	s := c.CA.Subject
	return issue.Subject{Country: s.Country, Province: s.Province, Organization: s.Organization, CommonName: s.Organization + " " + what}
}

// rootCRL writes the root's CRL; before is the one it follows, nil for none.
func (y *ceremony) rootCRL(ctx context.Context, root *issue.Authority, before *x509.RevocationList, revoke ...issue.Revoked) error {
	number := big.NewInt(1)
	var revoked []issue.Revoked
	if before != nil {
		number.Add(before.Number, number)
		revoked = listed(before)
	}
	now := y.now()
	der, err := root.CRL(ctx, append(revoked, revoke...), number, now, now.Add(issue.RootCRLLife))
	if err != nil {
		return err
	}
	detail := fmt.Sprintf("CRL %v of the root", number)
	for _, r := range revoke {
		detail += "; revokes " + r.Serial.Text(16)
	}
	if _, err := y.note(ctx, audit.Entry{Kind: audit.Revocation, Action: "shuind:RootCRL", Attempt: -1, Detail: detail}); err != nil {
		return err
	}
	if err := os.MkdirAll(y.c.CRL.Directory, 0o755); err != nil {
		return err
	}
	return replaceFile(y.c.rootCRLPath(root.Chain()[0]), der, publicPerm)
}

// listed are the lines of a CRL, for the next one.
func listed(list *x509.RevocationList) []issue.Revoked {
	var revoked []issue.Revoked
	for _, e := range list.RevokedCertificateEntries {
		revoked = append(revoked, issue.Revoked{Serial: e.SerialNumber, At: e.RevocationTime, Reason: e.ReasonCode, InvalidityDate: invalidityDate(e)})
	}
	return revoked
}

// lastCRL makes the last CRL of an intermediate that is about to be replaced:
// good until the intermediate's own end, since nobody can make a newer one
// without its key. What is revoked later is listed by the issuing CAs, whose
// keys stay.
func (y *ceremony) lastCRL(ctx context.Context, old *issue.Authority) error {
	cert := old.Chain()[0]
	if !y.now().Before(cert.NotAfter) {
		return nil // nothing below it is valid any more
	}
	return y.store.Update(ctx, func(tx signing.Tx) error {
		row, err := intermediateRow(tx, cert)
		if err != nil || row == nil {
			return err // it never signed
		}
		revoked, err := revokedBelow(tx, *row)
		if err != nil {
			return err
		}
		row.CRLNumber++
		row.CRLNext = cert.NotAfter
		if row.CRL, err = old.CRL(ctx, revoked, big.NewInt(row.CRLNumber), y.now(), cert.NotAfter); err != nil {
			return err
		}
		return tx.SetAuthority(*row)
	})
}

// revokedBelow is what the next CRL of an intermediate lists: what the store
// says is revoked now, and what the newest CRL lists beside that. The store is
// believed first: while a CRL is due, the one there is does not have an earlier
// effective time that was set since.
func revokedBelow(tx signing.Tx, row signing.Authority) ([]issue.Revoked, error) {
	revoked, err := storedBelow(tx, row)
	if err != nil || len(row.CRL) == 0 {
		return revoked, err
	}
	before, err := x509.ParseRevocationList(row.CRL)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, r := range revoked {
		there[r.Serial.String()] = true
	}
	for _, r := range listed(before) {
		if !there[r.Serial.String()] {
			revoked = append(revoked, r)
		}
	}
	return revoked, nil
}

// storedBelow are the revoked issuing CAs of an intermediate.
func storedBelow(tx signing.Tx, row signing.Authority) ([]issue.Revoked, error) {
	all, err := tx.Authorities()
	if err != nil {
		return nil, err
	}
	var revoked []issue.Revoked
	for _, a := range all {
		if a.Revoked == nil || !below(a, row) {
			continue
		}
		cert, err := x509.ParseCertificate(a.Chain[0])
		if err != nil {
			return nil, err
		}
		revoked = append(revoked, issue.Revoked{Serial: cert.SerialNumber, At: a.Revoked.At, InvalidityDate: a.Revoked.InvalidityDate})
	}
	return revoked, nil
}

// below says whether the intermediate issued a.
func below(a, intermediate signing.Authority) bool {
	return len(a.Chain) > 1 && string(a.Chain[1]) == string(intermediate.Chain[0])
}

// intermediateRow is what the signing service keeps of an intermediate; nil
// for nothing.
func intermediateRow(tx signing.Tx, cert *x509.Certificate) (*signing.Authority, error) {
	all, err := tx.Authorities()
	for _, a := range all {
		if a.Profile.Name == "" && len(a.Chain) > 0 && string(a.Chain[0]) == string(cert.Raw) {
			return &a, nil
		}
	}
	return nil, err
}
