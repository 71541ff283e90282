package main

import (
	"encoding/json"
	"strings"
	"time"
)

// policyInput is a trust policy file as text; Select, if present, is a
// repository and the name of the statement that applies.
type policyInput struct {
	Document  string `json:"document"`
	Type      string `json:"type"` // "oci" or "blob"
	Reference string `json:"reference,omitempty"`
	Statement string `json:"statement,omitempty"`
}

func (b *book) policy(id, title, doc string) {
	b.add(&vector{ID: id, Title: title, Kind: "trustpolicy", Valid: true, Input: policyInput{Document: doc, Type: "oci"}})
}

func (b *book) badPolicy(id, title, doc string, rows ...string) {
	b.add(&vector{ID: id, Title: title, Kind: "trustpolicy", Input: policyInput{Document: doc, Type: "oci"}, Expect: &expect{Rows: rows, Codes: []string{"invalid-input"}}})
}

func (b *book) selects(id, title, doc, ref, name string) {
	b.add(&vector{ID: id, Title: title, Kind: "trustpolicy", Valid: true, Input: policyInput{doc, "oci", ref, name}})
}

func (b *book) selectsNone(id, title, doc, ref string) {
	b.add(&vector{ID: id, Title: title, Kind: "trustpolicy", Input: policyInput{doc, "oci", ref, ""}, Expect: &expect{Codes: []string{"no-applicable-policy"}}})
}

const strict = `{"level":"strict"}`

func st(name string, scopes ...string) string {
	return statement(name, scopes, strict, []string{"ca:example"}, []string{"*"})
}

func level(v string) string {
	return document(statement("a", []string{"*"}, v, []string{"ca:example"}, []string{"*"}))
}

