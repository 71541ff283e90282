package main

import (
	"strings"

	"github.com/shuin/shuin/internal/notationdir"
)

// trustPolicyKind is what differs between "policy" and "blob policy": notation
// has its own words for each.
type trustPolicyKind struct {
	kind    notationdir.PolicyKind
	name    string // "OCI" or "blob"
	command string // that manages it
	file    string // its name in the configuration directory

	argument  string // what "import" wants
	toRead    string // what "import" cannot read
	missing   string // what "show" says where there is none
	toShow    string // what "show" cannot show
	example   string // where one is explained
	anExample string
}

const policySpecification = "https://github.com/notaryproject/specifications/blob/8cf800c60b7315a43f0adbcae463d848a353b412/specs/trust-store-trust-policy.md"

var (
	ociPolicy = trustPolicyKind{
		kind: notationdir.OCIPolicy, name: "OCI", command: "policy", file: "trustpolicy.oci.json",
		argument: "file", toRead: "OCI trust policy configuration", missing: "OCI trust policy as it does not exist", toShow: "OCI trust policy",
		example: policySpecification + "#trust-policy-for-oci-artifacts", anExample: "trust policy",
	}
	blobPolicy = trustPolicyKind{
		kind: notationdir.BlobPolicy, name: "blob", command: "blob policy", file: "trustpolicy.blob.json",
		argument: "configuration", toRead: "blob trust policy file", missing: "blob trust policy as the configuration does not exist", toShow: "trust policy",
		example: policySpecification + "#trust-policy-for-blobs", anExample: "blob trust policy",
	}
)

// fill puts the kind into a help text: FILE and COMMAND stand for its own.
func (k *trustPolicyKind) fill(text string) string {
	return strings.NewReplacer("FILE", k.file, "COMMAND", k.command).Replace(text)
}
