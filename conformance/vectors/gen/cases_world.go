package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

// revocationInput is a chain and what the world answers about it.
type revocationInput struct {
	Purpose string            `json:"purpose"`
	Chain   [][]byte          `json:"chain"`
	At      *time.Time        `json:"at,omitempty"` // authenticated signing time
	Answers map[string]answer `json:"answers"`
	// Status per certificate, leaf first: good, no-source, revoked, unavailable.
	Status []string `json:"status"`
}

const (
	crlURL   = "http://revocation.example/base.crl"
	crl2URL  = "http://revocation.example/second.crl"
	deltaURL = "http://revocation.example/delta.crl"
	ocspURL  = "http://revocation.example/ocsp"
	ocsp2URL = "http://revocation.example/ocsp2"
)

var (
	oidFreshest   = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidDelta      = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidInvalidity = asn1.ObjectIdentifier{2, 5, 29, 24}
	revLeaf       = func(crls []string, ocsps []string) *cert {
		s := leafSpec(newKey("p256/revocable"), "Revocable "+strings.Join(crls, "")+strings.Join(ocsps, ""))
		s.CRLDistributionPoints, s.OCSPServer = crls, ocsps
		return s.issue(issuing)
	}
)

// list is a CRL about to be made.
type list struct {
	number   int64
	delta    int64 // base number; 0: a base CRL
	freshest bool
	from, to time.Time
	by       *cert
	entries  []x509.RevocationListEntry
	breakSig bool
	unknown  bool
	scope    *asn1.RawValue // issuing distribution point
}

func crl(entries ...x509.RevocationListEntry) *list {
	return &list{number: 5, from: date(2025, 6, 1), to: date(2025, 7, 1), by: issuing, entries: entries}
}

func revoked(c *cert, reason int, at time.Time) x509.RevocationListEntry {
	return x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at, ReasonCode: reason}
}

func invalid(e x509.RevocationListEntry, since time.Time) x509.RevocationListEntry {
	e.ExtraExtensions = []pkix.Extension{{Id: oidInvalidity, Value: must(asn1.MarshalWithParams(since.UTC(), "generalized"))}}
	return e
}

func (l *list) der() []byte {
	t := &x509.RevocationList{Number: big.NewInt(l.number), ThisUpdate: l.from, NextUpdate: l.to, RevokedCertificateEntries: l.entries}
	if l.delta > 0 {
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oidDelta, Critical: true, Value: must(asn1.Marshal(big.NewInt(l.delta)))})
	}
	if l.unknown {
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 8}, Critical: true, Value: []byte{5, 0}})
	}
	if l.scope != nil {
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oidScope, Critical: true, Value: must(asn1.Marshal(*l.scope))})
	}
	if l.freshest {
		uri := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(deltaURL)}
		full := wrap(asn1.ClassContextSpecific, 0, must(asn1.Marshal(uri)))
		point := wrap(asn1.ClassContextSpecific, 0, must(asn1.Marshal(full)))
		dp := asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: must(asn1.Marshal(point))}
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oidFreshest, Value: must(asn1.Marshal([]asn1.RawValue{dp}))})
	}
	out := must(x509.CreateRevocationList(nil, t, l.by.Certificate, l.by.key))
	if l.breakSig {
		out[len(out)-1] ^= 1
	}
	return out
}

func (b *book) revocation(id, title string, status string, chain []*cert, answers map[string]answer, at *time.Time, rows ...string) {
	n := now
	leafStatus := strings.Fields(status)
	all := append(leafStatus, "no-source", "no-source", "no-source")[:len(chain)]
	v := &vector{ID: id, Title: title, Kind: "revocation", Now: &n, Valid: true, Input: revocationInput{"codeSigning", der(chain), at, answers, all}}
	for _, s := range leafStatus {
		if s == "revoked" || s == "unavailable" {
			v.Valid = false
			v.Expect = &expect{Rows: rows, Codes: []string{map[string]string{"revoked": "revoked", "unavailable": "revocation-unavailable"}[s]}}
		}
	}
	b.add(v)
}

