package main

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

func jwsCases(b *book) {
	ok := func(id, title string, f func(*jwsDraft)) { b.accept(id, title, both("jws", f, nil)) }
	no := func(id, title string, f func(*jwsDraft), rows ...string) {
		b.refuse(id, title, "integrity", tampered, both("jws", f, nil), rows...)
	}
	plain := func(*jwsDraft) {}
	ok("JWS-01/flattened", "flattened JSON serialization", plain)
	ok("JWS-01/white-space", "JSON may be indented", func(d *jwsDraft) {
		d.text = func(t string) string { return strings.ReplaceAll(t, `,"protected"`, ",\n\t\"protected\"") }
	})
	no("JWS-01/general-serialization", "general JSON serialization, with a signatures array", func(d *jwsDraft) {
		d.text = func(t string) string {
			i, j := strings.Index(t, `"protected"`), len(t)-1
			return t[:i] + `"signatures":[{` + t[i:j] + `}]}`
		}
	}, "JWS-07", "JWS-09", "JWS-02")
	no("JWS-01/further-member", "a further top-level member", func(d *jwsDraft) { d.top = []member{{"comment", quote("hello")}} })
	no("JWS-01/two-payloads", "the payload stands twice", func(d *jwsDraft) { d.top = []member{{"payload", quote(b64url([]byte(`{}`)))}} })
	no("JWS-01/upper-case-member", "a top-level member is written PAYLOAD", func(d *jwsDraft) {
		d.text = func(t string) string { return strings.Replace(t, `"payload"`, `"PAYLOAD"`, 1) }
	}, "JWS-09")
	no("JWS-01/trailing-data", "something follows the object", func(d *jwsDraft) { d.text = func(t string) string { return t + `{}` } })

	ok("JWS-02/alg-of-the-key", "alg is that of the signing certificate's key", plain)
	no("JWS-02/no-alg", "alg is missing", func(d *jwsDraft) { d.protected = drop(d.protected, "alg") }, "JWS-03")
	no("JWS-02/other-alg", "alg names ES384; the key is P-256 and signed with ES256", func(d *jwsDraft) { d.protected = set(d.protected, "alg", quote("ES384")) }, "ALG-02")
	no("JWS-02/two-algs", "alg stands twice", func(d *jwsDraft) { d.protected = append(d.protected, member{"alg", quote("ES256")}) }, "JWS-01", "JWS-05")

	ok("JWS-03/es256", "an allowed algorithm", plain)
	no("JWS-03/none", "alg is none, and the signature is empty", func(d *jwsDraft) {
		d.protected = set(d.protected, "alg", quote("none"))
		d.sign = func([]byte) []byte { return nil }
	}, "JWS-02", "JWS-09", "ALG-02")
	no("JWS-03/hmac", "alg is HS256, keyed with the certificate's public key", func(d *jwsDraft) {
		d.protected = set(d.protected, "alg", quote("HS256"))
		d.sign = func(signed []byte) []byte {
			m := hmac.New(sha256.New, leaf.RawSubjectPublicKeyInfo)
			m.Write(signed)
			return m.Sum(nil)
		}
	}, "JWS-02", "ALG-02")
	no("JWS-03/lower-case", "alg is es256", func(d *jwsDraft) { d.protected = set(d.protected, "alg", quote("es256")) }, "JWS-02")

	ok("JWS-04/cty", "cty is the payload's media type", plain)
	no("JWS-04/no-cty", "cty is missing", func(d *jwsDraft) { d.protected = drop(d.protected, "cty") }, "ATT-07", "PAY-01")
	no("JWS-04/next-version", "cty is that of an unknown payload version", func(d *jwsDraft) {
		d.protected = set(d.protected, "cty", quote("application/vnd.cncf.notary.payload.v2+json"))
	}, "ATT-07", "PAY-01", "VER-01")

	scheme := attrBase + "signingScheme"
	ok("JWS-05/crit", "crit lists the signing scheme", plain)
	ok("JWS-05/crit-order", "the order in crit is free", func(d *jwsDraft) {
		d.protected = append(d.protected, member{attrBase + "expiry", rfc3339(date(2030, 1, 1))})
		d.protected = set(d.protected, "crit", strings_([]string{attrBase + "expiry", scheme}))
	})
	no("JWS-05/no-crit", "crit is missing", func(d *jwsDraft) { d.protected = drop(d.protected, "crit") }, "ATT-03", "SCH-02")
	no("JWS-05/empty-crit", "crit is empty", func(d *jwsDraft) { d.protected = set(d.protected, "crit", `[]`) }, "ATT-03", "SCH-02")
	no("JWS-05/crit-lists-registered-header", "crit lists alg, a registered header", func(d *jwsDraft) {
		d.protected = set(d.protected, "crit", strings_([]string{scheme, "alg"}))
	}, "ATT-02")
	no("JWS-05/crit-lists-absent-header", "crit lists a header that is not there", func(d *jwsDraft) {
		d.protected = set(d.protected, "crit", strings_([]string{scheme, "com.example.absent"}))
	}, "ATT-08")
	no("JWS-05/crit-twice-the-same", "crit lists a header twice", func(d *jwsDraft) {
		d.protected = set(d.protected, "crit", strings_([]string{scheme, scheme}))
	})
	no("JWS-05/crit-is-text", "crit is a string", func(d *jwsDraft) { d.protected = set(d.protected, "crit", quote(scheme)) })

	ok("JWS-06/whole-seconds", "a time in whole seconds", plain)
	ok("JWS-06/fraction", "fractional seconds: SHOULD NOT, so a verifier reads them", func(d *jwsDraft) {
		d.protected = set(d.protected, attrBase+"signingTime", quote("2025-03-01T00:00:00.25Z"))
	})
	ok("JWS-06/offset", "a time with an offset", func(d *jwsDraft) {
		d.protected = set(d.protected, attrBase+"signingTime", quote("2025-03-01T09:00:00+09:00"))
	})
	no("JWS-06/no-rfc3339", "a time that is no RFC 3339", func(d *jwsDraft) {
		d.protected = set(d.protected, attrBase+"signingTime", quote("1 March 2025"))
	}, "ATT-04")
	no("JWS-06/number", "a time as a number of seconds", func(d *jwsDraft) { d.protected = set(d.protected, attrBase+"signingTime", "1740787200") }, "ATT-04")

	ok("JWS-07/x5c", "x5c in the unprotected header, signing certificate first", plain)
	no("JWS-07/x5c-is-base64url", "x5c in base64url", func(d *jwsDraft) {
		// padding is taken off as base64url without padding does
		d.header = set(d.header, "x5c", strings_([]string{b64url(leaf.Raw) + "!", b64url(issuing.Raw), b64url(rootCA.Raw)}))
	}, "ATT-10")
	no("JWS-07/x5c-reversed", "x5c with the root first", func(d *jwsDraft) {
		d.header = set(d.header, "x5c", x5c([][]byte{rootCA.Raw, issuing.Raw, leaf.Raw}))
	}, "ATT-10", "CERT-11", "JWS-09", "VER-01", "CERT-06", "CERT-04")
	no("JWS-07/x5c-protected", "x5c in the protected header only", func(d *jwsDraft) {
		d.protected = append(d.protected, member{"x5c", x5c(der(chainOf("p256")))})
		d.header = drop(d.header, "x5c")
	}, "ATT-10", "JWS-05")
	no("JWS-07/x5c-is-no-certificate", "the intermediate in x5c is no certificate", func(d *jwsDraft) {
		d.header = set(d.header, "x5c", x5c([][]byte{leaf.Raw, []byte("junk"), rootCA.Raw}))
	}, "ATT-10", "CERT-11", "CERT-01")
	no("JWS-07/empty-x5c", "x5c is empty", func(d *jwsDraft) { d.header = set(d.header, "x5c", `[]`) }, "ATT-10")

	s := good("jws").trustTSA()
	s.token = stamp(signedAt)
	b.accept("JWS-08/timestamp-signature", "the token in io.cncf.notary.timestampSignature", s)
	s = good("jws").trustTSA()
	s.token = stamp(signedAt)
	s.jws = func(d *jwsDraft) {
		t := d.timestamp
		d.timestamp = nil
		d.sign = func(signed []byte) []byte {
			sig := d.key.raw(d.hash, signed)
			d.header = append(d.header, member{attrBase + "timestamp", quote(base64.StdEncoding.EncodeToString(t(sig)))})
			return sig
		}
	}
	b.refuse("JWS-08/io-cncf-notary-timestamp", "the token stands in io.cncf.notary.timestamp, as one example of the specification has it: not found there", "authenticTimestamp|integrity", "untrusted|tampered|expired", s, "TSA-02", "TSA-03", "JWS-01")
	s = good("jws").trustTSA()
	s.jws = func(d *jwsDraft) { d.header = append(d.header, member{attrBase + "timestampSignature", quote("***")}) }
	b.refuse("JWS-08/not-base64", "the token is not base64", "integrity", tampered, s, "TSA-03", "ATT-11")

	ok("JWS-09/signature", "signature over BASE64URL(protected).BASE64URL(payload)", plain)
	no("JWS-09/payload-changed", "the payload was changed after signing", func(d *jwsDraft) {
		d.parts = func(_, payload, _ *string) {
			*payload = b64url([]byte(strings.Replace(string(d.payload), "16724", "16725", 1)))
		}
	}, "VER-01")
	no("JWS-09/protected-changed", "the protected header was changed after signing", func(d *jwsDraft) {
		d.parts = func(protected, _, _ *string) {
			*protected = b64url([]byte(strings.Replace(object(d.protected), "2025-03-01", "2025-03-02", 1)))
		}
	}, "VER-01")
	no("JWS-09/signature-changed", "one bit of the signature was changed", func(d *jwsDraft) {
		d.sign = func(signed []byte) []byte { sig := d.key.raw(d.hash, signed); sig[40] ^= 1; return sig }
	}, "VER-01")
	no("JWS-09/asn1-signature", "an ECDSA signature in ASN.1, not r||s", func(d *jwsDraft) {
		d.sign = func(signed []byte) []byte {
			digest := sha256.Sum256(signed)
			return must(d.key.Sign(nil, digest[:], crypto.SHA256))
		}
	}, "VER-01")
	no("JWS-09/no-signature", "an empty signature", func(d *jwsDraft) { d.sign = func([]byte) []byte { return nil } }, "VER-01")
	no("JWS-09/padding", "base64url with padding", func(d *jwsDraft) {
		d.payload = []byte(d.payload)
		for len(d.payload)%3 == 0 {
			d.payload = append(d.payload, ' ')
		}
		d.parts = func(_, payload, _ *string) { *payload += strings.Repeat("=", 3-len(d.payload)%3) }
	}, "VER-01")
	no("JWS-09/raw-payload-signed", "the signature is over the payload itself", func(d *jwsDraft) {
		d.sign = func([]byte) []byte { return d.key.raw(d.hash, d.payload) }
	}, "VER-01")
}

