//go:build e2e

package kube

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/test/kube/cluster"
)

// admitting lets every image in by a digest, tags only where they will be pinned.
type admitting struct{}

func (admitting) Decide(_ context.Context, w gate.Workload) *gate.Verdict {
	v := &gate.Verdict{Outcome: pipeline.Admit, Allowed: true, Policy: digest.FromString("policy"), Time: time.Now()}
	for _, m := range w.Images {
		iv := gate.ImageVerdict{Image: m, Outcome: pipeline.Admit, Allowed: true, Mode: pipeline.Enforce}
		switch name, _, pinned := strings.Cut(m.Written, "@"); {
		case pinned:
			iv.Pinned = m.Written
		case w.Pins:
			iv.Pinned = name[:strings.LastIndex(name, ":")] + "@" + digest.FromString(name).String()
		default:
			iv.Outcome, iv.Allowed, iv.Err = pipeline.Deny, false, &shuin.Error{Code: shuin.CodeTagRefused, Message: "a tag"}
			v.Outcome, v.Allowed = pipeline.Deny, false
		}
		v.Images = append(v.Images, iv)
	}
	return v
}

// door serves the webhooks before Pods and their owners of a namespace.
func door(t *testing.T, ns string, s *admission.Server) {
	t.Helper()
	srv := httptest.NewTLSServer(s.Handler())
	t.Cleanup(srv.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	rules := append(cluster.PodRules(), cluster.Rule("apps", "v1", "deployments", "replicasets", "statefulsets", "daemonsets"), cluster.Rule("batch", "v1", "jobs", "cronjobs"))
	for path, mutating := range map[string]bool{admission.MutatePath: true, admission.ValidatePath: false} {
		shared.Register(t, cluster.Hook{
			Name: fmt.Sprintf("m%t.%s.shuin.test", mutating, ns), Mutating: mutating, URL: srv.URL + path, CA: ca, Namespace: ns, Rules: rules, Again: mutating,
		})
	}
}

// A Deployment that names a tag is from before the gate, or was let in by a rule
// that warns. Its controller compares the ReplicaSets that it makes with its own
// template, and makes others for as long as none is alike.
func TestPinnedOwnersRollOutOnceAlsoWhereTheirDeploymentIsNotPinned(t *testing.T) {
	ns := shared.Namespace(t)
	shared.Kubectl(t, "create", "deployment", "old", "-n", ns, "--image=r.example/app:1").OK(t)
	cluster.Eventually(t, limit, func() error { return hasPods(t.Context(), ns, 1) })
	door(t, ns, &admission.Server{Gate: admitting{}, PinOwners: true, Now: time.Now})
	shared.Kubectl(t, "rollout", "restart", "-n", ns, "deployment/old").OK(t)
	cluster.Eventually(t, limit, func() error { return rolledTo(t.Context(), ns, "old", 2) })
	// What the user writes is pinned, and the ReplicaSet made of it is as written.
	shared.Kubectl(t, "set", "image", "-n", ns, "deployment/old", "app=r.example/app:2").OK(t)
	cluster.Eventually(t, limit, func() error { return rolledTo(t.Context(), ns, "old", 3) })
	if image := shared.Kubectl(t, "get", "-n", ns, "deployment/old", "-o", "jsonpath={.spec.template.spec.containers[0].image}").OK(t); !strings.HasPrefix(image, "r.example/app@sha256:") {
		t.Errorf("the Deployment names %s", image)
	}
	pods, err := shared.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pinned := 0
	for i := range pods.Items {
		switch image := pods.Items[i].Spec.Containers[0].Image; {
		case strings.Contains(image, "@sha256:"):
			pinned++
		case pods.Items[i].Annotations["kubectl.kubernetes.io/restartedAt"] != "":
			t.Errorf("a Pod made behind the gate runs %s", image)
		}
	}
	if pinned == 0 {
		t.Errorf("none of %d Pods is pinned", len(pods.Items))
	}
}

// rolledTo wants the controller to have seen its Deployment as it is, and to
// have made so many ReplicaSets in all.
func rolledTo(ctx context.Context, ns, name string, revisions int) error {
	d, err := shared.Client.AppsV1().Deployments(ns).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	sets, err := shared.Client.AppsV1().ReplicaSets(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	collisions := int32(0)
	if d.Status.CollisionCount != nil {
		collisions = *d.Status.CollisionCount
	}
	if len(sets.Items) != revisions || collisions != 0 || d.Status.ObservedGeneration != d.Generation || d.Status.UpdatedReplicas == 0 {
		return fmt.Errorf("%d ReplicaSets for %d revisions, %d collisions, %d Pods of the newest", len(sets.Items), revisions, collisions, d.Status.UpdatedReplicas)
	}
	return nil
}

func TestAPodWhoseAnnotationsLeaveNoRoomIsPinnedWithoutOurs(t *testing.T) {
	ns := shared.Namespace(t)
	door(t, ns, &admission.Server{Gate: admitting{}, Now: time.Now})
	for size, ours := range map[int]bool{1000: true, 256<<10 - 10: false} {
		p := pod("r.example/app:1")
		p.GenerateName, p.Annotations = "noted-", map[string]string{"big": strings.Repeat("x", size)}
		made, err := shared.Client.CoreV1().Pods(ns).Create(t.Context(), p, metav1.CreateOptions{})
		if err != nil {
			t.Errorf("annotations of %d bytes: %v", size, err)
			continue
		}
		if got := made.Spec.Containers[0].Image; !strings.Contains(got, "@sha256:") || (made.Annotations[admission.ImagesAnnotation] != "") != ours {
			t.Errorf("annotations of %d bytes: image %s, ours %q", size, got, made.Annotations[admission.ImagesAnnotation])
		}
	}
}

// The API server refuses every update of a Pod that touches its volumes or
// ephemeral containers, also when the gate's patch does.
func TestAPodFromBeforeTheGateTakesAnotherImage(t *testing.T) {
	ns, ctx := shared.Namespace(t), t.Context()
	pods := shared.Client.CoreV1().Pods(ns)
	mounts := pod("r.example/app:1")
	mounts.Name = "mounts"
	mounts.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "r.example/files:1"}}}}
	debugged := pod("r.example/app:1")
	debugged.Name = "debugged"
	for _, p := range []*corev1.Pod{mounts, debugged} {
		if _, err := pods.Create(ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pods.Patch(ctx, "debugged", types.StrategicMergePatchType, []byte(`{"spec":{"ephemeralContainers":[{"name":"e","image":"r.example/debug:1"}]}}`), metav1.PatchOptions{}, "ephemeralcontainers"); err != nil {
		t.Fatal(err)
	}
	door(t, ns, &admission.Server{Gate: admitting{}, Now: time.Now})
	for _, name := range []string{"mounts", "debugged"} {
		patch := fmt.Appendf(nil, `{"spec":{"containers":[{"name":%q,"image":"r.example/app:2"}]}}`, mounts.Spec.Containers[0].Name)
		p, err := pods.Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := p.Spec.Containers[0].Image; got != "r.example/app@"+digest.FromString("r.example/app:2").String() {
			t.Errorf("%s runs %s", name, got)
		}
		debug := `{"spec":{"ephemeralContainers":[{"name":"more","image":"r.example/debug:2"}]}}`
		if p, err = pods.Patch(ctx, name, types.StrategicMergePatchType, []byte(debug), metav1.PatchOptions{}, "ephemeralcontainers"); err != nil {
			t.Errorf("%s: debugged: %v", name, err)
			continue
		}
		for _, c := range p.Spec.EphemeralContainers {
			if c.Name == "more" && !strings.HasPrefix(c.Image, "r.example/debug@sha256:") {
				t.Errorf("%s is debugged with %s", name, c.Image)
			}
		}
	}
}
