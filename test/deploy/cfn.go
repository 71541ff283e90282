package deploy

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// template is a CloudFormation template as CloudFormation itself sees it: the
// short forms of its functions (!Ref, !Sub, …) written out.
type template map[string]any

// parseTemplate reads a template. Keys that are there twice are an error.
func parseTemplate(text []byte) (template, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("%d documents, want one", len(file.Docs))
	}
	v, err := plain(file.Docs[0].Body)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a template is a mapping, not %T", v)
	}
	return m, nil
}

// plain is a node as maps, lists, strings and numbers.
func plain(n ast.Node) (any, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return mapping(n.Values)
	case *ast.MappingValueNode:
		return mapping([]*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out := []any{}
		for _, item := range n.Values {
			v, err := plain(item)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case *ast.TagNode:
		v, err := plain(n.Value)
		if err != nil {
			return nil, err
		}
		return function(n.Start.Value, v)
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil // CloudFormation takes all of them as text
	}
	return nil, fmt.Errorf("%s: %T has no place in a template", n.GetPath(), n)
}

func mapping(values []*ast.MappingValueNode) (any, error) {
	out := map[string]any{}
	for _, pair := range values {
		key := pair.Key.GetToken().Value
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("line %d: %q is there twice", pair.Key.GetToken().Position.Line, key)
		}
		v, err := plain(pair.Value)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
	return out, nil
}

// function writes a short form out.
func function(tag string, v any) (any, error) {
	switch tag {
	case "!Ref":
		return map[string]any{"Ref": v}, nil
	case "!GetAtt", "!Sub", "!Join", "!Split", "!If", "!Not", "!And", "!Or", "!Equals", "!FindInMap", "!Select":
		return map[string]any{"Fn::" + tag[1:]: v}, nil
	}
	return nil, fmt.Errorf("%s is no function that these templates use", tag)
}

// at is a value of a tree of maps; nil where there is none.
func at(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// each calls do for v and all below it.
func each(v any, do func(v any)) {
	do(v)
	switch v := v.(type) {
	case map[string]any:
		for _, one := range v {
			each(one, do)
		}
	case []any:
		for _, one := range v {
			each(one, do)
		}
	}
}

// statement is one statement of an IAM policy.
type statement struct {
	sid, effect         string
	actions             []string
	resource, condition any
	principal           any
}

// statements are all of a template's, wherever they are.
func (t template) statements() ([]statement, error) {
	var out []statement
	var failed error
	each(map[string]any(t), func(v any) {
		m, ok := v.(map[string]any)
		if !ok || m["Effect"] == nil {
			return
		}
		s := statement{resource: m["Resource"], condition: m["Condition"], principal: m["Principal"]}
		s.sid, _ = m["Sid"].(string)
		s.effect, _ = m["Effect"].(string)
		switch a := m["Action"].(type) {
		case string:
			s.actions = []string{a}
		case []any:
			for _, one := range a {
				text, ok := one.(string)
				if !ok {
					failed = fmt.Errorf("%s: an action is %v", s.sid, one)
				}
				s.actions = append(s.actions, text)
			}
		default:
			failed = fmt.Errorf("statement %q has no actions", s.sid)
		}
		out = append(out, s)
	})
	return out, failed
}
