//go:build e2e

package kube

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/shuin/shuin/test/kube/cluster"
)

// BenchmarkPods is what a validating webhook costs when it does nothing, per
// pod of two containers, against none in the same run: what a gate's own cost
// is to be told apart from.
func BenchmarkPods(b *testing.B) {
	place := shared.WebhookProcess(b)
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			load := cluster.Load{Workers: workers, Pods: 100 * min(workers, 4), Pod: func(int) *corev1.Pod {
				return &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{
					{Name: "app", Image: "registry.example.com/app:1"}, {Name: "side", Image: "registry.example.com/side:1"},
				}}}
			}}
			without, with := load, load
			without.Namespace, with.Namespace = shared.Namespace(b), shared.Namespace(b)
			shared.Register(b, cluster.Hook{Name: fmt.Sprintf("nothing-%d.lab.example.com", workers), URL: place.URL, CA: place.CA, Namespace: with.Namespace})
			b.ResetTimer()
			took, err := shared.Compare(b.Context(), b.N, without, with)
			if err != nil {
				b.Fatal(err)
			}
			for i, name := range []string{"none", "nothing"} {
				b.ReportMetric(float64(took[i].Percentile(50).Microseconds()), name+"-p50-µs")
				b.ReportMetric(float64(took[i].Percentile(99).Microseconds()), name+"-p99-µs")
				b.ReportMetric(float64(len(took[i].Each))/took[i].All.Seconds(), name+"-pods/s")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
