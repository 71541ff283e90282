package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Prefixes of trusted identities.
const (
	PrefixAny         = "*"            // any certificate the stores anchor
	PrefixX509Subject = "x509.subject" // a full or partial subject
)

// Identity is a parsed trusted identity: "*", or "x509.subject:" and a
// distinguished name, or another prefix left to plugins. Immutable; parsed
// once when the policy is read, so that matching allocates nothing.
type Identity struct {
	text   string
	prefix string
	dn     []attribute
}

// attribute is one single-valued RDN.
type attribute struct {
	typ   string // "ST" for both ST and S
	value string // unescaped
}

// IdentityError says what is wrong with a trusted identity. Its text continues
// "trust policy statement … has".
type IdentityError struct {
	Identity string
	Reason   string
	Err      error
}

func (e *IdentityError) Error() string {
	if e.Identity == "" {
		return "an empty trusted identity"
	}
	s := fmt.Sprintf("trusted identity %q %s", e.Identity, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *IdentityError) Unwrap() error { return e.Err }

// ParseIdentity reads a trustedIdentities value (TI-01, TI-02, TI-04): "*", or
// a full or partial subject with C, ST (or S) and O. Multi-valued RDNs,
// duplicate attribute types and "=#" are refused (checklist part B, row
// TI-01). Any other "prefix:value" is kept for plugins. The error is an
// [*IdentityError].
func ParseIdentity(s string) (Identity, error) {
	if s == PrefixAny {
		return Identity{text: s, prefix: s}, nil
	}
	if s == "" {
		return Identity{}, &IdentityError{}
	}
	prefix, value, ok := strings.Cut(s, ":")
	if !ok {
		return Identity{}, &IdentityError{Identity: s, Reason: "missing separator"}
	}
	if prefix == PrefixAny { // "*:x" must not be taken for "*"
		return Identity{}, &IdentityError{Identity: s, Reason: "has a wildcard with a value: write \"*\" alone"}
	}
	id := Identity{text: s, prefix: prefix}
	if prefix != PrefixX509Subject {
		return id, nil
	}
	if value == "" {
		return Identity{}, &IdentityError{Identity: s, Reason: "without an identity value"}
	}
	dn, err := parseDN(value)
	if err != nil {
		return Identity{}, &IdentityError{Identity: s, Reason: "with invalid identity value", Err: err}
	}
	id.dn = dn
	return id, nil
}

// String is the identity as written.
func (i Identity) String() string { return i.text }

// Prefix is "*", "x509.subject" or whatever stands before the first colon.
func (i Identity) Prefix() string { return i.prefix }

// Value is what stands after the first colon, as written; empty for "*".
func (i Identity) Value() string {
	_, v, _ := strings.Cut(i.text, ":")
	return v
}

// Any reports whether i is "*".
func (i Identity) Any() bool { return i.prefix == PrefixAny }

// Overlaps reports whether one of i and o matches everything the other does
// (TI-03). Only two subjects can overlap here; "*" beside anything else is
// refused by the policy, and other prefixes are the plugin's business.
func (i Identity) Overlaps(o Identity) bool {
	return i.Covers(o) || o.Covers(i)
}

// Covers reports whether the subject i matches every certificate that the
// subject o matches: each attribute of i stands in o.
func (i Identity) Covers(o Identity) bool {
	return i.prefix == PrefixX509Subject && o.prefix == PrefixX509Subject && within(i.dn, o.dn)
}

// within reports whether every attribute of a stands in b.
func within(a, b []attribute) bool {
	for _, x := range a {
		if find(b, x.typ) != x.value {
			return false
		}
	}
	return true
}

// find is the value of typ, empty when there is none: an empty value and an
// absent attribute are the same.
func find(dn []attribute, typ string) string {
	for _, x := range dn {
		if x.typ == typ {
			return x.value
		}
	}
	return ""
}

// Matches reports whether every RDN of i stands in the certificate's subject
// (VER-03). "*" matches any certificate; an identity that is no subject
// matches none. The error says why the subject cannot be compared at all:
// several values of one attribute, of a common name too, an attribute type
// without a short name, "=#", or no C, ST or O.
func (i Identity) Matches(cert *x509.Certificate) (bool, error) {
	switch i.prefix {
	case PrefixAny:
		return true, nil
	case PrefixX509Subject:
	default:
		return false, nil
	}
	if err := checkSubject(&cert.Subject); err != nil {
		return false, err
	}
	for _, a := range i.dn {
		if subjectValue(&cert.Subject, a.typ) != a.value {
			return false, nil
		}
	}
	return true, nil
}

// subjectTypes are the attribute types of a subject that have a short name
// (RFC 4514 section 3, and crypto/x509/pkix), the mandatory ones first.
var subjectTypes = [...]string{"C", "ST", "O", "OU", "L", "STREET", "POSTALCODE", "SERIALNUMBER", "CN"}

// checkSubject holds a certificate's subject to the rules of an identity
// (checklist part B, row TI-01).
func checkSubject(n *pkix.Name) error {
	for _, list := range [...][]string{n.Country, n.Province, n.Organization, n.OrganizationalUnit, n.Locality, n.StreetAddress, n.PostalCode} {
		if len(list) > 1 {
			return fmt.Errorf("distinguished name (DN) %q has multi-valued RDN attributes, remove multi-valued RDN attributes as they are not supported", n.String())
		}
	}
	var seen [32]bool // by the last number of the type, all that is left of it
	for _, a := range n.Names {
		if !hasShortName(a.Type) {
			return fmt.Errorf("unsupported distinguished name (DN) %q: attribute type %s has no short name, so it cannot be compared with x509.subject identities", n.String(), a.Type)
		}
		// Differs from upstream: of several common names or serial numbers,
		// which n holds the last of, it compares that one.
		if last := a.Type[3]; seen[last] {
			return fmt.Errorf("unsupported distinguished name (DN) %q: it has several values of attribute type %s, so it cannot be compared with x509.subject identities", n.String(), a.Type)
		} else {
			seen[last] = true
		}
	}
	for _, t := range subjectTypes {
		if strings.Contains(subjectValue(n, t), "=#") {
			return errHash(n.String())
		}
	}
	for _, t := range subjectTypes[:3] {
		if subjectValue(n, t) == "" {
			return errMandatory(n.String(), t)
		}
	}
	return nil
}

func hasShortName(oid asn1.ObjectIdentifier) bool {
	if len(oid) != 4 || oid[0] != 2 || oid[1] != 5 || oid[2] != 4 {
		return false
	}
	switch oid[3] {
	case 3, 5, 6, 7, 8, 9, 10, 11, 17:
		return true
	}
	return false
}

// subjectValue is the value of an attribute type, empty when there is none.
func subjectValue(n *pkix.Name, typ string) string {
	switch typ {
	case "CN":
		return n.CommonName
	case "SERIALNUMBER":
		return n.SerialNumber
	case "C":
		return first(n.Country)
	case "ST":
		return first(n.Province)
	case "O":
		return first(n.Organization)
	case "OU":
		return first(n.OrganizationalUnit)
	case "L":
		return first(n.Locality)
	case "STREET":
		return first(n.StreetAddress)
	case "POSTALCODE":
		return first(n.PostalCode)
	}
	return ""
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func errHash(dn string) error {
	return fmt.Errorf("unsupported distinguished name (DN) %q: notation does not support x509.subject identities containing \"=#\"", dn)
}

func errMandatory(dn, typ string) error {
	return fmt.Errorf("distinguished name (DN) %q has no mandatory RDN attribute for %q, it must contain 'C', 'ST' or 'S', and 'O' RDN attributes at a minimum", dn, typ)
}

// parseDN reads a distinguished name in the string form of RFC 4514, in which
// ';' may stand for ','. Attribute types are case-sensitive.
func parseDN(s string) ([]attribute, error) {
	if strings.Contains(s, "=#") {
		return nil, errHash(s)
	}
	fail := func(err error) ([]attribute, error) {
		return nil, fmt.Errorf("parsing distinguished name (DN) %q failed with err: %w. A valid DN must contain 'C', 'ST' or 'S', and 'O' RDN attributes at a minimum, and follow RFC 4514 standard", s, err)
	}
	var dn []attribute
	multi := false
	for rest, more := s, strings.TrimSpace(s) != ""; more; {
		var part string
		var sep byte
		part, sep, rest = cutRDN(rest)
		typ, value, err := splitRDN(part)
		if err != nil {
			return fail(err)
		}
		multi = multi || sep == '+'
		dn = append(dn, attribute{typ, value})
		more = sep != 0
	}
	if multi {
		return nil, fmt.Errorf("distinguished name (DN) %q has multi-valued RDN attributes, remove multi-valued RDN attributes as they are not supported", s)
	}
	return uniqueRDNs(s, dn)
}

// uniqueRDNs makes ST of S, and refuses a repeated type and a missing C, ST or O.
func uniqueRDNs(s string, dn []attribute) ([]attribute, error) {
	var out []attribute
	for _, a := range dn {
		if a.typ == "S" {
			a.typ = "ST"
		}
		if find(out, a.typ) != "" {
			return nil, fmt.Errorf("distinguished name (DN) %q has duplicate RDN attribute for %q, DN can only have unique RDN attributes", s, a.typ)
		}
		// A repeated type whose first value is empty replaces it.
		replaced := false
		for i := range out {
			if out[i].typ == a.typ {
				out[i], replaced = a, true
			}
		}
		if !replaced {
			out = append(out, a)
		}
	}
	for _, t := range subjectTypes[:3] {
		if find(out, t) == "" {
			return nil, errMandatory(s, t)
		}
	}
	return out, nil
}

// cutRDN cuts s at the first unescaped ',', ';' or '+'. sep is zero when there is none.
func cutRDN(s string) (part string, sep byte, rest string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',', ';', '+':
			return s[:i], s[i], s[i+1:]
		}
	}
	return s, 0, ""
}

