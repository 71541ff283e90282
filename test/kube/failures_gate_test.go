//go:build e2e

package kube

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/test/kube/cluster"
)

// TestTheGateGoesOnThroughWhatHappensAroundIt is one gate that everything happens
// to while it waits for its sweeps. Its webhooks have failurePolicy Ignore: what is
// refused was refused by the gate, and what it does not answer is let in.
func TestTheGateGoesOnThroughWhatHappensAroundIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "shop/app:v1", "shop/unsigned:v1", "tools/app:v1")
	w.must("cert", "generate-test", "ops")
	w.seal("shop/app:v1")
	w.must("seal", "--stage", "operate", "--key", "ops", w.registry+"/tools/app:v1")
	w.reporting()
	runs := w.Namespace(t)
	w.Kubectl(t, "run", "tool", "-n", runs, "--image="+w.registry+"/tools/app:v1").OK(t)
	if r := w.install(w.twoTeams("enforce"), "--set", "webhooks.failurePolicy=Ignore"); r.Code != 0 {
		t.Fatalf("install: %s\n%s", r.Stderr, w.gate.Log(t))
	}
	w.AwaitHooks(t)
	w.reports(limit, runs, "pass 1, fail 0, error 0")
	w.shows(limit, `shuin_kube_pods{outcome="deny"}`, 2) // the gate's own Pods, which no rule matches

	within := func(name string, test func(*testing.T, *world)) {
		t.Run(name, func(t *testing.T) {
			in := *w
			in.t = t
			test(t, &in)
		})
	}
	trusted := w.trust("ca.ops.pem", string(w.CA.PEM)) // the CA of the seal's signer is trusted no more
	within("the API server restarts, and the gate answers meanwhile and follows afterwards", restarted)
	within("what may be read no longer stays in use, and is told", unfollowed)
	w.reports(2*limit, runs, "pass 0, fail 1, error 0")
	w.shows(limit, `shuin_kube_pods{outcome="deny"}`, 3)
	if told := toldOf(t, w, runs, "ImageNotAdmitted"); len(told) != 1 || !strings.HasPrefix(told[0], "tool: ") || !strings.Contains(told[0], "operate") {
		t.Errorf("a Pod that runs, and whose seal counts no more: %q", told)
	}

	w.trust("ca.ops.pem", trusted)
	unread := w.revokedOwn("", "secrets")
	within("objects as large as the API server takes are judged, or refused with a reason", largeObjects)
	within("objects of kinds that the gate does not know are refused by name", otherKinds)
	within("reviews of another version or at another address let nothing in where the gate has to answer", otherReviews)
	within("without the right to write Events it denies all the same", untold)
	within("without its Secret, and without the right to write its CA, it serves on", func(t *testing.T, w *world) { unserved(t, w, unread) })
	w.reports(2*limit, runs, "pass 1, fail 0, error 0")
	w.shows(limit, `shuin_kube_pods{outcome="deny"}`, 2)
	if told := toldOf(t, w, runs, "ImageNotAdmitted"); len(told) != 1 {
		t.Errorf("what was mended is told again: %q", told)
	}
}

// twoTeams is the world's policy, and beside it a rule for tools, which want the
// seal of another stage, whose signer has a CA of his own.
func (w *world) twoTeams(mode string) string {
	tools := fmt.Sprintf("  - name: tools\n    match: {images: [\"%s/tools/**\"]}\n    require: {all: [operate]}\n    mode: enforce\n", w.registry)
	return strings.NewReplacer("rules:\n", "  operate:\n    signers: [{identities: [\"x509.subject: C=US, ST=WA, O=Notary, CN=ops\"], trustStores: [\"ca:ops\"]}]\nrules:\n",
		"default: deny", tools+"default: deny").Replace(w.policy(mode))
}

// trust writes one of the gate's trust stores, and is what stood there.
func (w *world) trust(key, pem string) (before string) {
	w.t.Helper()
	return w.write(gateName+"-trust", key, pem)
}

