package document_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
)

// small limits keep the fuzzer from testing how long a million values take.
var small = document.Limits{Bytes: 1 << 16, Nodes: 2000, Depth: 16, Documents: 20}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"a: 1\nb: [x, 'y', \"z\"]\n", "a: &x {b: 1}\nc: *x\n", "--- |\n  x\n---\n# c\n---\n- 1\n", "%YAML 1.2\n---\na: >-\n  b\n",
		"? a\n: b\n", "{\"a\": [1, null]}", "[[[[", "- - - -", "a: *b", "<<: x", "a: !!str\n", "\"\\x41\": 1\n", "a:\n- b\n- c: d\n",
		"a: b: c", "- &x [*x]", "a\r\n", "...\n", "--- a\n...\n--- b", "a: {b: c, d}\n", "!!map {}", "a: 'x\n\n  y'\n", ": x", "{? a, b}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := document.Read(data, small)
		if err != nil {
			faults, ok := errors.AsType[document.Faults](err)
			if !ok && shuin.CodeOf(err) != shuin.CodeLimit {
				t.Fatalf("an error of another kind: %v", err)
			}
			lines := bytes.Count(data, []byte("\n")) + 1
			for _, one := range faults {
				if one.Text == "" || one.Line < 0 || one.Line > lines {
					t.Fatalf("%+v of %d lines", one, lines)
				}
			}
			return
		}
		nodes := 0
		for _, d := range docs {
			check(t, d, 1, bytes.Count(data, []byte("\n"))+1, &nodes)
		}
		if nodes > small.Nodes || len(docs) > small.Documents {
			t.Fatalf("%d nodes, %d documents", nodes, len(docs))
		}
	})
}

// check holds a tree to what its type says.
func check(t *testing.T, n *document.Node, depth, lines int, nodes *int) {
	*nodes++
	if n.Kind < document.Mapping || n.Kind > document.Null || n.Line < 1 || n.Line > lines {
		t.Fatalf("%+v of %d lines", n, lines)
	}
	if (n.Kind == document.Mapping || n.Kind == document.Sequence) && depth > small.Depth {
		t.Fatalf("depth %d", depth)
	}
	seen := map[string]bool{}
	for _, p := range n.Pairs {
		if seen[p.Key] || p.Line < 1 || p.Line > lines || p.Value == nil {
			t.Fatalf("pair %+v", p)
		}
		seen[p.Key] = true
		check(t, p.Value, depth+1, lines, nodes)
	}
	for _, item := range n.Items {
		check(t, item, depth+1, lines, nodes)
	}
}

// FuzzJSONAgrees holds the reading of JSON to the library's own: the same
// input is refused, and what is read says the same.
func FuzzJSONAgrees(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u00e9\n",true,null,{}]}`, `[]`, `{"a":1}{"b":2}`, `{"a":1,"a":2}`, `[1`, `{"":""}`, "[\"\x7f\"]", "{} x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		trimmed := bytes.TrimLeft(data, " \t\r\n")
		if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' {
			return
		}
		docs, err := document.Read(data, small)
		if shuin.CodeOf(err) == shuin.CodeLimit {
			return
		}
		var want []string
		var wantErr error
		dec := jsontext.NewDecoder(bytes.NewReader(data))
		for {
			v, err := dec.ReadValue()
			if errors.Is(err, io.EOF) {
				break
			}
			if wantErr = err; err != nil {
				break
			}
			v = v.Clone()
			if err := v.Compact(); err != nil {
				t.Fatal(err)
			}
			want = append(want, string(v))
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, the library says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		var got []string
		for _, d := range docs {
			got = append(got, encode(t, d))
		}
		for i, w := range want {
			v := jsontext.Value(w)
			if err := v.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false), jsontext.ReorderRawObjects(false)); err != nil {
				t.Fatal(err)
			}
			want[i] = string(v)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("read %q, the library %q", got, want)
		}
	})
}

func encode(t *testing.T, n *document.Node) string {
	var b bytes.Buffer
	var write func(n *document.Node)
	quote := func(s string) {
		q, err := jsontext.AppendQuote(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(q)
	}
	write = func(n *document.Node) {
		switch n.Kind {
		case document.Mapping:
			b.WriteByte('{')
			for i, p := range n.Pairs {
				if i > 0 {
					b.WriteByte(',')
				}
				quote(p.Key)
				b.WriteByte(':')
				write(p.Value)
			}
			b.WriteByte('}')
		case document.Sequence:
			b.WriteByte('[')
			for i, item := range n.Items {
				if i > 0 {
					b.WriteByte(',')
				}
				write(item)
			}
			b.WriteByte(']')
		case document.String:
			quote(n.Text)
		case document.Null:
			b.WriteString("null")
		default:
			b.WriteString(n.Text)
		}
	}
	write(n)
	return b.String()
}
