package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/imagename"
	"github.com/shuin/shuin/pipeline"
)

// subEphemeral is the subresource that adds ephemeral containers to a Pod.
const subEphemeral = "ephemeralcontainers"

// question is a review on its way: what it asks about, and what became of it.
type question struct {
	*request
	endpoint string
	sender   string   // whose connection it came over, as package share names it
	path     []string // to the pod's specification; nil: no kind that runs images
	subject  *object
	before   *object // what it replaces; nil: nothing, or it could not be read
	images   []image // to be judged; none: there is nothing to ask
	expanded []expanded

	verdict *gate.Verdict
	pinned  int
	refused error // why it is not let in without asking anybody
}

// expanded is an image's name written out.
type expanded struct {
	written  string // as written where err
	digested bool   // it was written with a digest
	err      error
}

// plan reads what the review is about, and finds the images that have to be
// judged. An error is why it is not let in without asking anybody.
func (s *Server) plan(q *question) error {
	switch {
	case s.Namespace != "" && q.namespace == s.Namespace:
		return nil
	case q.operation == opDelete || q.operation == opConnect:
		return nil
	case q.operation != opCreate && q.operation != opUpdate:
		return malformed("there is no operation %s", echo(q.operation))
	}
	if q.path = workloads[q.kind]; q.path == nil {
		if q.subresource != "" && imageless[q.kind] {
			return nil
		}
		return unknownKind(q.request)
	}
	if q.endpoint == Mutate && !s.pins(q) {
		return nil
	}
	var err error
	if q.subject, err = readObject(q.object, q.path); err != nil {
		return err
	}
	if q.endpoint == Mutate && !q.isPod() && q.subject.meta.owner != (Owner{}) {
		return nil
	}
	if q.operation == opUpdate {
		// What is said of the old object comes from the API server's store.
		if q.before, err = readObject(q.oldObject, q.path); err != nil {
			q.before = nil
		}
	}
	return q.choose()
}

// pins says whether mutate has something to do with the kind at all. Of owners,
// plan leaves alone those that have a controller, as a Deployment's ReplicaSets
// have: it compares them with what it wrote, and would make others for ever.
func (s *Server) pins(q *question) bool { return q.isPod() || s.PinOwners }

func (q *question) isPod() bool { return q.kind[2] == "Pod" }

// unknownKind is why an object of a kind without images that we know of is not
// let in: whoever wrote the rules counts on its being checked.
func unknownKind(q *request) error {
	name := q.kind[1] + " " + q.kind[2]
	if q.kind[0] != "" {
		name = q.kind[0] + "/" + name
	}
	resource := q.resource[2]
	if q.subresource != "" {
		resource += "/" + q.subresource
	}
	return &shuin.Error{
		Code:    shuin.CodeInvalidInput,
		Message: fmt.Sprintf("this gate cannot read the images of the kind %s", echo(name)),
		Hint:    fmt.Sprintf("take %s out of the rules of the webhook's configuration", echo(resource)),
	}
}

// choose finds the images that have to be judged: all of what is created, all
// where an update brings one that was not there, and where it only adds
// ephemeral containers, those: the others run, and cannot be changed there. Nor
// can a Pod's ephemeral containers and volumes in an update of the Pod itself.
func (q *question) choose() error {
	images := make([]image, 0, len(q.subject.images))
	for _, m := range q.subject.images {
		// In an owner a blank stands for what somebody will fill in: the Pods
		// made of it are judged.
		if q.isPod() || strings.TrimSpace(m.written) != "" {
			images = append(images, m)
		}
	}
	q.images = images
	if q.before != nil {
		fresh := q.fresh(images)
		switch {
		case q.before.meta.deleting || len(fresh) == 0:
			q.images = nil
		case q.isPod() && q.subresource == subEphemeral:
			q.images = fresh
		default:
			q.images = slices.DeleteFunc(images, func(m image) bool { return q.fixed(&m) && !slices.Contains(fresh, m) })
		}
	} else if q.isPod() && len(images) == 0 {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the pod names no image", Hint: "name the image of each container"}
	}
	if m := firstUnread(q.images); m != nil {
		return tooOld(m)
	}
	q.expanded = make([]expanded, len(q.images))
	for i := range q.images {
		e := &q.expanded[i]
		e.written = q.images[i].written
		ref, err := imagename.Expand(e.written)
		if err != nil {
			e.err = err
			continue
		}
		e.written, e.digested = ref.String(), ref.Digest != ""
	}
	return nil
}

