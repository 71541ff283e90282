package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notify"
)

// envRuntime is set by Lambda: where the Runtime API is.
const envRuntime = "AWS_LAMBDA_RUNTIME_API"

// edge is the outermost of the function: what happens to an invocation that
// panics, or does not end in time. In warn mode it answers a lifecycle hook
// SUCCEEDED whatever happened, for ECS rolls a deployment back whose hook
// fails, by an error too.
//
// It satisfies lambda.Handler.
type edge struct {
	log    *slog.Logger
	warn   bool
	margin time.Duration // of an invocation's time, kept for the answer
	now    func() time.Time
	// metrics are told what handle cannot tell.
	metrics *notify.Metrics
	// broken is why there is nothing to handle events: then handle is nil.
	broken error
	handle func(ctx context.Context, payload []byte) ([]byte, error)
	// release lets go on what waits for an answer by a call, in warn mode. known:
	// the payload is of that kind.
	release func(ctx context.Context, payload []byte) (known bool, err error)
}

// answer is what became of an invocation.
type answer struct {
	body []byte
	err  error
}

// nothing is the answer of who has none, in JSON.
var nothing = []byte("null")

// errLate is an invocation that has not ended when its time is nearly over.
var errLate = errors.New("the invocation's time was over")

// errPanic is a fault of ours; what it was is in the log.
var errPanic = errors.New("internal error: the function panicked; its log has the stack")

// Invoke takes one invocation.
func (e *edge) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	logger := e.log
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		logger = logger.With("requestId", lc.AwsRequestID)
	}
	ctx = withLogger(ctx, logger)
	a := e.inTime(ctx, payload)
	if a.err == nil && a.body == nil {
		return nothing, nil
	}
	if a.err == nil {
		return a.body, nil
	}
	logger.Error("the invocation failed", "error", oneLine(a.err.Error()), "code", string(shuin.CodeOf(a.err)), "hint", shuin.HintOf(a.err), "warn", e.warn)
	if e.handle == nil || errors.Is(a.err, errLate) { // nobody else counted it
		if err := e.metrics.Write(notify.Counts{Errors: 1}, nil); err != nil {
			logger.Error("metrics could not be written", "error", err)
		}
	}
	if !e.warn {
		return nil, a.err
	}
	if looksLikeHook(payload) {
		logger.Warn("the lifecycle hook is answered SUCCEEDED: the function is in warn mode, and could not answer otherwise")
		return []byte(`{"hookStatus":"SUCCEEDED"}`), nil
	}
	var known bool
	err := e.guarded(ctx, func(ctx context.Context) (err error) {
		known, err = e.release(ctx, payload)
		return err
	})
	switch {
	case err != nil:
		logger.Error("what waits for an answer could not be let go on", "error", oneLine(err.Error()), "hint", shuin.HintOf(err))
	case known:
		logger.Warn("what waited for an answer was let go on: the function is in warn mode, and could not answer otherwise")
		return nothing, nil
	}
	return nil, a.err
}

// inTime handles the payload, and answers in its place when it has not ended
// in time: the work goes on until its context, which ends before, stops it.
func (e *edge) inTime(ctx context.Context, payload []byte) answer {
	if e.handle == nil {
		return answer{err: fmt.Errorf("the function could not be set up: %w", e.broken)}
	}
	late := (<-chan time.Time)(nil)
	if deadline, ok := ctx.Deadline(); ok {
		left := deadline.Sub(e.now())
		margin := min(e.margin, left/limits.LambdaMarginPart)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
		timer := time.NewTimer(left - margin + margin/limits.LambdaLate)
		defer timer.Stop()
		late = timer.C
	}
	done := make(chan answer, 1)
	payload = bytes.Clone(payload) // its memory is used again once this has been answered
	go func() {
		var a answer
		a.err = e.guarded(ctx, func(ctx context.Context) (err error) {
			a.body, err = e.handle(ctx, payload)
			return err
		})
		done <- a
	}()
	select {
	case a := <-done:
		return a
	case <-late:
		return answer{err: errLate}
	}
}

// guarded does something, and makes an error of a panic.
func (e *edge) guarded(ctx context.Context, do func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			logPanic(loggerOf(ctx), p)
			err = errPanic
		}
	}()
	return do(ctx)
}

// logPanic logs what was panicked with, and the stack of who did.
func logPanic(logger *slog.Logger, p any) {
	stack := debug.Stack()
	logger.Error("panic", "panic", oneLine(fmt.Sprint(p)), "stack", string(stack[:min(len(stack), limits.LambdaStackBytes)]))
}

// looksLikeHook says whether a payload that perhaps cannot be read is of an
// ECS lifecycle hook. It is for warn mode alone, and may be wrong.
func looksLikeHook(payload []byte) (is bool) {
	defer func() {
		if recover() != nil {
			is = true
		}
	}()
	if e, err := ecs.Parse(payload); err == nil {
		return e.Kind == ecs.KindHook
	}
	return ecs.ProbablyHook(payload)
}

// releaser lets a deployment of CodeDeploy or a job of CodePipeline go on.
func releaser(c *ecs.Client) func(context.Context, []byte) (bool, error) {
	return func(ctx context.Context, payload []byte) (bool, error) {
		e, err := ecs.Parse(payload)
		switch {
		case err != nil:
			return false, nil // whose it is cannot be read
		case e.Kind == ecs.KindCodeDeploy:
			return true, c.PutHookStatus(ctx, e.CodeDeploy, true)
		case e.Kind == ecs.KindCodePipeline:
			return true, c.PutJobSuccess(ctx, e.CodePipeline.Job, ecs.JobResult{Summary: "not judged: the function failed, and is in warn mode"})
		}
		return false, nil
	}
}

// failedInit tells Lambda why the function cannot start ("Initialization
// error", AWS Lambda Developer Guide, "Using the Lambda runtime API for custom
// runtimes"). Whether that was heard changes nothing.
func failedInit(runtimeAPI string, why error) {
	text := why.Error()
	body, err := json.Marshal(struct {
		Message string   `json:"errorMessage"`
		Type    string   `json:"errorType"`
		Stack   []string `json:"stackTrace"`
	}{text[:min(len(text), limits.LambdaInitBytes)], "Shuin.CannotStart", []string{}})
	if err != nil {
		return
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+runtimeAPI+"/2018-06-01/runtime/init/error", bytes.NewReader(body))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Lambda-Runtime-Function-Error-Type", "Shuin.CannotStart")
	client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second} // no proxy: it is this machine
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
	}
}
