package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lambdaFunction is a Lambda function as AWS runs one: a bootstrap binary in a
// process that is started for the first event and kept for the next, behind
// the Runtime API ("Using the Lambda runtime API for custom runtimes", AWS
// Lambda Developer Guide, version 2018-06-01). A process that does not answer
// in time is killed, and another started for the next event.
type lambdaFunction struct {
	tb      testing.TB
	binary  string
	env     []string
	timeout time.Duration
	address string
	server  *http.Server

	invoking sync.Mutex // one event at a time, as Lambda has it

	mu       sync.Mutex
	process  *exec.Cmd
	exited   chan struct{} // of process
	logs     *logs
	starts   int
	init     []time.Duration // start of the process to its first request
	began    time.Time
	waiting  chan *event // what the process is to be given
	current  *event
	failed   *functionError // POST /runtime/init/error
	unwanted []string       // requests that break the contract
	sequence int
}

// event is one invocation.
type event struct {
	id       string
	payload  []byte
	deadline time.Time
	answered chan result
}

// result is what became of it.
type result struct {
	Body  []byte
	Error *functionError
	// Took is from the event's arrival at the process to its answer.
	Took time.Duration
}

// functionError is what a function reports, or Lambda of it.
type functionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
	Header  string `json:"-"` // Lambda-Runtime-Function-Error-Type
}

// logs is what the process wrote. Safe for concurrent use.
type logs struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed by the next write
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.buf.Write(p)
}

// has says whether text is or will soon be in the log: what a process wrote
// before its answer may come after it.
func (l *logs) has(text string) bool {
	return l.wait(func(all string) bool { return strings.Contains(all, text) })
}

// wait waits for the log to be as it should, and says whether it is.
func (l *logs) wait(is func(all string) bool) bool {
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		l.mu.Lock()
		there := is(l.buf.String())
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-more:
		case <-limit.C:
			return false
		}
	}
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newLambda makes a function of the binary; no process is started yet.
func newLambda(tb testing.TB, binary string, timeout time.Duration, env map[string]string) *lambdaFunction {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &lambdaFunction{tb: tb, binary: binary, timeout: timeout, address: ln.Addr().String(), logs: &logs{}}
	all := map[string]string{
		"AWS_LAMBDA_RUNTIME_API": f.address, "AWS_LAMBDA_FUNCTION_NAME": "shuin", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "_HANDLER": "bootstrap", "LAMBDA_TASK_ROOT": "/var/empty", "LAMBDA_RUNTIME_DIR": "/var/runtime",
		"TZ": ":UTC", "PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": tb.TempDir(),
	}
	for name, value := range env {
		all[name] = value
	}
	for name, value := range all {
		f.env = append(f.env, name+"="+value)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", f.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", f.error)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", f.initError)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { f.refuse(w, http.StatusNotFound, r, "no such path") })
	f.server = &http.Server{Handler: mux}
	go func() { _ = f.server.Serve(ln) }()
	tb.Cleanup(func() {
		f.stop()
		_ = f.server.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, one := range f.unwanted {
			tb.Errorf("the Runtime API was asked %s", one)
		}
		if tb.Failed() {
			tb.Logf("the function's log:\n%s", f.logs)
		}
	})
	return f
}

func (f *lambdaFunction) refuse(w http.ResponseWriter, status int, r *http.Request, why string) {
	f.mu.Lock()
	f.unwanted = append(f.unwanted, r.Method+" "+r.URL.Path+": "+why)
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errorMessage":%q,"errorType":"InvalidRequest"}`, why)
}

// next hands out the event that waits, or waits for one.
func (f *lambdaFunction) next(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if !f.began.IsZero() {
		f.init = append(f.init, time.Since(f.began))
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
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":"+account+":function:shuin")
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")
	_, _ = w.Write(e.payload)
}

