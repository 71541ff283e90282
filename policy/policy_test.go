package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// ociDoc is a document with these statements; stmt makes a valid one that a
// case changes by replacing text.
func ociDoc(statements ...string) string {
	return `{"version": "1.0", "trustPolicies": [` + strings.Join(statements, ",") + `]}`
}

const stmt = `{"name": "a", "registryScopes": ["registry.acme.io/app"], "signatureVerification": {"level": "strict"},
	"trustStores": ["ca:acme"], "trustedIdentities": ["x509.subject: C=US, ST=WA, O=acme"]}`

const blobStmt = `{"name": "a", "globalPolicy": true, "signatureVerification": {"level": "strict"},
	"trustStores": ["ca:acme"], "trustedIdentities": ["*"]}`

const skipStmt = `{"name": "s", "registryScopes": ["registry.acme.io/skipped"], "signatureVerification": {"level": "skip"}}`

// change replaces text that must be there.
func change(t *testing.T, s string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, pairs[i]) {
			t.Fatalf("%q is not in %s", pairs[i], s)
		}
		s = strings.Replace(s, pairs[i], pairs[i+1], 1)
	}
	return s
}

func TestParseOCI(t *testing.T) {
	second := change(t, stmt, `"a"`, `"b"`, "acme.io/app", "acme.io/other")
	tests := []struct {
		name string
		doc  string
		want string // the whole error; empty: none
	}{
		{"TP-01 version 1.0", ociDoc(stmt), ""},
		{"TP-01 another version", change(t, ociDoc(stmt), "1.0", "1.1"), `oci trust policy document uses unsupported version "1.1"`},
		{"TP-01 version with a v", change(t, ociDoc(stmt), "1.0", "v1.0"), `oci trust policy document uses unsupported version "v1.0"`},
		{"TP-01 no version", change(t, ociDoc(stmt), `"version": "1.0", `, ""), "oci trust policy document has empty version, version must be specified"},
		{"TP-02 no statement", ociDoc(), "oci trust policy document can not have zero trust policy statements"},
		{"TP-02 two statements", ociDoc(stmt, second), ""},
		{"TP-02 no name", ociDoc(change(t, stmt, `"name": "a", `, "")), "oci trust policy: a trust policy statement is missing a name, every statement requires a name"},
		{"TP-02 same name twice", ociDoc(stmt, change(t, second, `"b"`, `"a"`)), `multiple oci trust policy statements use the same name "a", statement names must be unique`},
		{"TP-02 no level", ociDoc(change(t, stmt, `{"level": "strict"}`, `{}`)), `oci trust policy: trust policy statement "a" has invalid signatureVerification: signature verification level is empty or missing in the trust policy statement`},
		{"TP-02 no trust stores", ociDoc(change(t, stmt, `["ca:acme"]`, `[]`)), `oci trust policy: trust policy statement "a" is either missing trust stores or trusted identities, both must be specified`},
		{"TP-02 no identities", ociDoc(change(t, stmt, `["x509.subject: C=US, ST=WA, O=acme"]`, `null`)), `oci trust policy: trust policy statement "a" is either missing trust stores or trusted identities, both must be specified`},
		{"TP-02 skip needs neither", ociDoc(skipStmt), ""},
		{"TP-02 skip with trust stores", ociDoc(change(t, skipStmt, `"signatureVerification"`, `"trustStores": ["ca:acme"], "signatureVerification"`)), `oci trust policy: trust policy statement "s" is set to skip signature verification but configured with trust stores and/or trusted identities, remove them if signature verification needs to be skipped`},
		{"TP-02 trust store without a type", ociDoc(change(t, stmt, "ca:acme", "acme")), `oci trust policy: trust policy statement "a" has malformed trust store value "acme". The required format is <TrustStoreType>:<TrustStoreName>`},
		{"TP-02 trust store of an unknown type", ociDoc(change(t, stmt, "ca:acme", "cA:acme")), `oci trust policy: trust policy statement "a" uses an unsupported trust store type "cA" in trust store value "cA:acme"`},
		{"TP-02 trust store that leads out", ociDoc(change(t, stmt, "ca:acme", "ca:..")), `oci trust policy: trust policy statement "a" uses an unsupported trust store name ".." in trust store value "ca:..". Named store name needs to follow [a-zA-Z0-9_.-]+ format`},
		{"TP-04 unknown level", ociDoc(change(t, stmt, "strict", "Strict")), `oci trust policy: trust policy statement "a" has invalid signatureVerification: invalid signature verification level "Strict"`},
		{"TP-05 integrity cannot be overridden", ociDoc(change(t, stmt, `"strict"`, `"strict", "override": {"integrity": "enforce"}`)), `oci trust policy: trust policy statement "a" has invalid signatureVerification: "integrity" verification can not be overridden in custom signature verification`},
		{"TP-06 verifyTimestamp always", ociDoc(change(t, stmt, `"strict"`, `"strict", "verifyTimestamp": "always"`, "ca:acme", `ca:acme", "tsa:t`)), ""},
		{"TP-06 verifyTimestamp unknown", ociDoc(change(t, stmt, `"strict"`, `"strict", "verifyTimestamp": "never"`)), `oci trust policy: trust policy statement "a" has invalid signatureVerification: verifyTimestamp must be "always" or "afterCertExpiry", but got "never"`},
		{"TP-07 no scope", ociDoc(change(t, stmt, `"registryScopes": ["registry.acme.io/app"], `, "")), `oci trust policy statement "a" has zero registry scopes, it must specify registry scopes with at least one value`},
		{"TP-07 several scopes", ociDoc(change(t, stmt, `registry.acme.io/app"`, `registry.acme.io/app", "localhost:5000/x/y__z--w.v"`)), ""},
		{"TP-07 global scope", ociDoc(change(t, stmt, "registry.acme.io/app", "*")), ""},
		{"TP-07 global scope beside another", ociDoc(change(t, stmt, `registry.acme.io/app"`, `*", "registry.acme.io/app"`)), `oci trust policy statement "a" uses wildcard registry scope '*', a wildcard scope cannot be used in conjunction with other scope values`},
		{"TP-07 wildcard inside a scope", ociDoc(change(t, stmt, "acme.io/app", "acme.io/*")), `registry scope "registry.acme.io/*" with wild card(s) is not valid, make sure it is a fully qualified repository without the scheme, protocol or tag. For example domain.com/my/repository or a local scope like local/myOCILayout`},
		{"TP-07 two global statements", ociDoc(change(t, stmt, "registry.acme.io/app", "*"), change(t, second, "registry.acme.io/other", "*")), `registry scope "*" is present in multiple oci trust policy statements, one registry scope value can only be associated with one statement`},
		{"TP-09 a scope in two statements", ociDoc(stmt, change(t, second, "acme.io/other", "acme.io/app")), `registry scope "registry.acme.io/app" is present in multiple oci trust policy statements, one registry scope value can only be associated with one statement`},
		{"TP-10 skip with the global scope", ociDoc(change(t, skipStmt, "registry.acme.io/skipped", "*")), `oci trust policy statement "s" uses wildcard registry scope '*' with verification level "skip", which would accept every artifact; list the repositories whose verification may be skipped`},
		{"TI-01 wildcard identity", ociDoc(change(t, stmt, "x509.subject: C=US, ST=WA, O=acme", "*")), ""},
		{"TI-01 wildcard identity beside another", ociDoc(change(t, stmt, `["x509`, `["*", "x509`)), `oci trust policy: trust policy statement "a" uses a wildcard trusted identity '*', a wildcard identity cannot be used in conjunction with other values`},
		{"TI-01 identity of a plugin", ociDoc(change(t, stmt, "x509.subject: C=US, ST=WA, O=acme", "com.acme.id:x")), ""},
		{"TI-01 identity of a signing profile", ociDoc(change(t, stmt, "x509.subject: C=US, ST=WA, O=acme", "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build", "ca:acme", "signingAuthority:aws-signer-ts")), ""},
		{"TI-01 identities of a signing profile version, in another spelling, and of a subject", ociDoc(change(t, stmt, `["x509`, `["arn:aws:signer:us-west-2:111122223333:signing-profile/build/aB3dEf7h9J", "x509`)), ""},
		{"TI-02 empty identity", ociDoc(change(t, stmt, "x509.subject: C=US, ST=WA, O=acme", "")), `oci trust policy: trust policy statement "a" has an empty trusted identity`},
		{"TI-02 identity without a prefix", ociDoc(change(t, stmt, "x509.subject: C=", "x509.subject C=")), `oci trust policy: trust policy statement "a" has trusted identity "x509.subject C=US, ST=WA, O=acme" missing separator`},
		{"TI-02 identity without a value", ociDoc(change(t, stmt, "x509.subject: C=US, ST=WA, O=acme", "x509.subject:")), `oci trust policy: trust policy statement "a" has trusted identity "x509.subject:" without an identity value`},
		{"TI-02 identity without O", ociDoc(change(t, stmt, ", O=acme", "")), `oci trust policy: trust policy statement "a" has trusted identity "x509.subject: C=US, ST=WA" with invalid identity value: distinguished name (DN) " C=US, ST=WA" has no mandatory RDN attribute for "O", it must contain 'C', 'ST' or 'S', and 'O' RDN attributes at a minimum`},
		{"TI-03 overlapping identities", ociDoc(change(t, stmt, `O=acme"`, `O=acme, OU=x", "x509.subject: C=US, ST=WA, O=acme"`)), `oci trust policy: trust policy statement "a" has overlapping x509 trustedIdentities, "x509.subject: C=US, ST=WA, O=acme" overlaps with "x509.subject: C=US, ST=WA, O=acme, OU=x"`},
		{"TI-03 identities that share a part", ociDoc(change(t, stmt, `O=acme"`, `O=acme", "x509.subject: C=US, ST=WA, O=other"`)), ""},
		{"globalPolicy of a blob document is ignored", ociDoc(change(t, stmt, `"name"`, `"globalPolicy": true, "name"`)), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := ParseOCI([]byte(tt.doc))
			checkExact(t, doc, err, tt.want)
		})
	}
}