func policyCases(b *book) {
	plain := document(st("a", "*"))
	b.policy("TP-01/version-1.0", "version 1.0", plain)
	b.badPolicy("TP-01/no-version", "no version", strings.Replace(plain, `"version":"1.0",`, "", 1), "TP-02")
	b.badPolicy("TP-01/version-2.0", "version 2.0", strings.Replace(plain, "1.0", "2.0", 1))
	b.badPolicy("TP-01/version-is-a-number", "version 1.0 as a number", strings.Replace(plain, `"1.0"`, "1.0", 1), "TP-02")

	b.policy("TP-02/all-properties", "every property", document(statement("a", []string{repo}, `{"level":"strict","verifyTimestamp":"always"}`, []string{"ca:a", "tsa:b"}, []string{"x509.subject:C=JP,ST=Tokyo,O=Example"})))
	b.policy("TP-02/skip-needs-no-stores", "a skip statement without stores and identities", document(statement("a", []string{repo}, `{"level":"skip"}`, nil, nil)))
	b.badPolicy("TP-02/no-name", "a statement without a name", strings.Replace(plain, `"name":"a",`, "", 1))
	b.badPolicy("TP-02/empty-name", "a statement with an empty name", strings.Replace(plain, `"name":"a"`, `"name":""`, 1))
	b.badPolicy("TP-02/same-name-twice", "two statements of one name", document(st("a", repo), st("a", repo+"2")))
	b.badPolicy("TP-02/no-level", "signatureVerification without level", level(`{}`), "TP-05", "TP-04")
	b.badPolicy("TP-02/no-signature-verification", "no signatureVerification", strings.Replace(plain, `,"signatureVerification":{"level":"strict"}`, "", 1), "TP-04", "TP-05")
	b.badPolicy("TP-02/no-stores", "no trustStores", document(statement("a", []string{"*"}, strict, nil, []string{"*"})), "TP-06")
	b.badPolicy("TP-02/no-identities", "no trustedIdentities", document(statement("a", []string{"*"}, strict, []string{"ca:a"}, nil)), "TI-01")
	b.badPolicy("TP-02/no-statements", "no statement", document())
	b.badPolicy("TP-02/skip-with-stores", "a skip statement with stores", document(statement("a", []string{repo}, `{"level":"skip"}`, []string{"ca:a"}, []string{"*"})))
	b.badPolicy("TP-02/store-without-type", "a store without its type", document(statement("a", []string{"*"}, strict, []string{"example"}, []string{"*"})), "SCH-04", "TS-01", "TP-06")
	b.badPolicy("TP-02/store-of-unknown-type", "a store of an unknown type", document(statement("a", []string{"*"}, strict, []string{"root:example"}, []string{"*"})), "SCH-04", "TS-01", "TP-06")
	b.badPolicy("TP-02/store-name-with-separator", "a store name that leaves its directory", document(statement("a", []string{"*"}, strict, []string{"ca:../../x"}, []string{"*"})), "TS-01", "SCH-04", "TP-06")
	b.badPolicy("TP-02/not-json", "not JSON", `version: "1.0"`, "TP-01")
	b.badPolicy("TP-02/duplicate-member", "registryScopes stands twice in one statement", strings.Replace(plain, `"registryScopes":["*"]`, `"registryScopes":["`+repo+`"],"registryScopes":["*"]`, 1), "TP-07")
	b.badPolicy("TP-02/wrong-case-member", "TrustPolicies instead of trustPolicies", strings.Replace(plain, "trustPolicies", "TrustPolicies", 1))

	for _, l := range []string{"strict", "permissive", "audit"} {
		b.policy("TP-04/"+l, "level "+l, level(`{"level":`+quote(l)+`}`))
	}
	b.badPolicy("TP-04/unknown-level", "an unknown level", level(`{"level":"relaxed"}`), "TP-02", "TP-05")
	b.badPolicy("TP-04/level-in-capitals", "level STRICT", level(`{"level":"STRICT"}`), "TP-02", "TP-05")
	levelCases(b)

	for _, v := range []string{"authenticity", "authenticTimestamp", "expiry", "revocation"} {
		for _, a := range []string{"enforce", "log"} {
			b.policy("TP-05/"+v+"-"+a, "override "+v+" with "+a, level(`{"level":"strict","override":{`+quote(v)+`:`+quote(a)+`}}`))
		}
	}
	b.policy("TP-05/revocation-skip", "override revocation with skip", level(`{"level":"strict","override":{"revocation":"skip"}}`))
	b.badPolicy("TP-05/no-level", "override without level", level(`{"override":{"expiry":"log"}}`), "TP-02", "TP-04")
	b.badPolicy("TP-05/integrity", "integrity overridden", level(`{"level":"strict","override":{"integrity":"log"}}`))
	b.badPolicy("TP-05/skip-customised", "level skip with an override", document(statement("a", []string{repo}, `{"level":"skip","override":{"expiry":"log"}}`, nil, nil)))
	b.badPolicy("TP-05/authentic-timestamp-skip", "authenticTimestamp overridden with skip", level(`{"level":"strict","override":{"authenticTimestamp":"skip"}}`), "TSA-02")
	b.badPolicy("TP-05/authenticity-skip", "authenticity overridden with skip", level(`{"level":"strict","override":{"authenticity":"skip"}}`))
	b.badPolicy("TP-05/expiry-skip", "expiry overridden with skip", level(`{"level":"strict","override":{"expiry":"skip"}}`))
	b.badPolicy("TP-05/unknown-type", "an unknown validation type", level(`{"level":"strict","override":{"expiration":"log"}}`))
	b.badPolicy("TP-05/unknown-action", "an unknown action", level(`{"level":"strict","override":{"expiry":"warn"}}`))

	tsa := func(v string) string {
		return document(statement("a", []string{"*"}, v, []string{"ca:a", "tsa:b"}, []string{"*"}))
	}
	b.policy("TP-06/always", "verifyTimestamp always", tsa(`{"level":"strict","verifyTimestamp":"always"}`))
	b.policy("TP-06/after-cert-expiry", "verifyTimestamp afterCertExpiry", tsa(`{"level":"strict","verifyTimestamp":"afterCertExpiry"}`))
	b.badPolicy("TP-06/unknown-value", "verifyTimestamp never", tsa(`{"level":"strict","verifyTimestamp":"never"}`))
	b.badPolicy("TP-06/not-text", "verifyTimestamp true", tsa(`{"level":"strict","verifyTimestamp":true}`), "TP-02")

	b.policy("TP-07/repositories", "several repositories", document(st("a", "registry.example/a", "localhost:5000/b/c")))
	b.policy("TP-07/global", "the global scope", plain)
	b.policy("TP-07/global-and-repository", "one global statement and one for a repository", document(st("a", "*"), st("b", repo)))
	b.badPolicy("TP-07/no-scopes", "no registryScopes", strings.Replace(plain, `"registryScopes":["*"],`, "", 1), "TP-02")
	b.badPolicy("TP-07/empty-scopes", "empty registryScopes", document(st("a")), "TP-02")
	b.badPolicy("TP-07/wildcard-beside-repository", "* beside a repository", document(st("a", "*", repo)))
	b.badPolicy("TP-07/wildcard-inside", "a scope with * inside", document(st("a", "registry.example/*")))
	b.badPolicy("TP-07/registry-only", "a registry without repository", document(st("a", "registry.example")), "TP-08")
	b.badPolicy("TP-07/with-scheme", "a scope with https://", document(st("a", "https://registry.example/app")))
	b.badPolicy("TP-07/with-tag", "a scope with a tag", document(st("a", "registry.example/app:v1")))
	b.badPolicy("TP-07/with-digest", "a scope with a digest", document(st("a", repo+"@"+artifact.Digest)))
	b.badPolicy("TP-07/two-global", "two global statements", document(st("a", "*"), st("b", "*")), "TP-09")
	b.badPolicy("TP-07/upper-case-repository", "upper case in the repository", document(st("a", "registry.example/App")))

	ref := func(r string) string { return r + "@" + artifact.Digest }
	lib := document(st("a", "docker.io/library/alpine"))
	b.selects("TP-08/full-name", "the full name matches", lib, ref("docker.io/library/alpine"), "a")
	b.selectsNone("TP-08/no-expansion", "docker.io/alpine is not expanded", lib, ref("docker.io/alpine"))
	b.selectsNone("TP-08/index-docker-io", "index.docker.io is another name", lib, ref("index.docker.io/library/alpine"))
	b.badPolicy("TP-08/short-name-as-scope", "a short name as scope", document(st("a", "alpine")), "TP-07")

	two := document(st("global", "*"), st("exact", repo))
	b.selects("TP-09/exact", "the exact statement goes before the global one", two, ref(repo), "exact")
	b.selects("TP-09/global", "the global one for all others", two, ref("registry.example/other"), "global")
	b.selectsNone("TP-09/none", "no statement applies", document(st("a", repo)), ref("registry.example/other"))
	b.selectsNone("TP-09/prefix-is-no-match", "a repository below the scope", document(st("a", repo)), ref(repo+"/sub"))
	b.selectsNone("TP-09/other-port", "another port", document(st("a", "localhost:5000/app")), ref("localhost:5001/app"))
	b.selectsNone("TP-09/case-differs", "the registry in other case", document(st("a", "registry.example/app")), ref("Registry.example/app"))
	b.badPolicy("TP-09/one-scope-twice", "one scope in two statements", document(st("a", repo), st("b", repo)), "TP-07")

	b.policy("TP-10/skip-for-a-repository", "skip for one repository", document(statement("a", []string{repo}, `{"level":"skip"}`, nil, nil)))
	b.badPolicy("TP-10/global-skip", "skip with global scope", document(statement("a", []string{"*"}, `{"level":"skip"}`, nil, nil)))

	blobCases(b)
}

