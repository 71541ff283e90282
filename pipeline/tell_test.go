package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/pipeline"
)

func TestLintSaysWhatIsDoubtful(t *testing.T) {
	rule := func(s string) string { return "rules:\n- " + s + "\n" }
	plain := rule(`{name: r, match: {images: ["reg.example/**"]}, require: {all: [a, b]}}`)
	tests := []struct{ name, text, want string }{
		{"nothing", head + stagesAB + plain, ""},
		{"a stage nobody wants", head + stagesAB + rule(`{name: r, match: {images: ["reg.example/**"]}, require: {all: [a]}}`), "line 5: stages.b: no rule requires this stage"},
		{"everybody", head + "stages: {a: {signers: [{identities: [\"*\"], trustStores: [\"ca:ci\"]}]}}\n" + oneRule(""), `line 3: stages.a.signers[0]: identities "*" accepts every certificate that ca:ci leads to, and all of them count as one signer`},
		{"a level that logs", head + "stages: {a: {signers: [{identities: [\"" + dn + "a\"], trustStores: [\"ca:ci\"], signatureVerification: {override: {revocation: skip}}}]}}\n" + oneRule(""), `line 3: stages.a.signers[0]: revocation is not enforced (skip), and rule "r" enforces the stage`},
		{"a timestamp without a store", head + "stages: {a: {signers: [{identities: [\"" + dn + "a\"], trustStores: [\"ca:ci\"], verifyTimestamp: afterCertExpiry}]}}\n" + oneRule(""), "line 3: stages.a.signers[0]: verifyTimestamp says nothing without a tsa store"},
		{"a shared signer", head + "stages:\n  a: {signers: [" + signerA + "]}\n  b: {signers: [" + signerA + "]}\n" + plain, "line 5: stages.b: stages a, b share a signer"},
		{"profiles that look alike", head + "stages:\n  a: {signers: [{signingProfile: \"" + arn + "Build\", trustStores: [\"signingAuthority:x\"]}]}\n  b: {signers: [{signingProfile: \"" + arn + "build\", trustStores: [\"signingAuthority:x\"]}]}\n" + plain, "line 5: stages.b: the signing profiles"},
		{"everything", head + stagesAB + rule(`{name: r, match: {images: ["**"]}, require: {all: [a, b]}}`), "line 7: rules[0]: the pattern ** matches every image of every registry"},
		{"no registry", head + stagesAB + rule(`{name: r, match: {images: ["*/shop/**", "**/base"]}, require: {all: [a, b]}}`), "line 7: rules[0]: the pattern \"*/shop/**\" names no registry: it matches images of anybody's\nline 7: rules[0]: the pattern \"**/base\" names no registry"},
		{"a rule that never applies", head + stagesAB + rule(`{name: x, match: {images: ["reg.example/a/**/**"], clusters: ["prod-*"]}, require: {all: [a, b]}}`) + "- {name: y, match: {images: [\"reg.example/a/**\"]}, require: {all: [a, b]}}\n", `line 7: rules[0]: rule "x" never applies: rule "y" in line 8 matches all of its images and is more specific`},
		{"a rule that applies elsewhere", head + stagesAB + rule(`{name: x, match: {images: ["reg.example/a/**/**"]}, require: {all: [a, b]}}`) + "- {name: y, match: {images: [\"reg.example/a/**\"], clusters: [\"prod-*\"]}, require: {all: [a, b]}}\n", ""},
		{"undecided admits", head + stagesAB + rule(`{name: r, match: {images: ["reg.example/**"]}, require: {all: [a, b]}, undecided: {answer: admit}}`), `line 7: rules[0]: rule "r" admits images that could not be checked: an outage of the registry does, and its answers 401 and 403 (never 404)`},
		{"default admit", head + stagesAB + plain + "default: admit\n", "default: images that no rule matches are admitted"},
		{"exceptions", head + stagesAB + plain + `exceptions:
- {images: ["reg.example/a"], reason: one, owner: me, expires: 2026-05-31T00:00:00Z}
- {images: ["reg.example/a"], reason: two, owner: me, expires: 2026-06-04T00:00:00Z}
- {images: ["reg.example/a"], reason: three, owner: me, expires: 2026-09-01T00:00:00Z}
- {images: ["**"], reason: four, owner: me, expires: 2028-06-01T00:00:00Z}
`, `line 9: exceptions[0]: the exception "one" of me expired at 2026-05-31T00:00:00Z: it has no effect, remove it
line 10: exceptions[1]: the exception "two" of me expires at 2026-06-04T00:00:00Z, in 3 day(s)
line 12: exceptions[3]: the exception "four" of me lasts longer than a year, until 2028-06-01T00:00:00Z
line 12: exceptions[3]: the pattern ** matches every image of every registry`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mustParse(t, tt.text).Lint(june)
			if len(got) != len(strings.Split(tt.want, "\n")) && tt.want != "" || tt.want == "" && got != nil {
				t.Errorf("%d warnings:\n%v", len(got), got)
			}
			gotLines := strings.Split(got.Error(), "\n")
			for i, want := range strings.Split(tt.want, "\n") {
				if i < len(gotLines) && !strings.HasPrefix(gotLines[i], want) {
					t.Errorf("got  %s\nwant %s", gotLines[i], want)
				}
			}
		})
	}
}

