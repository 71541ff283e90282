package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Load creates pods through the API server from several connections at once.
type Load struct {
	Namespace string
	Workers   int // each with a client, and so a connection, of its own
	Pods      int
	Pod       func(i int) *corev1.Pod // the pod to create; its name is generated if it has none
}

// Took is how long creations took, as the client sees them.
type Took struct {
	Each []time.Duration // sorted
	All  time.Duration
}

// Percentile is the duration that p percent of the creations did not exceed.
func (t Took) Percentile(p int) time.Duration {
	if len(t.Each) == 0 {
		return 0
	}
	return t.Each[min(len(t.Each)-1, len(t.Each)*p/100)]
}

// Load runs a load as Admin. The first creation that fails ends it.
func (c *Cluster) Load(ctx context.Context, l Load) (Took, error) {
	clients := make([]kubernetes.Interface, l.Workers)
	for i := range clients {
		own := rest.CopyConfig(c.Admin)
		own.Dial = (&net.Dialer{}).DialContext // else clients share a connection: client-go keeps transports by their settings
		client, err := kubernetes.NewForConfig(own)
		if err != nil {
			return Took{}, err
		}
		clients[i] = client
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	each := make([]time.Duration, l.Pods)
	next := make(chan int)
	var work sync.WaitGroup
	begin := time.Now()
	for _, client := range clients {
		work.Go(func() {
			for i := range next {
				pod := l.Pod(i)
				if pod.Name == "" && pod.GenerateName == "" {
					pod.GenerateName = "load-"
				}
				started := time.Now()
				if _, err := client.CoreV1().Pods(l.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
					cancel(fmt.Errorf("create pod %d of %d: %w", i+1, l.Pods, err))
				}
				each[i] = time.Since(started)
			}
		})
	}
	for i := range l.Pods {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	work.Wait()
	took := Took{Each: each, All: time.Since(begin)}
	slices.Sort(took.Each)
	return took, context.Cause(ctx)
}

// Compare runs loads in turn, rounds times each, so that what else the machine
// does falls on all of them, and returns what each took in all its rounds.
// Give each a namespace of its own, with the webhook to compare there.
func (c *Cluster) Compare(ctx context.Context, rounds int, loads ...Load) ([]Took, error) {
	all := make([]Took, len(loads))
	for range rounds {
		for i, l := range loads {
			took, err := c.Load(ctx, l)
			if err != nil {
				return nil, fmt.Errorf("load of namespace %s: %w", l.Namespace, err)
			}
			all[i].Each = append(all[i].Each, took.Each...)
			all[i].All += took.All
		}
	}
	for _, took := range all {
		slices.Sort(took.Each)
	}
	return all, nil
}
