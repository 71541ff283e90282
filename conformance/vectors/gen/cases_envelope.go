package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"time"
)

const tampered = "tampered"

func payloadCases(b *book) {
	good1 := good("jws")
	b.accept("PAY-01/minimal-jws", "a payload with targetArtifact and nothing else", good1)
	b.accept("PAY-01/minimal-cose", "a payload with targetArtifact and nothing else", good("cose"))
	b.each(func(f string) {
		s := good(f)
		s.payload = `{"targetartifact":` + `{"mediaType":"` + artifact.MediaType + `","digest":"` + artifact.Digest + `","size":16724}}`
		b.refuse("PAY-01/wrong-case-target-artifact-"+f, "the member is named targetartifact; JSON names are case-sensitive", "", tampered, s, "PAY-02", "VER-02", "ATT-01")
		s = good(f)
		s.payload = `{"target":{}}`
		b.refuse("PAY-01/no-target-artifact-"+f, "the payload has no targetArtifact", "", tampered, s, "PAY-02", "VER-02", "ATT-01")
	})
	s := good("cose")
	s.payload = `not json`
	b.refuse("PAY-01/not-json", "the payload is not JSON", "", tampered, s)
	s = good("jws")
	s.payload = `{"targetArtifact":{"mediaType":"x/y","digest":"` + artifact.Digest + `","size":1},"targetArtifact":{"mediaType":"` + artifact.MediaType + `","digest":"` + artifact.Digest + `","size":16724}}`
	b.refuse("PAY-01/two-target-artifacts", "targetArtifact stands twice: parsers would disagree on what is signed", "", tampered, s)

	s = good("jws")
	s.annotations = map[string]string{"org.example.build": "42"}
	b.accept("PAY-02/annotations", "a descriptor with annotations", s)
	target := func(t string) *scene { s := good("jws"); s.target = t; return s }
	b.refuse("PAY-02/no-digest", "the descriptor has no digest", "", tampered, target(`{"mediaType":"`+artifact.MediaType+`","size":16724}`), "VER-02")
	b.refuse("PAY-02/no-media-type", "the descriptor has no mediaType", "", tampered, target(`{"digest":"`+artifact.Digest+`","size":16724}`), "VER-02")
	b.refuse("PAY-02/no-size", "the descriptor has no size", "", tampered, target(`{"mediaType":"`+artifact.MediaType+`","digest":"`+artifact.Digest+`"}`), "VER-02")
	b.refuse("PAY-02/size-is-text", "the size is a JSON string", "", tampered, target(`{"mediaType":"`+artifact.MediaType+`","digest":"`+artifact.Digest+`","size":"16724"}`))
	b.refuse("PAY-02/annotation-is-a-number", "an annotation's value is a number", "", tampered,
		target(`{"mediaType":"`+artifact.MediaType+`","digest":"`+artifact.Digest+`","size":16724,"annotations":{"a":1}}`))
}

