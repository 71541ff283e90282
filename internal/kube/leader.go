package kube

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/shuin/shuin/internal/limits"
)

// Leader holds a Lease so that of several replicas one does what must not be
// done twice: sweeps and reports. Deciding needs none.
type Leader struct {
	Core      kubernetes.Interface
	Namespace string
	Lease     string // its name; made where it is not there
	// Identity is of this replica, for people: its Pod's name. What holds the
	// Lease is told apart by more, for two that share a name (of nodes, where
	// Pods have their network) would both lead.
	Identity string

	leads   atomic.Bool
	working sync.Mutex // held by work: the last has ended before the next begins
}

// Leads says whether this replica is the one.
func (l *Leader) Leads() bool { return l.leads.Load() }

// Run tries to lead until ctx ends, and runs work while it does: work's context
// ends with the lead. The lead is given up at the end, so that another takes
// over at once.
func (l *Leader) Run(ctx context.Context, work func(ctx context.Context)) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Lease},
		Client:     l.Core.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: l.Identity + "_" + strings.ToLower(rand.Text())},
	}
	defer func() { // not before work has ended
		l.working.Lock()
		defer l.working.Unlock()
		l.leads.Store(false)
	}()
	for ctx.Err() == nil {
		e, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, Name: l.Lease, ReleaseOnCancel: true,
			LeaseDuration: limits.KubeLeaseLife, RenewDeadline: limits.KubeLeaseRenew, RetryPeriod: limits.KubeLeaseTry,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					l.working.Lock()
					defer l.working.Unlock()
					if ctx.Err() == nil {
						l.leads.Store(true)
						work(ctx)
					}
				},
				OnStoppedLeading: func() { l.leads.Store(false) },
			},
		})
		if err != nil {
			return fmt.Errorf("lead by lease %s/%s: %w", l.Namespace, l.Lease, err)
		}
		e.Run(ctx) // ends when the lead is lost
		pause(ctx, limits.KubeLeaseTry)
	}
	return nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
