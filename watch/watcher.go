package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// Decider decides about a workload. *gate.Gate is one.
type Decider interface {
	Decide(ctx context.Context, w gate.Workload) *gate.Verdict
}

// Notifier sends findings to one place. Its errors hold no secrets.
type Notifier interface {
	Notify(ctx context.Context, f Finding) error
	// Name tells it from others and does not change: what was told is
	// remembered under it. 1 to limits.WatchNameBytes letters, digits, "-", "_"
	// and ".".
	Name() string
}

// Route is a notifier with what it wants to hear. Empty lists are everything.
type Route struct {
	Notifier Notifier
	Rules    []string // names of rules, "*" standing for any run of characters; findings without a rule match no list
	Outcomes []pipeline.Outcome
	Kinds    []Kind
	Severity []Severity
}

// Watcher turns observations into findings, and has them told. Its fields are
// set once. Safe for concurrent use.
type Watcher struct {
	Gate   Decider
	Store  Store
	Routes []Route
	// Policy is the policy in use, for ObserveSigner and for findings.
	Policy func() *pipeline.Policy
	Now    func() time.Time
	// Remind: a finding that is still so is told again after this; 0: never.
	Remind time.Duration
	// Settle: what was told of a group is taken for resolved by another image
	// of it that is admitted only when it was not seen for so long (or by
	// EndSweep). Longer than the interval of sweeps, or it is told and resolved
	// in turns; 0: limits.WatchSettle.
	Settle time.Duration
	// Shared: the Store is one for all that tell as this watcher does, and lasts.
	// What it knows nothing of was then not told, or was told to be over.
	Shared bool
	// Lease is how long one observation may take, telling included; 0:
	// limits.WatchLease. Longer than the function's own time limit.
	Lease     time.Duration
	Reactor   Reactor // nil: none
	Reactions Reactions

	mu    sync.Mutex
	quiet map[string]time.Time // findings of which nothing was told at that time
	swept map[string]sweptID   // what the sweep under way saw
	since map[string]inUse     // policy and trust, as this process saw them last
	spent map[string]bool      // counts of reactions that are at their end
}

// Observe has o decided, once for each version of its subject, and what is
// wrong told, once for each state of it. The result says whether the event may
// be acknowledged. The error is for an observation that can never be decided
// (a *shuin.Error with CodeInvalidInput or CodeLimit): it belongs in the dead
// letter queue.
//
// What is wrong for certain is told, and reacted to, though another image of o
// could not be checked. Where a store, a notifier or the reactor failed it is
// Retry, the last time too: the event then ends where its source puts what
// failed for good, and can be brought again from there.
func (w *Watcher) Observe(ctx context.Context, o Observation) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Result{}
	w.alone(ctx, o.claim(), r, func(until time.Time) error { return w.decide(ctx, &o, r, until) })
	return r, nil
}

// ObserveSigner judges what was done to the signer, once for each event, and
// has it told. Its result and error are as Observe's; it has no verdict and no
// reaction. What cannot be judged, the last time, is told as that: nothing else
// will show it, so that it is judged, and what was told is over, when somebody
// brings the event again.
func (w *Watcher) ObserveSigner(ctx context.Context, e SignerEvent) (*Result, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	r := &Result{}
	c := Claim{Key: claimKey(string(Signer), e.Account+"/"+e.ID, "event")}
	w.alone(ctx, c, r, func(until time.Time) error { return w.judge(ctx, &e, r, until) })
	return r, nil
}

// alone runs settle under the claim, which lasts until the time given to it,
// and records that it is done where it did not fail. r says what became of it.
func (w *Watcher) alone(ctx context.Context, c Claim, r *Result, settle func(until time.Time) error) {
	retry := func(doing string, err error) {
		r.Disposition, r.Reason = Retry, err
		if doing != "" {
			r.Reason = fmt.Errorf("%s: %w", doing, err)
		}
	}
	now, lease := w.Now(), orElse(w.Lease, limits.WatchLease)
	token, err := w.Store.Begin(ctx, c, now, lease)
	switch {
	case err != nil && dropped(err):
		r.Disposition, r.Reason = Dropped, err
		return
	case errors.Is(err, ErrBusy):
		retry("", err)
		return
	case err != nil:
		retry("claim the observation", err)
		return
	}
	// What was begun is ended though the caller's time is over.
	ending := context.WithoutCancel(ctx)
	if err := settle(now.Add(lease)); err != nil {
		if errors.Is(err, errTurn) {
			retry("", err)
			return // claim and turn end together
		}
		lost := w.Store.Release(ending, c, token)
		if errors.Is(err, errUnjudged) {
			r.Disposition = Decided // where the claim stays, until its lease ends
			return
		}
		if lost != nil {
			err = errors.Join(err, fmt.Errorf("release the claim: %w", lost))
		}
		retry("", err)
		return
	}
	if err := w.Store.Done(ending, c, token, w.Now()); err != nil {
		if !errors.Is(err, ErrLost) {
			// Done or not: where it is, there is nothing to release.
			_ = w.Store.Release(ending, c, token)
		}
		retry("record that it is decided", err)
		return
	}
	r.Disposition = Decided
}

