package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

const (
	signed   = "registry.example/shop/signed:v1"
	unsigned = "registry.example/shop/unsigned:v1"
	reviewID = "705ab4f5-6393-11e8-b7cc-42010a800002"
)

var someDigest = digest.FromString("signed")

// said is what a desk says of an image.
type said struct {
	outcome   pipeline.Outcome
	mode      pipeline.Mode
	allowed   bool
	digest    digest.Digest
	err       error
	exception *pipeline.Exception
	lastGood  time.Time
}

// desk stands in for a gate: it says what it was told to, refuses tags that
// nobody pins, and denies what it does not know.
type desk struct {
	mu      sync.Mutex
	answers map[string]said // by the reference as asked
	asked   []gate.Workload
	callers []Caller
	left    []time.Duration // until the deadlines
	before  func(ctx context.Context)
	spoil   func(v *gate.Verdict) *gate.Verdict
	silent  bool // what it is asked is not kept
}

func (d *desk) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	d.mu.Lock()
	if !d.silent {
		c, _ := CallerOf(ctx)
		deadline, _ := ctx.Deadline()
		d.asked, d.callers, d.left = append(d.asked, w), append(d.callers, c), append(d.left, time.Until(deadline))
	}
	before, spoil := d.before, d.spoil
	d.mu.Unlock()
	if before != nil {
		before(ctx)
	}
	v := &gate.Verdict{Outcome: pipeline.Admit, Allowed: true, Policy: digest.FromString("policy")}
	for _, m := range w.Images {
		iv := d.judge(m, w.Pins)
		if !iv.Allowed && v.Allowed {
			v.Allowed, v.Outcome = false, iv.Outcome
		} else if iv.Outcome != pipeline.Admit && v.Outcome == pipeline.Admit {
			v.Outcome = iv.Outcome
		}
		v.Images = append(v.Images, iv)
	}
	if spoil != nil {
		return spoil(v)
	}
	return v
}

func (d *desk) judge(m gate.Image, pins bool) gate.ImageVerdict {
	iv := gate.ImageVerdict{Image: m, Rule: "all"}
	ref, err := shuin.ParseReference(m.Written)
	if err != nil {
		iv.Outcome, iv.Err = pipeline.Deny, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read the image reference", Err: err}
		return iv
	}
	s, ok := d.answers[m.Written]
	if !ok {
		s = said{outcome: pipeline.Deny, digest: digest.FromString(m.Written), err: &shuin.Error{Code: shuin.CodeUnsigned, Message: "no signature", Hint: "sign it"}}
	}
	iv.Mode = s.mode
	if ref.Digest == "" && !pins {
		iv.Outcome, iv.Allowed = pipeline.Deny, s.mode != pipeline.Enforce
		iv.Err = &shuin.Error{Code: shuin.CodeTagRefused, Message: "named by its tag alone"}
		return iv
	}
	iv.Outcome, iv.Err, iv.Exception, iv.LastGood = s.outcome, s.err, s.exception, s.lastGood
	iv.Allowed = s.allowed || s.outcome == pipeline.Admit || s.mode != pipeline.Enforce
	if d := s.digest; ref.Digest != "" {
		iv.Pinned = ref.Registry + "/" + ref.Repository + "@" + string(ref.Digest)
	} else if d != "" {
		iv.Pinned = ref.Registry + "/" + ref.Repository + "@" + string(d)
	}
	return iv
}

// newDesk knows one image that is sealed, by tag and by digest.
func newDesk() *desk {
	good := said{outcome: pipeline.Admit, digest: someDigest}
	return &desk{answers: map[string]said{signed: good, pinnedOf(signed): good}}
}

// pinnedOf is a tag's image as it is pinned.
func pinnedOf(image string) string {
	name, _, _ := strings.Cut(image, ":v")
	return name + "@" + string(someDigest)
}

func server(d *desk) *Server {
	return &Server{Gate: d, Cluster: "prod", Namespace: "shuin-system", Now: time.Now}
}

// request of a review as the API server makes it.
func asked(op admissionv1.Operation, gvk metav1.GroupVersionKind, resource, sub string, object, old runtime.Object) *admissionv1.AdmissionRequest {
	gvr := metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: resource}
	dry := false
	return &admissionv1.AdmissionRequest{
		UID: types.UID(reviewID), Kind: gvk, Resource: gvr, SubResource: sub, RequestKind: &gvk, RequestResource: &gvr, RequestSubResource: sub,
		Name: "app", Namespace: "shop", Operation: op, DryRun: &dry,
		Object: runtime.RawExtension{Object: object}, OldObject: runtime.RawExtension{Object: old},
		Options: runtime.RawExtension{Raw: []byte(`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-client-side-apply"}`)},
	}
}

var podKind = metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}

func created(pod *corev1.Pod) *admissionv1.AdmissionRequest {
	return asked(admissionv1.Create, podKind, "pods", "", pod, nil)
}

func updated(pod, old *corev1.Pod) *admissionv1.AdmissionRequest {
	return asked(admissionv1.Update, podKind, "pods", "", pod, old)
}

