package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// issuingPoint is the scope of a CRL (RFC 5280, section 5.2.5).
type issuingPoint struct {
	Name         pointName      `asn1:"optional,tag:0"`
	OnlyUsers    bool           `asn1:"optional,tag:1"`
	OnlyCAs      bool           `asn1:"optional,tag:2"`
	SomeReasons  asn1.BitString `asn1:"optional,tag:3"`
	Indirect     bool           `asn1:"optional,tag:4"`
	OnlyAttrCert bool           `asn1:"optional,tag:5"`
}

// distributionPoint is where a CRL is (RFC 5280, section 4.2.1.13).
type distributionPoint struct {
	Name      pointName      `asn1:"optional,tag:0"`
	Reasons   asn1.BitString `asn1:"optional,tag:1"`
	CRLIssuer asn1.RawValue  `asn1:"optional,tag:2"`
}

type pointName struct {
	FullName []asn1.RawValue  `asn1:"optional,tag:0"`
	Relative pkix.RDNSequence `asn1:"optional,tag:1"`
}

// generalNameURI is the tag of a uniformResourceIdentifier.
const generalNameURI = 6

// FreshestCRLs are the addresses in the Freshest CRL extension of a certificate
// or a base CRL (RFC 5280, sections 4.2.1.15 and 5.2.6); none without one.
func FreshestCRLs(extensions []pkix.Extension) ([]string, error) {
	points, err := readPoints(extensionValue(extensions, oidFreshestCRL))
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, p := range points {
		for _, name := range p.Name.FullName {
			if name.Class == asn1.ClassContextSpecific && name.Tag == generalNameURI {
				urls = append(urls, string(name.Bytes))
			}
		}
	}
	return urls, nil
}

// readPoints reads the value of an extension of distribution points; nil: there
// is none.
func readPoints(value []byte) (points []distributionPoint, err error) {
	if value != nil {
		err = unmarshalAll(value, &points)
	}
	return points, err
}

// checkScope refuses lists that are not about cert (RFC 5280, section 6.3.3
// (b) and (c)). CRLs come over plain HTTP: without this, somebody on the way
// could answer with another list of the same CA, on which cert cannot stand.
// partial says that they hold only some reasons: they can tell that cert is
// revoked, not that it is good. Upstream ignores the scope.
func checkScope(base, delta *x509.RevocationList, cert *x509.Certificate) (partial bool, err error) {
	scope := extensionValue(base.Extensions, oidIssuingDistributionPoint)
	if delta != nil && !bytes.Equal(scope, extensionValue(delta.Extensions, oidIssuingDistributionPoint)) {
		return false, errors.New("base and delta crl have different scopes")
	}
	if scope == nil {
		return false, nil
	}
	var p issuingPoint
	if err := unmarshalAll(scope, &p); err != nil {
		return false, fmt.Errorf("issuing distribution point of the crl cannot be read: %w", err)
	}
	switch {
	case p.OnlyAttrCert, p.OnlyUsers && cert.IsCA, p.OnlyCAs && !cert.IsCA:
		return false, errors.New("the crl is for another kind of certificate")
	case p.Indirect:
		return false, errors.New("indirect crls are not supported")
	case namesPoint(scope) && !p.Name.isOneOf(cert):
		return false, errors.New("the crl is that of another distribution point")
	}
	return p.SomeReasons.BitLength > 0, nil
}

func trailing(rest []byte) error {
	if len(rest) > 0 {
		return errors.New("trailing bytes")
	}
	return nil
}

// namesPoint reports whether an issuing distribution point has a name, of
// whatever kind.
func namesPoint(scope []byte) bool {
	var inside cryptobyte.String
	in := cryptobyte.String(scope)
	return !in.ReadASN1(&inside, cbasn1.SEQUENCE) || inside.PeekASN1Tag(cbasn1.Tag(0).ContextSpecific().Constructed())
}

// isOneOf reports whether a name of the list, of whatever kind, is byte for
// byte a name of one of cert's distribution points. A relative name matches
// none: which partition of the CA's lists it means cannot be told here.
func (n pointName) isOneOf(cert *x509.Certificate) bool {
	points, err := readPoints(extensionValue(cert.Extensions, oidCRLDistributionPoints))
	if err != nil {
		return false
	}
	for _, p := range points {
		for _, name := range p.Name.FullName {
			if slices.ContainsFunc(n.FullName, func(own asn1.RawValue) bool { return bytes.Equal(own.FullBytes, name.FullBytes) }) {
				return true
			}
		}
	}
	return false
}

func extensionValue(extensions []pkix.Extension, id asn1.ObjectIdentifier) []byte {
	for _, ext := range extensions {
		if ext.Id.Equal(id) {
			return ext.Value
		}
	}
	return nil
}
