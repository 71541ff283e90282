package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/pipeline"
)

func TestClustersAreThoseThatThePolicyTellsApart(t *testing.T) {
	const unsigned = ", allow: {unsigned: true, because: x}}\n"
	for _, c := range []struct {
		name, rules string
		want        []string
	}{
		{"no rule names clusters", "- {name: a, match: {images: [\"reg.example/**\"]}" + unsigned, []string{"*"}},
		{"one rule does", "- {name: a, match: {images: [\"reg.example/**\"], clusters: [\"prod-*\", other]}" + unsigned, []string{"prod-*", "*"}},
		{"a rule for all others too", "- {name: a, match: {images: [\"reg.example/**\"], clusters: [prod]}" + unsigned + "- {name: b, match: {images: [\"reg.example/**\"], clusters: [\"*\"]}" + unsigned, []string{"prod", "*"}},
		{"a rule for another repository", "- {name: a, match: {images: [\"reg.example/other\"], clusters: [prod]}" + unsigned, []string{"*"}},
		{"a rule for namespaces, which are not known", "- {name: a, match: {images: [\"reg.example/**\"], clusters: [prod], namespaces: [\"*\"]}" + unsigned, []string{"*"}},
		{"one that never wins", "- {name: a, match: {images: [\"reg.example/**\"], clusters: [prod]}" + unsigned + "- {name: b, match: {images: [\"reg.example/web\"]}" + unsigned, []string{"*"}},
		{"an exception that names clusters", "- {name: a, match: {images: [\"reg.example/**\"]}" + unsigned + "exceptions:\n- {images: [\"reg.example/web\"], clusters: [dev], reason: x, owner: y, expires: 2030-01-01T00:00:00Z}\n", []string{"dev", "*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustParse(t, "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules:\n"+c.rules)
			if diff := cmp.Diff(c.want, p.Clusters("reg.example/web", "")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever cluster there is, in one of Clusters the same rule decides, or an
// exception does where one does there.
func TestEveryClusterIsStoodForByOneOfClusters(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	read, added := 0, 0
	for range 3000 {
		var b strings.Builder
		b.WriteString("apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules:\n")
		place := func() string {
			if r.IntN(4) == 0 {
				return ""
			}
			return fmt.Sprintf(", clusters: [%q, %q]", pick("a", "a*", "*b", "a*b", "*", "b"), pick("a", "ab", "*a*", "b*", "a**"))
		}
		for i := range 1 + r.IntN(4) {
			fmt.Fprintf(&b, "- {name: r%d, match: {images: [%q]%s}, allow: {unsigned: true, because: x}}\n", i, pick("reg.example/**", "reg.example/w*", "reg.example/web", "reg.example/*"), place())
		}
		b.WriteString("exceptions:\n")
		for range 1 + r.IntN(2) {
			fmt.Fprintf(&b, "- {images: [%q]%s, reason: x, owner: y, expires: 2030-01-01T00:00:00Z}\n", pick("reg.example/web", "reg.example/other"), place())
		}
		p, err := pipeline.Parse([]byte(b.String()))
		if err != nil {
			continue // of two rules neither would win
		}
		if read++; read%2 == 0 { // an exception from outside of it, too
			a, err := pipeline.ParseAddition(fmt.Appendf(nil, "images: [reg.example/web]\nreason: x\nowner: y\nexpires: 2030-01-01T00:00:00Z\n%s\n", strings.TrimPrefix(place(), ", ")), "outside")
			if err != nil {
				continue // a cluster twice
			}
			if p, err = p.WithExceptions([]*pipeline.Addition{a}); err != nil {
				t.Fatal(err)
			}
			added++
		}
		now := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
		answer := func(cluster string) string {
			s := p.Select(pipeline.Question{Repository: "reg.example/web", Where: pipeline.Where{Cluster: cluster}, Now: now})
			if s.Exception != nil {
				return "excepted" // whatever the rule
			}
			return "rule " + s.Rule
		}
		stand := map[string]bool{}
		for _, c := range p.Clusters("reg.example/web", "") {
			stand[answer(c)] = true
		}
		for _, cluster := range []string{"a", "b", "ab", "ba", "aab", "abb", "aa", "bb", "c", "ac", "cb", "acb", "cac", "x-y"} {
			if s := answer(cluster); !stand[s] {
				t.Fatalf("cluster %s is decided by %q, and %q stand for all:\n%s", cluster, s, p.Clusters("reg.example/web", ""), b.String())
			}
		}
	}
	if read < 300 || added < 100 {
		t.Fatalf("%d policies were read, and to %d an exception added", read, added)
	}
}
