package document_test

import (
	"testing"

	"github.com/shuin/shuin/internal/document"
)

func TestScratch(t *testing.T) {
	docs, err := document.Read([]byte("a: &x {b: 1, c}\nd: *x\n? e\n: f\n\"g\": yes\ni: foo\n  bar\nj: !!str 5\nk: ~\nl:\nm: 1_000\nn: 0b1\n--- \n# c\n--- \n- - - 1\n- \n...\n%YAML 1.2\n---\nz: >-\n  a\n  b\n---\n\"x\"\n"), document.Limits{})
	t.Log(err)
	var show func(n *document.Node, p string)
	show = func(n *document.Node, p string) {
		t.Logf("%s%d %s %q", p, n.Line, n.Kind, n.Text)
		for _, x := range n.Items {
			show(x, p+"  ")
		}
		for _, x := range n.Pairs {
			t.Logf("%s %d %q:", p, x.Line, x.Key)
			show(x.Value, p+"  ")
		}
	}
	for _, d := range docs {
		show(d, "")
	}
	_, err = document.Read([]byte("a: 1\na: 2\n1: x\n<<: *b\nb: &c [*c]\n!!x y: 1\nz: !Ref q\n? [a]\n: b\n"), document.Limits{})
	t.Log(err)
	_, err = document.Read([]byte("{\"a\":1,\n\"a\":2}"), document.Limits{})
	t.Log(err)
	_, err = document.Read([]byte("{\"a\":1,\n\"b\":"), document.Limits{})
	t.Log(err)
	_, err = document.Read([]byte("{\"a\":1}\n{\"b\":[1,\n\n2]} x"), document.Limits{})
	t.Log(err)
}