func blobCases(b *book) {
	blob := func(name, extra string) string {
		return `{"name":` + quote(name) + extra + `,"signatureVerification":{"level":"strict"},"trustStores":["ca:a"],"trustedIdentities":["*"]}`
	}
	ok := func(id, title, doc string) {
		b.add(&vector{ID: id, Title: title, Kind: "trustpolicy", Valid: true, Input: policyInput{Document: doc, Type: "blob"}})
	}
	no := func(id, title, doc string, rows ...string) {
		b.add(&vector{ID: id, Title: title, Kind: "trustpolicy", Input: policyInput{Document: doc, Type: "blob"}, Expect: &expect{Rows: rows, Codes: []string{"invalid-input"}}})
	}
	ok("TP-11/one-global", "one global policy", document(blob("a", `,"globalPolicy":true`), blob("b", "")))
	no("TP-11/two-global", "two global policies", document(blob("a", `,"globalPolicy":true`), blob("b", `,"globalPolicy":true`)))
	no("TP-11/global-skip", "a global policy with level skip", document(`{"name":"a","globalPolicy":true,"signatureVerification":{"level":"skip"}}`))
	ok("TP-12/unique-names", "names that are unique", document(blob("a", ""), blob("b", "")))
	no("TP-12/same-name-twice", "two policies of one name", document(blob("a", ""), blob("a", "")), "TP-02")
}

