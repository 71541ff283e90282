package kube_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
)

var june = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// policyException is an object as the API server gives it.
func policyException(namespace, name string, generation int64, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "shuin.dev/v1alpha1", "kind": "PolicyException"}}
	if spec != nil {
		u.Object["spec"] = spec
	}
	u.SetNamespace(namespace)
	u.SetName(name)
	u.SetUID(types.UID(namespace + "/" + name))
	u.SetGeneration(generation)
	u.SetCreationTimestamp(metav1.NewTime(june.Add(-time.Hour)))
	return u
}

// excepting is the spec of a good one.
func excepting(images ...any) map[string]any {
	return map[string]any{"images": images, "reason": "INC-4711", "owner": "sre@example.com", "expires": "2026-06-02T00:00:00Z"}
}

// with is a spec with one member more, or another.
func with(spec map[string]any, key string, value any) map[string]any {
	out := map[string]any{}
	for k, v := range spec {
		out[k] = v
	}
	if out[key] = value; value == nil {
		delete(out, key)
	}
	return out
}

func dynamicClient(objects ...runtime.Object) *dynamicfake.FakeDynamicClient {
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		kube.PolicyExceptionResource: "PolicyExceptionList", kube.ReportResource: "PolicyReportList",
	}, objects...)
}

func exceptionsOf(t *testing.T, client *dynamicfake.FakeDynamicClient, clock *shuintest.Clock) *kube.Exceptions {
	e := &kube.Exceptions{Own: "shuin", Now: clock.Now, Log: silent()}
	e.Watch(client)
	started(t, e.Run)
	return e
}

func clockAt(at time.Time) *shuintest.Clock {
	c := &shuintest.Clock{}
	c.Set(at)
	return c
}

func TestAPolicyExceptionKeepsTheRulesOfThePolicysOwn(t *testing.T) {
	good := excepting("r.io/a/*")
	for _, c := range []struct {
		name, namespace string
		spec            map[string]any
		reason, message string
	}{
		{"a good one of the gate's namespace", "shuin", good, kube.ExceptionInForce, "1 images are admitted in every namespace until 2026-06-02T00:00:00Z"},
		{"one for other namespaces there", "shuin", with(good, "namespaces", []any{"shop", "team-*"}), kube.ExceptionInForce, "in namespaces shop, team-* until"},
		{"a good one elsewhere", "shop", good, kube.ExceptionInForce, "in namespaces shop until"},
		{"one that names its own namespace", "shop", with(good, "namespaces", []any{"shop"}), kube.ExceptionInForce, "in namespaces shop until"},
		{"one that names another", "shop", with(good, "namespaces", []any{"shop", "bank"}), kube.ExceptionInvalid, `spec.namespaces: "bank" is another namespace than its own: one for other namespaces has to be made in namespace shuin`},
		{"one that names all", "shop", with(good, "namespaces", []any{"*"}), kube.ExceptionInvalid, "is another namespace"},
		{"one that expired", "shop", with(good, "expires", "2026-06-01T12:00:00Z"), kube.ExceptionExpired, "expired at 2026-06-01T12:00:00Z"},
		{"one without a spec", "shop", nil, kube.ExceptionInvalid, "it has no spec"},
		{"one without images", "shop", with(good, "images", nil), kube.ExceptionInvalid, "spec: images are missing"},
		{"one with a tag", "shop", excepting("r.io/a:1"), kube.ExceptionInvalid, "spec.images[0]: "},
		{"one without an owner", "shop", with(good, "owner", nil), kube.ExceptionInvalid, "spec: the owner of an exception"},
		{"one without an end", "shop", with(good, "expires", nil), kube.ExceptionInvalid, "spec: the end of an exception"},
		{"one whose end is a day", "shop", with(good, "expires", "2026-06-02"), kube.ExceptionInvalid, "spec.expires: "},
		{"one with a member that is not known", "shop", with(good, "image", "x"), kube.ExceptionInvalid, `unknown key "image"`},
		{"one with a number as reason", "shop", with(good, "reason", int64(4711)), kube.ExceptionInvalid, "spec.reason: "},
		{"one with a line break", "shop", with(good, "reason", "a\nb"), kube.ExceptionInvalid, "spec.reason: "},
		{"one that is too long", "shop", with(good, "reason", strings.Repeat("x", limits.KubeExceptionBytes)), kube.ExceptionInvalid, "limit KubeExceptionBytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := dynamicClient(policyException(c.namespace, "one", 1, c.spec))
			e := exceptionsOf(t, client, clockAt(june))
			await(t, "synced", e.Synced)
			standings := e.Standings()
			if len(standings) != 1 || standings[0].Reason != c.reason || !strings.Contains(standings[0].Message, c.message) || strings.Contains(standings[0].Message, "\n") {
				t.Fatalf("%+v", standings)
			}
			if n := len(e.Additions()); (n == 1) != (c.reason != kube.ExceptionInvalid) {
				t.Errorf("%d count", n)
			}
			if err := e.WriteStatus(t.Context()); err != nil {
				t.Fatal(err)
			}
			u, err := client.Resource(kube.PolicyExceptionResource).Namespace(c.namespace).Get(t.Context(), "one", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
			want := map[string]any{
				"type": "Accepted", "status": map[bool]string{true: "True", false: "False"}[c.reason == kube.ExceptionInForce], "reason": c.reason,
				"message": standings[0].Message, "observedGeneration": int64(1), "lastTransitionTime": "2026-06-01T12:00:00Z",
			}
			if len(conditions) != 1 || !cmp.Equal(conditions[0], any(want)) {
				t.Errorf("%v", conditions)
			}
		})
	}
}

