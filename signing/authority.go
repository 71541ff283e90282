package signing

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/issue"
)

// authority is an issuing CA ready for use.
type authority struct {
	id     string
	issuer *issue.Authority
	der    [][]byte // its chain
	ids    []string // certificate ids of its chain
	crl    string   // address of its CRL; empty: none
	retire time.Time
	// above is the certificate of the intermediate it was made under.
	above *x509.Certificate
	made  atomic.Uint64 // signatures under it, for the sampled self-check
}

const (
	// rotateAfter is how long an issuing CA issues. It is valid for longer, so
	// that its CRL outlives the signatures it has to be able to take back.
	rotateAfter = 365 * day
	// backdate is how far before now certificates begin: signing times of
	// requests under way may lie a little before.
	backdate = 5 * time.Minute
)

// authorityOf is the issuing CA for new leaves of a profile version: the one
// in memory, the newest in the store, or a new one.
func (s *Service) authorityOf(ctx context.Context, p awsprofile.Profile, kind Kind, at time.Time) (*authority, error) {
	if a := s.knownAuthority(p, at); a != nil {
		return a, nil
	}
	made, err := s.once(ctx, "authority "+p.String(), func(ctx context.Context) (any, error) {
		if a := s.knownAuthority(p, at); a != nil {
			return a, nil
		}
		a, err := s.loadAuthority(ctx, p, at)
		if err != nil {
			return nil, err
		}
		if a == nil {
			if a, err = s.makeAuthority(ctx, p, kind, at); err != nil {
				return nil, err
			}
		}
		s.state.keys.Lock()
		defer s.state.keys.Unlock()
		remember(&s.state.authorities, p, a)
		return a, nil
	})
	if err != nil {
		return nil, err
	}
	return made.(*authority), nil
}

// once shares one run of f between callers that come while it lasts. f does
// not end with the caller that began it; a caller that has gone stops waiting.
func (s *Service) once(ctx context.Context, key string, f func(ctx context.Context) (any, error)) (any, error) {
	done := s.state.flight.DoChan(key, func() (any, error) { return f(context.WithoutCancel(ctx)) })
	select {
	case r := <-done:
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, asError(ctx.Err())
	}
}

func (s *Service) knownAuthority(p awsprofile.Profile, at time.Time) *authority {
	s.state.keys.Lock()
	defer s.state.keys.Unlock()
	if a := s.state.authorities[p]; a != nil && s.usable(a, at) {
		return a
	}
	return nil
}

// usable: not due for rotation, made by the intermediate of today, and not by a
// clock that was ahead.
func (s *Service) usable(a *authority, at time.Time) bool {
	return at.Before(a.retire) && !at.Before(a.issuer.Chain()[0].NotBefore) && a.above.Equal(s.Intermediate.Chain()[0])
}

// loadAuthority gives nil when a new one has to be made.
func (s *Service) loadAuthority(ctx context.Context, p awsprofile.Profile, at time.Time) (*authority, error) {
	var row Authority
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		row, err = tx.AuthorityOf(p)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, asError(err)
	}
	a, err := s.open(row)
	if err != nil {
		return nil, internal("open the issuing CA", err)
	}
	if row.Revoked != nil || !s.usable(a, at) {
		return nil, nil
	}
	return a, nil
}

// open makes a stored issuing CA usable.
func (s *Service) open(row Authority) (*authority, error) {
	if len(row.Chain) < 2 {
		return nil, errors.New("stored issuing CA has no chain")
	}
	chain := make([]*x509.Certificate, len(row.Chain))
	for i, der := range row.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("stored issuing CA: %w", err)
		}
		chain[i] = cert
	}
	key, err := s.openKey(row.SealedKey)
	if err != nil {
		return nil, err
	}
	var issuer *issue.Authority
	if chain[1].Equal(s.Intermediate.Chain()[0]) {
		issuer, err = s.Intermediate.Below(chain[0], key)
	} else {
		issuer, err = issue.NewAuthority(chain, key)
	}
	if err != nil {
		return nil, err
	}
	return s.ready(row.ID, issuer), nil
}

