package admission

import (
	"fmt"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// workloads are the kinds that run images, by group, version and kind, with
// the path to their pod's specification.
var workloads = map[[3]string][]string{
	{"", "v1", "Pod"}:                   {"spec"},
	{"", "v1", "PodTemplate"}:           {"template", "spec"},
	{"", "v1", "ReplicationController"}: {"spec", "template", "spec"},
	{"apps", "v1", "Deployment"}:        {"spec", "template", "spec"},
	{"apps", "v1", "ReplicaSet"}:        {"spec", "template", "spec"},
	{"apps", "v1", "StatefulSet"}:       {"spec", "template", "spec"},
	{"apps", "v1", "DaemonSet"}:         {"spec", "template", "spec"},
	{"batch", "v1", "Job"}:              {"spec", "template", "spec"},
	{"batch", "v1", "CronJob"}:          {"spec", "jobTemplate", "spec", "template", "spec"},
}

// imageless are the kinds that subresources of workloads take, none of which
// names an image.
var imageless = map[[3]string]bool{
	{"autoscaling", "v1", "Scale"}:      true,
	{"policy", "v1", "Eviction"}:        true,
	{"", "v1", "Binding"}:               true,
	{"", "v1", "PodExecOptions"}:        true, // of CONNECT, with the next three
	{"", "v1", "PodAttachOptions"}:      true,
	{"", "v1", "PodProxyOptions"}:       true,
	{"", "v1", "PodPortForwardOptions"}: true,
}

// The lists of a pod that name images.
const (
	containers          = "containers"
	initContainers      = "initContainers"
	ephemeralContainers = "ephemeralContainers"
	volumes             = "volumes"
)

// image is one that an object names. Two are the same when they are in the same
// list, of the same name and written the same.
type image struct {
	list, name, written string
	index               int
	unread              bool // list is the path of a field that this gate does not know
}

// same is what makes an image the one it was.
func (m *image) same() [3]string { return [3]string{m.list, m.name, m.written} }

// place is what the annotation calls it.
func (m *image) place() string { return m.list + "/" + m.name }

// pointer is where it stands below the pod's specification (RFC 6901).
func (m *image) pointer() string {
	if m.list == volumes {
		return fmt.Sprintf("/%s/%d/image/reference", m.list, m.index)
	}
	return fmt.Sprintf("/%s/%d/image", m.list, m.index)
}

// object is what is read of one: of a workload, or of the one it replaces.
type object struct {
	meta metadata // its own
	pod  metadata // of the pod: of a Pod the same

	images         []image
	serviceAccount string
	pullSecrets    []string
}

// metadata is what is read of one object's.
type metadata struct {
	there          bool
	name, generate string
	uid            string
	deleting       bool
	owner          Owner
	annotated      bool   // there are annotations
	written        string // ours
	hasWritten     bool
	others         int // bytes of the other annotations, as the API server counts them
}

// readObject reads a workload, whose pod's specification is at path.
func readObject(raw []byte, path []string) (*object, error) {
	r, o := again(raw), new(object)
	defer r.done()
	if k := r.dec.PeekKind(); k != '{' {
		return nil, malformed("the object is not there")
	}
	found := false
	if err := o.level(r, path, true, &found); err != nil {
		return nil, err
	}
	if !found {
		return nil, malformed("the object has no %s, where its images stand", strings.Join(path, "."))
	}
	if len(path) == 1 {
		o.meta = o.pod
	}
	return o, nil
}

// level reads one object on the way to the pod's specification.
func (o *object) level(r *reader, path []string, top bool, found *bool) error {
	return r.members(func(name []byte) error {
		switch {
		case string(name) == path[0] && len(path) == 1:
			*found = r.dec.PeekKind() == '{'
			return o.podSpec(r)
		case string(name) == path[0]:
			return o.level(r, path[1:], false, found)
		case string(name) == "metadata" && len(path) == 1:
			return o.pod.read(r)
		case string(name) == "metadata" && top:
			return o.meta.read(r)
		}
		return r.skip()
	})
}

func (m *metadata) read(r *reader) error {
	m.there = r.dec.PeekKind() == '{'
	return r.members(func(name []byte) error {
		switch string(name) {
		case "name":
			return r.label(&m.name)
		case "generateName":
			return r.label(&m.generate)
		case "uid":
			return r.label(&m.uid)
		case "deletionTimestamp":
			m.deleting = r.dec.PeekKind() == '"'
		case "ownerReferences":
			return r.items(func(int) error { return m.owned(r) })
		case "annotations":
			m.annotated = r.dec.PeekKind() == '{'
			return r.members(func(name []byte) error {
				if string(name) != ImagesAnnotation {
					n, err := r.length()
					m.others += len(name) + n
					return err
				}
				m.hasWritten = true
				text, err := r.text()
				if len(text) <= limits.AdmissionImagesBytes { // no longer one is ours, and it would be kept while the decision is waited for
					m.written = text
				}
				return err
			})
		}
		return r.skip()
	})
}

// owned reads one owner; the one that controls the object counts.
func (m *metadata) owned(r *reader) error {
	var o Owner
	controls := false
	err := r.members(func(name []byte) error {
		switch string(name) {
		case "apiVersion":
			return r.label(&o.APIVersion)
		case "kind":
			return r.label(&o.Kind)
		case "name":
			return r.label(&o.Name)
		case "uid":
			return r.label(&o.UID)
		case "controller":
			return r.truth(&controls)
		}
		return r.skip()
	})
	if controls {
		m.owner = o
	}
	return err
}

// podSpec reads a pod's specification: its images, and whose credentials count
// for them.
func (o *object) podSpec(r *reader) error {
	return r.fields(func(name []byte) error {
		switch string(name) {
		case containers:
			return o.list(r, containers)
		case initContainers:
			return o.list(r, initContainers)
		case ephemeralContainers:
			return o.list(r, ephemeralContainers)
		case volumes:
			return o.list(r, volumes)
		case "serviceAccountName":
			return r.name(&o.serviceAccount)
		case "imagePullSecrets":
			return r.items(func(int) error { return o.pullSecret(r) })
		}
		return o.scan(r, name)
	})
}

func (o *object) pullSecret(r *reader) error {
	var secret string
	err := r.members(func(name []byte) error {
		if string(name) == "name" {
			return r.name(&secret)
		}
		return r.skip()
	})
	if err == nil && secret != "" {
		o.pullSecrets = append(o.pullSecrets, secret)
	}
	if err == nil && len(o.pullSecrets) > limits.AdmissionPullSecrets {
		err = &shuin.Error{
			Code:    shuin.CodeLimit,
			Message: fmt.Sprintf("the pod names more than %d pull secrets (limit AdmissionPullSecrets)", limits.AdmissionPullSecrets),
		}
	}
	return err
}

// list reads containers or volumes.
func (o *object) list(r *reader, list string) error {
	defer r.below([]byte(list))()
	return r.items(func(i int) error {
		m := image{list: list, index: i}
		named := false
		err := r.fields(func(name []byte) error {
			switch {
			case string(name) == "name":
				return r.name(&m.name)
			case string(name) != "image":
				return o.scan(r, name)
			case list != volumes:
				named = true
				return r.reference(&m.written)
			}
			defer r.below(name)()
			return r.fields(func(name []byte) error {
				if string(name) != "reference" {
					return o.scan(r, name)
				}
				named = true
				return r.reference(&m.written)
			})
		})
		if err == nil && named {
			err = o.add(m)
		}
		return err
	})
}

// reference reads an image as it is written.
func (r *reader) reference(s *string) error { return r.into(s, limits.DeployImageBytes) }

func (o *object) add(m image) error {
	if o.images = append(o.images, m); len(o.images) > limits.GateImages {
		return &shuin.Error{
			Code: shuin.CodeLimit, Message: fmt.Sprintf("the object has more than %d images (limit GateImages)", limits.GateImages),
			Hint: "split it",
		}
	}
	return nil
}
