package main

import (
	"crypto/x509"
	"strings"
)

// signInput is a request to sign the artifact.
type signInput struct {
	MediaType     string            `json:"mediaType"`
	Artifact      descriptor        `json:"artifact"`
	Key           []byte            `json:"key"` // PKCS #8
	Chain         [][]byte          `json:"chain"`
	UserMetadata  map[string]string `json:"userMetadata,omitempty"`
	ExpirySeconds int64             `json:"expirySeconds,omitempty"`
}

func signCases(b *book) {
	req := func(chain []*cert, m map[string]string) signInput {
		return signInput{MediaType: jwsType, Artifact: artifact, Key: must(x509.MarshalPKCS8PrivateKey(chain[0].key.Signer)), Chain: der(chain), UserMetadata: m}
	}
	ok := func(id, title string, in signInput) {
		n := now
		b.add(&vector{ID: id, Title: title, Kind: "sign", Valid: true, Now: &n, Input: in})
	}
	no := func(id, title string, in signInput, rows ...string) {
		n := now
		b.add(&vector{ID: id, Title: title, Kind: "sign", Now: &n, Input: in, Expect: &expect{Rows: rows}})
	}
	plain := chainOf("p256")
	ok("PAY-04/own-key", "user metadata with a key of one's own", req(plain, map[string]string{"io.example.build": "7"}))
	no("PAY-04/reserved-prefix", "user metadata with the prefix io.cncf.notary", req(plain, map[string]string{"io.cncf.notary.build": "7"}), "WF-01")
	no("PAY-04/reserved-prefix-alone", "user metadata with the key io.cncf.notary", req(plain, map[string]string{"io.cncf.notary": "7"}), "WF-01")

	ok("WF-01/good-chain", "a chain that keeps the rules", req(plain, nil))
	wrong := under(newLeaf("codeSigning", "Leaf", func(s *spec) { s.KeyUsage |= x509.KeyUsageKeyEncipherment }), issuing, rootCA)
	no("WF-01/wrong-key-usage", "the leaf may encipher keys", req(wrong, nil), "CERT-06", "CERT-01")
	other := req(plain, nil)
	other.Key = must(x509.MarshalPKCS8PrivateKey(strangerLeaf.key.Signer))
	no("WF-01/another-key", "the key is not the certificate's", other)
	no("WF-01/chain-without-root", "the chain lacks its root", req(plain[:2], nil), "CERT-10", "CERT-11")
	small := leafSpec(newKey("rsa1024"), "Leaf")
	no("WF-01/small-key", "RSA 1024", req([]*cert{small.issue(issuing), issuing, rootCA}, nil), "CERT-09", "ALG-02")
}

// pluginInput is a plugin in its directory: what the process answers to each
// command, and what is asked of it.
type pluginInput struct {
	Name     string                   `json:"name"`
	File     string                   `json:"file,omitempty"` // default: notation-{name}
	Mode     string                   `json:"mode,omitempty"` // "", "symlink", "not-executable", "directory", "absent"
	Ask      string                   `json:"ask"`            // "metadata" or "describe-key"
	Commands map[string]pluginProcess `json:"commands"`
}

type pluginProcess struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr,omitempty"`
	Exit   int    `json:"exit,omitempty"`
}

