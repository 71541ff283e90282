package kube_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

var (
	one = digest.FromString("one")
	two = digest.FromString("two")
)

func TestWhatAKubeletReportsToRun(t *testing.T) {
	for _, c := range []struct {
		name, id string
		want     digest.Digest
	}{
		{"containerd and CRI-O", "docker.io/library/nginx@" + one.String(), one},
		{"cri-dockerd", "docker-pullable://reg.example:5000/shop/web@" + one.String(), one},
		{"nothing yet", "", ""},
		{"an image's configuration", one.String(), ""},
		{"an image's configuration of Docker", "docker://" + one.String(), ""},
		{"another scheme", "oci://reg.example/web@" + one.String(), ""},
		{"no name", "@" + one.String(), ""},
		{"a short digest", "reg.example/web@sha256:12", ""},
		{"an algorithm nobody knows", "reg.example/web@md5:d41d8cd98f00b204e9800998ecf8427e", ""},
		{"two digests", "reg.example/web@" + one.String() + "@" + two.String(), ""},
		{"too long", strings.Repeat("a", 2000) + "@" + one.String(), ""},
	} {
		if got := kube.RunningDigest(c.id); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzRunningDigest: what is read is a digest that is written at the end.
func FuzzRunningDigest(f *testing.F) {
	for _, s := range []string{"a@" + one.String(), "docker-pullable://a@" + one.String(), one.String(), "docker://" + one.String(), "@", "://@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		d := kube.RunningDigest(id)
		if d == "" {
			return
		}
		if d.Validate() != nil || !strings.HasSuffix(id, "@"+d.String()) || strings.HasPrefix(id, "docker://") {
			t.Fatalf("%q is read as %q", id, d)
		}
	})
}

// pod is one that runs an image of that digest.
func pod(namespace, name, image string, running digest.Digest, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "-" + name)},
		Spec:       corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: image}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if running != "" {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", ImageID: "whatever.example/x@" + running.String()}}
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func ownedBy(apiVersion, kind, name, hash string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: "u", Controller: &yes}}
		if hash != "" {
			p.Labels = map[string]string{"pod-template-hash": hash}
		}
	}
}