// TestASkipOfEverythingIsTakenWhereItIsAllowed, and nothing else that is wrong.
func TestASkipOfEverythingIsTakenWhereItIsAllowed(t *testing.T) {
	p := Parser{AllowSkipOfEverything: true}
	everything := `{"name": "s", "globalPolicy": true, "registryScopes": ["*"], "signatureVerification": {"level": "skip"}}`
	for kind, parse := range map[string]func([]byte) (*Document, error){"oci": p.ParseOCI, "blob": p.ParseBlob} {
		doc, err := parse([]byte(ociDoc(everything)))
		if err != nil || len(doc.Statements) != 1 || !doc.Statements[0].Level.Skip() {
			t.Errorf("%s: %+v, %v", kind, doc, err)
		}
		if _, err := parse([]byte(ociDoc(everything, everything))); err == nil {
			t.Errorf("%s: two such statements are taken", kind)
		}
	}
}

func checkExact(t *testing.T, doc *Document, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatalf("error %v, want none", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	if doc != nil {
		t.Error("a document beside an error")
	}
	if err.Error() != want {
		t.Errorf("error\n%s\nwant\n%s", err, want)
	}
	var v *ValidationError
	if !errors.As(err, &v) || len(v.Faults) != 1 {
		t.Errorf("%T, want one fault in a ValidationError", err)
	}
}

func TestParseBlob(t *testing.T) {
	second := change(t, blobStmt, `"a"`, `"b"`)
	tests := []struct{ name, doc, want string }{
		{"TP-01 version 1.0", ociDoc(blobStmt), ""},
		{"TP-01 no version", change(t, ociDoc(blobStmt), `"version": "1.0", `, ""), "blob trust policy document has empty version, version must be specified"},
		{"TP-01 another version", change(t, ociDoc(blobStmt), "1.0", "2.0"), `blob trust policy document uses unsupported version "2.0"`},
		{"TP-02 no statement", ociDoc(), "blob trust policy document can not have zero trust policy statements"},
		{"TP-11 no global statement", ociDoc(change(t, blobStmt, "true", "false")), ""},
		{"TP-11 two global statements", ociDoc(blobStmt, second), "multiple blob trust policy statements have globalPolicy set to true. Only one trust policy statement can be marked as global policy"},
		{"TP-11 global statement that skips", ociDoc(`{"name": "s", "globalPolicy": true, "signatureVerification": {"level": "skip"}}`), `blob trust policy statement "s": global blob trust policy statement cannot have verification level set to skip`},
		{"TP-11 named statement that skips", ociDoc(`{"name": "s", "signatureVerification": {"level": "skip"}}`), ""},
		{"TP-12 same name twice", ociDoc(blobStmt, change(t, second, `"b"`, `"a"`, "true", "false")), `multiple blob trust policy statements use the same name "a", statement names must be unique`},
		{"TI-02 identity", ociDoc(change(t, blobStmt, `"*"`, `""`)), `blob trust policy: trust policy statement "a" has an empty trusted identity`},
		{"registryScopes of an OCI document are ignored", ociDoc(change(t, blobStmt, `"name"`, `"registryScopes": ["*"], "name"`)), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := ParseBlob([]byte(tt.doc))
			checkExact(t, doc, err, tt.want)
		})
	}
}

