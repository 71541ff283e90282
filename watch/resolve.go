package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

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
