//go:build e2e

package kube

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/test/kube/cluster"
)

// sourcesRights are what reading a cluster's policies, exceptions, pull secrets
// and Pods, and writing reports, takes.
const sourcesRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sources}
rules:
  - {apiGroups: [""], resources: [configmaps], resourceNames: [shuin-policy], verbs: [list, watch]}
  - {apiGroups: [""], resources: [pods], verbs: [list]}
  - {apiGroups: [shuin.dev], resources: [policyexceptions], verbs: [list, watch]}
  - {apiGroups: [shuin.dev], resources: [policyexceptions/status], verbs: [patch]}
  - {apiGroups: [wgpolicyk8s.io], resources: [policyreports], verbs: [list, create, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sources}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sources}
subjects: [{kind: User, name: sources}]
`

// ownRights are those in the gate's own namespace, by the names of its objects.
const ownRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: sources, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [configmaps], resourceNames: [policy], verbs: [list, watch]}
  - {apiGroups: [""], resources: [secrets], resourceNames: [trust], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sources, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sources}
subjects: [{kind: User, name: sources}]
`

// sources are clients with the rights above and no others.
func sources(t *testing.T) (kubernetes.Interface, dynamic.Interface) {
	t.Helper()
	for _, file := range []string{"../../deploy/kubernetes/chart/crds/policyexceptions.yaml", "testdata/policyreports.yaml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shared.Apply(t, string(data), "--server-side", "--force-conflicts").OK(t)
	}
	for _, name := range []string{"policyexceptions.shuin.dev", "policyreports.wgpolicyk8s.io"} {
		shared.Kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd/"+name).OK(t)
	}
	shared.Apply(t, sourcesRights).OK(t)
	user, err := shared.User("sources")
	if err != nil {
		t.Fatal(err)
	}
	core, err := kubernetes.NewForConfig(user)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(user)
	if err != nil {
		t.Fatal(err)
	}
	return core, dyn
}

