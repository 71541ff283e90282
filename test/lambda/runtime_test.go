package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shuin/shuin/test/runtimeapi"
)

// lambdaFunction is a Lambda function as AWS runs one, for a test.
type lambdaFunction struct {
	*runtimeapi.Function
	tb   testing.TB
	logs *logs
}

// result is what became of an event.
type result struct{ runtimeapi.Result }

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
	f := &lambdaFunction{tb: tb, logs: &logs{}}
	f.Function = &runtimeapi.Function{Binary: binary, ARN: "arn:aws:lambda:" + region + ":" + account + ":function:shuin", Timeout: timeout, Log: f.logs}
	all := map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": "shuin", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "_HANDLER": "bootstrap", "LAMBDA_TASK_ROOT": "/var/empty", "LAMBDA_RUNTIME_DIR": "/var/runtime",
		"TZ": ":UTC", "PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": tb.TempDir(),
	}
	for name, value := range env {
		all[name] = value
	}
	for name, value := range all {
		f.Env = append(f.Env, name+"="+value)
	}
	if err := f.Serve(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		f.Close()
		for _, one := range f.Breaches() {
			tb.Errorf("the Runtime API was asked %s", one)
		}
		if tb.Failed() {
			tb.Logf("the function's log:\n%s", f.logs)
		}
	})
	return f
}

// stop kills the process, and waits for its end.
func (f *lambdaFunction) stop() { f.Stop() }

// signal sends the process a signal.
func (f *lambdaFunction) signal(s syscall.Signal) {
	f.tb.Helper()
	if err := f.Process().Signal(s); err != nil {
		f.tb.Fatal(err)
	}
}

// hang stops a process, and waits until none of its threads runs any more: the
// signal takes them one after the other (Linux).
func hang(tb testing.TB, p *os.Process) {
	tb.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		running := 0
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid))
		if err != nil || len(threads) == 0 {
			tb.Fatalf("%d threads (%v)", len(threads), err)
		}
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			if _, state, _ := strings.Cut(string(text), ") "); err == nil && !strings.HasPrefix(state, "T") {
				running++
			}
		}
		if running == 0 {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%d threads run on", running)
		}
	}
}

// peak is the most memory that the running process had, in bytes (Linux).
func (f *lambdaFunction) peak() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.Process().Pid))
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

// invoke has the function handle a payload, as a synchronous invocation does.
func (f *lambdaFunction) invoke(payload any) result {
	f.tb.Helper()
	data, ok := payload.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(payload); err != nil {
			f.tb.Fatal(err)
		}
	}
	// Not the test's context: it ends before what a test cleans up.
	r, err := f.Invoke(context.Background(), data)
	if err != nil {
		f.tb.Fatal(err)
	}
	return result{r}
}

// mustBody is the answer of an invocation that is to succeed.
func (r result) mustBody(tb testing.TB) []byte {
	tb.Helper()
	if r.Error != nil {
		tb.Fatalf("the function failed: %s: %s", r.Error.Type, r.Error.Message)
	}
	return r.Body
}
