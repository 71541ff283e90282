//go:build e2e

package kube

import (
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/test/kube/cluster"
)

func TestAWebhookThatDoesNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		onFailure admissionv1.FailurePolicyType
		make      func(*cluster.Webhook)
		want      string // in kubectl's error; empty: admitted
	}{
		"down, Fail":   {admissionv1.Fail, (*cluster.Webhook).Down, "connection refused"},
		"down, Ignore": {admissionv1.Ignore, (*cluster.Webhook).Down, ""},
		"slow, Fail":   {admissionv1.Fail, slow, "context deadline exceeded"},
		"slow, Ignore": {admissionv1.Ignore, slow, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ns := shared.Namespace(t)
			hook := cluster.NewWebhook(t)
			shared.Register(t, cluster.Hook{Name: "silent.lab.example.com", URL: hook.URL(), CA: hook.CA, Namespace: ns, OnFailure: c.onFailure, Timeout: 1})
			run := func(name string) cluster.Result {
				return shared.Kubectl(t, "run", name, "-n", ns, "--image=registry.example.com/app:1")
			}
			c.make(hook)
			got := run("first")
			if (got.Code == 0) != (c.want == "") || !strings.Contains(got.Stderr, c.want) {
				t.Errorf("exit code %d, stderr %q, want %q", got.Code, got.Stderr, c.want)
			}
			hook.Slow(0)
			hook.Up(t)
			run("second").OK(t)
		})
	}
}

func slow(w *cluster.Webhook) { w.Slow(5 * time.Second) }

func TestAWebhookIsReachedThroughItsService(t *testing.T) {
	ns := shared.Namespace(t)
	hook := cluster.NewWebhook(t, "gate."+ns+".svc")
	hook.Answer(cluster.Deny(no))
	_, err := shared.Client.CoreV1().Services(ns).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "gate"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shared.ServeService(ns, "gate", hook.Address())
	shared.Register(t, cluster.Hook{Name: "service.lab.example.com", Service: &admissionv1.ServiceReference{Namespace: ns, Name: "gate"}, CA: hook.CA, Namespace: ns})
	run := func() cluster.Result {
		return shared.Kubectl(t, "run", "app", "-n", ns, "--image=registry.example.com/app:1")
	}
	if got := run(); !strings.Contains(got.Stderr, no) {
		t.Errorf("the webhook behind the service did not answer: %q", got.Stderr)
	}
	shared.ServeService(ns, "gate", "")
	hook.Down() // ends the connection that the API server keeps
	if got := run(); !strings.Contains(got.Stderr, "failed calling webhook") {
		t.Errorf("a service with nothing behind it answered: %q", got.Stderr)
	}
}

func TestTheAPIServerMeasuresAWebhook(t *testing.T) {
	ns := shared.Namespace(t)
	hook := cluster.NewWebhook(t)
	hook.Answer(cluster.Deny(no))
	const name = "measured.lab.example.com"
	shared.Register(t, cluster.Hook{Name: name, URL: hook.URL(), CA: hook.CA, Namespace: ns})
	before := hookTime(t, name)
	if got := shared.Kubectl(t, "run", "app", "-n", ns, "--image=registry.example.com/app:1"); got.Code == 0 {
		t.Fatal("the webhook was not asked")
	}
	if got := hookTime(t, name).Since(before); got.Calls != 1 || got.Rejected != 1 || got.Total <= 0 {
		t.Errorf("measured %+v, want one call, rejected", got)
	}
}

func TestAWebhookForAllNamespacesIsGoneAfterItsTest(t *testing.T) {
	run := func(ns string) cluster.Result {
		return shared.Kubectl(t, "run", "app", "-n", ns, "--image=registry.example.com/app:1")
	}
	hook := cluster.NewWebhook(t)
	hook.Answer(cluster.Deny(no))
	ns := shared.Namespace(t)
	t.Run("its test", func(t *testing.T) {
		shared.Register(t, cluster.Hook{Name: "all.lab.example.com", URL: hook.URL(), CA: hook.CA})
		if got := run(ns); !strings.Contains(got.Stderr, no) {
			t.Errorf("the webhook did not deny: %+v", got)
		}
	})
	hook.Down()
	run(ns).OK(t)
}

func hookTime(t *testing.T, name string) cluster.HookTime {
	t.Helper()
	got, err := shared.HookTime(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
