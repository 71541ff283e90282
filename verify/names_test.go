package verify

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

func TestNamesAreSpelledAsTheStandardLibraryDoes(t *testing.T) {
	other := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, Value: "example"}
	for _, n := range []pkix.Name{
		{},
		{CommonName: "signer"},
		{Country: []string{"JP"}, Province: []string{"Tokyo"}, Organization: []string{"Example"}, CommonName: "signer"},
		{Country: []string{"JP"}, Organization: []string{"A", "B"}, CommonName: "two organizations"},
		{Country: []string{"JP"}, Organization: []string{"Example, Inc."}, CommonName: "a comma"},
		{CommonName: " leading and trailing "}, {CommonName: "#hash"}, {CommonName: "plus+sign"}, {CommonName: "日本"},
		{CommonName: "extra", ExtraNames: []pkix.AttributeTypeAndValue{other}},
		{
			Country: []string{"JP"}, Organization: []string{"O"}, OrganizationalUnit: []string{"OU"}, Locality: []string{"L"}, Province: []string{"ST"},
			StreetAddress: []string{"1-1 Street"}, PostalCode: []string{"100-0001"}, SerialNumber: "7", CommonName: "all of them",
		},
	} {
		for _, parsed := range []pkix.Name{n, reparse(t, n)} {
			if got, want := nameString(parsed), parsed.String(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
}

// reparse is the name as a certificate parser sees it.
func reparse(t *testing.T, n pkix.Name) pkix.Name {
	der, err := asn1.Marshal(n.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	var rdns pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &rdns); err != nil {
		t.Fatal(err)
	}
	var out pkix.Name
	out.FillFromRDNSequence(&rdns)
	return out
}
