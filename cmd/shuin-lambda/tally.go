package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notify"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// tally counts what one invocation did. Safe for concurrent use.
type tally struct {
	mu sync.Mutex
	n  notify.Counts
}

type tallyKey struct{}

func withTally(ctx context.Context, t *tally) context.Context {
	return context.WithValue(ctx, tallyKey{}, t)
}

// tallyOf is the invocation's; one that nobody reads where there is none.
func tallyOf(ctx context.Context) *tally {
	if t, ok := ctx.Value(tallyKey{}).(*tally); ok {
		return t
	}
	return &tally{}
}

func (t *tally) add(c notify.Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &t.n
	n.Decided += c.Decided
	n.Admitted += c.Admitted
	n.Denied += c.Denied
	n.Undecided += c.Undecided
	n.Findings += c.Findings
	n.Told += c.Told
	n.Reactions += c.Reactions
	n.Errors += c.Errors
}

func (t *tally) counts() notify.Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

func (t *tally) decided(v *gate.Verdict) { t.outcome(v.Outcome) }

func (t *tally) outcome(o pipeline.Outcome) {
	c := notify.Counts{Decided: 1}
	switch o {
	case pipeline.Admit:
		c.Admitted = 1
	case pipeline.Deny:
		c.Denied = 1
	default:
		c.Undecided = 1
	}
	t.add(c)
}

func (t *tally) settled(r *watch.Result) {
	c := toldOf(r.Told)
	c.Findings = len(r.Findings)
	if r.Reaction.Done {
		c.Reactions = 1
	}
	if r.Reaction.Err != nil {
		c.Errors++
	}
	t.add(c)
}

// toldOf counts what was sent, and what could not be.
func toldOf(told []watch.Delivery) (c notify.Counts) {
	for _, d := range told {
		if d.Err != nil {
			c.Errors++
		} else {
			c.Told++
		}
	}
	return c
}

// withAbout has every line of the log say which event it is about; those of a
// batch are about the events in it.
func withAbout(ctx context.Context, e ecs.Event) context.Context {
	if e.Kind == ecs.KindBatch {
		return ctx
	}
	l := loggerOf(ctx).With("kind", e.Kind.String(), "event", oneLine(e.What))
	if e.ID != "" {
		l = l.With("eventId", oneLine(e.ID))
	}
	switch {
	case e.Hook != nil:
		l = l.With("subject", oneLine(e.Hook.Service), "revision", oneLine(e.Hook.Revision))
	case e.Seen != nil:
		l = l.With("subject", oneLine(e.Seen.Observation.Subject.ARN))
	}
	return withLogger(ctx, l)
}

// logDecision writes the line that every decision has: with the whole verdict
// where CloudWatch takes a line of that length, else with what stands in the
// way.
func logDecision(ctx context.Context, w gate.Workload, v *gate.Verdict) {
	level := slog.LevelInfo
	if v.Outcome != pipeline.Admit {
		level = slog.LevelWarn
	}
	attrs := []any{"outcome", v.Outcome.String(), "allowed", v.Allowed, "policy", v.Policy.String(), "cluster", w.Where.Cluster, "images", len(v.Images)}
	body, err := json.Marshal(v)
	switch {
	case err != nil:
		attrs = append(attrs, "error", err.Error())
	case len(body) <= limits.LambdaLogBytes:
		attrs = append(attrs, "verdict", rawJSON(body))
	default:
		attrs = append(attrs, "verdictBytes", len(body))
	}
	loggerOf(ctx).Log(ctx, level, "decision", attrs...)
	if len(body) > limits.LambdaLogBytes {
		for i := range v.Images {
			if iv := &v.Images[i]; iv.Outcome != pipeline.Admit {
				loggerOf(ctx).Log(ctx, level, "decision about an image", "line", iv.Line())
			}
		}
	}
}

// rawJSON is JSON that is written as it is.
type rawJSON jsontext.Value

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// logResult writes what became of an observation.
func logResult(ctx context.Context, r *watch.Result) {
	l := loggerOf(ctx)
	attrs := []any{"disposition", r.Disposition.String(), "findings", len(r.Findings), "told", len(r.Told)}
	if r.Reason != nil {
		attrs = append(attrs, "reason", oneLine(r.Reason.Error()))
		if known, ok := errors.AsType[*shuin.Error](r.Reason); ok { // duplicates and what is busy have none
			attrs = append(attrs, "code", string(shuin.CodeOf(known)))
		}
	}
	if r.Reaction.Reaction != "" {
		attrs = append(attrs, "reaction", string(r.Reaction.Reaction), "done", r.Reaction.Done, "why", oneLine(r.Reaction.Why), "finding", r.Reaction.Finding)
	}
	l.Info("the event", attrs...)
	logTold(l, r.Told)
	if err := r.Reaction.Err; err != nil {
		l.Error("a reaction failed", "reaction", string(r.Reaction.Reaction), "error", oneLine(err.Error()), "hint", shuin.HintOf(err))
	}
}

// logTold writes what was sent, and to whom.
func logTold(l *slog.Logger, told []watch.Delivery) {
	for _, d := range told {
		if d.Err != nil {
			l.Error("a finding could not be sent", "to", d.To, "finding", d.Finding.ID, "error", oneLine(d.Err.Error()), "hint", shuin.HintOf(d.Err))
		} else {
			l.Info("a finding was sent", "to", d.To, "finding", d.Finding.ID, "reminder", d.Reminder, "resolved", d.Finding.Resolved)
		}
	}
}
