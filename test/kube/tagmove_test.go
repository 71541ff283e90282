//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	admission "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/test/kube/cluster"
)

// moving is a gate, a tag v1 of its images, and another mutating webhook that is
// asked after the gate's.
type moving struct {
	*gateProcess
	ns    string
	other *cluster.Webhook

	sealed, sealedToo, unsealed digest.Digest
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{gateProcess: newGateProcess(t), ns: shared.Namespace(t), other: cluster.NewWebhook(t)}
	m.admits(t, m.ns)
	shared.Register(t, cluster.Hook{Name: "later." + m.ns + ".shuin.test", Mutating: true, URL: m.other.URL(), CA: m.other.CA, Namespace: m.ns, Again: true})
	m.sealed, m.sealedToo, m.unsealed = m.images.Sealed("sealed"), m.images.Sealed("sealed too"), m.images.Unsealed("unsealed")
	return m
}

// move makes v1 the image of a label.
func (m *moving) move(label string) { m.images.Unsealed(label, "v1") }

func (m *moving) tag() string { return m.images.Repository() + ":v1" }

func (m *moving) by(d digest.Digest) string { return m.images.Repository() + "@" + d.String() }

// patched says yes with a change of one member.
func patched(op, path string, value any) *admission.AdmissionResponse {
	patch, err := json.Marshal([]map[string]any{{"op": op, "path": path, "value": value}})
	if err != nil {
		panic(err) // strings only
	}
	kind := admission.PatchTypeJSONPatch
	return &admission.AdmissionResponse{Allowed: true, Patch: patch, PatchType: &kind}
}

// digests are what the images of a Pod end with; of one without, the name.
func digests(p *corev1.Pod) (out []string) {
	for _, c := range p.Spec.Containers {
		_, d, ok := strings.Cut(c.Image, "@")
		if !ok {
			d = c.Image
		}
		out = append(out, d)
	}
	return out
}

// What is let in is what was judged, wherever the tag points meanwhile and
// whatever other webhooks make of the Pod.
func TestNoPodRunsWhatATagWasMovedTo(t *testing.T) {
	m := newMoving(t)
	sidecar := corev1.Container{Name: "sidecar", Image: m.tag()}
	added := func(r *admission.AdmissionRequest) *admission.AdmissionResponse {
		if strings.Contains(string(r.Object.Raw), `"sidecar"`) {
			return nil
		}
		return patched("add", "/spec/containers/-", sidecar)
	}
	for _, c := range []struct {
		name  string
		begin string // label of v1's image when the Pod is created
		later cluster.Answer
		runs  []digest.Digest // nil: it is not let in
		says  string          // to whom it is not let in
	}{
		{"to an unsealed image between mutation and validation", "sealed", func(*admission.AdmissionRequest) *admission.AdmissionResponse {
			m.move("unsealed")
			return nil
		}, []digest.Digest{m.sealed}, ""},
		{"to a sealed image between mutation and validation", "unsealed", func(*admission.AdmissionRequest) *admission.AdmissionResponse {
			m.move("sealed")
			return nil
		}, nil, "it is let in by its digest, and came to be validated by its tag alone"},
		{"to an unsealed image between two mutations", "sealed", func(r *admission.AdmissionRequest) *admission.AdmissionResponse {
			m.move("unsealed")
			return added(r)
		}, nil, m.unsealed.String()},
		{"to another sealed image between two mutations", "sealed", func(r *admission.AdmissionRequest) *admission.AdmissionResponse {
			m.move("sealed too")
			return added(r)
		}, []digest.Digest{m.sealed, m.sealedToo}, ""},
		{"to an unsealed image, which another webhook writes as a digest", "sealed", func(*admission.AdmissionRequest) *admission.AdmissionResponse {
			m.move("unsealed")
			return patched("replace", "/spec/containers/0/image", m.by(m.unsealed))
		}, nil, m.unsealed.String()},
		{"to an unsealed image, and another webhook writes the tag back each time", "sealed", func(*admission.AdmissionRequest) *admission.AdmissionResponse {
			m.move("unsealed")
			return patched("replace", "/spec/containers/0/image", m.tag())
		}, nil, "unsigned"},
		{"nowhere, and another webhook writes it back each time", "sealed", func(*admission.AdmissionRequest) *admission.AdmissionResponse {
			return patched("replace", "/spec/containers/0/image", m.tag())
		}, nil, "another changes the image after it"},
		{"nowhere, and another webhook writes another sealed image", "sealed", func(*admission.AdmissionRequest) *admission.AdmissionResponse {
			return patched("replace", "/spec/containers/0/image", m.by(m.sealedToo))
		}, []digest.Digest{m.sealedToo}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m.move(c.begin)
			m.other.Answer(c.later)
			p := pod(m.tag())
			p.GenerateName = "moved-"
			made := &corev1.Pod{}
			err := shared.Client.CoreV1().RESTClient().Post().Namespace(m.ns).Resource("pods").Body(p).MaxRetries(0).Do(t.Context()).Into(made)
			if c.runs == nil {
				if err == nil {
					t.Errorf("let in, and runs %v", digests(made))
				} else if !strings.Contains(err.Error(), "denied the request") || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want one that says %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, d := range c.runs {
				want = append(want, d.String())
			}
			if got := digests(made); !slices.Equal(got, want) {
				t.Errorf("runs %v, want %v", got, want)
			}
		})
	}
	t.Run("a running Pod", func(t *testing.T) { movedUnderUpdates(t, m) })
}