func revocationCases(b *book) {
	was := date(2025, 5, 1)
	listed := func() *cert { return revLeaf([]string{crlURL}, nil) }
	chain := func(l *cert) []*cert { return []*cert{l, issuing, rootCA} }
	at := func(t time.Time) *time.Time { return &t }
	crlOf := func(l *list) map[string]answer { return map[string]answer{crlURL: {Body: l.der()}} }

	b.revocation("REV-01/no-sources", "certificates that name no OCSP responder and no CRL", "no-source", chain(leaf), nil, nil)
	b.revocation("REV-01/unreachable", "the CRL is not there", "unavailable", chain(listed()), map[string]answer{crlURL: {Status: 404}}, nil)
	both := revLeaf([]string{crlURL}, []string{ocspURL})
	b.revocation("REV-01/ocsp-down-crl-good", "the responder fails, the CRL answers", "good", chain(both), map[string]answer{ocspURL: {Status: 500}, crlURL: {Body: crl().der()}}, nil)
	b.revocation("REV-01/ocsp-down-crl-revoked", "the responder fails, the CRL says revoked", "revoked", chain(both), map[string]answer{ocspURL: {Status: 500}, crlURL: {Body: crl(revoked(both, 1, was)).der()}}, nil)
	b.revocation("REV-01/ocsp-good-crl-unasked", "OCSP goes first", "good", chain(both), map[string]answer{ocspURL: {Body: respond(both, ocsp.Good, nil)}, crlURL: {Status: 500}}, nil)
	mid := caSpec(newKey("p256/revocable-ca"), "Revocable CA")
	mid.CRLDistributionPoints = []string{crlURL}
	m := mid.issue(rootCA)
	ml := leafSpec(newKey("p256/leaf"), "Example Signer").issue(m)
	byRoot := crl(revoked(m, 0, was))
	byRoot.by = rootCA
	b.revocation("REV-01/intermediate-revoked", "the intermediate is revoked", "no-source revoked", []*cert{ml, m, rootCA}, crlOf(byRoot), nil)

	base := func() *list { l := crl(); l.freshest = true; return l }
	delta := func(es ...x509.RevocationListEntry) *list { l := crl(es...); l.number, l.delta = 6, 5; return l }
	bundle := func(a, d *list) map[string]answer {
		return map[string]answer{crlURL: {Body: a.der()}, deltaURL: {Body: d.der()}}
	}
	l := listed()
	b.revocation("REV-02/base", "a base CRL without the certificate", "good", chain(l), crlOf(crl()), nil)
	b.revocation("REV-02/delta", "base and delta CRL without the certificate", "good", chain(l), bundle(base(), delta()), nil)
	b.revocation("REV-02/revoked-in-delta", "revoked in the delta CRL", "revoked", chain(l), bundle(base(), delta(revoked(l, 1, was))), nil)
	b.revocation("REV-02/delta-unreachable", "the base names a delta CRL that is not there", "unavailable", chain(l), map[string]answer{crlURL: {Body: base().der()}, deltaURL: {Status: 404}}, nil)
	two := revLeaf([]string{crlURL, crl2URL}, nil)
	b.revocation("REV-02/second-point-good", "the first distribution point fails, the second answers", "good", chain(two), map[string]answer{crlURL: {Status: 404}, crl2URL: {Body: crl().der()}}, nil)
	b.revocation("REV-02/second-point-revoked", "the first distribution point fails, the second says revoked", "revoked", chain(two), map[string]answer{crlURL: {Status: 404}, crl2URL: {Body: crl(revoked(two, 1, was)).der()}}, nil)
	b.revocation("REV-02/no-point-answers", "no distribution point answers", "unavailable", chain(two), map[string]answer{crlURL: {Status: 404}, crl2URL: {Status: 500}}, nil)
	same := delta()
	same.number = 5
	b.revocation("REV-02/delta-of-the-bases-number", "a delta CRL issued together with the base, under the same number (RFC 5280 section 5.2.3): nothing was added", "good", chain(l), bundle(base(), same), nil)
	older := delta()
	older.number, older.delta = 4, 3
	b.revocation("REV-02/delta-older-than-the-base", "a delta CRL whose number is below the base's", "unavailable", chain(l), bundle(base(), older), nil, "REV-03")
	later := delta()
	later.number, later.delta = 9, 8
	b.revocation("REV-02/delta-for-newer-base", "a delta CRL for a base newer than ours", "unavailable", chain(l), bundle(base(), later), nil, "REV-03")
	ldap := leafSpec(newKey("p256/revocable"), "LDAP")
	ldap.CRLDistributionPoints = []string{"ldap://revocation.example/cn=ca"}
	b.revocation("REV-02/ldap", "a distribution point that is not HTTP", "unavailable", chain(ldap.issue(issuing)), nil, nil)

	b.revocation("REV-03/not-listed", "not in the CRL", "good", chain(l), crlOf(crl(x509.RevocationListEntry{SerialNumber: big.NewInt(99), RevocationTime: was})), nil)
	b.revocation("REV-03/listed", "in the CRL", "revoked", chain(l), crlOf(crl(revoked(l, 1, was))), nil)
	b.revocation("REV-03/on-hold", "on hold", "revoked", chain(l), crlOf(crl(revoked(l, 6, was))), nil)
	hold := base()
	hold.entries = []x509.RevocationListEntry{revoked(l, 6, was)}
	b.revocation("REV-03/removed-in-delta", "on hold in the base, removed in the delta", "good", chain(l), bundle(hold, delta(revoked(l, 8, was.AddDate(0, 0, 14)))), nil)
	b.revocation("REV-03/invalid-after-signing", "revoked, invalid only after the authentic signing time", "good", chain(l), crlOf(crl(invalid(revoked(l, 1, was), date(2025, 4, 1)))), at(signedAt))
	b.revocation("REV-03/invalid-before-signing", "revoked, invalid before the authentic signing time", "revoked", chain(l), crlOf(crl(invalid(revoked(l, 1, was), date(2025, 2, 1)))), at(signedAt))
	b.revocation("REV-03/invalid-without-time", "an invalidity date, and no authentic signing time", "revoked", chain(l), crlOf(crl(invalid(revoked(l, 1, was), date(2025, 4, 1)))), nil)
	change := func(f func(*list)) map[string]answer { c := crl(); f(c); return crlOf(c) }
	b.revocation("REV-03/stale", "NextUpdate is over", "unavailable", chain(l), change(func(c *list) { c.to = date(2025, 6, 10) }), nil)
	b.revocation("REV-03/stale-but-listed", "NextUpdate is over, and the certificate is listed: once revoked it stays so", "revoked", chain(l),
		func() map[string]answer { c := crl(revoked(l, 1, was)); c.to = date(2025, 6, 10); return crlOf(c) }(), nil)
	b.revocation("REV-03/broken-signature", "the CRL's signature is wrong", "unavailable", chain(l), change(func(c *list) { c.breakSig = true }), nil)
	b.revocation("REV-03/other-issuer", "the CRL of another CA", "unavailable", chain(l), change(func(c *list) { c.by = strangerRoot }), nil)
	b.revocation("REV-03/unknown-critical-extension", "the CRL has an unknown critical extension", "unavailable", chain(l), change(func(c *list) { c.unknown = true }), nil)
	b.revocation("REV-03/no-crl", "the answer is no CRL", "unavailable", chain(l), map[string]answer{crlURL: {Body: []byte("<html>")}}, nil)

	o := revLeaf(nil, []string{ocspURL})
	says := func(body []byte) map[string]answer { return map[string]answer{ocspURL: {Body: body}} }
	b.revocation("REV-04/good", "the responder says good", "good", chain(o), says(respond(o, ocsp.Good, nil)), nil)
	b.revocation("REV-04/revoked", "the responder says revoked", "revoked", chain(o), says(respond(o, ocsp.Revoked, nil)), nil)
	b.revocation("REV-04/unknown", "the responder says unknown", "unavailable", chain(o), says(respond(o, ocsp.Unknown, nil)), nil)
	b.revocation("REV-04/stale", "NextUpdate is over", "unavailable", chain(o), says(respond(o, ocsp.Good, func(r *ocsp.Response) { r.NextUpdate = date(2025, 6, 10) })), nil)
	b.revocation("REV-04/other-serial", "an answer for another certificate", "unavailable", chain(o), says(respond(o, ocsp.Good, func(r *ocsp.Response) { r.SerialNumber = big.NewInt(9) })), nil)
	b.revocation("REV-04/unavailable", "the responder is down and there is no CRL", "unavailable", chain(o), map[string]answer{ocspURL: {Status: 503}}, nil)
	stranger := answerBy(strangerRoot, strangerRoot, template(o, ocsp.Good))
	b.revocation("REV-04/stranger", "an answer signed by a stranger", "unavailable", chain(o), says(stranger), nil)
	b.revocation("REV-04/invalid-after-signing", "revoked, invalid only after the authentic signing time", "good", chain(o),
		says(respond(o, ocsp.Revoked, func(r *ocsp.Response) {
			r.ExtraExtensions = invalid(x509.RevocationListEntry{}, date(2025, 4, 1)).ExtraExtensions
		})), at(signedAt))
	delegated := func(nocheck, eku bool, crls ...string) []byte {
		s := leafSpec(newKey("p256/responder"), "Responder")
		s.ExtKeyUsage, s.CRLDistributionPoints = nil, crls
		if eku {
			s.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		}
		if nocheck {
			s.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}}
		}
		r := s.issue(issuing)
		t := template(o, ocsp.Good)
		t.Certificate = r.Certificate
		return answerBy(issuing, r, t)
	}
	b.revocation("REV-04/delegated", "a delegated responder with nocheck", "good", chain(o), says(delegated(true, true)), nil)
	b.revocation("REV-04/delegated-without-eku", "a delegated responder without OCSPSigning", "unavailable", chain(o), says(delegated(true, false)), nil)
	listsResponder := crl(x509.RevocationListEntry{SerialNumber: leafSpec(newKey("p256/responder"), "Responder").SerialNumber, RevocationTime: was, ReasonCode: 1})
	b.revocation("REV-04/responder-not-revoked", "a delegated responder without nocheck, whose CRL does not list it", "good", chain(o),
		map[string]answer{ocspURL: {Body: delegated(false, true, crlURL)}, crlURL: {Body: crl().der()}}, nil)
	b.revocation("REV-04/responder-revoked", "a delegated responder without nocheck, whose CRL lists it", "unavailable", chain(o),
		map[string]answer{ocspURL: {Body: delegated(false, true, crlURL)}, crlURL: {Body: listsResponder.der()}}, nil)
	b.revocation("REV-04/responder-with-nocheck-unasked", "a delegated responder with nocheck is not looked up", "good", chain(o),
		map[string]answer{ocspURL: {Body: delegated(true, true, crlURL)}, crlURL: {Status: 500}}, nil)
	o2 := revLeaf(nil, []string{ocspURL, ocsp2URL})
	b.revocation("REV-04/second-responder", "the first responder is down, the second says revoked", "revoked", chain(o2), map[string]answer{ocspURL: {Status: 503}, ocsp2URL: {Body: respond(o2, ocsp.Revoked, nil)}}, nil)
	revocationLevels(b, l)
}