// background runs f until the test is over.
func background(t *testing.T, f func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func so(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

const exceptionYAML = `
apiVersion: shuin.dev/v1alpha1
kind: PolicyException
metadata: {name: NAME, namespace: NAMESPACE}
spec: {images: [IMAGES], reason: INC-4711, owner: sre@example.com, expires: "EXPIRES"}
`

func exceptionText(namespace, name, images string, expires time.Time, change ...string) string {
	return strings.NewReplacer(append(change, "NAMESPACE", namespace, "NAME", name, "IMAGES", images, "EXPIRES", expires.UTC().Format(time.RFC3339))...).Replace(exceptionYAML)
}

func TestPolicyExceptionsAreCheckedByTheAPIServerAndToldTheirStanding(t *testing.T) {
	_, dyn := sources(t)
	own, shop := shared.Namespace(t), shared.Namespace(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	e := &kube.Exceptions{Own: own, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	e.Watch(dyn)
	background(t, e.Run)
	cluster.Eventually(t, time.Minute, func() error { return so(e.Synced(), "the exceptions are not read: %v", e.Broken()) })

	good := `"r.example/shop/**", "docker.io/library/nginx@` + digest.FromString("x").String() + `"`
	shared.Apply(t, exceptionText(own, "everywhere", good, tomorrow)).OK(t)
	shared.Apply(t, exceptionText(shop, "here", `"localhost:5000/web", "**"`, tomorrow)).OK(t)
	shared.Apply(t, exceptionText(shop, "over", `"r.example/web"`, time.Now().Add(-time.Hour))).OK(t)
	shared.Apply(t, exceptionText(shop, "elsewhere", `"r.example/web"`, tomorrow, "reason:", "namespaces: [kube-system], reason:")).OK(t)
	for _, c := range []struct {
		name, images string
		change       []string
		want         string
	}{
		{"a tag", `"r.example/web:1"`, nil, "a tag can be moved"},
		{"a tag beside a digest", `"r.example/web:1@` + digest.FromString("x").String() + `"`, nil, "a tag can be moved"},
		{"a scheme", `"https://r.example/web"`, nil, "without a scheme"},
		{"no registry", `"nginx"`, nil, "name the registry"},
		{"a digest that is none", `"r.example/web@sha256:12"`, nil, "spec.images[0]"},
		{"white space", `"r.example/ web"`, nil, "spec.images[0]"},
		{"an image twice", `"r.example/web", "r.example/web"`, nil, "Duplicate value"},
		{"no images", ``, nil, "spec.images"},
		{"no owner", `"r.example/web"`, []string{"owner: sre@example.com, ", ""}, "spec.owner"},
		{"an empty owner", `"r.example/web"`, []string{"sre@example.com", `" "`}, "spec.owner"},
		{"no reason", `"r.example/web"`, []string{"reason: INC-4711, ", ""}, "spec.reason"},
		{"no end", `"r.example/web"`, []string{`, expires: "EXPIRES"`, ""}, "spec.expires"},
		{"an end that is a day", `"r.example/web"`, []string{"EXPIRES", "2030-01-01"}, "spec.expires"},
		{"a member that is not known", `"r.example/web"`, []string{"reason:", "image: x, reason:"}, `unknown field "spec.image"`},
		{"a namespace that is none", `"r.example/web"`, []string{"reason:", "namespaces: [a/b], reason:"}, "spec.namespaces[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := shared.Apply(t, exceptionText(shop, "bad", c.images, tomorrow, c.change...)); r.Code == 0 || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("%d, %s", r.Code, r.Stderr)
			}
		})
	}
	want := map[string]string{"everywhere": kube.ExceptionInForce, "here": kube.ExceptionInForce, "over": kube.ExceptionExpired, "elsewhere": kube.ExceptionInvalid}
	cluster.Eventually(t, time.Minute, func() error {
		got := map[string]string{}
		for _, s := range e.Standings() {
			if s.Namespace == own || s.Namespace == shop {
				got[s.Name] = s.Reason
			}
		}
		return so(fmt.Sprint(got) == fmt.Sprint(want), "%v", got)
	})
	if err := e.WriteStatus(t.Context()); err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, time.Minute, func() error {
		text := shared.Kubectl(t, "get", "policyexceptions", "-n", shop).OK(t)
		if strings.Contains(text, "elsewhere   Invalid    sre@example.com") && strings.Contains(text, "over        Expired    sre@example.com") && strings.Contains(text, "here        InForce    sre@example.com") {
			return nil
		}
		return errors.New(text)
	})
	// A second time nothing is different, and nothing is written.
	before := shared.Kubectl(t, "get", "policyexception", "here", "-n", shop, "-o=jsonpath={.metadata.resourceVersion}").OK(t)
	cluster.Eventually(t, time.Minute, func() error {
		if err := e.WriteStatus(t.Context()); err != nil {
			return err
		}
		now := shared.Kubectl(t, "get", "policyexception", "here", "-n", shop, "-o=jsonpath={.metadata.resourceVersion}").OK(t)
		return so(now == before, "the status is written again: %s, %s", before, now)
	})
	// Who may write in one namespace cannot claim a standing: the status is the gate's.
	forged := strings.Replace(exceptionText(shop, "forged", `"r.example/web"`, tomorrow), "spec:", "status: {conditions: [{type: Accepted, status: \"True\", reason: InForce, message: x, lastTransitionTime: \"2026-01-01T00:00:00Z\"}]}\nspec:", 1)
	shared.Apply(t, forged).OK(t)
	if text := shared.Kubectl(t, "get", "policyexception", "forged", "-n", shop, "-o=jsonpath={.status}").OK(t); text != "" {
		t.Errorf("a status was taken from an object: %s", text)
	}
}

func TestPoliciesAreReadWithRightsToTheirNamesAlone(t *testing.T) {
	core, _ := sources(t)
	own, shop := shared.Namespace(t), shared.Namespace(t)
	shared.Apply(t, strings.ReplaceAll(ownRights, "NAMESPACE", own)).OK(t)
	p, err := kube.NewOwnPolicy(core, kube.OwnPolicyOptions{Namespace: own, ConfigMap: "policy", Key: "policy.yaml", TrustSecret: "trust"})
	if err != nil {
		t.Fatal(err)
	}
	background(t, p.Run)
	n := &kube.NamespacePolicies{Own: own, Log: slog.New(slog.DiscardHandler), Make: func(ctx context.Context, p *pipeline.Policy, own kube.Stores) (*gate.Rules, error) {
		return gate.NewRules(ctx, p, own)
	}}
	n.Watch(core)
	background(t, n.Run)
	cluster.Eventually(t, time.Minute, func() error { return so(p.Synced() && n.Synced(), "not read: %v, %v", p.Broken(), n.Broken()) })

	shared.Kubectl(t, "create", "configmap", "policy", "-n", own, "--from-literal=policy.yaml=one").OK(t)
	pem := string(shared.CA.PEM)
	shared.Kubectl(t, "create", "secret", "generic", "trust", "-n", own, "--from-literal=ca.corp.pem="+pem).OK(t)
	cluster.Eventually(t, time.Minute, func() error {
		s, err := p.Now()
		if err != nil {
			return err
		}
		return so(string(s.Values["policy.yaml"]) == "one" && len(s.Stores) == 1, "%+v", s)
	})
	shared.Kubectl(t, "create", "configmap", kube.NamespacePolicyName, "-n", shop, "--from-literal="+kube.NamespacePolicyKey+
		"=apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules: [{name: r, match: {images: [\"r.io/**\"]}, allow: {unsigned: true, because: x}}]\n").OK(t)
	cluster.Eventually(t, time.Minute, func() error {
		rules, err := n.Of(shop)
		return so(rules != nil && err == nil, "%v", err)
	})
	shared.Kubectl(t, "create", "configmap", "policy", "-n", own, "--from-literal=policy.yaml=two", "--dry-run=client", "-o", "yaml")
	shared.Kubectl(t, "patch", "configmap", "policy", "-n", own, "-p", `{"data":{"policy.yaml":"two"}}`).OK(t)
	cluster.Eventually(t, time.Minute, func() error {
		s, err := p.Now()
		return so(err == nil && string(s.Values["policy.yaml"]) == "two", "%v", err)
	})
	shared.Kubectl(t, "delete", "configmap", kube.NamespacePolicyName, "-n", shop).OK(t)
	cluster.Eventually(t, time.Minute, func() error {
		rules, err := n.Of(shop)
		return so(rules == nil && err == nil, "%v", err)
	})
	// With these rights no other object can be read.
	if _, err := core.CoreV1().ConfigMaps(shop).List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("all ConfigMaps of a namespace can be listed")
	}
	// A pull secret is not among them: the permission that is missing is named.
	_, err = kube.NewPullSecrets(core, time.Now).Access(t.Context(), shop, "", []string{"reg"})
	if shuin.CodeOf(err) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(err), "the verb get on secrets in namespace "+shop) {
		t.Errorf("%v (%s)", err, shuin.HintOf(err))
	}
}

