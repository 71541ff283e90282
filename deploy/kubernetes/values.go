package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/shuin/shuin/internal/document"
)

// Values are what the chart is rendered with: texts, bool, int64, float64, nil,
// []any and map[string]any.
type Values map[string]any

// ParseValues reads a file of values, YAML or JSON.
func ParseValues(data []byte) (Values, error) {
	docs, err := document.Read(data, document.Limits{Documents: 1})
	if err != nil {
		return nil, invalid("values: %w", err)
	}
	if len(docs) == 0 {
		return Values{}, nil
	}
	v, ok := plain(docs[0]).(map[string]any)
	if !ok {
		return nil, invalid("values: line %d: keys and values are wanted, not %s", docs[0].Line, docs[0].Kind)
	}
	return v, nil
}

// plain is a node as Go's own types.
func plain(n *document.Node) any {
	switch n.Kind {
	case document.Mapping:
		m := map[string]any{}
		for _, p := range n.Pairs {
			m[p.Key] = plain(p.Value)
		}
		return m
	case document.Sequence:
		list := make([]any, len(n.Items))
		for i, one := range n.Items {
			list[i] = plain(one)
		}
		return list
	case document.Bool:
		return n.Text == "true"
	case document.Number:
		return number(n.Text)
	case document.Null:
		return nil
	}
	return n.Text
}

// number is one as a document has it; what Go does not read stays a text, and
// the schema says that no text is wanted.
func number(text string) any {
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		return i
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return text
}

// Merge lays over over v, as Helm does: mappings member by member, all else as a
// whole.
func (v Values) Merge(over Values) Values {
	out := maps.Clone(v)
	for key, value := range over {
		m, is := value.(map[string]any)
		below, was := out[key].(map[string]any)
		if is && was {
			out[key] = map[string]any(Values(below).Merge(m))
			continue
		}
		out[key] = value
	}
	return out
}

// merge lays what was given over the chart's own: nothing (null) takes a value
// of the chart's away.
func merge(own, given Values) Values {
	out := own.Merge(given)
	var drop func(m map[string]any)
	drop = func(m map[string]any) {
		for key, value := range m {
			if value == nil {
				delete(m, key)
			} else if below, ok := value.(map[string]any); ok {
				below = maps.Clone(below)
				drop(below)
				m[key] = below
			}
		}
	}
	drop(out)
	return out
}

// Set sets one value, as helm's --set does: "a.b=c", with true, false, null and
// whole numbers as what they are, "{a,b}" a list, and "\." a dot that separates
// nothing.
func (v Values) Set(pair string) error {
	key, text, ok := strings.Cut(pair, "=")
	if !ok {
		return invalid("--set %s: KEY=VALUE is wanted", quoteShort(pair))
	}
	var value any = text
	if inner, isList := strings.CutPrefix(text, "{"); isList && strings.HasSuffix(inner, "}") {
		list := []any{}
		for one := range strings.SplitSeq(strings.TrimSuffix(inner, "}"), ",") {
			if one != "" {
				list = append(list, scalar(one))
			}
		}
		value = list
	} else if strings.Contains(text, ",") {
		return invalid("--set %s: one KEY=VALUE for each --set; a list is {a,b}", quoteShort(pair))
	} else {
		value = scalar(text)
	}
	return v.set(key, value)
}

// SetText sets one value to a text, as helm's --set-file does with a file's.
func (v Values) SetText(key, text string) error { return v.set(key, text) }

func (v Values) set(key string, value any) error {
	var names []string
	name := ""
	for i := 0; i < len(key); i++ {
		switch {
		case key[i] == '\\' && i+1 < len(key):
			i++
			name += key[i : i+1]
		case key[i] == '.':
			names, name = append(names, name), ""
		default:
			name += key[i : i+1]
		}
	}
	names = append(names, name)
	if slices.Contains(names, "") || strings.ContainsAny(key, "[]") {
		return invalid("--set %s: a key such as image.tag is wanted", quoteShort(key))
	}
	m := map[string]any(v)
	for _, one := range names[:len(names)-1] {
		below, ok := m[one].(map[string]any)
		if !ok {
			below = map[string]any{}
			m[one] = below
		}
		m = below
	}
	m[names[len(names)-1]] = value
	return nil
}

func scalar(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(i, 10) == text {
		return i
	}
	return text
}

func quoteShort(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return fmt.Sprintf("%q", s)
}
