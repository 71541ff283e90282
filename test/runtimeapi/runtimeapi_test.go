package runtimeapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test's own binary is the function: what it does the event says.
const asFunction = "RUNTIMEAPI_TEST_FUNCTION"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		behave()
		return
	}
	os.Exit(m.Run())
}

// behave is a process that asks for events and does what they say.
func behave() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	post := func(path, body string) {
		if resp, err := http.Post(base+path, "application/json", strings.NewReader(body)); err == nil {
			resp.Body.Close()
		}
	}
	fmt.Println("started")
	if os.Getenv(asFunction) == "broken" {
		post("init/error", `{"errorMessage":"no configuration","errorType":"Test.CannotStart"}`)
		return
	}
	for {
		resp, err := http.Get(base + "invocation/next")
		if err != nil {
			return
		}
		payload, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		id := resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
		switch string(payload) {
		case `"exit"`:
			return
		case `"hang"`:
			time.Sleep(time.Hour)
		case `"fail"`:
			post("invocation/"+id+"/error", `{"errorMessage":"no","errorType":"Test.No"}`)
		case `"another"`:
			post("invocation/another/response", `"of another"`)
			post("invocation/"+id+"/response", `"own"`)
		case `"large"`:
			post("invocation/"+id+"/response", strings.Repeat("a", MaxPayload+1))
			post("invocation/"+id+"/response", `"small"`)
		default:
			post("invocation/"+id+"/response", `{"arn":"`+resp.Header.Get("Lambda-Runtime-Invoked-Function-Arn")+`"}`)
		}
	}
}

type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func serve(t *testing.T, how string) *Function {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &Function{Binary: self, ARN: "arn:aws:lambda:x:1:function:f", Env: []string{asFunction + "=" + how}, Log: &buffer{}, Timeout: 20 * time.Second}
	if err := f.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestAFunctionIsRunAsLambdaRunsOne(t *testing.T) {
	f := serve(t, "sound")
	for _, c := range []struct {
		name, payload, body, kind string
		timeout                   time.Duration
		starts                    int // in all
	}{
		{"the first event starts a process", `"a"`, `{"arn":"arn:aws:lambda:x:1:function:f"}`, "", time.Minute, 1},
		{"which is kept for the next", `"b"`, `{"arn":"arn:aws:lambda:x:1:function:f"}`, "", time.Minute, 1},
		{"an error that it reports is its own", `"fail"`, `{"errorMessage":"no","errorType":"Test.No"}`, "Test.No", time.Minute, 1},
		{"and ends nothing", `"c"`, `{"arn":"arn:aws:lambda:x:1:function:f"}`, "", time.Minute, 1},
		{"a process that ends has no answer", `"exit"`, "", "Runtime.ExitError", time.Minute, 1},
		{"one that does not answer in time is killed", `"hang"`, "", "Sandbox.Timedout", 2 * time.Second, 2},
		{"and another is started", `"d"`, `{"arn":"arn:aws:lambda:x:1:function:f"}`, "", time.Minute, 3},
	} {
		f.Timeout = c.timeout
		r, err := f.Invoke(context.Background(), []byte(c.payload))
		kind := ""
		if r.Error != nil {
			kind = r.Error.Type
		}
		if err != nil || string(r.Body) != c.body || kind != c.kind || f.Starts() != c.starts {
			t.Errorf("%s: %s, %q, %v, after %d starts; want %s, %q, after %d", c.name, r.Body, kind, err, f.Starts(), c.body, c.kind, c.starts)
		}
	}
	if got := f.Breaches(); len(got) != 0 || f.Events() != 7 || len(f.Inits()) != 3 {
		t.Errorf("%q, %d events, %d starts that were heard of", got, f.Events(), len(f.Inits()))
	}
}

func TestWhatBreaksTheContractIsRefusedAndWrittenDown(t *testing.T) {
	f := serve(t, "sound")
	for payload, c := range map[string]struct{ body, breach string }{
		`"another"`: {`"own"`, "no event of that id"}, `"large"`: {`"small"`, "larger than 6 MB"},
	} {
		before := len(f.Breaches())
		r, err := f.Invoke(context.Background(), []byte(payload))
		if got := f.Breaches()[before:]; err != nil || string(r.Body) != c.body || len(got) != 1 || !strings.Contains(got[0], c.breach) {
			t.Errorf("%s: %s, %v, %q", payload, r.Body, err, got)
		}
	}
}

func TestAFunctionThatCannotStartSaysWhy(t *testing.T) {
	f := serve(t, "broken")
	r, err := f.Invoke(context.Background(), []byte(`"a"`))
	if err != nil || r.Error == nil || r.Error.Type != "Test.CannotStart" || r.Error.Message != "no configuration" {
		t.Errorf("%+v, %v", r.Error, err)
	}
	f.Binary += ".none"
	if _, err := f.Invoke(context.Background(), []byte(`"a"`)); err == nil {
		t.Error("a binary that is not there runs")
	}
}
