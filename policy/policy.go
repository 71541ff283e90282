// Package policy holds Notary Project trust policy documents 1.0, OCI and blob
// (trust-store-trust-policy.md, "Trust Policy"): parse, validate, pick the
// statement that applies. It verifies nothing and reads no disk.
package policy

import (
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/trust"
)

// Document is a valid trust policy document. Make one with [ParseOCI] or [ParseBlob].
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
}

// VerifyTimestamp says when a timestamp is verified (TP-06).
type VerifyTimestamp string

// The values; an absent one reads as Always.
const (
	Always          VerifyTimestamp = "always"
	AfterCertExpiry VerifyTimestamp = "afterCertExpiry"
)

// Action is what a failed check does. Zero is invalid.
type Action uint8

// The actions.
const (
	Enforce Action = iota + 1
	Log
	Skip
)

// Level is a verification level with its overrides.
type Level struct {
	Name    string // strict, permissive, audit, skip: as written
	Actions map[shuin.CheckName]Action
}

// Skip reports whether the level is skip: nothing is verified.
func (l Level) Skip() bool { return l.Name == "skip" }

// Action is what a failure of check does: Enforce when the level does not know it.
func (l Level) Action(check shuin.CheckName) Action {
	if a, ok := l.Actions[check]; ok {
		return a
	}
	return Enforce
}

// ParseOCI reads trustpolicy.oci.json (or the older trustpolicy.json).
// Case-sensitive, no duplicate names; all faults are reported at once.
func ParseOCI(data []byte) (*Document, error) { panic("unimplemented") }

// ParseBlob reads trustpolicy.blob.json.
func ParseBlob(data []byte) (*Document, error) { panic("unimplemented") }

// Select picks the one statement for a repository ("registry/repository"):
// exact match first, then the global statement (TP-09). scope is the value
// that matched. The error has code shuin.CodeNoPolicy.
func (d *Document) Select(repository string) (s *Statement, scope string, err error) {
	panic("unimplemented")
}