// write writes a key of a ConfigMap of the gate's, and is what stood there.
func (w *world) write(name, key, text string) (before string) {
	w.t.Helper()
	m, err := w.Client.CoreV1().ConfigMaps(gateNamespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err == nil {
		before, m.Data[key] = m.Data[key], text
		_, err = w.Client.CoreV1().ConfigMaps(gateNamespace).Update(w.t.Context(), m, metav1.UpdateOptions{})
	}
	if err != nil || before == "" {
		w.t.Fatalf("write %s of %s: %v (before: %d bytes)", key, name, err, len(before))
	}
	return before
}

// The API server takes requests of 3 MiB, and writes "<" in six bytes to webhooks.
const (
	takenMost  = 3 << 20
	storedMost = 1400 << 10 // etcd takes 1.5 MiB
)

// sized is a Pod of about so many bytes.
func sized(image string, bytes int) *corev1.Pod {
	p := pod(image)
	p.GenerateName = "large-"
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TEXT", Value: strings.Repeat("<", bytes)}}
	return p
}

// crowded is a Pod of so many containers.
func crowded(image string, n int) *corev1.Pod {
	images := make([]string, n)
	for i := range images {
		images[i] = image
	}
	p := pod(images...)
	p.GenerateName = "crowded-"
	return p
}

// annotated is a Pod with so many annotations of a hundred bytes.
func annotated(image string, n int) *corev1.Pod {
	p := pod(image)
	p.GenerateName, p.Annotations = "annotated-", map[string]string{}
	for i := range n {
		p.Annotations[fmt.Sprintf("note-%05d", i)] = strings.Repeat("<", 90)
	}
	return p
}

func largeObjects(t *testing.T, w *world) {
	ns := w.Namespace(t)
	sealed, unsealed := w.registry+"/shop/app:v1", w.registry+"/shop/unsigned:v1"
	dry, real := []string{metav1.DryRunAll}, []string(nil)
	for _, c := range []struct {
		name string
		pod  *corev1.Pod
		run  []string
		want string // in the error; empty: let in
	}{
		{"without a seal, of all that is taken", sized(unsealed, takenMost-2000), dry, "[unsigned]"},
		{"with its seal, of all that is taken", sized(sealed, takenMost-2000), dry, ""},
		{"with its seal, more than can be stored", sized(sealed, takenMost-2000), real, "larger than max"},
		{"more than is taken", sized(unsealed, takenMost+2000), real, "Request entity too large"},
		{"without a seal, of all that can be stored", sized(unsealed, storedMost), real, "[unsigned]"},
		{"without a seal, of as many annotations as may be", annotated(unsealed, 2500), real, "[unsigned]"},
		{"with its seal, of as many annotations as may be", annotated(sealed, 2500), real, ""},
		{"3 MiB of annotations", annotated(sealed, 27000), real, "metadata.annotations"},
		{"a thousand containers without a seal", crowded(unsealed, 1000), real, "[unsigned]"},
		{"a thousand containers with their seal", crowded(sealed, 1000), dry, ""},
		{"more containers than are judged", crowded(sealed, 20000), dry, "more than 1000 images (limit GateImages)"},
	} {
		began := time.Now()
		made, err := w.Client.CoreV1().Pods(ns).Create(t.Context(), c.pod, metav1.CreateOptions{DryRun: c.run})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %.500v, want %q", c.name, err, c.want)
		case err == nil && !strings.Contains(made.Spec.Containers[len(made.Spec.Containers)-1].Image, "@sha256:"):
			t.Errorf("%s: let in as %s", c.name, made.Spec.Containers[0].Image)
		case c.want == "[unsigned]" && !strings.Contains(err.Error(), "pods.validate.shuin.dev"):
			t.Errorf("%s: not the gate refused it: %v", c.name, err)
		}
		t.Logf("%s: %v", c.name, time.Since(began).Round(time.Millisecond))
	}
	// An update comes with the old object: twice the bytes.
	made, err := w.Client.CoreV1().Pods(ns).Create(t.Context(), sized(sealed, storedMost), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, limit, func() error { // the stand-in for the kubelet changes it too
		if made, err = w.Client.CoreV1().Pods(ns).Get(t.Context(), made.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		made.Spec.Containers[0].Image = unsealed
		_, err = w.Client.CoreV1().Pods(ns).Update(t.Context(), made, metav1.UpdateOptions{})
		return so(err != nil && strings.Contains(err.Error(), "[unsigned]"), "a large Pod takes an image without a seal: %v", err)
	})
}

const twoKinds = `
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.com}, spec: {group: example.com, scope: Namespaced,
  names: {kind: Widget, plural: widgets, singular: widget}, versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: pods.example.com}, spec: {group: example.com, scope: Namespaced,
  names: {kind: Pod, plural: pods, singular: pod}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}
`

// asks has the API server ask the gate as a configuration that somebody wrote by
// hand says, until the end of the test.
func asks(t *testing.T, w *world, name, ns, path, versions, onFailure, rules string) {
	t.Helper()
	ca := w.Kubectl(t, "get", "validatingwebhookconfiguration", gateName, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}").OK(t)
	w.Apply(t, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: %[1]s}
webhooks:
- name: %[1]s.by.hand.test
  clientConfig: {caBundle: %[2]s, service: {name: %[3]s, namespace: %[4]s, path: %[5]s, port: 443}}
  admissionReviewVersions: %[6]s
  failurePolicy: %[7]s
  sideEffects: NoneOnDryRun
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[8]s}}
  rules: %[9]s
