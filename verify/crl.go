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
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CRL reasons (RFC 5280, section 5.3.1) that are not for ever.
const (
	reasonCertificateHold = 6
	reasonRemoveFromCRL   = 8
)

// MayBeLifted reports whether a reason of revocation is none for ever: a hold
// (RFC 5280, section 5.3.1).
func MayBeLifted(reason int) bool {
	return reason == reasonCertificateHold || reason == reasonRemoveFromCRL
}

var (
	oidCRLDistributionPoints    = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidAuthorityInfoAccess      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidAccessOCSP               = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1}
	oidFreshestCRL              = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidDeltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
)

// ParseCRL reads one DER CRL of at most limits.CRLBytes that issuer signed. The
// signature is checked before any entry is read: in memory they take many
// times their size, and CRLs come over plain HTTP and from disks. The error
// has [shuin.CodeLimit] or [shuin.CodeMalformed].
func ParseCRL(der []byte, issuer *x509.Certificate) (*x509.RevocationList, error) {
	if err := checkOuter(der, issuer); err != nil {
		return nil, err
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, malformed("read crl", err)
	}
	return crl, nil
}

// checkOuter checks the size of a CRL and who signed it.
func checkOuter(der []byte, issuer *x509.Certificate) error {
	if len(der) > limits.CRLBytes {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("crl is larger than %d bytes", limits.CRLBytes)}
	}
	outer, err := unparsed(der)
	if err != nil {
		return malformed("read crl", err)
	}
	if err := outer.CheckSignatureFrom(issuer); err != nil {
		return malformed(fmt.Sprintf("crl is not signed by %q", issuer.Subject), err)
	}
	return nil
}

// unparsed is as much of a CRL as its signature is checked by. The standard
// library's table of signature algorithms can only be had by parsing: it is
// given a list without entries under the same algorithm.
func unparsed(der []byte) (*x509.RevocationList, error) {
	var list, tbs, algorithm, inside, signature cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() || !list.ReadASN1Element(&tbs, cbasn1.SEQUENCE) ||
		!list.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) || !list.ReadASN1Element(&signature, cbasn1.BIT_STRING) || !list.Empty() {
		return nil, errors.New("not a sequence of list, algorithm and signature")
	}
	rest := tbs
	if !rest.ReadASN1(&inside, cbasn1.SEQUENCE) {
		return nil, errors.New("not a list")
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1) // version 2
			b.AddBytes(algorithm)
			b.AddASN1(cbasn1.SEQUENCE, func(*cryptobyte.Builder) {}) // nobody's
			b.AddASN1UTCTime(time.Unix(0, 0).UTC())
		})
		b.AddBytes(algorithm)
		b.AddBytes(signature)
	})
	empty, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseRevocationList(empty)
	if err != nil {
		return nil, err
	}
	return &x509.RevocationList{RawTBSRevocationList: tbs, SignatureAlgorithm: parsed.SignatureAlgorithm, Signature: parsed.Signature}, nil
}

// CRLNextUpdate is the nextUpdate that a CRL claims (RFC 5280 section 5.1.2.5),
// read without its entries; false where it is none or has none. Its signature is
// not checked.
func CRLNextUpdate(der []byte) (time.Time, bool) {
	parts, err := splitCRL(der)
	if err != nil {
		return time.Time{}, false
	}
	head, err := parts.parse(parts.before, nil, parts.after)
	if err != nil {
		return time.Time{}, false
	}
	return head.NextUpdate, !head.NextUpdate.IsZero()
}

// malformed says that an answer came and is no answer. It is bad, not "could
// not check": whoever stands between could send it at will.
func malformed(doing string, err error) error {
	code := shuin.CodeMalformed
	if shuin.CodeOf(err) == shuin.CodeLimit {
		code = shuin.CodeLimit
	}
	return &shuin.Error{Code: code, Message: doing, Err: err}
}

