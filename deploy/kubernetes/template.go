package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"
)

// engine renders templates: text/template's own parser, and of its language and
// Helm's functions what the chart uses. It is not text/template, which finds
// methods by their names while it runs: the linker then keeps all there are, and
// the program is a quarter larger.
type engine struct{ trees map[string]*parse.Tree }

func newEngine() *engine { return &engine{map[string]*parse.Tree{}} }

// known are the functions; what the parser asks for are their names alone.
var known = func() map[string]any {
	m := map[string]any{}
	for _, name := range []string{"and", "or", "not", "printf", "include", "required", "fail", "default", "quote", "toJson", "nindent", "sha256sum", "trunc", "trimSuffix", "ne", "list", "splitList", "index"} {
		m[name] = true
	}
	return m
}()

// add reads a template, and those that it defines.
func (e *engine) add(name, text string) error {
	trees, err := parse.Parse(name, text, "", "", known)
	if err != nil {
		return err
	}
	maps.Copy(e.trees, trees)
	return nil
}

// render is the text of a template.
func (e *engine) render(name string, dot any) (string, error) {
	tree := e.trees[name]
	if tree == nil {
		return "", fmt.Errorf("there is no template %q", name)
	}
	s := &scope{e: e, tree: tree, vars: []variable{{"$", dot}}}
	err := s.walk(dot, tree.Root)
	return s.out.String(), err
}

// scope is one template being rendered.
type scope struct {
	e    *engine
	tree *parse.Tree
	out  strings.Builder
	vars []variable
}

type variable struct {
	name  string
	value any
}

func (s *scope) fault(n parse.Node, format string, args ...any) error {
	at, context := s.tree.ErrorContext(n)
	return fmt.Errorf("%s: %s: %w", at, context, fmt.Errorf(format, args...))
}

func (s *scope) walk(dot any, n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, one := range n.Nodes {
			if err := s.walk(dot, one); err != nil {
				return err
			}
		}
		return nil
	case *parse.TextNode:
		s.out.Write(n.Text)
		return nil
	case *parse.CommentNode:
		return nil
	case *parse.ActionNode:
		v, err := s.pipe(dot, n.Pipe)
		if err != nil || len(n.Pipe.Decl) > 0 {
			return err
		}
		return s.print(n, v)
	case *parse.IfNode:
		return s.branch(dot, &n.BranchNode, false)
	case *parse.WithNode:
		return s.branch(dot, &n.BranchNode, true)
	case *parse.RangeNode:
		return s.loop(dot, n)
	}
	return s.fault(n, "this chart's renderer does not know such a node")
}

// print writes a value that is one: what is missing is a fault, not nothing.
func (s *scope) print(n parse.Node, v any) error {
	switch v := v.(type) {
	case string:
		s.out.WriteString(v)
	case bool, int64, float64:
		fmt.Fprint(&s.out, v)
	case nil:
		return s.fault(n, "there is no such value")
	default:
		return s.fault(n, "a %T is no text", v)
	}
	return nil
}

// branch is if and with.
func (s *scope) branch(dot any, n *parse.BranchNode, with bool) error {
	mark := len(s.vars)
	defer func() { s.vars = s.vars[:mark] }()
	v, err := s.pipe(dot, n.Pipe)
	switch {
	case err != nil:
		return err
	case !truth(v):
		return s.walk(dot, n.ElseList)
	case with:
		return s.walk(v, n.List)
	}
	return s.walk(dot, n.List)
}

func (s *scope) loop(dot any, n *parse.RangeNode) error {
	mark := len(s.vars)
	defer func() { s.vars = s.vars[:mark] }()
	decl := n.Pipe.Decl
	pipe := *n.Pipe
	pipe.Decl = nil // of the elements, not of the whole
	v, err := s.pipe(dot, &pipe)
	if err != nil {
		return err
	}
	one := func(key, value any) error {
		inner := len(s.vars)
		defer func() { s.vars = s.vars[:inner] }()
		switch len(decl) {
		case 1:
			s.vars = append(s.vars, variable{decl[0].Ident[0], value})
		case 2:
			s.vars = append(s.vars, variable{decl[0].Ident[0], key}, variable{decl[1].Ident[0], value})
		}
		return s.walk(value, n.List)
	}
	switch v := v.(type) {
	case nil:
	case []any:
		for i, value := range v {
			if err := one(int64(i), value); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := one(key, v[key]); err != nil {
				return err
			}
		}
	default:
		return s.fault(n, "range over a %T", v)
	}
	if !truth(v) {
		return s.walk(dot, n.ElseList)
	}
	return nil
}

// pipe is a pipeline's value.
func (s *scope) pipe(dot any, p *parse.PipeNode) (v any, err error) {
	for i, c := range p.Cmds {
		var last []any
		if i > 0 {
			last = []any{v}
		}
		if v, err = s.command(dot, c, last); err != nil {
			return nil, err
		}
	}
	for _, d := range p.Decl {
		if p.IsAssign {
			return nil, s.fault(p, "variables are not assigned anew here")
		}
		s.vars = append(s.vars, variable{d.Ident[0], v})
	}
	return v, nil
}

// command is one command's; last is what came through the pipe.
func (s *scope) command(dot any, c *parse.CommandNode, last []any) (any, error) {
	if name, ok := c.Args[0].(*parse.IdentifierNode); ok {
		return s.call(dot, name, c.Args[1:], last)
	}
	if len(c.Args) > 1 || len(last) > 0 {
		return nil, s.fault(c, "what is no function takes no arguments")
	}
	return s.value(dot, c.Args[0])
}

