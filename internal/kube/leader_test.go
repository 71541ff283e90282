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
	t.Run("each of another name", func(t *testing.T) { takesOver(t, "first", "second") })
	t.Run("two of one name", func(t *testing.T) { takesOver(t, "node-1", "node-1") })
}

// takesOver has two replicas of these names, the second of which may lead when
// the first has ended.
func takesOver(t *testing.T, first, second string) {
	core := fake.NewClientset()
	var leading, most atomic.Int32
	led := make(chan string, 2)
	start := func(name, host string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &kube.Leader{Core: core, Namespace: "shuin", Lease: "shuin-gate", Identity: host}
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
	stop := start("first", first)
	if got := <-led; got != "first" {
		t.Fatal(got)
	}
	stopSecond := start("second", second)
	stop()
	if got := <-led; got != "second" {
		t.Fatal(got)
	}
	stopSecond()
	if most.Load() != 1 {
		t.Errorf("%d led together", most.Load())
	}
}
