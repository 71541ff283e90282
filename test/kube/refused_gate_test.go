//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the gate refuses is told where people look, and what would be refused can
// go away, shrink and go back all the same.
func TestWhatTheInstalledGateRefusesIsToldAndCanBeTakenBack(t *testing.T) {
	l := newLab(t, "shop/app:v1!", "shop/unsigned:v1", "shop/late:v1", "seen/app:v1")
	before := l.Namespace(t)
	l.fromBefore(before)
	l.installed()
	// In this order: each changes what the gate does.
	for _, one := range []struct {
		name string
		test func(*testing.T, *lab)
	}{
		{"what runs unsigned from before the gate cannot grow", func(t *testing.T, l *lab) { cannotGrow(t, l, before) }},
		{"and it can be told apart, suspended and evicted", func(t *testing.T, l *lab) { canBeHandled(t, l, before) }},
		{"and it can be rolled back to a good revision, but not forth again", func(t *testing.T, l *lab) { canGoBack(t, l, before) }},
		{"and it can be scaled to zero", func(t *testing.T, l *lab) { canShrink(t, l, before) }},
		{"and it can be deleted", func(t *testing.T, l *lab) { canGoAway(t, l, before) }},
		{"what another policy refuses is told at its ReplicaSet and Deployment, and can be rolled back", policyChanged},
		{"where owners are not judged, each tells why it has no Pods, and gets them once the image is sealed", ownersTell},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(t, l.in(t)) })
	}
}

// fromBefore makes what runs an unsigned image: what has revisions ran a sealed one
// first. Each kind is called it, and there is a Pod alone.
func (l *lab) fromBefore(ns string) {
	l.t.Helper()
	for _, kind := range []string{"deployment", "statefulset", "daemonset"} {
		l.Apply(l.t, l.object(kind, nil, "shop/app:v1"), "-n", ns).OK(l.t)
		l.Kubectl(l.t, "rollout", "status", "-n", ns, kind+"/it", "--timeout=60s").OK(l.t)
	}
	for _, kind := range []string{"deployment", "statefulset", "daemonset", "replicationcontroller", "job", "cronjob"} {
		l.Apply(l.t, l.object(kind, nil, "shop/unsigned:v1"), "-n", ns).OK(l.t)
	}
	for _, kind := range []string{"deployment", "statefulset", "daemonset"} {
		l.Kubectl(l.t, "rollout", "status", "-n", ns, kind+"/it", "--timeout=60s").OK(l.t)
	}
	l.Kubectl(l.t, "run", "alone", "-n", ns, "--image="+l.ref("shop/unsigned:v1")).OK(l.t)
	for _, kind := range []string{"deployment", "statefulset", "replicationcontroller", "job"} {
		l.allRun(ns, "app="+kind, 1, l.ref("shop/unsigned:v1"))
	}
}

// allRun waits until so many Pods are there and run the image.
func (l *lab) allRun(ns, selector string, pods int, image string) {
	l.t.Helper()
	l.eventually(limit, func() error {
		for _, p := range l.pods(ns, selector, pods) {
			if got := p.Spec.Containers[0].Image; got != image {
				return fmt.Errorf("%s runs %s, want %s", p.Name, got, image)
			}
		}
		return nil
	})
}

// replicaFailure waits until the Deployment it says why it has too few Pods.
func (l *lab) replicaFailure(ns string) string {
	l.t.Helper()
	l.Kubectl(l.t, "wait", "-n", ns, "deployment/it", "--for=condition=ReplicaFailure", "--timeout=60s").OK(l.t)
	d, err := l.Client.AppsV1().Deployments(ns).Get(l.t.Context(), "it", metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			if c.Reason != "FailedCreate" {
				l.t.Errorf("reason %s", c.Reason)
			}
			return c.Message
		}
	}
	l.t.Errorf("conditions %+v", d.Status.Conditions)
	return ""
}

