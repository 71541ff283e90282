package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/shuintest"
	watching "github.com/shuin/shuin/watch"
)

const clusterConfigText = `
log: {format: json}
gate:
  records: decisions.jsonl
kubernetes:
  cluster: prod-1
  namespace: shuin-system
  policy: {configMap: policy}
  trust: {configMap: trust}
  namespacePolicies: true
  exceptions: true
  serving: {secret: serving, service: shuin-gate, webhooks: {validating: shuin-gate}}
`

// clusterBench is a gate's directory with a cluster that there is not.
type clusterBench struct {
	*gateBench
	core *fake.Clientset
	dyn  *dynamicfake.FakeDynamicClient
}

func newClusterBench(t *testing.T) *clusterBench {
	t.Helper()
	b := &clusterBench{
		gateBench: newGateBench(t), core: fake.NewClientset(),
		dyn: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			kube.PolicyExceptionResource: "PolicyExceptionList", kube.ReportResource: "PolicyReportList",
		}),
	}
	b.gateBench.kube = func(o kube.Options) (*kube.API, error) {
		return &kube.API{Core: b.core, Dynamic: b.dyn, Secrets: b.core, Namespace: o.Namespace}, nil
	}
	b.gateBench.write(t, "c.yaml", clusterConfigText)
	b.configMap(t, "shuin-system", "policy", "policy.yaml", gatePolicy("open"))
	b.configMap(t, "shuin-system", "trust", "ca.ci.pem", string(shuintest.MustChain(shuintest.ChainOptions{}).RootPEM()))
	return b
}

// configMap writes a ConfigMap of one key.
func (b *clusterBench) configMap(t *testing.T, namespace, name, key, text string) {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: fmt.Sprint(time.Now().UnixNano())}, Data: map[string]string{key: text}}
	maps := b.core.CoreV1().ConfigMaps(namespace)
	if _, err := maps.Update(t.Context(), m, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := maps.Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// running opens the gate and lets it go on as serve does, until the test ends.
func (b *clusterBench) running(t *testing.T) *gatePart {
	t.Helper()
	g := b.part(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); g.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	soon(t, func() error {
		for _, p := range g.ready.probes {
			if err := p.check(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		return nil
	})
	return g
}

// soon waits until try has no error.
func soon(t *testing.T, try func() error) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// reviewed is the answer to a review.
type reviewed struct {
	Response struct {
		Allowed  bool
		Warnings []string
		Patch    []byte
		Status   struct{ Message string }
	}
}

// review asks about a Pod with one image, as the API server does.
func review(t *testing.T, g *gatePart, path, namespace, image string) reviewed {
	t.Helper()
	return reviewOf(t, g, path, namespace, image, false)
}

// reviewOf is review, of a dry run or not.
func reviewOf(t *testing.T, g *gatePart, path, namespace, image string, dry bool) (answer reviewed) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{
			"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": namespace, "name": "web",
			"kind":     map[string]any{"group": "", "version": "v1", "kind": "Pod"},
			"resource": map[string]any{"group": "", "version": "v1", "resource": "pods"},
			"userInfo": map[string]any{"username": "alice"}, "dryRun": dry,
			"object": map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "web", "namespace": namespace},
				"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": image}}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, path+"?timeout=10s", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	g.kube.handler.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	return answer
}

