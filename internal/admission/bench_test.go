package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// instant decides at once.
type instant struct{ policy digest.Digest }

func (d instant) Decide(_ context.Context, w gate.Workload) *gate.Verdict {
	v := &gate.Verdict{Outcome: pipeline.Admit, Allowed: true, Policy: d.policy, Images: make([]gate.ImageVerdict, len(w.Images))}
	for i := range w.Images {
		v.Images[i] = gate.ImageVerdict{Image: w.Images[i], Outcome: pipeline.Admit, Allowed: true, Rule: "all", Pinned: pinnedOf(signed)}
	}
	return v
}

// ordinary is a Pod with two containers as a Deployment makes them, with what
// API servers and controllers add.
func ordinary(image string) *corev1.Pod {
	controls := true
	p := pod(image, image)
	p.GenerateName, p.UID, p.Name = "app-7c5ddbdf54-", "f5e1a9c2-1111-2222-3333-444455556666", ""
	p.CreationTimestamp = metav1.NewTime(time.Unix(1_790_000_000, 0))
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "app-7c5ddbdf54", UID: "22", Controller: &controls}}
	p.Annotations = map[string]string{"prometheus.io/scrape": "true", "checksum/config": strings.Repeat("0", 64)}
	fields := `{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"22\"}":{}}},"f:spec":{"f:containers":{` +
		`"k:{\"name\":\"a\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{}},` +
		`"k:{\"name\":\"b\"}":{".":{},"f:image":{},"f:name":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{}}}`
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)}}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		for n := range 12 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", n), Value: "some value of it"})
		}
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("512Mi")}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "kube-api-access-x", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
		c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}, PeriodSeconds: 10}
		c.TerminationMessagePath, c.TerminationMessagePolicy = "/dev/termination-log", corev1.TerminationMessageReadFile
	}
	p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access-x", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}, {ConfigMap: &corev1.ConfigMapProjection{}},
	}}}}}
	p.Spec.ServiceAccountName = "default"
	p.Spec.Tolerations = []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"}, {Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute"}}
	return p
}

// BenchmarkReview is the CPU of a review with a gate that answers at once: what
// this door adds. "trivial" is the least a webhook can do, decoding into the
// API's types and answering, as a measure beside it.
func BenchmarkReview(b *testing.B) {
	h := (&Server{Gate: instant{digest.FromString("policy")}, Now: time.Now}).Handler()
	for _, c := range []struct {
		name, path string
		body       []byte
	}{
		{"validate", ValidatePath, bodyOf(b, created(ordinary(pinnedOf(signed))))},
		{"mutate", MutatePath, bodyOf(b, created(ordinary(signed)))},
		{"unchanged", ValidatePath, bodyOf(b, updated(ordinary(pinnedOf(signed)), ordinary(pinnedOf(signed))))},
		{"validate3MiB", ValidatePath, bodyOf(b, created(large(3<<20)))},
	} {
		b.Run(c.name, func(b *testing.B) { serve(b, h, c.path, c.body) })
	}
	trivial := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Request *struct{ UID string } }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			b.Error(err)
		}
		_, _ = fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":true}}`, in.Request.UID)
	})
	b.Run("trivial", func(b *testing.B) { serve(b, trivial, ValidatePath, bodyOf(b, created(ordinary(pinnedOf(signed))))) })
}

func serve(b *testing.B, h http.Handler, path string, body []byte) {
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !bytes.Contains(w.Body.Bytes(), []byte(`"allowed":true`)) {
			b.Fatal(w.Code, w.Body)
		}
	}
}
