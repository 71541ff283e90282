package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// CRL reasons (RFC 5280, section 5.3.1) that are not for ever.
const (
	reasonCertificateHold = 6
	reasonRemoveFromCRL   = 8
)

var (
	oidFreshestCRL              = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidDeltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
)

// ParseCRL reads one DER CRL of at most limits.CRLBytes. Nothing in it is
// trusted before [EvaluateCRL] checked its signature.
func ParseCRL(der []byte) (*x509.RevocationList, error) {
	if len(der) > limits.CRLBytes {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("crl is larger than %d bytes", limits.CRLBytes)}
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("read crl: %w", err)
	}
	return crl, nil
}

// EvaluateCRL says what a base CRL, with its delta CRL where there is one
// (else nil), tells about cert at now: StatusGood, StatusRevoked or, with the
// cause in Err, StatusUnavailable. at is the authenticated signing time, zero
// when there is none: a certificate revoked with an invalidity date after it
// is good (trust-store-trust-policy.md, "Revocation Checking with CRL" and
// "… with Delta CRLs"; REV-03).
//
// Both lists must be signed by issuer and be about cert; indirect CRLs are not
// supported. A certificate that names a delta CRL itself is judged only with one.
func EvaluateCRL(base, delta *x509.RevocationList, cert, issuer *x509.Certificate, now, at time.Time) Revocation {
	if err := checkCRLs(base, delta, cert, issuer); err != nil {
		return unavailable("crl", err)
	}
	partial, err := checkScope(base, delta, cert)
	if err != nil {
		return unavailable("crl", err)
	}
	r, err := judgeEntries(base, delta, cert, at)
	if err != nil {
		return unavailable("crl", err)
	}
	if partial && r.Status == StatusGood {
		return unavailable("crl", errors.New("the crl holds only some reasons of revocation"))
	}
	for _, crl := range []*x509.RevocationList{base, delta} {
		if crl == nil {
			continue
		}
		if crl.NextUpdate.IsZero() {
			return unavailable("crl", errors.New("crl has no nextUpdate"))
		}
		// An old list that names the certificate for good still speaks: what
		// is revoked stays so. Any other old list does not.
		permanent := r.Status == StatusRevoked && r.Reason != reasonCertificateHold
		if now.After(crl.NextUpdate) && !permanent {
			return unavailable("crl", fmt.Errorf("crl was good until %s", stamp(crl.NextUpdate)))
		}
		if r.NextUpdate.IsZero() || crl.NextUpdate.Before(r.NextUpdate) {
			r.NextUpdate = crl.NextUpdate
		}
	}
	return r
}

// checkCRLs checks what has to hold before an entry of the lists counts.
func checkCRLs(base, delta *x509.RevocationList, cert, issuer *x509.Certificate) error {
	switch {
	case base == nil:
		return errors.New("no base crl")
	case cert == nil || issuer == nil:
		return errors.New("no certificate or no issuer to read the crl for")
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject):
		return errors.New("the issuer given did not issue the certificate")
	case delta == nil && hasExtension(cert, oidFreshestCRL):
		return errors.New("the certificate names a delta crl, and none was found through the base crl")
	}
	if err := checkCRL(base, issuer); err != nil {
		return fmt.Errorf("base crl: %w", err)
	}
	if delta == nil {
		return nil
	}
	if err := checkCRL(delta, issuer); err != nil {
		return fmt.Errorf("delta crl: %w", err)
	}
	return checkDelta(base, delta)
}

func checkCRL(crl *x509.RevocationList, issuer *x509.Certificate) error {
	if err := crl.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("not signed by %q: %w", issuer.Subject, err)
	}
	for _, ext := range crl.Extensions {
		switch {
		case ext.Id.Equal(oidDeltaCRLIndicator), ext.Id.Equal(oidIssuingDistributionPoint):
			// Read in checkDelta and checkScope.
		case ext.Critical: // RFC 5280, section 5.2
			return fmt.Errorf("unsupported critical extension %v", ext.Id)
		}
	}
	return nil
}

// checkDelta checks that delta continues base (RFC 5280, section 5.2.4).
func checkDelta(base, delta *x509.RevocationList) error {
	indicator, err := deltaIndicator(delta.Extensions)
	if err != nil {
		return err
	}
	if base.Number == nil || delta.Number == nil {
		return errors.New("base or delta crl has no number")
	}
	if delta.Number.Cmp(base.Number) <= 0 {
		return fmt.Errorf("delta crl number %d is not above the base crl's %d", delta.Number, base.Number)
	}
	if indicator.Cmp(base.Number) > 0 {
		return fmt.Errorf("delta crl starts from number %d, the base crl has %d", indicator, base.Number)
	}
	return nil
}

func deltaIndicator(extensions []pkix.Extension) (*big.Int, error) {
	for _, ext := range extensions {
		if !ext.Id.Equal(oidDeltaCRLIndicator) {
			continue
		}
		n := new(big.Int)
		if rest, err := asn1.Unmarshal(ext.Value, &n); err != nil || len(rest) > 0 {
			return nil, errors.New("delta crl indicator cannot be read")
		}
		return n, nil
	}
	return nil, errors.New("delta crl has no delta crl indicator")
}

// judgeEntries looks the serial number up in both lists. A permanent
// revocation wins; of holds and removals the latest does.
func judgeEntries(base, delta *x509.RevocationList, cert *x509.Certificate, at time.Time) (Revocation, error) {
	r := Revocation{Status: StatusGood, Method: "crl"}
	var latest *x509.RevocationListEntry
	lists := [][]x509.RevocationListEntry{base.RevokedCertificateEntries}
	if delta != nil {
		lists = append(lists, delta.RevokedCertificateEntries)
	}
	for _, list := range lists {
		for i := range list {
			entry := &list[i]
			if entry.SerialNumber.Cmp(cert.SerialNumber) != 0 {
				continue
			}
			revoked, err := judgeEntry(entry, at)
			if err != nil {
				return Revocation{}, err
			}
			switch {
			case revoked.Status != StatusRevoked: // became invalid after it was used
			case entry.ReasonCode != reasonCertificateHold && entry.ReasonCode != reasonRemoveFromCRL:
				return revoked, nil
			case latest == nil || latest.RevocationTime.Before(entry.RevocationTime):
				latest = entry
			}
		}
	}
	if latest != nil && latest.ReasonCode == reasonCertificateHold {
		return judgeEntry(latest, at)
	}
	return r, nil
}

// judgeEntry says what one entry means for something signed at at.
func judgeEntry(entry *x509.RevocationListEntry, at time.Time) (Revocation, error) {
	r := Revocation{Status: StatusRevoked, Method: "crl", RevokedAt: entry.RevocationTime, Reason: entry.ReasonCode}
	for _, ext := range entry.Extensions {
		switch {
		case ext.Id.Equal(oidInvalidityDate):
			date, err := parseInvalidityDate(ext.Value)
			if err != nil {
				return Revocation{}, err
			}
			r.judgeInvalidity(date, at)
		case ext.Critical: // RFC 5280, section 5.3; an indirect CRL is one of these
			return Revocation{}, fmt.Errorf("crl entry has unsupported critical extension %v", ext.Id)
		}
	}
	return r, nil
}