func TestPodsThatRunTheSameAreOneGroup(t *testing.T) {
	web := ownedBy("apps/v1", "ReplicaSet", "web-6b7f", "6b7f")
	everything := pod("shop", "all", "nginx", one, func(p *corev1.Pod) {
		p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "reg"}}
		p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "reg.example/init:1"}}
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
		p.Spec.Volumes = []corev1.Volume{{Name: "data"}, {Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "reg.example/model:1"}}}}
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", ImageID: "sha256:" + one.Encoded()}}
		p.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ImageID: "docker.io/library/busybox@" + two.String()}}
		p.Status.ContainerStatuses[0].VolumeMounts = []corev1.VolumeMountStatus{{Name: "model", VolumeStatus: &corev1.VolumeStatus{Image: &corev1.ImageVolumeStatus{ImageRef: "reg.example/model@" + two.String()}}}}
	})
	now := metav1.NewTime(june)
	deleted := func(p *corev1.Pod) { p.DeletionTimestamp, p.Finalizers = &now, []string{"x/y"} }
	core := fake.NewClientset(
		pod("shop", "web-6b7f-1", "reg.example/web:1", one, web), pod("shop", "web-6b7f-2", "reg.example/web:1", one, web),
		pod("shop", "web-6b7f-3", "reg.example/web:1", two, web), // the tag was moved meanwhile
		pod("shop", "web-6b7f-4", "reg.example/web:1", "", web),  // not pulled yet
		pod("bank", "web-6b7f-1", "reg.example/web:1", one, web),
		pod("shop", "nightly-28391234-x", "reg.example/job:1", one, ownedBy("batch/v1", "Job", "nightly-28391234", "")),
		pod("shop", "once-x", "reg.example/job:1", one, ownedBy("batch/v1", "Job", "once", "")),
		pod("shop", "forged", "reg.example/job:1", one, ownedBy("apps/v1", "Replica\x1bSet", "../x\n", "")),
		everything,
		pod("shop", "done", "reg.example/job:1", one, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		pod("shop", "failed", "reg.example/job:1", one, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		pod("shop", "never", "reg.example/job:1", "", deleted, func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }),
		pod("shop", "going", "reg.example/job:1", one, deleted), // its containers run for as long as it chose
		pod("shop", "first", "reg.example/job:1", "", deleted, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		}),
	)
	running, err := kube.ListPods(t.Context(), core)
	if err != nil {
		t.Fatal(err)
	}
	if running.Pods != 11 || running.Over != 3 || running.More || !cmp.Equal(running.Namespaces, map[string]int{"shop": 10, "bank": 1}) {
		t.Errorf("%d, %d over, %v", running.Pods, running.Over, running.Namespaces)
	}
	var got []string
	for _, g := range running.Groups {
		var images []string
		for _, i := range g.Images {
			word := map[digest.Digest]string{one: "one", two: "two", "": "-"}[i.Running]
			images = append(images, i.Name+"="+i.Written+" "+word)
		}
		var names []string
		for _, p := range g.Examples {
			names = append(names, p.Name)
		}
		got = append(got, fmt.Sprintf("%s %s/%s %d %s: %s", g.Namespace, g.Owner.Kind, g.Owner.Name, g.Count, strings.Join(names, ","), strings.Join(images, ", ")))
	}
	want := []string{
		"bank Deployment/web 1 web-6b7f-1: app=reg.example/web:1 one",
		"shop CronJob/nightly 1 nightly-28391234-x: app=reg.example/job:1 one",
		"shop Deployment/web 1 web-6b7f-4: app=reg.example/web:1 -",
		"shop Deployment/web 2 web-6b7f-1,web-6b7f-2: app=reg.example/web:1 one",
		"shop Deployment/web 1 web-6b7f-3: app=reg.example/web:1 two",
		"shop Job/once 1 once-x: app=reg.example/job:1 one",
		"shop Pod/all 1 all: init=reg.example/init:1 -, app=docker.io/library/nginx:latest one, debug=docker.io/library/busybox:latest two, model=reg.example/model:1 two",
		"shop Pod/first 1 first: app=reg.example/job:1 -",
		"shop Pod/forged 1 forged: app=reg.example/job:1 one",
		"shop Pod/going 1 going: app=reg.example/job:1 one",
	}
	less := func(a, b string) bool { return a < b }
	if diff := cmp.Diff(sorted(want, less), sorted(got, less)); diff != "" {
		t.Error(diff)
	}
	for _, g := range running.Groups {
		if g.Owner.Name == "all" && !cmp.Equal(g.PullSecrets, []string{"reg"}) {
			t.Errorf("%v", g.PullSecrets)
		}
	}
}

