package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notify"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// function is what stays of one invocation for the next: doors, caches, the
// policy in use.
type function struct {
	settings *settings
	policies *policies
	hook     *ecs.Hook
	watcher  *watch.Watcher
	ecs      *ecs.Client
	region   string // the function's own
	sources  registrySources
	metrics  *notify.Metrics
	now      func() time.Time
	busy     busyness
	sweeps   sweeps
}

// newFunction wires the function. It dials nothing: what is needed is fetched
// when it is. A policy in the package is read now, where that is for free.
func newFunction(s *settings, env func(string) string, logger *slog.Logger, stdout io.Writer) (*function, error) {
	caller := newCaller(logger)
	p, err := newPolicies(s, caller, env, logger)
	if err != nil {
		return nil, err
	}
	f := &function{
		settings: s, policies: p, now: time.Now, sources: p.options.Sources.(registrySources),
		ecs:     &ecs.Client{Caller: caller, Roles: s.roles()},
		region:  env("AWS_REGION"),
		metrics: newMetrics(s, env, stdout),
	}
	f.hook = f.newHook()
	if f.watcher, err = f.newWatcher(caller, env, stdout); err != nil {
		return nil, err
	}
	if p.file != "" && !s.Policy.SignedBy.set() { // a signature may take the network, and the start has 10 s
		_, _ = p.current(withLogger(context.Background(), logger)) // what is wrong is logged, and found again when it matters
	}
	return f, nil
}

func newMetrics(s *settings, env func(string) string, stdout io.Writer) *notify.Metrics {
	return &notify.Metrics{W: stdout, Function: env("AWS_LAMBDA_FUNCTION_NAME"), Mode: s.Mode, Now: time.Now}
}

// newCaller signs calls of AWS with the function's credentials. Making it reads
// and dials nothing.
func newCaller(logger *slog.Logger) *awscall.Caller {
	version, _ := buildinfo.Version()
	return &awscall.Caller{
		UserAgent: "shuin-lambda/" + strings.TrimPrefix(version, "v"), Now: time.Now,
		Warn: func(message string) { logger.Warn("AWS", "text", oneLine(message)) },
	}
}

// Decide has the gate decide, and writes the decision down.
func (f *function) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	v := f.policies.decide(ctx, w)
	tallyOf(ctx).decided(v)
	logDecision(ctx, w, v)
	return v
}

// handle takes one payload.
func (f *function) handle(ctx context.Context, payload []byte) (body []byte, err error) {
	t := &tally{}
	ctx = withTally(ctx, t)
	err = errPanic // until something is returned
	defer func() {
		if err != nil {
			t.add(notify.Counts{Errors: 1})
		}
		var used digest.Digest
		if p := f.policies.policy(); p != nil {
			used = p.Digest()
		}
		if err := f.metrics.Write(t.counts(), map[string]string{"policy": used.String()}); err != nil {
			loggerOf(ctx).Error("metrics could not be written", "error", err)
		}
	}()
	fault(payload)
	e, err := ecs.Parse(payload)
	if err != nil {
		return nil, fmt.Errorf("the event cannot be read: %w", err)
	}
	ctx = withAbout(ctx, e)
	switch e.Kind {
	case ecs.KindHook:
		return json.Marshal(f.hook.Answer(ctx, e.Hook))
	case ecs.KindCodeDeploy:
		return nil, f.codeDeploy(ctx, e.CodeDeploy)
	case ecs.KindCodePipeline:
		return nil, f.codePipeline(ctx, e.CodePipeline)
	case ecs.KindSweep:
		return f.sweepNow(ctx)
	case ecs.KindBatch:
		return f.batch(ctx, e.Records)
	case ecs.KindDecide:
		return json.Marshal(f.Decide(ctx, *e.Decide))
	}
	ack, err := f.settle(ctx, e, false)
	if err == nil && !ack {
		err = &shuin.Error{Code: shuin.CodeUnavailable, Message: "the event is not settled, and has to come again"}
	}
	return nil, err
}

// settle brings one event to an end; ack says whether it is. The error is for
// what will be no better the next time. last: nobody will bring it again.
func (f *function) settle(ctx context.Context, e ecs.Event, last bool) (ack bool, err error) {
	var r *watch.Result
	switch e.Kind {
	case ecs.KindIrrelevant:
		loggerOf(ctx).Info("nothing has to be done", "reason", e.Reason)
		return true, nil
	case ecs.KindSigner:
		done := *e.Signer
		done.Last = last
		if done.Why = f.policies.lack(ctx); done.Why != nil {
			tallyOf(ctx).outcome(pipeline.Undecided)
		}
		r, err = f.watched(ctx, func(ctx context.Context, w *watch.Watcher) (*watch.Result, error) {
			return w.ObserveSigner(ctx, done)
		})
	case ecs.KindSeen:
		o, relevant, readErr := f.observation(ctx, e.Seen)
		if readErr != nil {
			return f.unread(ctx, e, readErr, last)
		}
		if !relevant {
			return true, nil
		}
		o.Last = last
		r, err = f.observe(counting(ctx, o), o)
		if o.Doubt != nil && err == nil && r.Verdict != nil {
			tallyOf(ctx).decided(r.Verdict)
		}
	case ecs.KindSweep:
		return f.sweepOnce(ctx, e)
	default:
		return false, fmt.Errorf("%s cannot come in a message", e.Kind)
	}
	if err != nil {
		return false, err
	}
	tallyOf(ctx).settled(r)
	logResult(ctx, r)
	if errors.Is(r.Reason, watch.ErrBusy) {
		return false, errBusy
	}
	return r.Ack(), nil
}

