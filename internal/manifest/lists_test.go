package manifest

import (
	"strings"
	"testing"

	"github.com/shuin/shuin"
)

const evil = `{apiVersion: v1, kind: Pod, metadata: {name: evil}, spec: {containers: [{name: a, image: "evil.example/x:1"}]}}`

// images are all images of a file, as written in full.
func images(f *File) []string {
	var out []string
	for _, item := range f.Items {
		for _, i := range item.Workload.Images {
			out = append(out, i.Written)
		}
	}
	return out
}

func TestAnythingWithItemsIsAListAsForKubectl(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a ConfigMap":                      {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nitems: [" + evil + "]\n", "evil.example/x:1"},
		"a custom resource":                {"apiVersion: example.com/v1\nkind: Thing\nitems: [" + evil + "]\n", "evil.example/x:1"},
		"a custom resource with a pod":     {"apiVersion: example.com/v1\nkind: Thing\nspec: {template: {spec: {containers: [{name: a, image: \"good.example/y:1\"}]}}}\nitems: [" + evil + "]\n", "evil.example/x:1 good.example/y:1"},
		"items that do not say their kind": {"apiVersion: v1\nkind: Pod\nitems: [{metadata: {name: a}, spec: {containers: [{name: a, image: \"evil.example/x:1\"}]}}]\n", "evil.example/x:1"},
		"a list without objects":           {"apiVersion: v1\nkind: PodList\nitems: []\nspec: {containers: [{name: a, image: \"evil.example/x:1\"}]}\n", ""},
		"a list of nothing":                {"apiVersion: v1\nkind: List\nitems:\n", ""},
		"a ConfigMap with other items":     {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nitems: {a: b}\n", ""},
	} {
		f, err := Read([]byte(tt.text), Recognise)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(images(f), " "); got != tt.want || got == "" && len(f.Without) != 1 {
			t.Errorf("%s: %q and %v, want %q", name, got, f.Without, tt.want)
		}
	}
}

func TestAWorkloadWithItemsIsAFault(t *testing.T) {
	for _, items := range []string{"[" + evil + "]", "[]"} {
		for _, kind := range []string{"v1\nkind: Pod\nspec: {containers: [{name: a, image: \"good.example/y:1\"}]}", "apps/v1\nkind: Deployment\nspec:", "v1\nkind: PodTemplate\ntemplate: {}"} {
			text := "apiVersion: " + kind + "\nitems: " + items + "\n"
			_, err := Read([]byte(text), Recognise)
			if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), "line 4: items: ") || !strings.Contains(err.Error(), "kubectl") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

func TestImagesThatWereNotReadAreKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		line int
	}{
		"Argo":                        {"apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  templates:\n  - container:\n      image: evil.example/x:1\n", 6},
		"Tekton":                      {"apiVersion: tekton.dev/v1\nkind: Task\nspec:\n  steps:\n  - {name: a,\n     image: evil.example/x:1}\n", 6},
		"one beside a pod":            {"apiVersion: example.com/v1\nkind: Thing\nspec:\n  image: evil.example/x:1\n  template: {spec: {containers: [{name: a, image: good.example/y:1}]}}\n", 4},
		"only those of a pod":         {"apiVersion: example.com/v1\nkind: Thing\nspec: {template: {spec: {containers: [{name: a, image: good.example/y:1}], volumes: [{name: v, image: {reference: good.example/z:1}}]}}}\n", 0},
		"an image that is no text":    {"apiVersion: example.com/v1\nkind: Thing\nspec: {image: {repository: a}}\n", 0},
		"an empty text":               {"apiVersion: example.com/v1\nkind: Thing\nspec: {image: \"\"}\n", 0},
		"a kind that runs nothing":    {"apiVersion: v1\nkind: ConfigMap\ndata: {image: evil.example/x:1}\n", 0},
		"beside a list":               {"apiVersion: example.com/v1\nkind: Thing\nitems: [" + evil + "]\nspec: {image: evil.example/x:1}\n", 4},
		"a ResourceQuota of somebody": {"apiVersion: example.com/v1\nkind: Pod\nimage: evil.example/x:1\n", 3},
	} {
		f, err := Read([]byte(tt.text), Recognise)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		line := 0
		for _, s := range f.Without {
			line = max(line, s.Unread)
		}
		for _, item := range f.Items {
			line = max(line, item.Unread)
		}
		if line != tt.line {
			t.Errorf("%s: line %d, want %d", name, line, tt.line)
		}
	}
}