// EvaluateCRL says what a base CRL, with its delta CRL where there is one
// (else nil), tells about cert at now: StatusGood, StatusRevoked or, with the
// cause in Err, StatusUnavailable. at is the authenticated signing time, zero
// when there is none: a certificate revoked with an invalidity date after it
// is good (trust-store-trust-policy.md, "Revocation Checking with CRL" and
// "… with Delta CRLs"; REV-03).
//
// Both lists must be signed by issuer and be about cert; indirect CRLs are not
// supported, and a delta CRL is no base. A certificate that names a delta CRL
// itself is judged only with one. Where the lists are genuine and only too old
// or of a time to come, or out of step with each other, Err has no code; else
// [shuin.CodeMalformed].
func EvaluateCRL(base, delta *x509.RevocationList, cert, issuer *x509.Certificate, now, at time.Time) Revocation {
	if err := checkCRLs(base, delta, cert, issuer); err != nil {
		return unavailable("crl", malformed("", err))
	}
	if err := checkStep(base, delta); err != nil {
		return unavailable("crl", err)
	}
	partial, err := checkScope(base, delta, cert)
	if err != nil {
		return unavailable("crl", malformed("", err))
	}
	r, err := judgeEntries(base, delta, cert, at)
	if err != nil {
		return unavailable("crl", malformed("", err))
	}
	if partial && r.Status == StatusGood {
		return unavailable("crl", malformed("", errors.New("the crl holds only some reasons of revocation")))
	}
	for _, crl := range []*x509.RevocationList{base, delta} {
		if crl == nil {
			continue
		}
		if crl.NextUpdate.IsZero() {
			return unavailable("crl", malformed("", errors.New("crl has no nextUpdate")))
		}
		if early(crl.ThisUpdate, now) {
			return unavailable("crl", fmt.Errorf("crl is of %s, which is to come", stamp(crl.ThisUpdate)))
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
	if extensionValue(base.Extensions, oidDeltaCRLIndicator) != nil {
		// RFC 5280, section 5.2.4: it tells only what changed. The issuer
		// signed it, so that anybody could put it in the base's place.
		return errors.New("base crl: it is a delta crl")
	}
	if delta == nil {
		return nil
	}
	if err := checkCRL(delta, issuer); err != nil {
		return fmt.Errorf("delta crl: %w", err)
	}
	if _, err := deltaIndicator(delta.Extensions); err != nil {
		return err
	}
	if base.Number == nil || delta.Number == nil {
		return errors.New("base or delta crl has no number")
	}
	return nil
}

// early reports whether an answer is of a time that is to come, by more than
// clocks may differ.
func early(thisUpdate, now time.Time) bool { return thisUpdate.After(now.Add(limits.ClockSkew)) }

func checkCRL(crl *x509.RevocationList, issuer *x509.Certificate) error {
	if !bytes.Equal(crl.RawIssuer, issuer.RawSubject) {
		// RFC 5280, section 6.3.3 (b): a CA of another name may have the same key.
		return fmt.Errorf("it is the list of %q, not of %q", crl.Issuer, issuer.Subject)
	}
	if err := crl.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("not signed by %q: %w", issuer.Subject, err)
	}
	for _, ext := range crl.Extensions {
		switch {
		case ext.Id.Equal(oidDeltaCRLIndicator), ext.Id.Equal(oidIssuingDistributionPoint):
			// Read in checkCRLs and checkScope.
		case ext.Critical: // RFC 5280, section 5.2
			return fmt.Errorf("unsupported critical extension %v", ext.Id)
		}
	}
	return nil
}

// checkStep checks that delta continues base (RFC 5280, section 5.2.4). Where
// it does not, both may be genuine: a new base is out and the delta is not yet,
// or a kept base is behind. The two of one number were issued together and say
// the same (section 5.2.3); upstream refuses those.
func checkStep(base, delta *x509.RevocationList) error {
	if delta == nil {
		return nil
	}
	indicator, err := deltaIndicator(delta.Extensions)
	if err != nil {
		return err
	}
	if delta.Number.Cmp(base.Number) < 0 {
		return fmt.Errorf("delta crl number %d is below the base crl's %d", delta.Number, base.Number)
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
			case !MayBeLifted(entry.ReasonCode):
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
