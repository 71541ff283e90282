package kube_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// policyOfSize is a policy of about so many bytes that makes as much of each as a
// policy can: rules, short ones.
func policyOfSize(size int) string {
	var b strings.Builder
	b.WriteString("apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages: {b: {signers: [{identities: [\"x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci\"], trustStores: [\"signingAuthority:aws-signer-ts\"]}]}}\nrules:\n")
	for i := 0; i < limits.PolicyRules && b.Len() < size-80; i++ {
		fmt.Fprintf(&b, "- {name: r%d, match: {images: [r.example/%d]}, require: {all: [b]}}\n", i, i)
	}
	for b.Len() < size-81 {
		b.WriteString("#" + strings.Repeat("-", min(size-b.Len()-2, 200)) + "\n")
	}
	return b.String()
}

// BenchmarkNamespacePolicies is the memory of the policies of all namespaces at
// their bound, each as large as it may be, and many small ones; with what the
// fake API server keeps of their text, which is measured apart.
func BenchmarkNamespacePolicies(b *testing.B) {
	for _, each := range []int{limits.KubeNamespacePolicyBytes, 2 << 10} {
		b.Run(fmt.Sprintf("each=%dKiB", each>>10), func(b *testing.B) {
			core := fake.NewClientset()
			text := policyOfSize(each - 20)
			n := limits.KubeNamespacePolicyBytesAll / each
			for i := range n {
				if err := core.Tracker().Add(configMap(fmt.Sprintf("ns-%d", i), kube.NamespacePolicyName, 1, map[string]string{kube.NamespacePolicyKey: strings.Clone(text)})); err != nil {
					b.Fatal(err)
				}
			}
			before := live()
			spaces := &kube.NamespacePolicies{Own: "shuin", Log: silent(), Make: func(ctx context.Context, p *pipeline.Policy, own kube.Stores) (*gate.Rules, error) {
				return gate.NewRules(ctx, p, own)
			}}
			begun := time.Now()
			spaces.Watch(core)
			started(b, spaces.Run)
			for !spaces.Synced() {
				time.Sleep(10 * time.Millisecond)
			}
			took := time.Since(begun)
			for i := range n {
				if rules, err := spaces.Of(fmt.Sprintf("ns-%d", i)); rules == nil || err != nil {
					b.Fatalf("%d: %v, %v", i, rules, err)
				}
			}
			for b.Loop() { // it is measured once
			}
			held := live() - before
			b.ReportMetric(float64(held)/1e6, "held-MB")
			b.ReportMetric(float64(n), "policies")
			b.ReportMetric(float64(held)/float64(limits.KubeNamespacePolicyBytesAll), "x-text")
			b.ReportMetric(took.Seconds(), "read-s")
			b.ReportMetric(0, "ns/op")
			runtime.KeepAlive(core)
		})
	}
}

// live is what the heap holds after a collection.
func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