func pluginCases(b *book) {
	pluginVerifierCases(b)
	meta := func(version, contract string) string {
		return `{"name":"example","description":"d","version":` + quote(version) + `,"url":"https://example.com","supportedContractVersions":[` + contract + `],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`
	}
	plain := meta("1.0.0", `"1.0"`)
	in := func(out string) pluginInput {
		return pluginInput{Name: "example", Ask: "metadata", Commands: map[string]pluginProcess{"get-plugin-metadata": {Stdout: out}}}
	}
	ok := func(id, title string, p pluginInput) {
		b.add(&vector{ID: id, Title: title, Kind: "plugin", Valid: true, Input: p})
	}
	no := func(id, title string, p pluginInput, rows ...string) {
		b.add(&vector{ID: id, Title: title, Kind: "plugin", Input: p, Expect: &expect{Rows: rows, Codes: []string{"plugin-failed", "limit-exceeded", "invalid-input"}}})
	}
	ok("PLG-01/regular-file", "plugins/example/notation-example, a regular executable file", in(plain))
	for _, m := range []string{"symlink", "not-executable", "directory", "absent"} {
		p := in(plain)
		p.Mode = m
		no("PLG-01/"+m, "the executable: "+m, p)
	}
	p := in(plain)
	p.File = "notation-other"
	no("PLG-01/other-file-name", "the file is not named notation-example", p)
	p = in(plain)
	p.Name = "../example"
	no("PLG-01/name-leaves-the-directory", "a plugin name with a separator", p)

	ok("PLG-03/contract-1.0", "contract version 1.0", in(plain))
	no("PLG-03/contract-2.0", "contract version 2.0 only", in(meta("1.0.0", `"2.0"`)))
	no("PLG-03/no-contract", "no contract version", in(meta("1.0.0", "")))

	ok("PLG-04/answer", "one JSON object on stdout, status 0", in(plain))
	no("PLG-04/not-json", "stdout is not JSON", in("hello"))
	no("PLG-04/two-objects", "two JSON objects", in(plain+plain))
	no("PLG-04/nothing", "nothing on stdout", in(""))
	failing := in("")
	failing.Commands["get-plugin-metadata"] = pluginProcess{Stderr: `{"errorCode":"ERROR","errorMessage":"no"}`, Exit: 1}
	no("PLG-04/fails", "status 1 and an error on stderr", failing)
	silent := in(plain)
	silent.Commands["get-plugin-metadata"] = pluginProcess{Stdout: plain, Exit: 1}
	no("PLG-04/status-1-with-answer", "status 1, whatever stdout says", silent)

	ok("PLG-05/own-name", "the name of the directory", in(plain))
	no("PLG-05/other-name", "another name", in(strings.Replace(plain, `"name":"example"`, `"name":"other"`, 1)))
	no("PLG-05/no-version", "no version", in(strings.Replace(plain, `"version":"1.0.0",`, "", 1)))
	no("PLG-05/no-capabilities", "no capabilities", in(strings.Replace(plain, `["SIGNATURE_GENERATOR.RAW"]`, "[]", 1)))

	key := func(answer pluginProcess) pluginInput {
		q := in(plain)
		q.Ask = "describe-key"
		q.Commands["describe-key"] = answer
		return q
	}
	ok("PLG-06/describe-key", "the key asked for", key(pluginProcess{Stdout: `{"keyId":"key-1","keySpec":"EC-256"}`}))
	no("PLG-06/other-key", "another key's description", key(pluginProcess{Stdout: `{"keyId":"key-2","keySpec":"EC-256"}`}))
	no("PLG-06/unknown-key-spec", "an unknown key spec", key(pluginProcess{Stdout: `{"keyId":"key-1","keySpec":"EC-224"}`}), "ALG-02")
	ok("PLG-12/key-found", "no error", key(pluginProcess{Stdout: `{"keyId":"key-1","keySpec":"RSA-2048"}`}))
	no("PLG-12/access-denied", "ACCESS_DENIED", key(pluginProcess{Stderr: `{"errorCode":"ACCESS_DENIED","errorMessage":"not for you"}`, Exit: 1}), "PLG-04")
	no("PLG-12/validation-error", "VALIDATION_ERROR", key(pluginProcess{Stderr: `{"errorCode":"VALIDATION_ERROR","errorMessage":"what key?"}`, Exit: 1}), "PLG-04")
}

