package kube_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// reporting is a cluster that takes reports, and what was applied to it.
type reporting struct {
	core    *fake.Clientset
	client  *dynamicfake.FakeDynamicClient
	reports *kube.Reports
	log     *strings.Builder
	applied map[string]map[string]any // by namespace, the last one
	writes  int
	fail    func(namespace string) error
}

func newReporting(served bool, old ...runtime.Object) *reporting {
	r := &reporting{core: fake.NewClientset(), client: dynamicClient(old...), log: &strings.Builder{}, applied: map[string]map[string]any{}}
	if served {
		r.core.Resources = []*metav1.APIResourceList{{GroupVersion: "wgpolicyk8s.io/v1alpha2", APIResources: []metav1.APIResource{{Name: "policyreports", Namespaced: true, Kind: "PolicyReport"}}}}
	}
	r.client.PrependReactor("patch", "policyreports", func(action k8stesting.Action) (bool, runtime.Object, error) {
		a := action.(k8stesting.PatchActionImpl)
		if r.fail != nil {
			if err := r.fail(a.GetNamespace()); err != nil {
				return true, nil, err
			}
		}
		if a.GetPatchType() != types.ApplyPatchType || a.GetName() != "shuin" || a.PatchOptions.FieldManager != "shuin" || a.PatchOptions.Force == nil || !*a.PatchOptions.Force {
			return true, nil, fmt.Errorf("a %s of %s by %s", a.GetPatchType(), a.GetName(), a.PatchOptions.FieldManager)
		}
		var u map[string]any
		if err := json.Unmarshal(a.GetPatch(), &u); err != nil {
			return true, nil, err
		}
		r.applied[a.GetNamespace()], r.writes = u, r.writes+1
		return true, &unstructured.Unstructured{Object: u}, nil
	})
	r.reports = &kube.Reports{Discovery: r.core.Discovery(), Dynamic: r.client, Log: slog.New(slog.NewTextHandler(r.log, nil))}
	return r
}

func (r *reporting) deleted() (out []string) {
	for _, a := range r.client.Actions() {
		if a.GetVerb() == "delete" {
			out = append(out, a.GetNamespace())
		}
	}
	return out
}

func judged(namespace, owner string, images ...gate.ImageVerdict) kube.Judged {
	g := &kube.PodGroup{Namespace: namespace, Owner: kube.Object{Kind: "Deployment", Name: owner}, Count: 7, Examples: []kube.PodName{{Name: owner + "-1", UID: "u1"}, {Name: owner + "-2"}}}
	return kube.Judged{Group: g, Verdict: &gate.Verdict{Policy: one, Images: images}}
}