func cannotGrow(t *testing.T, l *lab, ns string) {
	no := deniedBy("pods", l.unsigned("shop/unsigned:v1"))
	for _, kind := range []string{"deployment", "statefulset", "replicationcontroller"} {
		l.Kubectl(t, "scale", "-n", ns, kind+"/it", "--replicas=2").OK(t)
	}
	same(t, "the ReplicaSet's Event", "Error creating: "+no, l.event(ns, "replicaset/it-", "FailedCreate"))
	same(t, "the Deployment's condition", no, l.replicaFailure(ns))
	same(t, "the StatefulSet's Event", "Create Pod it-1 in StatefulSet it failed error: "+no, l.event(ns, "statefulset/it", "FailedCreate"))
	same(t, "the ReplicationController's Event", "Error creating: "+no, l.event(ns, "replicationcontroller/it", "FailedCreate"))
	same(t, "the gate's Event at the ReplicaSet", l.unsigned("shop/unsigned:v1"), l.event(ns, "replicaset/it-", "ImageDenied"))
	same(t, "the gate's Event at the Pod that runs", "denied: "+l.unsigned("shop/unsigned:v1"), l.event(ns, "pod/alone", "ImageNotAdmitted"))
	for _, kind := range []string{"deployment", "statefulset", "replicationcontroller"} {
		l.pods(ns, "app="+kind, 1)
		l.Kubectl(t, "scale", "-n", ns, kind+"/it", "--replicas=1").OK(t)
	}
	// A restart leaves the images as they are, and is let pass: what it makes is not.
	l.Kubectl(t, "rollout", "restart", "-n", ns, "deployment/it").OK(t)
	said := l.event(ns, "deployment/it", "ReplicaSetCreateError")
	_, said, _ = strings.Cut(said, `": `) // the new ReplicaSet's name ends with a hash
	same(t, "the Deployment's Event", deniedBy("owners", l.unsigned("shop/unsigned:v1")), said)
	l.allRun(ns, "app=deployment", 1, l.ref("shop/unsigned:v1"))
}

func canBeHandled(t *testing.T, l *lab, ns string) {
	for _, what := range []string{"deployment/it", "statefulset/it", "daemonset/it", "replicationcontroller/it", "job/it", "cronjob/it", "pod/alone"} {
		l.Kubectl(t, "label", "-n", ns, what, "found=unsigned").OK(t)
	}
	l.Kubectl(t, "rollout", "pause", "-n", ns, "deployment/it").OK(t)
	l.Kubectl(t, "rollout", "resume", "-n", ns, "deployment/it").OK(t)
	for _, what := range []string{"job/it", "cronjob/it"} {
		l.Kubectl(t, "patch", "-n", ns, what, "-p", `{"spec":{"suspend":true}}`).OK(t)
	}
	l.pods(ns, "app=job", 0)
	err := l.Client.PolicyV1().Evictions(ns).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "alone", Namespace: ns}})
	if err != nil {
		t.Error(err)
	}
	l.pods(ns, "run=alone", 0)
	r := l.Kubectl(t, "run", "alone", "-n", ns, "--image="+l.ref("shop/unsigned:v1"))
	refused(t, r, "Error from server (Forbidden): "+deniedBy("pods", l.unsigned("shop/unsigned:v1")))
}

func canGoBack(t *testing.T, l *lab, ns string) {
	for kind, pods := range map[string]int{"deployment": 1, "statefulset": 1, "daemonset": 2} {
		l.Kubectl(t, "rollout", "undo", "-n", ns, kind+"/it").OK(t)
		l.Kubectl(t, "rollout", "status", "-n", ns, kind+"/it", "--timeout=60s").OK(t)
		l.allRun(ns, "app="+kind, pods, l.by("shop/app:v1"))
		r := l.Kubectl(t, "rollout", "undo", "-n", ns, kind+"/it")
		if _, said, _ := strings.Cut(r.Stderr, "\n"); r.Code != 1 { // the first line is kubectl's own warning
			t.Errorf("%s: %d %s", kind, r.Code, r.Stdout)
		} else {
			same(t, kind, "error: failed restoring revision 0: "+deniedBy("owners", l.unsigned("shop/unsigned:v1"))+"\n", said)
		}
		l.allRun(ns, "app="+kind, pods, l.by("shop/app:v1"))
	}
}

func canShrink(t *testing.T, l *lab, ns string) {
	for _, kind := range []string{"statefulset", "replicationcontroller"} {
		l.Kubectl(t, "scale", "-n", ns, kind+"/it", "--replicas=0").OK(t)
		l.pods(ns, "app="+kind, 0)
	}
	// Of a Deployment it is its controller that scales ReplicaSets.
	l.Kubectl(t, "patch", "-n", ns, "deployment/it", "-p", `{"spec":{"replicas":0}}`).OK(t)
	l.pods(ns, "app=deployment", 0)
}

func canGoAway(t *testing.T, l *lab, ns string) {
	l.Kubectl(t, "delete", "-n", ns, "deployment/it", "statefulset/it", "daemonset/it", "replicationcontroller/it", "job/it", "cronjob/it", "--cascade=foreground", "--timeout=60s").OK(t)
	l.pods(ns, "", 0)
}

