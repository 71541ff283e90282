package kube_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/shuin/shuin/internal/kube"
)

func TestOneReplicaLeadsAndAnotherTakesOver(t *testing.T) {
	core := fake.NewClientset()
	var leading, most atomic.Int32
	led := make(chan string, 2)
	start := func(name string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &kube.Leader{Core: core, Namespace: "shuin", Lease: "shuin-gate", Identity: name}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := l.Run(ctx, func(ctx context.Context) {
				most.Store(max(most.Load(), leading.Add(1)))
				if !l.Leads() {
					t.Errorf("%s works and does not lead", name)
				}
				led <- name
				<-ctx.Done()
				leading.Add(-1)
			}); err != nil {
				t.Error(err)
			}
			if l.Leads() {
				t.Errorf("%s leads after its end", name)
			}
		})
		return func() { cancel(); wg.Wait() }
	}
	stop := start("first")
	if got := <-led; got != "first" {
		t.Fatal(got)
	}
	stopSecond := start("second")
	stop()
	if got := <-led; got != "second" {
		t.Fatal(got)
	}
	stopSecond()
	if most.Load() != 1 {
		t.Errorf("%d led together", most.Load())
	}
}