func TestEveryAnswerIsAResultOfTheReport(t *testing.T) {
	refused := &shuin.Error{Code: shuin.CodeStageMissing, Message: "missing stages: scan\x1b[2J\n(no seal)", Hint: "seal it"}
	image := func(outcome pipeline.Outcome, mode pipeline.Mode, rule string, err error, e *pipeline.Exception) gate.ImageVerdict {
		return gate.ImageVerdict{Image: gate.Image{Name: "app", Written: "reg.example/web:1", Running: two}, Outcome: outcome, Mode: mode, Rule: rule, Err: err, Exception: e, Pinned: "reg.example/web@" + one.String()}
	}
	hotfix := &pipeline.Exception{Name: "PolicyException shop/hotfix", Reason: "INC-1", Owner: "sre", Expires: june}
	r := newReporting(true)
	if err := r.reports.Write(t.Context(), []kube.Judged{
		judged("shop", "web",
			image(pipeline.Admit, 0, "prod", nil, nil), image(pipeline.Admit, 0, "", nil, nil), image(pipeline.Admit, 0, "prod", nil, hotfix),
			image(pipeline.Deny, pipeline.Enforce, "prod", refused, nil), image(pipeline.Deny, pipeline.Warn, "prod", refused, nil), image(pipeline.Deny, pipeline.Audit, "", refused, nil)),
		judged("shop", "api", image(pipeline.Undecided, pipeline.Enforce, "prod", &shuin.Error{Code: shuin.CodeThrottled, Message: "slow"}, nil)),
	}, true, june); err != nil {
		t.Fatal(err)
	}
	report := r.applied["shop"]
	if diff := cmp.Diff(map[string]any{"pass": 1., "skip": 2., "fail": 1., "warn": 2., "error": 1.}, report["summary"]); diff != "" {
		t.Error(diff)
	}
	if report["apiVersion"] != "wgpolicyk8s.io/v1alpha2" || report["kind"] != "PolicyReport" || !cmp.Equal(report["metadata"], any(map[string]any{"name": "shuin", "namespace": "shop", "labels": map[string]any{"app.kubernetes.io/managed-by": "shuin"}})) {
		t.Errorf("%v %v %v", report["apiVersion"], report["kind"], report["metadata"])
	}
	results, _ := report["results"].([]any)
	var got []string
	for _, x := range results {
		m := x.(map[string]any)
		got = append(got, fmt.Sprint(m["result"], "|", m["severity"], "|", m["rule"], "|", m["message"]))
	}
	want := []string{
		"fail|high|prod|missing stages: scan [2J (no seal): seal it",
		"error|medium|prod|slow",
		"warn|medium|prod|missing stages: scan [2J (no seal): seal it",
		"warn|low|default|missing stages: scan [2J (no seal): seal it",
		"skip|info|default|admitted, since no rule matches it",
		"skip|info|prod|admitted by PolicyException shop/hotfix until 2026-06-01T12:00:00Z: INC-1 (sre)",
		"pass|info|prod|admitted by rule prod",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	first := results[0].(map[string]any)
	if diff := cmp.Diff(map[string]any{
		"image": "reg.example/web:1", "container": "app", "digest": one.String(), "running": two.String(), "code": "stage-missing", "outcome": "deny", "mode": "enforce",
		"policy": one.String(), "pods": "7", "owner": "Deployment/web",
	}, first["properties"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{
		map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u1"}, map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web-2"},
	}, first["resources"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"seconds": float64(june.Unix()), "nanos": 0.}, first["timestamp"]); diff != "" {
		t.Error(diff)
	}
}

func TestReportsAreWrittenWhereSomethingChangedAndRemovedWhereNothingRuns(t *testing.T) {
	old := func(namespace, name string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport"}}
		u.SetNamespace(namespace)
		u.SetName(name)
		u.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "shuin"})
		return u
	}
	others := old("kyverno", "shuin")
	others.SetLabels(nil)
	r := newReporting(true, old("gone", "shuin"), old("shop", "shuin"), old("copy", "other"), others)
	shop, bank := judged("shop", "web", gate.ImageVerdict{Outcome: pipeline.Admit, Rule: "prod"}), judged("bank", "web", gate.ImageVerdict{Outcome: pipeline.Admit, Rule: "prod"})
	write := func(whole bool, at time.Time, judged ...kube.Judged) {
		t.Helper()
		if err := r.reports.Write(t.Context(), judged, whole, at); err != nil {
			t.Fatal(err)
		}
	}
	write(false, june, shop, bank)
	if r.writes != 2 || len(r.deleted()) != 0 {
		t.Errorf("%d writes, deleted in %v, though not all that runs was seen", r.writes, r.deleted())
	}
	write(true, june, shop, kube.Judged{Group: bank.Group})
	if r.writes != 2 || len(r.deleted()) != 0 {
		t.Errorf("%d writes, deleted in %v, though one group was not decided", r.writes, r.deleted())
	}
	write(true, june, shop, bank)
	if !slices.Equal(r.deleted(), []string{"gone"}) {
		t.Errorf("deleted in %v", r.deleted())
	}
	write(true, june.Add(time.Minute), shop, bank)
	if r.writes != 2 {
		t.Errorf("%d writes of what did not change", r.writes)
	}
	shop.Verdict.Images[0].Rule = "other"
	write(true, june.Add(2*time.Minute), shop, bank)
	if r.writes != 3 {
		t.Errorf("%d writes after a change", r.writes)
	}
	write(true, june.Add(2*limits.KubeReportAgain), shop)
	if r.writes != 4 || !slices.Equal(r.deleted(), []string{"gone", "bank"}) {
		t.Errorf("%d writes, deleted in %v", r.writes, r.deleted())
	}
}

