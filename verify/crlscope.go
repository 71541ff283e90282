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
	case namesPoint(scope) && !p.Name.matches(cert.CRLDistributionPoints):
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

// matches reports whether the list is that of one of the points, which are
// known by address. A name of another kind, a directory's for one, matches
// none: which partition of the CA's lists it means cannot be told here.
func (n issuingPointName) matches(points []string) bool {
	return slices.ContainsFunc(n.FullName, func(name asn1.RawValue) bool {
		return name.Class == asn1.ClassContextSpecific && name.Tag == generalNameURI && slices.Contains(points, string(name.Bytes))
	})
}

func extensionValue(extensions []pkix.Extension, id asn1.ObjectIdentifier) []byte {
	for _, ext := range extensions {
		if ext.Id.Equal(id) {
			return ext.Value
		}
	}
	return nil
}
