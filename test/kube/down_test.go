//go:build e2e

package kube

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	product "github.com/shuin/shuin/deploy/kubernetes"
	"github.com/shuin/shuin/test/kube/cluster"
)

// hooked has the API server ask hook what the product's chart would have it ask
// a gate, for one namespace: its webhooks as they are rendered, owners pinned
// too and Fail, but for where they are served.
func hooked(t *testing.T, hook *cluster.Webhook, ns string) {
	t.Helper()
	ctx := t.Context()
	rendered, err := product.Render(product.Release{Name: ns, Namespace: "shuin-system", Service: "shuin"}, given(t, `{"pinOwners": true}`))
	if err != nil {
		t.Fatal(err)
	}
	var (
		mutating   admissionv1.MutatingWebhookConfiguration
		validating admissionv1.ValidatingWebhookConfiguration
	)
	for _, m := range rendered {
		if m.Name == product.WebhooksFile {
			d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(m.Text), 4096)
			if err := d.Decode(&mutating); err != nil {
				t.Fatal(err)
			}
			if err := d.Decode(&validating); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(mutating.Webhooks) != 1 || len(validating.Webhooks) != 2 {
		t.Fatalf("the chart has %d mutating and %d validating webhooks", len(mutating.Webhooks), len(validating.Webhooks))
	}
	url := hook.URL()
	at := admissionv1.WebhookClientConfig{URL: &url, CABundle: hook.CA}
	only := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}}
	mutating.Webhooks[0].ClientConfig, mutating.Webhooks[0].NamespaceSelector = at, only
	for i := range validating.Webhooks {
		validating.Webhooks[i].ClientConfig, validating.Webhooks[i].NamespaceSelector = at, only
	}
	all := shared.Client.AdmissionregistrationV1()
	t.Cleanup(func() {
		ctx, now := context.WithoutCancel(ctx), metav1.DeleteOptions{}
		for what, err := range map[string]error{
			"mutator":   all.MutatingWebhookConfigurations().Delete(ctx, ns, now),
			"validator": all.ValidatingWebhookConfigurations().Delete(ctx, ns, now),
		} {
			if err != nil && !apierrors.IsNotFound(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	if _, err := all.MutatingWebhookConfigurations().Create(ctx, &mutating, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := all.ValidatingWebhookConfigurations().Create(ctx, &validating, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.AwaitHooks(t)
}

// everyKind is one object of each kind that the chart has judged, but for
// Deployments and their ReplicaSets.
const everyKind = `
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: it}, spec: {selector: {matchLabels: {d: it}}, template: {metadata: {labels: {d: it}}, spec: {containers: [{name: app, image: "r.example/app:1"}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: it}, spec: {replicas: 1, selector: {matchLabels: {s: it}}, template: {metadata: {labels: {s: it}}, spec: {containers: [{name: app, image: "r.example/app:1"}]}}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: it}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: "r.example/app:1"}]}}}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: it}, spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: "r.example/app:1"}]}}}}}}
---
{apiVersion: v1, kind: ReplicationController, metadata: {name: it}, spec: {replicas: 1, selector: {c: it}, template: {metadata: {labels: {c: it}}, spec: {containers: [{name: app, image: "r.example/app:1"}]}}}}
---
{apiVersion: v1, kind: PodTemplate, metadata: {name: it}, template: {spec: {containers: [{name: app, image: "r.example/app:1"}]}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: it}, spec: {containers: [{name: app, image: "r.example/app:1"}]}}
`

// withGateDown is a namespace with two generations of the Deployment web, and
// one object of each other kind, whose gate has just gone down.
func withGateDown(t *testing.T) (ns string) {
	t.Helper()
	ns = shared.Namespace(t)
	hook := cluster.NewWebhook(t)
	hooked(t, hook, ns)
	shared.Apply(t, everyKind, "-n", ns).OK(t)
	shared.Kubectl(t, "create", "deployment", "web", "-n", ns, "--image=r.example/app:1", "--replicas=2").OK(t)
	wanted(t, ns, 2)
	shared.Kubectl(t, "patch", "-n", ns, "deployment/web", "-p", `{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`).OK(t)
	shared.Kubectl(t, "set", "image", "-n", ns, "deployment/web", "*=r.example/app:2").OK(t)
	cluster.Eventually(t, limit, func() error {
		if sets := shared.Kubectl(t, "get", "rs", "-n", ns, "-o", "name").OK(t); strings.Count(sets, "\n") != 2 {
			return fmt.Errorf("ReplicaSets are %s", sets)
		}
		return nil
	})
	wanted(t, ns, 2)
	hook.Down()
	r := shared.Kubectl(t, "create", "deployment", "other", "-n", ns, "--image=r.example/app:1")
	if r.Code == 0 || !strings.Contains(r.Stderr, "shuin.dev") {
		t.Fatalf("a Deployment was made while the gate is down: %s%s", r.Stdout, r.Stderr)
	}
	return ns
}

// wanted waits until the ReplicaSets want so many Pods of web, and so many are
// there.
func wanted(t *testing.T, ns string, want int) {
	t.Helper()
	cluster.Eventually(t, limit, func() error {
		sets, err := shared.Client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return err
		}
		pods, err := shared.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return err
		}
		var replicas, there int
		for _, s := range sets.Items {
			replicas += int(*s.Spec.Replicas)
		}
		for _, p := range pods.Items {
			if p.DeletionTimestamp == nil {
				there++
			}
		}
		if replicas != want || there != want {
			return fmt.Errorf("the ReplicaSets want %d Pods and %d are there, want %d", replicas, there, want)
		}
		return nil
	})
}

func TestADeploymentIsScaledToZeroWhileTheGateIsDown(t *testing.T) {
	ns := withGateDown(t)
	shared.Kubectl(t, "scale", "-n", ns, "deployment/web", "--replicas=1").OK(t)
	wanted(t, ns, 1)
	shared.Kubectl(t, "patch", "-n", ns, "deployment/web", "-p", `{"spec":{"replicas":0}}`).OK(t)
	wanted(t, ns, 0)
}

func TestWhatIsThereIsDeletedWhileTheGateIsDown(t *testing.T) {
	ns := withGateDown(t)
	shared.Kubectl(t, "delete", "-n", ns, "deployment/web", "--cascade=foreground", "--timeout=60s").OK(t)
	wanted(t, ns, 0)
	shared.Kubectl(t, "delete", "-n", ns, "ds/it", "sts/it", "job/it", "cj/it", "rc/it", "podtemplate/it", "pod/it", "--wait=false").OK(t)
}

func TestWhatLeavesThePodsTemplateGoesOnWhileTheGateIsDown(t *testing.T) {
	ns := withGateDown(t)
	for _, one := range []struct{ what, patch string }{
		{"deployment/web", `{"spec":{"paused":true,"minReadySeconds":1}}`},
		{"statefulset/it", `{"spec":{"replicas":0}}`},
		{"daemonset/it", `{"spec":{"minReadySeconds":1}}`},
		{"job/it", `{"spec":{"suspend":true}}`},
		{"cronjob/it", `{"spec":{"suspend":true}}`},
		{"replicationcontroller/it", `{"spec":{"replicas":0}}`},
	} {
		shared.Kubectl(t, "patch", "-n", ns, one.what, "-p", one.patch).OK(t)
	}
	for _, what := range []string{"deployment/web", "statefulset/it", "daemonset/it", "job/it", "cronjob/it", "replicationcontroller/it", "podtemplate/it", "pod/it"} {
		shared.Kubectl(t, "label", "-n", ns, what, "colour=red").OK(t)
	}
}

// Who goes back to other images lets images in, and is asked about.
func TestNoOtherImageIsLetInWhileTheGateIsDown(t *testing.T) {
	ns := withGateDown(t)
	one := `{"spec":{"containers":[{"name":"app","image":"r.example/app:3"}]}}`
	in := `{"spec":{"template":` + one + `}}`
	for what, r := range map[string]cluster.Result{
		"rolled back":           shared.Kubectl(t, "rollout", "undo", "-n", ns, "deployment/web"),
		"restarted":             shared.Kubectl(t, "rollout", "restart", "-n", ns, "deployment/web"),
		"Deployment":            shared.Kubectl(t, "set", "image", "-n", ns, "deployment/web", "*=r.example/app:3"),
		"StatefulSet":           shared.Kubectl(t, "patch", "-n", ns, "statefulset/it", "-p", in),
		"DaemonSet":             shared.Kubectl(t, "patch", "-n", ns, "daemonset/it", "-p", in),
		"CronJob":               shared.Kubectl(t, "patch", "-n", ns, "cronjob/it", "-p", `{"spec":{"jobTemplate":`+in+`}}`),
		"ReplicationController": shared.Kubectl(t, "patch", "-n", ns, "replicationcontroller/it", "-p", in),
		"PodTemplate":           shared.Kubectl(t, "patch", "-n", ns, "podtemplate/it", "-p", `{"template":`+one+`}`),
		"Pod":                   shared.Kubectl(t, "patch", "-n", ns, "pod/it", "-p", one),
		"debugged":              shared.Kubectl(t, "debug", "-n", ns, "pod/it", "--image=r.example/debug:1"),
		"scaled and changed":    shared.Kubectl(t, "patch", "-n", ns, "statefulset/it", "-p", `{"spec":{"replicas":0,"template":`+one+`}}`),
	} {
		if r.Code == 0 || !strings.Contains(r.Stderr, "failed calling webhook") {
			t.Errorf("%s: %s%s", what, r.Stdout, r.Stderr)
		}
	}
}