func TestAGateInAClusterDecidesByItsObjects(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	if g.api != nil || g.handler != nil {
		t.Error("an API that nobody may ask is served")
	}
	if a := review(t, g, "/k8s/validate", "shop", openImage); !a.Response.Allowed {
		t.Errorf("%+v", a)
	}
	if a := review(t, g, "/k8s/validate", "shop", badImage); a.Response.Allowed || !strings.Contains(a.Response.Status.Message, "elsewhere") {
		t.Errorf("%+v", a)
	}
	if a := review(t, g, "/k8s/validate", "shuin-system", badImage); !a.Response.Allowed {
		t.Errorf("the gate's own namespace: %+v", a)
	}
	data, err := os.ReadFile(b.path("decisions.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	records := string(data)
	if !strings.Contains(records, `"principal":"kubernetes:alice"`) || !strings.Contains(records, `"route":"k8s/validate"`) || !strings.Contains(records, `"cluster":"prod-1","namespace":"shop"`) {
		t.Errorf("records: %s", records)
	}
	// Another policy counts without a restart, a broken one does not.
	b.configMap(t, "shuin-system", "policy", "policy.yaml", strings.Replace(gatePolicy("open"), "registry.example/open/**", "registry.example/elsewhere/**", 1))
	soon(t, func() error {
		if a := review(t, g, "/k8s/validate", "shop", badImage); !a.Response.Allowed {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	b.configMap(t, "shuin-system", "policy", "policy.yaml", "stages: none\n")
	soon(t, func() error {
		if !strings.Contains(b.log(), "the old ones stay in use") {
			return fmt.Errorf("log: %s", b.log())
		}
		return nil
	})
	if a := review(t, g, "/k8s/validate", "shop", badImage); !a.Response.Allowed {
		t.Errorf("with a broken policy: %+v", a)
	}
	soon(t, func() error {
		events, err := b.core.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		seen := map[string]string{}
		for _, e := range events.Items {
			seen[e.Reason+" "+e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name] = e.Message
		}
		if !strings.Contains(seen["PolicyRefused ConfigMap/policy"], "cannot be used") || seen["PolicyInUse ConfigMap/policy"] == "" || !strings.Contains(seen["ImageDenied Pod/web"], "elsewhere") {
			return fmt.Errorf("events: %v", seen)
		}
		return nil
	})
	if n := strings.Count(b.log(), "the old ones stay in use"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestAPolicyExceptionCountsAsLongAsItIsThere(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	exception := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "shuin.dev/v1alpha1", "kind": "PolicyException", "metadata": map[string]any{"name": "hotfix", "namespace": "shop", "uid": "1", "generation": int64(1)},
		"spec": map[string]any{"images": []any{badImage}, "reason": "INC-1", "owner": "sre@example.com", "expires": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
	}}
	all := b.dyn.Resource(kube.PolicyExceptionResource).Namespace("shop")
	if _, err := all.Create(t.Context(), exception, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := g.gate.Rules().Policy().Digest()
	soon(t, func() error {
		a := review(t, g, "/k8s/validate", "shop", badImage)
		if !a.Response.Allowed || !strings.Contains(strings.Join(a.Response.Warnings, " "), "INC-1") {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	if g.gate.Rules().Policy().Digest() != before {
		t.Error("an exception is taken for another policy")
	}
	if a := review(t, g, "/k8s/validate", "other", badImage); a.Response.Allowed {
		t.Errorf("in another namespace: %+v", a)
	}
	if err := all.Delete(t.Context(), "hotfix", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	soon(t, func() error {
		if a := review(t, g, "/k8s/validate", "shop", badImage); a.Response.Allowed {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
}

func TestAPolicyOfANamespaceOnlyNarrows(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	lax := strings.Replace(gatePolicy("lax"), "registry.example/open/**", "registry.example/elsewhere/**", 1)
	b.configMap(t, "shop", kube.NamespacePolicyName, kube.NamespacePolicyKey, lax)
	soon(t, func() error {
		if a := review(t, g, "/k8s/validate", "shop", openImage); a.Response.Allowed {
			return fmt.Errorf("what the namespace does not admit: %+v", a)
		}
		return nil
	})
	if a := review(t, g, "/k8s/validate", "shop", badImage); a.Response.Allowed {
		t.Errorf("a namespace lets in what the cluster does not: %+v", a)
	}
	if a := review(t, g, "/k8s/validate", "other", openImage); !a.Response.Allowed {
		t.Errorf("in another namespace: %+v", a)
	}
	// One that cannot be used, where there was none before: nobody knows what it would refuse.
	b.configMap(t, "broken", kube.NamespacePolicyName, kube.NamespacePolicyKey, "nonsense")
	soon(t, func() error {
		if a := review(t, g, "/k8s/validate", "broken", openImage); a.Response.Allowed || !strings.Contains(a.Response.Status.Message, "cannot be used") {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
}

func TestASweepTellsOfWhatRunsAndIsNotAdmitted(t *testing.T) {
	b := newClusterBench(t)
	b.write(t, "c.yaml", strings.Replace(clusterConfigText, "  records:", "  findings: findings.db\n  records:", 1))
	for name, image := range map[string]string{"good": openImage, "bad": badImage} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "app", ImageID: image}}},
		}
		if _, err := b.core.CoreV1().Pods("shop").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g := b.running(t)
	soon(t, func() error {
		if !strings.Contains(b.log(), `"msg":"swept","result":"whole","pods":2`) {
			return fmt.Errorf("log: %s", b.log())
		}
		return nil
	})
	soon(t, func() error {
		events, err := b.core.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(events.Items) != 1 || events.Items[0].InvolvedObject.Name != "bad" || events.Items[0].Reason != "ImageNotAdmitted" {
			return fmt.Errorf("%v %v", err, events)
		}
		return nil
	})
	if text := g.text(t); !strings.Contains(text, `shuin_kube_pods{outcome="deny"} 1`) || !strings.Contains(text, `shuin_kube_pods{outcome="admit"} 1`) || !strings.Contains(text, "shuin_kube_leader 1") {
		t.Errorf("metrics: %s", text)
	}
	page, err := g.findings.Find(t.Context(), watching.Query{Open: true})
	if err != nil || len(page.Findings) != 1 || page.Findings[0].Finding.Image != badImage || page.Findings[0].By != "shuind:sweep" {
		t.Errorf("findings: %v %+v", err, page)
	}
	// The same is not told again.
	s := &sweeper{k: g.kube, told: map[string]string{}}
	s.sweep(t.Context())
	first := len(s.told)
	s.sweep(t.Context())
	if first != 1 || len(s.told) != 1 {
		t.Errorf("told %d, then %d", first, len(s.told))
	}
}

func TestAGateWaitsAMomentForItsPolicyAndThenSaysWhatIsMissing(t *testing.T) {
	b := newClusterBench(t)
	if err := b.core.CoreV1().ConfigMaps("shuin-system").Delete(t.Context(), "policy", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.now = func() time.Time { return began.Add(60 * time.Since(began)) } // a minute in a second
	c, err := b.loadConfig(b.path("c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.newGatePart(t.Context(), c, b.path("c.yaml"), nil, newLogger(b, c.Log), newRegistry())
	if err == nil || !strings.Contains(err.Error(), "there is no ConfigMap policy in namespace shuin-system") {
		t.Errorf("%v", err)
	}
}

func TestAReviewIsRecordedOnceThoughItsDenialIsExplainedByASecondAnswer(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	a := review(t, g, "/k8s/validate", "shop", "registry.example/sealed/app:v1")
	if a.Response.Allowed || strings.Contains(a.Response.Status.Message, "[tag-refused]") {
		t.Fatalf("it is let in, or not explained: %+v", a.Response)
	}
	var records []map[string]any
	for _, line := range b.lines(t, "decisions.jsonl") {
		if line["route"] == "k8s/validate" {
			records = append(records, line)
		}
	}
	if len(records) != 1 || records[0]["allowed"] != false || records[0]["outcome"] != "deny" {
		t.Errorf("records of one review that was refused: %v", records)
	}
}

func TestADryRunIsAnsweredAsTheDecisionWouldBeAndIsNone(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	exception := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "shuin.dev/v1alpha1", "kind": "PolicyException", "metadata": map[string]any{"name": "hotfix", "namespace": "excepted", "uid": "1", "generation": int64(1)},
		"spec": map[string]any{"images": []any{badImage}, "reason": "INC-1", "owner": "sre@example.com", "expires": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
	}}
	if _, err := b.dyn.Resource(kube.PolicyExceptionResource).Namespace("excepted").Create(t.Context(), exception, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	soon(t, func() error {
		if a := reviewOf(t, g, "/k8s/validate", "excepted", badImage, true); !a.Response.Allowed {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	dry := []reviewed{reviewOf(t, g, "/k8s/validate", "shop", openImage, true), reviewOf(t, g, "/k8s/validate", "shop", badImage, true)}
	wantMetric(t, g, "shuin_kube_exception_uses_total 0")
	for _, line := range b.lines(t, "decisions.jsonl") {
		if route, _ := line["route"].(string); strings.HasPrefix(route, "k8s/") {
			t.Errorf("a dry run is recorded: %v", line)
		}
	}
	for i, image := range []string{openImage, badImage} {
		if diff := cmp.Diff(review(t, g, "/k8s/validate", "shop", image), dry[i]); diff != "" {
			t.Errorf("%s (-decided +dry run):\n%s", image, diff)
		}
	}
	if n := len(b.lines(t, "decisions.jsonl")); n != 2 {
		t.Errorf("%d records of two decisions", n)
	}
	// Where decisions cannot be recorded, it says so as they would.
	b.write(t, "full", "")
	full, err := os.Open(b.path("full"))
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	good := g.records.file
	g.records.file = full // it cannot be written to
	for _, dry := range []bool{false, true} {
		if a := reviewOf(t, g, "/k8s/validate", "shop", openImage, dry); a.Response.Allowed || !strings.Contains(a.Response.Status.Message, "recorded") {
			t.Errorf("dry run: %t: %+v", dry, a)
		}
	}
	g.records.file = good
}
