package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	watching "github.com/shuin/shuin/watch"
)

// warmUp decides once what runs, so that a replica that becomes ready answers
// from memory: what it is asked first is what runs already.
func (k *kubePart) warmUp(ctx context.Context) {
	defer k.warm.Store(true)
	ctx, cancel := context.WithTimeout(asked(ctx, routeWarmUp), k.c.WarmUp)
	defer cancel()
	running, err := kube.ListPods(ctx, k.api.Core)
	if err != nil {
		k.g.log.Warn("what runs cannot be listed: the gate begins cold", "error", err, "hint", shuin.HintOf(err))
		return
	}
	k.waitForOthers(ctx)
	judged, err := k.judge(ctx, running.Groups)
	if err != nil {
		k.g.log.Warn("not all that runs was decided in time: the gate begins partly cold", "error", err, "groups", len(running.Groups), "decided", count(judged))
		return
	}
	k.g.log.Info("what runs was decided once", "pods", running.Pods, "groups", len(running.Groups))
}

// waitForOthers waits until exceptions and policies of namespaces were read, or
// ctx ends.
func (k *kubePart) waitForOthers(ctx context.Context) {
	for ctx.Err() == nil {
		if (k.exceptions == nil || k.exceptions.Synced()) && (k.spaces == nil || k.spaces.Synced()) {
			return
		}
		_ = wait(ctx, limits.KubeStartPause)
	}
}

// judge decides groups of Pods by what runs, some at a time. The error says that
// ctx ended before all were.
func (k *kubePart) judge(ctx context.Context, groups []*kube.PodGroup) ([]kube.Judged, error) {
	judged := make([]kube.Judged, len(groups))
	var all errgroup.Group
	all.SetLimit(limits.KubeSweepParallel)
	for i, g := range groups {
		judged[i].Group = g
		if ctx.Err() != nil {
			continue
		}
		all.Go(func() error {
			judged[i].Verdict = k.judgeOne(ctx, g)
			return nil
		})
	}
	_ = all.Wait() // none fails
	if err := context.Cause(ctx); err != nil {
		return judged, err
	}
	return judged, nil
}

// judgeOne is the verdict about one group. Pull secrets that cannot be read make
// it Undecided, as where the API server asks: whoever keeps them chooses what is
// in them, and must not hide what runs by that.
func (k *kubePart) judgeOne(ctx context.Context, g *kube.PodGroup) *gate.Verdict {
	w := gate.Workload{Images: g.Images, Where: pipeline.Where{Cluster: k.c.Cluster, Namespace: g.Namespace}, Pins: true}
	if k.secrets != nil {
		access, err := k.secrets.Access(ctx, g.Namespace, g.ServiceAccount, g.PullSecrets)
		if err != nil {
			k.g.log.Warn("the pull secrets of what runs cannot be read", "namespace", g.Namespace, "owner", g.Owner.Kind+"/"+g.Owner.Name, "error", err, "hint", shuin.HintOf(err))
			return k.unchecked(g, err)
		}
		w.Access = access
	}
	ctx, cancel := context.WithTimeout(ctx, limits.KubeSweepDecision)
	defer cancel()
	v := watching.DecideRunning(ctx, k, w)
	k.g.metrics.observeDecision(v)
	return v
}

// unchecked is the verdict about a group that the gate could not be asked about.
func (k *kubePart) unchecked(g *kube.PodGroup, err error) *gate.Verdict {
	v := &gate.Verdict{Policy: k.g.gate.Rules().Policy().Digest(), Time: k.g.now(), Outcome: pipeline.Undecided, Images: make([]gate.ImageVerdict, len(g.Images))}
	for i := range g.Images {
		v.Images[i] = gate.ImageVerdict{Image: g.Images[i], Mode: pipeline.Enforce, Outcome: pipeline.Undecided, Err: err}
	}
	return v
}

func count(judged []kube.Judged) (n int) {
	for _, j := range judged {
		if j.Verdict != nil {
			n++
		}
	}
	return n
}

// lead is what one replica does for all, until ctx ends.
func (k *kubePart) lead(ctx context.Context) {
	k.g.log.Info("this replica leads: it sweeps and writes reports", "lease", k.c.Leader.Lease)
	s := &sweeper{k: k, told: map[string]string{}}
	if k.c.Sweep.Reports {
		s.reports = &kube.Reports{Discovery: k.api.Core.Discovery(), Dynamic: k.api.Dynamic, Log: k.g.log}
	}
	if k.g.findings != nil {
		s.watcher = k.newWatcher()
	}
	defer k.metrics.notLeading()
	var all sync.WaitGroup
	defer all.Wait()
	if k.exceptions != nil {
		all.Go(func() { k.writeStatuses(ctx) })
	}
	k.waitForOthers(ctx)
	s.run(ctx)
}