func TestAnExplanationSaysWhichRuleWonAndWhy(t *testing.T) {
	text, err := os.ReadFile("testdata/stages.policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := mustParse(t, string(text))
	x := p.Explain(pipeline.Question{Repository: "reg.example/place", Digest: hexA, Where: pipeline.Where{Cluster: "prod-1"}, Now: june})
	if x.Rule != "production" || x.Wants != "{all: [build, unit-test]}" || x.Default != "deny" || x.Mode != "enforce" || x.Tags != "pin" || x.Platforms != "index" || x.Undecided != "deny" {
		t.Errorf("%+v", x)
	}
	why := map[string]string{}
	for _, r := range x.Rules {
		why[r.Name] = fmt.Sprintf("%t %t %s", r.Matches, r.Wins, r.Why)
		if r.Unplaced != (r.Name == "production-debug") {
			t.Errorf("%s: passed over for want of a place: %t", r.Name, r.Unplaced)
		}
	}
	for name, want := range map[string]string{
		"shop":             `false false its image pattern "reg.example/shop/**" does not match`,
		"anywhere":         `true false rule "production" is more specific: its clusters and namespaces are narrower`,
		"production":       `true true it is the most specific rule that matches`,
		"production-debug": `false false it is for namespaces debug, and no namespace was given`,
	} {
		if why[name] != want {
			t.Errorf("%s: %s", name, why[name])
		}
	}
	for _, st := range x.Stages {
		if st.Required != (st.Name == "build" || st.Name == "unit-test") {
			t.Errorf("%+v", st)
		}
		if st.Name == "scan" && (st.MaxAge != "168h0m0s" || st.Metadata["critical"] != "0" || st.Signers[0] != arn+"scan under signingAuthority:aws-signer-ts") {
			t.Errorf("%+v", st)
		}
	}
	if _, err := json.Marshal(x); err != nil {
		t.Error(err)
	}
}

func TestAnExplanationSaysWhatBecameOfExceptions(t *testing.T) {
	text := twoStages + `exceptions:
- {images: ["reg.example/x@` + hexB + `"], reason: digest, owner: me, expires: 2026-07-01T00:00:00Z}
- {images: ["reg.example/*"], clusters: ["prod-*"], reason: place, owner: me, expires: 2026-07-01T00:00:00Z}
- {images: ["reg.example/x"], reason: over, owner: me, expires: 2026-05-01T00:00:00Z}
- {images: ["reg.example/x@` + hexA + `", "reg.example/x@` + hexB + `"], reason: force, owner: me, expires: 2026-07-01T00:00:00Z}
- {images: ["reg.example/y"], reason: other, owner: me, expires: 2026-07-01T00:00:00Z}
`
	x := mustParse(t, text).Explain(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june, Where: pipeline.Where{Cluster: "dev"}})
	var got []string
	for _, e := range x.Exceptions {
		got = append(got, fmt.Sprint(e.Reason, " ", e.InForce, " ", e.Why))
	}
	if d := cmp.Diff([]string{
		"digest false it is for another digest",
		`place false it is for clusters prod-*, and not for "dev"`,
		"over false it expired at 2026-05-01T00:00:00Z",
		"force true it admits the image until 2026-07-01T00:00:00Z",
	}, got); d != "" {
		t.Error(d)
	}
	if x := mustParse(t, text).Explain(pipeline.Question{Repository: "other.example/x", Now: june}); x.Rule != "" || x.Wants != "nothing: no rule matches, and the default is deny" || x.Mode != "" {
		t.Errorf("%+v", x)
	}
}

