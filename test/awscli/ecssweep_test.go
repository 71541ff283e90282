//go:build e2e

package awscli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/watch"
)

// other is a second account, which is reached by a role.
const (
	other     = "444455556666"
	otherRole = "arn:aws:iam::444455556666:role/watch"
)

// assume has the AWS CLI's profile "other" be the role in the other account.
func (w *ecsWorld) assume(t *testing.T) {
	t.Helper()
	args := []string{"sts", "assume-role", "--role-arn", otherRole, "--role-session-name", "test"}
	var keys struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string }
	}
	if err := json.Unmarshal([]byte(w.cloud(t, "", args...)), &keys); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.dir, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[other]\naws_access_key_id=%s\naws_secret_access_key=%s\naws_session_token=%s\n",
		keys.Credentials.AccessKeyId, keys.Credentials.SecretAccessKey, keys.Credentials.SessionToken)
	if err := os.WriteFile(filepath.Join(w.dir, ".aws", "credentials"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill makes a cluster with a service, and tasks of its task definition; more
// are arguments for the AWS CLI.
func (w *ecsWorld) fill(t *testing.T, cluster string, tasks int, more ...string) {
	t.Helper()
	do := func(args ...string) { w.ecs(t, nil, append(args, more...)...) }
	do("create-cluster", "--cluster-name", cluster)
	do("register-task-definition", "--family", "shop", "--network-mode", "awsvpc", "--requires-compatibilities", "FARGATE", "--cpu", "256", "--memory", "512",
		"--container-definitions", `[{"name":"api","image":"`+cluster+`/shop:v1","memory":128},{"name":"log","image":"fluent","memory":64}]`)
	do("create-service", "--cluster", cluster, "--service-name", "shop", "--task-definition", "shop", "--desired-count", "0", "--launch-type", "FARGATE")
	subnet := w.cloud(t, "id", append([]string{"ec2", "describe-subnets", "--query", "Subnets[0].{id:SubnetId}"}, more...)...)
	group := w.cloud(t, "id", append([]string{"ec2", "describe-security-groups", "--query", "SecurityGroups[0].{id:GroupId}"}, more...)...)
	for left := tasks; left > 0; left -= 10 {
		do("run-task", "--cluster", cluster, "--task-definition", "shop", "--launch-type", "FARGATE", "--count", fmt.Sprint(min(left, 10)),
			"--network-configuration", "awsvpcConfiguration={subnets=["+subnet+"],securityGroups=["+group+"]}")
	}
}

// TestASweepOfMotoFindsWhatTheAWSCLIStarted sweeps two accounts, stops a task
// and deregisters its task definition.
func TestASweepOfMotoFindsWhatTheAWSCLIStarted(t *testing.T) {
	w, caller := newMoto(t)
	resp, err := http.Post(w.endpoint+"/moto-api/state-manager/set-transition", "application/json",
		strings.NewReader(`{"model_name":"ecs::task","transition":{"progression":"manual","times":100000}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	w.assume(t)
	w.fill(t, "prod", 12)
	w.fill(t, "stage", 3, "--profile", "other")

	var mu sync.Mutex
	var got []string
	var task, definition watch.Subject
	found := func(_ context.Context, f ecs.Found) error {
		mu.Lock()
		defer mu.Unlock()
		o := f.Observation
		line := fmt.Sprintf("%s of %s in %s: %d others:", o.Subject.Kind, o.Subject.Group, o.Where.Cluster, len(f.Others))
		for _, i := range o.Images {
			line += " " + i.Name + "=" + i.Written
		}
		if o.Subject.Account == other {
			line += " (" + other + ")"
			switch o.Subject.Kind {
			case watch.Task:
				task = o.Subject
			case watch.TaskDefinition:
				definition = o.Subject
			}
		}
		got = append(got, line)
		return nil
	}
	targets := []ecs.Target{{}, {As: awscall.As{Role: otherRole}, TaskDefinitions: true}, {As: awscall.As{Region: "eu-west-1"}, Clusters: []string{"none"}}}
	report, err := (&ecs.Sweep{Caller: caller, Targets: targets, Now: time.Now}).Run(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	images := func(cluster string) string {
		return "api=docker.io/" + cluster + "/shop:v1 log=docker.io/library/fluent:latest"
	}
	// moto's tasks have their first container only.
	want := []string{
		"service of service:shop in prod: 0 others: " + images("prod"),
		"service of service:shop in stage: 0 others: " + images("stage") + " (" + other + ")",
		"task of family:shop in prod: 11 others: api=docker.io/prod/shop:v1",
		"task of family:shop in stage: 2 others: api=docker.io/stage/shop:v1 (" + other + ")",
		"task-definition of family:shop in prod: 0 others: " + images("prod"),
		"task-definition of family:shop in stage: 0 others: " + images("stage") + " (" + other + ")",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(report.Failures) != 1 || shuin.CodeOf(report.Err()) != shuin.CodeNotFound || !strings.Contains(report.Err().Error(), "sweep eu-west-1, cluster none") {
		t.Errorf("%v", report.Err())
	}
	t.Logf("%+v", report)

	c := &ecs.Client{Caller: caller, Roles: map[string]ecs.Role{other: {ARN: otherRole}}}
	for range 2 { // the second time it is done already
		if err := c.StopTask(t.Context(), task, "not admitted"); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := c.DeregisterTaskDefinition(t.Context(), definition, ""); err != nil {
			t.Errorf("deregister: %v", err)
		}
	}
	var shown struct {
		Tasks []struct {
			Reason string `json:"stoppedReason"`
		} `json:"tasks"`
	}
	w.ecs(t, &shown, "describe-tasks", "--cluster", "stage", "--tasks", task.ARN, "--profile", "other")
	if len(shown.Tasks) != 1 || shown.Tasks[0].Reason != "not admitted" {
		t.Errorf("%+v", shown)
	}
}