// revocationLevels are whole verifications: what a status does to a verdict.
func revocationLevels(b *book, l *cert) {
	at := func(level, override string, a map[string]answer) *scene {
		s := good("jws")
		s.chain = []*cert{l, issuing, rootCA}
		s.level, s.override, s.in.Answers = level, override, a
		return s
	}
	gone := map[string]answer{crlURL: {Status: 503}}
	bad := map[string]answer{crlURL: {Body: crl(revoked(l, 1, date(2025, 5, 1))).der()}}
	b.accept("REV-01/strict-good", "strict, not revoked", at("strict", "", map[string]answer{crlURL: {Body: crl().der()}}))
	b.refuse("REV-01/strict-revoked", "strict, revoked", "revocation", "revoked", at("strict", "", bad))
	b.refuse("REV-01/strict-unavailable", "strict, the CRL cannot be had", "revocation", "revocation-unavailable", at("strict", "", gone))
	b.accept("REV-01/permissive-unavailable", "permissive, the CRL cannot be had", at("permissive", "", gone))
	b.accept("REV-01/audit-revoked", "audit, revoked", at("audit", "", bad))
	b.accept("REV-01/skip-override", "strict with revocation skipped, revoked", at("strict", `{"revocation":"skip"}`, bad))
	s := at("strict", `{"authenticity":"log"}`, map[string]answer{crlURL: {Body: crl().der()}})
	s.stores["ca:example"] = []*cert{strangerRoot}
	b.accept("REV-01/strangers-chain", "a chain that no store anchors, which is logged, and that is not revoked", s)
	stamped := func(a map[string]answer) *scene {
		s := good("jws").trustTSA()
		tsa := tsaSpec(newKey("p256/tsa"), "Revocable TSA")
		tsa.CRLDistributionPoints = []string{crlURL}
		s.token = stamp(signedAt)
		s.token.chain = []*cert{tsa.issue(tsaRoot), tsaRoot}
		s.in.Answers = a
		return s
	}
	byTSA := func(es ...x509.RevocationListEntry) map[string]answer {
		c := crl(es...)
		c.by = tsaRoot
		return map[string]answer{crlURL: {Body: c.der()}}
	}
	serial := tsaSpec(newKey("p256/tsa"), "Revocable TSA").SerialNumber
	b.accept("TSA-02/tsa-not-revoked", "the authority's certificate is not revoked", stamped(byTSA()))
	b.refuse("TSA-02/tsa-revoked", "the authority's certificate is revoked", "authenticTimestamp", "revoked|untrusted|tampered", stamped(byTSA(x509.RevocationListEntry{SerialNumber: serial, RevocationTime: date(2025, 2, 1), ReasonCode: 1})), "TSA-03", "REV-01")
	b.refuse("TSA-02/tsa-revocation-unavailable", "the authority's CRL cannot be had", "authenticTimestamp", "revocation-unavailable", stamped(gone), "TSA-03", "REV-01")
	off := stamped(gone)
	off.override = `{"revocation":"skip"}`
	b.refuse("TSA-02/tsa-revocation-with-skip", "revocation is skipped for the signer; the authority is still checked", "authenticTimestamp", "revocation-unavailable", off, "TSA-03", "REV-01")
}

