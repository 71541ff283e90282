package ecs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// Target is one account and region that is swept. No two of a sweep are the
// same: what both find would be taken for old news the second time.
type Target struct {
	// As says whose credentials are used; Region empty is the AWS
	// environment's, Role the account's.
	As awscall.As
	// Clusters are names, "*" standing for any run of characters. None: all.
	// Without a "*" among them the account's clusters are not listed.
	Clusters []string
	// TaskDefinitions has the newest active revision of each family looked at
	// too, whether anything runs from it or not.
	TaskDefinitions bool
}

// Found is something that a sweep found, and all that it stands for.
type Found struct {
	// Observation has phase Swept, and says of a task whether it has started. Its subject is a task, a service (with the
	// images of all its task definitions under way, as they are written), or a
	// task definition that tasks outside of services run, or the newest of its
	// family.
	Observation watch.Observation
	// Others are further tasks of the cluster with the same group, task
	// definition, images and digests: what is decided of the first holds for
	// them. They are to be observed one by one where something is to be done to
	// them.
	Others []watch.Subject
}

// Sweep looks at what runs, whether or not an event told of it. The number of
// its calls grows with pages of tasks and services and with distinct task
// definitions, not with tasks.
type Sweep struct {
	Caller  *awscall.Caller
	Targets []Target
	Now     func() time.Time
	// InFlight bounds the calls under way, and the calls of found; 0:
	// limits.SweepInFlight.
	InFlight int
}

// SweepReport says what a sweep saw.
type SweepReport struct {
	Began                                      time.Time
	Clusters, Services, Tasks, TaskDefinitions int
	// Calls are those of each operation, without repetitions.
	Calls map[string]int
	// Failures are *SweepError: what could not be looked at. Empty: everything was.
	Failures []error
}

// Err is all failures in one; nil: none.
func (r *SweepReport) Err() error { return errors.Join(r.Failures...) }

// SweepError is a part of a sweep that failed; the others went on.
type SweepError struct {
	// Region and Role are the target's; empty: the environment's.
	Region, Role string
	// Cluster is its name; empty: the whole target.
	Cluster string
	Err     error
}

func (e *SweepError) Error() string {
	s := "sweep " + cmp.Or(e.Region, "the environment's region")
	if e.Role != "" {
		s += " as " + awscall.Printable(e.Role, 300)
	}
	if e.Cluster != "" {
		s += ", cluster " + awscall.Printable(e.Cluster, 255)
	}
	return s + ": " + e.Err.Error()
}

func (e *SweepError) Unwrap() error { return e.Err }

// sweeping is a sweep under way.
type sweeping struct {
	*Sweep
	found func(context.Context, Found) error

	mu     sync.Mutex
	report SweepReport
}

// sweptTarget is a target with what is known of it.
type sweptTarget struct {
	*Target
	client *Client
	listed bool // its clusters were: one that is gone now was deleted meanwhile

	mu          sync.Mutex
	definitions map[string]*definition
	denied      error               // no task definition may be read
	standalone  map[string][]string // task definitions of tasks outside of services, and the clusters they run in
}

// definition is a task definition, read by whoever comes first.
type definition struct {
	once sync.Once
	got  RevisionImages
	err  error
}

// sweptCluster is a cluster of a target.
type sweptCluster struct {
	target *sweptTarget
	name   ClusterName
}

// sweptFamily is a family of task definitions of a target.
type sweptFamily struct {
	target *sweptTarget
	name   string
}

// Run sweeps all targets. What cannot be looked at is told in the report and
// ends nothing else. found is given what was found, by up to InFlight
// goroutines; its error, and the end of ctx, end the sweep, and are returned
// with the report so far.
func (s *Sweep) Run(ctx context.Context, found func(context.Context, Found) error) (*SweepReport, error) {
	if len(s.Targets) > limits.SweepTargets {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("sweep %d accounts and regions: more than %d (limit SweepTargets)", len(s.Targets), limits.SweepTargets)}
	}
	w := &sweeping{Sweep: s, found: found, report: SweepReport{Began: s.Now(), Calls: map[string]int{}}}
	var targets []*sweptTarget
	for i := range s.Targets {
		targets = append(targets, w.target(&s.Targets[i]))
	}
	var mu sync.Mutex
	var clusters []sweptCluster
	err := each(ctx, w.inFlight(), targets, func(ctx context.Context, t *sweptTarget) error {
		names, err := w.clusters(ctx, t)
		mu.Lock()
		defer mu.Unlock()
		for _, name := range names {
			clusters = append(clusters, sweptCluster{t, name})
		}
		return w.fail(ctx, t, "", err)
	})
	if err == nil {
		err = each(ctx, w.inFlight(), clusters, w.cluster)
	}
	var families []sweptFamily
	if err == nil {
		err = each(ctx, w.inFlight(), targets, func(ctx context.Context, t *sweptTarget) error {
			if err := w.taskDefinitions(ctx, t); err != nil {
				return err
			}
			names, err := w.families(ctx, t)
			mu.Lock()
			defer mu.Unlock()
			for _, name := range names {
				families = append(families, sweptFamily{t, name})
			}
			return w.fail(ctx, t, "", err)
		})
	}
	if err == nil {
		err = each(ctx, w.inFlight(), families, w.family)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Clusters = len(clusters)
	return &w.report, err
}

