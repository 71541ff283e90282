package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"TI-01 wildcard", "*", ""},
		{"TI-01 wildcard with a value is no wildcard", "*:acme", `trusted identity "*:acme" has a wildcard with a value: write "*" alone`},
		{"TI-01 full subject", "x509.subject: C=US, ST=WA, L=Seattle, O=acme, OU=org1, CN=a", ""},
		{"TI-01 partial subject", "x509.subject:C=US,ST=WA,O=acme", ""},
		{"TI-02 S for ST", "x509.subject: C=US, S=WA, O=acme", ""},
		{"TI-01 another prefix is the plugin's", "com.example.id:whatever", ""},
		{"TI-02 other prefixes are case-sensitive", "X509.Subject: C=US", ""},
		{"semicolons separate too", "x509.subject: C=US; ST=WA; O=acme", ""},
		{"an empty optional value", "x509.subject: C=US, ST=WA, O=acme, OU=", ""},
		{"a type the certificate can never have", "x509.subject: C=US, ST=WA, O=acme, XX=y", ""},
		{"TI-04 escaped comma, semicolon, backslash", `x509.subject: C=US, ST=WA, O=a\,b\;c\\d`, ""},
		{"TI-04 hexadecimal escape", `x509.subject: C=US, ST=WA, O=a\2Cb`, ""},
		{"TI-02 empty", "", "an empty trusted identity"},
		{"TI-02 no prefix", "x509.subject CN=e2e", `trusted identity "x509.subject CN=e2e" missing separator`},
		{"TI-02 no value", "x509.subject:", "without an identity value"},
		{"TI-02 blank value", "x509.subject:  ", `no mandatory RDN attribute for "C"`},
		{"TI-02 no C", "x509.subject: ST=WA, O=acme", `distinguished name (DN) " ST=WA, O=acme" has no mandatory RDN attribute for "C", it must contain 'C', 'ST' or 'S', and 'O' RDN attributes at a minimum`},
		{"TI-02 no ST", "x509.subject: C=US, O=acme", `no mandatory RDN attribute for "ST"`},
		{"TI-02 no O", "x509.subject: C=US, ST=WA", `no mandatory RDN attribute for "O"`},
		{"TI-02 empty O", "x509.subject: C=US, ST=WA, O=", `no mandatory RDN attribute for "O"`},
		{"TI-02 types are case-sensitive", "x509.subject: c=US, ST=WA, O=acme", `no mandatory RDN attribute for "C"`},
		{"TI-01 multi-valued RDN", "x509.subject: C=US, ST=WA, O=acme+OU=x", "multi-valued RDN"},
		{"TI-01 duplicate type", "x509.subject: C=US, ST=WA, O=acme, O=acme", `duplicate RDN attribute for "O"`},
		{"TI-01 S beside ST", "x509.subject: C=US, ST=WA, S=WA, O=acme", `duplicate RDN attribute for "ST"`},
		{"TI-01 hash form", "x509.subject: C=US, ST=WA, O=#0402", `"=#"`},
		{"no equal sign", "x509.subject: C=US, ST=WA, O=acme, x", "incomplete type, value pair"},
		{"trailing comma", "x509.subject: C=US, ST=WA, O=acme,", "incomplete type, value pair"},
		{"TI-04 unescaped backslash before a letter", `x509.subject: C=US, ST=WA, O=a\zz`, "failed to decode escaped character"},
		{"TI-04 half a hexadecimal escape", `x509.subject: C=US, ST=WA, O=a\4`, "failed to decode escaped character"},
		{"TI-04 backslash at the end", `x509.subject: C=US, ST=WA, O=a\`, "escaped character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := ParseIdentity(tt.in)
			checkError(t, err, tt.want)
			if err != nil {
				var ie *IdentityError
				if !errors.As(err, &ie) || ie.Identity != tt.in {
					t.Errorf("error is %T for %q", err, tt.in)
				}
				return
			}
			if id.String() != tt.in {
				t.Errorf("String = %q", id)
			}
			prefix, value, _ := strings.Cut(tt.in, ":")
			if id.Prefix() != prefix || id.Value() != value {
				t.Errorf("Prefix %q Value %q", id.Prefix(), id.Value())
			}
		})
	}
}

// subject makes a certificate with these attributes, in order: "C", "US", …
func subject(t *testing.T, pairs ...string) *x509.Certificate {
	t.Helper()
	oids := map[string]asn1.ObjectIdentifier{
		"C": {2, 5, 4, 6}, "ST": {2, 5, 4, 8}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "CN": {2, 5, 4, 3}, "L": {2, 5, 4, 7},
		"STREET": {2, 5, 4, 9}, "POSTALCODE": {2, 5, 4, 17}, "SERIALNUMBER": {2, 5, 4, 5}, "email": {1, 2, 840, 113549, 1, 9, 1},
	}
	var seq pkix.RDNSequence
	for i := 0; i < len(pairs); i += 2 {
		oid, ok := oids[pairs[i]]
		if !ok {
			t.Fatalf("unknown type %s", pairs[i])
		}
		seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: oid, Value: pairs[i+1]}})
	}
	var name pkix.Name
	name.FillFromRDNSequence(&seq)
	return &x509.Certificate{Subject: name}
}

func TestMatchesSubject(t *testing.T) {
	acme := []string{"C", "US", "ST", "WA", "O", "acme", "OU", "org1", "CN", "a"}
	with := func(more ...string) []string { return append(append([]string{}, acme...), more...) }
	tests := []struct {
		name     string
		identity string
		subject  []string
		want     bool
		wantErr  string
	}{
		{"VER-03 wildcard", "*", nil, true, ""},
		{"VER-03 full subject", "x509.subject: C=US, ST=WA, O=acme, OU=org1, CN=a", acme, true, ""},
		{"VER-03 partial subject", "x509.subject: O=acme, C=US, ST=WA", acme, true, ""},
		{"TI-02 S matches ST", "x509.subject: C=US, S=WA, O=acme", acme, true, ""},
		{"VER-03 another organization", "x509.subject: C=US, ST=WA, O=other", acme, false, ""},
		{"VER-03 values are case-sensitive", "x509.subject: C=US, ST=WA, O=Acme", acme, false, ""},
		{"VER-03 attribute missing from the certificate", "x509.subject: C=US, ST=WA, O=acme, L=Seattle", acme, false, ""},
		{"VER-03 empty value means absent", "x509.subject: C=US, ST=WA, O=acme, L=", acme, true, ""},
		{"VER-03 empty value, attribute present", "x509.subject: C=US, ST=WA, O=acme, OU=", acme, false, ""},
		{"VER-03 unknown type", "x509.subject: C=US, ST=WA, O=acme, DC=x", acme, false, ""},
		{"VER-03 another prefix matches nothing", "com.example:acme", acme, false, ""},
		{"VER-03 every named type", "x509.subject: C=US,ST=WA,O=acme,OU=org1,CN=a,L=S,STREET=1st,POSTALCODE=9,SERIALNUMBER=7",
			with("L", "S", "STREET", "1st", "POSTALCODE", "9", "SERIALNUMBER", "7"), true, ""},
		{"TI-04 escaped comma", `x509.subject: C=US, ST=WA, O=a\, b`, []string{"C", "US", "ST", "WA", "O", "a, b"}, true, ""},
		{"TI-04 escaped space at both ends", `x509.subject: C=US, ST=WA, O=\ a\ `, []string{"C", "US", "ST", "WA", "O", " a "}, true, ""},
		{"TI-04 unescaped spaces are trimmed", `x509.subject: C=US, ST=WA, O= a `, []string{"C", "US", "ST", "WA", "O", "a"}, true, ""},
		{"TI-04 backslash before a trimmed space", `x509.subject: C=US, ST=WA, O=a\\ `, []string{"C", "US", "ST", "WA", "O", `a\`}, true, ""},
		{"TI-01 two organizational units in the certificate", "x509.subject: C=US, ST=WA, O=acme", with("OU", "org2"), false, "multi-valued RDN"},
		{"TI-01 two common names in the certificate", "x509.subject: C=US, ST=WA, O=acme, CN=b", with("CN", "b"), false, "several values"},
		{"TI-01 two serial numbers in the certificate", "x509.subject: C=US, ST=WA, O=acme", with("SERIALNUMBER", "1", "SERIALNUMBER", "1"), false, "several values"},
		{"TI-01 attribute without a short name in the certificate", "x509.subject: C=US, ST=WA, O=acme", with("email", "a@b"), false, "no short name"},
		{"TI-01 =# in the certificate", "x509.subject: C=US, ST=WA, O=acme", with("L", "x=#1"), false, `"=#"`},
		{"TI-02 certificate without ST", "x509.subject: C=US, ST=WA, O=acme", []string{"C", "US", "O", "acme"}, false, `no mandatory RDN attribute for "ST"`},
		{"TI-02 certificate without a subject", "x509.subject: C=US, ST=WA, O=acme", nil, false, `no mandatory RDN attribute for "C"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := ParseIdentity(tt.identity)
			if err != nil {
				t.Fatal(err)
			}
			cert := subject(t, tt.subject...)
			got, err := id.Matches(cert)
			checkError(t, err, tt.wantErr)
			if got != tt.want {
				t.Errorf("Matches = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	id, err := ParseIdentity("x509.subject: C=US, ST=WA, O=acme")
	if err != nil {
		t.Fatal(err)
	}
	cert := subject(t, "C", "US", "ST", "WA", "O", "acme", "CN", "x")
	if n := testing.AllocsPerRun(100, func() {
		if ok, err := id.Matches(cert); !ok || err != nil {
			t.Fatal("no match")
		}
	}); n > 0 {
		t.Errorf("Matches allocates %v times", n)
	}
}

func TestIdentitiesOverlap(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"TI-03 one is part of the other", "x509.subject: C=US, ST=WA, O=acme, OU=org1", "x509.subject:  C=US, ST=WA, O=acme", true},
		{"TI-03 the same twice", "x509.subject: C=US, ST=WA, O=acme", "x509.subject:O=acme,S=WA,C=US", true},
		{"TI-03 different organizations", "x509.subject: C=US, ST=WA, O=acme", "x509.subject: C=US, ST=WA, O=other", false},
		{"TI-03 neither is part of the other", "x509.subject: C=US, ST=WA, O=acme, OU=a", "x509.subject: C=US, ST=WA, O=acme, CN=b", false},
		{"TI-03 other prefixes are the plugin's", "com.example:a", "com.example:a", false},
		{"TI-03 wildcard is judged by the policy", "*", "x509.subject: C=US, ST=WA, O=acme", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := ParseIdentity(tt.a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := ParseIdentity(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if a.Overlaps(b) != tt.want || b.Overlaps(a) != tt.want {
				t.Errorf("Overlaps = %v and %v, want %v", a.Overlaps(b), b.Overlaps(a), tt.want)
			}
		})
	}
}

// FuzzIdentity: no input panics, what parses prints as it was, and a subject
// with exactly the identity's attributes matches it.
func FuzzIdentity(f *testing.F) {
	for _, s := range []string{"*", "", "a:b", "x509.subject: C=US, ST=WA, O=acme", `x509.subject:C=U\,S,S=\41,O=\ a\ ;CN=\\ `, "x509.subject:C=US,ST=WA,O=a+OU=b", "x509.subject:=a=b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err != nil {
			return
		}
		if id.String() != s {
			t.Fatalf("String = %q, want %q", id, s)
		}
		if id.Prefix() != PrefixX509Subject {
			return
		}
		if !id.Overlaps(id) {
			t.Fatalf("%q does not overlap with itself", s)
		}
		name := pkix.Name{Country: []string{find(id.dn, "C")}, Province: []string{find(id.dn, "ST")}, Organization: []string{find(id.dn, "O")}}
		want := !strings.Contains(name.Country[0]+"\x00"+name.Province[0]+"\x00"+name.Organization[0], "=#")
		for _, a := range id.dn {
			want = want && (a.value == "" || a.typ == "C" || a.typ == "ST" || a.typ == "O")
		}
		if got, _ := id.Matches(&x509.Certificate{Subject: name}); got != want {
			t.Fatalf("%q matches its own subject: %v, want %v", s, got, want)
		}
	})
}
