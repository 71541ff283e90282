package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
)

// hotfix lets badImage into the namespace shop for an hour.
func hotfix() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "shuin.dev/v1alpha1", "kind": "PolicyException", "metadata": map[string]any{"name": "hotfix", "namespace": "shop", "uid": "1", "generation": int64(1)},
		"spec": map[string]any{"images": []any{badImage}, "reason": "INC-1", "owner": "sre@example.com", "expires": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
	}}
}

// lets waits until the gate answers so about an image in a namespace.
func lets(t *testing.T, g *gatePart, namespace, image string, want bool) {
	t.Helper()
	soon(t, func() error {
		if a := review(t, g, "/k8s/validate", namespace, image); a.Response.Allowed != want {
			return fmt.Errorf("%s in %s: %+v", image, namespace, a)
		}
		return nil
	})
}

func TestAPolicyOfANamespaceSharesTheExceptionsThatAreInUse(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	b.configMap(t, "shop", kube.NamespacePolicyName, kube.NamespacePolicyKey, gatePolicy("own"))
	soon(t, func() error {
		if rules, err := g.kube.spaces.Of("shop"); rules == nil || err != nil {
			return fmt.Errorf("rules %v, %v", rules, err)
		}
		return nil
	})
	lets(t, g, "shop", badImage, false)
	all := b.dyn.Resource(kube.PolicyExceptionResource).Namespace("shop")
	if _, err := all.Create(t.Context(), hotfix(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	lets(t, g, "shop", badImage, true)
	rules, err := g.kube.spaces.Of("shop")
	if err != nil {
		t.Fatal(err)
	}
	if own := rules.Policy(); own.WithExceptionsOf(g.gate.Rules().Policy()) != own {
		t.Error("the policy of the namespace has its exceptions for itself")
	}
	if err := all.Delete(t.Context(), "hotfix", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	lets(t, g, "shop", badImage, false)
}

func TestAPolicyOfANamespaceThatChangesOrGoesIsToldAndSwept(t *testing.T) {
	b := newClusterBench(t)
	g := b.part(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.kube.spaces.Run(ctx) }() // nobody sweeps: what is asked for stays
	defer func() { cancel(); <-done }()
	soon(t, func() error {
		if !g.kube.spaces.Synced() {
			return fmt.Errorf("not synced")
		}
		return nil
	})
	<-g.kube.sweeps // for the first rules
	told := func(reason string, times int32) {
		t.Helper()
		select {
		case <-g.kube.sweeps:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no sweep is asked for", reason)
		}
		soon(t, func() error {
			events, err := b.core.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			for _, e := range events.Items {
				if e.Reason == reason && e.InvolvedObject.Name == kube.NamespacePolicyName && e.Count == times {
					return nil
				}
			}
			return fmt.Errorf("%s: %+v", reason, events.Items)
		})
	}
	b.configMap(t, "shop", kube.NamespacePolicyName, kube.NamespacePolicyKey, gatePolicy("first"))
	told(eventSpaceInUse, 1)
	b.configMap(t, "shop", kube.NamespacePolicyName, kube.NamespacePolicyKey, gatePolicy("second"))
	told(eventSpaceInUse, 2)
	if err := b.core.CoreV1().ConfigMaps("shop").Delete(t.Context(), kube.NamespacePolicyName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	told(eventSpaceGone, 1)
}

func TestANamespacesFirstPolicyCountsWhileTheClustersIsBroken(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	b.configMap(t, "shuin-system", "trust", "ca.other.pem", "nonsense")
	soon(t, func() error {
		if !strings.Contains(b.log(), "the old ones stay in use") {
			return fmt.Errorf("log: %s", b.log())
		}
		return nil
	})
	b.configMap(t, "shop", kube.NamespacePolicyName, kube.NamespacePolicyKey, strings.Replace(gatePolicy("own"), "registry.example/open/**", "registry.example/open/app", 1))
	soon(t, func() error {
		rules, err := g.kube.spaces.Of("shop")
		if rules == nil || err != nil {
			return fmt.Errorf("rules %v, %v", rules, err)
		}
		return nil
	})
	lets(t, g, "shop", openImage, true)
}

func TestPolicyAndTrustInTwoObjectsAreTakenOverTogether(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		trust        kubernetesTrustConfig
		waits        bool
	}{
		{"a ConfigMap for each", "policy", kubernetesTrustConfig{ConfigMap: "trust"}, true},
		{"a ConfigMap and a Secret", "policy", kubernetesTrustConfig{Secret: "trust"}, true},
		{"a ConfigMap and a Secret of one name", "same", kubernetesTrustConfig{Secret: "same"}, true},
		{"one ConfigMap", "same", kubernetesTrustConfig{ConfigMap: "same"}, false},
		{"the trust stores are files", "policy", kubernetesTrustConfig{}, false},
		{"the policy is a file", "", kubernetesTrustConfig{ConfigMap: "trust"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kubePart{c: &kubernetesConfig{Trust: c.trust}, told: make(chan struct{}, 1)}
				k.c.Policy.ConfigMap = c.policy
				began := time.Now()
				go func() {
					time.Sleep(limits.KubePairPause / 2)
					nudge(k.told) // the other of the two
				}()
				k.settle(t.Context())
				if waited := time.Since(began); waited != map[bool]time.Duration{true: 3 * limits.KubePairPause / 2}[c.waits] {
					t.Errorf("it waited %v", waited)
				}
				time.Sleep(2 * limits.KubePairPause)
				if more := len(k.told) > 0; more == c.waits {
					t.Errorf("it is looked at again: %t", more)
				}
			})
		})
	}
}

func TestWhoeverChangesThingsWithoutEndHoldsNoPolicyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kubePart{c: &kubernetesConfig{Trust: kubernetesTrustConfig{ConfigMap: "trust"}}, told: make(chan struct{}, 1)}
		k.c.Policy.ConfigMap = "policy"
		ctx, cancel := context.WithCancel(t.Context())
		var changes sync.WaitGroup
		changes.Go(func() {
			for ctx.Err() == nil {
				nudge(k.told)
				time.Sleep(limits.KubePairPause / 2)
			}
		})
		began := time.Now()
		k.settle(t.Context())
		if waited := time.Since(began); waited != limits.KubePairMost {
			t.Errorf("it waited %v", waited)
		}
		cancel()
		changes.Wait() // no time passes once the test has returned
	})
}