func levelCases(b *book) {
	at := func(l, override string) *scene { s := good("jws"); s.level, s.override = l, override; return s }
	past := func(s *scene) *scene { s.expiry = date(2025, 6, 1); return s }
	stranger := func(s *scene) *scene { s.chain = []*cert{strangerLeaf, strangerRoot}; return s }
	old := func(s *scene) *scene { s.chain = []*cert{oldLeaf, issuing, rootCA}; return s }
	broken := func(s *scene) *scene {
		s.jws = func(d *jwsDraft) {
			d.sign = func(in []byte) []byte { sig := d.key.raw(d.hash, in); sig[9] ^= 1; return sig }
		}
		return s
	}
	b.refuse("TP-04/strict-enforces-expiry", "strict: an expired signature", "expiry", "expired", past(at("strict", "")), "VER-04", "ATT-14")
	b.accept("TP-04/permissive-logs-expiry", "permissive: an expired signature is only logged", past(at("permissive", "")))
	b.refuse("TP-04/strict-enforces-timestamp", "strict: an expired certificate", "authenticTimestamp", "expired", old(at("strict", "")), "CERT-15", "VER-05")
	b.accept("TP-04/permissive-logs-timestamp", "permissive: an expired certificate is only logged", old(at("permissive", "")))
	b.refuse("TP-04/permissive-enforces-authenticity", "permissive: a signer that is not trusted", "authenticity", "untrusted", stranger(at("permissive", "")), "VER-03")
	b.accept("TP-04/audit-logs-authenticity", "audit: a signer that is not trusted is only logged", stranger(at("audit", "")))
	b.refuse("TP-04/audit-enforces-integrity", "audit: a broken signature", "integrity", "tampered", broken(at("audit", "")), "JWS-09", "VER-01")
	s := broken(at("skip", ""))
	s.policy = document(statement("example", []string{repo}, `{"level":"skip"}`, nil, nil))
	b.accept("TP-04/skip-checks-nothing", "skip: nothing is checked", s)
	b.refuse("TP-04/override-enforces-expiry", "permissive with expiry enforced", "expiry", "expired", past(at("permissive", `{"expiry":"enforce"}`)), "TP-05", "VER-04")
	b.accept("TP-04/override-logs-expiry", "strict with expiry logged", past(at("strict", `{"expiry":"log"}`)))

	b.accept("TP-13/several-logged", "audit: expired, untrusted and with an old certificate, all logged", past(stranger(at("audit", ""))))
	b.refuse("TP-13/enforced-after-logged", "permissive: an expired signature is logged, its untrusted signer is enforced", "authenticity", "untrusted", past(stranger(at("permissive", ""))), "VER-03")
	b.refuse("TP-13/logged-before-enforced", "untrusted is logged, expired is enforced", "expiry", "expired", past(stranger(at("strict", `{"authenticity":"log"}`))), "VER-04")
}

// identityInput is a list of trusted identities, and a certificate to match.
type identityInput struct {
	TrustedIdentities []string `json:"trustedIdentities"`
	Certificate       []byte   `json:"certificate,omitempty"`
}

