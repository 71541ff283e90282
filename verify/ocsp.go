package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"golang.org/x/crypto/ocsp"
)

// ErrOCSPUnknown is the Err of a [Revocation] when the responder answered that
// it does not know the certificate. The answer is final for OCSP, so other
// responders are not asked, but CRLs may be.
var ErrOCSPUnknown = errors.New("ocsp responder does not know the certificate")

var (
	oidOCSPNoCheck    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidInvalidityDate = asn1.ObjectIdentifier{2, 5, 29, 24}
)

// OCSPAnswer is what an OCSP response says of one certificate.
type OCSPAnswer struct {
	Revocation
	// Responder is the delegated certificate that signed the response, issued
	// by the certificate's own issuer; nil when the issuer signed itself.
	Responder *x509.Certificate
	// NoCheck: Responder carries id-pkix-ocsp-nocheck, so its own revocation
	// need not be checked.
	NoCheck bool
}

// ResponderNeedsCheck reports whether the specification wants the responder's
// own certificate checked by CRL (REV-04). Upstream notices the case and does
// nothing about it; whoever fetches offers the check as a named option and
// makes it with [EvaluateCRL] on Responder and the same issuer.
func (a OCSPAnswer) ResponderNeedsCheck() bool { return a.Responder != nil && !a.NoCheck }

// OCSPResponse is a successful OCSP response about one certificate whose
// signature was checked. It is not changed after [ParseOCSP].
type OCSPResponse struct {
	parsed    *ocsp.Response
	responder *x509.Certificate // nil: the issuer itself
}

// EvaluateOCSP is [ParseOCSP] and [OCSPResponse.Judge] in one.
func EvaluateOCSP(response []byte, cert, issuer *x509.Certificate, now, at time.Time) OCSPAnswer {
	r, err := ParseOCSP(response, cert, issuer)
	if err != nil {
		return OCSPAnswer{Revocation: unavailable("ocsp", err)}
	}
	return r.Judge(now, at)
}

// ParseOCSP reads a DER OCSP response (RFC 6960) about cert and checks its
// signature: the one place that knows golang.org/x/crypto/ocsp's parser. It
// must be signed by issuer, or by a certificate of issuer's, which [OCSPResponse.Judge]
// holds to its own rules. The error has [shuin.CodeLimit] or
// [shuin.CodeMalformed], and no code where the responder says that it has no
// answer (RFC 6960, section 2.3).
func ParseOCSP(response []byte, cert, issuer *x509.Certificate) (*OCSPResponse, error) {
	if len(response) > limits.OCSPBytes {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("ocsp response is larger than %d bytes", limits.OCSPBytes)}
	}
	if cert == nil || issuer == nil {
		return nil, malformed("", errors.New("no certificate or no issuer to read the ocsp response for"))
	}
	if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return nil, malformed("", errors.New("the issuer given did not issue the certificate"))
	}
	outer, err := outerOCSP(response, cert, issuer)
	if err != nil {
		return nil, malformed("read ocsp response", err)
	}
	signer := issuer
	if outer != nil {
		signer = nil // the certificate inside signs, and issuer's signature on it is checked
	}
	resp, err := ocsp.ParseResponseForCert(response, cert, signer)
	if err != nil {
		err = fmt.Errorf("read ocsp response: %w", err)
		if status := (ocsp.ResponseError{}); errors.As(err, &status) {
			return nil, err
		}
		return nil, malformed("", err)
	}
	if err := sameReading(outer, resp.Certificate); err != nil {
		return nil, malformed("read ocsp response", err)
	}
	if outer != nil && bytes.Equal(outer.Raw, issuer.Raw) {
		outer = nil
	}
	return &OCSPResponse{resp, outer}, nil
}

// sameReading holds the parser to the certificate that outerOCSP checked: its
// key is the one that counts. Both read by encoding/asn1, so that they differ
// only if one of them is changed.
func sameReading(checked, used *x509.Certificate) error {
	if (checked == nil) != (used == nil) || checked != nil && !checked.Equal(used) {
		return errors.New("its certificate reads in two ways")
	}
	return nil
}

