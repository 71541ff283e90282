//go:build e2e

package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/test/kube/cluster"
)

// What users see where the gate cannot know in time, where it does not answer, and
// where it is away. Webhooks are given two seconds here.
func TestTheInstalledGateIsLateOrAway(t *testing.T) {
	l := newLab(t, "shop/app:v1!", "shop/own:v1!", "shop/slow:v1!", "shop/stuck:v1!", "shop/unseen:v1")
	short := []string{"--set", "webhooks.timeoutSeconds=2"}
	l.installed(short...)
	t.Run("a Pod whose image takes too long is undecided, and the next try finds it decided", func(t *testing.T) { firstUndecided(t, l.in(t)) })
	t.Run("so is a Deployment", func(t *testing.T) { ownerUndecided(t, l.in(t)) })
	t.Run("kubectl tries again by itself", func(t *testing.T) { triedAgain(t, l.in(t)) })
	t.Run("where the registry does not answer, a known digest is let in and a tag is not", func(t *testing.T) { digestsGoOn(t, l.in(t)) })
	t.Run("of a gate that does not answer the API server tells, and nothing is verified twice", func(t *testing.T) { stuck(t, l.in(t)) })
	l.installed(append(short, "--set", "webhooks.failurePolicy=Ignore")...)
	t.Run("with Ignore, what came in while the gate did not answer is told by the next sweep", func(t *testing.T) { ignored(t, l) })
	l.installed(short...)
	t.Run("with Fail, what is there can go away and nothing new comes while the gate is away", func(t *testing.T) { failed(t, l.in(t)) })
}

// once has the API server make an object, and does not ask again where it says that
// it may be asked again, as clients of Kubernetes do by themselves.
func once(ctx context.Context, client rest.Interface, ns, resource string, of, into runtime.Object) error {
	return client.Post().MaxRetries(0).Namespace(ns).Resource(resource).Body(of).Do(ctx).Into(into)
}

func (l *lab) runOnce(ns, name, image string) (*corev1.Pod, error) {
	made := &corev1.Pod{}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}}
	return made, once(l.t.Context(), l.Client.CoreV1().RESTClient(), ns, "pods", p, made)
}

// undecided wants an error to say that, that it may be asked again in a second, and
// what.
func undecided(t *testing.T, err error, want string) {
	t.Helper()
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		t.Fatalf("%v", err)
	}
	s := status.Status()
	if s.Code != 503 || s.Reason != metav1.StatusReasonServiceUnavailable || s.Details == nil || s.Details.RetryAfterSeconds != 1 {
		t.Errorf("%d %s %+v", s.Code, s.Reason, s.Details)
	}
	same(t, "what is said", want, s.Message)
}

// underWay is what is said of an image whose seal was not read in time.
func (l *lab) underWay(image string) string {
	_, digest, _ := strings.Cut(l.by(image), "@")
	return fmt.Sprintf(`undecided: %s (%s): rule "shop" could not be checked: missing stages: build (could not check: deadline-exceeded): the check is still under way: context deadline exceeded [deadline-exceeded]; ask again: what is found meanwhile is remembered`, l.ref(image), digest)
}

// askedFor are requests by kind, without digests; tags apart, which are asked for
// each time.
func askedFor(all []string) map[string]int {
	out := map[string]int{}
	for _, one := range all {
		if at := strings.Index(one, "sha256:"); at >= 0 {
			out[one[:at]]++
		}
	}
	return out
}

// verifiedOnce wants the registry to have been asked for the image's seal once,
// whoever asked the gate about it, and how often.
func verifiedOnce(t *testing.T, l *lab, repository string) {
	t.Helper()
	path := "GET /v2/" + repository
	want := map[string]int{path + "/referrers/": 1, path + "/manifests/": 1, path + "/blobs/": 1}
	if diff := cmp.Diff(want, askedFor(l.way.requests())); diff != "" {
		t.Errorf("the registry was asked (-want +got):\n%s", diff)
	}
}

