//go:build unix

package main

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptAWS stands in for AWS: each operation answers what the script says.
type scriptAWS struct {
	mu      sync.Mutex
	answers map[string]ecsAnswer
}

// cmdAWS sets what an operation answers, and starts the services with the
// first: aws OPERATION STATUS FILE. The AWS CLI of the machine is not meant.
func cmdAWS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: aws OPERATION STATUS FILE")
	}
	status, err := strconv.Atoi(args[1])
	check(ts, err)
	body, err := os.ReadFile(ts.MkAbs(args[2]))
	check(ts, err)
	w := worldOf(ts)
	if w.aws == nil {
		w.aws = &scriptAWS{answers: map[string]ecsAnswer{}}
		ts.Setenv("AWS_ENDPOINT_URL", serveScript(ts, w.aws))
		ts.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLEEXAMPLE00")
		ts.Setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-shown-secret-access-key-0001")
		ts.Setenv("AWS_REGION", "us-west-2")
	}
	w.aws.mu.Lock()
	defer w.aws.mu.Unlock()
	w.aws.answers[args[0]] = ecsAnswer{status, string(body)}
}

// operationOf is the operation that a request asks for, by protocol.
func operationOf(r *http.Request) string {
	if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return operation[strings.LastIndexByte(operation, '.')+1:]
	}
	switch path := r.URL.Path; {
	case r.Method == http.MethodPost:
		return r.PostFormValue("Action")
	case strings.HasSuffix(path, "/configuration"):
		return "GetFunctionConfiguration"
	case strings.Contains(path, "/event-source-mappings/"):
		return "GetEventSourceMapping"
	}
	return "GetObject"
}

func (e *scriptAWS) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	operation := operationOf(r)
	e.mu.Lock()
	defer e.mu.Unlock()
	answer, ok := e.answers[operation]
	// A signature lies beside its bundle, and a queue is one of two: their own
	// answers go before the operation's.
	if own, there := e.answers[operation+":digest"]; there && strings.Contains(r.URL.Path, ".sha256-") {
		answer, ok = own, true
	} else if own, there := e.answers[operation+":signature"]; there && strings.HasSuffix(r.URL.Path, ".jws.sig") {
		answer, ok = own, true
	}
	if operation == "GetQueueAttributes" {
		body := make([]byte, 2000)
		n, _ := r.Body.Read(body)
		if strings.Contains(string(body[:n]), "DeadLetterQueue") {
			if own, there := e.answers[operation+":DeadLetterQueue"]; there {
				answer, ok = own, true
			}
		}
	}
	out.Header().Set("x-amzn-RequestId", "aws-request-1")
	switch {
	case !strings.Contains(r.Header.Get("Authorization"), "/us-west-2/"):
		http.Error(out, `{"__type":"InvalidSignatureException","message":"not for here"}`, http.StatusForbidden)
	case !ok:
		http.Error(out, `{"__type":"AccessDeniedException","message":"no answer is set for `+operation+`"}`, http.StatusForbidden)
	default:
		out.WriteHeader(answer.status)
		_, _ = out.Write([]byte(answer.body))
	}
}