`, name, ca, gateName, gateNamespace, path, versions, onFailure, ns, rules)).OK(t)
	t.Cleanup(func() {
		err := w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	w.AwaitHooks(t)
}

func otherKinds(t *testing.T, w *world) {
	ns := w.Namespace(t)
	w.Apply(t, twoKinds).OK(t)
	w.Kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd/widgets.example.com", "crd/pods.example.com").OK(t)
	apply := func(text string) cluster.Result { return w.Apply(t, text, "-n", ns) }
	apply("{apiVersion: example.com/v1, kind: Widget, metadata: {name: there}, spec: {image: x}}").OK(t)
	apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: there}, data: {a: b}}").OK(t)
	asks(t, w, "kinds", ns, "/k8s/validate", "[v1]", "Ignore", `
  - {apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [configmaps, services, pods, pods/status, pods/binding, pods/eviction]}
  - {apiGroups: [example.com], apiVersions: [v1], operations: ["*"], resources: [widgets, widgets/status, pods]}
  - {apiGroups: [apps], apiVersions: [v1], operations: ["*"], resources: [deployments/scale]}`)
	for _, c := range []struct{ what, text, kind, resource string }{
		{"a ConfigMap", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: b}}", "v1 ConfigMap", "configmaps"},
		{"a ConfigMap that changes", "{apiVersion: v1, kind: ConfigMap, metadata: {name: there}, data: {a: c}}", "v1 ConfigMap", "configmaps"},
		{"a Service", "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 1}]}}", "v1 Service", "services"},
		{"an operator's object", "{apiVersion: example.com/v1, kind: Widget, metadata: {name: x}, spec: {image: " + w.registry + "/shop/unsigned:v1}}", "example.com/v1 Widget", "widgets"},
		{"an operator's kind that is called Pod", "{apiVersion: example.com/v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: " + w.registry + "/shop/unsigned:v1}]}}", "example.com/v1 Pod", "pods"},
	} {
		want := fmt.Sprintf("denied the request: this gate cannot read the images of the kind %q [invalid-input]; take %q out of the rules", c.kind, c.resource)
		if r := apply(c.text); r.Code == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: %d %s, want %q", c.what, r.Code, r.Stderr, want)
		}
	}
	if r := w.Kubectl(t, "patch", "widget", "there", "-n", ns, "--subresource=status", "--type=merge", "-p", `{"status":{"ready":true}}`); r.Code == 0 || !strings.Contains(r.Stderr, `take "widgets/status" out of the rules`) {
		t.Errorf("an operator's status: %d %s", r.Code, r.Stderr)
	}
	// What is known to name no image, and what goes away, is let through.
	w.Kubectl(t, "create", "deployment", "web", "-n", ns, "--image="+w.registry+"/shop/app:v1").OK(t)
	w.Kubectl(t, "rollout", "status", "deployment/web", "-n", ns, "--timeout=60s").OK(t)
	w.Kubectl(t, "scale", "deployment/web", "-n", ns, "--replicas=0").OK(t)
	w.Kubectl(t, "delete", "widget/there", "configmap/there", "deployment/web", "-n", ns, "--wait=false").OK(t)
}

func otherReviews(t *testing.T, w *world) {
	ns := w.Namespace(t)
	const pods = `[{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]`
	run := func() cluster.Result {
		return w.Kubectl(t, "run", "app", "-n", ns, "--dry-run=server", "--image="+w.registry+"/shop/app:v1")
	}
	for _, c := range []struct{ name, path, versions, log string }{
		{"beta", "/k8s/validate", "[v1beta1]", "admission.k8s.io/v1beta1"},
		{"beta-first", "/k8s/validate", "[v1beta1, v1]", "admission.k8s.io/v1beta1"},
		{"elsewhere", "/k8s/valid", "[v1]", "the webhooks are /k8s/validate and /k8s/mutate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asks(t, w, c.name, ns, c.path, c.versions, "Fail", pods)
			if r := run(); r.Code == 0 || !strings.Contains(r.Stderr, c.name+".by.hand.test") {
				t.Errorf("it is let in, or not told who refused it: %d %s", r.Code, r.Stderr)
			}
			w.says(limit, "admission review", c.log)
		})
	}
	// A version to come beside ours is passed over by the API server itself.
	asks(t, w, "next", ns, "/k8s/validate", "[v2, v1]", "Fail", pods)
	w.decides(ns)
}
