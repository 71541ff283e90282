package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"golang.org/x/crypto/ocsp"
)

var (
	oidScope  = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidPoints = asn1.ObjectIdentifier{2, 5, 29, 31}
)

// scopePart is one field of an issuing distribution point.
type scopePart = asn1.RawValue

func generalURI(s string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(s)}
}

func directoryName(cn string) asn1.RawValue {
	return wrap(asn1.ClassContextSpecific, 4, must(asn1.Marshal(name(cn).ToRDNSequence())))
}

// pointName is a distributionPoint with a full name: DistributionPoint and
// IssuingDistributionPoint begin alike.
func pointName(names ...asn1.RawValue) scopePart {
	var all []byte
	for _, n := range names {
		all = append(all, must(asn1.Marshal(n))...)
	}
	return wrap(asn1.ClassContextSpecific, 0, must(asn1.Marshal(wrap(asn1.ClassContextSpecific, 0, all))))
}

func onlyIf(tag int) scopePart {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte{0xff}}
}

func sequence(parts ...asn1.RawValue) asn1.RawValue {
	v := asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true}
	for _, p := range parts {
		v.Bytes = append(v.Bytes, must(asn1.Marshal(p))...)
	}
	return v
}

// scopeCases are genuine answers to another question: signed with the right
// key, about something else or of another time.
func scopeCases(b *book) {
	l := revLeaf([]string{crlURL}, nil)
	chain := []*cert{l, issuing, rootCA}
	says := func(id, title, status string, f func(*list)) {
		c := crl()
		f(c)
		b.revocation(id, title, status, chain, map[string]answer{crlURL: {Body: c.der()}}, nil)
	}
	scoped := func(parts ...scopePart) func(*list) {
		return func(c *list) { s := sequence(parts...); c.scope = &s }
	}
	says("REV-02/delta-in-the-bases-place", "the distribution point serves a delta CRL", "unavailable", func(c *list) { c.number, c.delta = 6, 5 })
	says("REV-02/point-of-the-certificate", "the issuing distribution point is the one that the certificate names", "good", scoped(pointName(generalURI(crlURL))))
	says("REV-02/point-by-another-address", "the issuing distribution point is another address", "unavailable", scoped(pointName(generalURI(crl2URL))))
	says("REV-02/point-by-directory-name", "the issuing distribution point is a directory's name, which the certificate does not know", "unavailable", scoped(pointName(directoryName("Other Point"))))
	says("REV-02/users-only", "the CRL is for end entities, and so is the certificate", "good", scoped(onlyIf(1)))
	says("REV-02/cas-only", "the CRL is for CAs only", "unavailable", scoped(onlyIf(2)))
	says("REV-02/attribute-certificates-only", "the CRL is for attribute certificates only", "unavailable", scoped(onlyIf(5)))
	says("REV-02/indirect", "an indirect CRL", "unavailable", scoped(onlyIf(4)))
	says("REV-02/some-reasons", "the CRL holds only some reasons", "unavailable",
		scoped(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 3, Bytes: []byte{6, 0x40}}))

	namesake := caSpec(newKey("p256/issuing"), "Example Namesake CA").issue(rootCA)
	says("REV-03/other-issuers-name", "a CRL in another CA's name, signed with the issuer's key", "unavailable", func(c *list) { c.by = namesake })
	says("REV-03/from-the-future", "thisUpdate is a year ahead", "unavailable", func(c *list) { c.from, c.to = date(2026, 6, 1), date(2026, 7, 1) })
	says("REV-03/clocks-differ", "thisUpdate is two minutes ahead", "good", func(c *list) { c.from = now.Add(2 * time.Minute) })
	twice := crl(invalid(revoked(l, 1, date(2025, 5, 1)), date(2025, 4, 1)), revoked(l, 1, date(2025, 5, 1)))
	signed := signedAt
	b.revocation("REV-03/listed-twice", "listed twice: once as invalid only after the authentic signing time, once without such a date", "revoked", chain,
		map[string]answer{crlURL: {Body: twice.der()}}, &signed)

	o := revLeaf(nil, []string{ocspURL})
	asked := func(id, title, status string, body []byte) {
		b.revocation(id, title, status, []*cert{o, issuing, rootCA}, map[string]answer{ocspURL: {Body: body}}, nil)
	}
	rekeyed := caSpec(newKey("p256/fake"), "Example Issuing CA").issue(rootCA)
	asked("REV-04/other-issuer-name-hash", "about the same serial number of an issuer of another name", "unavailable", answerBy(namesake, issuing, template(o, ocsp.Good)))
	asked("REV-04/other-issuer-key-hash", "about the same serial number of an issuer of another key", "unavailable", answerBy(rekeyed, issuing, template(o, ocsp.Good)))
	asked("REV-04/from-the-future", "thisUpdate is a year ahead", "unavailable",
		respond(o, ocsp.Good, func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = date(2026, 6, 1), date(2026, 7, 1) }))
	asked("REV-04/clocks-differ", "thisUpdate is two minutes ahead", "good", respond(o, ocsp.Good, func(r *ocsp.Response) { r.ThisUpdate = now.Add(2 * time.Minute) }))
	enclosed := template(o, ocsp.Good)
	enclosed.Certificate = issuing.Certificate
	asked("REV-04/issuer-encloses-its-certificate", "the issuer answers itself, and encloses its own certificate, an intermediate's", "good", answerBy(issuing, issuing, enclosed))

	pointed := func(cn string, names ...asn1.RawValue) []*cert {
		s := leafSpec(newKey("p256/revocable"), cn)
		s.ExtraExtensions = []pkix.Extension{{Id: oidPoints, Value: must(asn1.Marshal(sequence(sequence(pointName(names...)))))}}
		return under(s, issuing, rootCA)
	}
	c := crl()
	scoped(pointName(directoryName("Point")))(c)
	b.revocation("REV-02/point-by-both-names", "certificate and CRL name the point by the same directory name, the certificate by address too", "good",
		pointed("Two Names", generalURI(crlURL), directoryName("Point")), map[string]answer{crlURL: {Body: c.der()}}, nil)
	b.revocation("REV-01/point-without-address", "the certificate names a CRL, and no address that it could be had from", "unavailable",
		pointed("No Address", directoryName("Point")), map[string]answer{crlURL: {Body: crl(x509.RevocationListEntry{SerialNumber: l.SerialNumber, RevocationTime: date(2025, 5, 1)}).der()}}, nil)
}