// errBusy: another is at it. It comes again, and this time was no try.
var errBusy = &shuin.Error{Code: shuin.CodeUnavailable, Message: "another is at it: the event has to come again"}

// unread is an event whose task definition could not be read. What is undecided
// comes again. In the end it is for the dead letters, from where it can be
// brought again: there is no image that a finding could be about, and none that
// anybody would find in order later.
func (f *function) unread(ctx context.Context, e ecs.Event, err error, last bool) (bool, error) {
	code := shuin.CodeOf(err)
	if code.Undecided() {
		tallyOf(ctx).outcome(pipeline.Undecided)
	}
	if !code.Undecided() || last {
		return false, fmt.Errorf("the images of %s could not be read: %w", e.What, err)
	}
	loggerOf(ctx).Error("the images could not be read: the event has to come again", "error", oneLine(err.Error()), "code", string(code), "hint", shuin.HintOf(err))
	return false, nil
}

// batch settles each message alone, a bounded number at a time. What is not
// settled is given back to its queue; a topic's messages cannot be given back
// one by one.
func (f *function) batch(ctx context.Context, records []ecs.Record) ([]byte, error) {
	acked := make([]bool, len(records))
	if slices.ContainsFunc(records, func(r ecs.Record) bool { return r.FIFO() }) {
		for i := range records { // their order counts, and what follows a failure comes again
			if acked[i] = f.recordInTime(ctx, &records[i], len(records)-i, 1); !acked[i] {
				break
			}
		}
	} else {
		places := make(chan struct{}, limits.LambdaBatch)
		var wg sync.WaitGroup
		for i := range records {
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				acked[i] = f.recordInTime(ctx, &records[i], len(records)-i, limits.LambdaBatch)
			})
		}
		wg.Wait()
	}
	index := make(map[*ecs.Record]int, len(records))
	topic := false
	for i := range records {
		index[&records[i]] = i
		topic = topic || records[i].Topic && !acked[i]
	}
	if topic {
		return nil, &shuin.Error{Code: shuin.CodeUnavailable, Message: "not every message of the topic is settled: they have to come again"}
	}
	var answer struct {
		Failures []failure `json:"batchItemFailures"`
	}
	answer.Failures = []failure{}
	for _, id := range ecs.Unsettled(records, func(r *ecs.Record) bool { return !acked[index[r]] }) {
		answer.Failures = append(answer.Failures, failure{id})
	}
	return json.Marshal(answer)
}

// failure names a message that the queue keeps ("Implementing partial batch
// responses", AWS Lambda Developer Guide).
type failure struct {
	ID string `json:"itemIdentifier"`
}

// recordInTime settles one message in its share of the invocation's time: a
// registry that hangs is not to use up what others need. left messages, it
// included, are to be settled, so many at a time. A sweep takes what there is.
func (f *function) recordInTime(ctx context.Context, r *ecs.Record, left, together int) bool {
	end, ok := ctx.Deadline()
	rounds := (left + together - 1) / together
	if ok && rounds > 1 && r.Event.Kind != ecs.KindSweep {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(rounds))
		defer cancel()
	}
	return f.record(ctx, r)
}

// record settles one message, and says whether it is settled. A panic is the
// message's own.
func (f *function) record(ctx context.Context, r *ecs.Record) (ack bool) {
	ctx = withLogger(ctx, loggerOf(ctx).With("message", r.ID, "received", r.Received))
	defer func() {
		if p := recover(); p != nil {
			logPanic(loggerOf(ctx), p)
			tallyOf(ctx).add(notify.Counts{Errors: 1})
			ack = false
		}
	}()
	if ctx.Err() != nil {
		return false // the time is over: it has not been begun
	}
	err := r.Err
	if err == nil {
		ctx = withAbout(ctx, r.Event)
		ack, err = f.settle(ctx, r.Event, r.Received-f.busy.of(r.ID) >= f.settings.Events.Receives)
	}
	switch {
	case errors.Is(err, errBusy):
		f.busy.came(r.ID)
		return false
	case ack && err == nil:
		f.busy.forget(r.ID)
	}
	if err != nil {
		tallyOf(ctx).add(notify.Counts{Errors: 1})
		loggerOf(ctx).Error("the message cannot be settled: its queue keeps it, and gives it up to its dead-letter queue",
			"error", oneLine(err.Error()), "code", string(shuin.CodeOf(err)), "hint", shuin.HintOf(err))
	}
	return ack && err == nil
}