func TestExceptionsBeginAndEndAlsoWhileTheClustersPolicyIsBroken(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	b.configMap(t, "shuin-system", "trust", "ca.other.pem", "nonsense")
	soon(t, func() error {
		if !strings.Contains(b.log(), "the old ones stay in use") {
			return fmt.Errorf("log: %s", b.log())
		}
		return nil
	})
	lets(t, g, "shop", badImage, false)
	policy := g.gate.Rules().Policy().Digest()
	all := b.dyn.Resource(kube.PolicyExceptionResource).Namespace("shop")
	if _, err := all.Create(t.Context(), hotfix(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	lets(t, g, "shop", badImage, true)
	if g.gate.Rules().Policy().Digest() != policy {
		t.Error("another policy is in use")
	}
	if err := all.Delete(t.Context(), "hotfix", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	lets(t, g, "shop", badImage, false)
}

func TestExceptionsBeginAndEndAlsoWhileTheNamespacesPolicyIsBroken(t *testing.T) {
	for name, broken := range map[string]string{
		"no policy":                         "nonsense",
		"a store that the cluster has none": strings.ReplaceAll(gatePolicy("own"), "ca:ci", "ca:nowhere"),
	} {
		t.Run(name, func(t *testing.T) {
			if broken == gatePolicy("own") {
				t.Fatal("nothing is broken")
			}
			b := newClusterBench(t)
			g := b.running(t)
			state := func(fault bool) {
				t.Helper()
				soon(t, func() error {
					if rules, err := g.kube.spaces.Of("shop"); rules == nil || (err != nil) != fault {
						return fmt.Errorf("rules %v, %v", rules, err)
					}
					return nil
				})
			}
			b.configMap(t, "shop", kube.NamespacePolicyName, kube.NamespacePolicyKey, gatePolicy("own"))
			state(false)
			b.configMap(t, "shop", kube.NamespacePolicyName, kube.NamespacePolicyKey, broken)
			state(true)
			lets(t, g, "shop", badImage, false)
			all := b.dyn.Resource(kube.PolicyExceptionResource).Namespace("shop")
			if _, err := all.Create(t.Context(), hotfix(), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			lets(t, g, "shop", badImage, true)
			state(true)
			if err := all.Delete(t.Context(), "hotfix", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			lets(t, g, "shop", badImage, false)
		})
	}
}
