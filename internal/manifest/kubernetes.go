package manifest

import (
	"slices"
	"strings"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
)

// podSpecs are where the kinds that come with Kubernetes have their pod: each
// must have one there.
var podSpecs = map[string][]string{
	"Pod":                   {"spec"},
	"PodTemplate":           {"template", "spec"},
	"Deployment":            {"spec", "template", "spec"},
	"ReplicaSet":            {"spec", "template", "spec"},
	"ReplicationController": {"spec", "template", "spec"},
	"StatefulSet":           {"spec", "template", "spec"},
	"DaemonSet":             {"spec", "template", "spec"},
	"Job":                   {"spec", "template", "spec"},
	"CronJob":               {"spec", "jobTemplate", "spec", "template", "spec"},
}

// ownGroups are the API groups in which those kinds are Kubernetes' own: a
// custom resource may be called Job as well.
var ownGroups = []string{"", "apps", "batch", "extensions"}

// knownGroups are the API groups that come with Kubernetes, and its Gateway
// API: whose kinds that run something are all above.
var knownGroups = append([]string{
	"autoscaling", "policy", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
	"authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
	"flowcontrol.apiserver.k8s.io", "gateway.networking.k8s.io", "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io",
	"resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
}, ownGroups...)

// ownAPI is the apiVersion of Shuin's own files: policies, their tests, evidence.
const ownAPI = "shuin.dev/v1"

// groupOf is the API group of an apiVersion; that of "v1" has no name.
func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// kubernetes reads objects.
func (r *reader) kubernetes(docs []*document.Node) {
	for i, d := range docs {
		r.object(d, i+1, "", typed{}, 0)
	}
}

// typed is the type that a list gives to items that do not say theirs.
type typed struct{ apiVersion, kind string }

// object reads one object; list is what its list says it is.
func (r *reader) object(d *document.Node, doc int, path string, list typed, depth int) {
	if r.limit != nil {
		return
	}
	if d.Kind != document.Mapping {
		r.fault(d.Line, path, "not an object")
		return
	}
	t := r.typeOf(d, path, list)
	if t.kind == "" || t.apiVersion == "" {
		return
	}
	if t.apiVersion == ownAPI {
		r.fault(d.Line, path, "a %s of Shuin (%s): nothing that is deployed", t.kind, ownAPI)
		return
	}
	if items := d.Field("items"); items != nil && isList(items, t) {
		r.listed(d, items, doc, path, t, depth)
		return
	}
	w := &workload{source: r.source(d, doc, path, t)}
	r.pods(w, d, path, t)
	if w.source.Foreign {
		w.source.Unread = unread(d, w)
	}
	r.add(w)
}

// source is what an object is called.
func (r *reader) source(d *document.Node, doc int, path string, t typed) Source {
	meta := d.Field("metadata")
	s := Source{
		Document: doc, Line: d.Line, Kind: t.kind, Foreign: !slices.Contains(knownGroups, groupOf(t.apiVersion)),
		Name: r.text(meta, "name", join(path, "metadata")), Namespace: r.text(meta, "namespace", join(path, "metadata")),
	}
	if ns := s.Namespace; ns != "" && !validNamespace(ns) {
		r.fault(meta.Field("namespace").Line, join(path, "metadata.namespace"), "%q is no namespace: Kubernetes allows small letters, digits and \"-\", at most 63", ns)
	}
	if s.Name == "" {
		s.Name = r.text(meta, "generateName", join(path, "metadata"))
	}
	return s
}

// isList says whether kubectl takes an object with these items for a list:
// whatever its kind. What names itself a list and has something else there is
// at fault.
func isList(items *document.Node, t typed) bool {
	return items.Kind == document.Sequence || strings.HasSuffix(t.kind, "List")
}