// decideBy has the gate decide by another policy, until it does.
func (l *lab) decideBy(policy string) {
	l.t.Helper()
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"policy.yaml": policy}})
	if err != nil {
		l.t.Fatal(err)
	}
	inUse := func() string {
		text, err := l.get("/metrics")
		_, line, ok := strings.Cut(text, "\nshuin_gate_policy_info{")
		if err != nil || !ok {
			l.t.Fatal(err, text)
		}
		line, _, _ = strings.Cut(line, "\n")
		return line
	}
	was := inUse()
	l.Kubectl(l.t, "patch", "configmap", gateName+"-policy", "-n", gateNamespace, "--type=merge", "-p", string(patch)).OK(l.t)
	l.eventually(limit, func() error {
		if now := inUse(); now == was {
			return fmt.Errorf("it decides by %s", now)
		}
		return nil
	})
}

func policyChanged(t *testing.T, l *lab) {
	ns := l.Namespace(t)
	l.Apply(t, l.object("deployment", nil, "shop/app:v1"), "-n", ns).OK(t)
	l.allRun(ns, "app=deployment", 1, l.by("shop/app:v1"))
	l.Kubectl(t, "set", "image", "-n", ns, "deployment/it", "*="+l.ref("seen/app:v1")).OK(t)
	l.allRun(ns, "app=deployment", 1, l.by("seen/app:v1"))
	l.Apply(t, l.object("statefulset", nil, "seen/app:v1"), "-n", ns).OK(t)
	l.allRun(ns, "app=statefulset", 1, l.by("seen/app:v1"))
	l.decideBy(strings.Replace(l.policy("enforce"), "mode: audit", "mode: enforce", 1))
	l.Kubectl(t, "delete", "pod", "-n", ns, "-l", "app=deployment", "--timeout=60s").OK(t)
	line := strings.Replace(l.unsigned("seen/app:v1"), `rule "shop"`, `rule "seen"`, 1)
	same(t, "the ReplicaSet's Event", "Error creating: "+deniedBy("pods", line), l.event(ns, "replicaset/it-", "FailedCreate"))
	same(t, "the Deployment's condition", deniedBy("pods", line), l.replicaFailure(ns))
	same(t, "the gate's Event at the ReplicaSet", line, l.event(ns, "replicaset/it-", "ImageDenied"))
	l.Kubectl(t, "rollout", "undo", "-n", ns, "deployment/it").OK(t)
	l.Kubectl(t, "rollout", "status", "-n", ns, "deployment/it", "--timeout=60s").OK(t)
	l.allRun(ns, "app=deployment", 1, l.by("shop/app:v1"))
	// A StatefulSet ends its Pods before it makes others.
	l.Kubectl(t, "rollout", "restart", "-n", ns, "statefulset/it").OK(t)
	same(t, "the StatefulSet's Event", "Create Pod it-0 in StatefulSet it failed error: "+deniedBy("pods", line), l.event(ns, "statefulset/it", "FailedCreate"))
	l.pods(ns, "app=statefulset", 0)
	l.Kubectl(t, "delete", "-n", ns, "deployment/it", "statefulset/it", "--cascade=foreground", "--timeout=60s").OK(t)
}

func ownersTell(t *testing.T, l *lab) {
	l.installed("--set", "webhooks.owners=false")
	ns := l.Namespace(t)
	for _, k := range kinds {
		l.Apply(t, l.object(k.kind, nil, "shop/late:v1"), "-n", ns).OK(t)
	}
	l.due(ns)
	line := l.unsigned("shop/late:v1")
	no := deniedBy("pods", line)
	for about, want := range map[string]string{
		"replicaset/it-":           "Error creating: " + no, // the Deployment's
		"replicaset/it":            "Error creating: " + no,
		"statefulset/it":           "Create Pod it-0 in StatefulSet it failed error: " + no,
		"daemonset/it":             "Error creating: " + no,
		"replicationcontroller/it": "Error creating: " + no,
		"job/it":                   "Error creating: " + no,
		"job/it-":                  "Error creating: " + no, // the CronJob's
	} {
		same(t, about, want, l.event(ns, about, "FailedCreate"))
		same(t, about, line, l.event(ns, about, "ImageDenied"))
	}
	same(t, "the Deployment's condition", no, l.replicaFailure(ns))
	l.pods(ns, "", 0)
	l.seal("shop/late:v1")
	for _, k := range kinds {
		l.allRun(ns, "app="+k.kind, k.pods, l.by("shop/late:v1"))
	}
}
