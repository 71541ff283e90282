package document

import (
	"errors"
	"strings"
	"testing"
)

// The library finds {ca: x} in what YAML has for the text ca:x. Where it does,
// the document is refused, and says what to write.
func TestAColonInsideAPlainTextIsNoEndOfAKey(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\nb: {signers: [{identities: [\"*\"], trustStores: [ca:x]}]}\n": `line 2: ca:x inside brackets or braces is one text in YAML: put quotes around it ("ca:x")`,
		"a: {b: [c, ca:x, d]}\n":     `("ca:x")`,
		"a: {b: [x:1/y]}\n":          `("x:1/y")`,
		"a: {b: [\n  c,\n  ca:x]}\n": `line 3: ca:x`,
		"a: {x:y}\n":                 `("x:y")`,
		"a: {x:\"y\"}\n":             "put quotes around it",
		"a: [{ca:x: 1}]\n":           "put quotes around it",
		"é: {ü: [ca:ö]}\n":           `("ca:ö")`,
	} {
		docs, err := Read([]byte(text), Limits{})
		if faults, ok := errors.AsType[Faults](err); !ok || docs != nil || !strings.Contains(faults.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		`a: {b: ["ca:x", 'ca:y']}`, "a: {b: c}", "a: {b:\n c}", "a: {\"b\":c}", `a: {"b":"c", 'd':[e]}`, "a: {b:[c], d:{e: f}}", "a: {b: , c: }", "a: {b:, c:}", "a: [ca:x]", "a: {b: ca:x}",
		"a: {b: http://x:5/y}", "a: [http://x:5/y]", "a: {b: [c: d]}", "a: {é: ü, ö: [ä: \"x\"]}", "a: {b:   c}", "a: {\"é:\": x}", "a:\n  b:c", "- a:b", "a: {b: # c:d\n c}",
	} {
		if _, err := Read([]byte(text), Limits{}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
