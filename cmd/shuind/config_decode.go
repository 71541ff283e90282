package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// faults are the reasons why a configuration cannot be used, all of them.
type faults struct {
	file  string
	lines map[string]int // of the keys that are written, by path
	list  []fault
}

type fault struct {
	line int
	text string
}

// at adds a fault of the key named by path (with dots); a key that is not
// written is blamed on the nearest mapping that is.
func (f *faults) at(path, format string, args ...any) {
	line := 0
	for p := path; line == 0 && p != ""; {
		line = f.lines[p]
		i := strings.LastIndexAny(p, ".[")
		p = p[:max(i, 0)]
	}
	f.list = append(f.list, fault{line, path + ": " + fmt.Sprintf(format, args...)})
}

// err is all faults as one error, in the order of their lines; nil for none.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b fault) int { return a.line - b.line })
	var b strings.Builder
	for _, one := range f.list {
		if one.line > 0 {
			fmt.Fprintf(&b, "\n  %s:%d: %s", f.file, one.line, printable(one.text))
		} else {
			fmt.Fprintf(&b, "\n  %s: %s", f.file, printable(one.text))
		}
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput,
		Message: fmt.Sprintf("the configuration has %d fault(s):%s", len(f.list), b.String()),
		Hint:    "shuind config example prints a configuration that says what each key means"}
}

// decodeConfig reads YAML into c. Unknown and repeated keys, wrong types,
// anchors, tags and further documents are faults; it goes on after each.
func decodeConfig(file string, text []byte, c *config) *faults {
	f := &faults{file: file, lines: map[string]int{}}
	doc, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		one := fault{text: "not YAML: " + oneLine(err.Error())}
		if at, ok := errors.AsType[yaml.Error](err); ok && at.GetToken() != nil {
			one = fault{at.GetToken().Position.Line, "not YAML: " + at.GetMessage()}
		}
		f.list = append(f.list, one)
		return f
	}
	var bodies []ast.Node
	for _, d := range doc.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	switch {
	case len(bodies) == 0: // all defaults: validate says what is missing
	case len(bodies) > 1:
		f.list = append(f.list, fault{bodies[1].GetToken().Position.Line, "a second document: there can be one only"})
	default:
		f.mapping("", bodies[0], reflect.ValueOf(c).Elem())
	}
	return f
}

// mapping fills the struct v.
func (f *faults) mapping(path string, n ast.Node, v reflect.Value) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	case *ast.NullNode:
		return
	case *ast.CommentGroupNode:
		return
	default:
		f.list = append(f.list, fault{n.GetToken().Position.Line, strings.TrimPrefix(path+": ", ": ") + "keys and values are wanted here"})
		return
	}
	fields := fieldsOf(v)
	for _, pair := range pairs {
		line := pair.Key.GetToken().Position.Line
		key := pair.Key.GetToken().Value
		full := strings.TrimPrefix(path+"."+key, ".")
		field, known := fields[key]
		_, repeated := f.lines[full]
		switch {
		case !known:
			f.list = append(f.list, fault{line, "unknown key " + full + nearest(key, fields)})
			continue
		case repeated:
			f.list = append(f.list, fault{line, "the key " + full + " is there twice"})
			continue
		}
		f.lines[full] = line
		f.value(full, pair.Value, field)
	}
}

// value sets a field of any kind.
func (f *faults) value(path string, n ast.Node, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		f.mapping(path, n, v)
	case reflect.Slice:
		f.sequence(path, n, v)
	default:
		f.scalar(path, n, v)
	}
}

// sequence fills a list; its elements are named path[0], path[1], ….
func (f *faults) sequence(path string, n ast.Node, v reflect.Value) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, null := n.(*ast.NullNode); !null {
			f.at(path, "a list is wanted")
		}
		return
	}
	if len(list.Values) > limits.ConfigElements {
		f.at(path, "more than %d elements (limit ConfigElements)", limits.ConfigElements)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, one := range list.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		f.lines[at] = one.GetToken().Position.Line
		f.value(at, one, v.Index(i))
	}
}

// fieldsOf are the fields of a struct by their names in YAML.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	return fields
}

// nearest names the key that was probably meant.
func nearest(key string, fields map[string]reflect.Value) string {
	for name := range fields {
		if strings.EqualFold(name, key) {
			return ": it is written " + name
		}
	}
	return ""
}

// scalar sets one value.
func (f *faults) scalar(path string, n ast.Node, v reflect.Value) {
	text, isString := stringOf(n)
	wrong := func(want string) {
		got := text
		if !isString {
			got = n.String()
		}
		f.at(path, "%s is wanted, not %q", want, oneLine(got))
	}
	switch v.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text)
		if !isString || err != nil {
			wrong("a duration such as 90s, 15m or 24h")
			return
		}
		v.SetInt(int64(d))
		return
	}
	switch v.Kind() {
	case reflect.String:
		if !isString {
			wrong("a text (in quotes, if it looks like something else)")
			return
		}
		v.SetString(text)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			wrong("true or false")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int:
		i, ok := n.(*ast.IntegerNode)
		value, fits := integer(i, ok)
		if !fits {
			wrong("a whole number")
			return
		}
		v.SetInt(value)
	default:
		panic("a kind of field that no configuration has: " + v.Kind().String())
	}
}

func stringOf(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	}
	return "", false
}

func integer(n *ast.IntegerNode, ok bool) (int64, bool) {
	if !ok {
		return 0, false
	}
	switch i := n.Value.(type) {
	case int64:
		return i, true
	case uint64:
		return int64(i), i <= 1<<53 // what every reader of numbers takes for what it is: BundleSequence
	}
	return 0, false
}
