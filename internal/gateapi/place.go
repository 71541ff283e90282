package gateapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin/pipeline"
)

// outside says why a principal may not ask about a place; nil: it may. Names
// are matched as the rules of a policy match them: a place that is not named
// is in no list.
func (p *Principal) outside(w pipeline.Where) *failure {
	if p.Anywhere {
		return nil
	}
	for _, one := range []struct {
		what, name string
		patterns   []string
	}{{"cluster", w.Cluster, p.Clusters}, {"namespace", w.Namespace, p.Namespaces}} {
		if len(one.patterns) == 0 || one.name != "" && slices.ContainsFunc(one.patterns, func(g string) bool { return glob(g, one.name) }) {
			continue
		}
		about := "without naming one"
		if one.name != "" {
			about = "about " + echo(one.name)
		}
		f := newFailure(codePlace, fmt.Sprintf("principal %q may ask about the %ss %s, and this request is %s", p.Name, one.what, strings.Join(one.patterns, ", "), about),
			fmt.Sprintf("name one of these %ss, or have the principal's %ss changed in the server's configuration (gate.principals)", one.what, one.what))
		f.reason = one.what
		return f
	}
	return nil
}

// glob matches a text in which "*" is any run of characters, as pipeline
// matches names of clusters and namespaces. It is linear but for the last star.
func glob(pattern, s string) bool {
	i, j, star, from := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, from = i, j
			i++
		case i < len(pattern) && pattern[i] == s[j]:
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
