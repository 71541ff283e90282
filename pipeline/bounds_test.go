package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// rules is a policy of n rules, each with an image pattern and more of a match.
func rules(n int, match func(i int) string) []byte {
	var b strings.Builder
	b.WriteString(head + "rules:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {name: r%d, match: {%s}, allow: {unsigned: true, because: x}}\n", i, match(i))
	}
	return []byte(b.String())
}

func TestAPatternHasAFewStars(t *testing.T) {
	for text, good := range map[string]bool{
		`images: ["*/` + strings.Repeat("a*", limits.PolicyStars-1) + `"]`:                      true,
		`images: ["*/` + strings.Repeat("a*", limits.PolicyStars) + `"]`:                        false,
		`images: ["r.io/` + strings.Repeat("**/a/", limits.PolicyStars) + `a"]`:                 true,
		`images: ["r.io/` + strings.Repeat("**/a/", limits.PolicyStars) + `*"]`:                 false,
		`images: ["r.io/a"], clusters: ["` + strings.Repeat("a*", limits.PolicyStars) + `"]`:    true,
		`images: ["r.io/a"], clusters: ["` + strings.Repeat("a*", limits.PolicyStars+1) + `"]`:  false,
		`images: ["r.io/a"], namespaces: ["` + strings.Repeat("*", limits.PolicyStars+1) + `"]`: false,
	} {
		_, err := pipeline.Parse(rules(1, func(int) string { return text }))
		if good != (err == nil) || err != nil && !strings.Contains(err.Error(), "stars") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// That the work is bounded is the fault itself: it is what is told when the
// steps that are counted are used up.
func TestRulesThatAreTooMuchAlikeToBeComparedAreAFault(t *testing.T) {
	alike := strings.Repeat("*a", 7) + strings.Repeat("a", 100)
	for name, match := range map[string]func(i int) string{
		"stars in the registry": func(i int) string { return fmt.Sprintf(`images: ["*.io/%s/%04d/*"]`, alike, i) },
		"stars in many segments": func(i int) string {
			return fmt.Sprintf(`images: ["r.io/%s%s/%04d/*"]`, strings.Repeat("*a/", 14), strings.Repeat("a", 100), i)
		},
		"places": func(i int) string {
			return fmt.Sprintf(`images: ["r.io/a"], clusters: ["%04d%s*%s"]`, i, strings.Repeat("c", 400), strings.Repeat("d", 400))
		},
	} {
		_, err := pipeline.Parse(rules(900, match))
		if err == nil || !strings.Contains(err.Error(), "cannot be told in") || len(strings.Split(err.Error(), "\n")) != 1 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

func TestConflictsWithoutEndAreToldOnceEnough(t *testing.T) {
	_, err := pipeline.Parse(rules(limits.PolicyRules, func(int) string { return `images: ["r.io/**"]` }))
	if faults, ok := errors.AsType[document.Faults](err); !ok || len(faults) > limits.DocumentFaults+1 {
		t.Errorf("%d faults", len(faults))
	}
}

func TestRulesOfALargePolicyAreCompared(t *testing.T) {
	for name, match := range map[string]func(i int) string{
		"teams": func(i int) string {
			return fmt.Sprintf(`images: ["registry.example.com/team-%04d/**", "registry.example.com/shared/team-%04d-*/*"]`, i, i)
		},
		"clusters": func(i int) string {
			return fmt.Sprintf(`images: ["registry.example.com/shop/**"], clusters: ["prod-%04d"]`, i)
		},
		"accounts": func(i int) string { return fmt.Sprintf(`images: ["%012d.dkr.ecr.*.amazonaws.com/**"]`, i) },
		"names":    func(i int) string { return fmt.Sprintf(`images: ["*.dkr.ecr.*.amazonaws.com/app-%04d"]`, i) },
	} {
		if _, err := pipeline.Parse(rules(limits.PolicyRules, match)); err != nil {
			t.Errorf("%s: %.300v", name, err)
		}
		_, err := pipeline.Parse(rules(limits.PolicyRules, func(i int) string { return match(i % (limits.PolicyRules - 1)) }))
		if err == nil || !strings.Contains(err.Error(), `rule "r999"`) || !strings.Contains(err.Error(), `rule "r0"`) {
			t.Errorf("%s, the last like the first: %.300v", name, err)
		}
	}
}