// movedUnderUpdates changes the image of a Pod that is there, and adds an
// ephemeral container, as "kubectl debug" does.
func movedUnderUpdates(t *testing.T, m *moving) {
	pods := shared.Client.CoreV1().Pods(m.ns)
	m.other.Answer(nil)
	m.move("sealed")
	p := pod(m.tag())
	p.Name = "runs"
	made, err := pods.Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	leaves := cluster.Answer(func(*admission.AdmissionRequest) *admission.AdmissionResponse {
		m.move("unsealed")
		return nil
	})

	m.move("unsealed")
	changed := made.DeepCopy()
	changed.Spec.Containers[0].Image = m.tag()
	if now, err := pods.Update(t.Context(), changed, metav1.UpdateOptions{}); err == nil {
		t.Errorf("the tag is unsealed by now, and was let in as %v", digests(now))
	}
	m.move("sealed too")
	m.other.Answer(leaves)
	// An update that finds its object changed begins anew, with all webhooks: then
	// the tag is unsealed already, and the update refused.
	cluster.Eventually(t, 20*time.Second, func() error {
		m.move("sealed too")
		made, err = pods.Update(t.Context(), changed, metav1.UpdateOptions{})
		return err
	})
	if got := digests(made); !slices.Equal(got, []string{m.sealedToo.String()}) {
		t.Errorf("runs %v", got)
	}

	with := made.DeepCopy()
	with.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: m.tag(), TerminationMessagePolicy: corev1.TerminationMessageReadFile, ImagePullPolicy: corev1.PullAlways}}}
	cluster.Eventually(t, 20*time.Second, func() error {
		m.move("sealed")
		made, err = pods.UpdateEphemeralContainers(t.Context(), "runs", with, metav1.UpdateOptions{})
		return err
	})
	if got := made.Spec.EphemeralContainers[0].Image; !strings.HasSuffix(got, "@"+m.sealed.String()) {
		t.Errorf("the ephemeral container runs %s", got)
	}
	m.other.Answer(nil)
	m.move("unsealed")
	made.Spec.EphemeralContainers = append(made.Spec.EphemeralContainers, *made.Spec.EphemeralContainers[0].DeepCopy())
	made.Spec.EphemeralContainers[1].Name, made.Spec.EphemeralContainers[1].Image = "debug-2", m.tag()
	if _, err := pods.UpdateEphemeralContainers(t.Context(), "runs", made, metav1.UpdateOptions{}); err == nil {
		t.Error("an unsealed ephemeral container was let in")
	}
}

// A tag that is moved without pause is let in as one of the sealed images it was,
// or not at all.
func TestOfATagThatMovesWithoutPauseOnlySealedImagesRun(t *testing.T) {
	m := newMoving(t)
	var stop atomic.Bool
	var mover sync.WaitGroup
	mover.Go(func() {
		for i := 0; !stop.Load(); i++ {
			m.move([]string{"sealed", "unsealed", "sealed too", "unsealed"}[i%4])
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
	})
	var work sync.WaitGroup
	var in, out atomic.Int64
	for w := range 8 {
		work.Go(func() {
			for i := range 40 {
				p := pod(m.tag(), m.tag())
				p.Name = fmt.Sprintf("pod-%d-%d", w, i)
				_, err := shared.Client.CoreV1().Pods(m.ns).Create(t.Context(), p, metav1.CreateOptions{})
				status, refused := err.(apierrors.APIStatus)
				switch {
				case err == nil:
					in.Add(1)
				case refused && (status.Status().Code == http.StatusForbidden || status.Status().Code == http.StatusServiceUnavailable):
					out.Add(1)
				default:
					t.Errorf("%s: %v", p.Name, err)
				}
			}
		})
	}
	work.Wait()
	stop.Store(true)
	mover.Wait()
	all, err := shared.Client.CoreV1().Pods(m.ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all.Items {
		for _, d := range digests(&p) {
			if d != m.sealed.String() && d != m.sealedToo.String() {
				t.Errorf("%s runs %s, and %s is unsealed", p.Name, d, m.unsealed)
			}
		}
	}
	if in.Load() == 0 || out.Load() == 0 || len(all.Items) != int(in.Load()) {
		t.Errorf("%d were let in, %d not, %d are there: the tag moved too slowly to tell anything", in.Load(), out.Load(), len(all.Items))
	}
	t.Logf("%d were let in, %d not", in.Load(), out.Load())
}