// answered takes the answer to the event that is under way.
func (f *lambdaFunction) answered(w http.ResponseWriter, r *http.Request, of func(body []byte) result) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 6<<20+1))
	f.mu.Lock()
	e := f.current
	f.mu.Unlock()
	switch {
	case e == nil || e.id != r.PathValue("id"):
		f.refuse(w, http.StatusBadRequest, r, "no event of that id is under way")
		return
	case err != nil:
		return
	case len(body) > 6<<20:
		f.refuse(w, http.StatusRequestEntityTooLarge, r, "the answer is larger than 6 MB")
		return
	}
	f.mu.Lock()
	f.current = nil
	f.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
	e.answered <- of(body)
}

func (f *lambdaFunction) response(w http.ResponseWriter, r *http.Request) {
	f.answered(w, r, func(body []byte) result { return result{Body: body} })
}

func (f *lambdaFunction) error(w http.ResponseWriter, r *http.Request) {
	f.answered(w, r, func(body []byte) result {
		var e functionError
		if err := json.Unmarshal(body, &e); err != nil {
			e.Message = "not JSON: " + string(body)
		}
		return result{Error: &e}
	})
}

func (f *lambdaFunction) initError(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	e := &functionError{Header: r.Header.Get("Lambda-Runtime-Function-Error-Type")}
	if err := json.Unmarshal(body, e); err != nil {
		e.Message = "not JSON: " + string(body)
	}
	f.mu.Lock()
	f.failed = e
	f.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

// start starts a process where none runs.
func (f *lambdaFunction) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process != nil {
		return nil
	}
	cmd := exec.Command(f.binary)
	cmd.Env, cmd.Stdout, cmd.Stderr = f.env, f.logs, f.logs
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

// stop kills the process, and waits for its end.
func (f *lambdaFunction) stop() {
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

// signal sends the process a signal.
func (f *lambdaFunction) signal(s syscall.Signal) {
	f.tb.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.process.Process.Signal(s); err != nil {
		f.tb.Fatal(err)
	}
}

// peak is the most memory that the running process had, in bytes (Linux).
func (f *lambdaFunction) peak() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.process.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// errors of Lambda's own.
var (
	errTimedOut = &functionError{Type: "Sandbox.Timedout"}
	errExited   = &functionError{Type: "Runtime.ExitError"}
)

// invoke has the function handle a payload, as a synchronous invocation does.
func (f *lambdaFunction) invoke(payload any) result {
	f.tb.Helper()
	f.invoking.Lock()
	defer f.invoking.Unlock()
	data, ok := payload.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(payload); err != nil {
			f.tb.Fatal(err)
		}
	}
	if err := f.start(); err != nil {
		f.tb.Fatal(err)
	}
	f.mu.Lock()
	f.sequence++
	e := &event{id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", f.sequence), payload: data, answered: make(chan result, 1)}
	waiting, exited := f.waiting, f.exited
	f.mu.Unlock()
	// The function's time counts from when its process is ready for it.
	e.deadline = time.Now().Add(f.timeout)
	ctx, cancel := context.WithDeadline(context.Background(), e.deadline)
	defer cancel()
	began := time.Now()
	select {
	case waiting <- e:
	case <-exited:
		return f.ended()
	case <-ctx.Done():
		f.stop()
		return result{Error: errTimedOut}
	}
	select {
	case r := <-e.answered:
		r.Took = time.Since(began)
		return r
	case <-exited:
		return f.ended()
	case <-ctx.Done():
		f.stop()
		return result{Error: errTimedOut}
	}
}

// ended is what Lambda answers where the process has ended: what its
// initialization reported, if it did.
func (f *lambdaFunction) ended() result {
	f.mu.Lock()
	f.process = nil
	failed := f.failed
	f.mu.Unlock()
	if failed != nil {
		return result{Error: failed}
	}
	return result{Error: errExited}
}

// mustBody is the answer of an invocation that is to succeed.
func (r result) mustBody(tb testing.TB) []byte {
	tb.Helper()
	if r.Error != nil {
		tb.Fatalf("the function failed: %s: %s", r.Error.Type, r.Error.Message)
	}
	return r.Body
}