func TestPullSecretsAreThoseThatKubectlMakes(t *testing.T) {
	ns := shared.Namespace(t)
	shared.Kubectl(t, "create", "secret", "docker-registry", "reg", "-n", ns, "--docker-server=r.example:5000", "--docker-username=u", "--docker-password=p").OK(t)
	shared.Kubectl(t, "create", "secret", "docker-registry", "hub", "-n", ns, "--docker-username=h", "--docker-password=p").OK(t)
	shared.Kubectl(t, "patch", "serviceaccount", "default", "-n", ns, "-p", `{"imagePullSecrets":[{"name":"reg"},{"name":"hub"}]}`).OK(t)
	p := kube.NewPullSecrets(shared.Client, time.Now)
	access, err := p.Access(t.Context(), ns, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for registry, want := range map[string]string{"r.example:5000": "u", "docker.io": "h", "r.example": ""} {
		got, err := p.Credentials(access, registry, "library/nginx")
		if err != nil || (len(got) > 0) != (want != "") || want != "" && got[0].Username != want {
			t.Errorf("%s: %d, %v", registry, len(got), err)
		}
	}
	// What the API server admits is what the Pod names: the plugin has merged the account's.
	shared.Kubectl(t, "run", "app", "-n", ns, "--image=r.example:5000/web").OK(t)
	pod, err := shared.Client.CoreV1().Pods(ns).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range pod.Spec.ImagePullSecrets {
		names = append(names, s.Name)
	}
	if again, err := p.Access(t.Context(), ns, pod.Spec.ServiceAccountName, names); err != nil || again != access || len(names) != 2 {
		t.Errorf("%v: %s, %s, %v", names, again, access, err)
	}
	bad := base64.StdEncoding.EncodeToString([]byte(`{"auths":{"r.example":{"auth":"aHVudGVyMg=="}}}`))
	shared.Apply(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: bad, namespace: "+ns+"}\ntype: kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: "+bad+"}\n").OK(t)
	if _, err := p.Access(t.Context(), ns, "", []string{"bad"}); !shuin.CodeOf(err).Undecided() || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMg") {
		t.Errorf("%v", err)
	}
}

