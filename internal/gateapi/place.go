package gateapi

import (
	"fmt"
	"strings"

	"github.com/shuin/shuin/pipeline"
)

// outside says why a principal may not ask about a place; nil: it may.
func (p *Principal) outside(w pipeline.Where) *failure {
	if p.Anywhere {
		return nil
	}
	for _, one := range []struct {
		what, name string
		patterns   []string
	}{{"cluster", w.Cluster, p.Clusters}, {"namespace", w.Namespace, p.Namespaces}} {
		if pipeline.Named(one.patterns, one.name) {
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