func TestExceptionsComeChangeExpireAndGo(t *testing.T) {
	client, clock := dynamicClient(), clockAt(june)
	e := exceptionsOf(t, client, clock)
	await(t, "synced", e.Synced)
	p, err := pipeline.Parse([]byte("apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules: [{name: r, match: {images: [\"x.io/**\"]}, allow: {unsigned: true, because: x}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	admits := func(repository, namespace string) string {
		with, err := p.WithExceptions(e.Additions())
		if err != nil {
			t.Fatal(err)
		}
		s := with.Select(pipeline.Question{Repository: repository, Where: pipeline.Where{Namespace: namespace}, Now: clock.Now()})
		if s.Exception == nil {
			return ""
		}
		return s.Exception.Name
	}
	exceptions := client.Resource(kube.PolicyExceptionResource)
	if _, err := exceptions.Namespace("shop").Create(t.Context(), policyException("shop", "hotfix", 1, excepting("r.io/a/b")), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.Changed():
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is told")
	}
	if admits("r.io/a/b", "shop") != "PolicyException shop/hotfix" || admits("r.io/a/b", "bank") != "" || admits("r.io/a/c", "shop") != "" {
		t.Error("the exception holds elsewhere, or not at all")
	}
	if _, err := exceptions.Namespace("shop").Update(t.Context(), policyException("shop", "hotfix", 2, excepting("r.io/a/c")), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the changed one", func() bool { return admits("r.io/a/c", "shop") != "" && admits("r.io/a/b", "shop") == "" })
	if err := e.WriteStatus(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := func() (text string) {
		u, err := exceptions.Namespace("shop").Get(t.Context(), "hotfix", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, c := range list {
			m, _ := c.(map[string]any)
			text += fmt.Sprint(m["reason"], " ", m["lastTransitionTime"])
		}
		return text
	}
	if got := status(); got != "InForce 2026-06-01T12:00:00Z" {
		t.Errorf("status %s", got)
	}
	patches := func() (n int) {
		for _, a := range client.Actions() {
			if a.GetVerb() == "patch" {
				n++
			}
		}
		return n
	}
	before := patches()
	clock.Advance(time.Hour)
	await(t, "no second status", func() bool {
		if err := e.WriteStatus(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := patches()
		ok := n == before
		before = n
		return ok
	})
	clock.Set(time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC))
	if admits("r.io/a/c", "shop") != "" {
		t.Error("it is in force after its end")
	}
	if err := e.WriteStatus(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != "Expired 2026-06-02T00:00:00Z" {
		t.Errorf("status %s", got)
	}
	if err := exceptions.Namespace("shop").Delete(t.Context(), "hotfix", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "none", func() bool { return len(e.Additions()) == 0 && len(e.Standings()) == 0 })
}

func TestNobodyDrivesOutOlderExceptionsByMakingMore(t *testing.T) {
	objects := []runtime.Object{}
	for i := range limits.KubeExceptionsOfNamespace + 5 {
		spec := excepting(fmt.Sprintf("r.io/a/e%d", i))
		if i >= limits.KubeExceptionsOfNamespace+3 {
			spec["expires"] = "2026-06-01T18:00:00Z"
		}
		u := policyException("shop", fmt.Sprintf("e%03d", i), 1, spec)
		u.SetCreationTimestamp(metav1.NewTime(june.Add(-time.Duration(i) * time.Minute))) // the last is the oldest
		objects = append(objects, u)
	}
	over := policyException("shop", "over", 1, with(excepting("r.io/a/over"), "expires", "2026-01-01T00:00:00Z"))
	over.SetCreationTimestamp(metav1.NewTime(june.Add(-1000 * time.Hour)))
	objects = append(objects, over, policyException("shuin", "own", 1, excepting("r.io/own")))
	clock := clockAt(june)
	e := exceptionsOf(t, dynamicClient(objects...), clock)
	await(t, "synced", e.Synced)
	if out, want := tooMany(e), []string{"e000", "e001", "e002", "e003", "e004"}; !slices.Equal(out, want) {
		t.Errorf("left out are %v, want %v", out, want)
	}
	if n := len(e.Additions()); n != limits.KubeExceptionsOfNamespace+1 {
		t.Errorf("%d count", n)
	}
	<-e.Changed()
	// The two oldest end, and nobody touches an object: the oldest that waited count.
	clock.Set(time.Date(2026, 6, 1, 18, 0, 0, 0, time.UTC))
	select {
	case <-e.Changed():
	case <-time.After(30 * time.Second):
		t.Fatal("what was left out is left out when those that it waited for have ended")
	}
	if out, want := tooMany(e), []string{"e000", "e001", "e002"}; !slices.Equal(out, want) {
		t.Errorf("left out afterwards are %v, want %v", out, want)
	}
}

// tooMany are those that are left out.
func tooMany(e *kube.Exceptions) (names []string) {
	for _, s := range e.Standings() {
		if s.Reason == kube.ExceptionTooMany {
			names = append(names, s.Name)
		}
	}
	return names
}

func TestOneNamespaceDoesNotTakeTheRoomForImagesOfAll(t *testing.T) {
	each := limits.KubeExceptionImages
	objects := []runtime.Object{}
	for i := range limits.PolicyExceptions/each + 1 {
		images := make([]any, each)
		for k := range images {
			images[k] = fmt.Sprintf("r.io/n%d/x%d", i, k)
		}
		for namespace, age := range map[string]time.Duration{"greedy": 2 * time.Hour, "other": time.Hour} {
			u := policyException(namespace, fmt.Sprintf("%s-%02d", namespace, i), 1, excepting(images...))
			u.SetCreationTimestamp(metav1.NewTime(june.Add(-age)))
			objects = append(objects, u)
		}
	}
	hotfix := policyException("shop", "hotfix", 1, excepting("r.io/hotfix"))
	hotfix.SetCreationTimestamp(metav1.NewTime(june))
	e := exceptionsOf(t, dynamicClient(append(objects, hotfix)...), clockAt(june))
	await(t, "synced", e.Synced)
	count := map[string]int{}
	for _, s := range e.Standings() {
		if s.Reason == kube.ExceptionInForce {
			count[s.Namespace]++
		}
	}
	fits := limits.KubeExceptionImagesOfNamespace / each
	if diff := cmp.Diff(map[string]int{"greedy": fits, "other": fits, "shop": 1}, count); diff != "" {
		t.Errorf("in force (-want +got): %s", diff)
	}
}

func TestAClusterWithoutTheKindHasNoExceptions(t *testing.T) {
	client := dynamicClient()
	gone := apierrors.NewNotFound(kube.PolicyExceptionResource.GroupResource(), "")
	client.PrependReactor("list", "policyexceptions", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, gone })
	client.PrependWatchReactor("policyexceptions", k8stesting.DefaultWatchReactor(nil, gone))
	e := exceptionsOf(t, client, clockAt(june))
	await(t, "synced", e.Synced)
	if e.Broken() != nil || len(e.Additions()) != 0 {
		t.Errorf("%v", e.Broken())
	}
	refused := dynamicClient()
	no := apierrors.NewForbidden(kube.PolicyExceptionResource.GroupResource(), "", errors.New("no"))
	refused.PrependReactor("list", "policyexceptions", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, no })
	refused.PrependWatchReactor("policyexceptions", k8stesting.DefaultWatchReactor(nil, no))
	e = exceptionsOf(t, refused, clockAt(june))
	await(t, "a refusal", func() bool { return e.Broken() != nil })
	if e.Synced() || shuin.CodeOf(e.Broken()) != shuin.CodeForbidden || !strings.Contains(shuin.HintOf(e.Broken()), "policyexceptions.shuin.dev in every namespace") {
		t.Errorf("%v: %s", e.Broken(), shuin.HintOf(e.Broken()))
	}
}
