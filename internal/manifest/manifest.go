// Package manifest reads what people deploy, Kubernetes manifests, ECS task
// definitions and CodePipeline's imagedefinitions.json, into the images of a
// gate.Workload. It works on small structs of its own, not on a client library's
// types; it resolves nothing and decides nothing. A short name ("nginx") is
// written out as who deploys it would (internal/imagename), so that policies see what runs.
// It also reads the files in which build tools name what they made ([ReadBuilt]).
package manifest

import (
	_ "crypto/sha256" // digests of either algorithm can be checked
	_ "crypto/sha512"
	"fmt"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/imagename"
	"github.com/shuin/shuin/internal/limits"
)

// Format is what a file is. Zero: to be recognised by its content.
type Format uint8

// The formats.
const (
	Recognise        Format = iota
	Kubernetes              // objects with apiVersion and kind, YAML or JSON
	TaskDefinition          // of ECS: as RegisterTaskDefinition takes it, or as DescribeTaskDefinition answers
	ImageDefinitions        // of CodePipeline: imagedefinitions.json or imageDetail.json
)

// String is the format as people call it.
func (f Format) String() string {
	switch f {
	case Kubernetes:
		return "Kubernetes manifest"
	case TaskDefinition:
		return "ECS task definition"
	case ImageDefinitions:
		return "image definitions file"
	}
	return "file"
}

// one is the format with its article.
func (f Format) one() string {
	if f == Kubernetes {
		return "a " + f.String()
	}
	return "an " + f.String()
}

// Source is where in a file a workload stands.
type Source struct {
	Document  int    // of the file's documents that are not empty, from 1
	Line      int    // where it begins
	Kind      string // "Deployment", "TaskDefinition", "imagedefinitions.json"
	Name      string // of the object, or the task definition's family; may be empty
	Namespace string // as written; may be empty
	Foreign   bool   // of a kind that does not come with Kubernetes: where no image was found in it, it may run some all the same
	// Unread is, of such a kind, the line of the first text under a key "image"
	// that stands where images are not looked for, as in a Workflow of Argo or a
	// Task of Tekton; zero: there is none.
	Unread int
}

// String is the source in one line, for a person.
func (s Source) String() string {
	name := s.Name
	if s.Namespace != "" {
		name = s.Namespace + "/" + s.Name
	}
	return strings.TrimSpace(s.Kind + " " + name)
}

// Place is where an image of a workload stands, and as what.
type Place struct {
	Line    int
	Path    string // "spec.template.spec.containers[0].image"
	Written string // the reference as it stands there, short names not written out

	node *document.Node
}

// Item is one workload of a file. Its Workload has the images, each Written in
// full, and Where.Namespace; cluster, access and whether the images will be
// pinned is for the caller to fill in.
type Item struct {
	Source
	Workload gate.Workload
	Places   []Place // of Workload.Images, one for each
}

// File is what a file holds.
type File struct {
	Format Format
	Items  []Item
	// Without are the objects that hold no image: a Service, a ConfigMap.
	Without []Source
}

// Read reads a file of the given format, or of the one that its content shows.
// The error is a *shuin.Error: of code shuin.CodeLimit where a limit was hit,
// else shuin.CodeInvalidInput, with document.Faults in its tree where the
// faults have lines.
func Read(data []byte, f Format) (*File, error) {
	docs, err := document.Read(data, document.Limits{
		Bytes: limits.DeployFileBytes, Nodes: limits.DeployNodes,
		Depth: limits.DeployDepth, Documents: limits.DeployDocuments,
	})
	if err != nil {
		if shuin.CodeOf(err) == shuin.CodeLimit {
			return nil, err
		}
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err}
	}
	if len(docs) == 0 {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "there is nothing in it", Hint: "check the command that should have written it"}
	}
	if f == Recognise {
		if f, err = recognise(docs); err != nil {
			return nil, err
		}
	}
	r := &reader{file: &File{Format: f}}
	switch f {
	case Kubernetes:
		r.kubernetes(docs)
	case TaskDefinition:
		r.taskDefinition(docs)
	case ImageDefinitions:
		r.imageDefinitions(docs)
	default:
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: fmt.Sprintf("no such format: %d", f)}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return r.file, nil
}

