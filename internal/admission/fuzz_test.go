package admission

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
)

// seeds are reviews of every kind and operation.
func seeds(f *testing.F) {
	requests := []*admissionv1.AdmissionRequest{
		created(pod(signed, unsigned)), created(annotated(pod(signed), `{"containers/a":"x"}`)), updated(pod(signed), pod(unsigned)), updated(pod(signed), pod(signed)),
		asked(admissionv1.Update, podKind, "pods", subEphemeral, edit(pod(signed), func(p *corev1.Pod) { p.Spec.EphemeralContainers = ephemeral(signed) }), pod(signed)),
		asked(admissionv1.Delete, podKind, "pods", "", nil, pod(signed)),
	}
	for _, q := range owners(everywhere(signed)) {
		requests = append(requests, q)
	}
	for _, q := range requests {
		f.Add(bodyOf(f, q))
	}
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","kind":{"version":"v1","kind":"Pod"},"object":{"spec":{"x":{"image":"y"}}}}}`))
}

// FuzzValidate: whatever comes, nobody panics, and where the gate denies every
// image nothing is let in that another reader of the API's own types finds a
// new image in.
func FuzzValidate(f *testing.F) {
	seeds(f)
	deny := &desk{answers: map[string]said{}}
	s := server(deny)
	s.Now = func() time.Time { return time.Time{} }
	h := s.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		deny.asked, deny.callers, deny.left = nil, nil, nil
		w := send(h, ValidatePath, body)
		if w.Code != http.StatusOK {
			return
		}
		var out admissionv1.AdmissionReview
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Response == nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if a := out.Response; a.Allowed {
			if m := newImage(body); m != "" {
				t.Fatalf("let in with %q: %s", m, body)
			}
		} else if a.Result == nil || a.Result.Code < 400 || a.Result.Message == "" || strings.ContainsAny(a.Result.Message, "\n\x1b") {
			t.Fatalf("%s", w.Body)
		}
	})
}

// newImage is an image that the object of a review brings, as Kubernetes' own
// types and decoder have it; empty: none, or nothing that an API server writes.
func newImage(body []byte) string {
	var in admissionv1.AdmissionReview
	if strict, err := kjson.UnmarshalStrict(body, &in); err != nil || slices.ContainsFunc(strict, func(err error) bool { return strings.Contains(err.Error(), "duplicate") }) {
		return ""
	}
	q := in.Request
	if q == nil || q.Namespace == "shuin-system" || q.Operation != admissionv1.Create && q.Operation != admissionv1.Update {
		return ""
	}
	now, _ := imagesOf(q.Kind.Group+"/"+q.Kind.Version+" "+q.Kind.Kind, q.Object.Raw)
	var old []string
	if q.Operation == admissionv1.Update {
		var deleting bool
		if old, deleting = imagesOf(q.Kind.Group+"/"+q.Kind.Version+" "+q.Kind.Kind, q.OldObject.Raw); deleting {
			return ""
		}
	}
	for _, m := range now {
		if !slices.Contains(old, m) {
			return m
		}
	}
	return ""
}

// imagesOf are the images of an object, each with its list and name.
func imagesOf(kind string, raw []byte) (out []string, deleting bool) {
	var p corev1.Pod
	var d appsv1.Deployment
	var c batchv1.CronJob
	var pt corev1.PodTemplate
	into, spec := any(nil), (*corev1.PodSpec)(nil)
	switch kind {
	case "/v1 Pod":
		into, spec = &p, &p.Spec
	case "/v1 PodTemplate":
		into, spec = &pt, &pt.Template.Spec
	case "batch/v1 CronJob":
		into, spec = &c, &c.Spec.JobTemplate.Spec.Template.Spec
	case "apps/v1 Deployment", "apps/v1 ReplicaSet", "apps/v1 StatefulSet", "apps/v1 DaemonSet", "batch/v1 Job", "/v1 ReplicationController":
		into, spec = &d, &d.Spec.Template.Spec
	default:
		return nil, false
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(raw, into) != nil {
		return nil, false
	}
	deleting = p.DeletionTimestamp != nil || d.DeletionTimestamp != nil || c.DeletionTimestamp != nil || pt.DeletionTimestamp != nil
	add := func(list, name, image string) {
		if strings.TrimSpace(image) != "" {
			out = append(out, list+"/"+name+" "+image)
		}
	}
	for _, m := range spec.Containers {
		add(containers, m.Name, m.Image)
	}
	for _, m := range spec.InitContainers {
		add(initContainers, m.Name, m.Image)
	}
	for _, m := range spec.EphemeralContainers {
		add(ephemeralContainers, m.Name, m.Image)
	}
	for _, m := range spec.Volumes {
		if m.Image != nil {
			add(volumes, m.Name, m.Image.Reference)
		}
	}
	return out, deleting
}

// FuzzMutate: whatever comes, mutate lets it pass, and its patch changes images
// and the annotation of ours, and nothing else; what was denied stays as it was.
func FuzzMutate(f *testing.F) {
	seeds(f)
	half := newDesk()
	s := server(half)
	s.PinOwners, s.Now = true, func() time.Time { return time.Time{} }
	h := s.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		half.asked, half.callers, half.left = nil, nil, nil
		w := send(h, MutatePath, body)
		if w.Code != http.StatusOK {
			return
		}
		var out admissionv1.AdmissionReview
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Response == nil || !out.Response.Allowed {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if len(out.Response.Patch) == 0 {
			return
		}
		var ops []struct {
			Op, Path string
			Value    any
		}
		if err := json.Unmarshal(out.Response.Patch, &ops); err != nil {
			t.Fatal(err)
		}
		for _, op := range ops {
			image := strings.HasSuffix(op.Path, "/image") || strings.HasSuffix(op.Path, "/image/reference")
			meta := strings.HasSuffix(op.Path, "/metadata") || strings.HasSuffix(op.Path, "/annotations") || strings.HasSuffix(op.Path, "/annotations/shuin.dev~1images")
			if !image && !meta || image && (op.Op != "replace" || op.Value != pinnedOf(signed)) {
				t.Fatalf("%+v", op)
			}
		}
	})
}