func TestABaselineIsPartOfAPolicy(t *testing.T) {
	images := []pipeline.Excepted{
		{Repository: "reg.example/b", Digest: hexA, Reason: "unsigned"},
		{Repository: "reg.example/a", Digest: hexA, Reason: "unsigned"},
		{Repository: "reg.example/a", Digest: hexA, Reason: "unsigned"},
		{Repository: "reg.example/c", Digest: hexB, Reason: "missing stages: scan (no seal): \"quoted\" #1", Clusters: []string{"prod-1"}, Namespaces: []string{"shop", "yes"}},
	}
	out, err := pipeline.Baseline(images, "sre@example.com", time.Date(2026, 9, 1, 9, 0, 0, 0, time.FixedZone("JST", 9*3600)))
	if err != nil {
		t.Fatal(err)
	}
	want := `exceptions:
  - images:
      - "reg.example/a@` + hexA + `"
      - "reg.example/b@` + hexA + `"
    reason: "unsigned"
    owner: "sre@example.com"
    expires: "2026-09-01T00:00:00Z"
  - images:
      - "reg.example/c@` + hexB + `"
    clusters: ["prod-1"]
    namespaces: ["shop", "yes"]
    reason: "missing stages: scan (no seal): \"quoted\" #1"
    owner: "sre@example.com"
    expires: "2026-09-01T00:00:00Z"
`
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Error(d)
	}
	p := mustParse(t, twoStages+string(out))
	s := p.Select(pipeline.Question{Repository: "reg.example/c", Digest: hexB, Now: june, Where: pipeline.Where{Cluster: "prod-1", Namespace: "yes"}})
	if s.Exception == nil || s.Exception.Reason != images[3].Reason {
		t.Errorf("%+v", s.Exception)
	}
	for name, bad := range map[string]pipeline.Excepted{
		"no digest":  {Repository: "reg.example/a", Reason: "x"},
		"no reason":  {Repository: "reg.example/a", Digest: hexA},
		"short name": {Repository: "nginx", Digest: hexA, Reason: "x"},
		"a tag":      {Repository: "reg.example/a:v1", Digest: hexA, Reason: "x"},
	} {
		if _, err := pipeline.Baseline([]pipeline.Excepted{bad}, "me", june); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, err := pipeline.Baseline(nil, "me", june); out != nil || err != nil {
		t.Errorf("%s %v", out, err)
	}
}

