package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/policy"
)

const (
	head     = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\n"
	arn      = "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/"
	dn       = "x509.subject: C=JP, ST=Tokyo, O=Example, CN="
	signerA  = `{identities: ["` + dn + `a"], trustStores: ["ca:ci"]}`
	signerB  = `{identities: ["` + dn + `b"], trustStores: ["ca:ci"]}`
	stagesAB = "stages:\n  a: {signers: [" + signerA + "]}\n  b: {signers: [" + signerB + "]}\n"
	someRule = "rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [a, b]}}]\n"
	hexA     = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hexB     = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func mustParse(tb testing.TB, text string) *pipeline.Policy {
	tb.Helper()
	p, err := pipeline.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

const whole = `# a policy with every key
apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers:
      - signingProfile: arn:aws:signer:ap-northeast-1:111122223333:signing-profile/build
        trustStores: [signingAuthority:aws-signer-ts]
  unit-test:
    signers:
      - identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-test"]
        trustStores: [ca:ci, tsa:corp]
        verifyTimestamp: always
        signatureVerification: {level: strict, override: {revocation: log}}
    maxAge: 90d
  scan:
    signers:
      - signingProfile: arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/scan/0123456789
        trustStores: [signingAuthority:aws-us-gov-signer-ts, signingAuthority:aws-signer-ts]
    maxAge: 168h
    metadata: {critical: "0"}
    principals: ["arn:aws:iam::111122223333:role/ci/scan-*", "arn:aws:sts::111122223333:assumed-role/scanner/Git*Hub", "arn:aws:sts::111122223333:federated-user/scan"]
rules:
  - name: shop-production
    match:
      images: ["111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/shop/**"]
      clusters: ["prod-*"]
      namespaces: ["shop"]
    require: {all: [build, {any: [unit-test, scan]}, {atLeast: 2, of: [build, unit-test, scan]}]}
    mode: warn
    tags: allowUnpinned
    platforms: either
    undecided: {answer: admit, retryFor: 30s}
  - name: aws-sidecars
    match: {images: ["public.ecr.aws/aws-observability/**"]}
    allow: {digests: ["` + hexA + `"], because: "released by AWS"}
  - name: vendor
    match: {images: ["registry.vendor.example/*/agent-*"]}
    allow: {unsigned: true, because: "the vendor signs nothing"}
default: deny
exceptions:
  - images: ["reg.example/shop/api@` + hexB + `", "reg.example/old/**"]
    clusters: ["prod-*"]
    namespaces: ["shop"]
    reason: "hotfix INC-4711"
    owner: sre@example.com
    expires: 2026-12-31T00:00:00Z
signerAdmins: ["arn:aws:iam::111122223333:role/security/signer-admin", "arn:aws:iam::111122223333:user/root-of-trust", "arn:aws:iam::111122223333:root"]
`

func TestAPolicyWithEveryKeyIsRead(t *testing.T) {
	p := mustParse(t, whole)
	if p.Digest() != digest.FromString(whole) {
		t.Errorf("digest %s", p.Digest())
	}
	if d := cmp.Diff([]string{"build", "unit-test", "scan"}, p.Stages()); d != "" {
		t.Error(d)
	}
	s := p.Signers()
	if len(s) != 3 {
		t.Fatalf("%d signers", len(s))
	}
	if s[0].Profile != arn+"build" || !s[0].Statement.SigningProfiles || s[0].Statement.TrustedIdentities[0].String() != arn+"build" || s[0].Statement.Level.Name != policy.LevelStrict {
		t.Errorf("%+v of %+v", s[0].Statement, s[0])
	}
	if s[1].Profile != "" || s[1].Statement.SigningProfiles || s[1].Statement.VerifyTimestamp != policy.Always || s[1].Statement.Level.Action(shuin.CheckRevocation) != policy.Log {
		t.Errorf("%+v", s[1].Statement)
	}
	if s[2].Profile != arn+"scan" || s[2].Statement.TrustedIdentities[0].String() != arn+"scan/0123456789" {
		t.Errorf("%+v", s[2])
	}
	for i, stages := range [][]string{{"build"}, {"unit-test"}, {"scan"}} {
		if d := cmp.Diff(stages, s[i].Stages); d != "" {
			t.Error(d)
		}
	}
	sel := p.Select(pipeline.Question{Repository: "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/shop/api", Where: pipeline.Where{Cluster: "prod-1", Namespace: "shop"}})
	if sel.Rule != "shop-production" || sel.Mode != pipeline.Warn || sel.Tags != pipeline.AllowUnpinned || sel.Platforms != pipeline.Either || !sel.UndecidedAdmits || sel.RetryFor.String() != "30s" || !sel.NeedsSignatures {
		t.Errorf("%+v", sel)
	}
}

func TestJSONSaysTheSameAsYAML(t *testing.T) {
	yaml := head + stagesAB + someRule
	json := `{"apiVersion":"shuin.dev/v1","kind":"PipelinePolicy","stages":{
 "a":{"signers":[{"identities":["` + dn + `a"],"trustStores":["ca:ci"]}]},
 "b":{"signers":[{"identities":["` + dn + `b"],"trustStores":["ca:ci"]}]}},
 "rules":[{"name":"r","match":{"images":["reg.example/**"]},"require":{"all":["a","b"]}}]}`
	q := pipeline.Question{Repository: "reg.example/x"}
	if a, b := mustParse(t, yaml).Select(q), mustParse(t, json).Select(q); a.Hash != b.Hash || a.Rule != b.Rule {
		t.Errorf("%s %s, %s %s", a.Rule, a.Hash, b.Rule, b.Hash)
	}
}

// bad is one policy with its faults, each as "LINE text".
type bad struct {
	name, text string
	want       []string
}

func badPolicies() []bad {
	signers := func(s string) string { return head + "stages:\n  a:\n    signers: [" + s + "]\n" + oneRule("") }
	images := func(s string) string {
		return head + stagesAB + "rules:\n- name: r\n  match: {images: [" + s + "]}\n  require: {all: [a]}\n"
	}
	require := func(s string) string {
		return head + stagesAB + "rules:\n- name: r\n  match: {images: [\"reg.example/**\"]}\n  require: " + s + "\n"
	}
	exception := func(s string) string { return head + stagesAB + someRule + "exceptions:\n- " + s + "\n" }
	admins := func(s string) string { return head + stagesAB + someRule + "signerAdmins: [" + s + "]\n" }
	return []bad{
		{"nothing", "", []string{"0 the policy is empty"}},
		{"a list", "[]", []string{"1 a mapping with keys such as apiVersion is wanted, not a list"}},
		{"two documents", head + stagesAB + someRule + "---\na: 1\n", []string{"8 a second document"}},
		{"a trust policy", `{"version": "1.0", "trustPolicies": []}`, []string{"1 this is a Notary trust policy"}},
		{"no rules, no version", "kind: PipelinePolicy\n", []string{"0 apiVersion is missing", "0 rules are missing"}},
		{"another version", strings.Replace(head, "v1", "v2", 1) + stagesAB + someRule, []string{`1 shuin.dev/v1 is wanted, not "shuin.dev/v2"`}},
		{"unknown keys", head + stagesAB + someRule + "defualt: deny\nwhatever: 1\n", []string{`7 unknown key "defualt": did you mean "default"?`, `8 unknown key "whatever": there are apiVersion, kind, stages, rules, default, exceptions, signerAdmins`}},
		{"a key in another case", head + stagesAB + someRule + "Default: deny\n", []string{`7 unknown key "Default": did you mean "default"?`}},
		{"a key twice", head + stagesAB + someRule + "default: deny\ndefault: admit\n", []string{`8 the key "default" is there twice, first in line 7`}},
		{"another default", head + stagesAB + someRule + "default: allow\n", []string{`7 deny or admit is wanted, not "allow"`}},
		{"an empty list of rules", head + stagesAB + "rules: []\n", []string{"6 the list of rules is empty"}},

		{"a stage's name", head + "stages:\n  Build: {signers: [" + signerA + "]}\n" + oneRule("Build"), []string{`4 "Build" cannot name a stage`}},
		{"no stages in stages", head + "stages: {}\n" + oneRule(""), []string{"3 there is no stage in it", `4 stage "a" is not defined`}},
		{"a stage without signers", head + "stages:\n  a: {maxAge: 1h}\n" + oneRule(""), []string{"4 signers are missing"}},
		{"a stage with an empty list of signers", head + "stages:\n  a: {signers: []}\n" + oneRule(""), []string{"4 the list of signers is empty"}},
		{"nobody", signers(`{trustStores: ["ca:ci"]}`), []string{"5 it is not said who signs"}},
		{"both kinds", signers(`{signingProfile: "` + arn + `ab", identities: ["` + dn + `a"], trustStores: ["signingAuthority:x"]}`), []string{"5 a signer is either a signingProfile or identities"}},
		{"no stores", signers(`{identities: ["` + dn + `a"]}`), []string{"5 trustStores are missing"}},
		{"an odd store", signers(`{identities: ["` + dn + `a"], trustStores: ["ci"]}`), []string{"5 malformed trust store value"}},
		{"an odd store type", signers(`{identities: ["` + dn + `a"], trustStores: ["pki:ci"]}`), []string{"5 an unsupported trust store type"}},
		{"a store twice", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci", "ca:ci"]}`), []string{"5 trust store ca:ci is listed twice"}},
		{"only a tsa", signers(`{identities: ["` + dn + `a"], trustStores: ["tsa:ci"]}`), []string{"5 no store of type ca or signingAuthority: no signer can seal stage a"}},
		{"an identity without its attributes", signers(`{identities: ["x509.subject: CN=a"], trustStores: ["ca:ci"]}`), []string{"5 it"}},
		{"everybody and somebody", signers(`{identities: ["*", "` + dn + `a"], trustStores: ["ca:ci"]}`), []string{`5 "*" is everybody, and stands alone`}},
		{"overlapping identities", signers(`{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example", "` + dn + `a"], trustStores: ["ca:ci"]}`), []string{"5 it overlaps with"}},
		{"a profile among identities", signers(`{identities: ["` + arn + `ab"], trustStores: ["signingAuthority:x"]}`), []string{"5 " + arn + "ab is a signing profile: write signingProfile"}},
		{"no profile", signers(`{signingProfile: "arn:aws:iam::111122223333:role/x", trustStores: ["signingAuthority:x"]}`), []string{"5 \"arn:aws:iam"}},
		{"a profile under a ca", signers(`{signingProfile: "` + arn + `ab", trustStores: ["ca:ci"]}`), []string{"5 ca:ci is no signingAuthority store"}},
		{"a profile under two authorities", signers(`{signingProfile: "` + arn + `ab", trustStores: ["signingAuthority:x", "signingAuthority:aws-signer-ts"]}`), []string{"5 a signing profile has exactly one signingAuthority store"}},
		{"a profile with a timestamp", signers(`{signingProfile: "` + arn + `ab", trustStores: ["signingAuthority:x"], verifyTimestamp: always}`), []string{"5 a signing profile signs with an authentic time"}},
		{"one profile here and there", head + "stages:\n" +
			"  a: {signers: [{signingProfile: \"" + arn + "ab\", trustStores: [\"signingAuthority:x\"]}]}\n" +
			"  b: {signers: [{signingProfile: \"" + arn + "ab/0123456789\", trustStores: [\"signingAuthority:y\"]}]}\n" + oneRule(""),
			[]string{"5 the signing profile " + arn + "ab is here under signingAuthority:y, and in line 4 under signingAuthority:x"}},
		{"a signer twice", signers(signerA + ", " + signerA), []string{"5 this signer is listed twice"}},
		{"an odd level", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci"], signatureVerification: {level: loose}}`), []string{`5 invalid signature verification level "loose"`}},
		{"an odd override", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci"], signatureVerification: {level: strict, override: {integrity: log}}}`), []string{`5 "integrity" verification can not be overridden`}},
		{"level skip", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci"], signatureVerification: {level: skip}}`), []string{"5 level skip verifies nothing"}},
		{"level audit, enforced", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci"], signatureVerification: {level: audit}}`), []string{"5 level audit lets anybody's signature count"}},
		{"authenticity logged, enforced", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci"], signatureVerification: {override: {authenticity: log}}}`), []string{"5 authenticity is not enforced"}},
		{"timestamps twice", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci", "tsa:x"], verifyTimestamp: always, signatureVerification: {verifyTimestamp: always}}`), []string{"5 verifyTimestamp is written twice"}},
		{"another timestamp word", signers(`{identities: ["` + dn + `a"], trustStores: ["ca:ci", "tsa:x"], verifyTimestamp: never}`), []string{`5 always or afterCertExpiry is wanted, not "never"`}},
		{"maxAge without time", head + "stages:\n  a:\n    maxAge: 1h\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"6 stage a has a maxAge, and this signer gives no time that can be believed"}},
		{"maxAge with some timestamps", head + "stages:\n  a:\n    maxAge: 1h\n    signers: [{identities: [\"*\"], trustStores: [\"ca:ci\", \"tsa:x\"], verifyTimestamp: afterCertExpiry}]\n" + oneRule(""), []string{"6 stage a has a maxAge, which needs the timestamp of every signature"}},
		{"a bad maxAge", head + "stages:\n  a:\n    maxAge: 1 week\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"5 a duration such as"}},
		{"a maxAge of nothing", head + "stages:\n  a:\n    maxAge: 0s\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"5 the duration 0s is not more than nothing"}},
		{"a maxAge without unit", head + "stages:\n  a:\n    maxAge: 90\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"5 a duration such as"}},
		{"metadata that is a number", head + "stages:\n  a:\n    metadata: {critical: 0}\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"5 the value, a text (in quotes"}},
		{"the stage's own name as metadata", head + "stages:\n  a:\n    metadata: {shuin.stage: a}\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"5 shuin.stage is the stage's own name"}},

		{"principals that are no list", head + "stages:\n  a:\n    principals: \"arn:aws:iam::111122223333:role/ci\"\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"5 a list of principals is wanted"}},
		{"no principals", head + "stages:\n  a:\n    principals: []\n    signers: [" + signerA + "]\n" + oneRule(""), []string{"5 the list of principals is empty"}},
		{"no admins", admins(""), []string{"7 the list of principals is empty"}},
		{"a principal twice", admins(`"arn:aws:iam::111122223333:role/x", "arn:aws:iam::111122223333:role/x"`), []string{"7 this principal is listed twice"}},
		{"a principal that is everybody", admins(`"*"`), []string{`7 "*" is no principal: it is not of the form arn:aws:iam::ACCOUNT:role/NAME`}},
		{"a principal of any account", admins(`"arn:aws:iam::*:role/x"`), []string{`7 "arn:aws:iam::*:role/x" is no principal: "*" is no account id`}},
		{"a principal of any partition", admins(`"arn:*:iam::111122223333:role/x"`), []string{`7 "arn:*:iam::111122223333:role/x" is no principal: "*" is no partition`}},
		{"a principal with a region", admins(`"arn:aws:iam:eu-west-1:111122223333:role/x"`), []string{`7 "arn:aws:iam:eu-west-1:111122223333:role/x" is no principal: it is not of the form`}},
		{"a principal of two stars", admins(`"arn:aws:iam::111122223333:role/**"`), []string{`7 "arn:aws:iam::111122223333:role/**" is no principal: a star stays inside its segment`}},
		{"a principal of many stars", admins(`"arn:aws:iam::111122223333:role/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*"`), []string{`7 "arn:aws:iam::111122223333:role/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*" is no principal: it has more than 16 stars`}},
		{"a group", admins(`"arn:aws:iam::111122223333:group/x"`), []string{`7 "arn:aws:iam::111122223333:group/x" is no principal: a group calls nobody`}},
		{"a role without a name", admins(`"arn:aws:iam::111122223333:role/"`), []string{`7 "arn:aws:iam::111122223333:role/" is no principal: "" is no name`}},
		{"a role with half a path", admins(`"arn:aws:iam::111122223333:role//x"`), []string{`7 "arn:aws:iam::111122223333:role//x" is no principal: "" is no part of a path`}},
		{"a role's name that is none", admins(`"arn:aws:iam::111122223333:role/a b"`), []string{`7 "arn:aws:iam::111122223333:role/a b" is no principal: "a b" is no name`}},
		{"a session without a session", admins(`"arn:aws:sts::111122223333:assumed-role/x"`), []string{`7 "arn:aws:sts::111122223333:assumed-role/x" is no principal: it is not of the form`}},
		{"a role of STS", admins(`"arn:aws:sts::111122223333:role/x"`), []string{`7 "arn:aws:sts::111122223333:role/x" is no principal: it is not of the form`}},
		{"a service", admins(`"codebuild.amazonaws.com"`), []string{`7 "codebuild.amazonaws.com" is no principal: it is not of the form`}},
		{"a principal with a line break", admins(`"arn:aws:iam::111122223333:role/x\ny"`), []string{"7 a principal's ARN has a line break or another control character"}},
		{"a number of principals", admins("111122223333"), []string{"7 a principal's ARN, a text (in quotes"}},

		{"a rule without a name", head + stagesAB + "rules: [{match: {images: [\"reg.example/x\"]}, require: {all: [a]}}]\n", []string{"6 the name of a rule is missing"}},
		{"two rules of one name", head + stagesAB + "rules:\n- {name: r, match: {images: [\"reg.example/x\"]}, require: {all: [a]}}\n- {name: r, match: {images: [\"reg.example/y\"]}, require: {all: [a]}}\n", []string{`8 a rule in line 7 has the name "r" too`}},
		{"a rule without match", head + stagesAB + "rules: [{name: r, require: {all: [a]}}]\n", []string{"6 match is missing"}},
		{"a rule without images", head + stagesAB + "rules: [{name: r, match: {clusters: [x]}, require: {all: [a]}}]\n", []string{"6 images are missing"}},
		{"a rule that wants nothing", head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/x\"]}}]\n", []string{"6 require or allow is missing"}},
		{"a rule that wants both", head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, require: {all: [a]}, allow: {unsigned: true, because: x}}]\n", []string{"6 a rule has either require or allow"}},
		{"empty clusters", head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/x\"], clusters: []}, require: {all: [a]}}]\n", []string{"6 the list of clusters is empty"}},
		{"an odd mode", head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, require: {all: [a]}, mode: dryrun, tags: any, platforms: all}]\n", []string{`6 enforce, warn or audit is wanted, not "dryrun"`, `6 pin, refuse or allowUnpinned is wanted`, "6 index, each or either is wanted"}},
		{"undecided in odd ways", head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, require: {all: [a]}, undecided: {answer: maybe, retryFor: 1h}}]\n", []string{"6 deny or admit is wanted", "6 the duration 1h is longer than 5m0s"}},

		{"a tag", images(`"reg.example/shop:v1"`), []string{`8 image pattern "reg.example/shop:v1" has a tag: a tag can be moved to another image at any time, so policies name repositories; write "reg.example/shop"`}},
		{"a digest", images(`"reg.example/shop@` + hexA + `"`), []string{"8 image pattern"}},
		{"a short name", images(`nginx`), []string{`8 image pattern "nginx" names no registry: images are matched by their full name, in which the registry stands first; write "docker.io/library/nginx"`}},
		{"a name of Docker Hub", images(`"bitnami/nginx"`), []string{`8 image pattern "bitnami/nginx" names no registry: images are matched by their full name, in which the registry stands first; write "docker.io/bitnami/nginx"`}},
		{"a registry alone", images(`"reg.example"`), []string{`8 image pattern "reg.example" names a registry and no repository: write "reg.example/**"`}},
		{"a scheme", images(`"https://reg.example/x"`), []string{"8 image pattern"}},
		{"upper case", images(`"reg.example/Shop"`), []string{`8 image pattern "reg.example/Shop" has an upper-case letter`}},
		{"stars inside a segment", images(`"reg.example/a**"`), []string{"8 image pattern \"reg.example/a**\": ** has to be a whole segment"}},
		{"an empty segment", images(`"reg.example//a"`), []string{"8 image pattern \"reg.example//a\" has an empty segment"}},
		{"an odd character", images(`"reg.example/a?b"`), []string{"8 image pattern \"reg.example/a?b\" has the character '?'"}},
		{"an odd registry", images(`"reg_.example/a"`), []string{"8 image pattern \"reg_.example/a\": \"reg_.example\" is no registry"}},
		{"a pattern twice", images(`"reg.example/a", "reg.example/a"`), []string{`8 the image pattern "reg.example/a" is listed twice`}},

		{"an undefined stage", require("{all: [a, biuld]}"), []string{`9 stage "biuld" is not defined`}},
		{"a stage almost defined", head + "stages: {build: {signers: [" + signerA + "]}}\nrules: [{name: r, match: {images: [\"reg.example/x\"]}, require: {all: [biuld]}}]\n", []string{`4 stage "biuld" is not defined: did you mean "build"?`}},
		{"no stages defined", head + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, require: {all: [a]}}]\n", []string{`3 stage "a" is not defined: there are no stages`}},
		{"an empty all", require("{all: []}"), []string{"9 the list of stages is empty"}},
		{"a stage twice", require("{all: [a, a]}"), []string{`9 stage "a" is listed twice`}},
		{"a stage alone", require("a"), []string{"9 a mapping with keys such as all is wanted"}},
		{"two operators", require("{all: [a], any: [b]}"), []string{"9 one of {all: […]}"}},
		{"atLeast without of", require("{atLeast: 2}"), []string{"9 one of {all: […]}"}},
		{"of without atLeast", require("{all: [a], of: [b]}"), []string{"9 one of {all: […]}"}},
		{"at least none", require("{atLeast: 0, of: [a, b]}"), []string{"9 at least 0 is always so"}},
		{"at least too many", require("{atLeast: 3, of: [a, b]}"), []string{"9 at least 3 of 2 can never be"}},
		{"at least a half", require("{atLeast: 1.5, of: [a, b]}"), []string{`9 a whole number is wanted, not "1.5"`}},
		{"too deep", require("{all: [{any: [{all: [{any: [{all: [a]}]}]}]}]}"), []string{"9 requirements are nested deeper than 4"}},
		{"too many items", require("{all: [" + strings.Repeat("{any: [a]},", 17) + "]}"), []string{"9 there are 17 stages, and 16 are allowed"}},
		{"too few people", head + "stages:\n  a: {signers: [" + signerA + "]}\n  b: {signers: [" + signerA + "]}\nrules:\n- name: r\n  match: {images: [\"reg.example/**\"]}\n  require: {atLeast: 2, of: [a, b]}\n", []string{`7 rule "r" can never be satisfied`}},

		{"two equal patterns", head + stagesAB + "rules:\n- {name: x, match: {images: [\"reg.example/a/**\"]}, require: {all: [a]}}\n- {name: y, match: {images: [\"reg.example/a/**\"]}, require: {all: [b]}}\n", []string{`8 rule "y" (pattern "reg.example/a/**") and rule "x" in line 7 (pattern "reg.example/a/**"): the two are equal`}},
		{"two equally specific patterns", head + stagesAB + "rules:\n- {name: x, match: {images: [\"reg.example/*-a/b\"]}, require: {all: [a]}}\n- {name: y, match: {images: [\"reg.example/*/b-a\", \"reg.example/*-*/b\", \"reg.example/*a-/b\", \"reg.example/*b-*/b\"]}, require: {all: [b]}}\n",
			[]string{`8 rule "y" (pattern "reg.example/*b-*/b") and rule "x" in line 7 (pattern "reg.example/*-a/b"): both match`}},
		{"places beside each other", head + stagesAB + "rules:\n- {name: x, match: {images: [\"reg.example/a\"], clusters: [prod-*]}, require: {all: [a]}}\n- {name: y, match: {images: [\"reg.example/a\"], namespaces: [shop]}, require: {all: [b]}}\n", []string{"8 rule \"y\" (pattern \"reg.example/a\") and rule \"x\" in line 7"}},
		{"places that overlap", head + stagesAB + "rules:\n- {name: x, match: {images: [\"reg.example/a\"], clusters: [\"prod-*\"]}, require: {all: [a]}}\n- {name: y, match: {images: [\"reg.example/a\"], clusters: [\"*-tokyo\"]}, require: {all: [b]}}\n", []string{"8 rule \"y\""}},

		{"allow nothing", head + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, allow: {}}]\n", []string{"3 digests or unsigned is missing"}},
		{"allow both", head + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, allow: {unsigned: true, because: x, digests: [\"" + hexA + "\"]}}]\n", []string{"3 allow has either digests or unsigned"}},
		{"allow without a reason", head + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, allow: {unsigned: true}}]\n", []string{"3 because is missing"}},
		{"allow unsigned false", head + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, allow: {unsigned: false, because: x}}]\n", []string{`3 true is wanted, not "false"`}},
		{"an odd digest", head + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, allow: {digests: [\"sha256:12\"]}}]\n", []string{`3 "sha256:12" is no digest`}},
		{"a digest twice", head + "rules: [{name: r, match: {images: [\"reg.example/x\"]}, allow: {digests: [\"" + hexA + "\", \"" + hexA + "\"]}}]\n", []string{"3 " + hexA + " is listed twice"}},

		{"an exception of nothing", exception("{reason: x}"), []string{"8 images are missing", "8 the owner of an exception", "8 the end of an exception is missing"}},
		{"an exception without a reason", exception(`{images: ["reg.example/x"], owner: o, expires: 2026-01-01T00:00:00Z}`), []string{"8 the reason of an exception is missing"}},
		{"a date without a time", exception(`{images: ["reg.example/x"], owner: o, reason: r, expires: 2026-01-01}`), []string{`8 "2026-01-01" is no time as RFC 3339 writes it`}},
		{"an exception with a tag", exception(`{images: ["reg.example/x:v1@` + hexA + `"], owner: o, reason: r, expires: 2026-01-01T00:00:00Z}`), []string{"8 image pattern \"reg.example/x:v1\" has a tag"}},
		{"an exception with an odd digest", exception(`{images: ["reg.example/x@sha256:12"], owner: o, reason: r, expires: 2026-01-01T00:00:00Z}`), []string{`8 "sha256:12" is no digest`}},
		{"no exceptions", head + stagesAB + someRule + "exceptions: []\n", []string{"7 the list of exceptions is empty"}},
	}
}

// oneRule requires stage a, or another.
func oneRule(stage string) string {
	if stage == "" {
		stage = "a"
	}
	return "rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [" + stage + "]}}]\n"
}

func TestWhatIsWrongWithAPolicyIsToldWithItsLine(t *testing.T) {
	for _, tt := range badPolicies() {
		t.Run(tt.name, func(t *testing.T) {
			p, err := pipeline.Parse([]byte(tt.text))
			faults, ok := errors.AsType[document.Faults](err)
			if !ok || p != nil {
				t.Fatalf("%v", err)
			}
			var got []string
			for _, f := range faults {
				got = append(got, fmt.Sprintf("%d %s", f.Line, f.Text))
			}
			for _, want := range tt.want {
				found := false
				for _, g := range got {
					found = found || strings.HasPrefix(g, want)
				}
				if !found {
					t.Errorf("no fault begins with %q, there are\n%s", want, strings.Join(got, "\n"))
				}
			}
			if len(got) > len(tt.want) {
				t.Errorf("%d faults, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
		})
	}
}

func TestEveryFaultOfAFileIsToldAtOnce(t *testing.T) {
	_, err := pipeline.Parse([]byte(`apiVersion: v1
kind: PipelinePolicy
stages:
  build:
    signers: [{signingProfile: "` + arn + `build", trustStores: ["ca:x"]}]
    maxAge: soon
rules:
  - name: r
    match: {images: [nginx]}
    require: {all: [bild]}
    mod: warn
exceptions:
  - images: ["reg.example/x"]
    owner: me
`))
	var lines []int
	faults, _ := errors.AsType[document.Faults](err)
	for _, f := range faults {
		lines = append(lines, f.Line)
	}
	if d := cmp.Diff([]int{1, 5, 6, 9, 10, 11, 13, 13}, lines); d != "" {
		t.Errorf("%s\n%v", d, err)
	}
}

func TestAPolicyThatIsTooLargeIsALimit(t *testing.T) {
	_, err := pipeline.Parse([]byte(head + strings.Repeat("#\n", 1<<20)))
	if shuin.CodeOf(err) != shuin.CodeLimit {
		t.Error(err)
	}
}

func TestRulesThatDoNotCompeteAreNoConflict(t *testing.T) {
	rule := func(name, match string) string {
		return "- {name: " + name + ", match: {" + match + "}, require: {all: [a]}}\n"
	}
	for name, rules := range map[string]string{
		"disjoint clusters":      rule("x", `images: ["reg.example/a"], clusters: ["prod-*"]`) + rule("y", `images: ["reg.example/a"], clusters: ["dev-*"]`),
		"a place inside another": rule("x", `images: ["reg.example/a"], clusters: ["prod-*"]`) + rule("y", `images: ["reg.example/a"], clusters: ["prod-1*", "prod-2"]`),
		"a place and anywhere":   rule("x", `images: ["reg.example/a"]`) + rule("y", `images: ["reg.example/a"], namespaces: ["shop"]`),
		"a namespace inside":     rule("x", `images: ["reg.example/a"], clusters: ["prod-*"]`) + rule("y", `images: ["reg.example/a"], clusters: ["prod-*"], namespaces: ["shop"]`),
		"longer beginnings":      rule("x", `images: ["reg.example/a/**"]`) + rule("y", `images: ["reg.example/**"]`),
		"one star and two":       rule("x", `images: ["reg.example/a/**"]`) + rule("y", `images: ["reg.example/a/*"]`),
		"equal length, disjoint": rule("x", `images: ["reg.example/a/*"]`) + rule("y", `images: ["reg.example/b/*"]`),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := pipeline.Parse([]byte(head + stagesAB + "rules:\n" + rules)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestALevelThatOnlyLogsIsAllowedWhereNothingIsStopped(t *testing.T) {
	for _, mode := range []string{"warn", "audit"} {
		text := head + "stages: {a: {signers: [{identities: [\"" + dn + "a\"], trustStores: [\"ca:ci\"], signatureVerification: {level: audit}}]}}\n" +
			"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [a]}, mode: " + mode + "}]\n"
		if _, err := pipeline.Parse([]byte(text)); err != nil {
			t.Error(err)
		}
	}
}

func TestDurationsMayHaveDays(t *testing.T) {
	for in, want := range map[string]string{"90d": "2160h0m0s", "1d12h": "36h0m0s", "0d": "0s", "5m": "5m0s", "1d": "24h0m0s", "2d90s": "48h1m30s"} {
		if d, err := pipeline.ParseDuration(in); err != nil || d.String() != want {
			t.Errorf("%s: %s, %v", in, d, err)
		}
	}
	for _, in := range []string{"", "d", "-1d", "1.5d", "1d-1h", "99999999999d", "1dd", "1d1d", "1d+1h", "1h1d", "d1h", "8000d"} {
		if d, err := pipeline.ParseDuration(in); err == nil {
			t.Errorf("%q is %s", in, d)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(head + stagesAB + someRule))
	for _, b := range badPolicies() {
		f.Add([]byte(b.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := pipeline.Parse(data)
		if err != nil {
			faults, ok := errors.AsType[document.Faults](err)
			if !ok && shuin.CodeOf(err) != shuin.CodeLimit || ok && len(faults) == 0 || p != nil {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		q := pipeline.Question{Repository: "reg.example/shop/api", Digest: hexA, Where: pipeline.Where{Cluster: "prod-1", Namespace: "shop"}}
		s := p.Select(q)
		if d := s.Decide(nil, nil, q.Now); d.Outcome != pipeline.Admit && d.Outcome != pipeline.Deny || (d.Outcome == pipeline.Admit) != (d.Err == nil) {
			t.Fatalf("%+v", d)
		}
		if x := p.Explain(q); x.Rule != s.Rule {
			t.Fatalf("explained by %q, decided by %q", x.Rule, s.Rule)
		}
		p.Lint(q.Now)
	})
}

func TestAPatternIsHeldToTheOneSpellingOfItsRegistry(t *testing.T) {
	for pattern, want := range map[string]string{
		"Registry.example/shop/**":          "registry.example/shop/**",
		"*.Example.com/shop/a":              "*.example.com/shop/a",
		"registry.example:443/shop/**":      "registry.example/shop/**",
		"registry.example:00443/shop/**":    "registry.example/shop/**",
		"registry.example:05000/shop/**":    "registry.example:5000/shop/**",
		"*.example:0500*/shop/**":           "*.example:500*/shop/**",
		"[FE80::1]:05000/a":                 "[fe80::1]:5000/a",
		"index.docker.io/library/nginx":     "docker.io/library/nginx",
		"Registry-1.docker.io:443/**":       "docker.io/**",
		"docker.io/nginx":                   "docker.io/library/nginx",
		"registry.hub.docker.com/**":        "docker.io/**",
		"[0:0:0:0:0:0:0:1]:5000/a":          "[::1]:5000/a",
		"*:443/a":                           "*/a",
		"docker.io/*":                       "docker.io/library/*",
		"INDEX.docker.io:0443/nginx":        "docker.io/library/nginx",
		"registry.example:5000/shop/**":     "",
		"registry.example:4430/shop/**":     "",
		"docker.io/**":                      "",
		"docker.io/library/nginx":           "",
		"docker.io/bitnami/*":               "",
		"[fe80::1]/a":                       "",
		"**":                                "",
		"*/shop/**":                         "",
		"registry-1.docker.io.example/shop": "",
	} {
		for _, text := range []string{
			head + "rules: [{name: r, match: {images: [\"" + pattern + "\"]}, allow: {unsigned: true, because: x}}]\n",
			head + "rules: [{name: r, match: {images: [\"a.b/c\"]}, allow: {unsigned: true, because: x}}]\n" +
				"exceptions: [{images: [\"" + pattern + "@" + hexA + "\"], reason: r, owner: o, expires: 2026-01-01T00:00:00Z}]\n",
		} {
			_, err := pipeline.Parse([]byte(text))
			switch {
			case want == "" && err != nil:
				t.Errorf("%s: %v", pattern, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("write %q", want))):
				t.Errorf("%s: %v, want advice to write %q", pattern, err, want)
			}
		}
	}
}

func TestAPolicyTestAsksOnlyForNamesAsImagesAreJudged(t *testing.T) {
	p := mustParse(t, twoStages)
	_, err := pipeline.ParseTests([]byte("apiVersion: shuin.dev/v1\nkind: PipelinePolicyTest\ncases: [{name: x, image: \"Reg.example:443/x\", expect: {outcome: deny}}]\n"), p)
	if err == nil || !strings.Contains(err.Error(), `write "reg.example/x"`) {
		t.Error(err)
	}
}
