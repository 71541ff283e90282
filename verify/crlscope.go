package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// issuingPoint is the scope of a CRL (RFC 5280, section 5.2.5).
type issuingPoint struct {
	Name         issuingPointName `asn1:"optional,tag:0"`
	OnlyUsers    bool             `asn1:"optional,tag:1"`
	OnlyCAs      bool             `asn1:"optional,tag:2"`
	SomeReasons  asn1.BitString   `asn1:"optional,tag:3"`
	Indirect     bool             `asn1:"optional,tag:4"`
	OnlyAttrCert bool             `asn1:"optional,tag:5"`
}

type issuingPointName struct {
	FullName []asn1.RawValue  `asn1:"optional,tag:0"`
	Relative pkix.RDNSequence `asn1:"optional,tag:1"`
}

// generalNameURI is the tag of a uniformResourceIdentifier.
const generalNameURI = 6

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
	if rest, err := asn1.Unmarshal(scope, &p); err != nil || len(rest) > 0 {
		return false, fmt.Errorf("issuing distribution point of the crl cannot be read: %w", errors.Join(err, trailing(rest)))
	}
	switch {
	case p.OnlyAttrCert, p.OnlyUsers && cert.IsCA, p.OnlyCAs && !cert.IsCA:
		return false, errors.New("the crl is for another kind of certificate")
	case p.Indirect:
		return false, errors.New("indirect crls are not supported")
	case !p.Name.matches(cert.CRLDistributionPoints):
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

// matches reports whether the list is that of one of the points, or does not
// say by address whose it is.
func (n issuingPointName) matches(points []string) bool {
	named := false
	for _, name := range n.FullName {
		if name.Class != asn1.ClassContextSpecific || name.Tag != generalNameURI {
			continue
		}
		if named = true; slices.Contains(points, string(name.Bytes)) {
			return true
		}
	}
	return !named
}

func extensionValue(extensions []pkix.Extension, id asn1.ObjectIdentifier) []byte {
	for _, ext := range extensions {
		if ext.Id.Equal(id) {
			return ext.Value
		}
	}
	return nil
}
