package signing

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/issue"
)

// signer is a leaf and its key, in memory only; but the key of one that was
// imported, which the store has too.
type signer struct {
	authority *authority             // nil: imported
	imported  awsprofile.Certificate // zero: issued under authority
	key       crypto.Signer
	cert      *x509.Certificate
	der       [][]byte // leaf first, root last
	ids       []string
	serial    string
	sha256    string    // of the leaf
	from      time.Time // the span in which the whole chain is valid
	until     time.Time
	made      *atomic.Uint64 // signatures of what the self-check counts: this key, or its issuing CA
}

// certify issues the leaf of key under a, valid at at.
func (s *Service) certify(ctx context.Context, a *authority, p awsprofile.Profile, key crypto.Signer, serial *big.Int, at time.Time, crl string) (*signer, error) {
	prepared, err := s.prepareLeaf(a, p, key, serial, at, crl)
	if err != nil {
		return nil, internal("prepare a certificate", err)
	}
	l, err := finishLeaf(ctx, a, key, prepared)
	if err != nil {
		return nil, internal("issue a certificate", err)
	}
	return l, nil
}

func (s *Service) prepareLeaf(a *authority, p awsprofile.Profile, key crypto.Signer, serial *big.Int, at time.Time, crl string) (*issue.Prepared, error) {
	uri, err := url.Parse(p.String())
	if err != nil {
		return nil, err
	}
	subject := s.Subject
	subject.OrganizationalUnit, subject.CommonName = p.Account, p.Name
	from, until := a.issuer.Validity()
	return a.issuer.Prepare(issue.Request{
		Subject: subject, PublicKey: key.Public(), Serial: serial, URI: uri, CRL: crl,
		NotBefore: latest(at.Add(-backdate), from), NotAfter: earliest(at.Add(s.leafLife()), until),
	})
}

func finishLeaf(ctx context.Context, a *authority, key crypto.Signer, prepared *issue.Prepared) (*signer, error) {
	issued, err := a.issuer.Issue(ctx, prepared)
	if err != nil {
		return nil, err
	}
	cert := issued.Certificate
	sum := sha256.Sum256(cert.Raw)
	l := &signer{
		authority: a, key: key, cert: cert, serial: hex.EncodeToString(cert.SerialNumber.Bytes()), sha256: hex.EncodeToString(sum[:]),
		made: &a.made,
	}
	l.from, l.until = spanOf(issued.Chain)
	l.der = append([][]byte{cert.Raw}, a.der...)
	first := awsprofile.CertificateIDs([]*x509.Certificate{cert, issued.Chain[1]})[0]
	l.ids = append([]string{first}, a.ids...)
	return l, nil
}

// sharedLeaf is the leaf that signatures of a profile version of KindAWS
// share. It is replaced a quarter of its life before its end; until an eighth
// before, those who come while it is replaced go on with the old one.
func (s *Service) sharedLeaf(ctx context.Context, p awsprofile.Profile, at time.Time) (*signer, error) {
	l := s.knownLeaf(p)
	life := s.leafLife()
	if l != nil && at.Before(l.until.Add(-life/4)) && s.usable(l.authority, at) {
		return l, nil
	}
	made, err := s.once(ctx, "leaf "+p.String(), func(ctx context.Context) (any, error) {
		if now := s.knownLeaf(p); now != nil && now != l {
			return now, nil
		}
		return s.makeSharedLeaf(ctx, p, at)
	})
	if err == nil {
		return made.(*signer), nil
	}
	if l != nil && at.Before(l.until.Add(-life/8)) {
		s.notice(ctx, "signing certificate could not be renewed", "profile", p.String(), "until", l.until, "error", errors.Unwrap(err))
		return l, nil
	}
	return nil, err
}

func (s *Service) knownLeaf(p awsprofile.Profile) *signer {
	s.state.keys.Lock()
	defer s.state.keys.Unlock()
	return s.state.leaves[p]
}

func (s *Service) makeSharedLeaf(ctx context.Context, p awsprofile.Profile, at time.Time) (*signer, error) {
	a, err := s.authorityOf(ctx, p, KindAWS, at)
	if err != nil {
		return nil, err
	}
	key, serial, err := s.leafKey()
	if err != nil {
		return nil, err
	}
	prepared, err := s.prepareLeaf(a, p, key, serial, at, "")
	if err != nil {
		return nil, internal("prepare a certificate", err)
	}
	attempt, err := s.noteIssue(ctx, p, key.Public(), serial, "leaf")
	if err != nil {
		return nil, err
	}
	l, err := finishLeaf(ctx, a, key, prepared)
	if err != nil {
		return nil, s.issueFailed(ctx, p, attempt, internal("issue a certificate", err))
	}
	l.made = new(atomic.Uint64)
	if err := s.update(ctx, func(tx Tx) error { return s.noteIssued(tx, p, attempt, l.cert) }); err != nil {
		return nil, err
	}
	s.state.keys.Lock()
	defer s.state.keys.Unlock()
	remember(&s.state.leaves, p, l)
	return l, nil
}

// forget drops what is kept of a profile version, so that a key that made a
// wrong signature, or a CA that was revoked, is not used again.
func (s *Service) forget(p Profile) {
	s.state.keys.Lock()
	defer s.state.keys.Unlock()
	delete(s.state.leaves, p.ARN)
	delete(s.state.authorities, p.ARN)
	delete(s.state.imported, p.Certificate)
}

func (s *Service) leafKey() (crypto.Signer, *big.Int, error) {
	key, err := s.newKey(issue.P384)
	if err != nil {
		return nil, nil, internal("make a key", err)
	}
	serial, err := issue.NewSerial()
	if err != nil {
		return nil, nil, internal("make a serial number", err)
	}
	return key, serial, nil
}

// check is validAt as a refusal.
func (l *signer) check(at time.Time) error {
	switch {
	case l.validAt(at):
		return nil
	case l.imported != (awsprofile.Certificate{}):
		return outside(l.imported, l.from, l.until, at)
	}
	return fault(FaultUnavailable, "the signing certificate is not valid at the signing time %s", at.Format(time.RFC3339))
}

// validAt says whether the whole chain is valid at a signing time.
func (l *signer) validAt(at time.Time) bool {
	return !at.Before(l.from) && !at.After(l.until)
}