// openKey opens what sealKey sealed.
func (s *Service) openKey(sealed []byte) (crypto.Signer, error) {
	plain, err := s.Sealer.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("open sealed key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	clear(plain)
	if err != nil {
		return nil, fmt.Errorf("sealed key: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("sealed key of type %T does not sign", parsed)
	}
	return key, nil
}

// sealKey is key in PKCS#8, sealed for the store. A key of another type than
// x509 knows, as one that does not print, may say itself what it is.
func (s *Service) sealKey(key crypto.Signer) ([]byte, error) {
	marshal := func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(key) }
	if k, ok := key.(interface{ MarshalPKCS8() ([]byte, error) }); ok {
		marshal = k.MarshalPKCS8
	}
	plain, err := marshal()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return s.Sealer.Seal(plain)
}

func (s *Service) ready(id string, issuer *issue.Authority) *authority {
	chain := issuer.Chain()
	a := &authority{id: id, issuer: issuer, ids: awsprofile.CertificateIDs(chain), above: chain[1], crl: s.crlAddress(id)}
	for _, c := range chain {
		a.der = append(a.der, c.Raw)
	}
	// The end of its issuing: a year, and before that what its own end asks for.
	_, notAfter := issuer.Validity()
	a.retire = earliest(chain[0].NotBefore.Add(rotateAfter), notAfter.Add(-2*s.leafLife()))
	return a
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// makeAuthority issues a new issuing CA: logged before and after; its sealed
// key, first CRL (of KindStandard) and entry are stored in one transaction.
func (s *Service) makeAuthority(ctx context.Context, p awsprofile.Profile, kind Kind, at time.Time) (*authority, error) {
	keyType := s.IssuingKey
	if keyType == "" {
		keyType = issue.P256
	}
	key, err := s.newKey(keyType)
	if err != nil {
		return nil, internal("make the key of an issuing CA", err)
	}
	r, err := s.issuingRequest(p, at)
	if err != nil {
		return nil, err
	}
	r.CA, r.PublicKey = true, key.Public()
	prepared, err := s.Intermediate.Prepare(r)
	if err != nil {
		return nil, internal("prepare an issuing CA", err)
	}
	attempt, err := s.noteIssue(ctx, p, key.Public(), r.Serial, "issuing CA")
	if err != nil {
		return nil, err
	}
	issued, err := s.Intermediate.Issue(ctx, prepared)
	if err != nil {
		return nil, s.issueFailed(ctx, p, attempt, internal("issue an issuing CA", err))
	}
	issuer, err := s.Intermediate.Below(issued.Certificate, key)
	if err != nil {
		return nil, s.issueFailed(ctx, p, attempt, internal("check an issuing CA", err))
	}
	a := s.ready(hex.EncodeToString(r.Serial.Bytes()), issuer)
	row, err := s.sealAuthority(ctx, a, p, kind, key, at)
	if err != nil {
		return nil, s.issueFailed(ctx, p, attempt, internal("seal an issuing CA", err))
	}
	if err := s.ensureIntermediate(ctx); err != nil {
		return nil, err
	}
	err = s.storeCRL(ctx, row.ID, row.CRL, func(tx Tx) error {
		if err := tx.AddAuthority(row); err != nil {
			return err
		}
		return s.noteIssued(tx, p, attempt, issued.Certificate)
	})
	if err != nil {
		return nil, asError(err)
	}
	return a, nil
}

// CheckIssue says why nothing would be signed now because of the intermediate
// CA: it ends too soon for new certificates, or has not begun. Nil: it issues.
// It is for readiness; see CheckClock for the clock.
func (s *Service) CheckIssue(context.Context) error { return s.mayIssue(s.Now()) }

// mayIssue: the intermediate is valid at a time, and for long enough after it.
// Issuing CAs are used no longer than that either: see ready.
func (s *Service) mayIssue(at time.Time) error {
	from, until := s.Intermediate.Validity()
	switch {
	case at.Before(from):
		return fault(FaultUnavailable, "the signer's intermediate CA is valid from %s only", from.Format(time.RFC3339))
	case !at.Add(2 * s.leafLife()).Before(until):
		return fault(FaultUnavailable, "the signer's intermediate CA ends at %s, too soon to issue under it", until.Format(time.RFC3339))
	}
	return nil
}

func (s *Service) issuingRequest(p awsprofile.Profile, at time.Time) (issue.Request, error) {
	serial, err := issue.NewSerial()
	if err != nil {
		return issue.Request{}, internal("make a serial number", err)
	}
	if err := s.mayIssue(at); err != nil {
		return issue.Request{}, err
	}
	from, until := s.Intermediate.Validity()
	subject := s.Subject
	subject.OrganizationalUnit = p.Account
	subject.CommonName = "Issuing CA " + p.Version + " " + hex.EncodeToString(serial.Bytes())[:16]
	// It lives on after its last leaf for as long as a signature can be valid.
	end := addMonths(at.Add(rotateAfter), MaxValidityMonths+1)
	return issue.Request{
		Subject: subject, Serial: serial, CRL: s.crlAddress(s.intermediate()),
		NotBefore: latest(at.Add(-2*backdate), from), NotAfter: earliest(end, until),
	}, nil
}

// sealAuthority is the row of a new issuing CA, with its first, empty CRL. Of
// KindAWS there is none: no certificate would name it. It is dated by at, the
// signing time, which was judged.
func (s *Service) sealAuthority(ctx context.Context, a *authority, p awsprofile.Profile, kind Kind, key crypto.Signer, at time.Time) (Authority, error) {
	sealed, err := s.sealKey(key)
	if err != nil {
		return Authority{}, err
	}
	cert := a.issuer.Chain()[0]
	row := Authority{ID: a.id, Profile: p, Chain: a.der, SealedKey: sealed, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
	if kind == KindAWS {
		return row, nil
	}
	row.CRLNumber, row.CRLNext = 1, at.Add(s.crlLife()).UTC()
	row.CRL, err = a.issuer.CRL(ctx, nil, big.NewInt(row.CRLNumber), at, row.CRLNext)
	return row, err
}

func (s *Service) crlAddress(id string) string {
	if s.CRLBase == nil {
		return ""
	}
	return s.CRLBase.JoinPath(id + ".crl").String()
}

// intermediateID names the intermediate by its certificate.
func intermediateID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:16])
}