// fresh are the images that were not there before.
func (q *question) fresh(images []image) []image {
	old := make(map[[3]string]bool, len(q.before.images))
	for i := range q.before.images {
		old[q.before.images[i].same()] = true
	}
	var out []image
	for i := range images {
		if !old[images[i].same()] {
			out = append(out, images[i])
		}
	}
	return out
}

// fixed says that the API server refuses the update where it changes the image:
// of a Pod it takes those of containers and init containers alone (ValidatePodUpdate
// of its package validation).
func (q *question) fixed(m *image) bool {
	return q.isPod() && q.operation == opUpdate && q.subresource == "" && (m.list == ephemeralContainers || m.list == volumes)
}

// workload is what the gate is asked.
func (s *Server) workload(ctx context.Context, q *question, pins bool) (gate.Workload, error) {
	w := gate.Workload{
		Images: make([]gate.Image, len(q.images)),
		Where:  pipeline.Where{Cluster: s.Cluster, Namespace: q.namespace},
		Pins:   pins,
	}
	for i := range q.images {
		w.Images[i] = gate.Image{Name: q.images[i].name, Written: q.expanded[i].written}
	}
	if s.Access == nil {
		return w, nil
	}
	account := q.subject.serviceAccount
	if account == "" {
		account = "default"
	}
	var err error
	w.Access, err = s.Access(ctx, PodAccess{Namespace: q.namespace, ServiceAccount: account, PullSecrets: q.subject.pullSecrets})
	return w, err
}

// decide asks the gate, and holds its answer to the question.
func (s *Server) decide(ctx context.Context, q *question, w gate.Workload) (*gate.Verdict, error) {
	v := s.Gate.Decide(ctx, w)
	if v == nil || len(v.Images) != len(w.Images) {
		return nil, errors.New("the gate gave no verdict about each image")
	}
	for i := range v.Images {
		if q.expanded[i].err != nil && v.Images[i].Outcome == pipeline.Admit {
			return nil, errors.New("the gate admitted an image whose name cannot be read")
		}
		v.Allowed = v.Allowed && v.Images[i].Allowed
	}
	return v, nil
}

// about is who asks, for who records the decision.
func (q *question) about() Caller {
	return Caller{Endpoint: q.endpoint, Review: q.uid, User: printable(q.user), DryRun: q.dryRun, Object: q.names()}
}

func (q *question) names() Object {
	o := Object{
		Group: printable(q.kind[0]), Version: printable(q.kind[1]), Kind: printable(q.kind[2]),
		Namespace: printable(q.namespace), Name: printable(q.name),
	}
	if m := q.meta(); m != nil {
		if o.Name == "" {
			o.Name = printable(m.name)
		}
		o.GenerateName, o.UID = printable(m.generate), printable(m.uid)
	}
	return o
}

func (q *question) meta() *metadata {
	if q.subject == nil {
		return nil
	}
	return &q.subject.meta
}

// observedKind is the kind as metrics may tell it apart.
func (q *question) observedKind() string {
	if workloads[q.kind] == nil {
		return ""
	}
	return q.kind[2]
}

// observedOperation likewise.
func (q *question) observedOperation() string {
	switch q.operation {
	case opCreate, opUpdate, opDelete, opConnect:
		return q.operation
	}
	return ""
}
