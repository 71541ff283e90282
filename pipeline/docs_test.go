package pipeline_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/pipeline"
)

// TestTheExamplesOfTheDocumentationHold reads every YAML block of
// docs/pipeline-policy.md, and runs its tests against its policy.
func TestTheExamplesOfTheDocumentationHold(t *testing.T) {
	text, err := os.ReadFile("../docs/pipeline-policy.md")
	if err != nil {
		t.Fatal(err)
	}
	stages := "stages:\n"
	for _, name := range []string{"build", "unit-test", "scan", "approve"} {
		stages += "  " + name + ": {signers: [{identities: [\"" + dn + name + "\", \"" + dn + name + "-2\"], trustStores: [\"ca:ci\"]}]}\n"
	}
	var policy *pipeline.Policy
	seen := map[string]int{}
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		block := m[1]
		first, _, _ := strings.Cut(block, ":")
		if strings.Contains(block, "kind: PipelinePolicyTest") {
			first = "tests"
		}
		seen[first]++
		switch first {
		case "apiVersion":
			policy = mustParse(t, block)
			if w := policy.Lint(june); w != nil {
				t.Errorf("lint: %v", w)
			}
		case "stages":
			mustParse(t, head+block+"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [build]}, mode: warn}]\n")
		case "signerAdmins":
			p := mustParse(t, head+block+"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [build, scan]}}]\n")
			if w := p.Lint(june); w != nil || len(p.SignerAdmins()) == 0 || len(p.Principals("build")) == 0 {
				t.Errorf("lint: %v", w)
			}
		case "rules":
			mustParse(t, head+stages+block)
		case "exceptions":
			mustParse(t, twoStages+block)
		case "tests":
			cases, err := pipeline.ParseTests([]byte(block), policy)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range policy.Test(cases, time.Time{}) {
				if !r.Passed() {
					t.Errorf("%s: %v", r.Name, r.Differences)
				}
			}
		default:
			t.Errorf("a block that no test reads: %s", block)
		}
	}
	for _, first := range []string{"apiVersion", "stages", "rules", "exceptions", "signerAdmins", "tests"} {
		if seen[first] == 0 {
			t.Errorf("no block of %s", first)
		}
	}
}
