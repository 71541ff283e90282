//go:build e2e

package kube

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/test/kube/cluster"
)

// replica starts another replica of the gate beside those that there are, with
// what is configured. It does not wait for it; the Service leads to it alone.
func (w *world) replica() *world {
	w.t.Helper()
	r := *w
	r.start(make(chan cluster.Result))
	return &r
}

// ready waits until a replica is.
func (w *world) ready() {
	w.t.Helper()
	w.eventually(time.Minute, func() error { _, err := w.get("/readyz"); return err })
}

// written counts how often a report of a namespace is written or deleted, from now
// on.
func (w *world) written(ns string) func() int {
	w.t.Helper()
	client, err := dynamic.NewForConfig(w.Admin)
	if err != nil {
		w.t.Fatal(err)
	}
	reports := client.Resource(kube.ReportResource).Namespace(ns)
	now, err := reports.List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	watched, err := reports.Watch(w.t.Context(), metav1.ListOptions{ResourceVersion: now.GetResourceVersion()})
	if err != nil {
		w.t.Fatal(err)
	}
	var n atomic.Int64
	var counting sync.WaitGroup
	counting.Go(func() {
		for range watched.ResultChan() {
			n.Add(1)
		}
	})
	w.t.Cleanup(func() { watched.Stop(); counting.Wait() })
	return func() int { return int(n.Load()) }
}

// TestAnotherReplicaSweepsWhenTheOneThatLeadsIsGone has the first of two replicas
// killed, and the second ended in order. The second may not list Pods at first:
// its first sweep fails.
func TestAnotherReplicaSweepsWhenTheOneThatLeadsIsGone(t *testing.T) {
	t.Parallel()
	first := newWorld(t, "shop/app:v1", "shop/unsigned:v1")
	first.seal("shop/app:v1")
	first.reporting()
	ns := first.Namespace(t)
	for name, image := range map[string]string{"good": "shop/app:v1", "bad": "shop/unsigned:v1"} {
		first.Kubectl(t, "run", name, "-n", ns, "--image="+first.registry+"/"+image).OK(t)
	}
	if r := first.install(first.policy("enforce"), "--set", "pullSecrets=true", "--set", "webhooks.failurePolicy=Ignore"); r.Code != 0 {
		t.Fatalf("install: %s\n%s", r.Stderr, first.gate.Log(t))
	}
	const want = "pass 1, fail 1, error 0"
	first.reports(20*time.Second, ns, want)
	writes := first.written(ns)
	second := first.replica()
	second.ready()
	first.shows(limit, "shuin_kube_leader", 1)
	second.shows(limit, "shuin_kube_leader", 0)

	listed := first.revoked("", "pods")
	began := time.Now()
	first.gate.Kill()
	second.shows(leadOfTheDead, "shuin_kube_leader", 1)
	t.Logf("another leads %v after the leader was killed", time.Since(began).Round(time.Second))
	second.shows(limit, `shuin_kube_sweeps_total{result="failed"}`, 1)
	second.says(limit, "a sweep failed", "grant the gate's service account the verb list on pods in every namespace")
	listed()
	t.Run("pull secrets that may not be read are told of whoever names them, and let nothing in", func(t *testing.T) { unreadSecrets(t, second) })
	second.shows(2*limit, `shuin_kube_sweeps_total{result="whole"}`, 1)
	second.shows(limit, `shuin_kube_pods{outcome="deny"}`, 3) // with the two of the gate, which no rule matches

	third := first.replica()
	third.ready()
	third.shows(limit, "shuin_kube_leader", 0)
	began = time.Now()
	if err := second.gate.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	third.shows(leadOfTheEnded, "shuin_kube_leader", 1)
	t.Logf("another leads %v after the leader was told to end", time.Since(began).Round(time.Second))
	third.shows(limit, `shuin_kube_sweeps_total{result="whole"}`, 1)

	// Each that led wrote once, what there was before.
	third.eventually(limit, func() error { return so(writes() == 2, "%d reports were written after the first", writes()) })
	third.reports(limit, ns, want)
	if all := third.Kubectl(t, "get", "policyreports", "-n", ns, "-o", "name").OK(t); all != "policyreport.wgpolicyk8s.io/shuin\n" {
		t.Errorf("reports of one namespace: %s", all)
	}
	if told := toldOf(t, third, ns, "ImageNotAdmitted"); len(told) != 3 {
		t.Errorf("three led, and each tells once of what runs: %q", told)
	}
}

// How long it takes until another leads: docs/kubernetes.md.
const (
	leadOfTheDead  = 50 * time.Second
	leadOfTheEnded = 10 * time.Second
)

// toldOf are the Events of a namespace for one reason.
func toldOf(t *testing.T, w *world, ns, reason string) (out []string) {
	t.Helper()
	all, err := w.Client.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all.Items {
		if e.Reason == reason {
			out = append(out, e.InvolvedObject.Name+": "+e.Message)
		}
	}
	return out
}

// unreadSecrets takes the right to read pull secrets away for a moment.
func unreadSecrets(t *testing.T, w *world) {
	ns := w.Namespace(t)
	for _, name := range []string{"one", "other"} {
		w.Kubectl(t, "create", "secret", "docker-registry", name, "-n", ns, "--docker-server="+w.registry, "--docker-username=u", "--docker-password=p").OK(t)
	}
	run := func(image, secret string) cluster.Result {
		return w.Apply(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": %q},
			"spec": {"imagePullSecrets": [{"name": %q}], "containers": [{"name": "app", "image": "%s/shop/%s:v1"}]}}`, ns, secret, w.registry, image), "--dry-run=server")
	}
	run("app", "one").OK(t)
	back := w.revoked("", "secrets")
	run("app", "one").OK(t) // it is remembered
	r := run("app", "other")
	if r.Code == 0 || !strings.Contains(r.Stderr, "the verb get on secrets in namespace "+ns) || !strings.Contains(r.Stderr, "denied the request") || strings.Contains(r.Stderr, "unsigned") {
		t.Errorf("a pull secret that cannot be read: %d %s", r.Code, r.Stderr)
	}
	back()
	w.eventually(limit, func() error {
		if r := run("app", "other"); r.Code != 0 {
			return errors.New(r.Stderr)
		}
		return nil
	})
	if r := run("unsigned", "other"); r.Code == 0 || !strings.Contains(r.Stderr, "[unsigned]") {
		t.Errorf("an image without a seal: %d %s", r.Code, r.Stderr)
	}
}
