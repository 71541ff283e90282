//go:build e2e

package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/admission"
	golden "github.com/shuin/shuin/test/gate"
	"github.com/shuin/shuin/test/kube/cluster"
)

// pinsLabel is on objects that the mutating webhook is asked about.
const pinsLabel = "shuin.test/pins"

// doors are many gates behind one address: each object's name says whose it is,
// so that webhooks are registered once, and not for each policy.
type doors struct {
	hook *httptest.Server
	ca   []byte
	mu   sync.Mutex
	all  map[string]http.Handler
}

// newDoors serves on loopback, under a CA of its own.
func newDoors(tb testing.TB) *doors {
	tb.Helper()
	d := &doors{all: map[string]http.Handler{}}
	authority, err := cluster.NewAuthority("Shuin test gates")
	if err != nil {
		tb.Fatal(err)
	}
	cert, key, err := authority.Serve("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		tb.Fatal(err)
	}
	d.hook, d.ca = httptest.NewUnstartedServer(d), authority.PEM
	d.hook.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	d.hook.EnableHTTP2 = true
	d.hook.StartTLS()
	tb.Cleanup(d.hook.Close)
	return d
}

func (d *doors) open(name string, h http.Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all[name] = h
}

func (d *doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	var review struct{ Request struct{ Name string } }
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	d.mu.Lock()
	h := d.all[review.Request.Name]
	d.mu.Unlock()
	if err != nil || h == nil {
		http.Error(w, fmt.Sprintf("nobody decides about %q: %v", review.Request.Name, err), http.StatusNotFound)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.ServeHTTP(w, r)
}

// heard is a gate that keeps what it said.
type heard struct {
	*gate.Gate
	mu  sync.Mutex
	all []said
}

type said struct {
	caller admission.Caller
	pins   bool
	v      *gate.Verdict
}

func (h *heard) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	v := h.Gate.Decide(ctx, w)
	caller, _ := admission.CallerOf(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, said{caller, w.Pins, v})
	return v
}

// first is the first answer to an endpoint.
func (h *heard) first(endpoint string) *said {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.all {
		if h.all[i].caller.Endpoint == endpoint {
			return &h.all[i]
		}
	}
	return nil
}

// warned keeps the warnings of one client.
type warned struct {
	mu  sync.Mutex
	all []string
}

func (w *warned) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(text, "shuin:") {
		w.all = append(w.all, text)
	}
}

// seen is what a user sees of one creation.
type seen struct {
	image    string // of the object as the API server would keep it; empty: it was not let in
	err      *apierrors.StatusError
	warnings []string
}

// create makes an object as a user does.
func create(t *testing.T, make func(kubernetes.Interface) (string, error)) seen {
	t.Helper()
	as, warnings := rest.CopyConfig(shared.Admin), &warned{}
	as.WarningHandler = warnings
	client, err := kubernetes.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	image, err := make(client)
	s := seen{image: image, warnings: warnings.all}
	if err != nil && !errors.As(err, &s.err) {
		t.Fatal(err)
	}
	return s
}

// TestTheAPIServerAnswersAsTheGoldenTableSays asks the gate's table of the real
// API server, which asks the real webhooks: each case by a Pod, and where
// somebody pins also by a Deployment.
func TestTheAPIServerAnswersAsTheGoldenTableSays(t *testing.T) {
	golden.StartSigner(t)
	d := newDoors(t)
	plain := shared.Namespace(t)
	places := namespaces(t, "team-a", "team-b", "team-c", "shop", "debug")
	places[""] = plain
	registerDoors(t, d)
	var mu sync.Mutex
	asked, skipped := map[string]int{}, map[string]int{}
	count := func(of map[string]int, what string) {
		mu.Lock()
		defer mu.Unlock()
		of[what]++
	}
	slots := make(chan struct{}, 8)
	all := golden.Questions(t, func(t *testing.T, q *golden.Question) {
		if q.Running {
			count(skipped, "Pod and Deployment: admission is asked about what is to run, not about what runs")
			return
		}
		ns, ok := places[q.Namespace]
		if !ok {
			t.Fatalf("there is no namespace %q: make it", q.Namespace)
		}
		slots <- struct{}{}
		defer func() { <-slots }()
		name := fmt.Sprintf("case-%03d", q.Index)
		h := &heard{Gate: q.Gate(t)}
		d.open(name, (&admission.Server{Gate: h, Cluster: q.Cluster, Now: time.Now}).Handler())
		askPod(t, q, h, ns, name)
		count(asked, "Pod")
		if !q.Pins && !strings.Contains(q.Image, "@") {
			count(skipped, "Deployment: an owner's images are pinned in its Pods: no owner asks for a tag that nobody pins")
			return
		}
		askDeployment(t, q, ns, name)
		count(asked, "Deployment")
	})
	// What was left out is counted, so that nothing is left out by accident.
	if want := map[string]int{"Pod": all - 6, "Deployment": all - 6 - 7}; !t.Failed() {
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("questions asked (-want +got):\n%s", diff)
		}
	}
	t.Logf("%d cases; asked %v; left out %v", all, asked, skipped)
}

// namespaces makes those that the table names.
func namespaces(t *testing.T, names ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range names {
		if _, err := shared.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := shared.Client.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
		cluster.Eventually(t, 30*time.Second, func() error {
			_, err := shared.Client.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
			return err
		})
		out[name] = name
	}
	return out
}

