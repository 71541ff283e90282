package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// decoder fills a configuration from a document, and collects what is wrong
// with it. It goes on after each fault.
type decoder struct {
	lines  map[string]int // of the keys that are written, by path
	faults document.Faults
	// unreadable: nothing of the document is in the configuration.
	unreadable bool
}

// decodeConfig reads YAML or JSON into c. Unknown and repeated keys, wrong
// types and further documents are faults. What can be read is in c whatever
// else is wrong, so that warn mode can be told.
func decodeConfig(text []byte, c *config) *decoder {
	d := &decoder{lines: map[string]int{}}
	docs, err := document.Read(text, document.Limits{Bytes: limits.LambdaConfigBytes})
	if err != nil {
		if faults, ok := errors.AsType[document.Faults](err); ok {
			d.faults = faults
		} else {
			d.faults.Add(0, "", "%v", err)
		}
		d.unreadable = true
		if saysWarn(text) {
			c.Mode = modeWarn
		}
		return d
	}
	switch {
	case len(docs) == 0: // all defaults: validate says what is missing
	case len(docs) > 1:
		d.faults.Add(docs[1].Line, "", "a second document: there can be one only")
		fallthrough
	default:
		d.mapping("", docs[0], reflect.ValueOf(c).Elem())
	}
	return d
}

// Lines that set the mode, of what cannot be read as a document: at the top of
// YAML, or anywhere in an object of JSON, where no other key is called so.
const (
	modeLine   = `(?mi)^(?:"mode"|'mode'|mode)[ \t]*:[ \t]*["']?([a-z]*)["']?[ \t]*(?:#.*)?\r?$`
	modeMember = `(?i)[{,]\s*(?:"mode"|mode)\s*:\s*["']?([a-z]*)`
)

// saysWarn says whether a text that is no document asks for warn mode all the
// same, and nowhere for another. A mistake in another line is not to block
// deployments that were not to be blocked.
func saysWarn(text []byte) bool {
	if len(text) > limits.LambdaConfigBytes {
		return false
	}
	line := modeLine
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		line = modeMember
	}
	all := regexp.MustCompile(line).FindAllSubmatch(text, -1)
	return len(all) > 0 && !slices.ContainsFunc(all, func(m [][]byte) bool { return !strings.EqualFold(string(m[1]), modeWarn) })
}

// at adds a fault of the key named by path; a key that is not written is
// blamed on the nearest that is.
func (d *decoder) at(path, format string, args ...any) {
	line := 0
	for p := path; line == 0 && p != ""; {
		line = d.lines[p]
		p = p[:max(strings.LastIndexAny(p, ".["), 0)]
	}
	d.faults.Add(line, path, format, args...)
}

// mapping fills the struct v.
func (d *decoder) mapping(path string, n *document.Node, v reflect.Value) {
	switch n.Kind {
	case document.Mapping:
	case document.Null:
		return
	default:
		d.faults.Add(n.Line, path, "keys and values are wanted here, not %s", n.Kind)
		return
	}
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	for _, pair := range n.Pairs {
		full := strings.TrimPrefix(path+"."+pair.Key, ".")
		field, known := fields[pair.Key]
		if !known {
			d.faults.Add(pair.Line, full, "unknown key%s", nearest(pair.Key, fields))
			continue
		}
		d.lines[full] = pair.Line
		d.value(full, pair.Value, field)
	}
}

func (d *decoder) value(path string, n *document.Node, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.sequence(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// sequence fills a list; its elements are named path[0], path[1], ….
func (d *decoder) sequence(path string, n *document.Node, v reflect.Value) {
	switch {
	case n.Kind == document.Null:
		return
	case n.Kind != document.Sequence:
		d.at(path, "a list is wanted, not %s", n.Kind)
		return
	case len(n.Items) > limits.ConfigElements:
		d.at(path, "more than %d elements (limit ConfigElements)", limits.ConfigElements)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
	for i, item := range n.Items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = item.Line
		d.value(at, item, v.Index(i))
	}
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

// scalar sets one value. Nothing (null) leaves the default.
func (d *decoder) scalar(path string, n *document.Node, v reflect.Value) {
	if n.Kind == document.Null {
		return
	}
	wrong := func(want string) {
		got := n.Kind.String()
		if n.Kind != document.Mapping && n.Kind != document.Sequence {
			got = shown(n.Text)
		}
		d.at(path, "%s is wanted, not %s", want, got)
	}
	if _, ok := v.Interface().(time.Duration); ok {
		life, err := pipeline.ParseDuration(n.Text)
		if err != nil || n.Kind != document.String && n.Text != "0" {
			wrong("a duration such as 90s, 15m or 24h")
			return
		}
		v.SetInt(int64(life))
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Kind != document.String {
			wrong("a text (in quotes, if it looks like something else)")
			return
		}
		v.SetString(n.Text)
	case reflect.Bool:
		if n.Kind != document.Bool {
			wrong("true or false")
			return
		}
		v.SetBool(n.Text == "true")
	case reflect.Int:
		i, err := strconv.Atoi(n.Text)
		if n.Kind != document.Number || err != nil {
			wrong("a whole number")
			return
		}
		v.SetInt(int64(i))
	default:
		panic("a kind of field that no configuration has: " + v.Kind().String())
	}
}
