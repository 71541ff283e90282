package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// Lister is a Notifier that knows what it was told and is open, as one that
// keeps findings: it says of what it was told that nothing shows any more.
type Lister interface {
	// Open is a page of the findings of images that are open, with the page
	// that comes next; both empty: the first, and that this was the last.
	Open(ctx context.Context, page string) (all []Listed, next string, err error)
}

// Listed is a finding that is open somewhere.
type Listed struct {
	Finding
	Own bool // it was told by who asks, and by nobody since
}

// endGone resolves what was told of images of which a whole sweep saw nothing:
// the service was deleted, the last task has ended. covers says whether the
// sweep would have seen it, under this ID. That something was not seen for long is looked up
// in the store, so that what an event told of since is not over.
func (w *Watcher) endGone(ctx context.Context, out *[]Delivery, swept map[string]sweptID, began time.Time, covers func(*Subject) bool) error {
	if covers == nil || len(swept) >= limits.WatchQuietIDs {
		return nil // or not all that was seen is known
	}
	var faults []error
	g := goneSweep{w: w, out: out, began: began, asked: map[string]bool{}}
	for k := range w.Routes {
		lister, is := w.Routes[k].Notifier.(Lister)
		if !is {
			continue
		}
		page := ""
		for range limits.WatchGonePages {
			all, next, err := lister.Open(ctx, page)
			if err != nil {
				faults = append(faults, fmt.Errorf("ask %s what is open: %w", w.Routes[k].Notifier.Name(), err))
				break
			}
			for i := range all {
				f := &all[i].Finding
				if _, seen := swept[f.ID]; seen || f.Kind != NotAdmitted || f.Container == "" || !covers(&f.Subject) {
					continue // of no container: a sweep names each, and sees it under another ID
				}
				if err := g.end(ctx, &all[i], &w.Routes[k]); err != nil {
					faults = append(faults, err)
				}
			}
			if page = next; page == "" {
				break
			}
		}
	}
	return errors.Join(faults...)
}

// goneSweep ends what one sweep saw nothing of.
type goneSweep struct {
	w     *Watcher
	out   *[]Delivery
	began time.Time
	asked map[string]bool // IDs, and whether the store knows nothing of them
	ended int             // states of which no store knows, told to be over
}

// end ends what is over of f's ID, the first time; and, each time, f itself where
// the store knows nothing of its ID.
func (g *goneSweep) end(ctx context.Context, f *Listed, keeps *Route) error {
	w := g.w
	unknown, asked := g.asked[f.ID]
	if !asked {
		g.asked[f.ID] = false
		told, err := w.Store.Tellings(ctx, f.ID)
		if err != nil {
			return fmt.Errorf("ask what was told of finding %s: %w", f.ID, err)
		}
		if unknown = len(told) == 0; !unknown {
			over := gone(&f.Finding, w.Now())
			_, err := w.resolveOne(ctx, g.out, &over, func(_ Telling, last time.Time) bool { return last.Before(g.began.Add(-limits.WatchSeenEvery)) })
			return err
		}
		g.asked[f.ID] = true
	}
	if !unknown || !f.Own || !w.Shared || !f.Time.Before(g.began.Add(-limits.WatchSeenEvery)) || g.ended >= limits.WatchGoneEnds {
		return nil
	}
	g.ended++
	return w.endUnknown(ctx, g.out, &f.Finding, keeps)
}

// endUnknown resolves one state that is open somewhere, was told by this watcher
// long before the sweep, and of whose ID the store knows nothing any more: it was
// forgotten to be told as over, and neither that nor that it was not could be
// written down (a server that keeps both was away), or it made room for others.
// Who keeps it goes first, for where he does not hear it, it is found again; what
// another did not hear nobody tells him again. It is over as of just after it was
// told last, and not as of now: where it is being told again at this moment, that
// is later, and it is open.
func (w *Watcher) endUnknown(ctx context.Context, out *[]Delivery, f *Finding, keeps *Route) error {
	over := gone(f, f.Time.Add(time.Microsecond))
	over.At = w.Now()
	over.Ends = []digest.Digest{f.State}
	over.Message = "finding resolved: a whole sweep of what runs there saw nothing of it that is not admitted"
	if err := w.sendOver(ctx, out, over, keeps); err != nil {
		return err
	}
	var faults []error
	for k := range w.Routes {
		if one := &w.Routes[k]; one.Notifier.Name() != keeps.Notifier.Name() && one.wants(f) {
			faults = append(faults, w.sendOver(ctx, out, over, one))
		}
	}
	return errors.Join(faults...)
}

func (w *Watcher) sendOver(ctx context.Context, out *[]Delivery, over Finding, to *Route) error {
	d := Delivery{Finding: over, To: to.Notifier.Name()}
	d.Err = send(ctx, to.Notifier, over)
	*out = append(*out, d)
	if d.Err != nil {
		return fmt.Errorf("tell %s that finding %s is resolved: %w", d.To, over.ID, d.Err)
	}
	return nil
}

// gone is the finding that says that f is over because nothing shows it.
func gone(f *Finding, now time.Time) Finding {
	over := *f
	over.Resolved, over.Reminder, over.Outcome, over.Severity = true, false, pipeline.Admit, Low
	over.Missing, over.Code, over.Hint, over.Ends, over.Event, over.By = nil, "", "", nil, "", ""
	over.Phase, over.Time, over.At = Swept, now, now
	over.State = stateOf("gone", string(f.State))
	over.Message = "finding resolved: a whole sweep of what runs there saw nothing of it any more"
	return over
}
