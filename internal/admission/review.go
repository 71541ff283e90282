package admission

import (
	"github.com/go-json-experiment/json"
)

// What a review is called.
const (
	reviewAPI  = "admission.k8s.io/v1"
	reviewKind = "AdmissionReview"
)

// The operations (k8s.io/api/admission/v1, Operation).
const (
	opCreate  = "CREATE"
	opUpdate  = "UPDATE"
	opDelete  = "DELETE"
	opConnect = "CONNECT"
)

// request is what is read of an AdmissionRequest. The objects are parts of the
// body.
type request struct {
	uid               string
	kind              [3]string // group, version, kind
	resource          [3]string // group, version, resource
	subresource       string
	name, namespace   string
	operation         string
	user              string
	dryRun            bool
	object, oldObject []byte
}

// readReview reads an AdmissionReview. Members that this version does not know
// are passed over: the API adds some. Where there is a request beside an error,
// its answer can be given: what cannot be read is denied, and not left to the
// webhook's failurePolicy.
func readReview(body []byte) (*request, error) {
	var api, kind string
	var q *request
	r := newReader(body)
	defer r.done()
	if k := r.dec.PeekKind(); k != '{' {
		return nil, malformed("it is not a JSON object")
	}
	err := r.members(func(name []byte) error {
		switch string(name) {
		case "apiVersion":
			return r.name(&api)
		case "kind":
			return r.name(&kind)
		case "request":
			if r.dec.PeekKind() == '{' {
				q = new(request)
			}
			return q.read(r)
		}
		return r.skip()
	})
	if err == nil {
		err = r.end()
	}
	ours := api == reviewAPI && kind == reviewKind
	switch {
	case err != nil && (!ours || q == nil || q.uid == ""):
		return nil, err
	case !ours:
		return nil, malformed("it is a %s of %s", echo(kind), echo(api))
	case q == nil || q.uid == "":
		return nil, malformed("it has no request with a uid")
	}
	return q, err
}

func (q *request) read(r *reader) error {
	return r.members(func(name []byte) error {
		switch string(name) {
		case "uid":
			return r.name(&q.uid)
		case "kind":
			return r.typed(&q.kind, "kind")
		case "resource":
			return r.typed(&q.resource, "resource")
		case "subResource":
			return r.name(&q.subresource)
		case "name":
			return r.name(&q.name)
		case "namespace":
			return r.name(&q.namespace)
		case "operation":
			return r.name(&q.operation)
		case "userInfo":
			return r.members(func(name []byte) error {
				if string(name) != "username" {
					return r.skip()
				}
				return r.label(&q.user)
			})
		case "object":
			return r.raw(&q.object)
		case "oldObject":
			return r.raw(&q.oldObject)
		case "dryRun":
			return r.truth(&q.dryRun)
		}
		return r.skip()
	})
}

// typed reads group, version, and the third, which is called last.
func (r *reader) typed(out *[3]string, last string) error {
	return r.members(func(name []byte) error {
		switch string(name) {
		case "group":
			return r.name(&out[0])
		case "version":
			return r.name(&out[1])
		case last:
			return r.name(&out[2])
		}
		return r.skip()
	})
}

// The form of an answer (k8s.io/api/admission/v1, AdmissionResponse).
type (
	review struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Response   response `json:"response"`
	}
	response struct {
		UID       string            `json:"uid"`
		Allowed   bool              `json:"allowed"`
		Status    *status           `json:"status,omitempty"`
		PatchType string            `json:"patchType,omitempty"`
		Patch     []byte            `json:"patch,omitempty"` // base64
		Audit     map[string]string `json:"auditAnnotations,omitempty"`
		Warnings  []string          `json:"warnings,omitempty"`
	}
	// status is a metav1.Status.
	status struct {
		Status  string   `json:"status"`
		Message string   `json:"message"`
		Reason  string   `json:"reason"`
		Details *details `json:"details,omitempty"`
		Code    int      `json:"code"`
	}
	details struct {
		RetryAfterSeconds int `json:"retryAfterSeconds"`
	}
)

// encode writes an answer.
func encode(r *response) ([]byte, error) {
	return json.Marshal(review{reviewAPI, reviewKind, *r}, json.Deterministic(true))
}