// intermediate is the id of the one in use.
func (s *Service) intermediate() string { return intermediateID(s.Intermediate.Chain()[0]) }

// noteIssue is the entry before the issue of a certificate that is shared.
func (s *Service) noteIssue(ctx context.Context, p awsprofile.Profile, pub crypto.PublicKey, serial *big.Int, what string) (int64, error) {
	hash, err := publicKeyHash(pub)
	if err != nil {
		return 0, internal("encode a public key", err)
	}
	var index int64
	err = s.update(ctx, func(tx Tx) (err error) {
		index, err = tx.AppendEntry(audit.Entry{
			Kind: audit.IssueAttempt, Time: s.Now().UTC(), Action: actionIssue, ProfileVersion: p.String(),
			PublicKey: hash, Serial: hex.EncodeToString(serial.Bytes()), Detail: what,
		})
		return err
	})
	return index, err
}

func (s *Service) noteIssued(tx Tx, p awsprofile.Profile, attempt int64, cert *x509.Certificate) error {
	sum := sha256.Sum256(cert.Raw)
	_, err := tx.AppendEntry(audit.Entry{
		Kind: audit.IssueResult, Time: s.Now().UTC(), Action: actionIssue, Outcome: outcomeOK, Attempt: attempt, ProfileVersion: p.String(),
		Certificate: hex.EncodeToString(sum[:]), Serial: hex.EncodeToString(cert.SerialNumber.Bytes()),
	})
	return err
}

// issueFailed logs why no certificate came of an attempt, and gives the error.
func (s *Service) issueFailed(ctx context.Context, p awsprofile.Profile, attempt int64, e *Error) error {
	err := s.update(ctx, func(tx Tx) error {
		_, err := tx.AppendEntry(audit.Entry{
			Kind: audit.IssueResult, Time: s.Now().UTC(), Action: actionIssue, Outcome: e.Fault.String(), Reason: e.Message,
			Attempt: attempt, ProfileVersion: p.String(),
		})
		return err
	})
	if err != nil {
		return err
	}
	return e
}

func publicKeyHash(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}
