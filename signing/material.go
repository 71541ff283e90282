package signing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/sign"
)

// materialOf reads the signing material of a new profile version of c's
// account. Whether it is there is judged in the transaction: see checkMaterial.
func materialOf(c *Caller, in PutSigningProfileInput, kind Kind) (awsprofile.Certificate, error) {
	if kind == KindStandard {
		hint := "."
		if _, named := in.Parameters[ParameterKind]; !named {
			hint = fmt.Sprintf("; %q is this signer's default, and signing parameter %s chooses.", kind, ParameterKind)
		}
		return awsprofile.Certificate{}, invalid("signingMaterial is for profiles of kind %q. One of kind %q makes a certificate for each signature, "+
			"which takes a CA: an operator may bring an intermediate%s", KindAWS, KindStandard, hint)
	}
	arn, err := awsprofile.ParseCertificate(in.SigningMaterial.CertificateARN)
	if err != nil {
		return arn, invalid("Value at 'signingMaterial.certificateArn': %v.", err)
	}
	if arn.Account != c.Account {
		return arn, noCertificate(arn, c.Account)
	}
	return arn, nil
}

// noCertificate is the same for one that is nowhere, another account's, or
// deleted: nobody learns what others have.
func noCertificate(arn awsprofile.Certificate, account string) *Error {
	return invalid("signingMaterial.certificateArn %s is no certificate that was imported into this signer for account %s.", arn, account)
}

// checkMaterial: the certificate of a new profile version is there, and signs now.
func checkMaterial(tx Tx, p Profile) error {
	if p.Certificate == (awsprofile.Certificate{}) {
		return nil
	}
	c, why, err := withdrawn(tx, p.Certificate)
	now := p.Created
	switch {
	case err != nil:
		return err
	case why == certificateGone:
		return noCertificate(p.Certificate, p.ARN.Account)
	case why != "":
		return invalid("Certificate %s %s.", p.Certificate, why)
	case now.Before(c.NotBefore) || now.After(c.NotAfter):
		return outside(p.Certificate, c.NotBefore, c.NotAfter, now)
	}
	return nil
}

const certificateGone = "was deleted"

// withdrawn reads an imported certificate and says why it signs nothing any
// more; empty: it does, as far as no clock is asked.
func withdrawn(tx Tx, arn awsprofile.Certificate) (c Certificate, why string, err error) {
	c, err = tx.Certificate(arn)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && !c.Deleted.IsZero():
		return c, certificateGone, nil
	case err != nil:
		return c, "", err
	}
	revoked, err := tx.RevokedEditions(c.IDs)
	if err == nil && len(revoked) > 0 {
		why = "was revoked, or a CA above it"
	}
	return c, why, err
}

// signsWith: the imported certificate of a profile version, if it has one, was
// neither deleted nor revoked. Another process may have done that, so each
// signature asks; the key is forgotten when it was.
func (s *Service) signsWith(tx Tx, p Profile) error {
	if p.Certificate == (awsprofile.Certificate{}) {
		return nil
	}
	_, why, err := withdrawn(tx, p.Certificate)
	if err != nil || why == "" {
		return err
	}
	s.forgetImported(p.Certificate)
	return invalid("Signing profile %s makes no new signatures: its certificate %s %s.", p.ARN.Name, p.Certificate, why)
}

func outside(arn awsprofile.Certificate, from, until, at time.Time) *Error {
	return invalid("Certificate %s is valid, with all above it, from %s to %s, and does not sign at %s: an operator may import its successor, with which the profile is put again.",
		arn, from.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
}

// importedLeaf is an imported certificate with its key, opened once.
func (s *Service) importedLeaf(ctx context.Context, arn awsprofile.Certificate) (*signer, error) {
	if l := s.knownImported(arn); l != nil {
		return l, nil
	}
	made, err := s.once(ctx, "certificate "+arn.String(), func(ctx context.Context) (any, error) {
		if l := s.knownImported(arn); l != nil {
			return l, nil
		}
		var c Certificate
		var why string
		if err := s.view(ctx, func(tx Tx) (err error) { c, why, err = withdrawn(tx, arn); return err }); err != nil {
			return nil, err
		}
		if why != "" {
			return nil, invalid("Certificate %s %s.", arn, why)
		}
		l, err := s.openImported(c)
		if err != nil {
			return nil, internal("open an imported signing key", fmt.Errorf("%s: %w", arn, err))
		}
		s.state.keys.Lock()
		defer s.state.keys.Unlock()
		remember(&s.state.imported, arn, l)
		return l, nil
	})
	if err != nil {
		return nil, err
	}
	return made.(*signer), nil
}

func (s *Service) knownImported(arn awsprofile.Certificate) *signer {
	s.state.keys.Lock()
	defer s.state.keys.Unlock()
	return s.state.imported[arn]
}

// openImported makes a stored certificate usable. Its rules are checked again:
// what is stored may have been damaged.
func (s *Service) openImported(c Certificate) (*signer, error) {
	certs, err := sign.CheckChain(c.Chain, envelope.ES384)
	if err != nil {
		return nil, err
	}
	key, err := s.openKey(c.SealedKey)
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	if !samePublic(key.Public(), leaf.PublicKey) {
		return nil, errors.New("the sealed key is another certificate's")
	}
	sum := sha256.Sum256(leaf.Raw)
	l := &signer{
		imported: c.ARN, key: key, cert: leaf, der: c.Chain, ids: awsprofile.CertificateIDs(certs),
		serial: hex.EncodeToString(leaf.SerialNumber.Bytes()), sha256: hex.EncodeToString(sum[:]), made: new(atomic.Uint64),
	}
	l.from, l.until = spanOf(certs)
	return l, nil
}

// forgetImported drops the opened key of a certificate.
func (s *Service) forgetImported(arn awsprofile.Certificate) {
	s.state.keys.Lock()
	defer s.state.keys.Unlock()
	delete(s.state.imported, arn)
}

// forgetWithdrawn drops the opened keys of certificates that were deleted or
// revoked, by another process for instance, and that nobody signed with since.
func (s *Service) forgetWithdrawn(ctx context.Context) error {
	s.state.keys.Lock()
	open := make([]awsprofile.Certificate, 0, len(s.state.imported))
	for arn := range s.state.imported {
		open = append(open, arn)
	}
	s.state.keys.Unlock()
	if len(open) == 0 {
		return nil
	}
	return s.view(ctx, func(tx Tx) error {
		var failed error
		for _, arn := range open {
			_, why, err := withdrawn(tx, arn)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("certificate %s: %w", arn, err))
			}
			if why != "" {
				s.forgetImported(arn)
			}
		}
		return failed
	})
}
