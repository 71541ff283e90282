package trust_test

import (
	"testing"

	"github.com/shuin/shuin/trust"
)

func TestIdentitiesThatMatchTheSameHaveOneCanonicalForm(t *testing.T) {
	groups := [][]string{
		{"x509.subject: C=JP, ST=Tokyo, O=Example", "x509.subject:O=Example,ST=Tokyo,C=JP", "x509.subject: C=JP; S=Tokyo; O=Example", `x509.subject:C=JP,ST=To\6byo,O=Example`, "x509.subject: C=JP, ST=Tokyo, O=Example, CN="},
		{"x509.subject: C=JP, ST=Tokyo, O=Example, CN=a"},
		{"x509.subject: C=JP, ST=Tokyo, O=Example, OU=a"},
		{"x509.subject: C=JP, ST=Tokyo, O=example"},
		{`x509.subject: C=JP, ST=Tokyo, O=Example\, CN\=a`},
		{`x509.subject: C=JP, ST=Tokyo, O=Example", CN="a`},
		{"*"},
		{"other:C=JP, ST=Tokyo, O=Example"},
		{"other:O=Example, ST=Tokyo, C=JP"},
	}
	seen := map[string]string{}
	for _, group := range groups {
		var first string
		for i, text := range group {
			id, err := trust.ParseIdentity(text)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = id.Canonical()
				if other, twice := seen[first]; twice {
					t.Errorf("%q is taken for %q", text, other)
				}
				seen[first] = text
			} else if got := id.Canonical(); got != first {
				t.Errorf("%q: %s, and %q: %s", text, got, group[0], first)
			}
		}
	}
}