// splitRDN splits "type=value" at the first unescaped '=' that has something
// before it, and unescapes both sides.
func splitRDN(s string) (typ, value string, err error) {
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '=':
			if typ, err = unescape(s[start:i]); err != nil {
				return "", "", err
			}
			if typ != "" {
				value, err = unescape(s[i+1:])
				return typ, value, err
			}
			start = i + 1
		}
	}
	return "", "", errors.New("DN ended with incomplete type, value pair")
}

// unescape trims unescaped spaces at both ends and resolves the escapes of
// RFC 4514 section 2.4: a backslash and a special character (TI-04), or a
// backslash and two hexadecimal digits.
func unescape(s string) (string, error) {
	s = trimSpaces(s)
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i+1 == len(s) {
			return "", fmt.Errorf("got corrupted escaped character: '%s'", s)
		}
		if strings.IndexByte(` "#+,;<=>\`, s[i+1]) >= 0 {
			b = append(b, s[i+1])
			i++
			continue
		}
		hi, ok1 := hexDigit(s[i+1])
		if !ok1 || i+2 == len(s) {
			return "", fmt.Errorf("failed to decode escaped character: invalid escape in '%s'", s)
		}
		lo, ok2 := hexDigit(s[i+2])
		if !ok2 {
			return "", fmt.Errorf("failed to decode escaped character: invalid escape in '%s'", s)
		}
		b = append(b, hi<<4|lo)
		i += 2
	}
	return string(b), nil
}

// trimSpaces trims spaces, but keeps an escaped one at the end.
func trimSpaces(s string) string {
	s = strings.TrimLeft(s, " ")
	t := strings.TrimRight(s, " ")
	if len(t) < len(s) {
		n := len(t)
		for n > 0 && t[n-1] == '\\' {
			n--
		}
		if (len(t)-n)%2 == 1 {
			return s[:len(t)+1]
		}
	}
	return t
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// Canonical is equal for identities that match the same certificates however
// they are written: in whatever order their attributes stand, with S or ST,
// spaces and escapes. It is for comparing, not for showing, and for a prefix
// other than x509.subject the identity as written.
func (i Identity) Canonical() string {
	if i.prefix != PrefixX509Subject {
		return i.text
	}
	parts := make([]string, 0, len(i.dn))
	for _, a := range i.dn {
		if a.value != "" { // an empty value matches what an absent one does
			parts = append(parts, fmt.Sprintf("%q=%q", a.typ, a.value))
		}
	}
	slices.Sort(parts)
	return PrefixX509Subject + ":" + strings.Join(parts, ",")
}