func sorted(list []string, less func(a, b string) bool) []string {
	out := append([]string(nil), list...)
	for i := range out {
		for j := i; j > 0 && less(out[j], out[j-1]); j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

// admitting is a gate that says that all is well.
type admitting struct{ asked []gate.Workload }

func (a *admitting) Decide(_ context.Context, w gate.Workload) *gate.Verdict {
	a.asked = append(a.asked, w)
	v := &gate.Verdict{Outcome: pipeline.Admit, Allowed: true, Policy: one, Images: make([]gate.ImageVerdict, len(w.Images))}
	for i := range w.Images {
		v.Images[i] = gate.ImageVerdict{Image: w.Images[i], Outcome: pipeline.Admit, Allowed: true}
	}
	return v
}

func TestAGroupIsObservedAsItsFirstPod(t *testing.T) {
	core := fake.NewClientset(pod("shop", "web-6b7f-1", "reg.example/web:1", one, ownedBy("apps/v1", "ReplicaSet", "web-6b7f", "6b7f")))
	running, err := kube.ListPods(t.Context(), core)
	if err != nil {
		t.Fatal(err)
	}
	o := running.Groups[0].Observation("prod", june)
	want := watch.Observation{
		Subject: watch.Subject{Kind: watch.Pod, ARN: "k8s://prod/shop/pods/web-6b7f-1", Cluster: "prod", Group: "deployment:shop/web"},
		Phase:   watch.Swept, Version: june.UnixMilli(), At: june,
		Images: []gate.Image{{Name: "app", Written: "reg.example/web:1", Running: one}}, Where: pipeline.Where{Cluster: "prod", Namespace: "shop"},
	}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
	g := &admitting{}
	w := &watch.Watcher{Gate: g, Store: &watch.MemoryStore{}, Now: func() time.Time { return june }}
	r, err := w.Observe(t.Context(), o)
	if err != nil || r.Disposition != watch.Decided || len(g.asked) != 1 || !g.asked[0].Pins {
		t.Errorf("%+v, %v", r, err)
	}
}

// paging answers lists of Pods page by page, as a real server does.
func paging(core *fake.Clientset, pages map[string]func() (*corev1.PodList, error)) *[]string {
	asked := &[]string{}
	core.PrependReactor("list", "pods", func(action k8stesting.Action) (bool, runtime.Object, error) {
		token := action.(k8stesting.ListActionImpl).ListOptions.Continue
		*asked = append(*asked, token)
		list, err := pages[token]()
		if err != nil {
			return true, nil, err
		}
		return true, list, nil
	})
	return asked
}

func TestAListingGoesOnWhereItsPagesExpire(t *testing.T) {
	page := func(next string, pods ...*corev1.Pod) func() (*corev1.PodList, error) {
		return func() (*corev1.PodList, error) {
			l := &corev1.PodList{ListMeta: metav1.ListMeta{Continue: next}}
			for _, p := range pods {
				l.Items = append(l.Items, *p)
			}
			return l, nil
		}
	}
	expired := func(next string) func() (*corev1.PodList, error) {
		return func() (*corev1.PodList, error) {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired, ListMeta: metav1.ListMeta{Continue: next}}}
		}
	}
	a, b, c := pod("shop", "a", "reg.example/a:1", one), pod("shop", "b", "reg.example/b:1", one), pod("shop", "c", "reg.example/c:1", one)
	for _, x := range []struct {
		name  string
		pages map[string]func() (*corev1.PodList, error)
		asked string
		pods  int
		code  shuin.Code
	}{
		{"three pages", map[string]func() (*corev1.PodList, error){"": page("1", a), "1": page("2", b), "2": page("", c)}, "|1|2", 3, ""},
		{"one that expired, with a token to go on", map[string]func() (*corev1.PodList, error){"": page("1", a, b), "1": expired("now"), "now": page("", c)}, "|1|now", 3, ""},
		{"one that always expires", map[string]func() (*corev1.PodList, error){"": page("1", a, b), "1": expired("")}, "|1||1||1||1", 0, shuin.CodeUnavailable},
		{"one that fails", map[string]func() (*corev1.PodList, error){"": page("1", a), "1": func() (*corev1.PodList, error) {
			return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
		}}, "|1", 0, shuin.CodeForbidden},
	} {
		t.Run(x.name, func(t *testing.T) {
			core := fake.NewClientset()
			asked := paging(core, x.pages)
			running, err := kube.ListPods(t.Context(), core)
			if got := strings.Join(*asked, "|"); got != x.asked {
				t.Errorf("asked for %q, want %q", got, x.asked)
			}
			if x.code != "" {
				if shuin.CodeOf(err) != x.code || running != nil {
					t.Errorf("%v, %v", running, err)
				}
				return
			}
			if err != nil || running.Pods != x.pods {
				t.Errorf("%+v, %v", running, err)
			}
		})
	}
	again := 0
	core := fake.NewClientset()
	paging(core, map[string]func() (*corev1.PodList, error){"": page("1", a, b), "1": func() (*corev1.PodList, error) {
		if again++; again == 1 {
			return expired("")()
		}
		return page("", c)()
	}})
	if running, err := kube.ListPods(t.Context(), core); err != nil || running.Pods != 3 {
		t.Errorf("Pods that were seen twice count twice: %+v, %v", running, err)
	}
}

func TestAPodOfManyImagesIsCutToWhatIsRefused(t *testing.T) {
	p := pod("shop", "many", "reg.example/a:1", one)
	for i := range limits.GateImages + 100 {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: fmt.Sprintf("i%d", i), Image: "x" + strings.Repeat("/y", 1<<10)})
	}
	running, err := kube.ListPods(t.Context(), fake.NewClientset(p))
	if err != nil {
		t.Fatal(err)
	}
	images := running.Groups[0].Images
	if len(images) != limits.GateImages+1 || len(images[0].Written) != limits.DeployImageBytes+1 {
		t.Errorf("%d images, the first of %d bytes", len(images), len(images[0].Written))
	}
}
