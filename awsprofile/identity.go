package awsprofile

import (
	"errors"
	"fmt"
	"strings"
)

// ErrWildcard: a trust policy that accepts every identity cannot be held
// against a signing profile, for any account may have one.
var ErrWildcard = errors.New(`trusted identity "*" is not accepted for signatures of AWS Signer`)

// IdentityError: none of the trusted identities is the signing profile.
type IdentityError struct {
	Signed Profile // the version that signed
	// Near says which identity came close, and how; empty: none did.
	Near string
	// Ignored says of identities that are no profile's why; they never match.
	Ignored []string
}

func (e *IdentityError) Error() string {
	s := fmt.Sprintf("signing profile version %s is not a trusted identity", e.Signed)
	if e.Near != "" {
		s += ": " + e.Near
	}
	if len(e.Ignored) > 0 {
		s += " (" + strings.Join(e.Ignored, "; ") + ")"
	}
	return s
}

// MatchIdentity finds the trusted identity that is the signing profile version
// signed, or the profile it is a version of, and gives its canonical spelling. Names are
// compared with their case. Identities that are no signing profile's ARN
// (x509.subject, other services) never match. The error is [ErrWildcard] or an
// [*IdentityError].
func MatchIdentity(identities []string, signed Profile) (string, error) {
	for _, id := range identities {
		if strings.TrimSpace(id) == "*" {
			return "", ErrWildcard
		}
	}
	e := &IdentityError{Signed: signed}
	for _, id := range identities {
		p, err := ParseProfile(id)
		switch {
		case err != nil:
			e.ignore(id, err)
		case p == signed || p == signed.Unversioned():
			return p.String(), nil
		case e.Near == "":
			e.Near = near(p, signed)
		}
	}
	return "", e
}

func (e *IdentityError) ignore(id string, err error) {
	var other notSigner
	switch {
	case !strings.HasPrefix(id, "arn:"):
		kind, _, _ := strings.Cut(id, ":")
		e.Ignored = append(e.Ignored, fmt.Sprintf("an identity of kind %s never matches a signature of AWS Signer", quote(kind)))
	case errors.As(err, &other):
		e.Ignored = append(e.Ignored, fmt.Sprintf("%s is ignored: %s", quote(id), other.Error()))
	default:
		e.Ignored = append(e.Ignored, err.Error())
	}
}

// near says how p, which is neither signed nor its profile, comes close.
func near(p, signed Profile) string {
	held := signed
	if p.Version == "" {
		held = signed.Unversioned()
	}
	same := p
	same.Version = held.Version
	switch {
	case strings.EqualFold(p.String(), held.String()):
		return fmt.Sprintf("it differs from %s in upper and lower case only, and case counts", p)
	case same == held:
		return fmt.Sprintf("the trusted version is %s", p.Version)
	}
	moved := p
	moved.Account = held.Account
	if moved == held {
		return fmt.Sprintf("the trusted profile is of account %s", p.Account)
	}
	moved = p
	moved.Region, moved.Partition = held.Region, held.Partition
	if moved == held {
		return fmt.Sprintf("the trusted profile is of region %s (%s)", p.Region, p.Partition)
	}
	return ""
}
