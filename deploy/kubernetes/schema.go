package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/shuin/shuin"
)

// validate holds values to values.schema.json.
func validate(v Values) error {
	schema, err := ParseValues(Chart()["values.schema.json"])
	if err != nil {
		return err
	}
	var faults []string
	definitions, _ := schema["definitions"].(map[string]any)
	(&validation{definitions, &faults}).check("", schema, map[string]any(v))
	if len(faults) == 0 {
		return nil
	}
	return &shuin.Error{
		Code: shuin.CodeInvalidInput, Message: "the values are not fit for the chart: " + strings.Join(faults, "; "),
		Hint: "\"shuin k8s values\" prints all values with what they mean",
	}
}

// keywords are those of JSON Schema (draft 7) that the chart's schema may use:
// another one is a fault of the schema. What a description says is told where a
// pattern does not match.
var keywords = []string{
	"$schema", "$ref", "definitions", "title", "description", "type", "additionalProperties", "required", "properties", "propertyNames",
	"pattern", "minLength", "maxLength", "minimum", "maximum", "enum", "items", "maxItems",
}

// validation is one look at all values.
type validation struct {
	definitions map[string]any
	faults      *[]string
}

func (c *validation) check(at string, schema map[string]any, v any) {
	bad := func(format string, args ...any) {
		where := at
		if where == "" {
			where = "values"
		}
		*c.faults = append(*c.faults, where+": "+fmt.Sprintf(format, args...))
	}
	if ref, ok := schema["$ref"].(string); ok { // what stands beside it does not count
		if schema, ok = c.definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any); !ok {
			bad("the schema refers to %s, which it does not define", ref)
			return
		}
	}
	for key := range schema {
		if !slices.Contains(keywords, key) {
			bad("the schema has %s, which is not known here", key)
		}
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		var all []string
		for _, one := range enum {
			all = append(all, cmp.Or(fmt.Sprint(one), "nothing"))
		}
		bad("%s, not %s", strings.Join(all, " or "), shown(v))
		return
	}
	if want, ok := schema["type"].(string); ok && typeOf(v) != want {
		bad("%s is wanted, not %s", map[string]string{
			"object": "keys and values", "array": "a list", "string": "a text", "integer": "a whole number", "boolean": "true or false",
		}[want], shown(v))
		return
	}
	switch v := v.(type) {
	case map[string]any:
		c.checkObject(at, schema, v, bad)
	case []any:
		if high, ok := schema["maxItems"].(int64); ok && int64(len(v)) > high {
			bad("%d at most, not %d", high, len(v))
		}
		if items, ok := schema["items"].(map[string]any); ok {
			for i, one := range v {
				c.check(fmt.Sprintf("%s[%d]", at, i), items, one)
			}
		}
	case string:
		checkText(schema, v, bad)
	case int64:
		if low, ok := schema["minimum"].(int64); ok && v < low {
			bad("%d at least, not %d", low, v)
		}
		if high, ok := schema["maximum"].(int64); ok && v > high {
			bad("%d at most, not %d", high, v)
		}
	}
}

func (c *validation) checkObject(at string, schema, v map[string]any, bad func(string, ...any)) {
	if required, ok := schema["required"].([]any); ok {
		for _, name := range required {
			if _, there := v[fmt.Sprint(name)]; !there {
				bad("%s is missing", name)
			}
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	names, _ := schema["propertyNames"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(v)) {
		path := strings.TrimPrefix(at+"."+key, ".")
		if one, ok := properties[key].(map[string]any); ok {
			c.check(path, one, v[key])
			continue
		}
		switch more := schema["additionalProperties"].(type) {
		case bool:
			if !more {
				bad("there is no value %s", shown(key))
			}
		case map[string]any:
			c.check(path, more, v[key])
		}
		if names != nil {
			checkText(names, key, bad)
		}
	}
}

func checkText(schema map[string]any, v string, bad func(string, ...any)) {
	n := int64(utf8.RuneCountInString(v))
	if low, ok := schema["minLength"].(int64); ok && n < low {
		bad("it is missing, or too short")
		return
	}
	if high, ok := schema["maxLength"].(int64); ok && n > high {
		bad("it is longer than %d characters", high)
		return
	}
	if pattern, ok := schema["pattern"].(string); ok {
		if re, err := regexp.Compile(pattern); err != nil || !re.MatchString(v) {
			wanted := pattern
			if said, ok := schema["description"].(string); ok {
				wanted = said
			}
			bad("%s does not look as it has to (%s)", shown(v), wanted)
		}
	}
}

func typeOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case int64:
		return "integer"
	case float64:
		return "number"
	case bool:
		return "boolean"
	}
	return "null"
}

// shown is a wrong value in an error's text; what could be long or a secret is
// not shown.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return quoteShort(v)
	case nil:
		return "nothing"
	case map[string]any:
		return "keys and values"
	case []any:
		return "a list"
	}
	return fmt.Sprint(v)
}