func (w *sweeping) target(t *Target) *sweptTarget {
	return &sweptTarget{
		Target: t, definitions: map[string]*definition{}, standalone: map[string][]string{},
		client: &Client{Caller: w.Caller, As: t.As, Tries: limits.SweepTries, asking: w.count},
	}
}

func (w *sweeping) inFlight() int {
	if w.InFlight > 0 {
		return w.InFlight
	}
	return limits.SweepInFlight
}

// each does one thing after the other, n at a time, until one fails.
func each[T any](ctx context.Context, n int, all []T, do func(context.Context, T) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(n)
	for _, one := range all {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error { return do(inner, one) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// stopError is an error of found's: it ends the sweep.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// fail notes what could not be looked at. Its error is what ends the sweep.
func (w *sweeping) fail(ctx context.Context, t *sweptTarget, cluster string, err error) error {
	var stop *stopError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stop):
		return stop.err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	told := slices.ContainsFunc(w.report.Failures, func(f error) bool {
		e, ok := errors.AsType[*SweepError](f)
		return ok && e.Err == err && e.Cluster == cluster // one task definition, or all, for many services
	})
	switch n := len(w.report.Failures); {
	case told || n > limits.SweepFailures:
		return nil
	case n == limits.SweepFailures:
		err = &shuin.Error{Code: shuin.CodeLimit, Message: "it and others failed: more failures than are told (limit SweepFailures)"}
	}
	w.report.Failures = append(w.report.Failures, &SweepError{t.As.Region, t.As.Role, cluster, err})
	return nil
}

// count counts a call.
func (w *sweeping) count(operation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Calls[operation]++
}

// tell hands an observation out.
func (w *sweeping) tell(ctx context.Context, f Found, counted *int, n int) error {
	w.mu.Lock()
	*counted += n
	w.mu.Unlock()
	if err := w.found(ctx, f); err != nil {
		return &stopError{err}
	}
	return nil
}

// clusters are those of a target that are to be swept.
func (w *sweeping) clusters(ctx context.Context, t *sweptTarget) ([]ClusterName, error) {
	var names []ClusterName
	for _, p := range t.Clusters {
		plain := strings.ReplaceAll(p, "*", "")
		if p == "" || plain != "" && !ecsName(plain) {
			return nil, invalidf("%q is no name of a cluster, and no pattern of one", awscall.Printable(p, 255))
		}
		if t.listed = t.listed || p != plain; p == plain {
			names = append(names, ClusterName{Name: p})
		}
	}
	if err := w.Caller.Check(ctx, t.As); err != nil {
		return nil, err // once for the target, and not for each of its clusters
	}
	if len(t.Clusters) > 0 && !t.listed {
		return names, nil
	}
	t.listed, names = true, nil
	err := t.client.ListClusters(ctx, func(page []ClusterName) error {
		for _, name := range page {
			if len(t.Clusters) == 0 || slices.ContainsFunc(t.Clusters, func(p string) bool { ok, _ := path.Match(p, name.Name); return ok }) {
				names = append(names, name)
			}
		}
		return nil
	})
	return names, err
}

// cluster sweeps one cluster: its tasks, then its services. That the one could
// not be read says nothing of the other.
func (w *sweeping) cluster(ctx context.Context, c sweptCluster) error {
	for _, sweep := range []func(context.Context, sweptCluster) error{w.tasks, w.services} {
		err := sweep(ctx, c)
		gone := shuin.CodeOf(err) == shuin.CodeNotFound
		if gone && c.target.listed {
			return nil // deleted since it was listed
		}
		if err := w.fail(ctx, c.target, c.name.Name, err); err != nil || gone {
			return err
		}
	}
	return nil
}
