package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// SyntaxError says that a document is no JSON of a trust policy's form: broken
// JSON, a name twice, an unknown name, a value of the wrong kind.
type SyntaxError struct{ Err error }

func (e *SyntaxError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// ValidationError holds every rule a document breaks, in document order.
type ValidationError struct{ Faults []error }

// Error is one fault per line.
func (e *ValidationError) Error() string { return errors.Join(e.Faults...).Error() }

// Unwrap returns the faults.
func (e *ValidationError) Unwrap() []error { return e.Faults }

// kind is what the statements of a document are about.
type kind string

const (
	oci  kind = "oci"
	blob kind = "blob"
)

// document and statement are the JSON form. A name of the other kind of
// document (registryScopes in a blob document, globalPolicy in an OCI one) is
// read and ignored, since people use one file for both; any other unknown name
// is refused.
type document struct {
	Version    string      `json:"version"`
	Statements []statement `json:"trustPolicies"`
}

type statement struct {
	Name              string       `json:"name"`
	RegistryScopes    []string     `json:"registryScopes"`
	GlobalPolicy      bool         `json:"globalPolicy"`
	Verification      verification `json:"signatureVerification"`
	TrustStores       []string     `json:"trustStores"`
	TrustedIdentities []string     `json:"trustedIdentities"`
}

type verification struct {
	Level           string            `json:"level"`
	Override        map[string]string `json:"override"`
	VerifyTimestamp string            `json:"verifyTimestamp"`
}

// ParseOCI reads trustpolicy.oci.json (or the older trustpolicy.json), version
// 1.0, at most limits.PolicyBytes. Names are case-sensitive, and a name twice
// or an unknown one is refused. The error is a [*SyntaxError] or a
// [*ValidationError]; the latter reports all faults at once.
func ParseOCI(data []byte) (*Document, error) { return Parser{}.ParseOCI(data) }

// ParseBlob reads trustpolicy.blob.json, as [ParseOCI] does.
func ParseBlob(data []byte) (*Document, error) { return Parser{}.ParseBlob(data) }

// Parser reads trust policy documents; its zero value takes none that breaks a
// rule.
type Parser struct {
	// AllowSkipOfEverything takes a statement of level skip for all artifacts:
	// the scope "*" of an OCI document, the global policy of a blob document.
	// The specification forbids both (TP-10, TP-11), and notation takes them.
	AllowSkipOfEverything bool
}

// ParseOCI is [ParseOCI] with what p allows.
func (p Parser) ParseOCI(data []byte) (*Document, error) { return p.parse(data, oci) }

// ParseBlob is [ParseBlob] with what p allows.
func (p Parser) ParseBlob(data []byte) (*Document, error) { return p.parse(data, blob) }

func (p Parser) parse(data []byte, k kind) (*Document, error) {
	if len(data) > limits.PolicyBytes {
		return nil, &SyntaxError{fmt.Errorf("trust policy document is larger than %d bytes", limits.PolicyBytes)}
	}
	var doc document
	err := json.Unmarshal(data, &doc, json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false))
	if err != nil {
		return nil, &SyntaxError{err}
	}
	return p.validate(&doc, k)
}

// faults collects what is wrong with a document.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// validate checks the rules TP-01 to TP-12 and TI-01 to TI-04.
func (p Parser) validate(doc *document, k kind) (*Document, error) {
	var f faults
	if doc.Version == "" {
		f.add("%s trust policy document has empty version, version must be specified", k)
	} else if doc.Version != Version { // TP-01
		f.add("%s trust policy document uses unsupported version %q", k, doc.Version)
		return nil, &ValidationError{f}
	}
	if len(doc.Statements) == 0 {
		f.add("%s trust policy document can not have zero trust policy statements", k)
	}
	out := &Document{Version: doc.Version, Statements: make([]Statement, 0, len(doc.Statements))}
	names := make(map[string]bool, len(doc.Statements))
	for i := range doc.Statements {
		s := &doc.Statements[i]
		if s.Name != "" && names[s.Name] {
			f.add("multiple %s trust policy statements use the same name %q, statement names must be unique", k, s.Name)
		}
		names[s.Name] = true
		out.Statements = append(out.Statements, validateStatement(s, k, &f))
	}
	if k == oci {
		p.validateScopes(doc, &f)
	} else {
		p.validateGlobal(doc, &f)
	}
	if len(f) > 0 {
		return nil, &ValidationError{f}
	}
	return out, nil
}

