package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
)

// differences names the fields of got that are not as in want; both are JSON.
// What is empty and what is not there are the same.
func differences(at string, want, got any) (out []string) {
	if reflect.DeepEqual(want, got) || absent(want) && absent(got) {
		return nil
	}
	if _, ok := got.(map[string]any); ok && want == nil {
		want = map[string]any{}
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		names := maps.Clone(w)
		maps.Copy(names, g)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			out = append(out, differences(at+"."+name, w[name], g[name])...)
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			out = append(out, differences(fmt.Sprintf("%s[%d]", at, i), w[i], g[i])...)
		}
		return out
	}
	return []string{fmt.Sprintf("%s is %s, not %s", visible(at), inShort(got), inShort(want))}
}

func absent(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return v == nil
}

// inShort is the beginning of a JSON value, to be shown.
func inShort(v any) string {
	const most = 80
	if absent(v) {
		return "empty"
	}
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return "unreadable"
	}
	if r := []rune(string(data)); len(r) > most {
		return visible(string(r[:most]) + "…")
	}
	return visible(string(data))
}
