package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/shuin/shuin/test/runtimeapi"
)

// function is the function as AWS Lambda runs one; the process comes with the
// first event.
type function struct {
	*runtimeapi.Function
	log *os.File
}

// answer is what became of an event. Failed: the function answered an error.
type answer struct {
	body   []byte
	failed bool
}

// openFunction serves the Runtime API. more goes before the settings that all
// have.
func (c *cloud) openFunction(more []string) (*function, error) {
	log, err := os.OpenFile(filepath.Join(c.dir, "function.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	f := &function{&runtimeapi.Function{Binary: c.function, ARN: functionARN, Timeout: c.timeout, Log: log}, log}
	f.Env = append(c.settings(),
		"AWS_LAMBDA_FUNCTION_NAME=shuin", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023", "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT="+filepath.Join(c.dir, "package"),
		"TZ=:UTC", "PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR="+c.dir)
	f.Env = append(f.Env, more...)
	if err := f.Serve(); err != nil {
		return nil, err
	}
	c.atEnd(f.Close)
	return f, nil
}

// invoke has the function handle an event. The error is of Lambda's own: no
// process, or no answer of it.
func (f *function) invoke(ctx context.Context, payload []byte) (answer, error) {
	r, err := f.Invoke(ctx, payload)
	switch {
	case err != nil:
		return answer{}, err
	case r.Error != nil && r.Body == nil:
		return answer{}, r.Error
	}
	return answer{body: r.Body, failed: r.Error != nil}, nil
}

// invoked answers Invoke ("Invoke", AWS Lambda API Reference), for `aws lambda
// invoke` and AWS's own services alike. Only waiting for the answer is known.
func (f *function) invoked(w http.ResponseWriter, r *http.Request) {
	if kind := r.Header.Get("X-Amz-Invocation-Type"); r.PathValue("name") != "shuin" || kind != "" && kind != "RequestResponse" {
		awsError(w, http.StatusBadRequest, "InvalidParameterValueException", "there is the function shuin, and it is invoked with RequestResponse")
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, runtimeapi.MaxPayload+1))
	if err != nil || len(payload) > runtimeapi.MaxPayload || !json.Valid(payload) {
		awsError(w, http.StatusBadRequest, "InvalidRequestContentException", "the payload is not JSON, or too large")
		return
	}
	a, err := f.invoke(r.Context(), payload)
	if err != nil {
		a = answer{body: errorBody(err), failed: true}
	}
	if a.failed {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	_, _ = w.Write(a.body)
}

// errorBody is what Lambda answers in the place of a function that did not.
func errorBody(err error) []byte {
	e := runtimeapi.FunctionError{Type: runtimeapi.ErrExited.Type, Message: err.Error()}
	if own, ok := errors.AsType[*runtimeapi.FunctionError](err); ok {
		e = *own
	}
	body, _ := json.Marshal(e) // of strings
	return body
}
