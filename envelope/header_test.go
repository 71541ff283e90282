package envelope

import (
	"testing"

	"github.com/go-json-experiment/json"
)

// TestTheProtectedHeaderIsWrittenAsTheLibraryDoes: without reflection, the
// bytes are the same.
func TestTheProtectedHeaderIsWrittenAsTheLibraryDoes(t *testing.T) {
	for name, header := range map[string]map[string]any{
		"empty":         {},
		"texts":         {"alg": "ES384", "b": "é \"\\\n\u2028<&", "": "", "a": "1"},
		"lists":         {"crit": []any{"a", "b", []any{}, 1.5, nil, true}},
		"no list":       {"crit": []any(nil)},
		"other values":  {"n": 12, "f": 1e21, "null": nil, "m": map[string]any{"z": 1, "a": []string{"x"}}, "bytes": []byte("ab")},
		"foreign names": {"日本": "x", "Z": "y", "é": "z"},
	} {
		want, err := json.Marshal(header, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendHeader(nil, header)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, want)
		}
	}
	for name, header := range map[string]map[string]any{
		"a text that is not UTF-8": {"a": "\xff"},
		"a name that is not UTF-8": {"\xff": "a"},
		"a value there is no JSON": {"a": func() {}},
		"one within a list":        {"a": []any{make(chan int)}},
	} {
		if data, err := appendHeader(nil, header); err == nil {
			t.Errorf("%s was written as %s", name, data)
		}
	}
}