// badCases are files of tests with their faults, for the policy twoStages.
func badCases() []bad {
	testHead := "apiVersion: shuin.dev/v1\nkind: PipelinePolicyTest\n"
	one := func(s string) string { return testHead + "cases:\n- " + s + "\n" }
	return []bad{
		{"nothing", "", []string{"0 the file is empty"}},
		{"a policy", twoStages, []string{`2 PipelinePolicyTest is wanted`, `3 unknown key "stages"`, `6 unknown key "rules"`, "0 cases are missing"}},
		{"no cases", testHead + "cases: []\n", []string{"3 the list of cases is empty"}},
		{"no name, no image, nothing expected", one("{seals: []}"), []string{"4 the name of a case is missing", "4 the image is missing", "4 expect is missing"}},
		{"no outcome", one("{name: c, image: reg.example/x, expect: {rule: r}}"), []string{"4 outcome is missing"}},
		{"another outcome", one("{name: c, image: reg.example/x, expect: {outcome: allow}}"), []string{`4 admit, deny or undecided is wanted`}},
		{"a tag", one("{name: c, image: \"reg.example/x:v1\", expect: {outcome: deny}}"), []string{"4 image \"reg.example/x:v1\" has a tag"}},
		{"an odd image", one("{name: c, image: nginx, expect: {outcome: deny}}"), []string{"4 invalid reference"}},
		{"an odd digest", one("{name: c, image: \"reg.example/x@sha256:1\", expect: {outcome: deny}}"), []string{"4 \"sha256:1\" is no digest"}},
		{"an unknown signer", one("{name: c, image: reg.example/x, seals: [{signer: someone}], expect: {outcome: deny}}"), []string{`4 the policy has no signer "someone"`}},
		{"a signer under another store", one("{name: c, image: reg.example/x, seals: [{signer: \"" + dn + "a\", trustStore: \"ca:x\"}], expect: {outcome: deny}}"), []string{`4 the policy has no signer "` + dn + `a" under ca:x`}},
		{"an unknown result", one("{name: c, image: reg.example/x, seals: [{signer: stranger, result: odd}], expect: {outcome: deny}}"), []string{"4 good, revoked, expired, tampered, undecided or unfetched is wanted"}},
		{"age and time", one("{name: c, image: reg.example/x, seals: [{signer: stranger, age: 1h, signedAt: 2026-01-01T00:00:00Z}], expect: {outcome: deny}}"), []string{"4 either age or signedAt"}},
		{"an odd time", one("{name: c, image: reg.example/x, time: today, expect: {outcome: deny}}"), []string{`4 "today" is no time`}},
		{"an unknown rule", one("{name: c, image: reg.example/x, expect: {outcome: deny, rule: q}}"), []string{`4 the policy has no rule "q"`}},
		{"an unknown stage", one("{name: c, image: reg.example/x, expect: {outcome: deny, missing: [c]}}"), []string{`4 stage "c" is not defined: there are a, b`}},
		{"a seal of an unknown stage", one("{name: c, image: reg.example/x, seals: [{signer: stranger, stage: stage-x}], expect: {outcome: deny}}"), []string{`4 stage "stage-x" is not defined: there are a, b; a seal of a stage that the policy does not have is written unknownStage`}},
		{"an unknown stage that is known", one("{name: c, image: reg.example/x, seals: [{signer: stranger, unknownStage: a}], expect: {outcome: deny}}"), []string{`4 the policy has a stage "a": write stage`}},
		{"a stage twice", one("{name: c, image: reg.example/x, seals: [{signer: stranger, stage: a, unknownStage: x}], expect: {outcome: deny}}"), []string{"4 either stage or unknownStage"}},
		{"unknown keys", one("{name: c, image: reg.example/x, expects: {outcome: deny}}"), []string{`4 unknown key "expects": did you mean "expect"?`, "4 expect is missing"}},
		{"two of a name", testHead + "cases:\n- {name: c, image: reg.example/x, expect: {outcome: deny}}\n- {name: c, image: reg.example/x, expect: {outcome: deny}}\n", []string{`5 a case in line 4 has the name "c" too`}},
	}
}