// validateStatement checks the rules of one statement (TP-02, TP-04 to TP-06, TI-01 to TI-04).
func validateStatement(s *statement, k kind, f *faults) Statement {
	out := Statement{Name: s.Name, VerifyTimestamp: Always}
	add := func(format string, args ...any) {
		f.add("%s trust policy: trust policy statement %q "+format, append([]any{k, s.Name}, args...)...)
	}
	if s.Name == "" { // TP-02
		f.add("%s trust policy: a trust policy statement is missing a name, every statement requires a name", k)
	}
	level, err := NewLevel(s.Verification.Level, s.Verification.Override)
	if err != nil {
		add("has invalid signatureVerification: %w", err)
	}
	out.Level = level
	switch v := VerifyTimestamp(s.Verification.VerifyTimestamp); v { // TP-06
	case "":
	case Always, AfterCertExpiry:
		out.VerifyTimestamp = v
	default:
		add("has invalid signatureVerification: verifyTimestamp must be %q or %q, but got %q", Always, AfterCertExpiry, v)
	}
	if k == oci {
		out.RegistryScopes = slices.Clone(s.RegistryScopes)
	} else {
		out.GlobalPolicy = s.GlobalPolicy
	}
	if s.Verification.Level == LevelSkip { // TP-02: a skipping statement trusts nobody
		if len(s.TrustStores) > 0 || len(s.TrustedIdentities) > 0 {
			add("is set to skip signature verification but configured with trust stores and/or trusted identities, remove them if signature verification needs to be skipped")
		}
		return out
	}
	if len(s.TrustStores) == 0 || len(s.TrustedIdentities) == 0 {
		add("is either missing trust stores or trusted identities, both must be specified")
	}
	out.TrustStores = parseStores(s.TrustStores, add)
	out.TrustedIdentities = parseIdentities(s.TrustedIdentities, add)
	return out
}

// parseStores reads trustStores. A name twice is kept once.
func parseStores(values []string, add func(string, ...any)) []trust.StoreName {
	var out []trust.StoreName
	for _, v := range values {
		n, err := trust.ParseStoreName(v)
		switch {
		case errors.Is(err, trust.ErrMalformedStoreName):
			add("has %w", err)
		case err != nil:
			add("uses %w", err)
		case !slices.Contains(out, n):
			out = append(out, n)
		}
	}
	return out
}

// parseIdentities reads trustedIdentities (TI-01 to TI-04).
func parseIdentities(values []string, add func(string, ...any)) []trust.Identity {
	if len(values) > 1 && slices.Contains(values, trust.PrefixAny) { // TI-01
		add("uses a wildcard trusted identity '*', a wildcard identity cannot be used in conjunction with other values")
	}
	var out []trust.Identity
	for _, v := range values {
		id, err := trust.ParseIdentity(v)
		if err != nil {
			add("has %w", err)
			continue
		}
		for _, o := range out { // TI-03: the whole policy is invalid
			wide, narrow := o, id
			if !wide.Covers(narrow) {
				wide, narrow = id, o
			}
			if wide.Covers(narrow) {
				add("has overlapping x509 trustedIdentities, %q overlaps with %q", wide.String(), narrow.String())
			}
		}
		out = append(out, id)
	}
	return out
}

// validateScopes checks registryScopes (TP-02, TP-07, TP-10).
func (p Parser) validateScopes(doc *document, f *faults) {
	count := make(map[string]int)
	for i := range doc.Statements {
		s := &doc.Statements[i]
		if len(s.RegistryScopes) == 0 {
			f.add("oci trust policy statement %q has zero registry scopes, it must specify registry scopes with at least one value", s.Name)
		}
		global := slices.Contains(s.RegistryScopes, GlobalScope)
		if global && len(s.RegistryScopes) > 1 {
			f.add("oci trust policy statement %q uses wildcard registry scope '*', a wildcard scope cannot be used in conjunction with other scope values", s.Name)
		}
		if global && s.Verification.Level == LevelSkip && !p.AllowSkipOfEverything { // TP-10
			f.add("oci trust policy statement %q uses wildcard registry scope '*' with verification level %q, which would accept every artifact; list the repositories whose verification may be skipped", s.Name, LevelSkip)
		}
		for _, scope := range s.RegistryScopes {
			if err := checkScope(scope); err != nil {
				*f = append(*f, err)
			}
			count[scope]++
			if count[scope] == 2 {
				f.add("registry scope %q is present in multiple oci trust policy statements, one registry scope value can only be associated with one statement", scope)
			}
		}
	}
}

// checkScope checks that scope is "*" or a full repository name, as the OCI
// distribution specification spells one (TP-07, TP-08).
func checkScope(scope string) error {
	const ensure = "make sure it is a fully qualified repository without the scheme, protocol or tag. For example domain.com/my/repository or a local scope like local/myOCILayout"
	if scope == GlobalScope {
		return nil
	}
	if strings.Contains(scope, "*") {
		return fmt.Errorf("registry scope %q with wild card(s) is not valid, %s", scope, ensure)
	}
	host, repository, _ := strings.Cut(scope, "/")
	if !validHost(host) || !shuin.ValidRepository(repository) {
		return fmt.Errorf("registry scope %q is not valid, %s", scope, ensure)
	}
	return nil
}

// validateGlobal checks globalPolicy of a blob document (TP-11).
func (p Parser) validateGlobal(doc *document, f *faults) {
	global := 0
	for i := range doc.Statements {
		s := &doc.Statements[i]
		if !s.GlobalPolicy {
			continue
		}
		if global++; global == 2 {
			f.add("multiple blob trust policy statements have globalPolicy set to true. Only one trust policy statement can be marked as global policy")
		}
		if s.Verification.Level == LevelSkip && !p.AllowSkipOfEverything {
			f.add("blob trust policy statement %q: global blob trust policy statement cannot have verification level set to skip", s.Name)
		}
	}
}

const hostBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

// validHost reports whether s is a host name with an optional port.
func validHost(s string) bool {
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, hostBytes) != "" {
			return false
		}
	}
	return true
}
