package issue

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Revoked is one line of a CRL.
type Revoked struct {
	Serial         *big.Int
	At             time.Time
	Reason         int       // RFC 5280 section 5.3.1; 0: unspecified, and then left out
	InvalidityDate time.Time // zero: none (RFC 5280 section 5.3.2)
}

// publishes is how often in the life of a CRL the next one may be looked for:
// in that of a day's list every hour.
const publishes = 24

// CRL makes a full CRL, DER (RFC 5280 section 5): number, the authority's key
// identifier, no issuing distribution point, so that every checker takes it
// for all that the authority issued. Beside nextUpdate, until which it is good
// where nothing can be fetched, it says when the next one is worth fetching,
// after a twenty-fourth of its life (Microsoft's Next CRL Publish, not
// critical: shuin follows it, others need not know it). All times are cut to
// whole seconds. The result is read back and compared.
func (a *Authority) CRL(ctx context.Context, revoked []Revoked, number *big.Int, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	der, err := a.crl(ctx, revoked, number, seconds(thisUpdate), seconds(nextUpdate))
	if err != nil {
		return nil, fmt.Errorf("make CRL of %q: %w", a.chain[0].Subject, err)
	}
	return der, nil
}

func (a *Authority) crl(ctx context.Context, revoked []Revoked, number *big.Int, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	switch {
	case number == nil || number.Sign() < 0 || number.BitLen() > serialBits:
		return nil, errors.New("CRL number is missing, negative or longer than 20 octets (RFC 5280 section 5.2.3)")
	case !thisUpdate.Before(nextUpdate):
		return nil, errors.New("next update is not after this update")
	}
	t := &x509.RevocationList{
		SignatureAlgorithm: a.algorithm,
		Number:             number,
		ThisUpdate:         thisUpdate,
		NextUpdate:         nextUpdate,
	}
	publish, err := asn1.Marshal(thisUpdate.Add(nextUpdate.Sub(thisUpdate) / publishes).Truncate(time.Second))
	if err != nil {
		return nil, fmt.Errorf("next publish: %w", err)
	}
	t.ExtraExtensions = []pkix.Extension{{Id: oidNextPublish, Value: publish}}
	t.RevokedCertificateEntries = make([]x509.RevocationListEntry, len(revoked))
	seen := make(map[string]struct{}, len(revoked))
	for i, r := range revoked {
		if err := r.entry(&t.RevokedCertificateEntries[i]); err != nil {
			return nil, err
		}
		serial := string(r.Serial.Bytes())
		if _, twice := seen[serial]; twice {
			return nil, fmt.Errorf("serial number %x is listed twice", r.Serial)
		}
		seen[serial] = struct{}{}
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, a.chain[0], withContext(ctx, a.key))
	if err != nil {
		return nil, err
	}
	return der, a.compareCRL(der, t)
}

func (r Revoked) entry(e *x509.RevocationListEntry) error {
	if err := checkSerial(r.Serial); err != nil {
		return err
	}
	switch {
	case r.At.IsZero():
		return fmt.Errorf("serial number %x has no time of revocation", r.Serial)
	case r.Reason < 0 || r.Reason > 10 || r.Reason == 7 || r.Reason == 8:
		return fmt.Errorf("serial number %x: no reason %d in a full CRL (RFC 5280 section 5.3.1)", r.Serial, r.Reason)
	}
	*e = x509.RevocationListEntry{SerialNumber: r.Serial, RevocationTime: seconds(r.At), ReasonCode: r.Reason}
	if !r.InvalidityDate.IsZero() {
		value, err := asn1.MarshalWithParams(seconds(r.InvalidityDate), "generalized")
		if err != nil {
			return fmt.Errorf("serial number %x: invalidity date: %w", r.Serial, err)
		}
		e.ExtraExtensions = []pkix.Extension{{Id: oidInvalidityDate, Value: value}}
	}
	return nil
}

// compareCRL reads what was made and compares it with what was asked. Its
// signature was checked where it was made.
func (a *Authority) compareCRL(der []byte, want *x509.RevocationList) error {
	got, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("what was made cannot be read: %w", err)
	}
	same := bytes.Equal(got.RawIssuer, a.chain[0].RawSubject) &&
		bytes.Equal(got.AuthorityKeyId, a.chain[0].SubjectKeyId) &&
		got.Number.Cmp(want.Number) == 0 &&
		got.SignatureAlgorithm == want.SignatureAlgorithm &&
		got.ThisUpdate.Equal(want.ThisUpdate) && got.NextUpdate.Equal(want.NextUpdate) &&
		sameCRLExtensions(got, want) &&
		len(got.RevokedCertificateEntries) == len(want.RevokedCertificateEntries)
	for i := 0; same && i < len(want.RevokedCertificateEntries); i++ {
		same = sameEntry(&got.RevokedCertificateEntries[i], &want.RevokedCertificateEntries[i])
	}
	if !same {
		return errors.New("the CRL made is not what was asked")
	}
	return nil
}

// sameCRLExtensions: key identifier and number, which were compared, and next
// publish; none of them critical.
func sameCRLExtensions(got, want *x509.RevocationList) bool {
	if len(got.Extensions) != 3 {
		return false
	}
	published := false
	for _, e := range got.Extensions {
		if e.Critical {
			return false
		}
		published = published || e.Id.Equal(oidNextPublish) && bytes.Equal(e.Value, want.ExtraExtensions[0].Value)
	}
	return published
}

func sameEntry(got, want *x509.RevocationListEntry) bool {
	extensions := len(want.ExtraExtensions)
	if want.ReasonCode != 0 {
		extensions++
	}
	if got.SerialNumber.Cmp(want.SerialNumber) != 0 || !got.RevocationTime.Equal(want.RevocationTime) ||
		got.ReasonCode != want.ReasonCode || len(got.Extensions) != extensions {
		return false
	}
	if len(want.ExtraExtensions) == 0 {
		return true
	}
	for _, e := range got.Extensions {
		if e.Id.Equal(oidInvalidityDate) {
			return bytes.Equal(e.Value, want.ExtraExtensions[0].Value)
		}
	}
	return false
}