// writeStatuses keeps the status of PolicyExceptions.
func (k *kubePart) writeStatuses(ctx context.Context) {
	tick := time.NewTicker(limits.KubeStatusEvery)
	defer tick.Stop()
	last := ""
	for {
		if k.exceptions.Synced() {
			if err := k.exceptions.WriteStatus(ctx); err != nil && ctx.Err() == nil && err.Error() != last {
				last = err.Error()
				k.g.log.Error("the status of a PolicyException cannot be written", "error", err, "hint", shuin.HintOf(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweeper judges again all that runs. One goroutine uses it.
type sweeper struct {
	k       *kubePart
	reports *kube.Reports
	watcher *watching.Watcher // nil: no findings are kept
	told    map[string]string // by group: what was told of it last
	ends    time.Time         // when the first exception ends that something runs by; zero: there is none
}

// run sweeps at once, regularly, and a moment after something changed that
// verdicts depend on, or an exception ended that something runs by.
func (s *sweeper) run(ctx context.Context) {
	tick := time.NewTicker(s.k.c.Sweep.Every)
	defer tick.Stop()
	select {
	case <-s.k.sweeps: // what changed until now is seen by the first sweep
	default:
	}
	for {
		began := time.Now()
		s.sweep(ctx)
		ended := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			continue
		case <-s.k.sweeps:
		case <-s.ended():
		}
		if wait(ctx, untilSweep(time.Since(ended), ended.Sub(began))) != nil {
			return
		}
	}
}

// ended is told when the first exception has ended that something runs by.
func (s *sweeper) ended() <-chan time.Time {
	if s.ends.IsZero() {
		return nil
	}
	return time.After(s.ends.Sub(s.k.g.now()))
}

// firstEnd is when the first of the exceptions ends by which something runs that
// was judged; zero: there is none.
func firstEnd(judged []kube.Judged) (first time.Time) {
	for _, j := range judged {
		if j.Verdict == nil {
			continue
		}
		for i := range j.Verdict.Images {
			if e := j.Verdict.Images[i].Exception; e != nil && (first.IsZero() || e.Expires.Before(first)) {
				first = e.Expires
			}
		}
	}
	return first
}

// untilSweep is how long a sweep that something changed for waits, so long after
// the last, which took that long: what changes together is judged together, and
// who changes his namespace's policy again and again has the leader sweep half of
// the time at most, and no more often than can be asked for.
func untilSweep(since, took time.Duration) time.Duration {
	return max(limits.KubeSweepPause, max(limits.KubeSweepEveryLeast, took)-since)
}

// sweep judges all that runs, and tells what is not admitted. It changes nothing
// that runs.
func (s *sweeper) sweep(ctx context.Context) {
	k := s.k
	ctx, cancel := context.WithTimeout(asked(ctx, routeSweep), limits.KubeSweepTime)
	defer cancel()
	began := k.g.now()
	running, err := kube.ListPods(ctx, k.api.Core)
	if err != nil {
		if ctx.Err() == nil {
			k.metrics.sweepEnded(sweepFailed, nil, began, k.g.now())
			k.g.log.Error("a sweep failed, and is tried again soon", "error", err, "hint", shuin.HintOf(err))
			nudge(k.sweeps) // else what changed would be looked at after Sweep.Every
		}
		return
	}
	judged, err := k.judge(ctx, running.Groups)
	s.ends = firstEnd(judged)
	whole := err == nil && !running.More && count(judged) == len(judged)
	s.tellPods(judged, whole)
	s.findings(ctx, judged, began, whole)
	if s.reports != nil {
		if err := s.reports.Write(ctx, judged, whole, k.g.now()); err != nil && ctx.Err() == nil {
			k.g.log.Error("PolicyReports cannot be written", "error", err, "hint", shuin.HintOf(err))
		}
	}
	result := sweepWhole
	if !whole {
		result = sweepPartial
	}
	k.metrics.sweepEnded(result, judged, began, k.g.now())
	outcomes := map[pipeline.Outcome]int{}
	for _, j := range judged {
		if j.Verdict != nil {
			outcomes[worst(j.Verdict)] += j.Group.Count
		}
	}
	k.g.log.Info("swept", "result", result, "pods", running.Pods, "groups", len(judged), "admitted", outcomes[pipeline.Admit],
		"denied", outcomes[pipeline.Deny], "undecided", outcomes[pipeline.Undecided], "took", k.g.now().Sub(began))
}

// worst is the worst of the images' outcomes, whether it is allowed or not.
func worst(v *gate.Verdict) pipeline.Outcome {
	out := pipeline.Admit
	for i := range v.Images {
		switch o := v.Images[i].Outcome; {
		case o == pipeline.Deny:
			return o
		case o == pipeline.Undecided:
			out = o
		}
	}
	return out
}

// tellPods writes an Event at the Pods of each group that would not be admitted,
// once for each state of it. whole: what is not among judged does not run.
func (s *sweeper) tellPods(judged []kube.Judged, whole bool) {
	seen := map[string]bool{}
	for _, j := range judged {
		key := groupKey(j.Group)
		seen[key] = true
		if j.Verdict == nil {
			continue
		}
		var lines []string
		for i := range j.Verdict.Images {
			if iv := &j.Verdict.Images[i]; iv.Outcome == pipeline.Deny {
				lines = append(lines, iv.Line())
			}
		}
		text := strings.Join(lines, "; ")
		if text == "" || s.told[key] == text {
			if text == "" && worst(j.Verdict) == pipeline.Admit {
				delete(s.told, key)
			}
			continue
		}
		s.told[key] = text
		for _, p := range j.Group.Examples[:min(len(j.Group.Examples), limits.KubeSweepEvents)] {
			s.k.events.Warn(kube.Object{APIVersion: "v1", Kind: "Pod", Namespace: j.Group.Namespace, Name: p.Name, UID: p.UID}, eventRunning, text)
		}
	}
	whole = whole || len(s.told) > limits.KubePodGroups // else sweeps that are never whole remember all that ever ran
	for key := range s.told {
		if whole && !seen[key] {
			delete(s.told, key)
		}
	}
}

// groupKey names a group of Pods from sweep to sweep.
func groupKey(g *kube.PodGroup) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q", g.Namespace, g.Owner.APIVersion, g.Owner.Kind, g.Owner.Name)
	for _, i := range g.Images {
		fmt.Fprintf(h, " %q %q %q", i.Name, i.Written, i.Running)
	}
	return string(h.Sum(nil))
}

// newWatcher makes findings of what sweeps see, and keeps them where principals'
// findings are kept.
func (k *kubePart) newWatcher() *watching.Watcher {
	return &watching.Watcher{
		Gate: decided{k}, Store: k.g.findings.State(""), Now: k.g.now,
		Routes: []watching.Route{{Notifier: keeping{k}}},
		Policy: func() *pipeline.Policy { return k.g.gate.Rules().Policy() },
		Settle: 2 * k.c.Sweep.Every,
	}
}

// keeping has findings kept.
type keeping struct{ k *kubePart }

func (keeping) Name() string { return "gate.findings" }

func (t keeping) Notify(ctx context.Context, f watching.Finding) error {
	_, err := t.k.g.keeper.Keep(ctx, f, "shuind:sweep", t.k.g.now())
	return err
}

// Open satisfies watching.Lister: what is kept of this cluster's Pods and open.
func (t keeping) Open(ctx context.Context, page string) ([]watching.Finding, string, error) {
	found, err := t.k.g.keeper.Find(ctx, watching.Query{Open: true, Kind: watching.NotAdmitted, Cluster: t.k.c.Cluster, Page: page, Most: limits.FindingsPageMost})
	if err != nil {
		return nil, "", err
	}
	out := make([]watching.Finding, len(found.Findings))
	for i := range found.Findings {
		out[i] = found.Findings[i].Finding
	}
	return out, found.Next, nil
}

// sees says whether a sweep sees all of what a finding is about.
func (t keeping) sees(about *watching.Subject) bool {
	return about.Kind == watching.Pod && about.Cluster == t.k.c.Cluster
}

// decided answers a watcher with the verdict that the sweep has already.
type decided struct{ k *kubePart }

type decidedKey struct{}

func (d decided) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	if v, ok := ctx.Value(decidedKey{}).(*gate.Verdict); ok && len(v.Images) == len(w.Images) {
		return v
	}
	return nil // what a tag was moved from was asked about before: that answer stands
}

// findings hands what was judged to the watcher.
func (s *sweeper) findings(ctx context.Context, judged []kube.Judged, began time.Time, whole bool) {
	if s.watcher == nil {
		return
	}
	for _, j := range judged {
		if j.Verdict == nil || ctx.Err() != nil {
			whole = false
			continue
		}
		r, err := s.watcher.Observe(context.WithValue(ctx, decidedKey{}, j.Verdict), j.Group.Observation(s.k.c.Cluster, began))
		switch {
		case err != nil:
			s.k.g.log.Warn("what runs makes no finding", "namespace", j.Group.Namespace, "owner", j.Group.Owner.Kind+"/"+j.Group.Owner.Name, "error", err)
			whole = false
		case !r.Ack():
			s.k.g.log.Debug("a finding is not settled", "namespace", j.Group.Namespace, "reason", r.Reason)
			whole = false
		}
	}
	if !whole {
		return
	}
	if _, err := s.watcher.EndSweep(ctx, began, keeping{s.k}.sees); err != nil {
		s.k.g.log.Error("what is over cannot be told", "error", err)
	}
}