func identityCases(b *book) {
	ok := func(id, title string, ids ...string) {
		b.add(&vector{ID: id, Title: title, Kind: "identity", Valid: true, Input: identityInput{TrustedIdentities: ids}})
	}
	no := func(id, title string, rows []string, ids ...string) {
		b.add(&vector{ID: id, Title: title, Kind: "identity", Input: identityInput{TrustedIdentities: ids}, Expect: &expect{Rows: rows, Codes: []string{"invalid-input"}}})
	}
	const dn = "x509.subject:C=JP,ST=Tokyo,O=Example"
	ok("TI-01/full-subject", "a full subject", dn+",CN=Example Signer")
	ok("TI-01/partial-subject", "a partial subject", dn)
	ok("TI-01/wildcard", "the wildcard alone", "*")
	ok("TI-01/several", "several identities", dn, "x509.subject:C=JP,ST=Osaka,O=Example")
	no("TI-01/wildcard-beside-subject", "the wildcard beside a subject", nil, "*", dn)
	no("TI-01/empty", "an empty identity", nil, "")
	no("TI-01/multi-valued-rdn", "a multi-valued RDN", []string{"TI-02"}, "x509.subject:C=JP,ST=Tokyo+L=Minato,O=Example")
	no("TI-01/duplicate-type", "one attribute type twice", []string{"TI-02"}, dn+",O=Other")
	no("TI-01/hex-value", "a value as #hex", []string{"TI-02", "TI-04"}, "x509.subject:C=JP,ST=Tokyo,O=#0c0745")
	no("TI-01/no-separator", "no prefix", []string{"TI-02"}, "C=JP,ST=Tokyo,O=Example")

	ok("TI-02/c-st-o", "C, ST and O", dn)
	ok("TI-02/s-for-st", "S instead of ST", "x509.subject:C=JP,S=Tokyo,O=Example")
	ok("TI-02/other-order", "another order", "x509.subject:O=Example,ST=Tokyo,C=JP")
	no("TI-02/no-country", "no C", nil, "x509.subject:ST=Tokyo,O=Example")
	no("TI-02/no-state", "no ST", nil, "x509.subject:C=JP,O=Example")
	no("TI-02/no-organisation", "no O", nil, "x509.subject:C=JP,ST=Tokyo")
	no("TI-02/empty-subject", "nothing after the prefix", nil, "x509.subject:")
	no("TI-02/empty-value", "an empty O", nil, "x509.subject:C=JP,ST=Tokyo,O=")
	no("TI-02/no-distinguished-name", "text that is no distinguished name", []string{"TI-04"}, "x509.subject:Example Signer")

	ok("TI-03/disjoint", "identities that differ in one value", dn+",CN=a", dn+",CN=b")
	no("TI-03/same-twice", "one identity twice", nil, dn, dn)
	no("TI-03/one-contains-the-other", "a subject and a more general one", nil, dn+",CN=a", dn)
	no("TI-03/same-in-other-order", "one identity in two orders, with S and ST", nil, dn, "x509.subject:O=Example,S=Tokyo,C=JP")

	ok("TI-04/escaped-comma", "an escaped comma", `x509.subject:C=JP,ST=Tokyo,O=Example\, Inc.`)
	ok("TI-04/escaped-semicolon", "an escaped semicolon", `x509.subject:C=JP,ST=Tokyo,O=Example\; Inc.`)
	ok("TI-04/escaped-backslash", "an escaped backslash", `x509.subject:C=JP,ST=Tokyo,O=Exam\\ple`)
	ok("TI-04/escaped-leading-space", "an escaped leading space", `x509.subject:C=JP,ST=Tokyo,O=\ Example`)
	no("TI-04/bare-comma", "a comma that is not escaped", []string{"TI-02"}, "x509.subject:C=JP,ST=Tokyo,O=Example, Inc.")
	no("TI-04/bare-backslash", "a backslash before nothing", []string{"TI-02"}, `x509.subject:C=JP,ST=Tokyo,O=Example\`)

	matchCases(b)
}

func matchCases(b *book) {
	with := func(organisation string, ids ...string) *scene {
		s := good("jws")
		l := leafSpec(newKey("p256/leaf"), "Example Signer")
		l.Subject.Organization = []string{organisation}
		s.chain = under(l, issuing, rootCA)
		s.ids = ids
		return s
	}
	const dn = "x509.subject:C=JP,ST=Tokyo,O="
	b.accept("TI-01/full-subject-matches", "the whole subject", with("Example", dn+"Example,CN=Example Signer"))
	b.accept("TI-01/partial-subject-matches", "part of the subject", with("Example", dn+"Example"))
	b.accept("TI-01/second-matches", "the second of two", with("Example", dn+"Other", dn+"Example"))
	b.refuse("TI-01/other-common-name", "another CN", "authenticity", "untrusted", with("Example", dn+"Example,CN=Somebody"), "VER-03")
	b.refuse("TI-01/other-case", "O in other case", "authenticity", "untrusted", with("Example", dn+"EXAMPLE"), "VER-03")
	b.refuse("TI-01/longer-than-the-subject", "an RDN that the subject lacks", "authenticity", "untrusted", with("Example", dn+"Example,OU=Build"), "VER-03")
	b.refuse("TI-01/issuer-is-no-identity", "the issuer's CN: only the leaf counts", "authenticity", "untrusted", with("Example", dn+"Example,CN=Example Issuing CA"), "VER-03")
	b.accept("TI-04/comma-matches", "an escaped comma matches", with("Example, Inc.", dn+`Example\, Inc.`))
	b.accept("TI-04/plus-matches", "an escaped plus matches", with("A+B", dn+`A\+B`))
	b.refuse("TI-04/injection", "a subject whose O reads like more RDNs is no match", "authenticity", "untrusted", with("Other,O=Example", dn+"Example"), "VER-03")
	b.refuse("TI-02/unknown-prefix-only", "identities of an unknown prefix only", "authenticity", "untrusted|plugin-failed", with("Example", "com.example:x"), "TI-01", "VER-03")
}

func verifyCases(b *book) {
	b.each(func(f string) {
		b.accept("VER-01/integrity-"+f, "a good envelope of its media type", good(f))
		s := good(f)
		in := fileOf(s.mediaType(), s.envelope())
		in.MediaType = map[string]string{"jws": coseType, "cose": jwsType}[f]
		s.in.Signatures = []envelopeFile{in}
		b.refuse("VER-01/wrong-media-type-"+f, "the layer's media type is that of the other format", "integrity", tampered, s, "JWS-01", "COSE-01")
		s = good(f)
		e := s.envelope()
		in = fileOf(s.mediaType(), e[:len(e)-20])
		s.in.Signatures = []envelopeFile{in}
		b.refuse("VER-01/truncated-"+f, "the envelope ends too early", "integrity", tampered, s, "JWS-01", "COSE-01")
		s = good(f)
		s.in.Signatures = []envelopeFile{{MediaType: s.mediaType(), Bytes: []byte{}}}
		b.refuse("VER-01/empty-"+f, "an envelope of no bytes", "integrity", tampered, s, "JWS-01", "COSE-01")

		for n, mt := range map[string]string{"docker-manifest": "application/vnd.docker.distribution.manifest.v2+json",
			"docker-list": "application/vnd.docker.distribution.manifest.list.v2+json", "index": "application/vnd.oci.image.index.v1+json"} {
			s = good(f)
			d := artifact
			d.MediaType = mt
			s.target, s.in.Artifact = string(must(json.Marshal(d))), d
			b.accept("VER-02/"+n+"-"+f, "an artifact of type "+mt, s)
		}
		b.accept("VER-02/same-artifact-"+f, "the payload names the artifact", good(f))
		for n, change := range map[string]func(*descriptor){
			"digest":     func(d *descriptor) { d.Digest = strings.Replace(d.Digest, "73c8", "73c9", 1) },
			"size":       func(d *descriptor) { d.Size++ },
			"media-type": func(d *descriptor) { d.MediaType = "application/vnd.oci.image.index.v1+json" },
		} {
			s = good(f)
			d := artifact
			change(&d)
			s.target = string(must(json.Marshal(d)))
			b.refuse("VER-02/other-"+n+"-"+f, "the payload names another "+n, "artifact", tampered, s, "WF-04", "PAY-02", "WF-02")
		}

		s = good(f)
		s.ids = []string{"x509.subject:C=JP,ST=Tokyo,O=Example"}
		b.accept("VER-03/anchored-"+f, "the chain ends in a store's root, the subject matches", s)
		s = good(f)
		s.stores["ca:example"] = []*cert{issuing}
		b.accept("VER-03/intermediate-in-store-"+f, "the store holds the intermediate", s)
		s = good(f)
		s.chain = []*cert{strangerLeaf, strangerRoot}
		b.refuse("VER-03/stranger-"+f, "a chain whose root is in no store", "authenticity", "untrusted", s)
		s = good(f)
		ns := caSpec(newKey("p256/namesake"), "Example Root").issue(nil)
		s.chain = []*cert{leafSpec(newKey("p256/leaf"), "Example Signer").issue(ns), ns}
		b.refuse("VER-03/namesake-root-"+f, "a root of the trusted name with another key", "authenticity", "untrusted", s)
		s = good(f)
		s.ids = []string{"x509.subject:C=JP,ST=Osaka,O=Example"}
		b.refuse("VER-03/no-identity-"+f, "the subject matches no identity", "authenticity", "untrusted", s, "TI-01")

		s = good(f)
		s.expiry = date(2025, 7, 1)
		b.accept("VER-04/not-expired-"+f, "an expiry to come", s)
		s = good(f)
		s.expiry = date(2025, 6, 1)
		b.refuse("VER-04/expired-"+f, "an expiry in the past", "expiry", "expired", s, "ATT-14")

		b.accept("VER-05/valid-now-"+f, "now lies within the chain's validity", good(f))
		s = good(f)
		s.now = leafFrom.Add(-time.Hour)
		b.refuse("VER-05/not-yet-valid-"+f, "now is before the leaf", "authenticTimestamp", "expired", s, "CERT-15")
		s = good(f).authority()
		s.chain = []*cert{oldLeaf, issuing, rootCA}
		b.accept("VER-05/ended-after-authentic-time-"+f, "a signing authority's leaf that ended after it signed", s)
		s = good(f).authority()
		s.chain = []*cert{oldLeaf, issuing, rootCA}
		s.signingTime = date(2025, 4, 2)
		b.refuse("VER-05/authentic-time-after-end-"+f, "an authentic signing time after the leaf's end", "authenticTimestamp", "expired", s, "CERT-14")

		s = good(f)
		s.annotations = map[string]string{"io.example.commit": "abc", "io.example.build": "7"}
		s.in.UserMetadata = map[string]string{"io.example.build": "7"}
		b.accept("VER-06/metadata-"+f, "the metadata asked for is signed", s)
		s = good(f)
		s.annotations = map[string]string{"io.example.build": "8"}
		s.in.UserMetadata = map[string]string{"io.example.build": "7"}
		b.refuse("VER-06/other-value-"+f, "another value", "userMetadata", "metadata-mismatch", s)
		s = good(f)
		s.in.UserMetadata = map[string]string{"io.example.build": ""}
		b.refuse("VER-06/missing-"+f, "an empty value was asked for, nothing is signed", "userMetadata", "metadata-mismatch", s)
	})
	workflowCases(b)
}

func workflowCases(b *book) {
	one := func(f string) envelopeFile { s := good(f); return fileOf(s.mediaType(), s.envelope()) }
	bad := func() envelopeFile {
		s := good("jws")
		s.chain = []*cert{strangerLeaf, strangerRoot}
		return fileOf(jwsType, s.envelope())
	}
	of := func(fs ...envelopeFile) *scene { s := good("jws"); s.in.Signatures = fs; return s }
	other := envelopeFile{MediaType: "application/pkcs7-signature", Bytes: []byte("pkcs7")}
	b.accept("WF-03/other-media-type-beside", "a signature of an unknown type beside a good one", of(other, one("jws")))
	b.refuse("WF-03/other-media-type-only", "a signature of an unknown type only", "", "tampered|untrusted|malformed-answer", of(other), "OCI-04", "VER-01")
	b.accept("WF-04/second-is-good", "the second of two verifies", of(bad(), one("cose")))
	b.refuse("WF-04/none-is-good", "none of two verifies", "authenticity", "untrusted", of(bad(), bad()), "VER-03")
	b.add(&vector{ID: "WF-02/digest-kept", Title: "a digest reference resolved to that digest", Kind: "resolution", Valid: true,
		Input: resolutionInput{repo + "@" + artifact.Digest, artifact}})
	b.add(&vector{ID: "WF-02/tag-resolved", Title: "a tag resolved to a digest", Kind: "resolution", Valid: true,
		Input: resolutionInput{repo + ":v1", artifact}})
	d := artifact
	d.Digest = "sha256:" + strings.Repeat("0", 64)
	b.add(&vector{ID: "WF-02/other-digest", Title: "a digest reference that the registry resolves to another digest", Kind: "resolution",
		Input: resolutionInput{repo + "@" + artifact.Digest, d}, Expect: &expect{}})
	s := good("jws")
	s.in.Artifact = d
	s.in.Reference = repo + "@" + d.Digest
	b.refuse("WF-02/tag-moved", "the tag now names another digest than the one signed", "artifact", tampered, s, "VER-02")
}

// resolutionInput is a reference as written and the descriptor a registry
// answered with.
type resolutionInput struct {
	Reference  string     `json:"reference"`
	Descriptor descriptor `json:"descriptor"`
}

func timestampCases(b *book) {
	stamped := func(f string, at time.Time, change func(*token)) *scene {
		s := good(f).trustTSA()
		s.token = stamp(at)
		if change != nil {
			change(s.token)
		}
		return s
	}
	old := func(s *scene) *scene { s.chain = []*cert{oldLeaf, issuing, rootCA}; return s }
	b.each(func(f string) {
		b.accept("TSA-02/always-with-token-"+f, "always, and a good token", stamped(f, signedAt, nil))
		s := good(f).trustTSA()
		b.refuse("TSA-02/always-without-token-"+f, "a tsa store, always, and no token", "authenticTimestamp", "untrusted|tampered|expired", s, "TSA-03", "ATT-11")
		s = good(f).trustTSA()
		s.verifyTS = "afterCertExpiry"
		b.accept("TSA-02/after-expiry-unexpired-"+f, "afterCertExpiry, nothing expired, no token", s)
		s = old(good(f).trustTSA())
		s.verifyTS = "afterCertExpiry"
		b.refuse("TSA-02/after-expiry-expired-"+f, "afterCertExpiry, the leaf expired, no token", "authenticTimestamp", "untrusted|tampered|expired", s, "TSA-03", "CERT-15", "VER-05", "ATT-11")
		s = old(stamped(f, signedAt, nil))
		s.verifyTS = "afterCertExpiry"
		b.accept("TSA-02/after-expiry-with-token-"+f, "afterCertExpiry, the leaf expired, a good token", s)
		b.accept("TSA-03/good-token-"+f, "a good token", stamped(f, signedAt, nil))
	})
	no := func(id, title string, change func(*token), rows ...string) {
		b.refuse(id, title, "authenticTimestamp", "tampered|untrusted|expired", stamped("jws", signedAt, change), rows...)
	}
	b.accept("TSA-03/root-in-token", "a token that carries its root", stamped("jws", signedAt, func(t *token) { t.withRoot = true }))
	b.accept("TSA-03/sha512-imprint", "a message imprint with SHA-512", stamped("cose", signedAt, func(t *token) { t.hash = 7 }))
	no("TSA-03/other-imprint", "the imprint is of something else", func(t *token) { t.imprint = make([]byte, 32) })
	no("TSA-03/sha1-imprint", "an imprint with SHA-1", func(t *token) { t.hash = 3 })
	no("TSA-03/no-signing-certificate", "no signing-certificate attribute", func(t *token) { t.signing = "none" })
	no("TSA-03/signing-certificate-v1", "signing-certificate version 1 only", func(t *token) { t.signing = "v1" })
	no("TSA-03/wrong-signing-certificate", "signing-certificate-v2 with another hash", func(t *token) { t.signing = "wrong" })
	no("TSA-03/broken-signature", "the token's signature is wrong", func(t *token) { t.breakSig = true })
	no("TSA-03/version-2", "TSTInfo version 2", func(t *token) { t.version = 2 })
	no("TSA-03/other-content-type", "the content is not a TSTInfo", func(t *token) { t.content = []int{1, 2, 840, 113549, 1, 7, 1} }, "ATT-11")
	no("TSA-03/untrusted-root", "a TSA whose root is in no tsa store", func(t *token) {
		r := caSpec(newKey("p256/other-tsa-root"), "Other TSA Root").issue(nil)
		t.chain = []*cert{tsaSpec(newKey("p256/other-tsa"), "Other TSA").issue(r), r}
	})
	no("TSA-03/code-signing-certificate", "a token signed by a code signing certificate", func(t *token) {
		t.chain = []*cert{leafSpec(newKey("p256/leaf"), "Signer").issue(tsaRoot), tsaRoot}
	}, "CERT-08")
	no("TSA-03/tsa-ended", "a TSA certificate that had ended at genTime", func(t *token) {
		s := tsaSpec(newKey("p256/ended-tsa"), "Ended TSA")
		s.NotAfter = date(2025, 2, 1)
		t.chain = []*cert{s.issue(tsaRoot), tsaRoot}
	}, "CERT-14")
	s := stamped("jws", signedAt, nil)
	s.stores["tsa:example"] = []*cert{strangerRoot}
	s.stores["ca:example"] = []*cert{rootCA, tsaRoot}
	b.refuse("TSA-03/root-in-ca-store", "the TSA's root is in a ca store only", "authenticTimestamp", "untrusted|tampered", s, "SCH-04")

	b.accept("TSA-04/within", "genTime within the chain's validity", old(stamped("jws", signedAt, nil)))
	b.accept("TSA-04/accuracy-within", "genTime and accuracy end with the leaf", old(stamped("jws", date(2025, 4, 1).Add(-10*time.Second), func(t *token) { t.accuracy = 10 })))
	out := func(id, title string, at time.Time, change func(*token)) {
		b.refuse(id, title, "authenticTimestamp", "expired|untrusted|tampered", old(stamped("jws", at, change)), "CERT-14")
	}
	out("TSA-04/after-the-leaf", "genTime after the leaf's end", date(2025, 4, 2), nil)
	out("TSA-04/before-the-leaf", "genTime before the leaf's beginning", date(2023, 12, 31), nil)
	out("TSA-04/accuracy-reaches-beyond", "genTime before the end, accuracy beyond it", date(2025, 4, 1).Add(-9*time.Second), func(t *token) { t.accuracy = 10 })
	out("TSA-04/baseline-second-reaches-beyond", "the baseline policy without accuracy counts as one second", date(2025, 4, 1), func(t *token) { t.policy = oidBaseline })
	b.accept("TSA-04/no-accuracy-at-the-end", "another policy without accuracy counts as exact: genTime is the leaf's last second", old(stamped("jws", date(2025, 4, 1), nil)))
}