func bodyOf(t testing.TB, q *admissionv1.AdmissionRequest) []byte {
	t.Helper()
	body, err := json.Marshal(&admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: q})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// send posts a body, and gives the answer as it came.
func send(h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// ask sends a request, and reads the answer as the API server does.
func ask(t testing.TB, s *Server, path string, q *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	return response200(t, send(s.Handler(), path, bodyOf(t, q)), strings.HasPrefix(path, MutatePath))
}

// response200 holds an answer to what the API server wants of it.
func response200(t testing.TB, w *httptest.ResponseRecorder, mutating bool) *admissionv1.AdmissionResponse {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("HTTP %d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	var out admissionv1.AdmissionReview
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		t.Fatal(err)
	}
	a := out.Response
	switch {
	case out.APIVersion != "admission.k8s.io/v1" || out.Kind != "AdmissionReview" || a == nil || out.Request != nil:
		t.Fatalf("%+v", out)
	case a.UID != types.UID(reviewID):
		t.Fatalf("uid %q", a.UID)
	case (len(a.Patch) > 0) != (a.PatchType != nil) || !mutating && a.PatchType != nil:
		t.Fatalf("patch %q of type %v", a.Patch, a.PatchType)
	case a.PatchType != nil && *a.PatchType != admissionv1.PatchTypeJSONPatch:
		t.Fatal(*a.PatchType)
	case !a.Allowed && (a.Result == nil || a.Result.Code < 400 || a.Result.Status != metav1.StatusFailure || a.Result.Message == ""):
		t.Fatalf("denied with %+v", a.Result)
	case a.Result != nil && (strings.ContainsAny(a.Result.Message, "\n\x1b") || len(a.Result.Message) > 2048):
		t.Fatalf("%q", a.Result.Message)
	}
	return a
}

// pod has one container for each image.
func pod(images ...string) *corev1.Pod {
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "shop", Labels: map[string]string{"app": "app"}}}
	for i, m := range images {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: string(rune('a' + i)), Image: m})
	}
	return p
}

// edit is a changed copy.
func edit(p *corev1.Pod, f func(*corev1.Pod)) *corev1.Pod {
	out := p.DeepCopy()
	f(out)
	return out
}

// owners are one of each kind that makes Pods of this specification.
func owners(spec corev1.PodSpec) map[string]*admissionv1.AdmissionRequest {
	meta := metav1.ObjectMeta{Name: "app", Namespace: "shop"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "app"}}, Spec: spec}
	typed := func(api, kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: api, Kind: kind} }
	out := map[string]*admissionv1.AdmissionRequest{}
	add := func(group, kind, resource string, o runtime.Object) {
		out[kind] = asked(admissionv1.Create, metav1.GroupVersionKind{Group: group, Version: "v1", Kind: kind}, resource, "", o, nil)
	}
	add("apps", "Deployment", "deployments", &appsv1.Deployment{TypeMeta: typed("apps/v1", "Deployment"), ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: template}})
	add("apps", "ReplicaSet", "replicasets", &appsv1.ReplicaSet{TypeMeta: typed("apps/v1", "ReplicaSet"), ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Template: template}})
	add("apps", "StatefulSet", "statefulsets", &appsv1.StatefulSet{TypeMeta: typed("apps/v1", "StatefulSet"), ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Template: template}})
	add("apps", "DaemonSet", "daemonsets", &appsv1.DaemonSet{TypeMeta: typed("apps/v1", "DaemonSet"), ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Template: template}})
	add("batch", "Job", "jobs", &batchv1.Job{TypeMeta: typed("batch/v1", "Job"), ObjectMeta: meta, Spec: batchv1.JobSpec{Template: template}})
	add("batch", "CronJob", "cronjobs", &batchv1.CronJob{TypeMeta: typed("batch/v1", "CronJob"), ObjectMeta: meta, Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}})
	add("", "ReplicationController", "replicationcontrollers", &corev1.ReplicationController{TypeMeta: typed("v1", "ReplicationController"), ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Template: &template}})
	add("", "PodTemplate", "podtemplates", &corev1.PodTemplate{TypeMeta: typed("v1", "PodTemplate"), ObjectMeta: meta, Template: template})
	return out
}

// everywhere is a specification with an image in each place there is.
func everywhere(image string) corev1.PodSpec {
	return corev1.PodSpec{
		InitContainers:      []corev1.Container{{Name: "first", Image: image}},
		Containers:          []corev1.Container{{Name: "app", Image: image}, {Name: "side", Image: image}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: image}}},
		Volumes: []corev1.Volume{
			{Name: "cfg", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
			{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image, PullPolicy: corev1.PullAlways}}},
		},
		ServiceAccountName: "robot",
		ImagePullSecrets:   []corev1.LocalObjectReference{{Name: "one"}, {Name: "two"}},
		NodeSelector:       map[string]string{"image": "big"},
		Overhead:           corev1.ResourceList{},
	}
}
