package verify

import (
	"crypto/x509"
	"errors"
	"time"
)

// ParseCRL reads one DER CRL of at most limits.CRLBytes.
func ParseCRL(der []byte) (*x509.RevocationList, error) { return nil, errors.ErrUnsupported }

// EvaluateCRL says what a base CRL, with its delta CRL where there is one
// (else nil), tells about cert.
func EvaluateCRL(base, delta *x509.RevocationList, cert, issuer *x509.Certificate, now, at time.Time) Revocation {
	return Revocation{Status: StatusUnavailable, Method: "crl", Err: errors.ErrUnsupported}
}