func pluginVerifierCases(b *book) {
	const attr1 = "com.example.rule"
	named := func(extra ...string) *scene {
		return withPlugin("jws", true, append([]string{pluginAttr, "example"}, extra...)...)
	}
	run := func(s *scene, meta, verify []byte) *scene { s.in.Plugin = example(meta, verify); return s }
	m := func(caps ...string) []byte { return metadata("1.0.0", caps...) }

	b.accept("PLG-09/verifier", "a plugin that can verify", run(named(), m(identityCheck), results(nil, identityCheck)))
	b.refuse("PLG-09/missing", "the plugin is not there", "plugin", "plugin-failed", named(), "ATT-15")
	b.refuse("PLG-09/not-semver", "the plugin's version is no SemVer", "plugin", "plugin-failed", run(named(), metadata("1.0", identityCheck), results(nil, identityCheck)), "ATT-09")
	b.refuse("PLG-09/no-verifier", "the plugin can only sign", "plugin", "plugin-failed", run(named(), m("SIGNATURE_GENERATOR.RAW"), results(nil)))

	b.accept("PLG-10/all-answered", "every check answered, every attribute processed", run(named(attr1, "x"), m(identityCheck, revocationCheck), results([]string{attr1}, identityCheck, revocationCheck)))
	b.refuse("PLG-10/check-unanswered", "one check is not answered", "plugin|revocation", "plugin-failed", run(named(), m(identityCheck, revocationCheck), results(nil, identityCheck)))
	b.refuse("PLG-10/attribute-unprocessed", "a critical attribute is not processed", "plugin", "plugin-failed|verifier-too-old", run(named(attr1, "x"), m(identityCheck), results(nil, identityCheck)), "ATT-08")
	b.refuse("PLG-10/unasked-check", "a check that was not asked is answered", "plugin", "plugin-failed", run(named(), m(identityCheck), results(nil, identityCheck, revocationCheck)))
	b.refuse("PLG-10/unasked-attribute", "an attribute that was not asked is processed", "plugin", "plugin-failed", run(named(), m(identityCheck), results([]string{"com.example.other"}, identityCheck)))
	b.refuse("PLG-10/identity-refused", "the plugin does not trust the identity", "authenticity|plugin", "untrusted|plugin-failed", run(named(), m(identityCheck), results(nil, identityCheck+"!")))
	b.refuse("PLG-10/revoked", "the plugin says revoked", "revocation|plugin", "revoked|plugin-failed", run(named(), m(revocationCheck), results(nil, revocationCheck+"!")))
	s := run(named(), m(revocationCheck), results(nil, revocationCheck+"!"))
	s.level = "permissive"
	b.accept("PLG-10/revoked-but-logged", "the plugin says revoked, and the level only logs it", s)

	s = run(named(), m(identityCheck), results(nil, identityCheck))
	withCritical := s.jws
	s.jws = func(d *jwsDraft) {
		withCritical(d)
		d.protected = append(d.protected, member{"com.example.uncritical", quote("x")})
	}
	b.accept("PLG-10/uncritical-attribute-unprocessed", "an attribute that is not critical is not processed", s)
	s = run(withPlugin("cose", true, pluginAttr, "example"), m(identityCheck), results(nil, identityCheck))
	withNames := s.cose
	s.cose = func(d *coseDraft) {
		withNames(d)
		d.protected = append(d.protected, item{100, "x"})
		d.protected = putItem(d.protected, 2, []any{attrBase + "signingScheme", pluginAttr, 100})
	}
	b.refuse("PLG-10/integer-label-unprocessed", "a critical attribute with an integer label is not processed", "plugin", "plugin-failed|verifier-too-old", s, "ATT-08")
	s = run(named(attr1, "x"), m(revocationCheck), results(nil))
	s.override = `{"revocation":"skip"}`
	b.refuse("ATT-08/plugin-is-not-asked", "a critical attribute for a plugin that can only check revocation, which is skipped: nobody processes it", "plugin", "plugin-failed|verifier-too-old", s, "ATT-15", "PLG-10")

	b.accept("PLG-11/store-and-plugin", "the chain is anchored and the plugin agrees", run(named(), m(identityCheck), results(nil, identityCheck)))
	s = run(named(), m(identityCheck, revocationCheck), results(nil, identityCheck, revocationCheck))
	s.chain = []*cert{strangerLeaf, strangerRoot}
	b.refuse("PLG-11/untrusted-root", "the plugin agrees, the root is in no store", "authenticity", "untrusted", s, "VER-03")
	s = run(named(), m(identityCheck), results(nil, identityCheck))
	inner := s.jws
	s.jws = func(d *jwsDraft) {
		inner(d)
		d.sign = func(in []byte) []byte { sig := d.key.raw(d.hash, in); sig[5] ^= 1; return sig }
	}
	b.refuse("PLG-11/broken-signature", "the plugin agrees, the signature is wrong", "integrity", tampered, s, "JWS-09", "VER-01")
}

