// Package runtimeapi runs a function's binary as AWS Lambda runs one: behind a
// server of the Lambda Runtime API on loopback ("Using the Lambda runtime API
// for custom runtimes", AWS Lambda Developer Guide, version 2018-06-01). The
// process is started for the first event and kept for the next; one that does
// not answer in time is killed, and another started.
//
// It reads no queue, knows no AWS but this, and judges no answer: what breaks
// the contract is written down for whoever asks.
package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"
)

// MaxPayload is what an event and an answer may have, in bytes ("Lambda
// quotas").
const MaxPayload = 6 << 20

// Function is one function. Binary, ARN, Env and Log are not changed after
// Serve; Timeout not while an event is under way.
type Function struct {
	Binary string
	ARN    string // told to the process with each event
	// Env is the process's whole environment, NAME=VALUE, but for where the
	// Runtime API is.
	Env []string
	// Log gets what the process writes; safe for concurrent use, unless it is a
	// file.
	Log io.Writer
	// Timeout is what an event may take; it counts from when it waits for the
	// process.
	Timeout time.Duration

	address string
	server  *http.Server
	one     sync.Mutex // one event at a time, as a process of Lambda's has it

	mu       sync.Mutex
	process  *exec.Cmd
	exited   chan struct{} // of process
	starts   int
	inits    []time.Duration
	began    time.Time
	waiting  chan *event // what the process is to be given
	current  *event
	failed   *FunctionError // POST /runtime/init/error
	breaches []string
	sequence int
}

// event is one invocation.
type event struct {
	id       string
	payload  []byte
	deadline time.Time
	answered chan Result
}

// Result is what became of an event.
type Result struct {
	Body  []byte
	Error *FunctionError // nil: the function answered
	// Took is from the event's arrival at the process to its answer.
	Took time.Duration
}

// FunctionError is what a function reports, or Lambda of it.
type FunctionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
	// Header is Lambda-Runtime-Function-Error-Type, of a start that failed.
	Header string `json:"-"`
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// Errors of Lambda's own.
var (
	ErrTimedOut = &FunctionError{Type: "Sandbox.Timedout", Message: "the function did not answer in time"}
	ErrExited   = &FunctionError{Type: "Runtime.ExitError", Message: "the function's process ended"}
)

// Serve serves the Runtime API. No process is started yet.
func (f *Function) Serve() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f.address = ln.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", f.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", f.error)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", f.initError)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { f.refuse(w, http.StatusNotFound, r, "no such path") })
	f.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = f.server.Serve(ln) }()
	return nil
}

// Close ends the process and the server.
func (f *Function) Close() {
	f.Stop()
	_ = f.server.Close()
}

// Breaches are requests that break the contract, so far.
func (f *Function) Breaches() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.breaches)
}

// Inits are, for each process that asked for an event, the time from its start
// to that.
func (f *Function) Inits() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.inits)
}

// Starts is how many processes were started.
func (f *Function) Starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts
}

// Events is how many events it was to handle.
func (f *Function) Events() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sequence
}

// Process is the process that runs; nil: none does.
func (f *Function) Process() *os.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process == nil {
		return nil
	}
	return f.process.Process
}

// Exited is closed when the process that was started last has ended; nil: none
// was started.
func (f *Function) Exited() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exited
}

func (f *Function) refuse(w http.ResponseWriter, status int, r *http.Request, why string) {
	f.mu.Lock()
	f.breaches = append(f.breaches, r.Method+" "+r.URL.Path+": "+why)
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errorMessage":%q,"errorType":"InvalidRequest"}`, why)
}

// next hands out the event that waits, or waits for one.
func (f *Function) next(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if !f.began.IsZero() {
		f.inits = append(f.inits, time.Since(f.began))
		f.began = time.Time{}
	}
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
	h.Set("Lambda-Runtime-Invoked-Function-Arn", f.ARN)
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")
	_, _ = w.Write(e.payload)
}

// answered takes the answer to the event that is under way.
func (f *Function) answered(w http.ResponseWriter, r *http.Request, of func(body []byte) Result) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	f.mu.Lock()
	e := f.current
	mine := e != nil && e.id == r.PathValue("id") && err == nil && len(body) <= MaxPayload
	if mine {
		f.current = nil
	}
	f.mu.Unlock()
	switch {
	case mine:
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"OK"}`)
		e.answered <- of(body)
	case err != nil:
	case len(body) > MaxPayload:
		f.refuse(w, http.StatusRequestEntityTooLarge, r, "the answer is larger than 6 MB")
	default:
		f.refuse(w, http.StatusBadRequest, r, "no event of that id is under way")
	}
}

func (f *Function) response(w http.ResponseWriter, r *http.Request) {
	f.answered(w, r, func(body []byte) Result { return Result{Body: body} })
}

func (f *Function) error(w http.ResponseWriter, r *http.Request) {
	f.answered(w, r, func(body []byte) Result { return Result{Body: body, Error: readError(body)} })
}

func (f *Function) initError(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	e := readError(body)
	e.Header = r.Header.Get("Lambda-Runtime-Function-Error-Type")
	f.mu.Lock()
	f.failed = e
	f.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func readError(body []byte) *FunctionError {
	e := &FunctionError{}
	if err := json.Unmarshal(body, e); err != nil {
		e.Message = "not JSON: " + string(body)
	}
	return e
}

// start starts a process where none runs.
func (f *Function) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process != nil {
		return nil
	}
	cmd := exec.Command(f.Binary)
	cmd.Env = append(slices.Clone(f.Env), "AWS_LAMBDA_RUNTIME_API="+f.address)
	cmd.Stdout, cmd.Stderr = f.Log, f.Log
	f.began, f.waiting, f.failed, f.current = time.Now(), make(chan *event), nil, nil
	f.starts++
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	f.process, f.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

// Stop kills the process, and waits for its end. The next event starts another.
func (f *Function) Stop() {
	f.mu.Lock()
	process, exited := f.process, f.exited
	f.process = nil
	f.mu.Unlock()
	if process == nil {
		return
	}
	_ = process.Process.Kill()
	<-exited
}

// Invoke has the function handle a payload, as a synchronous invocation does.
// The error of the result is what the function reported, or ErrTimedOut (ctx's
// end is that too), or ErrExited. The error beside it is that there is no
// process.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Result, error) {
	f.one.Lock()
	defer f.one.Unlock()
	if f.server == nil {
		return Result{}, errors.New("Serve was not called")
	}
	if err := f.start(); err != nil {
		return Result{}, err
	}
	f.mu.Lock()
	f.sequence++
	e := &event{id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", f.sequence), payload: payload, deadline: time.Now().Add(f.Timeout), answered: make(chan Result, 1)}
	waiting, exited := f.waiting, f.exited
	f.mu.Unlock()
	ctx, cancel := context.WithDeadline(ctx, e.deadline)
	defer cancel()
	began := time.Now()
	select {
	case waiting <- e:
	case <-exited:
		return f.ended(), nil
	case <-ctx.Done():
		f.Stop()
		return Result{Error: ErrTimedOut}, nil
	}
	select {
	case r := <-e.answered:
		r.Took = time.Since(began)
		return r, nil
	case <-exited:
		return f.ended(), nil
	case <-ctx.Done():
		f.Stop()
		return Result{Error: ErrTimedOut}, nil
	}
}

// ended is what Lambda answers where the process has ended: what its
// initialization reported, if it did.
func (f *Function) ended() Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.process = nil
	if f.failed != nil {
		return Result{Error: f.failed}
	}
	return Result{Error: ErrExited}
}
