package admission

import (
	"encoding/json"
	"maps"
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

// reviews are some of every kind and operation.
func reviews(t testing.TB) (out [][]byte) {
	requests := []*admissionv1.AdmissionRequest{
		created(pod(signed, unsigned)), created(annotated(pod(signed), `{"containers/a":"x"}`)), updated(pod(signed), pod(unsigned)), updated(pod(signed), pod(signed)),
		asked(admissionv1.Update, podKind, "pods", subEphemeral, edit(pod(signed), func(p *corev1.Pod) { p.Spec.EphemeralContainers = ephemeral(signed) }), pod(signed)),
		asked(admissionv1.Delete, podKind, "pods", "", nil, pod(signed)),
	}
	kinds := owners(everywhere(signed))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		requests = append(requests, kinds[kind])
	}
	for _, q := range requests {
		out = append(out, bodyOf(t, q))
	}
	return append(out, []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","kind":{"version":"v1","kind":"Pod"},"object":{"spec":{"x":{"image":"y"}}}}}`))
}

// FuzzValidate: whatever comes, nobody panics, and where the gate denies every
// image nothing is let in that another reader of the API's own types finds a
// new image in.
func FuzzValidate(f *testing.F) {
	for _, body := range reviews(f) {
		f.Add(body)
	}
	h := denier()
	f.Fuzz(func(t *testing.T, body []byte) { neverLetIn(t, h, body) })
}

// FuzzValidateEdited is the same of reviews in which members are renamed,
// moved, dropped, repeated and of other types: JSON, all of it.
func FuzzValidateEdited(f *testing.F) {
	all := reviews(f)
	for i := range all {
		f.Add(uint8(i), []byte{5, 0, 0, 20, 1, 7, 40, 2, 3})  //nolint:gosec // few
		f.Add(uint8(i), []byte{60, 3, 9, 61, 4, 2, 62, 5, 1}) //nolint:gosec // few
	}
	h := denier()
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		neverLetIn(t, h, edited(t, all[int(which)%len(all)], edits[:min(len(edits), 30)]))
	})
}

// denier serves a gate that denies every image.
func denier() http.Handler {
	s := server(&desk{answers: map[string]said{}, silent: true})
	s.Now = func() time.Time { return time.Time{} }
	return s.Handler()
}

func neverLetIn(t *testing.T, h http.Handler, body []byte) {
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
}

// edited changes a review, by threes of bytes: which value, what, and with what.
func edited(t *testing.T, body, edits []byte) []byte {
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		t.Fatal(err)
	}
	names := []string{"image", "containers", "initContainers", "volumes", "reference", "spec", "template", "object", "oldObject", "metadata", "Image", "namespace", "kind", "operation", "request", "name", "im\u0131ge"}
	values := []any{nil, "shuin-system", "UPDATE", "DELETE", "Scale", "r.example/x:v9", 7.0, true, []any{}, map[string]any{}, map[string]any{"reference": "r.example/y:v1"}, "", " ", signed, "status", "ephemeralcontainers"}
	for ; len(edits) >= 3; edits = edits[3:] {
		var objects []map[string]any
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				objects = append(objects, v)
				for _, k := range slices.Sorted(maps.Keys(v)) {
					walk(v[k])
				}
			case []any:
				for _, item := range v {
					walk(item)
				}
			}
		}
		walk(tree)
		o := objects[int(edits[0])%len(objects)]
		keys := slices.Sorted(maps.Keys(o))
		if len(keys) == 0 {
			continue
		}
		key, aux := keys[int(edits[2])%len(keys)], int(edits[2])
		switch edits[1] % 6 {
		case 0:
			delete(o, key)
		case 1:
			o[names[aux%len(names)]] = o[key]
		case 2:
			o[key] = values[aux%len(values)]
		case 3:
			o[names[aux%len(names)]] = values[aux/len(names)%len(values)]
		case 4:
			o[key] = []any{o[key], o[key]}
		case 5:
			o[strings.ToUpper(key[:min(1, len(key))])+key[min(1, len(key)):]] = o[key]
			delete(o, key)
		}
		// Values may now stand at two places: a copy keeps walks short.
		copied, err := json.Marshal(tree)
		if err != nil || len(copied) > 1<<20 || json.Unmarshal(copied, &tree) != nil {
			t.Skipf("the edited review is no JSON any more, or too long: %d bytes, %v", len(copied), err)
		}
		body = copied
	}
	return body
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
	kind := q.Kind.Group + "/" + q.Kind.Version + " " + q.Kind.Kind
	now, _, ok := imagesOf(kind, q.Object.Raw)
	var old []string
	if ok && q.Operation == admissionv1.Update {
		var deleting bool
		if old, deleting, ok = imagesOf(kind, q.OldObject.Raw); deleting {
			return ""
		}
	}
	if !ok {
		return "" // no object of that kind: an API server sends none
	}
	for _, m := range now {
		if !slices.Contains(old, m) {
			return m
		}
	}
	return ""
}

// imagesOf are the images of an object, each with its list and name.
func imagesOf(kind string, raw []byte) (out []string, deleting, ok bool) {
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
		return nil, false, false
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(raw, into) != nil {
		return nil, false, false
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
	return out, deleting, true
}

// FuzzMutate: whatever comes, mutate lets it pass, and its patch changes images
// and the annotation of ours, and nothing else; what was denied stays as it was.
func FuzzMutate(f *testing.F) {
	for _, body := range reviews(f) {
		f.Add(body)
	}
	half := newDesk()
	half.silent = true
	s := server(half)
	s.PinOwners, s.Now = true, func() time.Time { return time.Time{} }
	h := s.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
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