// value is an operand's.
func (s *scope) value(dot any, n parse.Node) (any, error) {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.NilNode:
		return nil, nil
	case *parse.StringNode:
		return n.Text, nil
	case *parse.BoolNode:
		return n.True, nil
	case *parse.NumberNode:
		if n.IsInt {
			return n.Int64, nil
		}
		return n.Float64, nil
	case *parse.FieldNode:
		return s.fields(n, dot, n.Ident)
	case *parse.VariableNode:
		for i := len(s.vars) - 1; i >= 0; i-- {
			if s.vars[i].name == n.Ident[0] {
				return s.fields(n, s.vars[i].value, n.Ident[1:])
			}
		}
		return nil, s.fault(n, "there is no variable %s", n.Ident[0])
	case *parse.PipeNode:
		return s.pipe(dot, n)
	case *parse.IdentifierNode:
		return s.call(dot, n, nil, nil)
	}
	return nil, s.fault(n, "this chart's renderer does not know such an operand")
}

// fields looks members up. The last may be missing: that is nothing.
func (s *scope) fields(n parse.Node, v any, names []string) (any, error) {
	for _, name := range names {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, s.fault(n, "%s is looked for in what has no members", name)
		}
		v = m[name]
	}
	return v, nil
}

// call calls a function; and, or look at no more operands than they need.
func (s *scope) call(dot any, name *parse.IdentifierNode, nodes []parse.Node, last []any) (any, error) {
	var args []any
	for _, n := range nodes {
		v, err := s.value(dot, n)
		if err != nil {
			return nil, err
		}
		if (name.Ident == "and" && !truth(v)) || (name.Ident == "or" && truth(v)) {
			return v, nil
		}
		args = append(args, v)
	}
	args = append(args, last...)
	if name.Ident == "include" {
		if len(args) != 2 {
			return nil, s.fault(name, "include takes a name and a value")
		}
		return s.e.render(fmt.Sprint(args[0]), args[1])
	}
	v, err := apply(name.Ident, args)
	if err != nil {
		return nil, s.fault(name, "%w", err)
	}
	return v, nil
}

var errArguments = errors.New("it has other arguments than it takes")

// apply is a function that depends on its arguments alone, as Helm has it.
func apply(name string, args []any) (any, error) {
	text := func(i int) (string, error) {
		if i >= len(args) {
			return "", errArguments
		}
		v, ok := args[i].(string)
		if !ok {
			return "", fmt.Errorf("%s of a %T", name, args[i])
		}
		return v, nil
	}
	switch name {
	case "and", "or":
		if len(args) == 0 {
			return nil, errArguments
		}
		return args[len(args)-1], nil
	case "printf":
		format, err := text(0)
		if err != nil {
			return nil, err
		}
		return fmt.Sprintf(format, args[1:]...), nil
	case "fail":
		message, err := text(0)
		if err != nil {
			return nil, err
		}
		return nil, errors.New(message)
	case "list":
		return append([]any{}, args...), nil
	case "not", "quote", "toJson", "sha256sum":
		if len(args) != 1 {
			return nil, errArguments
		}
	default:
		if len(args) != 2 {
			return nil, errArguments
		}
	}
	switch name {
	case "not":
		return !truth(args[0]), nil
	case "quote":
		if args[0] == nil {
			return "", nil
		}
		return fmt.Sprintf("%q", fmt.Sprint(args[0])), nil
	case "toJson":
		data, err := json.Marshal(args[0])
		return string(data), err
	case "required":
		if args[1] == nil || args[1] == "" {
			return nil, fmt.Errorf("%v", args[0])
		}
		return args[1], nil
	case "default":
		if truth(args[1]) {
			return args[1], nil
		}
		return args[0], nil
	case "ne", "index":
		return ofTwo(name, args[0], args[1])
	}
	return textFunction(name, args, text)
}

// ofTwo compares texts, or is a member of a list.
func ofTwo(name string, a, b any) (any, error) {
	if name == "ne" {
		one, ok := a.(string)
		other, both := b.(string)
		if !ok || !both {
			return nil, errArguments
		}
		return one != other, nil
	}
	list, ok := a.([]any)
	i, whole := b.(int64)
	if !ok || !whole || i < 0 || i >= int64(len(list)) {
		return nil, errArguments
	}
	return list[i], nil
}

// textFunction is one of texts.
func textFunction(name string, args []any, text func(int) (string, error)) (any, error) {
	s, err := text(len(args) - 1)
	if err != nil {
		return nil, err
	}
	switch name {
	case "sha256sum":
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:]), nil
	case "trimSuffix":
		suffix, err := text(0)
		return strings.TrimSuffix(s, suffix), err
	case "splitList":
		by, err := text(0)
		var out []any
		for one := range strings.SplitSeq(s, by) {
			out = append(out, one)
		}
		return out, err
	}
	n, ok := args[0].(int64)
	if !ok || n < 0 {
		return nil, errArguments
	}
	switch name {
	case "nindent":
		pad := strings.Repeat(" ", int(n))
		return "\n" + pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
	case "trunc":
		return s[:min(int(n), len(s))], nil
	}
	return nil, errArguments
}

// truth is what if and with go by.
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case int64:
		return v != 0
	case float64:
		return v != 0
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}