func TestWhatRunsIsListedPageByPageAndReported(t *testing.T) {
	core, dyn := sources(t)
	ns, other := shared.Namespace(t), shared.Namespace(t)
	const replicas = 130 // more than a page
	shared.Kubectl(t, "create", "deployment", "web", "-n", ns, "--image=r.example/web:1", fmt.Sprintf("--replicas=%d", replicas)).OK(t)
	shared.Kubectl(t, "run", "alone", "-n", other, "--image=nginx").OK(t)
	var running *kube.Running
	cluster.Eventually(t, 2*time.Minute, func() (err error) {
		if running, err = kube.ListPods(t.Context(), core); err != nil {
			return err
		}
		return so(running.Namespaces[ns] == replicas && running.Namespaces[other] == 1, "%d, %d", running.Namespaces[ns], running.Namespaces[other])
	})
	var judged []kube.Judged
	for _, g := range running.Groups {
		if g.Namespace != ns && g.Namespace != other {
			continue
		}
		v := &gate.Verdict{Policy: digest.FromString("policy"), Images: make([]gate.ImageVerdict, len(g.Images))}
		for i, image := range g.Images {
			v.Images[i] = gate.ImageVerdict{Image: image, Outcome: pipeline.Deny, Rule: "prod", Err: &shuin.Error{Code: shuin.CodeUnsigned, Message: "no signature"}}
		}
		judged = append(judged, kube.Judged{Group: g, Verdict: v})
	}
	if len(judged) != 2 {
		t.Fatalf("%d groups", len(judged))
	}
	for _, j := range judged {
		if j.Group.Namespace == ns && (j.Group.Owner.Kind != "Deployment" || j.Group.Owner.Name != "web" || j.Group.Count != replicas) {
			t.Errorf("%+v", j.Group)
		}
		if j.Group.Namespace == other && j.Group.Images[0].Written != "docker.io/library/nginx:latest" {
			t.Errorf("%+v", j.Group)
		}
	}
	write := func(at time.Time, r *kube.Reports, judged ...kube.Judged) {
		t.Helper()
		if err := r.Write(t.Context(), judged, true, at); err != nil {
			t.Fatal(err)
		}
	}
	reports := func() *kube.Reports {
		return &kube.Reports{Discovery: core.Discovery(), Dynamic: dyn, Log: slog.New(slog.DiscardHandler)}
	}
	now := time.Now()
	first := reports()
	write(now, first, judged...)
	for _, namespace := range []string{ns, other} {
		if text := shared.Kubectl(t, "get", "policyreport", "shuin", "-n", namespace, "-o=jsonpath={.summary.fail} {.results[0].result} {.results[0].properties.code}").OK(t); text != "1 fail unsigned" {
			t.Errorf("%s: %s", namespace, text)
		}
	}
	version := func() string {
		return shared.Kubectl(t, "get", "policyreport", "shuin", "-n", ns, "-o=jsonpath={.metadata.resourceVersion}").OK(t)
	}
	before := version()
	write(now.Add(time.Minute), first, judged...)
	if version() != before {
		t.Error("a report that says the same is written again")
	}
	// The next leader finds what the one before wrote, and removes what is over.
	write(now.Add(time.Minute), reports(), judged[:1]...)
	gone := judged[1].Group.Namespace
	if r := shared.Kubectl(t, "get", "policyreport", "shuin", "-n", gone); r.Code == 0 {
		t.Error("the report of a namespace without Pods is still there")
	}
}

func TestWhatWasReadStaysWhileTheAPIServerIsDown(t *testing.T) {
	core, dyn := sources(t)
	own, shop := shared.Namespace(t), shared.Namespace(t)
	shared.Apply(t, strings.ReplaceAll(ownRights, "NAMESPACE", own)).OK(t)
	shared.Kubectl(t, "create", "configmap", "policy", "-n", own, "--from-literal=policy.yaml=one").OK(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	shared.Apply(t, exceptionText(shop, "before", `"r.example/web"`, tomorrow)).OK(t)
	p, err := kube.NewOwnPolicy(core, kube.OwnPolicyOptions{Namespace: own, ConfigMap: "policy", Key: "policy.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	background(t, p.Run)
	e := &kube.Exceptions{Own: own, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	e.Watch(dyn)
	background(t, e.Run)
	standing := func(name string) error {
		for _, s := range e.Standings() {
			if s.Namespace == shop && s.Name == name {
				return so(s.Reason == kube.ExceptionInForce, "%+v", s)
			}
		}
		return fmt.Errorf("no exception %s", name)
	}
	policy := func(want string) error {
		s, err := p.Now()
		if err != nil {
			return err
		}
		return so(string(s.Values["policy.yaml"]) == want, "%s", s.Values)
	}
	cluster.Eventually(t, time.Minute, func() error { return errors.Join(policy("one"), standing("before")) })

	shared.StopAPIServer()
	restarted := false
	t.Cleanup(func() {
		if !restarted {
			_ = shared.RestartAPIServer(context.Background())
		}
	})
	cluster.Eventually(t, time.Minute, func() error {
		return so(p.Broken() != nil && e.Broken() != nil, "that nobody can be asked is not noticed: %v, %v", p.Broken(), e.Broken())
	})
	if err := errors.Join(policy("one"), standing("before")); err != nil {
		t.Errorf("what was read is gone: %v", err)
	}
	restarted = true
	if err := shared.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	shared.Kubectl(t, "patch", "configmap", "policy", "-n", own, "-p", `{"data":{"policy.yaml":"two"}}`).OK(t)
	shared.Apply(t, exceptionText(shop, "after", `"r.example/web"`, tomorrow)).OK(t)
	cluster.Eventually(t, 2*time.Minute, func() error {
		return errors.Join(policy("two"), standing("before"), standing("after"), p.Broken(), e.Broken())
	})
}