func TestWhatIsWrongWithTestsIsToldWithItsLine(t *testing.T) {
	p := mustParse(t, twoStages)
	for _, tt := range badCases() {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pipeline.ParseTests([]byte(tt.text), p)
			faults, _ := errors.AsType[document.Faults](err)
			var got []string
			for _, f := range faults {
				got = append(got, fmt.Sprintf("%d %s", f.Line, f.Text))
			}
			for _, want := range tt.want {
				if !strings.Contains("\n"+strings.Join(got, "\n"), "\n"+want) {
					t.Errorf("no fault begins with %q, there are\n%s", want, strings.Join(got, "\n"))
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("%d faults:\n%s", len(got), strings.Join(got, "\n"))
			}
		})
	}
}

func TestATestThatFailsSaysWhatIsOtherwise(t *testing.T) {
	p := mustParse(t, twoStages+"exceptions: [{images: [\"reg.example/e\"], reason: INC-1, owner: me, expires: 2026-07-01T00:00:00Z}]\n")
	cases, err := pipeline.ParseTests([]byte(`{"apiVersion": "shuin.dev/v1", "kind": "PipelinePolicyTest", "cases": [
 {"name": "all wrong", "image": "reg.example/x", "seals": [{"signer": "`+dn+`a"}], "expect": {"outcome": "admit", "rule": "", "code": "unsigned", "exception": "INC-9", "sealed": ["b"], "missing": ["a"]}},
 {"name": "an exception nobody expected", "image": "reg.example/e", "expect": {"outcome": "admit", "exception": ""}}]}`), p)
	if err != nil {
		t.Fatal(err)
	}
	results := p.Test(cases, june)
	want := []string{
		`the outcome is deny (rule "r": missing stages: b (no seal)), and admit was expected`,
		`the rule is "r", and "" was expected`,
		`the code is "stage-missing", and "unsigned" was expected`,
		`the exception is "", and "INC-9" was expected`,
		`sealed is [a], and [b] was expected`,
		`missing is [b], and [a] was expected`,
	}
	if d := cmp.Diff(want, results[0].Differences); d != "" || results[0].Line != 2 || results[0].Passed() {
		t.Errorf("line %d: %s", results[0].Line, d)
	}
	if d := cmp.Diff([]string{`the exception is "INC-1", and "" was expected`}, results[1].Differences); d != "" {
		t.Error(d)
	}
}

func FuzzPolicyTest(f *testing.F) {
	stages, err := os.ReadFile("testdata/stages.policy.yaml")
	if err != nil {
		f.Fatal(err)
	}
	cases, err := os.ReadFile("testdata/stages.cases.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cases)
	for _, b := range badCases() {
		f.Add([]byte(b.text))
	}
	p := mustParse(f, string(stages))
	f.Fuzz(func(t *testing.T, data []byte) {
		cases, err := pipeline.ParseTests(data, p)
		if err != nil {
			if faults, ok := errors.AsType[document.Faults](err); ok && len(faults) == 0 || !ok && shuin.CodeOf(err) != shuin.CodeLimit {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		for _, r := range p.Test(cases, june) {
			if r.Decision.Outcome < pipeline.Admit || r.Decision.Outcome > pipeline.Undecided {
				t.Fatalf("%+v", r.Decision)
			}
		}
	})
}

func TestAnExplanationTellsAnUnknownPlaceFromAnother(t *testing.T) {
	text := head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/**\"], clusters: [\"prod-*\"], namespaces: [shop]}, require: {all: [a, b]}}]\n"
	for where, want := range map[pipeline.Where]bool{
		{}:                                     true,
		{Cluster: "prod-1"}:                    true,
		{Namespace: "shop"}:                    true,
		{Namespace: "else"}:                    false,
		{Cluster: "dev"}:                       false,
		{Cluster: "prod-1", Namespace: "shop"}: false,
	} {
		for image, matches := range map[string]bool{"reg.example/x": true, "other.example/x": false} {
			r := mustParse(t, text).Explain(pipeline.Question{Repository: image, Where: where, Now: june}).Rules[0]
			if r.Unplaced != (want && matches) {
				t.Errorf("%s in %+v: %+v", image, where, r)
			}
		}
	}
}
