package main

import (
	"crypto/x509"
	"encoding/base64"
	"strconv"
	"strings"
)

// lenientCases are what some verifier was seen to accept, for want of a check
// or for the leniency of a decoder, and has to refuse.
func lenientCases(b *book) {
	no := func(id, title string, f func(*jwsDraft), rows ...string) {
		b.refuse(id, title, "integrity", tampered, both("jws", f, nil), rows...)
	}
	scheme := attrBase + "signingScheme"
	no("JWS-05/crit-lists-kid", "crit lists kid, a registered header, which is there", func(d *jwsDraft) {
		d.protected = set(append(d.protected, member{"kid", "null"}), "crit", strings_([]string{scheme, "kid"}))
	}, "ATT-02")
	no("JWS-05/crit-lists-null", "crit lists null, and there is a header without a name", func(d *jwsDraft) {
		d.protected = set(append(d.protected, member{"", quote("x")}), "crit", `["`+scheme+`",null]`)
	}, "ATT-02", "ATT-08")
	no("JWS-07/certificate-as-numbers", "a certificate of x5c is an array of numbers", func(d *jwsDraft) {
		d.header = set(d.header, "x5c", strings.Replace(x5c(der([]*cert{leaf, issuing, rootCA})), quote(base64.StdEncoding.EncodeToString(leaf.Raw)), numbers(leaf.Raw), 1))
	}, "ATT-10")
	s := good("jws").trustTSA()
	s.jws = func(d *jwsDraft) {
		d.sign = func(signed []byte) []byte {
			sig := d.key.raw(d.hash, signed)
			d.header = append(d.header, member{attrBase + "timestampSignature", numbers(stamp(signedAt).over(sig))})
			return sig
		}
	}
	b.refuse("JWS-08/token-as-numbers", "the token is an array of numbers", "authenticTimestamp|integrity", tampered, s, "TSA-03", "ATT-11")
	s = good("jws")
	s.target = `{"mediaType":"` + artifact.MediaType + `","digest":"` + artifact.Digest + `","size":16724,"annotations":{"a":null}}`
	b.refuse("PAY-02/annotation-is-null", "an annotation's value is null", "", tampered, s)

	notCritical := caSpec(newKey("p256/not-critical"), "CA of uncritical constraints")
	notCritical.change = func(t *tbsCertificate) { t.critical(oidBasicConstraints, false) }
	ca := notCritical.issue(rootCA)
	exponent := caSpec(newKey("rsa2048e"), "CA of a large exponent").issue(rootCA)
	anything := leafSpec(newKey("p256/leaf"), "Example Signer")
	anything.ExtKeyUsage = append(anything.ExtKeyUsage, x509.ExtKeyUsageAny)
	alone := leafSpec(newKey("p256/leaf"), "Example Signer")
	alone.sha1 = true
	self := alone.issue(nil)
	for _, c := range []struct {
		id, title string
		chain     []*cert
	}{
		{"CERT-02/basic-constraints-not-critical-", "an intermediate whose basicConstraints are not critical, under a trusted root", under(leafSpec(newKey("p256/leaf"), "Example Signer"), ca, rootCA)},
		{"CERT-07/any-", "a signer with anyExtendedKeyUsage, under a trusted root", under(anything, issuing, rootCA)},
		{"CERT-09/exponent-", "a CA whose RSA key has an exponent above 65537, under a trusted root", under(leafSpec(newKey("p256/leaf"), "Example Signer"), exponent, rootCA)},
		{"CERT-12/self-signed-with-sha1-", "the only certificate, which is trusted, signs itself with SHA-1", []*cert{self}},
	} {
		b.each(func(f string) {
			s := good(f)
			s.chain, s.stores["ca:example"] = c.chain, c.chain[len(c.chain)-1:]
			b.refuse(c.id+f, c.title, "", "tampered|untrusted|limit-exceeded", s)
		})
	}
	b.badChain("CERT-12/self-signed-with-sha1", "the only certificate signs itself with SHA-1", "codeSigning", []*cert{self}, "CERT-10")

	stamped := func(id, title string, change func(*token)) {
		s := good("jws").trustTSA()
		s.token = stamp(signedAt)
		change(s.token)
		b.refuse(id, title, "authenticTimestamp", "tampered|untrusted|limit-exceeded", s, "TSA-03", "TSA-04")
	}
	stamped("TSA-03/two-signers", "a token with two signers", func(t *token) { t.twoSigners = true })
	stamped("TSA-03/negative-accuracy", "an accuracy below zero", func(t *token) { t.accuracy = -1 })
	stamped("TSA-04/accuracy-overflows", "an accuracy of six centuries, which is a third of a second in 64 bits of nanoseconds", func(t *token) { t.accuracy = 18446744074 })
}

// numbers writes bytes as a JSON array.
func numbers(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = strconv.Itoa(int(b[i]))
	}
	return "[" + strings.Join(parts, ",") + "]"
}