// Judge says what the response tells at now: StatusGood, StatusRevoked or,
// with the cause in Err, StatusUnavailable. at is the authenticated signing
// time, zero when there is none: a certificate revoked with an invalidity date
// after it is good (trust-store-trust-policy.md, "Revocation Checking with
// OCSP"; REV-04). Where the response is genuine and only too old, of a time to
// come or ignorant of the certificate, Err has no code; else
// [shuin.CodeMalformed].
func (o *OCSPResponse) Judge(now, at time.Time) OCSPAnswer {
	a := OCSPAnswer{Revocation: judgeOCSP(o.parsed, o.responder, now, at), Responder: o.responder}
	if a.Responder != nil {
		a.NoCheck = hasExtension(a.Responder, oidOCSPNoCheck)
	}
	return a
}

// ThisUpdate is the time that the response is of.
func (o *OCSPResponse) ThisUpdate() time.Time { return o.parsed.ThisUpdate }

func judgeOCSP(resp *ocsp.Response, responder *x509.Certificate, now, at time.Time) Revocation {
	if responder != nil && !slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		// RFC 6960, section 4.2.2.2. Without this every certificate of the
		// issuer could speak for all others.
		return unavailable("ocsp", malformed("", fmt.Errorf("ocsp response is signed by %q, which may not sign ocsp responses", responder.Subject)))
	}
	switch {
	case now.After(resp.NextUpdate): // a zero NextUpdate counts as past
		return unavailable("ocsp", fmt.Errorf("ocsp response was good until %s", stamp(resp.NextUpdate)))
	case early(resp.ThisUpdate, now):
		return unavailable("ocsp", fmt.Errorf("ocsp response is of %s, which is to come", stamp(resp.ThisUpdate)))
	case responder != nil && early(responder.NotBefore, now):
		return unavailable("ocsp", fmt.Errorf("ocsp responder certificate %q is valid from %s", responder.Subject, stamp(responder.NotBefore)))
	case responder != nil && now.After(responder.NotAfter):
		return unavailable("ocsp", malformed("", fmt.Errorf("ocsp responder certificate %q is not valid now", responder.Subject)))
	}
	r := Revocation{Method: "ocsp", NextUpdate: resp.NextUpdate}
	switch resp.Status {
	case ocsp.Good:
		r.Status = StatusGood
	case ocsp.Revoked:
		r.Status, r.RevokedAt, r.Reason = StatusRevoked, resp.RevokedAt, resp.RevocationReason
		for _, ext := range resp.Extensions {
			if !ext.Id.Equal(oidInvalidityDate) {
				continue
			}
			// One that cannot be read is left out: the certificate stays revoked.
			if date, err := parseInvalidityDate(ext.Value); err == nil {
				r.judgeInvalidity(date, at)
			}
		}
	default:
		return unavailable("ocsp", ErrOCSPUnknown)
	}
	return r
}

// judgeInvalidity compares an invalidity date with the authenticated signing
// time: what was signed before it is still good.
func (r *Revocation) judgeInvalidity(date, at time.Time) {
	r.RevokedAt = date
	if !at.IsZero() && at.Before(date) {
		r.Status = StatusGood
	}
}

func parseInvalidityDate(value []byte) (time.Time, error) {
	var date time.Time
	rest, err := asn1.UnmarshalWithParams(value, &date, "generalized")
	if err != nil {
		return time.Time{}, fmt.Errorf("read invalidity date: %w", err)
	}
	if len(rest) > 0 {
		return time.Time{}, errors.New("invalidity date has trailing bytes")
	}
	return date, nil
}

func hasExtension(cert *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(id) {
			return true
		}
	}
	return false
}

func unavailable(method string, err error) Revocation {
	return Revocation{Status: StatusUnavailable, Method: method, Err: err}
}

// stamp is how times appear in reasons.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
