package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// errUnjudged: the event is told as one that could not be judged, and done
// with, but not decided: who brings it again has it judged.
var errUnjudged = errors.New("it could not be judged")

// matters says whether some policy could find something about e.
func (e *SignerEvent) matters() bool { return !SignerReads(e.Action) }

// judge has an event of the signer judged, and told what is found.
func (w *Watcher) judge(ctx context.Context, e *SignerEvent, r *Result, until time.Time) error {
	p, why, now := w.Policy(), e.Why, w.Now()
	if why == nil && p == nil {
		why = &shuin.Error{Code: shuin.CodeNotBegun, Message: "there is no policy to judge by"}
	}
	interesting := e.matters() && !e.failed()
	switch {
	case !interesting:
		return nil
	case why != nil && !e.Last:
		return fmt.Errorf("could not check: %w", why)
	case why != nil:
		f := unjudged(e, why)
		f.Time = now
		r.Findings = []Finding{f}
		if err := w.mark(ctx, &f, e, until); err != nil {
			return err
		}
		if err := w.tellAll(ctx, r, until); err != nil {
			return err
		}
		return errUnjudged
	}
	for _, f := range JudgeSigner(p, *e) {
		f.Time, f.Policy = now, p.Digest()
		r.Findings = append(r.Findings, f)
	}
	return errors.Join(w.tellAll(ctx, r, until), w.unmark(ctx, judged(e, p, now), e, r, until))
}

// unjudged is the finding that nobody could say whether the policy foresees e.
// Of what signs there is one for profile and caller, for a pipeline signs a
// hundred times a day; what administers is each time another thing, and so
// another finding.
func unjudged(e *SignerEvent, why error) Finding {
	j := &signerJudge{e: e}
	j.find()
	message := j.acted() + ": whether the policy foresees it could not be judged: " + why.Error()
	hint := "mend what is wrong with the policy, then bring the event again: CloudTrail has it, and an archive of EventBridge replays it"
	parts := []string{string(NotJudged), e.Account, e.Action}
	if slices.Contains(signs, e.Action) {
		message += "; more of its calls may be so, and are not told one by one"
		hint = fmt.Sprintf("mend what is wrong with the policy, then bring all its events since %s again: CloudTrail has them, and an archive of EventBridge replays them", e.At.UTC().Format(time.RFC3339))
	} else {
		parts = append(parts, e.ID)
	}
	j.add(NotJudged, Medium, "event", message, hint)
	f := j.out[0]
	f.ID = idOf(append(parts, f.Subject.Account, f.Subject.Region, f.Subject.ARN, f.By)...)
	f.State = stateOf(string(NotJudged), string(shuin.CodeOf(why)), string(f.Severity))
	f.Outcome, f.Code = pipeline.Undecided, shuin.CodeOf(why)
	return f
}

// judged is the finding that what unjudged told is over.
func judged(e *SignerEvent, p *pipeline.Policy, now time.Time) Finding {
	f := unjudged(e, errUnjudged)
	f.Resolved, f.Outcome, f.Severity, f.Code, f.Hint = true, pipeline.Admit, Low, "", ""
	f.Policy, f.Time = p.Digest(), now
	f.State = stateOf("resolved", string(f.Policy))
	j := &signerJudge{e: e}
	j.find()
	f.Message = oneLine("finding resolved: all that could not be judged was, and at last that "+j.acted()+"; what there is to say of it is told apart", limits.WatchMessageBytes)
	return f
}

// Which calls of a finding are still to be judged is marked in the store, as
// tellings to nobody: under IDs of their own, so that they make no room for one
// another.
const markedFor = "unjudged"

func markID(f *Finding, part int) string { return idOf("unjudged", f.ID, strconv.Itoa(part)) }

// markOf is the mark of one call. So many are in one part that those who mark at
// the same time fit besides.
func markOf(f *Finding, e *SignerEvent) Telling {
	state := stateOf(string(NotJudged), e.Account, e.ID)
	sum := hashed(string(state))
	return Telling{ID: markID(f, int(sum[0])%limits.WatchUnjudgedParts), State: state, To: markedFor, Image: state}
}

// mark notes that e is to be judged before f is over. Where there is no room it
// is noted that some are, which nothing ends.
func (w *Watcher) mark(ctx context.Context, f *Finding, e *SignerEvent, until time.Time) error {
	t := markOf(f, e)
	have, err := w.Store.Tellings(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("ask which calls of finding %s are to be judged: %w", f.ID, err)
	}
	if !marked(have, t) && len(have) >= limits.WatchUnjudged {
		t.State = stateOf("more")
		t.Image = t.State
	}
	return w.note(ctx, f, t, until)
}

func marked(have []Telling, t Telling) bool {
	return slices.ContainsFunc(have, func(one Telling) bool { return one.State == t.State && one.To == t.To })
}

func (w *Watcher) note(ctx context.Context, f *Finding, t Telling, until time.Time) error {
	now := w.Now()
	turn, err := w.Store.Tell(ctx, t, now, 0, max(until.Sub(now), time.Second))
	if err == nil && turn != Silent {
		err = w.Store.Told(context.WithoutCancel(ctx), t, w.Now())
	}
	if err != nil {
		return fmt.Errorf("note that a call of finding %s is to be judged: %w", f.ID, err)
	}
	return nil
}

// unmark notes that e is judged. Where it was the last of its finding, that is
// over.
func (w *Watcher) unmark(ctx context.Context, over Finding, e *SignerEvent, r *Result, until time.Time) error {
	t := markOf(&over, e)
	have, err := w.Store.Tellings(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("ask which calls of finding %s are to be judged: %w", over.ID, err)
	}
	at := slices.IndexFunc(have, func(one Telling) bool { return one.State == t.State && one.To == t.To })
	if at < 0 {
		return nil
	}
	if was, err := w.Store.Forget(ctx, have[at]); err != nil || !was {
		return err // or another has it in hand
	}
	left, err := w.anyMarked(ctx, &over)
	if err == nil && !left {
		_, err = w.resolveOne(ctx, &r.Told, &over, func(Telling, time.Time) bool { return true })
	}
	if err != nil { // it comes again, and is to be the last again
		err = errors.Join(err, w.note(context.WithoutCancel(ctx), &over, t, until))
	}
	return err
}

// anyMarked says whether a call of f is still to be judged.
func (w *Watcher) anyMarked(ctx context.Context, f *Finding) (bool, error) {
	for part := range limits.WatchUnjudgedParts {
		have, err := w.Store.Tellings(ctx, markID(f, part))
		if err != nil {
			return false, fmt.Errorf("ask which calls of finding %s are to be judged: %w", f.ID, err)
		}
		if len(have) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// acted is what the caller did, whatever a policy says of it.
func (j *signerJudge) acted() string {
	if slices.Contains(signs, j.e.Action) {
		return j.did("signed", "tried to sign") + " " + j.what()
	}
	return fmt.Sprintf("%s %s%s", j.did("called", "tried to call"), oneLine(j.e.Action, 100), j.upon())
}