// decide asks the gate and does what follows from its answer.
func (w *Watcher) decide(ctx context.Context, o *Observation, r *Result, until time.Time) error {
	r.Verdict = w.verdict(ctx, o)
	now := w.Now()
	all, undecided := findings(o, r.Verdict, now)
	if o.Phase == Swept {
		w.saw(all)
	}
	for _, f := range all {
		if f.Outcome != pipeline.Undecided || o.Last {
			r.Findings = append(r.Findings, f)
		}
	}
	var faults []error
	if undecided != nil && !o.Last {
		faults = append(faults, fmt.Errorf("could not check: %w", undecided))
	}
	faults = append(faults, w.tellAll(ctx, r, until))
	if !o.Over {
		faults = append(faults, w.resolve(ctx, o, r, all, now))
	}
	faults = append(faults, w.react(ctx, o, r, until))
	return errors.Join(faults...)
}

// errTurn: a turn to tell may be taken, and nobody told, or it is not on record.
// Who came back at once would be answered Silent, and take it for told.
var errTurn = errors.New("it is tried again when the turn to tell is over")

// tellAll tells the result's findings to whom they concern. Turns end with the
// claim: who takes it over after a crash then has his turn to tell.
func (w *Watcher) tellAll(ctx context.Context, r *Result, until time.Time) error {
	var faults []error
	for i := range r.Findings {
		for k := range w.Routes {
			if !w.Routes[k].wants(&r.Findings[i]) {
				continue
			}
			if err := w.tell(ctx, r, &r.Findings[i], w.Routes[k].Notifier, until); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}

// tell tells one finding to one notifier if it is its turn.
func (w *Watcher) tell(ctx context.Context, r *Result, f *Finding, to Notifier, until time.Time) error {
	t := Telling{ID: f.ID, State: f.State, To: to.Name(), Image: f.about()}
	w.loud(f.ID)
	now := w.Now()
	turn, err := w.Store.Tell(ctx, t, now, w.Remind, max(until.Sub(now), time.Second))
	switch {
	case err != nil:
		return fmt.Errorf("ask whether finding %s was told to %s: %w", f.ID, t.To, errors.Join(err, errTurn))
	case turn != First && turn != Again:
		return nil
	}
	d := Delivery{Finding: *f, To: t.To, Reminder: turn == Again}
	d.Finding.Reminder = d.Reminder
	d.Err = send(ctx, to, d.Finding)
	r.Told = append(r.Told, d)
	ending := context.WithoutCancel(ctx)
	if d.Err != nil {
		err := fmt.Errorf("tell finding %s to %s: %w", f.ID, t.To, d.Err)
		if !w.Now().Before(until) {
			return err // his turn is over, and may be another's: it is not his to take back
		}
		if undone := w.Store.Untell(ending, t); undone != nil {
			err = errors.Join(err, fmt.Errorf("take back that it was told: %w", undone), errTurn)
		}
		return err
	}
	if err := w.Store.Told(ending, t, w.Now()); err != nil {
		return fmt.Errorf("record that finding %s was told to %s: %w", f.ID, t.To, errors.Join(err, errTurn))
	}
	return nil
}

// send has a notifier told. A notifier that panics could not be told: the turn
// is taken back as for any other that fails, and not left to its end.
func send(ctx context.Context, to Notifier, f Finding) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &shuin.Error{Code: shuin.CodeInternal, Message: "the notifier panicked: " + oneLine(fmt.Sprint(p), 300), Hint: "this is a fault of this program: report it"}
		}
	}()
	return to.Notify(ctx, f)
}

// isQuiet says whether nothing was told of the finding a moment ago: a sweep
// sees the same good image many times. Another process may have told since: who
// sees an event asks.
func (w *Watcher) isQuiet(id string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, known := w.quiet[id]
	return known && now.Sub(at) < limits.WatchQuiet && !now.Before(at)
}

func (w *Watcher) hush(id string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet == nil || len(w.quiet) >= limits.WatchQuietIDs {
		w.quiet = map[string]time.Time{}
	}
	w.quiet[id] = now
}

func (w *Watcher) loud(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.quiet, id)
}

// wants says whether the route's notifier is to hear of f.
func (t *Route) wants(f *Finding) bool {
	return (len(t.Rules) == 0 || pipeline.Named(t.Rules, f.Rule)) &&
		(len(t.Outcomes) == 0 || slices.Contains(t.Outcomes, f.Outcome)) &&
		(len(t.Kinds) == 0 || slices.Contains(t.Kinds, f.Kind)) &&
		(len(t.Severity) == 0 || slices.Contains(t.Severity, f.Severity))
}

func orElse(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}
