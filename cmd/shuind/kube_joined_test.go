package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
)

func TestWhatIsRecordedIsWhatTheAPIServerWasTold(t *testing.T) {
	b := newClusterBench(t)
	g := b.running(t)
	b.configMap(t, "broken", kube.NamespacePolicyName, kube.NamespacePolicyKey, "nonsense")
	b.configMap(t, "strict", kube.NamespacePolicyName, kube.NamespacePolicyKey, strings.ReplaceAll(gatePolicy("strict"), "registry.example/open/**", "registry.example/elsewhere/**"))
	for _, namespace := range []string{"broken", "strict"} {
		soon(t, func() error {
			if review(t, g, "/k8s/validate", namespace, openImage).Response.Allowed {
				return errors.New("the policy of the namespace does not count yet")
			}
			return nil
		})
	}
	for namespace, want := range map[string]bool{"broken": false, "strict": false, "shop": true} {
		before, err := os.ReadFile(b.path("decisions.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if a := review(t, g, "/k8s/validate", namespace, openImage); a.Response.Allowed != want {
			t.Fatalf("%s: %+v", namespace, a)
		}
		after, err := os.ReadFile(b.path("decisions.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(after[len(before):]), []byte("\n"))
		var r decisionRecord
		if err := json.Unmarshal(lines[0], &r); err != nil || len(lines) != 1 || r.Allowed != want || r.Namespace != namespace {
			t.Errorf("%s: %d lines, %v: %s", namespace, len(lines), err, lines[0])
		}
	}
}

func TestASecretThatOneTenantBrokeHidesNothingFromSweeps(t *testing.T) {
	b := newClusterBench(t)
	b.write(t, "c.yaml", strings.Replace(clusterConfigText, "  exceptions: true", "  exceptions: true\n  pullSecrets: true", 1))
	junk := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: "junk"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"a":{"auth":"%%%"}}}`)}}
	if _, err := b.core.CoreV1().Secrets("tenant").Create(t.Context(), junk, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"shop", "tenant"} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p", UID: types.UID(ns)},
			Spec:       corev1.PodSpec{ImagePullSecrets: []corev1.LocalObjectReference{{Name: "junk"}}, Containers: []corev1.Container{{Name: "app", Image: badImage}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "app", ImageID: badImage}}},
		}
		if _, err := b.core.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.running(t)
	soon(t, func() error {
		for line := range strings.Lines(b.log()) {
			if strings.Contains(line, `"msg":"swept"`) && strings.Contains(line, `"pods":2`) {
				if !strings.Contains(line, `"result":"whole"`) || !strings.Contains(line, `"denied":1`) || !strings.Contains(line, `"undecided":1`) {
					t.Fatal(line)
				}
				return nil
			}
		}
		return fmt.Errorf("log: %s", b.log())
	})
}

func TestWhoeverChangesSomethingAllTheTimeHasNotAllThatRunsJudgedAllTheTime(t *testing.T) {
	for _, c := range []struct {
		name              string
		since, took, want time.Duration
	}{
		{"the first change for long counts soon", time.Hour, time.Second, limits.KubeSweepPause},
		{"one right after a sweep waits", 0, time.Second, limits.KubeSweepEveryLeast},
		{"what is left of that", 20 * time.Second, time.Second, limits.KubeSweepEveryLeast - 20*time.Second},
		{"a sweep that took long is not followed by another at once", time.Minute, 10 * time.Minute, 9 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := untilSweep(c.since, c.took); got != c.want {
				t.Errorf("it waits %v, want %v", got, c.want)
			}
		})
	}
}

func TestWhatWasToldOfIsForgottenAlsoWhereNoSweepIsWhole(t *testing.T) {
	s := &sweeper{told: map[string]string{"ran before": "denied"}}
	if s.tellPods(nil, false); len(s.told) != 1 {
		t.Error("what may run still is told of again")
	}
	for i := range limits.KubePodGroups {
		s.told[fmt.Sprint(i)] = "denied"
	}
	if s.tellPods(nil, false); len(s.told) != 0 {
		t.Errorf("%d groups that do not run are remembered", len(s.told))
	}
}

// A policy that is a file counts when it is seen twice alike. Whoever makes an
// exception just then has nobody take over one that is half written.
func TestAnExceptionHasNoPolicyLookedAt(t *testing.T) {
	b := newClusterBench(t)
	b.write(t, "c.yaml", strings.NewReplacer("  records:", "  policy: pipeline.yaml\n  trust: notation\n  records:",
		"  namespacePolicies: true\n", "", "  policy: {configMap: policy}\n", "", "  trust: {configMap: trust}\n", "").Replace(clusterConfigText))
	g := b.part(t)
	before := g.gate.Rules().Policy().Digest()
	b.write(t, "pipeline.yaml", gatePolicy("half-written"))
	if _, err := b.dyn.Resource(kube.PolicyExceptionResource).Namespace("shop").Create(t.Context(), hotfix(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-g.kube.excepted():
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is told")
	}
	g.takeExceptions()
	lets(t, g, "shop", badImage, true)
	if g.gate.Rules().Policy().Digest() != before || g.policyWatch.pending != "" {
		t.Error("the policy was looked at")
	}
	g.look(t.Context(), false)
	if g.gate.Rules().Policy().Digest() != before {
		t.Error("a policy is taken over that was seen once")
	}
	g.look(t.Context(), false)
	if g.gate.Rules().Policy().Digest() == before {
		t.Error("a policy that was seen twice is not taken over")
	}
	lets(t, g, "shop", badImage, true)
	if len(g.kube.told) > 0 {
		t.Error("an exception is told as a policy")
	}
}

func TestTheEndOfAnExceptionIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sweeper{k: &kubePart{g: &gatePart{now: time.Now}}}
		if s.ended() != nil {
			t.Error("without one")
		}
		began := time.Now()
		s.ends = began.Add(time.Hour)
		<-s.ended()
		if waited := time.Since(began); waited != time.Hour {
			t.Errorf("it waited %v", waited)
		}
		<-s.ended() // it is over: a sweep that failed is tried again
	})
}
