package verify

import (
	"crypto/x509/pkix"
	"strings"
)

// nameString is n.String() with three allocations in place of thirty, for the
// names that nearly all certificates have: single values of the usual
// attributes without characters that need escaping. For others it is
// n.String().
func nameString(n pkix.Name) string {
	parts := [...]struct {
		key    string
		values []string
	}{
		{"SERIALNUMBER=", one(n.SerialNumber)}, {"CN=", one(n.CommonName)},
		{"OU=", n.OrganizationalUnit}, {"O=", n.Organization}, {"POSTALCODE=", n.PostalCode},
		{"STREET=", n.StreetAddress}, {"L=", n.Locality}, {"ST=", n.Province}, {"C=", n.Country},
	}
	var b strings.Builder
	b.Grow(128)
	count := 0
	for _, p := range parts {
		if len(p.values) == 0 {
			continue
		}
		if len(p.values) > 1 || !plain(p.values[0]) {
			return n.String()
		}
		if count > 0 {
			b.WriteByte(',')
		}
		b.WriteString(p.key)
		b.WriteString(p.values[0])
		count++
	}
	if n.ExtraNames != nil || len(n.Names) != count {
		return n.String()
	}
	return b.String()
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// plain reports whether s needs no escaping in RFC 2253.
func plain(s string) bool {
	if s == "" || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == ' ', c == '.', c == '-', c == '_', c == '/', c == ':', c == '(', c == ')', c == '\'':
		default:
			return false
		}
	}
	return true
}