// listed reads an object as a list. Of one that is a workload as well, clients
// differ in what they deploy.
func (r *reader) listed(d, items *document.Node, doc int, path string, t typed, depth int) {
	if places, ok := ownPods(t); ok && d.Field(places[0]) != nil {
		r.fault(lineOfKey(d, "items"), join(path, "items"), "a %s has no items: kubectl takes an object that has for a list, and would deploy what stands there in place of the %s", t.kind, t.kind)
		return
	}
	if len(items.Items) > 0 || items.Kind != document.Sequence && items.Kind != document.Null {
		r.items(items, doc, join(path, "items"), t, depth)
	}
	if strings.HasSuffix(t.kind, "List") {
		if len(items.Items) == 0 {
			r.add(&workload{source: r.source(d, doc, path, t)})
		}
		return
	}
	// Clients that do not know lists deploy the object itself.
	rest := &document.Node{Kind: document.Mapping, Line: d.Line}
	for _, p := range d.Pairs {
		if p.Key != "items" {
			rest.Pairs = append(rest.Pairs, p)
		}
	}
	w := &workload{source: r.source(d, doc, path, t)}
	r.custom(w, rest, path)
	if w.source.Foreign {
		w.source.Unread = unread(rest, w)
	}
	if len(w.images) > 0 || w.source.Unread > 0 || len(items.Items) == 0 {
		r.add(w)
	}
}

// ownPods is where an object has its pod, if its kind is a workload of
// Kubernetes' own.
func ownPods(t typed) ([]string, bool) {
	places, ok := podSpecs[t.kind]
	return places, ok && slices.Contains(ownGroups, groupOf(t.apiVersion))
}

// lineOfKey is where a key stands.
func lineOfKey(d *document.Node, key string) int {
	for _, p := range d.Pairs {
		if p.Key == key {
			return p.Line
		}
	}
	return d.Line
}

// unread is the line of the first text under a key "image" below d that was not
// read as an image of w: what it runs was not looked at. Zero: there is none.
// The document's nodes and their depth were bounded when it was read.
func unread(d *document.Node, w *workload) int {
	read := map[*document.Node]bool{}
	for _, p := range w.places {
		read[p.node] = true
	}
	steps := 0
	var walk func(n *document.Node) int
	walk = func(n *document.Node) int {
		if steps++; steps > limits.DeployNodes {
			return 0
		}
		for _, p := range n.Pairs {
			if p.Key == "image" && p.Value.Kind == document.String && p.Value.Text != "" && !read[p.Value] {
				return p.Value.Line
			}
			if line := walk(p.Value); line > 0 {
				return line
			}
		}
		for _, item := range n.Items {
			if line := walk(item); line > 0 {
				return line
			}
		}
		return 0
	}
	return walk(d)
}

// validNamespace holds s to what Kubernetes takes: a label of RFC 1123.
func validNamespace(s string) bool {
	return len(s) <= 63 && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, "-") && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}

// typeOf is what d says it is. The items of a typed list (PodList) need not
// say.
func (r *reader) typeOf(d *document.Node, path string, list typed) typed {
	t := typed{apiVersion: r.text(d, "apiVersion", path), kind: r.text(d, "kind", path)}
	if d.Field("apiVersion") == nil && d.Field("kind") == nil && list.kind != "" {
		return list
	}
	for _, m := range []struct{ key, value string }{{"apiVersion", t.apiVersion}, {"kind", t.kind}} {
		if v := d.Field(m.key); v == nil || v.Kind == document.Null || v.Kind == document.String && m.value == "" {
			r.fault(d.Line, join(path, m.key), "missing: an object of Kubernetes says what it is")
		}
	}
	return t
}

// items reads the items of a list.
func (r *reader) items(items *document.Node, doc int, path string, t typed, depth int) {
	if depth >= limits.DeployListDepth {
		r.exceeded("DeployListDepth", "lists inside lists deeper than %d", limits.DeployListDepth)
		return
	}
	if items.Kind != document.Sequence {
		r.fault(items.Line, path, "not a list")
		return
	}
	inner := typed{apiVersion: t.apiVersion, kind: strings.TrimSuffix(t.kind, "List")}
	if inner.kind == "" { // a List, whose items are of any kind
		inner = typed{}
	}
	for i, d := range items.Items {
		r.object(d, doc, at(path, i), inner, depth+1)
	}
}

// pods finds the pods of an object.
func (r *reader) pods(w *workload, d *document.Node, path string, t typed) {
	if places, ok := ownPods(t); ok {
		spec := d
		for _, key := range places {
			path = join(path, key)
			parent := spec
			if spec = spec.Field(key); spec == nil || spec.Kind != document.Mapping {
				r.fault(lineOf(spec, parent), path, "missing: a %s has its pod there", t.kind)
				return
			}
		}
		r.podSpec(w, spec, path)
		return
	}
	r.custom(w, d, path)
}