func template(c *cert, status int) ocsp.Response {
	t := ocsp.Response{Status: status, SerialNumber: c.SerialNumber, ThisUpdate: date(2025, 6, 1), NextUpdate: date(2025, 7, 1), IssuerHash: crypto.SHA1}
	if status == ocsp.Revoked {
		t.RevokedAt, t.RevocationReason = date(2025, 5, 1), ocsp.KeyCompromise
	}
	return t
}

func respond(c *cert, status int, f func(*ocsp.Response)) []byte {
	t := template(c, status)
	if f != nil {
		f(&t)
	}
	return answerBy(issuing, issuing, t)
}

// answerBy signs an OCSP response. The library writes the current time into
// producedAt; it is replaced, and the response signed again.
func answerBy(issuer, responder *cert, t ocsp.Response) []byte {
	type responseBytes struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	type response struct {
		Status asn1.Enumerated
		Bytes  responseBytes `asn1:"explicit,tag:0"`
	}
	type basic struct {
		TBS          asn1.RawValue
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	var r response
	must(asn1.Unmarshal(must(ocsp.CreateResponse(issuer.Certificate, responder.Certificate, t, responder.key)), &r))
	var b basic
	must(asn1.Unmarshal(r.Bytes.Response, &b))
	tbs := b.TBS.FullBytes
	at := bytes.Index(tbs, []byte{asn1.TagGeneralizedTime, 15}) // producedAt is the first time in it
	copy(tbs[at+2:], date(2025, 6, 1).Format("20060102150405Z"))
	digest := sha256.Sum256(tbs)
	sig := must(responder.key.Sign(nil, digest[:], crypto.SHA256))
	b.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	r.Bytes.Response = must(asn1.Marshal(b))
	return must(asn1.Marshal(r))
}

// manifestInput is a signature manifest as a registry serves it, for artifact.
type manifestInput struct {
	Artifact descriptor   `json:"artifact"`
	Manifest string       `json:"manifest"`
	Envelope envelopeFile `json:"envelope"` // the blob that the manifest's layer should name
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	emptyType    = "application/vnd.oci.empty.v1+json"
	sigType      = "application/vnd.cncf.notary.signature"
)

func digestOf(b []byte) string { h := sha256.Sum256(b); return "sha256:" + hex.EncodeToString(h[:]) }

func desc(mediaType string, b []byte) string {
	return string(must(json.Marshal(descriptor{MediaType: mediaType, Digest: digestOf(b), Size: int64(len(b))})))
}

func manifestCases(b *book) {
	s := good("jws")
	blob := s.envelope()
	var thumbs []string
	for _, c := range s.chain {
		h := sha256.Sum256(c.Raw)
		thumbs = append(thumbs, hex.EncodeToString(h[:]))
	}
	subject := string(must(json.Marshal(artifact)))
	base := func() []member {
		return []member{{"schemaVersion", "2"}, {"mediaType", quote(manifestType)}, {"artifactType", quote(sigType)}, {"config", desc(emptyType, []byte("{}"))},
			{"layers", "[" + desc(jwsType, blob) + "]"}, {"subject", subject},
			{"annotations", object([]member{{"io.cncf.notary.x509chain.thumbprint#S256", quote(strings_(thumbs))}})}}
	}
	in := func(ms []member) manifestInput { return manifestInput{artifact, object(ms), fileOf(jwsType, blob)} }
	ok := func(id, title string, ms []member) {
		b.add(&vector{ID: id, Title: title, Kind: "manifest", Valid: true, Input: in(ms)})
	}
	no := func(id, title string, ms []member, rows ...string) {
		b.add(&vector{ID: id, Title: title, Kind: "manifest", Input: in(ms), Expect: &expect{Rows: rows, Codes: []string{"malformed-answer", "tampered", "limit-exceeded"}}})
	}
	legacy := func() []member { return set(drop(base(), "artifactType"), "config", desc(sigType, []byte("{}"))) }

	ok("OCI-01/image-manifest", "an image manifest", base())
	no("OCI-01/index", "an index", set(base(), "mediaType", quote("application/vnd.oci.image.index.v1+json")))
	no("OCI-01/docker", "a Docker manifest", set(base(), "mediaType", quote("application/vnd.docker.distribution.manifest.v2+json")))

	ok("OCI-02/artifact-type", "artifactType and the empty config", base())
	no("OCI-02/other-artifact-type", "another artifactType, found as a signature", set(base(), "artifactType", quote("application/spdx+json")), "OCI-08")
	no("OCI-02/other-config", "artifactType and a config that is not empty", set(base(), "config", desc("application/vnd.oci.image.config.v1+json", []byte("{}"))))

	ok("OCI-03/legacy", "no artifactType, the config's media type says signature", legacy())
	ok("OCI-03/config-content-ignored", "the config's content is ignored", set(drop(base(), "artifactType"), "config", desc(sigType, []byte("something else"))))
	no("OCI-03/neither", "neither artifactType nor the config's media type", drop(base(), "artifactType"), "OCI-02")
	no("OCI-03/no-config-digest", "a config without digest", set(legacy(), "config", `{"mediaType":`+quote(sigType)+`,"size":2}`), "OCI-02")

	ok("OCI-04/one-layer", "one layer, the envelope", base())
	no("OCI-04/no-layer", "no layer", set(base(), "layers", "[]"))
	no("OCI-04/two-layers", "two layers", set(base(), "layers", "["+desc(jwsType, blob)+","+desc(jwsType, blob)+"]"))
	no("OCI-04/other-media-type", "a layer of another media type", set(base(), "layers", "["+desc("application/octet-stream", blob)+"]"), "WF-03", "VER-01")
	no("OCI-04/other-digest", "a layer whose digest is not the blob's", set(base(), "layers", "["+strings.Replace(desc(jwsType, blob), digestOf(blob), digestOf([]byte("x")), 1)+"]"))

	ok("OCI-05/subject", "the subject is the signed artifact", base())
	no("OCI-05/no-subject", "no subject", drop(base(), "subject"))
	other := artifact
	other.Digest = digestOf([]byte("other"))
	no("OCI-05/other-subject", "the subject is another artifact, and the registry lists it for this one", set(base(), "subject", string(must(json.Marshal(other)))))

	var upper []string
	for _, t := range thumbs {
		upper = append(upper, strings.ToUpper(t))
	}
	ann := func(v string) []member {
		return set(base(), "annotations", object([]member{{"io.cncf.notary.x509chain.thumbprint#S256", v}}))
	}
	ok("OCI-06/lower-case", "thumbprints in lower case", base())
	ok("OCI-06/upper-case", "thumbprints in upper case", ann(quote(strings_(upper))))
	ok("OCI-06/absent", "no annotation: only a hint is missing", drop(base(), "annotations"))
	ok("OCI-06/malformed", "an annotation that is no JSON array: a hint that does not help", ann(quote("abc")))
	ok("OCI-06/foreign", "thumbprints of another chain: a hint that misleads", ann(quote(strings_([]string{digestOf(nil)[7:]}))))
	ok("OCI-07/both-forms-new", "the form with artifactType", base())
	ok("OCI-07/both-forms-legacy", "the legacy form", legacy())
	ok("OCI-09/no-hint", "a signature without thumbprints is a candidate too", drop(base(), "annotations"))
}

// storeInput is a directory tree under truststore/x509, and the store to load.
type storeInput struct {
	Store string             `json:"store"` // "type:name"
	Files map[string]fsEntry `json:"files"`
	// Certificates that the store holds, when it is valid: SHA-256 of the DER.
	Certificates []string `json:"certificates,omitempty"`
}

type fsEntry struct {
	Content   []byte `json:"content,omitempty"`
	Symlink   string `json:"symlink,omitempty"`
	Directory bool   `json:"directory,omitempty"`
}

func storeCases(b *book) {
	print := func(cs ...*cert) []string {
		var out []string
		for _, c := range cs {
			out = append(out, digestOf(c.Raw)[7:])
		}
		return out
	}
	type files = map[string]fsEntry
	ok := func(id, title, store string, f files, certs ...*cert) {
		b.add(&vector{ID: id, Title: title, Kind: "truststore", Valid: true, Input: storeInput{store, f, print(certs...)}})
	}
	no := func(id, title, store string, f files, rows ...string) {
		b.add(&vector{ID: id, Title: title, Kind: "truststore", Input: storeInput{Store: store, Files: f}, Expect: &expect{Rows: rows}})
	}
	p, d := fsEntry{Content: pemOf(rootCA)}, fsEntry{Content: rootCA.Raw}
	ok("TS-01/pem", "a PEM file", "ca:example", files{"ca/example/root.pem": p}, rootCA)
	ok("TS-01/der", "a DER file", "ca:example", files{"ca/example/root.cer": d}, rootCA)
	ok("TS-01/crt", "PEM with the extension .crt", "ca:example", files{"ca/example/root.crt": p}, rootCA)
	ok("TS-01/several", "two files, one with two certificates", "ca:example", files{"ca/example/a.pem": p, "ca/example/b.pem": {Content: pemOf(strangerRoot, tsaRoot)}}, rootCA, strangerRoot, tsaRoot)
	ok("TS-01/signing-authority", "a store of type signingAuthority", "signingAuthority:example", files{"signingAuthority/example/root.pem": p}, rootCA)
	ok("TS-01/tsa", "a store of type tsa", "tsa:example", files{"tsa/example/root.pem": {Content: pemOf(tsaRoot)}}, tsaRoot)
	no("TS-01/other-type", "the store exists under another type", "ca:example", files{"tsa/example/root.pem": p})
	no("TS-01/absent", "no such store", "ca:example", files{"ca/other/root.pem": p})
	no("TS-01/empty", "a store without certificates", "ca:example", files{"ca/example": {Directory: true}})
	no("TS-01/no-certificate", "a file that holds no certificate", "ca:example", files{"ca/example/root.pem": {Content: []byte("hello")}})
	no("TS-01/private-key", "a PEM file with something else beside the certificate", "ca:example",
		files{"ca/example/root.pem": {Content: append(pemOf(rootCA), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")...)}})
	no("TS-01/leaf", "a leaf certificate that is not self-signed", "ca:example", files{"ca/example/leaf.pem": {Content: pemOf(leaf)}})
	no("TS-01/name-leaves-the-directory", "a store name with ..", "ca:..", files{"ca/example/root.pem": p}, "TP-02")
	ok("TS-02/regular-file", "a regular file", "ca:example", files{"ca/example/root.pem": p}, rootCA)
	no("TS-02/symlinked-file", "a certificate file that is a symlink", "ca:example", files{"elsewhere/root.pem": p, "ca/example/root.pem": {Symlink: "../../elsewhere/root.pem"}})
	no("TS-02/symlinked-directory", "a store that is a symlink", "ca:example", files{"elsewhere/root.pem": p, "ca/example": {Symlink: "../elsewhere"}})
	ok("TS-03/sub-directory", "a sub-directory is ignored", "ca:example", files{"ca/example/root.pem": p, "ca/example/sub/other.pem": {Content: pemOf(strangerRoot)}}, rootCA)
	no("TS-03/only-a-sub-directory", "certificates in a sub-directory only", "ca:example", files{"ca/example/sub/root.pem": p}, "TS-01")
}