func TestDocumentsThatAreNoPolicyJSON(t *testing.T) {
	valid := ociDoc(stmt)
	tests := []struct{ name, doc, want string }{
		{"nothing", "", "EOF"},
		{"not JSON", "version: 1.0", "invalid character"},
		{"an array", "[]", "array"},
		{"cut off", valid[:len(valid)-1], "EOF"},
		{"something after it", valid + "{}", "after top-level value"},
		{"a name twice", change(t, valid, `"version"`, `"version": "1.0", "version"`), "duplicate"},
		{"a name twice in a statement", change(t, valid, `"name"`, `"name": "b", "name"`), "duplicate"},
		{"an override twice", change(t, valid, `"strict"`, `"strict", "override": {"expiry": "log", "expiry": "enforce"}`), "duplicate"},
		{"an unknown name", change(t, valid, `"version"`, `"comment": "x", "version"`), `unknown object member name "comment"`},
		{"an unknown name in a statement", change(t, valid, `"trustStores"`, `"trustStore": [], "trustStores"`), `unknown object member name "trustStore"`},
		{"a name in another case", change(t, valid, `"trustStores"`, `"truststores"`), `unknown object member name "truststores"`},
		{"TP-05 override without level in its place", change(t, valid, `{"level": "strict"}`, `{"level": "strict"}, "override": {}`), `unknown object member name "override"`},
		{"a number for a name", change(t, valid, `"a"`, `1`), "number"},
		{"a string for scopes", change(t, valid, `["registry.acme.io/app"]`, `"registry.acme.io/app"`), "string"},
		{"too large", valid + strings.Repeat(" ", limits.PolicyBytes), "larger than"},
		{"too deep", strings.Repeat("[", 100_000), "array"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := ParseOCI([]byte(tt.doc))
			var s *SyntaxError
			if doc != nil || !errors.As(err, &s) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %T %v, want a SyntaxError with %q", err, err, tt.want)
			}
		})
	}
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	bad := change(t, stmt, "strict", "lax", "ca:acme", "ca", `O=acme`, `CN=x`, "acme.io/app", "acme.io/*")
	_, err := ParseOCI([]byte(ociDoc(bad, skipStmt, skipStmt)))
	var v *ValidationError
	if !errors.As(err, &v) {
		t.Fatalf("error %v", err)
	}
	for i, want := range []string{"invalid signature verification level", "malformed trust store", `mandatory RDN attribute for "O"`,
		`the same name "s"`, "wild card", `"registry.acme.io/skipped" is present in multiple`} {
		if i >= len(v.Faults) || !strings.Contains(v.Faults[i].Error(), want) {
			t.Errorf("fault %d of %d is not about %q: %v", i, len(v.Faults), want, v.Faults)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 6 {
		t.Errorf("%d lines for 6 faults", lines)
	}
}

func TestScopes(t *testing.T) {
	for scope, ok := range map[string]bool{
		"docker.io/library/registry": true, "localhost:5000/a": true, "127.0.0.1:5000/a/b": true, "local/myocilayout": true, "R.example/a": true,
		"a.b-c/d_e/f__g/h---i.j/0": true,
		"alpine":                   false, "registry.acme.io": false, "registry.acme.io/": false, "/a": false, "": false,
		"registry.acme.io/App": false, "registry.acme.io/a:tag": false, "registry.acme.io/a@sha256:00": false, "https://registry.acme.io/a": false,
		"registry.acme.io/a/": false, "registry.acme.io//a": false, "registry.acme.io/a..b": false, "registry.acme.io/a___b": false,
		"registry.acme.io/.a": false, "registry.acme.io/a-": false, "registry.acme.io/a-_b": false, "-a.io/b": false, "a-.io/b": false, "a..io/b": false,
		"a.io:/b": false, "a.io:x/b": false, "localhost:5000\\a": false, "a.io/b c": false, "a*.io/b": false,
	} {
		if err := checkScope(scope); (err == nil) != ok {
			t.Errorf("TP-07 TP-08 scope %q: %v, want ok=%v", scope, err, ok)
		}
	}
}

func TestLevelsFollowTheTable(t *testing.T) {
	row := func(a ...Action) map[shuin.CheckName]Action {
		m := make(map[shuin.CheckName]Action)
		for i, c := range []shuin.CheckName{shuin.CheckIntegrity, shuin.CheckAuthenticity, shuin.CheckAuthenticTimestamp, shuin.CheckExpiry, shuin.CheckRevocation} {
			m[c] = a[i]
		}
		return m
	}
	tests := []struct {
		name, level string
		override    map[string]string
		want        map[shuin.CheckName]Action
		wantErr     string
	}{
		{"TP-04 strict", "strict", nil, row(Enforce, Enforce, Enforce, Enforce, Enforce), ""},
		{"TP-04 permissive", "permissive", nil, row(Enforce, Enforce, Log, Log, Log), ""},
		{"TP-04 audit", "audit", nil, row(Enforce, Log, Log, Log, Log), ""},
		{"TP-04 skip", "skip", nil, row(Skip, Skip, Skip, Skip, Skip), ""},
		{"TP-05 strict with an empty override", "strict", map[string]string{}, row(Enforce, Enforce, Enforce, Enforce, Enforce), ""},
		{"TP-05 strict, expiry logged", "strict", map[string]string{"expiry": "log"}, row(Enforce, Enforce, Enforce, Log, Enforce), ""},
		{"TP-05 strict, all that can be logged", "strict", map[string]string{"authenticity": "log", "authenticTimestamp": "log", "expiry": "log", "revocation": "log"}, row(Enforce, Log, Log, Log, Log), ""},
		{"TP-05 audit, all enforced", "audit", map[string]string{"authenticity": "enforce", "authenticTimestamp": "enforce", "expiry": "enforce", "revocation": "enforce"}, row(Enforce, Enforce, Enforce, Enforce, Enforce), ""},
		{"TP-05 revocation skipped", "permissive", map[string]string{"revocation": "skip"}, row(Enforce, Enforce, Log, Log, Skip), ""},
		{"TP-05 authenticity skipped", "strict", map[string]string{"authenticity": "skip"}, nil, `"authenticity" verification can not be skipped in custom signature verification`},
		{"TP-05 TSA-02 authenticTimestamp skipped", "strict", map[string]string{"authenticTimestamp": "skip"}, nil, `"authenticTimestamp" verification can not be skipped`},
		{"TP-05 expiry skipped", "audit", map[string]string{"expiry": "skip"}, nil, `"expiry" verification can not be skipped`},
		{"TP-05 integrity logged", "strict", map[string]string{"integrity": "log"}, nil, `"integrity" verification can not be overridden`},
		{"TP-05 skip customised", "skip", map[string]string{"expiry": "log"}, nil, `signature verification level "skip" can't be used to customize signature verification`},
		{"TP-05 override without level", "", map[string]string{"expiry": "log"}, nil, "signature verification level is empty or missing"},
		{"TP-05 unknown key", "strict", map[string]string{"Expiry": "log"}, nil, `verification type "Expiry" in custom signature verification is not supported, supported values are ["integrity" "authenticity" "authenticTimestamp" "expiry" "revocation"]`},
		{"TP-05 unknown value", "strict", map[string]string{"expiry": "warn"}, nil, `verification action "warn" in custom signature verification is not supported, supported values are ["enforce" "log" "skip"]`},
		{"TP-05 empty value", "strict", map[string]string{"expiry": ""}, nil, `verification action "" in custom`},
		{"TP-05 two faults", "strict", map[string]string{"expiry": "warn", "integrity": "log"}, nil, `"integrity" verification`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := NewLevel(tt.level, tt.override)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, l.Actions); diff != "" {
				t.Error(diff)
			}
			if l.Name != tt.level || l.Skip() != (tt.level == "skip") {
				t.Errorf("level %q, skip %v", l.Name, l.Skip())
			}
			if l.Action("something new") != Enforce {
				t.Error("a check that the level does not know is not enforced")
			}
		})
	}
}