func lineOf(n, parent *document.Node) int {
	if n != nil {
		return n.Line
	}
	return parent.Line
}

// podSpec reads the images of a pod: of containers of each sort, and of
// volumes that are images.
func (r *reader) podSpec(w *workload, spec *document.Node, path string) {
	containers := spec.Field("containers")
	if containers == nil || containers.Kind != document.Sequence || len(containers.Items) == 0 {
		r.fault(lineOf(containers, spec), join(path, "containers"), "missing: a pod has one container at least")
		return
	}
	for _, key := range containerLists {
		list := r.list(spec, key, path)
		if list == nil {
			continue
		}
		for i, c := range list.Items {
			p := at(join(path, key), i)
			if c.Kind != document.Mapping {
				r.fault(c.Line, p, "not an object")
				continue
			}
			r.image(w, r.text(c, "name", p), c, c.Field("image"), p+".image")
		}
	}
	r.volumes(w, spec, path)
}

// volumes reads volumes[].image.reference.
func (r *reader) volumes(w *workload, spec *document.Node, path string) {
	list := r.list(spec, "volumes", path)
	if list == nil {
		return
	}
	for i, v := range list.Items {
		p := at(join(path, "volumes"), i)
		image := v.Field("image")
		if image == nil || image.Kind == document.Null {
			continue
		}
		r.image(w, r.text(v, "name", p), image, image.Field("reference"), p+".image.reference")
	}
}

// custom reads an object of a kind that is not known here. Its pod templates
// are found by their shape, wherever they are: an object with a list of
// containers of any sort, as in spec.template.spec or spec.jobTemplate.spec.template.spec.
// Elsewhere "containers" may be something else (a patch of containers that
// somebody else defines): there, what names an image is read and what names
// none is left.
func (r *reader) custom(w *workload, d *document.Node, path string) {
	for _, p := range d.Pairs {
		below := join(path, p.Key)
		switch p.Value.Kind {
		case document.Mapping:
			r.customObject(w, p, below, strings.HasSuffix("."+below, ".template.spec"))
		case document.Sequence:
			r.customList(w, p.Value, below)
		}
		if r.limit != nil {
			return
		}
	}
}

// containerLists are where a pod has its containers. An operator may add the
// containers itself and be given initContainers alone.
var containerLists = []string{"initContainers", "containers", "ephemeralContainers"}

func someItems(n *document.Node) bool {
	return n != nil && n.Kind == document.Sequence && len(n.Items) > 0
}

func (r *reader) customObject(w *workload, p document.Pair, path string, template bool) {
	isPod := false
	for _, key := range containerLists {
		isPod = isPod || someItems(p.Value.Field(key))
	}
	switch {
	case template && someItems(p.Value.Field("containers")):
		r.podSpec(w, p.Value, path)
	case isPod:
		r.loosePod(w, p.Value, path)
	default:
		r.custom(w, p.Value, path)
	}
}

func (r *reader) customList(w *workload, list *document.Node, path string) {
	for i, item := range list.Items {
		switch item.Kind {
		case document.Mapping:
			r.customObject(w, document.Pair{Value: item}, at(path, i), false)
		case document.Sequence:
			r.customList(w, item, at(path, i))
		}
	}
}

// loosePod reads the images of what looks like a pod and need not be one, and
// goes on below it.
func (r *reader) loosePod(w *workload, spec *document.Node, path string) {
	rest := &document.Node{Kind: document.Mapping, Line: spec.Line}
	for _, p := range spec.Pairs {
		switch p.Key {
		case "initContainers", "containers", "ephemeralContainers":
		default:
			rest.Pairs = append(rest.Pairs, p)
			continue
		}
		for i, c := range itemsOf(p.Value) {
			if image := c.Field("image"); image != nil && image.Kind == document.String {
				at := at(join(path, p.Key), i)
				r.image(w, r.text(c, "name", at), c, image, at+".image")
			}
		}
	}
	for i, v := range itemsOf(spec.Field("volumes")) {
		if ref := v.Field("image").Field("reference"); ref != nil && ref.Kind == document.String {
			p := at(join(path, "volumes"), i)
			r.image(w, r.text(v, "name", p), v, ref, p+".image.reference")
		}
	}
	r.custom(w, rest, path)
}

func itemsOf(n *document.Node) []*document.Node {
	if n == nil {
		return nil
	}
	return n.Items
}
