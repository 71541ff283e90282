package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strconv"
)

// boundCases are where verifiers differ by what they bound or round.
func boundCases(b *book) {
	many := func(n int) *scene {
		s := good("jws")
		s.annotations = map[string]string{}
		for i := range n {
			s.annotations[fmt.Sprintf("a%04d", i)] = ""
		}
		return s
	}
	b.accept("PAY-02/1000-annotations", "a descriptor with 1000 annotations", many(1000))
	b.refuse("PAY-02/1001-annotations", "a descriptor with 1001 annotations", "", "tampered|limit-exceeded", many(1001))

	b.each(func(f string) {
		// A time that reads as "none" in some languages.
		s := both(f, func(d *jwsDraft) {
			d.protected = set(append(d.protected, member{attrBase + "expiry", quote("0001-01-01T00:00:00Z")}), "crit",
				strings_([]string{attrBase + "signingScheme", attrBase + "expiry"}))
		}, func(d *coseDraft) {
			d.protected = append(d.protected, item{attrBase + "expiry", epoch(date(1, 1, 1))})
			d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme", attrBase + "expiry"})
		})
		b.refuse("ATT-06/year-one-"+f, "it expired at the beginning of the year 1", "integrity|expiry", "tampered|expired", s, "ATT-14", "VER-04")

		b.refuse("ATT-09/without-plugin-"+f, "a minimum version of a plugin that is not named", "plugin|integrity", "plugin-failed|tampered",
			withPlugin(f, true, versionAttr, "1.2.0"), "ATT-15", "PLG-09")

		b.refuse("ALG-02/rsa2041-"+f, "PS256 with an RSA key of 2041 bits, 256 bytes like one of 2048", "", "tampered|untrusted", good(f).withKey("rsa2041"), "CERT-09")

		s = good(f)
		two := leafSpec(newKey("p256/leaf"), "")
		two.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "Example Signer"}, {Type: oidCommonName, Value: "Somebody Else"}}
		s.chain = under(two, issuing, rootCA)
		b.accept("TI-01/two-common-names-any-identity-"+f, "a subject with two common names, and any identity will do", s)
		for i, cn := range []string{"Example Signer", "Somebody Else"} {
			s := good(f)
			s.chain, s.ids = under(two, issuing, rootCA), []string{"x509.subject:C=JP,ST=Tokyo,O=Example,CN=" + cn}
			b.refuse("TI-01/two-common-names-"+strconv.Itoa(i+1)+"-"+f, "a subject with two common names is none of the two", "authenticity", "untrusted", s, "VER-03")
		}
	})
	b.badChain("CERT-09/rsa2041", "RSA 2041", "codeSigning", under(leafSpec(newKey("rsa2041"), "Leaf"), issuing, rootCA), "ALG-02")
	e := caSpec(newKey("rsa2048e"), "CA of a large exponent").issue(rootCA)
	b.badChain("CERT-09/exponent", "a CA whose RSA key has an exponent above 65537: a stranger chooses the work", "codeSigning",
		under(leafSpec(newKey("p256/leaf"), "Leaf"), e, rootCA))
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// linkCases are whole envelopes in whose chain every name fits, and one
// signature is by a namesake's key.
func linkCases(b *book) {
	fake := caSpec(newKey("p256/fake"), "Example Issuing CA").issue(rootCA)
	fakeRoot := caSpec(newKey("p256/fake-root"), "Example Root").issue(nil)
	second := caSpec(newKey("p256/second"), "Second CA").issue(issuing)
	forged := caSpec(newKey("p256/second"), "Second CA").issue(fake)
	der := append([]byte(nil), rootCA.Raw...)
	der[len(der)-1] ^= 1
	brokenRoot := &cert{Certificate: must(x509.ParseCertificate(der)), key: rootCA.key}
	signer := func() *spec { return leafSpec(newKey("p256/leaf"), "Example Signer") }
	b.each(func(f string) {
		with := func(chain ...*cert) *scene { s := good(f); s.chain = chain; return s }
		b.accept("CERT-11/linked-"+f, "a chain of four", with(signer().issue(second), second, issuing, rootCA))
		for _, c := range []struct {
			id, title string
			chain     []*cert
		}{
			{"leaf-unlinked", "the leaf was signed by a namesake of its issuer", []*cert{signer().issue(fake), issuing, rootCA}},
			{"intermediate-unlinked", "the intermediate was signed by a namesake of the root", []*cert{leaf, caSpec(newKey("p256/issuing"), "Example Issuing CA").issue(fakeRoot), rootCA}},
			{"middle-unlinked", "the second of four was signed by a namesake of the third", []*cert{signer().issue(second), forged, issuing, rootCA}},
		} {
			b.refuse("CERT-11/"+c.id+"-"+f, c.title, "", certBad, with(c.chain...), "VER-03")
		}
		// The anchor is the intermediate: the chain above it has to hold too.
		s := with(leaf, issuing, fakeRoot)
		s.stores["ca:example"] = []*cert{issuing}
		b.refuse("CERT-11/unlinked-above-the-anchor-"+f, "the trusted intermediate was not signed by the root that follows", "", certBad, s, "CERT-10", "VER-03")
		s = with(leaf, issuing, brokenRoot)
		s.stores["ca:example"] = []*cert{issuing}
		b.refuse("CERT-11/root-does-not-sign-itself-"+f, "the root's own signature is broken; the intermediate is trusted", "", certBad, s, "CERT-10", "VER-03")
		// What is remembered of a genuine chain must not speak for another leaf.
		s = with(signer().issue(fake), issuing, rootCA)
		other := good(f)
		other.target = `{"mediaType":"` + artifact.MediaType + `","digest":"` + digestOf([]byte("other")) + `","size":5}`
		s.in.Signatures = []envelopeFile{fileOf(s.mediaType(), other.envelope()), fileOf(s.mediaType(), s.envelope())}
		b.refuse("CERT-11/leaf-unlinked-after-a-genuine-one-"+f, "a genuine signature of another artifact, then one whose leaf was signed by a namesake of its issuer", "", certBad, s, "VER-03")
	})
}
