package manifest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/imagename"
	"github.com/shuin/shuin/internal/limits"
)

var update = flag.Bool("update", false, "rewrite testdata/*.want; read the difference")

// told is a file in lines: "document:line kind namespace/name", and below each
// its images "line path name = image".
func told(f *File) string {
	var b strings.Builder
	for _, it := range f.Items {
		fmt.Fprintf(&b, "%d:%d %s\n", it.Document, it.Line, it.Source)
		if it.Workload.Where.Namespace != it.Namespace {
			fmt.Fprintln(&b, "namespace differs:", it.Workload.Where.Namespace)
		}
		for i, image := range it.Workload.Images {
			p := it.Places[i]
			fmt.Fprintf(&b, "  %d %s %s = %s\n", p.Line, p.Path, image.Name, image.Written)
		}
	}
	for _, s := range f.Without {
		fmt.Fprintf(&b, "%d:%d %s: no image\n", s.Document, s.Line, s)
	}
	return b.String()
}

// TestFilesAreReadAsWritten reads testdata/*.yaml and *.json against what
// stands beside them in *.want.
func TestFilesAreReadAsWritten(t *testing.T) {
	files, err := filepath.Glob("testdata/*.want")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, want := range files {
		name := strings.TrimSuffix(want, ".want")
		t.Run(filepath.Base(name), func(t *testing.T) {
			data := load(t, name)
			f, err := Read(data, Recognise)
			got := ""
			if err != nil {
				got = err.Error() + "\n"
			} else {
				got = f.Format.String() + "\n" + told(f)
			}
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(load(t, want)), got); diff != "" {
				t.Errorf("%s\n%s", diff, got)
			}
		})
	}
}

func load(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pod(image string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: " + image + "}]}\n"
}

