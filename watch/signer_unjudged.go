package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		if err := w.tellAll(ctx, r, until); err != nil {
			return err
		}
		return errUnjudged
	}
	for _, f := range JudgeSigner(p, *e) {
		f.Time, f.Policy = now, p.Digest()
		r.Findings = append(r.Findings, f)
	}
	if err := w.tellAll(ctx, r, until); err != nil || !e.alone() {
		return err // that it was not judged is not over before what there is to say of it is told
	}
	over := judged(e, p, now)
	_, err := w.resolveOne(ctx, &r.Told, &over, func(Telling, time.Time) bool { return true })
	return err
}

// alone says whether e is told by itself where it cannot be judged: what
// administers, and was done, is each time another thing.
func (e *SignerEvent) alone() bool { return e.ErrorCode == "" && !slices.Contains(signs, e.Action) }

// unjudged is the finding that nobody could say whether the policy foresees e.
// Of what signs there is one a day for profile and caller, for a pipeline signs a
// hundred times a day; of what was refused one for action and caller, who chooses
// which profiles to try. Such a finding stands for calls that nobody counts, so
// that nothing here says that it is over: who has brought them all again does.
func unjudged(e *SignerEvent, why error) Finding {
	j := &signerJudge{e: e}
	j.find()
	message := j.acted() + ": whether the policy foresees it could not be judged: " + why.Error()
	hint := "mend what is wrong with the policy, then bring the event again: CloudTrail has it, and an archive of EventBridge replays it"
	each := []string{"event", e.ID}
	if !e.alone() {
		day := e.At.UTC().Format(time.DateOnly)
		each = []string{"day", day}
		message += "; more of its calls of that day may be so, and are not told one by one"
		hint = fmt.Sprintf("mend what is wrong with the policy, then bring all its calls of %s (UTC) again, CloudTrail has them, and an archive of EventBridge replays them; what was judged already is dropped. Nothing says that this is over: close it when that is done", day)
	}
	j.add(NotJudged, Medium, "event", message, hint)
	f := j.out[0]
	f.ID = idOf(append(append(each, string(NotJudged), e.Account, e.Action, f.By), j.where(&f.Subject)...)...)
	f.State = stateOf(string(NotJudged), string(shuin.CodeOf(why)), string(f.Severity))
	f.Outcome, f.Code = pipeline.Undecided, shuin.CodeOf(why)
	return f
}

// judged is the finding that what unjudged told of e alone is over.
func judged(e *SignerEvent, p *pipeline.Policy, now time.Time) Finding {
	f := unjudged(e, errUnjudged)
	f.Resolved, f.Outcome, f.Severity, f.Code, f.Hint = true, pipeline.Admit, Low, "", ""
	f.Policy, f.Time = p.Digest(), now
	f.State = stateOf("resolved", string(f.Policy))
	j := &signerJudge{e: e}
	j.find()
	f.Message = oneLine("finding resolved: it was judged that "+j.acted()+"; what there is to say of it is told apart", limits.WatchMessageBytes)
	return f
}

// acted is what the caller did, whatever a policy says of it.
func (j *signerJudge) acted() string {
	if slices.Contains(signs, j.e.Action) {
		return j.did("signed", "tried to sign") + " " + j.what()
	}
	return fmt.Sprintf("%s %s%s", j.did("called", "tried to call"), oneLine(j.e.Action, 100), j.upon())
}