func coseCases(b *book) {
	ok := func(id, title string, f func(*coseDraft)) { b.accept(id, title, both("cose", nil, f)) }
	no := func(id, title string, f func(*coseDraft), rows ...string) {
		b.refuse(id, title, "integrity", tampered, both("cose", nil, f), rows...)
	}
	plain := func(*coseDraft) {}
	scheme := attrBase + "signingScheme"
	ok("COSE-01/tagged", "COSE_Sign1 with tag 18", plain)
	no("COSE-01/untagged", "COSE_Sign1 without its tag", func(d *coseDraft) { d.tag = 0 })
	no("COSE-01/other-tag", "tag 98, COSE_Sign", func(d *coseDraft) { d.tag = 98 })
	no("COSE-01/five-elements", "an array of five", func(d *coseDraft) {
		d.bytes = func(out []byte) []byte { out[1] = 0x85; return append(out, 0xf6) }
	})
	no("COSE-01/trailing-data", "something follows", func(d *coseDraft) { d.bytes = func(out []byte) []byte { return append(out, 0xf6) } })
	no("COSE-01/detached-payload", "the payload is nil", func(d *coseDraft) {
		d.bytes = func(out []byte) []byte {
			return []byte(strings.Replace(string(out), string(cb(d.payload)), "\xf6", 1))
		}
	}, "PAY-01", "COSE-08")

	ok("COSE-02/alg-of-the-key", "label 1 is the algorithm of the signing certificate's key", plain)
	no("COSE-02/no-alg", "label 1 is missing", func(d *coseDraft) { d.protected = dropItem(d.protected, 1) })
	no("COSE-02/other-alg", "label 1 says ES384; the key is P-256", func(d *coseDraft) { d.protected = putItem(d.protected, 1, -35) }, "ALG-02")
	no("COSE-02/hmac", "label 1 says HMAC 256/256", func(d *coseDraft) { d.protected = putItem(d.protected, 1, 5) }, "ALG-02")
	no("COSE-02/alg-unprotected", "label 1 is in the unprotected header only", func(d *coseDraft) {
		d.protected = dropItem(d.protected, 1)
		d.unprotected = append(d.unprotected, item{1, -7})
	})
	no("COSE-02/two-algs", "label 1 stands twice", func(d *coseDraft) { d.protected = append(d.protected, item{1, -7}) }, "COSE-01", "COSE-03")

	ok("COSE-03/crit", "label 2 lists the signing scheme", plain)
	no("COSE-03/no-crit", "label 2 is missing", func(d *coseDraft) { d.protected = dropItem(d.protected, 2) }, "ATT-03", "SCH-02")
	no("COSE-03/empty-crit", "label 2 is an empty array", func(d *coseDraft) { d.protected = putItem(d.protected, 2, []any{}) }, "ATT-03", "SCH-02", "COSE-01")
	no("COSE-03/crit-lists-alg", "crit lists label 1", func(d *coseDraft) { d.protected = putItem(d.protected, 2, []any{1, scheme}) }, "ATT-02")
	no("COSE-03/crit-lists-content-type", "crit lists label 3", func(d *coseDraft) { d.protected = putItem(d.protected, 2, []any{scheme, 3}) }, "ATT-02")
	no("COSE-03/crit-lists-absent-label", "crit lists a label that is not there", func(d *coseDraft) {
		d.protected = putItem(d.protected, 2, []any{scheme, "com.example.absent"})
	}, "ATT-08", "COSE-01")
	no("COSE-03/crit-is-text", "crit is text", func(d *coseDraft) { d.protected = putItem(d.protected, 2, scheme) }, "COSE-01")
	no("COSE-03/crit-unprotected", "crit is in the unprotected header", func(d *coseDraft) {
		d.protected = dropItem(d.protected, 2)
		d.unprotected = append(d.unprotected, item{2, []any{scheme}})
	}, "COSE-01", "ATT-03", "SCH-02")

	ok("COSE-04/content-type", "label 3 is the payload's media type", plain)
	no("COSE-04/no-content-type", "label 3 is missing", func(d *coseDraft) { d.protected = dropItem(d.protected, 3) }, "ATT-07", "PAY-01")
	no("COSE-04/number", "label 3 is a number (CoAP content format)", func(d *coseDraft) { d.protected = putItem(d.protected, 3, 50) }, "ATT-07", "PAY-01")
	no("COSE-04/next-version", "label 3 is that of an unknown payload version", func(d *coseDraft) {
		d.protected = putItem(d.protected, 3, "application/vnd.cncf.notary.payload.v2+json")
	}, "ATT-07", "PAY-01", "VER-01")

	ok("COSE-05/whole-seconds", "times as tag 1 with an integer", plain)
	no("COSE-05/untagged", "a time without tag 1", func(d *coseDraft) { d.protected = putItem(d.protected, attrBase+"signingTime", signedAt.Unix()) }, "ATT-04")
	no("COSE-05/text-time", "a time as tag 0, RFC 3339 text", func(d *coseDraft) {
		d.protected = putItem(d.protected, attrBase+"signingTime", cbor.Tag{Number: 0, Content: "2025-03-01T00:00:00Z"})
	}, "ATT-04")
	no("COSE-05/not-a-number", "tag 1 with a NaN", func(d *coseDraft) {
		d.protected = putItem(d.protected, attrBase+"signingTime", raw(0xc1, 0xf9, 0x7e, 0x00))
	}, "ATT-04")
	ok("COSE-05/fraction", "tag 1 with a fraction: SHOULD NOT, so a verifier reads it", func(d *coseDraft) {
		d.protected = putItem(d.protected, attrBase+"signingTime", cbor.Tag{Number: 1, Content: 1740787200.5})
	})

	ok("COSE-06/x5chain", "label 33 in the unprotected header, signing certificate first", plain)
	ok("COSE-06/x5chain-protected", "label 33 in the protected header: accepted too", func(d *coseDraft) {
		d.protected = append(d.protected, item{33, byteStrings(der(chainOf("p256")))})
		d.unprotected = dropItem(d.unprotected, 33)
	})
	no("COSE-06/single-byte-string", "label 33 is one byte string, and the chain has three certificates", func(d *coseDraft) {
		d.unprotected = putItem(d.unprotected, 33, leaf.Raw)
	}, "ATT-10", "CERT-10")
	no("COSE-06/text", "label 33 holds text", func(d *coseDraft) {
		d.unprotected = putItem(d.unprotected, 33, []any{base64.StdEncoding.EncodeToString(leaf.Raw), base64.StdEncoding.EncodeToString(rootCA.Raw)})
	}, "ATT-10")
	no("COSE-06/reversed", "label 33 with the root first", func(d *coseDraft) {
		d.unprotected = putItem(d.unprotected, 33, byteStrings([][]byte{rootCA.Raw, issuing.Raw, leaf.Raw}))
	}, "ATT-10", "CERT-11", "COSE-08", "VER-01", "CERT-04", "CERT-06")
	no("COSE-06/two-different-chains", "one chain protected, another unprotected", func(d *coseDraft) {
		d.protected = append(d.protected, item{33, byteStrings(der([]*cert{strangerLeaf, strangerRoot}))})
	}, "ATT-10", "COSE-01", "COSE-08")

	s := good("cose").trustTSA()
	s.token = stamp(signedAt)
	b.accept("COSE-07/byte-string", "the token as a byte string", s)
	s = good("cose").trustTSA()
	s.token = stamp(signedAt)
	s.cose = func(d *coseDraft) {
		t := d.timestamp
		d.timestamp = nil
		d.sign = func(signed []byte) []byte {
			sig := d.key.raw(d.hash, signed)
			d.unprotected = append(d.unprotected, item{attrBase + "timestampSignature", base64.StdEncoding.EncodeToString(t(sig))})
			return sig
		}
	}
	b.refuse("COSE-07/text", "the token as base64 text", "authenticTimestamp|integrity", "tampered|untrusted|expired", s, "TSA-02", "TSA-03", "ATT-11")

	ok("COSE-08/signature1", "Sig_structure with context Signature1 and no external data", plain)
	no("COSE-08/other-context", "context Signature", func(d *coseDraft) { d.context = "Signature" }, "VER-01")
	no("COSE-08/external-aad", "external data that is not empty", func(d *coseDraft) { d.aad = []byte("x") }, "VER-01")
	no("COSE-08/payload-changed", "the payload was changed after signing", func(d *coseDraft) {
		d.change = func(_, payload, _ *[]byte) { *payload = []byte(strings.Replace(string(*payload), "16724", "16725", 1)) }
	}, "VER-01")
	no("COSE-08/signature-changed", "one bit of the signature was changed", func(d *coseDraft) {
		d.change = func(_, _, sig *[]byte) { (*sig)[40] ^= 1 }
	}, "VER-01")
	no("COSE-08/no-signature", "an empty signature", func(d *coseDraft) { d.change = func(_, _, sig *[]byte) { *sig = []byte{} } }, "VER-01", "COSE-01")
	no("COSE-01/indefinite-length", "the envelope is an array of indefinite length", func(d *coseDraft) {
		d.bytes = func(out []byte) []byte { out[1] = 0x9f; return append(out, 0xff) }
	})
}