// goldenLabel is on all objects of the table.
const goldenLabel = "shuin.test/golden"

func registerDoors(t *testing.T, d *doors) {
	t.Helper()
	rules := []admissionv1.RuleWithOperations{cluster.Rule("", "v1", "pods"), cluster.Rule("apps", "v1", "deployments")}
	shared.Register(t, cluster.Hook{Name: "golden-mutate.shuin.test", Mutating: true, URL: d.hook.URL + admission.MutatePath, CA: d.ca, Rules: rules, Labels: map[string]string{pinsLabel: "yes"}, Timeout: 30})
	shared.Register(t, cluster.Hook{Name: "golden-validate.shuin.test", URL: d.hook.URL + admission.ValidatePath, CA: d.ca, Rules: rules, Labels: map[string]string{goldenLabel: "yes"}, Timeout: 30})
}

// askPod asks by a Pod. Where nobody pins, the mutating webhook is not asked.
func askPod(t *testing.T, q *golden.Question, h *heard, ns, name string) {
	t.Helper()
	labels := map[string]string{goldenLabel: "yes"}
	endpoint := admission.Validate
	if q.Pins {
		labels[pinsLabel], endpoint = "yes", admission.Mutate
	}
	got := create(t, func(client kubernetes.Interface) (string, error) {
		p, err := client.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: q.Image}}},
		}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		return p.Spec.Containers[0].Image, nil
	})
	one := h.first(endpoint)
	if one == nil {
		t.Fatalf("%s was not asked: %v", endpoint, got.err)
	}
	if one.pins != q.Pins {
		t.Errorf("%s asked as one that pins: %t", endpoint, one.pins)
	}
	q.Hold(t, "Pod", one.v)
	holdSeen(t, q, "Pod", got)
	if v := h.first(admission.Validate); v == nil || v.v.Allowed != (got.err == nil) {
		t.Errorf("the validating webhook said %+v, and the API server %v", v, got.err)
	}
	if got.err != nil {
		return
	}
	want := q.Image
	if im := &one.v.Images[0]; q.Pins && im.Pinned != "" && !strings.Contains(want, "@") {
		want = im.Pinned
	}
	if diff := cmp.Diff(want, got.image); diff != "" {
		t.Errorf("the Pod's image (-want +got):\n%s", diff)
	}
	if q.Outcome == "admit" && !q.Unpinned && !strings.Contains(got.image, "@sha256:") {
		t.Errorf("let in, and runs %s", got.image)
	}
}

// askDeployment asks by a Deployment, of which nothing is kept.
func askDeployment(t *testing.T, q *golden.Question, ns, name string) {
	t.Helper()
	labels := map[string]string{goldenLabel: "yes"}
	got := create(t, func(client kubernetes.Interface) (string, error) {
		made, err := client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: q.Image}}},
			}},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return "", err
		}
		return made.Spec.Template.Spec.Containers[0].Image, nil
	})
	holdSeen(t, q, "Deployment", got)
	if got.err == nil && got.image != q.Image {
		t.Errorf("the Deployment's image is %s, and was written %s", got.image, q.Image)
	}
}

// holdSeen holds what the user sees to the table.
func holdSeen(t *testing.T, q *golden.Question, kind string, got seen) {
	t.Helper()
	if allowed := got.err == nil; allowed != q.Allowed {
		t.Errorf("%s: let in: %t, want %t: %v", kind, allowed, q.Allowed, got.err)
		return
	}
	if got.err != nil {
		holdDenial(t, q, kind, got.err)
		return
	}
	warning := ""
	switch {
	case q.Exception != "":
		warning = ": " + q.Exception
	case q.Outcome == "admit" || q.Mode == "audit":
	case q.Outcome == "deny":
		warning = "would be denied: [" + q.Code + "]"
	default:
		warning = "could not be checked: [" + q.Code + "]"
	}
	switch {
	case warning == "" && len(got.warnings) > 0:
		t.Errorf("%s: warnings %q", kind, got.warnings)
	case warning != "" && (len(got.warnings) != 1 || !strings.Contains(got.warnings[0], warning)):
		t.Errorf("%s: warnings %q, want one with %q", kind, got.warnings, warning)
	}
}

// holdDenial: 403 says no and 503 that it could not be checked, in one line.
// What came by a tag that nobody pins is told why it would not be let in by its
// digest either, or that nobody pinned it.
func holdDenial(t *testing.T, q *golden.Question, kind string, err *apierrors.StatusError) {
	t.Helper()
	status := err.Status()
	tagged := !q.Pins && !strings.Contains(q.Image, "@") && kind == "Pod"
	want := map[string]int32{"deny": http.StatusForbidden, "undecided": http.StatusServiceUnavailable}[q.Outcome]
	if status.Code != want && !(tagged && status.Code == http.StatusServiceUnavailable) {
		t.Errorf("%s: status %d %s, want %d", kind, status.Code, status.Reason, want)
	}
	const says = `admission webhook "golden-validate.shuin.test" denied the request: `
	line, ok := strings.CutPrefix(status.Message, says)
	if !ok {
		t.Errorf("%s: %q", kind, status.Message)
	}
	if !tagged {
		q.HoldLine(t, kind, line)
	} else if !strings.Contains(line, q.Image) || !strings.Contains(line, "let in by its digest") && !strings.Contains(line, "[") {
		t.Errorf("%s: %q", kind, line)
	}
}
