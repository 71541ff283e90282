//go:build e2e

package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/test/kube/cluster"
)

// metric is the value of one series, as shuin_kube_sweeps_total{result="whole"}.
func (w *world) metric(series string) (float64, error) {
	text, err := w.get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no %s", series)
}

// shows waits until a series has the value.
func (w *world) shows(limit time.Duration, series string, want float64) {
	w.t.Helper()
	w.eventually(limit, func() error {
		got, err := w.metric(series)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %v, want %v", series, got, want)
		}
		return err
	})
}

// says waits until the replica's log has a line with all of these texts.
func (w *world) says(limit time.Duration, texts ...string) {
	w.t.Helper()
	w.eventually(limit, func() error {
		for line := range strings.Lines(w.gate.Log(w.t)) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return nil
			}
		}
		return fmt.Errorf("no line of the log has %q", texts)
	})
}

// reporting has the cluster know PolicyReports.
func (w *world) reporting() {
	w.t.Helper()
	data, err := os.ReadFile("testdata/policyreports.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	w.Apply(w.t, string(data)).OK(w.t)
	w.Kubectl(w.t, "wait", "--for=condition=Established", "--timeout=60s", "crd/policyreports.wgpolicyk8s.io").OK(w.t)
}

// report is what the namespace's report counts, as "pass 1, fail 1".
func (w *world) report(ns string) string {
	w.t.Helper()
	r := w.Kubectl(w.t, "get", "policyreport", "shuin", "-n", ns, "-o", "jsonpath=pass {.summary.pass}, fail {.summary.fail}, error {.summary.error}")
	return r.Stdout + r.Stderr
}

func (w *world) reports(limit time.Duration, ns, want string) {
	w.t.Helper()
	w.eventually(limit, func() error {
		if got := w.report(ns); got != want {
			return fmt.Errorf("the report says %s, want %s", got, want)
		}
		return nil
	})
}

// rules changes what the gate may do: its ClusterRole, or with own the Role of its
// namespace.
func (w *world) rules(own bool, change func([]rbacv1.PolicyRule) []rbacv1.PolicyRule) {
	w.t.Helper()
	ctx, rbac := context.WithoutCancel(w.t.Context()), w.Client.RbacV1()
	var err error
	if own {
		var role *rbacv1.Role
		if role, err = rbac.Roles(gateNamespace).Get(ctx, gateName, metav1.GetOptions{}); err == nil {
			role.Rules = change(role.Rules)
			_, err = rbac.Roles(gateNamespace).Update(ctx, role, metav1.UpdateOptions{})
		}
	} else {
		var role *rbacv1.ClusterRole
		if role, err = rbac.ClusterRoles().Get(ctx, gateName, metav1.GetOptions{}); err == nil {
			role.Rules = change(role.Rules)
			_, err = rbac.ClusterRoles().Update(ctx, role, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// revoked takes from the gate's ClusterRole verbs (none: all) on a resource, until
// back is called; revokedOwn from the Role of its namespace. Both wait until the
// API server holds the gate to it.
func (w *world) revoked(group, resource string, verbs ...string) (back func()) {
	w.t.Helper()
	return w.revokedOf(false, group, resource, verbs)
}

func (w *world) revokedOwn(group, resource string, verbs ...string) (back func()) {
	w.t.Helper()
	return w.revokedOf(true, group, resource, verbs)
}

func (w *world) revokedOf(own bool, group, resource string, verbs []string) (back func()) {
	w.t.Helper()
	var taken []rbacv1.PolicyRule
	w.rules(own, func(rules []rbacv1.PolicyRule) (left []rbacv1.PolicyRule) {
		for _, rule := range rules {
			if !slices.Contains(rule.APIGroups, group) || !slices.Contains(rule.Resources, resource) {
				left = append(left, rule)
				continue
			}
			one, others, gone := *rule.DeepCopy(), *rule.DeepCopy(), *rule.DeepCopy()
			others.Resources = slices.DeleteFunc(others.Resources, func(r string) bool { return r == resource })
			one.Resources, gone.Resources = []string{resource}, []string{resource}
			if len(verbs) > 0 {
				gone.Verbs = verbs
			}
			one.Verbs = slices.DeleteFunc(one.Verbs, func(v string) bool { return slices.Contains(gone.Verbs, v) })
			for _, rest := range []rbacv1.PolicyRule{others, one} {
				if len(rest.Resources) > 0 && len(rest.Verbs) > 0 {
					left = append(left, rest)
				}
			}
			taken = append(taken, gone)
		}
		return left
	})
	if len(taken) == 0 {
		w.t.Fatalf("the gate had no right on %s", resource)
	}
	w.held(own, taken[0], false)
	return func() {
		w.t.Helper()
		w.rules(own, func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule { return append(rules, taken...) })
		w.held(own, taken[0], true)
	}
}

// held waits until the API server lets the gate do what a rule says, or not.
func (w *world) held(own bool, rule rbacv1.PolicyRule, want bool) {
	w.t.Helper()
	resource, sub, _ := strings.Cut(rule.Resources[0], "/")
	may := &authorizationv1.ResourceAttributes{Group: rule.APIGroups[0], Resource: resource, Subresource: sub, Verb: rule.Verbs[0]}
	if own {
		may.Namespace = gateNamespace
	}
	if len(rule.ResourceNames) > 0 {
		may.Name = rule.ResourceNames[0]
	}
	user := "system:serviceaccount:" + gateNamespace + ":" + gateName
	cluster.Eventually(w.t, limit, func() error {
		review, err := w.Client.AuthorizationV1().SubjectAccessReviews().Create(w.t.Context(),
			&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: may}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return so(review.Status.Allowed == want, "may the gate %s %s: %v", may.Verb, resource, review.Status.Allowed)
	})
}

// decides wants the gate to let in what is sealed, pinned, and nothing else.
func (w *world) decides(ns string) {
	w.t.Helper()
	run := func(image string) cluster.Result {
		return w.Kubectl(w.t, "run", "asked", "-n", ns, "--dry-run=server", "-o", "jsonpath={.spec.containers[0].image}", "--image="+w.registry+"/shop/"+image)
	}
	if r := run("app:v1"); r.Code != 0 || !strings.Contains(r.Stdout, "@sha256:") {
		w.t.Errorf("an image with its seal: %d %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := run("unsigned:v1"); r.Code == 0 || !strings.Contains(r.Stderr, "[unsigned]") {
		w.t.Errorf("an image without a seal: %d %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// untold takes the right to write Events away for a moment.
func untold(t *testing.T, w *world) {
	ns := w.Namespace(t)
	denied := func(name string) {
		t.Helper()
		if r := w.Kubectl(t, "run", name, "-n", ns, "--image="+w.registry+"/shop/unsigned:v1"); r.Code == 0 || !strings.Contains(r.Stderr, "[unsigned]") {
			t.Errorf("an image without a seal: %d %s", r.Code, r.Stderr)
		}
	}
	back := w.revoked("", "events")
	denied("first")
	w.says(limit, "ERROR", "cannot create resource \\\"events\\\"", ns)
	w.decides(ns)
	back()
	denied("second")
	w.eventually(limit, func() error {
		if told := toldOf(t, w, ns, "ImageDenied"); len(told) != 1 || !strings.HasPrefix(told[0], "second: ") {
			return fmt.Errorf("told of what was denied: %q", told)
		}
		return nil
	})
}

// unserved finds that the gate may not read its Secret, gives that back, and has
// it not write the CA bundle that somebody changed meanwhile.
func unserved(t *testing.T, w *world, back func()) {
	ns := w.Namespace(t)
	w.shows(limit, "shuin_kube_watch_broken", 1)
	w.says(limit, "the serving certificate could not be looked after; what serves stays", "the verb get on secrets in namespace "+gateNamespace)
	w.decides(ns)

	const group, resource = "admissionregistration.k8s.io", "validatingwebhookconfigurations"
	patch := w.revoked(group, resource, "patch")
	configurations := w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	c, err := configurations.Get(t.Context(), gateName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	own := string(c.Webhooks[0].ClientConfig.CABundle)
	c.Webhooks[0].ClientConfig.CABundle = []byte(own + string(w.CA.PEM))
	if _, err := configurations.Update(t.Context(), c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	back()
	w.says(limit, "the serving certificate could not be looked after", "the verb patch on "+resource)
	w.decides(ns)
	if _, err := w.get("/readyz"); err != nil {
		t.Errorf("a gate that answers is not ready: %v", err)
	}
	patch()
	w.eventually(limit, func() error {
		c, err := configurations.Get(t.Context(), gateName, metav1.GetOptions{})
		if err == nil && string(c.Webhooks[0].ClientConfig.CABundle) != own {
			err = errors.New("caBundle is what somebody wrote")
		}
		return err
	})
	w.shows(limit, "shuin_kube_watch_broken", 0)
}

// address is where a replica's webhooks listen.
func (w *world) address() string {
	w.t.Helper()
	m := regexp.MustCompile(`"what":"webhooks","address":"([^"]+)"`).FindStringSubmatch(w.gate.Log(w.t))
	if m == nil {
		w.t.Fatalf("the gate does not listen:\n%s", w.gate.Log(w.t))
	}
	return m[1]
}

// asked is a client that asks a replica as the API server does, also while there is
// none: about a Pod of an image, whether it is let in, and what is said.
func (w *world) asked(ns string) func(image string) (bool, string) {
	w.t.Helper()
	c, err := w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(w.t.Context(), gateName, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.Webhooks[0].ClientConfig.CABundle)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: gateName + "." + gateNamespace + ".svc"}}}
	w.t.Cleanup(client.CloseIdleConnections)
	url := "https://" + w.address() + admission.ValidatePath + "?timeout=10s"
	return func(image string) (bool, string) {
		w.t.Helper()
		object, err := json.Marshal(pod(image))
		if err != nil {
			w.t.Fatal(err)
		}
		body, err := json.Marshal(&admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
			Request: &admissionv1.AdmissionRequest{
				UID: "1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
				Namespace: ns, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: object},
			},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		res, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		defer res.Body.Close()
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(res.Body).Decode(&review); err != nil || review.Response == nil {
			w.t.Fatalf("%s: %v", res.Status, err)
		}
		if review.Response.Result != nil {
			return review.Response.Allowed, review.Response.Result.Message
		}
		return review.Response.Allowed, ""
	}
}

// broken waits until the gate says that it cannot follow the cluster.
func (w *world) broken() {
	w.t.Helper()
	w.eventually(limit, func() error {
		n, err := w.metric("shuin_kube_watch_broken")
		return errors.Join(err, so(n > 0, "the gate follows the cluster"))
	})
}

// warns waits until an image without a seal is let in with a warning, as the policy
// says now.
func (w *world) warns(ns string) {
	w.t.Helper()
	w.eventually(limit, func() error {
		r := w.Kubectl(w.t, "run", "asked", "-n", ns, "--dry-run=server", "--image="+w.registry+"/shop/unsigned:v1")
		return so(r.Code == 0 && strings.Contains(r.Stderr, "Warning:"), "%d %s", r.Code, r.Stderr)
	})
}

// denies waits until it is not.
func (w *world) denies(ns string) {
	w.t.Helper()
	w.eventually(limit, func() error {
		r := w.Kubectl(w.t, "run", "asked", "-n", ns, "--dry-run=server", "--image="+w.registry+"/shop/unsigned:v1")
		return so(r.Code != 0 && strings.Contains(r.Stderr, "[unsigned]"), "%d %s", r.Code, r.Stderr)
	})
	w.decides(ns)
}

// restarted stops the API server for a moment.
func restarted(t *testing.T, w *world) {
	ns := w.Namespace(t)
	asked := w.asked(ns)
	sealed, unsealed := w.registry+"/shop/app@"+w.digest("shop/app", "v1"), w.registry+"/shop/unsigned@"+w.digest("shop/unsigned", "v1")
	w.StopAPIServer()
	up := false
	t.Cleanup(func() {
		if !up {
			_ = w.RestartAPIServer(context.WithoutCancel(t.Context()))
		}
	})
	w.broken()
	if allowed, message := asked(sealed); !allowed {
		t.Errorf("an image with its seal, while there is no API server: %s", message)
	}
	if allowed, message := asked(unsealed); allowed || !strings.Contains(message, "[unsigned]") {
		t.Errorf("an image without a seal, while there is no API server: %v %s", allowed, message)
	}
	if err := w.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	up = true
	w.decides(ns)
	before := w.write(gateName+"-policy", "policy.yaml", w.twoTeams("warn"))
	w.warns(ns)
	w.write(gateName+"-policy", "policy.yaml", before)
	w.denies(ns)
	w.shows(limit, "shuin_kube_watch_broken", 0)
}

// unfollowed takes the rights away to follow what the gate decides by. A watch goes
// on that began with a right, until it ends: here with the API server's restart.
func unfollowed(t *testing.T, w *world) {
	ns, excepted, narrow := w.Namespace(t), w.Namespace(t), w.Namespace(t)
	image := w.registry + "/shop/unsigned@" + w.digest("shop/unsigned", "v1")
	w.Apply(t, exceptionText(excepted, "hotfix", `"`+image+`"`, time.Now().Add(time.Hour))).OK(t)
	narrowing := strings.NewReplacer("all: [build]", "all: [build, scan]", "rules:\n", "  scan:\n    signers: [{identities: [\"x509.subject: C=US, ST=WA, O=Notary, CN=scanner\"], trustStores: [\"ca:ci\"]}]\nrules:\n").Replace(w.policy("enforce"))
	w.Kubectl(t, "create", "configmap", "shuin-policy", "-n", narrow, "--from-file=policy.yaml="+written(t, narrowing)).OK(t)
	run := func(ns, image string) cluster.Result {
		return w.Kubectl(t, "run", "asked", "-n", ns, "--dry-run=server", "--image="+w.registry+"/shop/"+image+":v1")
	}
	counts := func() error {
		r := run(excepted, "unsigned")
		err := so(r.Code == 0 && strings.Contains(r.Stderr, "INC-4711"), "with an exception: %d %s", r.Code, r.Stderr)
		r = run(narrow, "app")
		return errors.Join(err, so(r.Code != 0 && strings.Contains(r.Stderr, "scan"), "with a policy of the namespace: %d %s", r.Code, r.Stderr))
	}
	w.eventually(limit, counts)

	policy, exceptions, policies := w.revokedOwn("", "configmaps"), w.revoked("shuin.dev", "policyexceptions"), w.revoked("", "configmaps")
	if err := w.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.says(limit, "ERROR", `cannot list resource \"configmaps\" in API group \"\" in the namespace \"`+gateNamespace+`\"`)
	w.says(limit, "ERROR", `cannot list resource \"configmaps\" in API group \"\" at the cluster scope`)
	w.says(limit, "ERROR", `cannot list resource \"policyexceptions\" in API group \"shuin.dev\" at the cluster scope`)
	w.shows(limit, "shuin_kube_watch_broken", 3)
	if err := counts(); err != nil {
		t.Errorf("what was read counts no more: %v", err)
	}
	before := w.write(gateName+"-policy", "policy.yaml", w.twoTeams("warn"))
	w.decides(ns)
	policy()
	late := w.replica()
	w.ServeService(gateNamespace, gateName, w.address()) // nobody is led to one that is not ready
	asked := late.asked(narrow)
	w.eventually(limit, func() error {
		_, err := late.get("/readyz")
		return so(err != nil && strings.Contains(err.Error(), "namespace-policies: list configmaps") && strings.Contains(err.Error(), "exceptions: list policyexceptions") &&
			strings.Contains(err.Error(), "serving-certificate: ok"), "a replica that cannot read: %v", err)
	})
	if allowed, message := asked(w.registry + "/shop/app@" + w.digest("shop/app", "v1")); allowed || !strings.Contains(message, "were not read yet") {
		t.Errorf("a replica that knows no policies of namespaces: %v %s", allowed, message)
	}
	exceptions()
	policies()
	w.warns(ns)
	w.write(gateName+"-policy", "policy.yaml", before)
	w.denies(ns)
	late.ready()
	late.gate.Kill()
	w.shows(limit, "shuin_kube_watch_broken", 0)
	w.Kubectl(t, "delete", "policyexception", "hotfix", "-n", excepted).OK(t)
	w.Kubectl(t, "delete", "configmap", "shuin-policy", "-n", narrow).OK(t)
	w.denies(excepted)
	w.eventually(limit, func() error { r := run(narrow, "app"); return so(r.Code == 0, "%s", r.Stderr) })
}
