package revocation

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"time"
)

var (
	oidFreshestCRL       = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidDeltaCRLIndicator = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidNextPublish       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 4}
)

// Distribution points of RFC 5280, section 4.2.1.13.
type distributionPoint struct {
	Name      distributionPointName `asn1:"optional,tag:0"`
	Reasons   asn1.BitString        `asn1:"optional,tag:1"`
	CRLIssuer asn1.RawValue         `asn1:"optional,tag:2"`
}

type distributionPointName struct {
	FullName []asn1.RawValue  `asn1:"optional,tag:0"`
	Relative pkix.RDNSequence `asn1:"optional,tag:1"`
}

// urls are the names of kind uniformResourceIdentifier.
func (n distributionPointName) urls() []string {
	var out []string
	for _, name := range n.FullName {
		if name.Class == asn1.ClassContextSpecific && name.Tag == 6 {
			out = append(out, string(name.Bytes))
		}
	}
	return out
}

func extension(extensions []pkix.Extension, id asn1.ObjectIdentifier) []byte {
	for _, ext := range extensions {
		if ext.Id.Equal(id) {
			return ext.Value
		}
	}
	return nil
}

// unmarshal reads all of der into v.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing bytes")
	}
	return err
}

// freshestURLs are the addresses of the Freshest CRL extension of a
// certificate or a base CRL (RFC 5280, sections 4.2.1.15 and 5.2.6).
func freshestURLs(extensions []pkix.Extension) ([]string, error) {
	value := extension(extensions, oidFreshestCRL)
	if value == nil {
		return nil, nil
	}
	var points []distributionPoint
	if err := unmarshal(value, &points); err != nil {
		return nil, err
	}
	var urls []string
	for _, p := range points {
		urls = append(urls, p.Name.urls()...)
	}
	return urls, nil
}

// nextPublish is when the CA brings out its next list, where it says so.
func nextPublish(extensions []pkix.Extension) (time.Time, bool) {
	value := extension(extensions, oidNextPublish)
	if value == nil {
		return time.Time{}, false
	}
	var t time.Time
	if err := unmarshal(value, &t); err != nil {
		return time.Time{}, false
	}
	return t, true
}
