package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// function is the function as AWS Lambda runs one: a process that is started
// for the first event and kept for the next, behind the Runtime API ("Using the
// Lambda runtime API for custom runtimes", AWS Lambda Developer Guide, version
// 2018-06-01). One that does not answer in time is killed.
type function struct {
	binary  string
	env     []string
	log     *os.File
	timeout time.Duration

	one sync.Mutex // one event at a time, as a process of Lambda's has it
	seq int

	mu      sync.Mutex
	process *exec.Cmd
	exited  chan struct{}
	waiting chan *event
	current *event
}

// event is one invocation.
type event struct {
	id       string
	payload  []byte
	deadline time.Time
	answered chan answer
}

// answer is what became of it. Failed: the function answered an error, or none.
type answer struct {
	body   []byte
	failed bool
}

// maxPayload is what an event and an answer may have ("Lambda quotas").
const maxPayload = 6 << 20

// openFunction serves the Runtime API; the process comes with the first event.
// more goes before the settings that all have.
func (c *cloud) openFunction(more []string) (*function, error) {
	log, err := os.OpenFile(filepath.Join(c.dir, "function.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	f := &function{binary: c.function, log: log, timeout: c.timeout}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { f.take(w, r, false) })
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { f.take(w, r, true) })
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(log, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	port, err := c.serve(mux)
	if err != nil {
		return nil, err
	}
	f.env = append(c.settings(),
		"AWS_LAMBDA_RUNTIME_API=127.0.0.1:"+port, "AWS_LAMBDA_FUNCTION_NAME=shuin", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023", "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT="+filepath.Join(c.dir, "package"),
		"TZ=:UTC", "PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR="+c.dir)
	f.env = append(f.env, more...)
	c.atEnd(f.stop)
	return f, nil
}

// next hands out the event that waits, or waits for one.
func (f *function) next(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	waiting := f.waiting
	f.mu.Unlock()
	var e *event
	select {
	case e = <-waiting:
	case <-r.Context().Done():
		return
	}
	f.mu.Lock()
	f.current = e
	f.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", e.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", functionARN)
	_, _ = w.Write(e.payload)
}

// take takes the answer to the event that is under way.
func (f *function) take(w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	f.mu.Lock()
	e := f.current
	mine := err == nil && e != nil && e.id == r.PathValue("id") && len(body) <= maxPayload
	if mine {
		f.current = nil
	}
	f.mu.Unlock()
	if !mine {
		http.Error(w, "no event of that id is under way, or the answer is too large", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	e.answered <- answer{body, failed}
}

// start starts a process where none runs.
func (f *function) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process != nil {
		return nil
	}
	cmd := exec.Command(f.binary)
	cmd.Env, cmd.Stdout, cmd.Stderr = f.env, f.log, f.log
	f.waiting, f.current = make(chan *event), nil
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	f.process, f.exited = cmd, exited
	go func() { _ = cmd.Wait(); close(exited) }()
	return nil
}

// stop kills the process, and waits for its end.
func (f *function) stop() {
	f.mu.Lock()
	process, exited := f.process, f.exited
	f.process = nil
	f.mu.Unlock()
	if process != nil {
		_ = process.Process.Kill()
		<-exited
	}
}

var errNoAnswer = errors.New("the function did not answer")

// invoke has the function handle an event. The error is of Lambda's own: no
// process, or no answer of it.
func (f *function) invoke(ctx context.Context, payload []byte) (answer, error) {
	f.one.Lock()
	defer f.one.Unlock()
	if err := f.start(); err != nil {
		return answer{}, err
	}
	f.mu.Lock()
	f.seq++
	e := &event{id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", f.seq), payload: payload, deadline: time.Now().Add(f.timeout), answered: make(chan answer, 1)}
	waiting, exited := f.waiting, f.exited
	f.mu.Unlock()
	ctx, cancel := context.WithDeadline(ctx, e.deadline)
	defer cancel()
	select {
	case waiting <- e:
	case <-exited:
		f.stop()
		return answer{}, fmt.Errorf("%w: its process ended", errNoAnswer)
	case <-ctx.Done():
		f.stop()
		return answer{}, fmt.Errorf("%w: it is not ready in time", errNoAnswer)
	}
	select {
	case a := <-e.answered:
		return a, nil
	case <-exited:
		f.stop()
		return answer{}, fmt.Errorf("%w: its process ended", errNoAnswer)
	case <-ctx.Done():
		f.stop()
		return answer{}, fmt.Errorf("%w in time", errNoAnswer)
	}
}

// invoked answers Invoke ("Invoke", AWS Lambda API Reference), for `aws lambda
// invoke` and AWS's own services alike. Only waiting for the answer is known.
func (f *function) invoked(w http.ResponseWriter, r *http.Request) {
	if kind := r.Header.Get("X-Amz-Invocation-Type"); r.PathValue("name") != "shuin" || kind != "" && kind != "RequestResponse" {
		awsError(w, http.StatusBadRequest, "InvalidParameterValueException", "there is the function shuin, and it is invoked with RequestResponse")
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil || len(payload) > maxPayload || !json.Valid(payload) {
		awsError(w, http.StatusBadRequest, "InvalidRequestContentException", "the payload is not JSON, or too large")
		return
	}
	a, err := f.invoke(r.Context(), payload)
	if err != nil {
		a = answer{body: fmt.Appendf(nil, `{"errorType":"Runtime.ExitError","errorMessage":%q}`, err), failed: true}
	}
	if a.failed {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	_, _ = w.Write(a.body)
}
