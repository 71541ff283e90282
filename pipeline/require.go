package pipeline

import (
	"slices"
	"strconv"
	"strings"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
)

// operator is what a requirement wants of its items.
type operator uint8

const (
	isStage operator = iota + 1 // the stage is sealed
	allOf
	anyOf
	atLeast // n of them, by different signers
)

// requirement is a tree over stages.
type requirement struct {
	op    operator
	n     int
	stage int // into Policy.stages
	of    []*requirement
}

// stages adds the stages that r names to those of list, each once.
func (r *requirement) stages(list []int) []int {
	if r == nil {
		return list
	}
	if r.op == isStage {
		if !slices.Contains(list, r.stage) {
			list = append(list, r.stage)
		}
		return list
	}
	for _, one := range r.of {
		list = one.stages(list)
	}
	return list
}

// countsSigners says whether there is an atLeast in r.
func (r *requirement) countsSigners() bool {
	return r != nil && (r.op == atLeast || slices.ContainsFunc(r.of, (*requirement).countsSigners))
}

// text is r as a policy writes it.
func (r *requirement) text(p *Policy) string {
	if r.op == isStage {
		return p.stages[r.stage].name
	}
	items := make([]string, len(r.of))
	for i, one := range r.of {
		items[i] = one.text(p)
	}
	list := "[" + strings.Join(items, ", ") + "]"
	switch r.op {
	case allOf:
		return "{all: " + list + "}"
	case anyOf:
		return "{any: " + list + "}"
	}
	return "{atLeast: " + strconv.Itoa(r.n) + ", of: " + list + "}"
}

// requirement reads one; nil where it has a fault.
func (p *parsing) requirement(a at, depth int) *requirement {
	if depth > limits.PolicyDepth {
		p.fault(a, "requirements are nested deeper than %d", limits.PolicyDepth)
		return nil
	}
	o := p.object(a, "all", "any", "atLeast", "of")
	if o == nil {
		return nil
	}
	written := 0
	for _, key := range []string{"all", "any", "atLeast"} {
		if o.has(key) {
			written++
		}
	}
	if written != 1 || o.has("of") != o.has("atLeast") {
		p.fault(a, "one of {all: […]}, {any: […]} and {atLeast: 2, of: […]} is wanted")
		return nil
	}
	r := &requirement{}
	var list at
	switch {
	case o.has("all"):
		r.op, list = allOf, o.field("all")
	case o.has("any"):
		r.op, list = anyOf, o.field("any")
	default:
		r.op, list = atLeast, o.field("of")
	}
	r.of = p.items(list, r.op, depth)
	if r.op == atLeast {
		r.n = p.count(o.field("atLeast"), len(list.node.Items))
	}
	return r
}

// items reads stage names and nested requirements.
func (p *parsing) items(a at, op operator, depth int) []*requirement {
	var out []*requirement
	seen := map[int]bool{}
	for _, item := range p.list(a, "stages", limits.PolicyItems) {
		if item.node.Kind != document.String {
			if item.node.Kind != document.Mapping {
				p.wrong(item, "the name of a stage, or a nested requirement")
			} else if nested := p.requirement(item, depth+1); nested != nil {
				out = append(out, nested)
			}
			continue
		}
		index, known := p.names[item.node.Text]
		if !known {
			names := make([]string, len(p.policy.stages))
			for i := range p.policy.stages {
				names[i] = p.policy.stages[i].name
			}
			if len(names) == 0 {
				names = []string{"no stages in this policy"}
			}
			p.fault(item, "stage %q is not defined%s", item.node.Text, nearest(item.node.Text, names))
			continue
		}
		if seen[index] && op != atLeast { // there it means another signer for the same stage
			p.fault(item, "stage %q is listed twice", item.node.Text)
		}
		seen[index] = true
		out = append(out, &requirement{op: isStage, stage: index})
	}
	return out
}

// count reads the number of an atLeast.
func (p *parsing) count(a at, items int) int {
	n, err := strconv.Atoi(a.node.Text)
	switch {
	case a.node.Kind != document.Number || err != nil:
		p.wrong(a, "a whole number")
	case n < 1:
		p.fault(a, "at least %d is always so: 1 or more is wanted", n)
	case n > items:
		p.fault(a, "at least %d of %d can never be", n, items)
	}
	return n
}
