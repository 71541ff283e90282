package manifest

import "github.com/shuin/shuin/internal/document"

// taskDefinition reads a task definition: the input of RegisterTaskDefinition,
// or the answer of DescribeTaskDefinition, which has it in a member.
func (r *reader) taskDefinition(docs []*document.Node) {
	d, ok := r.one(docs)
	if !ok {
		return
	}
	path := ""
	if inner := d.Field("taskDefinition"); inner != nil {
		if d.Field("containerDefinitions") != nil {
			r.fault(d.Line, "", "both taskDefinition and containerDefinitions: which of them is meant is not clear")
			return
		}
		d, path = inner, "taskDefinition"
	}
	if d.Kind != document.Mapping {
		r.fault(d.Line, path, "not an object")
		return
	}
	w := &workload{source: Source{Document: 1, Line: d.Line, Kind: "TaskDefinition", Name: r.text(d, "family", path)}}
	path = join(path, "containerDefinitions")
	list := d.Field("containerDefinitions")
	switch {
	case list == nil:
		r.fault(d.Line, path, "missing: a task definition lists its containers there")
		return
	case list.Kind != document.Sequence || len(list.Items) == 0:
		r.fault(list.Line, path, "not a list of containers")
		return
	}
	for i, c := range list.Items {
		p := at(path, i)
		if c.Kind != document.Mapping {
			r.fault(c.Line, p, "not an object")
			continue
		}
		r.image(w, r.text(c, "name", p), c, c.Field("image"), p+".image")
	}
	r.add(w)
}

// imageDefinitions reads what CodePipeline hands from a build to a deployment:
// imagedefinitions.json, a list, or imageDetail.json, one object.
func (r *reader) imageDefinitions(docs []*document.Node) {
	d, ok := r.one(docs)
	if !ok {
		return
	}
	w := &workload{source: Source{Document: 1, Line: d.Line, Kind: "imagedefinitions.json"}}
	switch d.Kind {
	case document.Mapping:
		w.source.Kind = "imageDetail.json"
		r.image(w, "", d, d.Field("ImageURI"), "ImageURI")
	case document.Sequence:
		if len(d.Items) == 0 {
			r.fault(d.Line, "", "an empty list: no image would be deployed")
			return
		}
		for i, c := range d.Items {
			p := at("", i)
			if c.Kind != document.Mapping {
				r.fault(c.Line, p, "not an object")
				continue
			}
			r.image(w, r.text(c, "name", p), c, c.Field("imageUri"), p+".imageUri")
		}
	default:
		r.fault(d.Line, "", "neither a list of objects with name and imageUri nor an object with ImageURI")
		return
	}
	r.add(w)
}

// one is the only document.
func (r *reader) one(docs []*document.Node) (*document.Node, bool) {
	if len(docs) > 1 {
		r.fault(docs[1].Line, "", "a second document: %s holds one", r.file.Format.one())
		return nil, false
	}
	return docs[0], true
}
