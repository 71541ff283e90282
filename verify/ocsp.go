package verify

import (
	"crypto/x509"
	"errors"
	"time"
)

// ErrOCSPUnknown is the Err of a [Revocation] when the responder answered that
// it does not know the certificate: the answer is final for OCSP, so other
// responders are not asked, but CRLs may be.
var ErrOCSPUnknown = errors.New("ocsp responder does not know the certificate")

// OCSPAnswer is what an OCSP response says of one certificate.
type OCSPAnswer struct {
	Revocation
	// Responder is the delegated certificate that signed the response, issued
	// by the certificate's own issuer; nil when the issuer signed itself.
	Responder *x509.Certificate
	// NoCheck: Responder carries id-pkix-ocsp-nocheck, so its own revocation
	// need not be checked. Without it the specification wants the responder
	// checked by CRL (REV-04).
	NoCheck bool
}

// EvaluateOCSP says what a DER OCSP response tells about cert.
func EvaluateOCSP(response []byte, cert, issuer *x509.Certificate, now, at time.Time) OCSPAnswer {
	return OCSPAnswer{Revocation: Revocation{Status: StatusUnavailable, Method: "ocsp", Err: errors.ErrUnsupported}}
}