func firstUndecided(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	want := l.underWay("shop/app:v1")
	l.way.forget()
	release := l.way.hold("/blobs/")
	defer release()
	_, err := l.runOnce(ns, "it", l.ref("shop/app:v1"))
	undecided(t, err, deniedBy("pods", want))
	same(t, "the Event", want, l.event(ns, "pod/it", "ImageUndecided"))
	release()
	l.eventually(limit, func() error {
		_, err := l.runOnce(ns, "it", l.ref("shop/app:v1"))
		return err
	})
	verifiedOnce(t, l, "shop/app")
	same(t, "the Pod runs", l.by("shop/app:v1"), l.image(ns, "it"))
}

func ownerUndecided(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	labels := map[string]string{"app": "it"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "it"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: l.ref("shop/own:v1")}}},
	}}}
	try := func() error {
		return once(t.Context(), l.Client.AppsV1().RESTClient(), ns, "deployments", d, &appsv1.Deployment{})
	}
	want := l.underWay("shop/own:v1")
	l.way.forget()
	release := l.way.hold("/blobs/")
	defer release()
	undecided(t, try(), deniedBy("owners", want))
	same(t, "the Event", want, l.event(ns, "deployment/it", "ImageUndecided"))
	release()
	l.eventually(limit, try)
	l.allRun(ns, "", 1, l.by("shop/own:v1"))
	verifiedOnce(t, l, "shop/own")
}

func triedAgain(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	l.way.forget()
	release := l.way.hold("/blobs/")
	defer release()
	done := make(chan cluster.Result, 1)
	go func() { done <- l.Kubectl(t, "run", "it", "-n", ns, "--image="+l.ref("shop/slow:v1")) }()
	l.event(ns, "pod/it", "ImageUndecided")
	release()
	if r := <-done; r.Code != 0 || r.Stderr != "" || r.Stdout != "pod/it created\n" {
		t.Errorf("%d %s%s", r.Code, r.Stdout, r.Stderr)
	}
	verifiedOnce(t, l, "shop/slow")
	same(t, "the Pod runs", l.by("shop/slow:v1"), l.image(ns, "it"))
}

func digestsGoOn(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	known := l.by("shop/app:v1")
	l.way.forget()
	l.way.slow(time.Hour)
	defer l.way.slow(0)
	p, err := l.runOnce(ns, "known", known)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the Pod runs", known, p.Spec.Containers[0].Image)
	if all := l.way.requests(); len(all) > 0 {
		t.Errorf("the registry was asked %q", all)
	}
	_, err = l.runOnce(ns, "tag", l.ref("shop/app:v1"))
	undecided(t, err, deniedBy("pods", fmt.Sprintf(`undecided: %s, rule "shop": the check is still under way: context deadline exceeded [deadline-exceeded]; ask again: what is found meanwhile is remembered`, l.ref("shop/app:v1"))))
}

// stop has the gate's process stand still, as where its node has no processor for
// it; goOn ends that.
func (l *lab) stop() {
	l.t.Helper()
	if err := l.gate.Signal(syscall.SIGSTOP); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) goOn() {
	l.t.Helper()
	if err := l.gate.Signal(syscall.SIGCONT); err != nil {
		l.t.Fatal(err)
	}
}

func stuck(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	l.way.forget()
	l.Kubectl(t, "run", "before", "-n", ns, "--image="+l.ref("shop/stuck:v1")).OK(t)
	l.stop()
	const says = `Internal error occurred: failed calling webhook "%s.shuin.dev": failed to call webhook: Post "https://shuin-gate.shuin-system.svc:443/k8s/%s?timeout=2s": context deadline exceeded`
	refused(t, l.Kubectl(t, "run", "it", "-n", ns, "--image="+l.ref("shop/stuck:v1")), "Error from server (InternalError): "+fmt.Sprintf(says, "pods.mutate", "mutate"))
	refused(t, l.Kubectl(t, "create", "deployment", "it", "-n", ns, "--image="+l.ref("shop/stuck:v1")), "error: failed to create deployment: "+fmt.Sprintf(says, "owners.validate", "validate"))
	l.goOn()
	l.Kubectl(t, "run", "it", "-n", ns, "--image="+l.ref("shop/stuck:v1")).OK(t)
	verifiedOnce(t, l, "shop/stuck")
	same(t, "the Pod runs", l.by("shop/stuck:v1"), l.image(ns, "it"))
}