func TestOverridesDoNotReachOtherStatements(t *testing.T) {
	a, err := NewLevel("strict", map[string]string{"expiry": "log"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewLevel("strict", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Action(shuin.CheckExpiry) != Log || b.Action(shuin.CheckExpiry) != Enforce {
		t.Error("levels share their actions")
	}
}

func TestParsedStatementHoldsWhatWasWritten(t *testing.T) {
	doc, err := ParseOCI([]byte(ociDoc(change(t, stmt, `"strict"`, `"permissive", "verifyTimestamp": "afterCertExpiry"`, "ca:acme", `ca:acme", "tsa:t", "signingAuthority:s", "ca:acme`), skipStmt)))
	if err != nil {
		t.Fatal(err)
	}
	s := doc.Statements[0]
	if s.Name != "a" || s.Level.Name != "permissive" || s.VerifyTimestamp != AfterCertExpiry || len(s.TrustedIdentities) != 1 || s.TrustedIdentities[0].String() != "x509.subject: C=US, ST=WA, O=acme" {
		t.Errorf("statement %+v", s)
	}
	if diff := cmp.Diff([]trust.StoreName{{Type: "ca", Name: "acme"}, {Type: "tsa", Name: "t"}, {Type: "signingAuthority", Name: "s"}}, s.TrustStores); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]trust.StoreName{{Type: "tsa", Name: "t"}}, s.StoresOf(trust.TSA)); diff != "" {
		t.Error(diff)
	}
	if doc.Statements[1].VerifyTimestamp != Always { // TP-06
		t.Error("an absent verifyTimestamp is not always")
	}
}

func TestSelect(t *testing.T) {
	scoped := change(t, stmt, `"registry.acme.io/app"`, `"registry.acme.io/app", "docker.io/library/alpine"`)
	global := change(t, stmt, `"a"`, `"g"`, "registry.acme.io/app", "*")
	const dgst = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	tests := []struct {
		name, doc, repository, want, scope string
	}{
		{"TP-09 exact match", ociDoc(scoped), "registry.acme.io/app", "a", "registry.acme.io/app"},
		{"TP-09 exact match before global, whatever the order", ociDoc(global, scoped), "registry.acme.io/app", "a", "registry.acme.io/app"},
		{"TP-09 global when nothing matches", ociDoc(global, scoped), "registry.acme.io/other", "g", "*"},
		{"TP-09 nothing matches", ociDoc(scoped), "registry.acme.io/other", "", ""},
		{"TP-09 a digest after the name", ociDoc(scoped), "registry.acme.io/app" + dgst, "a", "registry.acme.io/app"},
		{"TP-07 no prefix match", ociDoc(scoped), "registry.acme.io/app/sub", "", ""},
		{"TP-07 no match of a parent", ociDoc(scoped), "registry.acme.io", "", ""},
		{"TP-08 no reference expansion", ociDoc(scoped), "alpine", "", ""},
		{"TP-08 no reference expansion of a library", ociDoc(scoped), "library/alpine", "", ""},
		{"TP-08 names are case-sensitive", ociDoc(scoped), "Registry.acme.io/app", "", ""},
		{"TP-09 an artifact called * is no exact match", ociDoc(scoped), "*", "", ""},
		{"TP-09 an OCI layout directory", ociDoc(global), "/tmp/layout", "g", "*"},
		{"TP-04 a statement that skips", ociDoc(skipStmt), "registry.acme.io/skipped", "s", "registry.acme.io/skipped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := ParseOCI([]byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			s, scope, err := doc.Select(tt.repository)
			if tt.want == "" {
				want := fmt.Sprintf("artifact %q has no applicable oci trust policy statement. Trust policy applicability for a given artifact is determined by registryScopes. To create a trust policy, see: https://notaryproject.dev/docs/quickstart/#create-a-trust-policy", tt.repository)
				if shuin.CodeOf(err) != shuin.CodeNoPolicy || err.Error() != want || s != nil {
					t.Fatalf("statement %v, error %v", s, err)
				}
				return
			}
			if err != nil || s.Name != tt.want || scope != tt.scope {
				t.Fatalf("statement %v, scope %q, error %v", s, scope, err)
			}
		})
	}
}

