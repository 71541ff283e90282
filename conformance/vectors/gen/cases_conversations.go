package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Conversations are inputs that come in several pieces: a directory, the pages
// of an answer, a timestamping authority.

// policyFilesInput is a configuration directory and the statement that applies.
type policyFilesInput struct {
	Files     map[string]fsEntry `json:"files"`
	Statement string             `json:"statement,omitempty"`
}

func policyFileCases(b *book) {
	file := func(name string) fsEntry { return fsEntry{Content: []byte(document(st(name, "*")))} }
	blob := fsEntry{Content: []byte(document(`{"name":"blob","globalPolicy":true,"signatureVerification":{"level":"strict"},"trustStores":["ca:a"],"trustedIdentities":["*"]}`))}
	ok := func(id, title string, files map[string]fsEntry, name string) {
		b.add(&vector{ID: id, Title: title, Kind: "policyfiles", Valid: true, Input: policyFilesInput{files, name}})
	}
	no := func(id, title string, files map[string]fsEntry) {
		b.add(&vector{ID: id, Title: title, Kind: "policyfiles", Input: policyFilesInput{Files: files}, Expect: &expect{Codes: []string{"no-applicable-policy", "invalid-input"}}})
	}
	ok("TP-03/oci", "trustpolicy.oci.json", map[string]fsEntry{"trustpolicy.oci.json": file("oci")}, "oci")
	ok("TP-03/legacy", "trustpolicy.json alone", map[string]fsEntry{"trustpolicy.json": file("legacy")}, "legacy")
	ok("TP-03/both", "trustpolicy.oci.json goes before trustpolicy.json", map[string]fsEntry{"trustpolicy.oci.json": file("oci"), "trustpolicy.json": file("legacy")}, "oci")
	no("TP-03/neither", "no trust policy file", map[string]fsEntry{"config.json": {Content: []byte("{}")}})
	no("TP-03/blob-only", "trustpolicy.blob.json is not for images", map[string]fsEntry{"trustpolicy.blob.json": blob})
	no("TP-03/broken-oci", "a broken trustpolicy.oci.json is not passed over for trustpolicy.json", map[string]fsEntry{"trustpolicy.oci.json": {Content: []byte("{")}, "trustpolicy.json": file("legacy")})
}

// referrersInput is a registry's answer about the referrers of artifact.
type referrersInput struct {
	Artifact descriptor `json:"artifact"`
	Pages    []string   `json:"pages"`
	// Filtered: the registry says that it applied the artifactType filter.
	Filtered bool `json:"filtered"`
	// Endless: each page links to a next one.
	Endless bool `json:"endless,omitempty"`
	// ContentType of the answer; empty: that of an OCI index.
	ContentType string `json:"contentType,omitempty"`
	// Signatures are the digests of the signature manifests to be found.
	Signatures []string `json:"signatures,omitempty"`
}

func referrersCases(b *book) {
	entry := func(n int, artifactType string) (string, string) {
		sum := sha256.Sum256([]byte(fmt.Sprint("referrer ", n)))
		d := "sha256:" + hex.EncodeToString(sum[:])
		return object([]member{{"mediaType", quote(manifestType)}, {"digest", quote(d)}, {"size", "700"}, {"artifactType", quote(artifactType)}}), d
	}
	page := func(entries ...string) string {
		return object([]member{{"schemaVersion", "2"}, {"mediaType", quote("application/vnd.oci.image.index.v1+json")}, {"manifests", "[" + strings.Join(entries, ",") + "]"}})
	}
	one, d1 := entry(1, sigType)
	two, d2 := entry(2, sigType)
	sbom, _ := entry(3, "application/spdx+json")
	ok := func(id, title string, in referrersInput) {
		in.Artifact = artifact
		b.add(&vector{ID: id, Title: title, Kind: "referrers", Valid: true, Input: in})
	}
	no := func(id, title string, in referrersInput) {
		in.Artifact = artifact
		b.add(&vector{ID: id, Title: title, Kind: "referrers", Input: in, Expect: &expect{Codes: []string{"malformed-answer", "limit-exceeded"}}})
	}
	ok("OCI-08/one-page", "one page", referrersInput{Pages: []string{page(one, two)}, Filtered: true, Signatures: []string{d1, d2}})
	ok("OCI-08/two-pages", "two pages", referrersInput{Pages: []string{page(one), page(two)}, Filtered: true, Signatures: []string{d1, d2}})
	ok("OCI-08/unfiltered", "a registry that does not filter: the client does", referrersInput{Pages: []string{page(sbom, one), page(two)}, Signatures: []string{d1, d2}})
	ok("OCI-08/none", "no referrers", referrersInput{Pages: []string{page()}, Filtered: true})
	no("OCI-08/endless", "every page links to a next one", referrersInput{Pages: []string{page(one)}, Filtered: true, Endless: true})
	no("OCI-08/not-an-index", "an answer that is no JSON", referrersInput{Pages: []string{"<html>"}, Filtered: true})
	no("OCI-08/broken-digest", "a descriptor with a malformed digest", referrersInput{Pages: []string{strings.Replace(page(one), d1, "sha256:zz", 1)}, Filtered: true})
}

// timestampingInput is an authority asked for a timestamp while signing, and
// what is wrong with its answer. It has to be played by a process, since the
// signature is made at the time of signing.
type timestampingInput struct {
	Fault string `json:"fault,omitempty"`
}

func timestampingCases(b *book) {
	in := func(fault string) timestampingInput { return timestampingInput{fault} }
	b.add(&vector{ID: "TSA-01/good", Title: "a good answer", Kind: "timestamping", Valid: true, Input: in("")})
	for fault, title := range map[string]string{
		"other-imprint":      "a token over something else",
		"rejected":           "the authority rejects the request",
		"other-nonce":        "an answer to another request",
		"broken-signature":   "a token with a broken signature",
		"no-certificates":    "a token without certificates, although they were asked for",
		"untrusted":          "an authority whose root is not trusted",
		"wrong-hash":         "an imprint with another hash than the request's",
		"not-found":          "the authority answers 404",
		"not-a-response":     "the answer is no TimeStampResp",
		"no-signing-cert-v2": "a token without signing-certificate-v2",
	} {
		b.add(&vector{ID: "TSA-01/" + fault, Title: title, Kind: "timestamping", Input: in(fault),
			Expect: &expect{Rows: []string{"TSA-03", "ATT-11"}, Codes: []string{"malformed-answer", "registry-unavailable", "tampered", "untrusted"}}})
	}
}
