package admission

import (
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// free are the fields of a pod's specification whose keys their users choose:
// an "image" in them names no image that is run. (An image that a CSI driver
// mounts because volumeAttributes tell it to is such a one: files, pulled by a
// driver of the cluster's own, and no field of Kubernetes'.)
var free = map[string]bool{
	"nodeSelector":                 true,
	"overhead":                     true,
	"volumes.csi.volumeAttributes": true,
	"volumes.flexVolume.options":   true,
	"volumes.projected.sources.podCertificate.userAnnotations": true,
}

// freely are such fields wherever they stand.
var freely = map[string]bool{"matchLabels": true, "labels": true, "annotations": true, "limits": true, "requests": true}

// others are fields called image that name something else: rbd's is a block
// device of Ceph.
var others = map[string]bool{"volumes.rbd.image": true}

// below goes down to a field; what it returns comes back.
func (r *reader) below(name []byte) func() {
	n := len(r.path)
	r.path = append(append(r.path, name...), '.')
	return func() { r.path = r.path[:n] }
}

// fields are the members of an object that stands in a pod's specification.
func (r *reader) fields(f func(name []byte) error) error {
	if r.deep++; r.deep > limits.AdmissionDepth {
		return tooDeep()
	}
	defer func() { r.deep-- }()
	return r.members(f)
}

func tooDeep() error {
	return &shuin.Error{
		Code:    shuin.CodeLimit,
		Message: fmt.Sprintf("the pod's specification is nested deeper than %d (limit AdmissionDepth)", limits.AdmissionDepth),
	}
}

// scan passes over a field that is of no interest, but for images in it: an
// API server that is newer than this gate may run what they name.
func (o *object) scan(r *reader, name []byte) error {
	kind := r.dec.PeekKind()
	if freely[string(name)] || kind != '{' && kind != '[' && string(name) != "image" {
		return r.skip()
	}
	up := len(r.path)
	r.path = append(r.path, name...)
	defer func() { r.path = r.path[:up] }()
	if free[string(r.path)] || others[string(r.path)] {
		return r.skip()
	}
	return o.scanValue(r, string(name) == "image")
}

// scanValue passes over a value; is says that its field is called image, and
// r.path is its path.
func (o *object) scanValue(r *reader, is bool) error {
	switch r.dec.PeekKind() {
	case '"':
		if !is {
			return r.skip()
		}
		return o.unread(r)
	case '[':
		if r.deep++; r.deep > limits.AdmissionDepth {
			return tooDeep()
		}
		defer func() { r.deep-- }()
		return r.items(func(int) error { return o.scanValue(r, is) })
	case '{':
		up := len(r.path)
		r.path = append(r.path, '.')
		defer func() { r.path = r.path[:up] }()
		return r.fields(func(name []byte) error {
			if is && string(name) == "reference" && r.dec.PeekKind() == '"' {
				at := len(r.path)
				r.path = append(r.path, name...)
				defer func() { r.path = r.path[:at] }()
				return o.unread(r)
			}
			return o.scan(r, name)
		})
	}
	return r.skip()
}

// unread notes an image at a place that this gate does not know.
func (o *object) unread(r *reader) error {
	m := image{list: string(r.path), unread: true}
	if err := r.reference(&m.written); err != nil || m.written == "" {
		return err
	}
	return o.add(m)
}

// firstUnread is the first image at a place that this gate does not know.
func firstUnread(images []image) *image {
	for i := range images {
		if images[i].unread {
			return &images[i]
		}
	}
	return nil
}

// tooOld is why such an image is not let in.
func tooOld(m *image) error {
	return &shuin.Error{
		Code:    shuin.CodeTooOld,
		Message: fmt.Sprintf("this gate is too old for the field %s, which names an image", echo(m.list)),
		Hint:    "install a newer Shuin, or leave the field out",
	}
}
