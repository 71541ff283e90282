package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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

// resolve says once of every finding that was told that it is over, where an
// image of o that is admitted shows it. all are the findings that o shows: they
// are not over, whatever else of their group is admitted.
func (w *Watcher) resolve(ctx context.Context, o *Observation, r *Result, all []Finding, now time.Time) error {
	var faults []error
	seen := map[string]bool{}
	for i := range all {
		seen[all[i].ID] = true
	}
	for i := range r.Verdict.Images {
		iv := &r.Verdict.Images[i]
		if iv.Outcome != pipeline.Admit {
			continue
		}
		f := resolved(o, r.Verdict, iv, now)
		if seen[f.ID] || o.Phase == Swept && w.isQuiet(f.ID, now) {
			continue
		}
		seen[f.ID] = true
		left, err := w.resolveOne(ctx, &r.Told, &f, func(t Telling, last time.Time) bool {
			// That something starts says nothing of what ran a day ago.
			return f.ends(t.Image) || o.phase() != Starting && now.Sub(last) >= orElse(w.Settle, limits.WatchSettle)
		})
		if err != nil {
			faults = append(faults, err)
		}
		if left && o.Phase == Swept {
			saw := sweptID{at: o.At, good: &f}
			if o.Unstarted {
				saw.good = nil // what it will run is not known
			}
			w.keep(f.ID, saw)
		}
	}
	return errors.Join(faults...)
}

// EndSweep ends a sweep that began at began and saw all that there is: what was
// told of a group of which the sweep saw admitted images only, and was not seen
// since, is over. Call it once a sweep's observations are settled, and not
// where a part of the sweep failed. covers says of what the sweep would have
// seen all that there is; of that, what a [Lister] keeps open and the sweep saw
// nothing of is over too; nil: of nothing. It returns whom it told; the error
// says who could not be told or asked: the next sweep will find it again.
func (w *Watcher) EndSweep(ctx context.Context, began time.Time, covers func(*Subject) bool) ([]Delivery, error) {
	w.mu.Lock()
	swept := w.swept
	w.swept = nil
	w.mu.Unlock()
	var told []Delivery
	var faults []error
	for _, id := range slices.Sorted(maps.Keys(swept)) {
		saw := swept[id]
		if saw.bad || saw.good == nil || saw.at.Before(began) {
			continue // or of a sweep that was not ended
		}
		_, err := w.resolveOne(ctx, &told, saw.good, func(_ Telling, last time.Time) bool { return last.Before(began.Add(-limits.WatchSeenEvery)) })
		if err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, w.endGone(ctx, &told, swept, began, covers))
	return told, errors.Join(faults...)
}

// sweptID is what a sweep saw of one ID.
type sweptID struct {
	at   time.Time // when the sweep began
	good *Finding  // what says that it is over; nil: nothing that began was admitted, or nothing was told
	bad  bool      // something was not admitted, or could not be checked
}

// saw remembers for EndSweep that all is so, or may be.
func (w *Watcher) saw(all []Finding) {
	for i := range all {
		w.keep(all[i].ID, sweptID{at: all[i].At, bad: true})
	}
}

// keep remembers for EndSweep what was seen. Where there is no room, what comes
// later is not known, and so never over.
func (w *Watcher) keep(id string, saw sweptID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.swept == nil {
		w.swept = map[string]sweptID{}
	}
	have, known := w.swept[id]
	switch {
	case !known && len(w.swept) >= limits.WatchQuietIDs, known && saw.at.Before(have.at):
		return
	case known && have.at.Equal(saw.at):
		saw.bad = saw.bad || have.bad
		saw.good = cmp.Or(saw.good, have.good)
	}
	w.swept[id] = saw
}

// resolveOne forgets what was told under f's ID and is over, and tells f to
// those who were told. What was told of another image of the group is not over
// at once: while a deployment goes on, both run. left says whether anything is.
// isOver is given when anything of the ID was last seen, too.
func (w *Watcher) resolveOne(ctx context.Context, out *[]Delivery, f *Finding, isOver func(t Telling, last time.Time) bool) (left bool, err error) {
	told, err := w.Store.Tellings(ctx, f.ID)
	if err != nil {
		return false, fmt.Errorf("ask what was told of finding %s: %w", f.ID, err)
	}
	if len(told) == 0 {
		w.hush(f.ID, f.Time)
		return false, nil
	}
	var last time.Time
	for _, t := range told {
		if t.Seen.After(last) {
			last = t.Seen
		}
	}
	over := map[string][]Telling{}
	for _, t := range told {
		if isOver(t, last) {
			over[t.To] = append(over[t.To], t)
		} else {
			left = true
		}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(over)) {
		to := w.notifier(name)
		for part := range slices.Chunk(over[name], limits.WatchEnds) {
			stays, err := w.endPart(ctx, out, f, to, part)
			left = left || stays || err != nil
			if err != nil {
				faults = append(faults, err)
				break // those that are left are tried again with these
			}
		}
	}
	return left, errors.Join(faults...)
}

// notifier is the one of this name; nil: there is none any more.
func (w *Watcher) notifier(name string) Notifier {
	for k := range w.Routes {
		if to := w.Routes[k].Notifier; to.Name() == name {
			return to
		}
	}
	return nil
}

// endPart forgets some of what was told to one notifier, and tells him that it
// is over: a few states at a time, for each may be a message of its own where he
// sends it to. left says whether something is still so.
func (w *Watcher) endPart(ctx context.Context, out *[]Delivery, f *Finding, to Notifier, part []Telling) (left bool, err error) {
	var faults []error
	var forgotten []Telling
	d := Delivery{Finding: *f}
	for _, t := range part {
		was, err := w.Store.Forget(ctx, t)
		if err != nil {
			faults = append(faults, fmt.Errorf("forget that finding %s was told to %s: %w", f.ID, t.To, err))
		}
		if was {
			forgotten = append(forgotten, t)
			d.Finding.Ends = append(d.Finding.Ends, t.State)
		}
	}
	left = len(forgotten) < len(part) // seen again since, or forgotten by another
	if to == nil || len(forgotten) == 0 {
		return left, errors.Join(faults...)
	}
	d.To = to.Name()
	slices.Sort(d.Finding.Ends)
	if f.Subject.Kind == TaskDefinition && slices.ContainsFunc(forgotten, func(t Telling) bool { return !f.ends(t.Image) }) {
		d.Finding.Message = oneLine(f.Message+"; it was another image of this family, and a revision with it that is still active can be started: deregister it", limits.WatchMessageBytes)
	}
	d.Err = send(ctx, to, d.Finding)
	*out = append(*out, d)
	if d.Err != nil {
		faults = append(faults, fmt.Errorf("tell %s that finding %s is resolved: %w", d.To, f.ID, d.Err), w.untold(ctx, forgotten))
	}
	return left, errors.Join(faults...)
}

// untold has the store remember tellings whose end could not be told.
func (w *Watcher) untold(ctx context.Context, all []Telling) error {
	ctx = context.WithoutCancel(ctx)
	for _, t := range all {
		if _, err := w.Store.Tell(ctx, t, t.Seen, 0, orElse(w.Lease, limits.WatchLease)); err != nil {
			return fmt.Errorf("remember that finding %s was told: %w", t.ID, err)
		}
		if err := w.Store.Told(ctx, t, t.Seen); err != nil {
			return fmt.Errorf("remember that finding %s was told: %w", t.ID, err)
		}
	}
	return nil
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
