package document_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
)

// show writes a tree in one line: {key@line: value}, [a, b], "text", 1, true, null.
func show(n *document.Node) string {
	if n == nil {
		return "nil"
	}
	var b strings.Builder
	switch n.Kind {
	case document.Mapping:
		b.WriteString("{")
		for i, p := range n.Pairs {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s@%d: %s", p.Key, p.Line, show(p.Value))
		}
		b.WriteString("}")
	case document.Sequence:
		b.WriteString("[")
		for i, item := range n.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(show(item))
		}
		b.WriteString("]")
	case document.String:
		fmt.Fprintf(&b, "%q", n.Text)
	case document.Null:
		b.WriteString("null")
	default:
		b.WriteString(n.Text)
	}
	return b.String()
}

func showAll(docs []*document.Node) string {
	all := make([]string, len(docs))
	for i, d := range docs {
		all[i] = show(d)
	}
	return strings.Join(all, " --- ")
}

func TestDocumentsAreReadWithTheirLines(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"white space and comments", "\n# only a comment\n---\n---\n# another\n", ""},
		{"a mapping", "a: 1\nb:\n  c: [x, 'y']\n", `{a@1: 1, b@2: {c@3: ["x", "y"]}}`},
		{"a value on the next line", "a:\n  text\n", `{a@1: "text"}`},
		{"the words of other schemas are texts", "a: yes\nb: on\nc: 1_000\nd: 0b1\ne: 12:30:45\nf: 2026-01-01\n", `{a@1: "yes", b@2: "on", c@3: "1_000", d@4: "0b1", e@5: "12:30:45", f@6: "2026-01-01"}`},
		{"numbers", "a: [0, -1, +2, 0o17, 0x1F, 1.5, .5, 1e3, -.inf, .nan, 007]\n", `{a@1: [0, -1, +2, 0o17, 0x1F, 1.5, .5, 1e3, -.inf, .nan, 007]}`},
		{"no numbers", "a: [1.2.3, 0o8, 0x, 1e, -, '1', \"2\", e5, 1-2]\n", `{a@1: ["1.2.3", "0o8", "0x", "1e", "-", "1", "2", "e5", "1-2"]}`},
		{"truths", "a: [true, True, TRUE, false, 'true', tRUE]\n", `{a@1: [true, true, true, false, "true", "tRUE"]}`},
		{"nothing at all", "a:\nb: ~\nc: null\nd: 'null'\ne: [~]\n", `{a@1: null, b@2: null, c@3: null, d@4: "null", e@5: [null]}`},
		{"block texts", "a: |\n  one\n  two\nb: >-\n  one\n  two\nc: end\n", `{a@1: "one\ntwo\n", b@4: "one two", c@7: "end"}`},
		{"block texts without text", "a: |\nb: >-\n\n\nc: | # note\n  x\nd: |\n", `{a@1: "", b@2: "", c@5: "x\n", d@7: ""}`},
		{"anchors before lists and texts", "a: &x\n  - 1\nb: &y \"q\" # note\nc: [*x, *y]\n", `{a@1: [1], b@3: "q", c@4: [[1], "q"]}`},
		{"quoted texts", "a: \"x\\ty\\u00e9\"\nb: 'it''s'\n", `{a@1: "x\tyé", b@2: "it's"}`},
		{"a text of two lines", "a: one\n  two\nb: 1\n", `{a@1: "one two", b@3: 1}`},
		{"several documents", "a: 1\n---\n# nothing\n---\nb: 2\n...\nc: 3\n--- d\n", `{a@1: 1} --- {b@5: 2} --- {c@7: 3} --- "d"`},
		{"a document after an empty one", "---\n---\nb: 2\n", `{b@3: 2}`},
		{"Windows line ends", "a: 1\r\nb: |\r\n  x\r\n---\r\nc: 2\r\n", "{a@1: 1, b@2: \"x\\n\"} --- {c@5: 2}"},
		{"a byte order mark", "\xef\xbb\xbfa: 1\n", `{a@1: 1}`},
		{"a YAML directive", "%YAML 1.2\n---\na: 1\n", `{a@3: 1}`},
		{"an anchor and its aliases", "a: &x {b: 1}\nc: *x\nd: [*x]\n", `{a@1: {b@1: 1}, c@2: {b@1: 1}, d@3: [{b@1: 1}]}`},
		{"an anchor defined anew", "a: &x 1\nb: &x 2\nc: *x\n", `{a@1: 1, b@2: 2, c@3: 2}`},
		{"tags of the core schema", "a: !!str 5\nb: !!str True\nc: !!int 5\nd: !!seq [1]\ne: !!str\n", `{a@1: "5", b@2: "True", c@3: 5, d@4: [1], e@5: ""}`},
		{"quoted and explicit keys", "\"1\": a\n? b\n: c\n'<<': d\n", `{1@1: "a", b@2: "c", <<@4: "d"}`},
		{"JSON", "{\"a\": [1, \"x\", true, null],\n \"b\": {\"c\":\n -1e2}}", `{a@1: [1, "x", true, null], b@2: {c@2: -1e2}}`},
		{"JSON values in a row", "{\"a\": 1}\n\n{\"b\": 2}", `{a@1: 1} --- {b@3: 2}`},
		{"a JSON list", "\n [1]", `[1]`},
		{"marks in a text", "a: \"--- x\"\nb: |\n  ---\n  ...\n", `{a@1: "--- x", b@2: "---\n...\n"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, err := document.Read([]byte(tt.in), document.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, showAll(docs)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWhatIsNotAllowedIsRefusedWithItsLine(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"a key twice", "a: 1\nb: 2\na: 3\n", `line 3: the key "a" is there twice, first in line 1`},
		{"a key twice, spelled in two ways", "a: 1\n\"a\": 3\n", `line 2: the key "a" is there twice, first in line 1`},
		{"a key twice inside", "x:\n  - a: 1\n    a: 2\n", `line 3: x[0]: the key "a" is there twice, first in line 2`},
		{"two faults", "a: 1\na: 2\nb: {c: 1, c: 2}\n", "line 2: the key \"a\" is there twice, first in line 1\nline 3: b: the key \"c\" is there twice, first in line 3"},
		{"a number as key", "80: x\n", `line 1: the key 80 is a number, and keys have to be texts: write "80"`},
		{"a truth as key", "true: x\n", `line 1: the key true is true or false, and keys have to be texts: write "true"`},
		{"nothing as key", "~: x\n", `line 1: a key is missing, or is null`},
		{"a merge key", "a: &x {b: 1}\nc:\n  <<: *x\n", `line 3: c: a merge key (<<), which is not allowed here: write the keys out`},
		{"an anchor within itself", "a: &x [1, *x]\n", `line 1: a[1]: the anchor &x contains itself`},
		{"an alias of nothing", "a: *x\n", `line 1: a: the alias *x stands for nothing: no anchor &x before it`},
		{"an alias of another document", "a: &x 1\n---\nb: *x\n", `line 3: b: the alias *x stands for nothing: no anchor &x before it`},
		{"an alias as key", "a: &x b\n*x : 1\n", `line 2: a key with an anchor, alias or tag: write it out`},
		{"a tag of one's own", "a: !Ref x\n", `line 1: a: the tag !Ref, which is not allowed here`},
		{"a binary tag", "a: !!binary aGk=\n", `line 1: a: the tag !!binary, which is not allowed here`},
		{"a tag that does not fit", "a: !!int x\n", `line 1: a: the tag !!int with a text`},
		{"a tag directive", "%TAG ! tag:example.com,2000:\n---\na: 1\n", `line 1: the directive %TAG ! tag:example.com,2000:, which is not allowed here`},
		{"broken YAML", "a: 1\nb: [1\n", "line 2: not YAML: "},
		{"a broken second document", "a: 1\n---\nb: 1\nc: [\n", "line 4: not YAML: "},
		{"a tab as indentation", "a:\n\tb: 1\n", "line 2: not YAML: "},
		{"no UTF-8", "a: 1\nb: \xff\n", "line 2: not UTF-8: byte 0xff (byte 9 of the file)"},
		{"UTF-16", "\xff\xfea\x00", "line 1: not UTF-8: byte 0xff (byte 1 of the file)"},
		{"a control character", "a: x\x1by\n", "line 1: not YAML: the control character U+001B"},
		{"a carriage return alone", "a: x\rb: y\n", "line 1: not YAML: a carriage return without a line feed"},
		{"a JSON key twice", "{\"a\": 1,\n\"a\": 2}", `line 2: the key "a" is there twice`},
		{"JSON that ends", "{\"a\":\n", "line 2: not JSON: it ends too early"},
		{"YAML that looks like JSON", "{a: 1}\n", "line 1: not JSON: "},
		{"JSON with more behind it", "{}\n}", "line 2: not JSON: "},
		{"a JSON comment", "{\n// x\n}", "line 2: not JSON: "},
		{"JSON that is no UTF-8", "{\"a\": \"\xff\"}", "line 1: not UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, err := document.Read([]byte(tt.in), document.Limits{})
			if _, ok := errors.AsType[document.Faults](err); !ok || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, %s\nwant %s", err, showAll(docs), tt.want)
			}
		})
	}
}

func TestBoundsAreKept(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	chain := "a0: &a0 [x]\n"
	for i := 1; i < 100; i++ {
		chain += fmt.Sprintf("a%d: &a%d [*a%d]\n", i, i, i-1)
	}
	tests := []struct {
		name, in, want string
		limits         document.Limits
	}{
		{"bytes", "a: 12345", "larger than 5 bytes", document.Limits{Bytes: 5}},
		{"values", "[1, 2, 3]", "more than 3 values", document.Limits{Nodes: 3}},
		{"values of YAML", "a: [1, 2, 3]", "more than 4 values", document.Limits{Nodes: 4}},
		{"documents", "a: 1\n---\nb: 2\n---\nc: 3\n", "line 5: more than 2 documents", document.Limits{Documents: 2}},
		{"JSON documents", "{}\n{}\n{}", "line 3: more than 2 documents", document.Limits{Documents: 2}},
		{"depth", "a: {b: {c: 1}}", "more than 2 lists and mappings", document.Limits{Depth: 2}},
		{"depth of JSON", `{"a":[[1]]}`, "more than 2 lists and mappings", document.Limits{Depth: 2}},
		{"aliases count as what they stand for", bomb, "values in the file", document.Limits{}},
		{"aliases are as deep as what they stand for", chain, "more than 64 lists and mappings", document.Limits{}},
		{"many brackets", "a: " + strings.Repeat("[", 100_000), "lists and mappings", document.Limits{}},
		{"a million brackets of JSON", strings.Repeat("[", 1_000_000), "lists and mappings", document.Limits{}},
		{"many dashes", strings.Repeat("- ", 100_000) + "x", "lists and mappings", document.Limits{}},
		{"many keys", strings.Repeat("a: 1\n", 10_001), "more than 10000 keys or items in one place", document.Limits{}},
		{"many keys further right", "x:\n" + strings.Repeat("  a: 1\n", 10_001), "more than 10000 keys or items in one place", document.Limits{}},
		{"many items", strings.Repeat("- a: 1\n", 50_001), "more than 50000 keys or items in one place", document.Limits{}},
		{"many steps to the right", steps(2000), "lists and mappings", document.Limits{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := document.Read([]byte(tt.in), tt.limits)
			if shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for _, in := range []string{steps(64), strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("- a: 1\n  b: 2\n", 20_000)} {
		if _, err := document.Read([]byte(in), document.Limits{}); err != nil {
			t.Errorf("what is allowed is refused: %v", err)
		}
	}
}

// steps is a mapping in a mapping, n times.
func steps(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return strings.TrimSuffix(b.String(), "\n") + " 1\n"
}

func TestFaultsAreToldInBoundedLines(t *testing.T) {
	var f document.Faults
	for range limits.DocumentFaults + 10 {
		f.Add(3, "a", "x\n\x1b[31m%s", strings.Repeat("é", 1000))
	}
	f.Add(1, "", "dropped: there are too many")
	if len(f) != limits.DocumentFaults {
		t.Errorf("%d faults are kept", len(f))
	}
	lines := strings.Split(f.Err().Error(), "\n")
	if len(lines) != limits.FaultsShown+1 || lines[limits.FaultsShown] != "and 950 more" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	if !strings.HasPrefix(lines[0], "line 3: a: x \ufffd[31mé") || !strings.HasSuffix(lines[0], "é…") || len(lines[0]) > limits.FaultBytes+40 {
		t.Errorf("%q", lines[0])
	}
	if document.Faults(nil).Err() != nil {
		t.Error("no faults are an error")
	}
}

func TestTheGoldenTableOfTheGateIsReadWhole(t *testing.T) {
	data, err := os.ReadFile("../../test/gate/testdata/cases.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := document.Read(data, document.Limits{})
	if err != nil || len(docs) != 1 || len(docs[0].Field("cases").Items) < 150 {
		t.Fatal(err)
	}
}