// ignored replaces the gate of whole, which has it from then on.
func ignored(t *testing.T, whole *lab) {
	l := whole.in(t)
	ns := l.Namespace(t)
	run := func(name string) cluster.Result {
		return l.Kubectl(t, "run", name, "-n", ns, "--image="+l.ref("shop/unseen:v1"))
	}
	no := "Error from server (Forbidden): " + deniedBy("pods", l.unsigned("shop/unseen:v1"))
	refused(t, run("refused"), no)
	l.stop()
	run("while-it-stood-still").OK(t)
	l.goOn()
	refused(t, run("refused"), no)
	l.leave()
	run("while-it-was-away").OK(t)
	l.Kubectl(t, "create", "deployment", "web", "-n", ns, "--image="+l.ref("shop/unseen:v1")).OK(t)
	l.allRun(ns, "app=web", 1, l.ref("shop/unseen:v1"))
	whole.up()
	l = whole.in(t)
	refused(t, run("refused"), no)
	for _, about := range []string{"pod/while-it-stood-still", "pod/while-it-was-away", "pod/web-"} {
		same(t, about, "denied: "+l.unsigned("shop/unseen:v1"), l.event(ns, about, "ImageNotAdmitted"))
	}
	wantMetrics(t, l, `shuin_kube_pods{outcome="deny"} 5`) // with the two of the gate, which no rule matches
	all, err := l.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := 0.0
	for _, m := range all["apiserver_admission_webhook_fail_open_count"].GetMetric() {
		open += m.GetCounter().GetValue()
	}
	if open < 6 { // both webhooks of three Pods
		t.Errorf("the API server says that %g calls failed open", open)
	}
}

// failed ends the gate.
func failed(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	l.Kubectl(t, "create", "deployment", "web", "-n", ns, "--replicas=2", "--image="+l.ref("shop/app:v1")).OK(t)
	l.allRun(ns, "app=web", 2, l.by("shop/app:v1"))
	l.down()
	r := l.Kubectl(t, "run", "it", "-n", ns, "--image="+l.ref("shop/app:v1"))
	const says = `Error from server (InternalError): Internal error occurred: failed calling webhook "pods.mutate.shuin.dev": failed to call webhook: Post "https://shuin-gate.shuin-system.svc:443/k8s/mutate?timeout=2s": `
	if r.Code != 1 || !strings.HasPrefix(r.Stderr, says) || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("%d %s", r.Code, r.Stderr)
	}
	l.Kubectl(t, "scale", "-n", ns, "deployment/web", "--replicas=1").OK(t)
	l.pods(ns, "app=web", 1)
	l.Kubectl(t, "delete", "-n", ns, "deployment/web", "--cascade=foreground", "--timeout=60s").OK(t)
	l.pods(ns, "", 0)
}

// wantMetrics waits until the gate tells these lines.
func wantMetrics(t *testing.T, l *lab, lines ...string) {
	t.Helper()
	l.eventually(limit, func() error {
		text, err := l.get("/metrics")
		for _, want := range lines {
			if err == nil && !strings.Contains(text, "\n"+want+"\n") {
				name, _, _ := strings.Cut(want, "{")
				_, at, _ := strings.Cut(text, "\n"+name)
				err = fmt.Errorf("no %s at %s%.200s", want, name, at)
			}
		}
		return err
	})
}
