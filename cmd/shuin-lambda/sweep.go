package main

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notify"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// targets are what a sweep looks at.
func (s *settings) targets() []ecs.Target {
	if len(s.Sweep.Targets) == 0 {
		return []ecs.Target{{TaskDefinitions: true}}
	}
	var out []ecs.Target
	for _, t := range s.Sweep.Targets {
		out = append(out, ecs.Target{
			As:       awscall.As{Region: t.Region, Role: t.Role, ExternalID: t.ExternalID},
			Clusters: t.Clusters, TaskDefinitions: t.TaskDefinitions,
		})
	}
	return out
}

// sweeping is one sweep under way.
type sweeping struct {
	*function
	inventory watch.Inventory

	mu        sync.Mutex
	again     []ecs.Found // what could not be settled the first time
	unsettled bool        // something is not settled at the end
}

// sweeps are those of one instance, one at a time.
type sweeps struct {
	once sync.Once
	turn chan struct{} // holds one where none is under way; made by take
	// began is when the last began that came to its end. Of who has the turn.
	began time.Time
}

// take waits for its turn; release ends it.
func (s *sweeps) take(ctx context.Context) (release func(), err error) {
	s.once.Do(func() {
		s.turn = make(chan struct{}, 1)
		s.turn <- struct{}{}
	})
	select {
	case <-s.turn:
		return func() { s.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, &shuin.Error{Code: shuin.CodeDeadline, Message: "another sweep was under way all the time", Err: context.Cause(ctx)}
	}
}

// sweepOnce is a sweep that a message asks for. Where several have waited, one
// that began after they were sent is as good for all. It can be brought again:
// each sweep has a version of its own.
func (f *function) sweepOnce(ctx context.Context, e ecs.Event) (ack bool, err error) {
	release, err := f.sweeps.take(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	if !e.Time.IsZero() && e.Time.Before(f.sweeps.began) {
		loggerOf(ctx).Info("nothing has to be done", "reason", "a sweep began since, and came to its end")
		return true, nil
	}
	began := f.now()
	if _, err := f.sweep(ctx); err != nil {
		return false, err
	}
	f.sweeps.began = began
	return true, nil
}

// sweepNow is a sweep that is asked for straight; the answer is the inventory.
func (f *function) sweepNow(ctx context.Context) ([]byte, error) {
	release, err := f.sweeps.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return f.sweep(ctx)
}

// sweep has all looked at that runs, whether or not an event told of it. What
// cannot be checked is tried once more at the end, and told as that then. What
// could not be looked at is told in the log, and fails the invocation only
// where nothing could be.
func (f *function) sweep(ctx context.Context) ([]byte, error) {
	s := &sweeping{function: f}
	report, err := (&ecs.Sweep{Caller: f.ecs.Caller, Targets: f.settings.targets(), Now: f.now}).Run(ctx, s.found)
	err = s.close(ctx, report, err)
	l := loggerOf(ctx)
	if report != nil {
		for _, failure := range report.Failures {
			tallyOf(ctx).add(notify.Counts{Errors: 1})
			l.Error("a part of the sweep failed", "error", oneLine(failure.Error()), "code", string(shuin.CodeOf(failure)), "hint", shuin.HintOf(failure))
		}
		l.Info("a sweep", "clusters", report.Clusters, "services", report.Services, "tasks", report.Tasks, "taskDefinitions", report.TaskDefinitions,
			"calls", report.Calls, "failures", len(report.Failures), "inventory", &s.inventory)
		if err == nil && report.Clusters+report.Services+report.Tasks+report.TaskDefinitions == 0 {
			err = report.Err()
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, &shuin.Error{Code: shuin.CodeDeadline, Message: "the sweep did not end in the function's time", Err: err,
			Hint: "give the function more time or memory, or have a function of its own sweep each account"}
	case err != nil:
		return nil, err
	}
	return json.Marshal(&s.inventory)
}

// close settles what is left of a sweep. Only where all was seen, and all that
// was seen is settled, what was not seen any more is over.
func (s *sweeping) close(ctx context.Context, report *ecs.SweepReport, err error) error {
	if err == nil {
		err = s.rest(ctx)
	}
	if err == nil && len(report.Failures) == 0 && !s.unsettled {
		s.end(ctx, report.Began)
	}
	return err
}

// found has what a sweep found judged. Tasks that are like it share its
// judgement; where something is done to such, each is looked at for itself.
// What could not be settled is kept for the end, with all that it stands for.
func (s *sweeping) found(ctx context.Context, f ecs.Found) error {
	r, err := s.judge(ctx, f.Observation)
	if err != nil || r == nil {
		return err
	}
	alone := s.reacts() && r.Verdict != nil && r.Verdict.Outcome == pipeline.Deny
	kept := f
	if alone {
		kept.Others = nil // they are looked at now
	}
	again := !r.Ack() && !f.Observation.Last && s.later(kept)
	if !again {
		s.count(ctx, f.Observation, r)
	}
	for _, other := range f.Others {
		o := f.Observation
		o.Subject = other
		switch {
		case alone:
			if err := s.found(ctx, ecs.Found{Observation: o}); err != nil {
				return err
			}
		case !again:
			s.inventory.Add(o, r)
		}
	}
	return nil
}

// count counts what became of an observation, for good.
func (s *sweeping) count(ctx context.Context, o watch.Observation, r *watch.Result) {
	if !r.Ack() {
		s.leave()
	}
	s.inventory.Add(o, r)
	tallyOf(ctx).settled(r)
	if r.Disposition != watch.Decided || len(r.Findings) > 0 {
		logResult(withLogger(ctx, loggerOf(ctx).With("subject", oneLine(o.Subject.ARN))), r)
	}
}

// reacts says whether anything is ever done to a task.
func (s *sweeping) reacts() bool {
	return s.settings.React.DangerouslyStopTasks && !s.settings.warns() && !s.settings.reactionsOff
}

// judge has one observation judged. Only the end of the sweep's time is an
// error: one that can never be judged is told in the log, and has no result.
func (s *sweeping) judge(ctx context.Context, o watch.Observation) (*watch.Result, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	inner := withLogger(ctx, loggerOf(ctx).With("subject", oneLine(o.Subject.ARN)))
	r, err := s.observe(inner, o)
	if err != nil {
		s.leave()
		tallyOf(ctx).add(notify.Counts{Errors: 1})
		loggerOf(inner).Error("it cannot be judged", "error", oneLine(err.Error()), "code", string(shuin.CodeOf(err)))
		return nil, nil
	}
	return r, nil
}

// rest tries once more what could not be settled, for the last time.
func (s *sweeping) rest(ctx context.Context) error {
	for _, f := range s.again {
		f.Observation.Last = true
		if err := s.found(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// later keeps what could not be settled for the end, where there is room.
func (s *sweeping) later(f ecs.Found) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.again) >= limits.LambdaSweepAgain {
		return false
	}
	s.again = append(s.again, f)
	return true
}

// leave says that something stays unsettled.
func (s *sweeping) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsettled = true
}

// end has what a whole sweep did not see any more told as over.
func (s *sweeping) end(ctx context.Context, began time.Time) {
	told, err := s.watcher.EndSweep(ctx, began, s.settings.covers(accountHere(ctx)))
	tallyOf(ctx).add(toldOf(told))
	logTold(loggerOf(ctx), told)
	if err != nil {
		tallyOf(ctx).add(notify.Counts{Errors: 1})
		loggerOf(ctx).Error("what is over could not be told: the next sweep will", "error", oneLine(err.Error()), "hint", shuin.HintOf(err))
	}
}

// accountHere is the account that the function is in, of its own ARN; empty:
// not known.
func accountHere(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return accountOf(lc.InvokedFunctionArn)
	}
	return ""
}

// covers says whether a sweep of all targets, nothing of which failed, sees all
// that there is of a subject's kind where it is; here is the function's own
// account. What is of an account or region that is not known is not covered, and
// no task definition is: a sweep looks at the newest of a family and at those
// that run, each where it runs, and any other that is active can be started.
func (s *settings) covers(here string) func(*watch.Subject) bool {
	targets := s.Sweep.Targets
	if len(targets) == 0 {
		targets = []targetConfig{{}}
	}
	return func(of *watch.Subject) bool {
		if of.Kind != watch.Task && of.Kind != watch.Service {
			return false
		}
		return slices.ContainsFunc(targets, func(t targetConfig) bool {
			account, region := here, cmp.Or(t.Region, s.region)
			if t.Role != "" {
				account = accountOf(t.Role)
			}
			if account == "" || region == "" || account != of.Account || region != of.Region {
				return false
			}
			cluster := len(t.Clusters) == 0 || pipeline.Named(t.Clusters, of.Cluster)
			return of.Cluster != "" && cluster
		})
	}
}