func TestSelectBlob(t *testing.T) {
	named := change(t, blobStmt, `"a"`, `"n"`, "true", "false")
	for _, tt := range []struct{ name, doc, policy, want string }{
		{"TP-12 by name", ociDoc(blobStmt, named), "n", "n"},
		{"TP-12 no name: the global one", ociDoc(named, blobStmt), "", "a"},
		{"TP-12 a name nothing has", ociDoc(blobStmt), "x", ""},
		{"TP-12 names are compared exactly", ociDoc(blobStmt), "A", ""},
		{"TP-12 no name and no global one", ociDoc(named), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := ParseBlob([]byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			s, err := doc.SelectBlob(tt.policy)
			if tt.want == "" {
				if shuin.CodeOf(err) != shuin.CodeNoPolicy || s != nil {
					t.Fatalf("statement %v, error %v", s, err)
				}
				return
			}
			if err != nil || s.Name != tt.want {
				t.Fatalf("statement %v, error %v", s, err)
			}
		})
	}
}

func TestNewBlobDocument(t *testing.T) {
	one := BlobStatement{Name: "a", TrustStores: []string{"ca:x"}, TrustedIdentities: []string{"*"}}
	global := BlobStatement{Name: "\"<b>\"", TrustStores: []string{"ca:x", "tsa:y"}, TrustedIdentities: []string{"x509.subject: C=a,ST=b,O=c", "x509.subject: C=d,ST=b,O=c"}, Global: true}
	for _, tt := range []struct {
		name string
		in   BlobStatement
		text string // the whole document; empty: refused
		err  string
	}{
		{"one store, one identity", one, "{\n  \"version\": \"1.0\",\n  \"trustPolicies\": [\n    {\n      \"name\": \"a\",\n      \"signatureVerification\": {\n        \"level\": \"strict\"\n      },\n      \"trustStores\": [\n        \"ca:x\"\n      ],\n      \"trustedIdentities\": [\n        \"*\"\n      ]\n    }\n  ]\n}", ""},
		{"two of each, global", global, "{\n  \"version\": \"1.0\",\n  \"trustPolicies\": [\n    {\n      \"name\": \"\\\"\\u003cb\\u003e\\\"\",\n      \"signatureVerification\": {\n        \"level\": \"strict\"\n      },\n      \"trustStores\": [\n        \"ca:x\",\n        \"tsa:y\"\n      ],\n      \"trustedIdentities\": [\n        \"x509.subject: C=a,ST=b,O=c\",\n        \"x509.subject: C=d,ST=b,O=c\"\n      ],\n      \"globalPolicy\": true\n    }\n  ]\n}", ""},
		{"TP-02 no name", BlobStatement{TrustStores: one.TrustStores, TrustedIdentities: one.TrustedIdentities}, "", "missing a name"},
		{"TP-02 no store", BlobStatement{Name: "a", TrustedIdentities: one.TrustedIdentities}, "", "missing trust stores"},
		{"TP-02 a store of no type", BlobStatement{Name: "a", TrustStores: []string{"x"}, TrustedIdentities: one.TrustedIdentities}, "", "malformed trust store"},
		{"TI-01 an identity without a prefix", BlobStatement{Name: "a", TrustStores: one.TrustStores, TrustedIdentities: []string{"x"}}, "", `trusted identity "x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := NewBlobDocument(tt.in)
			if tt.text == "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || data != nil {
					t.Fatalf("%s, error %v, want %q", data, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.text, string(data)); diff != "" {
				t.Error(diff)
			}
			doc, err := ParseBlob(data)
			if err != nil {
				t.Fatal(err)
			}
			if s := doc.Statements[0]; s.Name != tt.in.Name || s.GlobalPolicy != tt.in.Global || s.Level.Name != LevelStrict {
				t.Errorf("came out as %+v", s)
			}
		})
	}
}

func TestSelectAllocatesNothing(t *testing.T) {
	doc, err := ParseOCI([]byte(ociDoc(stmt)))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := doc.Select("registry.acme.io/app"); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("Select allocates %v times", n)
	}
}

// FuzzTrustPolicy: no input panics; a document that parses obeys the rules
// that can be read off it, and selects for each of its scopes exactly the
// statement that holds it.
func FuzzTrustPolicy(f *testing.F) {
	for _, s := range []string{"", "{}", ociDoc(), ociDoc(stmt), ociDoc(skipStmt), ociDoc(blobStmt), ociDoc(stmt, skipStmt),
		`{"version":"1.0","trustPolicies":[{"name":"a","registryScopes":["*"],"signatureVerification":{"level":"audit","override":{"revocation":"skip"},"verifyTimestamp":"afterCertExpiry"},"trustStores":["ca:a","tsa:b","signingAuthority:c"],"trustedIdentities":["x509.subject:C=U,S=W,O=a\\,b","com.x:y"]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if doc, err := ParseOCI(data); err == nil {
			checkDocument(t, doc)
			for i := range doc.Statements {
				for _, scope := range doc.Statements[i].RegistryScopes {
					if scope == GlobalScope {
						continue
					}
					if s, got, err := doc.Select(scope); err != nil || s != &doc.Statements[i] || got != scope {
						t.Fatalf("Select(%q) = %v, %q, %v", scope, s, got, err)
					}
				}
			}
		}
		if doc, err := ParseBlob(data); err == nil {
			checkDocument(t, doc)
			if s, err := doc.SelectBlob(""); err == nil && s.Level.Skip() {
				t.Fatal("the global statement skips")
			}
			for i := range doc.Statements {
				if s, err := doc.SelectBlob(doc.Statements[i].Name); err != nil || s != &doc.Statements[i] {
					t.Fatalf("SelectBlob(%q) = %v, %v", doc.Statements[i].Name, s, err)
				}
			}
		}
	})
}

func checkDocument(t *testing.T, doc *Document) {
	t.Helper()
	if doc.Version != Version || len(doc.Statements) == 0 {
		t.Fatalf("document %+v", doc)
	}
	for _, s := range doc.Statements {
		if s.Level.Skip() {
			if len(s.TrustStores)+len(s.TrustedIdentities) > 0 {
				t.Fatalf("skip with trust: %+v", s)
			}
			continue
		}
		if s.Name == "" || len(s.TrustStores) == 0 || len(s.TrustedIdentities) == 0 || s.Level.Action(shuin.CheckIntegrity) != Enforce {
			t.Fatalf("statement %+v", s)
		}
	}
}