// recognise tells what the documents are by their outermost members. All have
// to be of one format.
func recognise(docs []*document.Node) (Format, error) {
	var found Format
	at := 0
	for _, d := range docs {
		for _, f := range formatsOf(d) {
			if found != Recognise && f != found {
				return 0, &shuin.Error{
					Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("line %d looks like %s, and line %d like %s", at, found.one(), d.Line, f.one()),
					Hint: "give each its own file, or say which it is",
				}
			}
			found, at = f, d.Line
		}
	}
	if found == Recognise {
		return 0, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "it is none of what is known here: " +
			"no object with apiVersion and kind (Kubernetes), none with containerDefinitions or taskDefinition (ECS), " +
			"no list of objects with imageUri and no object with ImageURI (CodePipeline)"}
	}
	return found, nil
}

// formatsOf are the formats whose marks d bears.
func formatsOf(d *document.Node) []Format {
	var out []Format
	if d.Field("apiVersion") != nil || d.Field("kind") != nil {
		out = append(out, Kubernetes)
	}
	if d.Field("containerDefinitions") != nil || d.Field("taskDefinition").Field("containerDefinitions") != nil {
		out = append(out, TaskDefinition)
	}
	if d.Field("ImageURI") != nil || d.Kind == document.Sequence && len(d.Items) > 0 && d.Items[0].Field("imageUri") != nil {
		out = append(out, ImageDefinitions)
	}
	return out
}

// reader collects workloads and faults.
type reader struct {
	file   *File
	images int
	faults document.Faults
	limit  error // a limit that was hit: nothing counts after it
}

func (r *reader) err() error {
	switch {
	case r.limit != nil:
		return r.limit
	case len(r.faults) > 0:
		return &shuin.Error{Code: shuin.CodeInvalidInput, Err: r.faults}
	}
	return nil
}

func (r *reader) fault(line int, path, format string, args ...any) {
	switch n := len(r.faults); {
	case n < limits.DeployFaults:
		r.faults = append(r.faults, document.Fault{Line: line, Path: path, Text: fmt.Sprintf(format, args...)})
	case n == limits.DeployFaults:
		r.faults = append(r.faults, document.Fault{Line: line, Text: "and more faults from here on"})
	}
}

func (r *reader) exceeded(name, format string, args ...any) {
	if r.limit == nil {
		r.limit = &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf(format, args...) + " (limit " + name + ")", Hint: "split the file"}
	}
}

// add takes a workload into the file.
func (r *reader) add(w *workload) {
	if len(r.file.Items)+len(r.file.Without) >= limits.DeployDocuments {
		r.exceeded("DeployDocuments", "more than %d objects", limits.DeployDocuments)
		return
	}
	if len(w.images) == 0 {
		r.file.Without = append(r.file.Without, w.source)
		return
	}
	item := Item{Source: w.source, Places: w.places, Workload: gate.Workload{Images: w.images}}
	item.Workload.Where.Namespace = w.source.Namespace
	r.file.Items = append(r.file.Items, item)
}

// workload is one that is being read.
type workload struct {
	source Source
	images []gate.Image
	places []Place
}

// image takes one image into w: value is what stands at path, parent what it
// would stand in.
func (r *reader) image(w *workload, name string, parent, value *document.Node, path string) {
	if value == nil {
		r.fault(parent.Line, path, "missing: what would run is not said")
		return
	}
	if value.Kind != document.String {
		r.fault(value.Line, path, "not a string")
		return
	}
	ref, err := imagename.Expand(value.Text)
	if err != nil {
		r.fault(value.Line, path, "%v", err)
		return
	}
	if r.images++; r.images > limits.DeployImages {
		r.exceeded("DeployImages", "more than %d images", limits.DeployImages)
		return
	}
	w.images = append(w.images, gate.Image{Name: name, Written: ref.String()})
	w.places = append(w.places, Place{Line: value.Line, Path: path, Written: value.Text, node: value})
}

// text is the string that n has under key; empty where there is none. What is
// there and is no string is a fault.
func (r *reader) text(n *document.Node, key, path string) string {
	v := n.Field(key)
	if v == nil || v.Kind == document.Null {
		return ""
	}
	if v.Kind != document.String {
		r.fault(v.Line, join(path, key), "not a string")
		return ""
	}
	return v.Text
}

// list is the sequence that n has under key; nil where there is none. What is
// there and is no sequence is a fault.
func (r *reader) list(n *document.Node, key, path string) *document.Node {
	v := n.Field(key)
	if v == nil || v.Kind == document.Null {
		return nil
	}
	if v.Kind != document.Sequence {
		r.fault(v.Line, join(path, key), "not a list")
		return nil
	}
	return v
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
