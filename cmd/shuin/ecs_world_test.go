//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptECS stands in for ECS: each operation answers what the script says.
type scriptECS struct {
	mu      sync.Mutex
	answers map[string]ecsAnswer
}

type ecsAnswer struct {
	status int
	body   string
}

// cmdECS sets what an operation answers, and starts the service with the first:
// ecs OPERATION STATUS FILE. ASKED in it is the task definition's ARN.
func cmdECS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ecs OPERATION STATUS FILE")
	}
	status, err := strconv.Atoi(args[1])
	check(ts, err)
	body, err := os.ReadFile(ts.MkAbs(args[2]))
	check(ts, err)
	w := worldOf(ts)
	if w.ecs == nil {
		w.ecs = &scriptECS{answers: map[string]ecsAnswer{}}
		ts.Setenv("AWS_ENDPOINT_URL_ECS", serveScript(ts, w.ecs))
		ts.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLEEXAMPLE00")
		ts.Setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-shown-secret-access-key-0001")
	}
	w.ecs.mu.Lock()
	defer w.ecs.mu.Unlock()
	w.ecs.answers[args[0]] = ecsAnswer{status, os.Expand(string(body), ts.Getenv)}
}

// askedTask is the ARN of the task definition that r asks for.
func askedTask(r *http.Request) string {
	var in struct {
		Task string `json:"taskDefinition"`
	}
	if json.NewDecoder(r.Body).Decode(&in) == nil && !strings.HasPrefix(in.Task, "arn:") {
		return "arn:aws:ecs:us-west-2:111122223333:task-definition/" + in.Task
	}
	return in.Task
}

func (e *scriptECS) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	target, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	answer, ok := e.answers[operation]
	out.Header().Set("Content-Type", "application/x-amz-json-1.1")
	out.Header().Set("x-amzn-RequestId", "ecs-request-1")
	switch {
	case target != "AmazonEC2ContainerServiceV20141113" || !strings.Contains(r.Header.Get("Authorization"), "/us-west-2/ecs/aws4_request"):
		http.Error(out, `{"__type":"InvalidSignatureException","message":"not for here"}`, http.StatusForbidden)
	case !ok:
		http.Error(out, `{"__type":"ClientException","message":"no answer is set"}`, http.StatusBadRequest)
	default:
		out.WriteHeader(answer.status)
		_, _ = out.Write([]byte(strings.ReplaceAll(answer.body, "ASKED", askedTask(r))))
	}
}