func attributeCases(b *book) {
	b.each(func(f string) {
		b.accept("ATT-01/attributes-are-signed-"+f, "scheme and time stand in the protected header", good(f))
		b.refuse("ATT-01/scheme-outside-the-signature-"+f, "the signing scheme stands in the unprotected header only", "integrity", tampered,
			both(f, func(d *jwsDraft) {
				d.protected = drop(d.protected, attrBase+"signingScheme")
				d.protected = set(d.protected, "crit", `[]`)
				d.header = append(d.header, member{attrBase + "signingScheme", quote(x509Name)})
			}, func(d *coseDraft) {
				d.protected = dropItem(d.protected, attrBase+"signingScheme")
				d.protected = putItem(d.protected, 2, []any{attrBase + "signingTime"})
				d.unprotected = append(d.unprotected, item{attrBase + "signingScheme", x509Name})
			}), "ATT-03", "SCH-02", "JWS-05", "COSE-03", "JWS-01", "ATT-02")

		s := good(f)
		s.expiry = date(2030, 1, 1)
		b.accept("ATT-02/expiry-is-critical-"+f, "an expiry that is marked critical", s)
		b.refuse("ATT-02/signing-time-is-critical-"+f, "the signing time, an informational claim, is marked critical", "integrity", tampered,
			both(f, func(d *jwsDraft) {
				d.protected = set(d.protected, "crit", strings_([]string{attrBase + "signingScheme", attrBase + "signingTime"}))
			},
				func(d *coseDraft) {
					d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme", attrBase + "signingTime"})
				}), "JWS-05", "COSE-03")

		b.accept("ATT-03/x509-"+f, "scheme notary.x509", good(f))
		b.accept("ATT-03/signing-authority-"+f, "scheme notary.x509.signingAuthority", good(f).authority())
		b.refuse("ATT-03/missing-"+f, "no signing scheme", "integrity", tampered,
			both(f, func(d *jwsDraft) {
				d.protected = drop(d.protected, attrBase+"signingScheme")
				d.protected = set(d.protected, "crit", `["cty"]`)
				d.protected = drop(d.protected, "crit")
			}, func(d *coseDraft) {
				d.protected = dropItem(dropItem(d.protected, attrBase+"signingScheme"), 2)
			}), "SCH-02", "JWS-05", "COSE-03")
		b.refuse("ATT-03/not-critical-"+f, "the signing scheme is not marked critical", "integrity", tampered,
			expiring(f, func(d *jwsDraft) { d.protected = set(d.protected, "crit", strings_([]string{attrBase + "expiry"})) },
				func(d *coseDraft) { d.protected = putItem(d.protected, 2, []any{attrBase + "expiry"}) }), "SCH-02", "JWS-05", "COSE-03", "ATT-02")

		b.accept("ATT-04/signing-time-"+f, "a signing time under notary.x509", good(f))
		s = good(f).authority()
		s.jws = func(d *jwsDraft) {
			d.protected = append(d.protected, member{attrBase + "signingTime", rfc3339(signedAt)})
		}
		s.cose = func(d *coseDraft) { d.protected = append(d.protected, item{attrBase + "signingTime", epoch(signedAt)}) }
		b.refuse("ATT-04/signing-time-of-an-authority-"+f, "a signing time under notary.x509.signingAuthority", "integrity", tampered, s, "SCH-01", "SCH-03", "ATT-05")

		b.accept("ATT-05/authentic-signing-time-"+f, "an authentic signing time under signingAuthority", good(f).authority())
		s = good(f).authority()
		s.jws = func(d *jwsDraft) {
			d.protected = set(drop(d.protected, attrBase+"authenticSigningTime"), "crit", strings_([]string{attrBase + "signingScheme"}))
		}
		s.cose = func(d *coseDraft) {
			d.protected = putItem(dropItem(d.protected, attrBase+"authenticSigningTime"), 2, []any{attrBase + "signingScheme"})
		}
		b.refuse("ATT-05/missing-"+f, "no authentic signing time under signingAuthority", "integrity", tampered, s, "SCH-03", "JWS-05", "COSE-03")
		s = good(f).authority()
		s.jws = func(d *jwsDraft) {
			d.protected = set(d.protected, "crit", strings_([]string{attrBase + "signingScheme"}))
		}
		s.cose = func(d *coseDraft) { d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme"}) }
		b.refuse("ATT-05/not-critical-"+f, "the authentic signing time is not marked critical", "integrity", tampered, s, "JWS-05", "COSE-03", "ATT-02")
		b.refuse("ATT-05/under-x509-"+f, "an authentic signing time under notary.x509", "integrity", tampered,
			both(f, func(d *jwsDraft) {
				d.protected = append(d.protected, member{attrBase + "authenticSigningTime", rfc3339(signedAt)})
				d.protected = set(d.protected, "crit", strings_([]string{attrBase + "signingScheme", attrBase + "authenticSigningTime"}))
			}, func(d *coseDraft) {
				d.protected = append(d.protected, item{attrBase + "authenticSigningTime", epoch(signedAt)})
				d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme", attrBase + "authenticSigningTime"})
			}), "SCH-01", "SCH-03", "ATT-04")

		s = good(f)
		s.expiry = date(2030, 1, 1)
		b.accept("ATT-06/expiry-"+f, "an expiry, marked critical", s)
		b.accept("ATT-06/no-expiry-"+f, "no expiry", good(f))
		b.refuse("ATT-06/not-critical-"+f, "an expiry that is not marked critical", "integrity", tampered,
			expiring(f, func(d *jwsDraft) {
				d.protected = set(d.protected, "crit", strings_([]string{attrBase + "signingScheme"}))
			},
				func(d *coseDraft) { d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme"}) }), "JWS-05", "COSE-03", "ATT-02")

		b.accept("ATT-07/content-type-"+f, "the payload's content type", good(f))
		b.refuse("ATT-07/other-content-type-"+f, "a content type other than the Notary Project's", "integrity", tampered,
			both(f, func(d *jwsDraft) { d.protected = set(d.protected, "cty", quote("application/json")) },
				func(d *coseDraft) { d.protected = putItem(d.protected, 3, "application/json") }), "JWS-04", "COSE-04", "PAY-01", "VER-01")

		b.accept("ATT-08/unknown-attribute-"+f, "an unknown attribute that is not critical",
			both(f, func(d *jwsDraft) { d.protected = append(d.protected, member{"com.example.note", quote("hello")}) },
				func(d *coseDraft) { d.protected = append(d.protected, item{"com.example.note", "hello"}) }))
		b.refuse("ATT-08/unknown-critical-attribute-"+f, "an unknown attribute that is critical, and no plugin to process it", "integrity|plugin", "verifier-too-old|tampered|plugin-failed",
			both(f, func(d *jwsDraft) {
				d.protected = append(d.protected, member{"com.example.rule", quote("hello")})
				d.protected = set(d.protected, "crit", strings_([]string{attrBase + "signingScheme", "com.example.rule"}))
			}, func(d *coseDraft) {
				d.protected = append(d.protected, item{"com.example.rule", "hello"})
				d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme", "com.example.rule"})
			}), "ATT-15")

		b.accept("ATT-10/whole-chain-"+f, "signing certificate, intermediate, root", good(f))
		b.refuse("ATT-10/no-chain-"+f, "no certificate chain", "integrity", tampered,
			both(f, func(d *jwsDraft) { d.header = drop(d.header, "x5c") }, func(d *coseDraft) { d.unprotected = dropItem(d.unprotected, 33) }), "JWS-07", "COSE-06")
		b.refuse("ATT-10/root-left-out-"+f, "the chain ends with an intermediate", "", "tampered|untrusted",
			both(f, func(d *jwsDraft) { d.header = set(d.header, "x5c", x5c(der(chainOf("p256")[:2]))) },
				func(d *coseDraft) { d.unprotected = putItem(d.unprotected, 33, byteStrings(der(chainOf("p256")[:2]))) }), "CERT-10", "CERT-11")

		s = good(f).trustTSA()
		s.token = stamp(signedAt)
		b.accept("ATT-11/timestamp-"+f, "a timestamp countersignature under notary.x509", s)
		s = good(f).authority()
		s.rawToken = []byte("no token")
		b.accept("ATT-11/ignored-under-signing-authority-"+f, "timestamps count under notary.x509 only: a broken one beside an authentic signing time is not looked at", s)
		s = good(f).trustTSA()
		s.rawToken = []byte("no token")
		b.refuse("ATT-11/no-token-"+f, "the countersignature is no RFC 3161 token", "authenticTimestamp|integrity", "tampered|untrusted|malformed-answer", s, "TSA-03", "JWS-08", "COSE-07")

		s = good(f)
		s.agent = ""
		b.accept("ATT-12/no-agent-"+f, "no signing agent", s)
		s = good(f)
		s.agent = "<script>\u0000 " + strings.Repeat("long ", 200)
		b.accept("ATT-12/odd-agent-"+f, "a signing agent that is anything but a product name", s)

		s = good(f).trustTSA()
		s.chain = []*cert{oldLeaf, issuing, rootCA}
		s.token = stamp(signedAt)
		b.accept("ATT-13/expired-with-trusted-timestamp-"+f, "the leaf expired after a trusted timestamp", s)
		s = good(f)
		s.chain = []*cert{oldLeaf, issuing, rootCA}
		s.token = stamp(signedAt)
		b.refuse("ATT-13/expired-with-untrusted-timestamp-"+f, "the leaf expired; there is a timestamp, but the policy names no tsa store: it proves nothing", "authenticTimestamp", "expired", s, "CERT-15", "VER-05", "TSA-02")

		s = good(f)
		s.expiry = now.Add(time.Second)
		b.accept("ATT-14/one-second-left-"+f, "now is one second before the expiry", s)
		s = good(f)
		s.expiry = now
		b.refuse("ATT-14/expires-now-"+f, "now equals the expiry: expired", "expiry", "expired", s, "VER-04")
	})
	b.refuse("ATT-08/unknown-critical-integer-label", "an unknown integer label that is critical", "integrity|plugin", "verifier-too-old|tampered|plugin-failed",
		both("cose", nil, func(d *coseDraft) {
			d.protected = append(d.protected, item{-70000, "hello"})
			d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme", -70000})
		}), "ATT-15")
	pluginAttributeCases(b)
}

func expiring(f string, j func(*jwsDraft), c func(*coseDraft)) *scene {
	s := both(f, j, c)
	s.expiry = date(2030, 1, 1)
	return s
}

// withPlugin names a verification plugin in the signed attributes.
func withPlugin(f string, critical bool, attributes ...string) *scene {
	names := []string{attrBase + "signingScheme"}
	var pairs [][2]string
	for i := 0; i+1 < len(attributes); i += 2 {
		pairs = append(pairs, [2]string{attributes[i], attributes[i+1]})
		if critical {
			names = append(names, attributes[i])
		}
	}
	return both(f, func(d *jwsDraft) {
		for _, p := range pairs {
			d.protected = append(d.protected, member{p[0], quote(p[1])})
		}
		d.protected = set(d.protected, "crit", strings_(names))
	}, func(d *coseDraft) {
		var crit []any
		for _, n := range names {
			crit = append(crit, n)
		}
		for _, p := range pairs {
			d.protected = append(d.protected, item{p[0], p[1]})
		}
		d.protected = putItem(d.protected, 2, crit)
	})
}

const (
	pluginAttr  = attrBase + "verificationPlugin"
	versionAttr = attrBase + "verificationPluginMinVersion"
)

func metadata(version string, capabilities ...string) []byte {
	return []byte(`{"name":"example","description":"an example","version":` + quote(version) +
		`,"url":"https://example.com","supportedContractVersions":["1.0"],"capabilities":` + strings_(capabilities) + `}`)
}

func results(processed []string, checks ...string) []byte {
	var ms []member
	for _, c := range checks {
		n, bad := strings.CutSuffix(c, "!")
		v := `{"success":true}`
		if bad {
			v = `{"success":false,"reason":"not this one"}`
		}
		ms = append(ms, member{n, v})
	}
	if processed == nil {
		processed = []string{}
	}
	return []byte(`{"verificationResults":` + object(ms) + `,"processedAttributes":` + strings_(processed) + `}`)
}

const (
	identityCheck   = "SIGNATURE_VERIFIER.TRUSTED_IDENTITY"
	revocationCheck = "SIGNATURE_VERIFIER.REVOCATION_CHECK"
)

func example(meta, verify []byte) *pluginAnswers {
	return &pluginAnswers{Name: "example", Metadata: meta, Verify: verify}
}

func pluginAttributeCases(b *book) {
	for _, f := range []string{"jws", "cose"} {
		s := withPlugin(f, true, pluginAttr, "example", versionAttr, "1.2.0")
		s.in.Plugin = example(metadata("1.2.0", identityCheck), results(nil, identityCheck))
		b.accept("ATT-09/same-version-"+f, "the plugin has the version asked for", s)
		s = withPlugin(f, true, pluginAttr, "example", versionAttr, "1.2.0")
		s.in.Plugin = example(metadata("1.10.0", identityCheck), results(nil, identityCheck))
		b.accept("ATT-09/newer-version-"+f, "1.10.0 is newer than 1.2.0", s)
		s = withPlugin(f, true, pluginAttr, "example", versionAttr, "1.2.0")
		s.in.Plugin = example(metadata("1.1.9", identityCheck), results(nil, identityCheck))
		b.refuse("ATT-09/older-version-"+f, "the plugin is older than the version asked for", "plugin", "plugin-failed", s, "PLG-09")
		s = withPlugin(f, true, pluginAttr, "example", versionAttr, "1.2")
		s.in.Plugin = example(metadata("1.2.0", identityCheck), results(nil, identityCheck))
		b.refuse("ATT-09/not-semver-"+f, "the version asked for is no SemVer", "plugin|integrity", "plugin-failed|tampered", s, "PLG-09")

		s = withPlugin(f, true, pluginAttr, "example")
		s.in.Plugin = example(metadata("1.2.0", identityCheck, revocationCheck), results(nil, identityCheck, revocationCheck))
		b.accept("ATT-15/plugin-processes-"+f, "the named plugin is asked, and agrees", s)
		s = good(f).authority()
		s.expiry = date(2030, 1, 1)
		crit := append(s.critical(), pluginAttr)
		s.jws = func(d *jwsDraft) {
			d.protected = set(append(d.protected, member{pluginAttr, quote("example")}), "crit", strings_(crit))
		}
		s.cose = func(d *coseDraft) {
			var labels []any
			for _, c := range crit {
				labels = append(labels, c)
			}
			d.protected = putItem(append(d.protected, item{pluginAttr, "example"}), 2, labels)
		}
		s.in.Plugin = example(metadata("1.2.0", identityCheck), results(nil, identityCheck))
		b.accept("ATT-15/signing-authority-with-plugin-"+f, "a signing authority's signature with an expiry, and a plugin that agrees", s)
		s = withPlugin(f, true, pluginAttr, "example")
		b.refuse("ATT-15/no-such-plugin-"+f, "the signature names a plugin that is not there", "plugin", "plugin-failed", s, "PLG-09")
		s = withPlugin(f, false, pluginAttr, "example")
		s.in.Plugin = example(metadata("1.2.0", identityCheck), results(nil, identityCheck))
		b.refuse("ATT-15/plugin-not-critical-"+f, "the plugin's name is not marked critical", "plugin|integrity", "plugin-failed|tampered", s, "ATT-02", "PLG-09", "ATT-09")
	}
}

func algorithmCases(b *book) {
	b.each(func(f string) {
		for _, k := range []string{"p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096"} {
			b.accept("ALG-01/"+k+"-"+f, "the algorithm of a "+k+" key", good(f).withKey(k))
		}
	})
	pkcs1 := func(s *scene) func([]byte) []byte {
		return func(signed []byte) []byte {
			d := sha256.Sum256(signed)
			return must(s.chain[0].key.Sign(nil, d[:], crypto.SHA256))
		}
	}
	s := good("jws").withKey("rsa2048")
	s.alg = "RS256"
	s.jws = func(d *jwsDraft) { d.sign = pkcs1(s) }
	b.refuse("ALG-01/pkcs1-jws", "RSASSA-PKCS1-v1_5 is no algorithm of the Notary Project", "integrity", tampered, s, "JWS-02", "JWS-03")
	c := good("cose").withKey("rsa2048")
	c.cose = func(d *coseDraft) { d.protected = putItem(d.protected, 1, -257); d.sign = pkcs1(c) }
	b.refuse("ALG-01/pkcs1-cose", "RSASSA-PKCS1-v1_5 is no algorithm of the Notary Project", "integrity", tampered, c, "COSE-02")

	b.each(func(f string) {
		b.accept("ALG-02/rsa3072-ps384-"+f, "PS384 with RSA 3072", good(f).withKey("rsa3072"))
		s := good(f).withKey("rsa3072")
		s.alg, s.hash = "PS256", crypto.SHA256
		b.refuse("ALG-02/rsa3072-ps256-"+f, "PS256 with RSA 3072, whose algorithm is PS384", "integrity", tampered, s, "JWS-02", "COSE-02")
		s = good(f)
		s.alg, s.hash = "ES384", crypto.SHA384
		b.refuse("ALG-02/p256-es384-"+f, "ES384 with P-256", "integrity", tampered, s, "JWS-02", "COSE-02")
		s = good(f)
		s.alg = "PS256"
		b.refuse("ALG-02/p256-ps256-"+f, "PS256 claimed for a P-256 key", "integrity", tampered, s, "JWS-02", "COSE-02")
	})
	shortSalt := good("jws").withKey("rsa2048")
	shortSalt.jws = func(d *jwsDraft) {
		d.sign = func(signed []byte) []byte {
			digest := sha256.Sum256(signed)
			return signPSS(shortSalt.chain[0].key.Signer.(*rsa.PrivateKey), crypto.SHA256, digest[:], 20)
		}
	}
	b.refuse("ALG-01/pss-short-salt", "PS256 with a salt of 20 bytes: RFC 7518 section 3.5 wants one as long as the hash", "integrity", tampered, shortSalt, "JWS-09", "VER-01")
}

func schemeCases(b *book) {
	b.each(func(f string) {
		b.accept("SCH-01/one-scheme-"+f, "one signing scheme", good(f))
		b.refuse("SCH-01/two-schemes-"+f, "the signing scheme stands twice, with two values", "integrity", tampered,
			both(f, func(d *jwsDraft) {
				d.protected = append(d.protected, member{attrBase + "signingScheme", quote(saName)})
			},
				func(d *coseDraft) { d.protected = append(d.protected, item{attrBase + "signingScheme", saName}) }), "JWS-01", "JWS-05", "COSE-01", "COSE-03", "SCH-02", "ATT-03")

		b.accept("SCH-02/known-scheme-"+f, "a known scheme", good(f))
		b.refuse("SCH-02/unknown-scheme-"+f, "a scheme that is not known", "integrity", "tampered|verifier-too-old",
			both(f, func(d *jwsDraft) { d.protected = set(d.protected, attrBase+"signingScheme", quote("notary.x509.v2")) },
				func(d *coseDraft) { d.protected = putItem(d.protected, attrBase+"signingScheme", "notary.x509.v2") }), "ATT-03")
		b.refuse("SCH-02/scheme-is-a-number-"+f, "a scheme that is a number", "integrity", tampered,
			both(f, func(d *jwsDraft) { d.protected = set(d.protected, attrBase+"signingScheme", "1") },
				func(d *coseDraft) { d.protected = putItem(d.protected, attrBase+"signingScheme", 1) }), "ATT-03")

		b.accept("SCH-03/authentic-time-"+f, "a signing authority's time", good(f).authority())
		s := good(f).authority()
		s.jws = func(d *jwsDraft) {
			d.protected = drop(d.protected, attrBase+"authenticSigningTime")
			d.protected = append(d.protected, member{attrBase + "signingTime", rfc3339(signedAt)})
			d.protected = set(d.protected, "crit", strings_([]string{attrBase + "signingScheme"}))
		}
		s.cose = func(d *coseDraft) {
			d.protected = dropItem(d.protected, attrBase+"authenticSigningTime")
			d.protected = append(d.protected, item{attrBase + "signingTime", epoch(signedAt)})
			d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme"})
		}
		b.refuse("SCH-03/unauthenticated-time-"+f, "a signing authority with an ordinary signing time only", "integrity", tampered, s, "ATT-04", "ATT-05", "JWS-05", "COSE-03")

		b.accept("SCH-04/root-in-ca-store-"+f, "notary.x509 with the root in a ca store", good(f))
		s = good(f)
		s.stores = map[string][]*cert{"signingAuthority:example": {rootCA}}
		b.refuse("SCH-04/root-in-signing-authority-store-"+f, "notary.x509 with the root in a signingAuthority store only", "authenticity", "untrusted", s, "VER-03")
		s = good(f)
		s.stores = map[string][]*cert{"ca:example": {strangerRoot}, "tsa:example": {rootCA}}
		s.token = stamp(signedAt)
		b.refuse("SCH-04/root-in-tsa-store-"+f, "notary.x509 with the root in a tsa store only", "authenticity", "untrusted", s, "VER-03")

		b.accept("SCH-05/root-in-signing-authority-store-"+f, "signingAuthority with the root in its own kind of store", good(f).authority())
		s = good(f).authority()
		s.stores = map[string][]*cert{"ca:example": {rootCA}}
		b.refuse("SCH-05/root-in-ca-store-"+f, "signingAuthority with the root in a ca store only", "authenticity", "untrusted", s, "VER-03")
		s = good(f).authority()
		s.stores["ca:other"] = []*cert{strangerRoot}
		s.named = []string{"ca:other"}
		b.refuse("SCH-05/store-not-named-"+f, "the root is in a signingAuthority store that the policy does not name", "authenticity", "untrusted", s, "VER-03", "TS-01")
	})
}