func TestAReportIsBoundedAndCountsAll(t *testing.T) {
	r := newReporting(true)
	var images []gate.ImageVerdict
	for i := range 3000 {
		images = append(images, gate.ImageVerdict{Outcome: pipeline.Admit, Rule: "prod", Image: gate.Image{Written: fmt.Sprintf("reg.example/%d", i)}})
	}
	bad := gate.ImageVerdict{Outcome: pipeline.Deny, Rule: "prod", Err: errors.New(strings.Repeat("朱", 4000)), Image: gate.Image{Name: strings.Repeat("x", 5000), Written: strings.Repeat("y", 5000)}}
	if err := r.reports.Write(t.Context(), []kube.Judged{judged("shop", "web", append(images, bad)...)}, true, june); err != nil {
		t.Fatal(err)
	}
	report := r.applied["shop"]
	results, _ := report["results"].([]any)
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	summary, _ := report["summary"].(map[string]any)
	if len(results) != limits.KubeReportResults || summary["pass"] != 3000. || summary["fail"] != 1. || len(text) > limits.KubeReportBytes+64<<10 {
		t.Errorf("%d results, %v, %d bytes", len(results), summary, len(text))
	}
	first, _ := results[0].(map[string]any)
	message, _ := first["message"].(string)
	if first["result"] != "fail" || len(message) > limits.KubeReportMessageBytes || !strings.HasSuffix(message, "朱…") {
		t.Errorf("the first is %v", first)
	}
	metadata, _ := report["metadata"].(map[string]any)
	if !cmp.Equal(metadata["annotations"], any(map[string]any{"shuin.dev/results-left-out": "2001"})) {
		t.Errorf("%v", metadata)
	}
}

func TestWithoutTheKindNothingIsWrittenAndItIsToldOnce(t *testing.T) {
	r := newReporting(false)
	shop := judged("shop", "web", gate.ImageVerdict{Outcome: pipeline.Admit})
	for i := range 3 {
		if err := r.reports.Write(t.Context(), []kube.Judged{shop}, true, june.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if r.writes != 0 || strings.Count(r.log.String(), "no PolicyReports are written") != 1 {
		t.Errorf("%d writes; %s", r.writes, r.log)
	}
	r.core.Resources = []*metav1.APIResourceList{{GroupVersion: "wgpolicyk8s.io/v1alpha2", APIResources: []metav1.APIResource{{Name: "policyreports"}}}}
	if err := r.reports.Write(t.Context(), []kube.Judged{shop}, true, june.Add(3*time.Hour)); err != nil || r.writes != 1 {
		t.Errorf("%d writes, once the kind is there: %v", r.writes, err)
	}
}

func TestOneNamespaceThatFailsDoesNotKeepTheOthersReports(t *testing.T) {
	resource := kube.ReportResource.GroupResource()
	ending := apierrors.NewForbidden(resource, "shuin", errors.New("the namespace is being terminated"))
	ending.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for _, c := range []struct {
		name  string
		err   error
		code  shuin.Code
		wrote []string
	}{
		{"broken", apierrors.NewInternalError(errors.New("etcd")), shuin.CodeUnavailable, []string{"a", "c"}},
		{"a namespace that ends", ending, "", []string{"a", "c"}},
		{"a namespace that is gone", apierrors.NewNotFound(corev1.Resource("namespaces"), "b"), "", []string{"a", "c"}},
		{"no permission", apierrors.NewForbidden(resource, "shuin", errors.New("no")), shuin.CodeForbidden, []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReporting(true)
			r.fail = func(namespace string) error {
				if namespace == "b" {
					return c.err
				}
				return nil
			}
			ok := gate.ImageVerdict{Outcome: pipeline.Admit}
			err := r.reports.Write(t.Context(), []kube.Judged{judged("a", "x", ok), judged("b", "x", ok), judged("c", "x", ok)}, true, june)
			if got := slices.Sorted(maps.Keys(r.applied)); shuin.CodeOf(err) != c.code || !slices.Equal(got, c.wrote) {
				t.Errorf("wrote %v, %v", got, err)
			}
		})
	}
}