// signPluginInput is a signing plugin: a key, a chain, and what the plugin does
// wrong. The plugin has to be played by a process, since what it signs is made
// at the time of signing.
type signPluginInput struct {
	Command string   `json:"command"` // "generate-signature" or "generate-envelope"
	Key     []byte   `json:"key"`     // PKCS #8
	Chain   [][]byte `json:"chain"`
	// Fault is what is wrong with the answer; empty: nothing.
	Fault        string            `json:"fault,omitempty"`
	UserMetadata map[string]string `json:"userMetadata,omitempty"`
}

func signPluginCases(b *book) {
	in := func(command, fault string, chain []*cert) signPluginInput {
		return signPluginInput{Command: command, Key: must(x509.MarshalPKCS8PrivateKey(leaf.key.Signer)), Chain: der(chain), Fault: fault,
			UserMetadata: map[string]string{"io.example.build": "7"}}
	}
	wrong := under(newLeaf("codeSigning", "Leaf", func(s *spec) { s.KeyUsage |= x509.KeyUsageKeyEncipherment }), issuing, rootCA)
	for row, command := range map[string]string{"PLG-06": "generate-signature", "PLG-07": "generate-envelope"} {
		ok := func(id, title, fault string) {
			b.add(&vector{ID: row + "/" + id, Title: title, Kind: "signplugin", Valid: true, Input: in(command, fault, chainOf("p256"))})
		}
		no := func(id, title, fault string, chain []*cert, rows ...string) {
			b.add(&vector{ID: row + "/" + id, Title: title, Kind: "signplugin", Input: in(command, fault, chain), Expect: &expect{Rows: rows}})
		}
		ok("good", "an answer as it should be", "")
		no("broken-signature", "one bit of the signature is wrong", "broken-signature", chainOf("p256"), "JWS-09")
		no("another-chain", "the chain of another key", "", []*cert{strangerLeaf, strangerRoot}, "JWS-09")
		no("wrong-key-usage", "a leaf that may encipher keys", "", wrong, "CERT-06", "CERT-01")
		no("no-root", "a chain without its root", "", chainOf("p256")[:2], "CERT-10", "CERT-11")
		no("no-chain", "no chain", "", nil, "CERT-10", "JWS-07", "ATT-10")
		if command == "generate-signature" {
			no("other-key-id", "the answer is of another key", "other-key-id", chainOf("p256"))
			no("other-algorithm", "the answer names another algorithm", "other-algorithm", chainOf("p256"), "ALG-02")
			no("other-payload", "the plugin signed something else", "other-payload", chainOf("p256"), "JWS-09")
			continue
		}
		ok("annotation-added", "the plugin adds an annotation to the payload", "annotation-added")
		no("other-type", "the answer is of another envelope type", "other-type", chainOf("p256"))
		no("other-digest", "the payload names another digest", "other-digest", chainOf("p256"))
		no("annotation-replaced", "an annotation of the payload has another value", "annotation-replaced", chainOf("p256"))
		no("annotation-removed", "an annotation of the payload is gone", "annotation-removed", chainOf("p256"))
		no("other-content-type", "another payload content type", "other-content-type", chainOf("p256"), "JWS-04", "ATT-07", "PAY-01")
	}
}
