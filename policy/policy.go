// Package policy holds Notary Project trust policy documents 1.0, OCI and blob
// (trust-store-trust-policy.md, "Trust Policy"): parse, validate, pick the
// statement that applies. It verifies nothing, loads no trust store and reads
// no disk.
package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/trust"
)

// Version is the one version of trust policy documents (TP-01).
const Version = "1.0"

// GlobalScope is the registry scope that applies to every repository.
const GlobalScope = "*"

// Help is where the specification's authors explain how to write a trust policy.
const Help = "https://notaryproject.dev/docs/quickstart/#create-a-trust-policy"

// Document is a valid trust policy document. Make one with [ParseOCI] or
// [ParseBlob]; it is not to be changed after that, and then safe for
// concurrent use.
type Document struct {
	Version    string
	Statements []Statement
}

// Statement is one trust policy of a document.
type Statement struct {
	Name              string
	RegistryScopes    []string // OCI documents
	GlobalPolicy      bool     // blob documents
	Level             Level    // with overrides applied
	VerifyTimestamp   VerifyTimestamp
	TrustStores       []trust.StoreName
	TrustedIdentities []trust.Identity

	// SigningProfiles: the trusted identities are ARNs of signing profiles, and
	// match a signature that names no verification plugin too, by the URI in
	// its certificate (the standard profiles of a Shuin signer), under a
	// signing authority's store alone. Pipeline policies set it. False, as in
	// every trust policy document: an ARN is left to the plugin that a
	// signature names, and without one it matches nothing.
	SigningProfiles bool
}

// StoresOf are the names of the statement's stores of type t, in order.
func (s *Statement) StoresOf(t trust.StoreType) []trust.StoreName {
	var names []trust.StoreName
	for _, n := range s.TrustStores {
		if n.Type == t {
			names = append(names, n)
		}
	}
	return names
}

// VerifyTimestamp says when a timestamp is verified (TP-06).
type VerifyTimestamp string

// The values; an absent one reads as Always.
const (
	Always          VerifyTimestamp = "always"
	AfterCertExpiry VerifyTimestamp = "afterCertExpiry"
)

// Select picks the one statement of an OCI document for a repository
// ("registry/repository"): exact match first, then the global statement
// (TP-09). Nothing is expanded (TP-08): "x" never matches
// "docker.io/library/x". scope is the value that matched. An "@digest" after
// the repository changes the error's text alone. The error has code
// [shuin.CodeNoPolicy]. The statement belongs to the document.
func (d *Document) Select(repository string) (s *Statement, scope string, err error) {
	name := withoutDigest(repository)
	var global *Statement
	for i := range d.Statements {
		st := &d.Statements[i]
		if name != GlobalScope && slices.Contains(st.RegistryScopes, name) {
			return st, name, nil
		}
		if global == nil && slices.Contains(st.RegistryScopes, GlobalScope) {
			global = st
		}
	}
	if global != nil {
		return global, GlobalScope, nil
	}
	return nil, "", &shuin.Error{
		Code: shuin.CodeNoPolicy,
		Message: fmt.Sprintf("artifact %q has no applicable oci trust policy statement. "+
			"Trust policy applicability for a given artifact is determined by registryScopes. To create a trust policy, see: %s", repository, Help),
		Hint: fmt.Sprintf("add %q to the registryScopes of a statement; scopes match the whole repository name, nothing is expanded", name),
	}
}

// withoutDigest cuts "@algorithm:hex" off a name.
func withoutDigest(name string) string {
	i := strings.LastIndexByte(name, '@')
	if i < 0 || digest.Digest(name[i+1:]).Validate() != nil {
		return name
	}
	return name[:i]
}

// SelectBlob picks the statement of a blob document: the one with that exact
// name, or with an empty name the global one (TP-12). The error has code
// [shuin.CodeNoPolicy]. The statement belongs to the document.
func (d *Document) SelectBlob(name string) (*Statement, error) {
	for i := range d.Statements {
		st := &d.Statements[i]
		if name == "" && st.GlobalPolicy || name != "" && st.Name == name {
			return st, nil
		}
	}
	if name == "" {
		return nil, &shuin.Error{Code: shuin.CodeNoPolicy, Message: "no global blob trust policy",
			Hint: "name a policy, or set globalPolicy to true in one statement"}
	}
	return nil, &shuin.Error{Code: shuin.CodeNoPolicy,
		Message: fmt.Sprintf("no applicable blob trust policy with name %q", name),
		Hint:    "names are compared exactly; \"blob policy show\" lists the statements"}
}
