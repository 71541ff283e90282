package admission

import (
	"context"
	"log/slog"
	"time"

	"github.com/shuin/shuin/pipeline"
)

// tell says what became of a request to the log, to who observes and to who is
// told of denials. Objects are not logged, only what they are called.
func (d *door) tell(ctx context.Context, q *question, a *answer, t *trouble, status int, took time.Duration) {
	d.logged(context.WithoutCancel(ctx), q, a, t, status, took)
	if d.Denied != nil && q.endpoint == Validate && t == nil && !a.Allowed && !q.dryRun {
		told := Denial{Object: q.names(), Outcome: pipeline.Deny, Message: a.Status.Message, User: printable(q.user), Verdict: q.verdict}
		if a.outcome != Denied {
			told.Outcome = pipeline.Undecided
		}
		if m := q.meta(); m != nil {
			o := m.owner
			told.Owner = Owner{printable(o.APIVersion), printable(o.Kind), printable(o.Name), printable(o.UID)}
		}
		d.Denied(told)
	}
	if d.Observe != nil {
		d.Observe(Observation{
			Endpoint: q.endpoint, Kind: q.observedKind(), Operation: q.observedOperation(), Outcome: a.outcome, Status: status,
			DryRun: q.dryRun, Images: len(q.images), Pinned: q.pinned, Took: took, Verdict: q.verdict,
		})
	}
}

func (d *door) logged(ctx context.Context, q *question, a *answer, t *trouble, status int, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case a.outcome == Failed:
		level = slog.LevelError
	case t != nil:
		level = slog.LevelWarn
	case a.outcome == Skipped:
		level = slog.LevelDebug
	}
	if !d.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs, slog.String("webhook", q.endpoint), slog.String("outcome", a.outcome), slog.Duration("took", took))
	if t != nil {
		attrs = append(attrs, slog.Int("status", status), slog.String("message", printable(t.text)))
	}
	if q.uid != "" {
		o := q.names()
		attrs = append(attrs, slog.String("review", printable(q.uid)), slog.String("operation", printable(q.operation)),
			slog.String("kind", o.Kind), slog.String("namespace", o.Namespace), slog.String("name", o.Name),
			slog.String("user", printable(q.user)), slog.Bool("dryRun", q.dryRun), slog.Int("images", len(q.images)))
		if o.Name == "" {
			attrs = append(attrs, slog.String("generateName", o.GenerateName))
		}
	}
	if q.pinned > 0 {
		attrs = append(attrs, slog.Int("pinned", q.pinned))
	}
	if a.Status != nil {
		attrs = append(attrs, slog.String("code", string(a.code)), slog.String("message", a.Status.Message))
	}
	err := a.err
	if t != nil && t.err != nil {
		err = t.err
	}
	if err != nil {
		attrs = append(attrs, slog.String("err", printable(err.Error())))
	}
	if q.verdict != nil {
		attrs = append(attrs, slog.String("policy", q.verdict.Policy.String()))
	}
	d.log.LogAttrs(ctx, level, "admission review", attrs...)
}
