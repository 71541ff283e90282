package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// Lister is a Notifier that knows what it was told and is open, as one that
// keeps findings: it says of what it was told that nothing shows any more.
type Lister interface {
	// Open is a page of the findings of images that are open, with the page
	// that comes next; both empty: the first, and that this was the last.
	Open(ctx context.Context, page string) (all []Finding, next string, err error)
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
	asked := map[string]bool{}
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
				f := &all[i]
				if _, seen := swept[f.ID]; seen || asked[f.ID] || f.Kind != NotAdmitted || f.Container == "" || !covers(&f.Subject) {
					continue // of no container: a sweep names each, and sees it under another ID
				}
				asked[f.ID] = true
				over := gone(f, w.Now())
				if _, err := w.resolveOne(ctx, out, &over, func(_ Telling, last time.Time) bool { return last.Before(began.Add(-limits.WatchSeenEvery)) }); err != nil {
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