func TestABadFileSaysWhatIsWrongWhere(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		as   Format
		want []string
	}{
		"nothing":                     {"", Recognise, []string{"nothing in it"}},
		"only comments":               {"# x\n---\n", Recognise, []string{"nothing in it"}},
		"something else":              {"a: b\n", Recognise, []string{"none of what is known", "apiVersion", "containerDefinitions", "imageUri"}},
		"a CloudFormation template":   {`{"ContainerDefinitions":[{"Image":"a"}]}`, Recognise, []string{"none of what is known"}},
		"two formats in one":          {`{"apiVersion":"v1","kind":"Pod","containerDefinitions":[]}`, Recognise, []string{"looks like a Kubernetes manifest"}},
		"two formats one by one":      {pod("a") + "---\nImageURI: a\n", Recognise, []string{"line 1 ", "line 6 "}},
		"not UTF-8":                   {"apiVersion: v1\nkind: \xff\n", Recognise, []string{"UTF-8"}},
		"a key twice":                 {"apiVersion: v1\nkind: Pod\nkind: Job\n", Recognise, []string{"line 3"}},
		"a merge key":                 {"apiVersion: v1\nkind: Pod\nspec: &a {x: y}\nstatus: {<<: *a}\n", Recognise, []string{"line 4"}},
		"no kind":                     {"apiVersion: v1\nmetadata: {}\n", Recognise, []string{"line 1: kind: missing"}},
		"an empty kind":               {"apiVersion: v1\nkind: ''\n", Recognise, []string{"line 1: kind: missing"}},
		"a kind that is a number":     {"apiVersion: v1\nkind: 3\n", Recognise, []string{"line 2: kind: not a string"}},
		"no object":                   {pod("a") + "---\nhello\n", Recognise, []string{"line 6: not an object"}},
		"no image":                    {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n  - name: b\n    image: ''\n", Recognise, []string{"line 5: spec.containers[0].image: missing", "line 7: spec.containers[1].image: empty"}},
		"an image that is a number":   {pod("12"), Recognise, []string{"line 4: spec.containers[0].image: not a string"}},
		"an image that is none":       {pod("'a b'"), Recognise, []string{"line 4: spec.containers[0].image: ", "invalid"}},
		"a placeholder":               {pod("'{{ .Values.image }}'"), Recognise, []string{"placeholder"}},
		"no containers":               {"apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec: {}\n", Recognise, []string{"line 5: spec.template.spec.containers: missing"}},
		"no pod":                      {"apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", Recognise, []string{"spec.template: missing: a Deployment"}},
		"containers that are none":    {"apiVersion: v1\nkind: Pod\nspec: {containers: {a: b}}\n", Recognise, []string{"spec.containers: missing"}},
		"a container that is none":    {"apiVersion: v1\nkind: Pod\nspec: {containers: [a]}\n", Recognise, []string{"spec.containers[0]: not an object"}},
		"init containers of no kind":  {"apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a}], initContainers: b}\n", Recognise, []string{"spec.initContainers: not a list"}},
		"an image volume of nothing":  {"apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a}], volumes: [{name: v, image: {}}]}\n", Recognise, []string{"spec.volumes[0].image.reference: missing"}},
		"a custom pod without image":  {"apiVersion: x.example/v1\nkind: Web\nspec: {template: {spec: {containers: [{name: a}]}}}\n", Recognise, []string{"spec.template.spec.containers[0].image: missing"}},
		"items that are none":         {"apiVersion: v1\nkind: List\nitems: 3\n", Recognise, []string{"items: not a list"}},
		"an item that is none":        {"apiVersion: v1\nkind: List\nitems: [a]\n", Recognise, []string{"items[0]: not an object"}},
		"an item without kind":        {"apiVersion: v1\nkind: List\nitems: [{a: b}]\n", Recognise, []string{"items[0].kind: missing"}},
		"no containers in a task":     {"{}", TaskDefinition, []string{"containerDefinitions: missing"}},
		"an empty task":               {`{"containerDefinitions":[]}`, Recognise, []string{"not a list of containers"}},
		"a task container of nothing": {`{"containerDefinitions":[{"name":"a"},3]}`, Recognise, []string{"containerDefinitions[0].image: missing", "containerDefinitions[1]: not an object"}},
		"a task twice":                {`{"containerDefinitions":[{"image":"a"}],"taskDefinition":{"containerDefinitions":[{"image":"b"}]}}`, Recognise, []string{"not clear"}},
		"two tasks":                   {"containerDefinitions: [{image: a}]\n---\ncontainerDefinitions: [{image: b}]\n", Recognise, []string{"line 3: a second document"}},
		"a list of no images":         {`[{"name":"a"}]`, ImageDefinitions, []string{"[0].imageUri: missing"}},
		"an empty list":               {`[]`, ImageDefinitions, []string{"empty list"}},
		"a text":                      {`"a"`, ImageDefinitions, []string{"neither a list"}},
		"a placeholder of CodeDeploy": {`{"containerDefinitions":[{"image":"<IMAGE1_NAME>"}]}`, Recognise, []string{"placeholder"}},
		"another format than told":    {pod("a"), TaskDefinition, []string{"containerDefinitions: missing"}},
		"objects told to be images":   {pod("a"), ImageDefinitions, []string{"ImageURI: missing"}},
		"images told to be objects":   {`[{"name":"a","imageUri":"b"}]`, Kubernetes, []string{"not an object"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Read([]byte(c.in), c.as)
			if f != nil || shuin.CodeOf(err) != shuin.CodeInvalidInput {
				t.Fatalf("%v %v (%s)", f, err, shuin.CodeOf(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestAllFaultsAreToldAtOnceWithTheirLines(t *testing.T) {
	_, err := Read([]byte(pod("''")+"---\n"+pod("12")+"---\napiVersion: v1\n"), Recognise)
	var faults document.Faults
	if !errors.As(err, &faults) || len(faults) != 3 || faults[0].Line != 4 || faults[1].Line != 9 || faults[2].Line != 11 {
		t.Errorf("%v", err)
	}
}

func TestThousandsOfContainersAreReadAndMoreAreRefused(t *testing.T) {
	many := func(n int) []byte {
		var b strings.Builder
		b.WriteString("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n")
		for i := range n {
			fmt.Fprintf(&b, "  - {name: c%d, image: 'r.example/a:%d'}\n", i, i)
		}
		return []byte(b.String())
	}
	f, err := Read(many(5000), Recognise)
	if err != nil || len(f.Items) != 1 || len(f.Items[0].Workload.Images) != 5000 || f.Items[0].Places[4999].Line != 5004 {
		t.Fatalf("%v", err)
	}
	for name, c := range map[string]struct {
		in    []byte
		limit string
	}{
		"images": {bytes.Repeat(append(many(limits.DeployImages/3+1), "---\n"...), 3), "DeployImages"},
		"lists": {[]byte(strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, limits.DeployListDepth+1) +
			`{"apiVersion":"v1","kind":"Service"}` + strings.Repeat(`]}`, limits.DeployListDepth+1)), "DeployListDepth"},
		"objects":   {[]byte(strings.Repeat("---\napiVersion: v1\nkind: List\nitems:\n"+strings.Repeat("- {apiVersion: v1, kind: Service}\n", limits.DeployDocuments/2+1), 2)), "DeployDocuments"},
		"documents": {[]byte(strings.Repeat("---\na: b\n", limits.DeployDocuments+1)), "documents"},
		"bytes":     {[]byte(pod("a") + "#" + strings.Repeat("x", limits.DeployFileBytes)), "ytes"},
		"depth":     {[]byte(strings.Repeat("[", 10_000)), "inside each other"},
	} {
		if f, err := Read(c.in, Recognise); f != nil || shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), c.limit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var faults document.Faults
	if _, err := Read([]byte(strings.ReplaceAll(string(many(1000)), "image:", "imagine:")), Recognise); !errors.As(err, &faults) || len(faults) != limits.DeployFaults+1 {
		t.Errorf("%d faults: %v", len(faults), err)
	}
}

// check holds what is read to what the types promise.
func check(t *testing.T, f *File, err error) {
	t.Helper()
	if err != nil {
		if c := shuin.CodeOf(err); f != nil || c != shuin.CodeInvalidInput && c != shuin.CodeLimit {
			t.Fatalf("%v: %v", f, err)
		}
		return
	}
	if len(f.Items)+len(f.Without) == 0 {
		t.Fatal("neither an item nor an object without one")
	}
	for _, it := range f.Items {
		if len(it.Workload.Images) == 0 || len(it.Places) != len(it.Workload.Images) || it.Line < 1 {
			t.Fatalf("%+v", it)
		}
		for i, image := range it.Workload.Images {
			ref, err := imagename.Expand(it.Places[i].Written)
			if err != nil || ref.String() != image.Written || it.Places[i].Line < 1 || it.Places[i].Path == "" {
				t.Fatalf("%+v %+v %v", image, it.Places[i], err)
			}
		}
	}
}

func seeds(f *testing.F, pattern string, extra ...string) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range extra {
		f.Add([]byte(s))
	}
}

func fuzz(f *testing.F, as Format) {
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(data, as)
		check(t, file, err)
		if err == nil && as != Recognise && file.Format != as {
			t.Fatalf("read as %s", file.Format)
		}
	})
}

func FuzzKubernetes(f *testing.F) {
	seeds(f, "testdata/*.yaml", pod("a"), `{"apiVersion":"v1","kind":"List","items":[]}`)
	fuzz(f, Kubernetes)
}

func FuzzTaskDefinition(f *testing.F) {
	seeds(f, "testdata/task*.json", `{"taskDefinition":{"containerDefinitions":[{"image":"a"}]}}`)
	fuzz(f, TaskDefinition)
}

func FuzzImageDefinitions(f *testing.F) {
	seeds(f, "testdata/image*.json", `[{"imageUri":"a"}]`, `{"ImageURI":"a"}`)
	fuzz(f, ImageDefinitions)
}

func FuzzRecognise(f *testing.F) {
	seeds(f, "testdata/*.json", pod("a"), "---\n", "[]")
	fuzz(f, Recognise)
}
