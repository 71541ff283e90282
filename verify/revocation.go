package verify

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin"
)

// namesSource reports whether a certificate below the root says where its
// revocation status can be learnt. The root's own is never asked (REV-01).
func namesSource(chain []*x509.Certificate) bool {
	for _, c := range chain[:max(len(chain)-1, 0)] {
		if NamesSource(c) {
			return true
		}
	}
	return false
}

// NamesSource reports whether cert says that its revocation status can be
// learnt somewhere, an OCSP responder or a CRL distribution point. It may be
// nowhere that can be asked: then the status is unavailable, not good (REV-01).
// Differs from upstream: a certificate whose points have no address that
// crypto/x509 reads, a directory's name for one, counts as without a source
// there.
func NamesSource(cert *x509.Certificate) bool {
	if len(cert.OCSPServer)+len(cert.CRLDistributionPoints) > 0 || hasExtension(cert, oidCRLDistributionPoints) {
		return true
	}
	value := extensionValue(cert.Extensions, oidAuthorityInfoAccess)
	if value == nil {
		return false
	}
	var places []struct {
		Method   asn1.ObjectIdentifier
		Location asn1.RawValue
	}
	if err := unmarshalAll(value, &places); err != nil {
		return true
	}
	for _, place := range places {
		if place.Method.Equal(oidAccessOCSP) {
			return true
		}
	}
	return false
}

// judgeRevocation joins what is known of each certificate into one outcome: a
// revoked certificate decides, then one whose answer is bad, then one whose
// status is not known (REV-01). fresh is when the first of the answers grows
// stale; zero when none does. what names the chain in reasons.
func judgeRevocation(found []Revocation, chain []*x509.Certificate, now time.Time, what string) (outcome shuin.Outcome, fresh time.Time, err error) {
	if len(found) != len(chain) {
		return shuin.Unknown, time.Time{}, revocationUnavailable(what, errors.New("the answer does not cover the chain"))
	}
	outcome = shuin.Passed
	for i := len(found) - 1; i >= 0; i-- {
		r := found[i]
		switch r.Status {
		case StatusGood, StatusNoSource:
			if !r.NextUpdate.IsZero() && now.After(r.NextUpdate) {
				if outcome == shuin.Passed {
					outcome, err = shuin.Unknown, revocationUnavailable(fmt.Sprintf("%s %q", what, chain[i].Subject), fmt.Errorf("the answer was good until %s", stamp(r.NextUpdate)))
				}
				continue
			}
			if !r.NextUpdate.IsZero() && (fresh.IsZero() || r.NextUpdate.Before(fresh)) {
				fresh = r.NextUpdate
			}
		case StatusRevoked:
			return shuin.Failed, time.Time{}, revoked(what, chain[i], r)
		default:
			cause := r.Err
			if cause == nil {
				cause = errors.New("no answer")
			}
			if bad := badAnswer(cause); bad != "" {
				outcome, err = shuin.Failed, revocationRefused(fmt.Sprintf("%s with subject %q", what, chain[i].Subject), bad, cause)
			} else if outcome != shuin.Failed {
				outcome, err = shuin.Unknown, revocationUnavailable(fmt.Sprintf("%s with subject %q", what, chain[i].Subject), cause)
			}
		}
	}
	return outcome, fresh, err
}

// badAnswer is the code of the first answer in err's tree that came and was
// none: over a limit, malformed, signed by somebody else or about something
// else. It counts before all that was merely not reached; empty: there is none.
func badAnswer(err error) shuin.Code {
	switch e := err.(type) {
	case *shuin.Error:
		if e.Code == shuin.CodeLimit || e.Code == shuin.CodeMalformed {
			return e.Code
		}
		return badAnswer(e.Err)
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if code := badAnswer(cause); code != "" {
				return code
			}
		}
	case interface{ Unwrap() error }:
		return badAnswer(e.Unwrap())
	}
	return ""
}

func revoked(what string, cert *x509.Certificate, r Revocation) error {
	msg := fmt.Sprintf("%s with subject %q is revoked", what, cert.Subject)
	if !r.RevokedAt.IsZero() {
		msg += " since " + stamp(r.RevokedAt)
	}
	if s, ok := reasonNames[r.Reason]; ok {
		msg += " (" + s + ")"
	}
	return &shuin.Error{Code: shuin.CodeRevoked, Message: msg, Hint: "ask the signer to sign again with a certificate that is not revoked"}
}

// revocationRefused: an answer came, and it is bad. That is not "could not
// check", or whoever stands between us and a responder could choose.
func revocationRefused(what string, code shuin.Code, cause error) error {
	return &shuin.Error{
		Code:    code,
		Message: fmt.Sprintf("check revocation of %s", what),
		Hint:    "what answers at the address in the certificate gives no proper answer; tell its CA, or override revocation in the trust policy",
		Err:     cause,
	}
}

func revocationUnavailable(what string, cause error) error {
	return &shuin.Error{
		Code:    shuin.CodeRevocationUnavailable,
		Message: what + " revocation status is unknown",
		Hint:    "make the OCSP responders and CRLs named in the certificates reachable, or override revocation in the trust policy",
		Err:     cause,
	}
}

var reasonNames = map[int]string{
	1: "key compromise", 2: "CA compromise", 3: "affiliation changed", 4: "superseded",
	5: "cessation of operation", 6: "certificate hold", 9: "privilege withdrawn", 10: "AA compromise",
}
