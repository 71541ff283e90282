package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
)

// fakeMoto answers what the front asks of moto, and takes down what it was.
type fakeMoto struct {
	messages []received
	asked    []string
}

func (m *fakeMoto) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, _ := io.ReadAll(r.Body)
	var in struct {
		TaskDefinition string `json:"taskDefinition"`
		Receipt        string `json:"ReceiptHandle"`
	}
	_ = json.Unmarshal(body, &in)
	m.asked = append(m.asked, strings.TrimSpace(operation+" "+in.TaskDefinition+in.Receipt))
	switch operation {
	case "CreateService", "UpdateService":
		fmt.Fprintf(w, `{"service":{"serviceArn":"arn:aws:ecs:%[1]s:%[2]s:service/prod/shop","clusterArn":"arn:aws:ecs:%[1]s:%[2]s:cluster/prod","serviceName":"shop","taskDefinition":%[3]q}}`, region, account, in.TaskDefinition)
	case "DescribeTaskDefinition":
		fmt.Fprint(w, `{"taskDefinition":{"containerDefinitions":[{"name":"api","image":"r/shop@sha256:aa"}]}}`)
	case "DescribeTasks":
		fmt.Fprint(w, `{"tasks":[{"taskArn":"t","taskDefinitionArn":"shop:1","containers":[]}],"failures":[]}`)
	case "ReceiveMessage":
		_ = json.NewEncoder(w).Encode(map[string]any{"Messages": m.messages})
		m.messages = nil
	default:
		fmt.Fprint(w, `{}`)
	}
}

// call asks the front's ECS.
func call(t *testing.T, s *services, operation, body string) (status int, out string) {
	t.Helper()
	w := httptest.NewRecorder()
	if !s.answer(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)), operation) {
		t.Fatalf("%s is not answered", operation)
	}
	return w.Code, w.Body.String()
}

func TestDeploymentsEndAsTheirHooksAnswer(t *testing.T) {
	const hooked = `"deploymentConfiguration":{"strategy":"BLUE_GREEN","lifecycleHooks":[{"hookTargetArn":"` + functionARN + `","roleArn":"arn:aws:iam::` + account + `:role/hook","lifecycleStages":[%s],"hookDetails":{"own":1}}]}`
	const all = `"PRE_SCALE_UP","POST_SCALE_UP","PRODUCTION_TRAFFIC_SHIFT","POST_PRODUCTION_TRAFFIC_SHIFT"`
	for _, c := range []struct {
		name, status string
		answers      []string // of the second deployment, in order
		asked        []string // stage, weight of the new revision, details
	}{
		{"every hook succeeds", "SUCCESSFUL", []string{"", "", "", ""}, []string{
			"PRE_SCALE_UP", "POST_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT 100", "POST_PRODUCTION_TRAFFIC_SHIFT"}},
		{"the first fails: nothing was shifted", "ROLLBACK_SUCCESSFUL", []string{`{"hookStatus":"FAILED"}`}, []string{"PRE_SCALE_UP"}},
		{"the last fails: traffic goes back", "ROLLBACK_SUCCESSFUL", []string{"", "", "", `{"hookStatus":"FAILED"}`, ""}, []string{
			"PRE_SCALE_UP", "POST_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT 100", "POST_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT 0"}},
		{"the shift itself fails: traffic never moved", "ROLLBACK_SUCCESSFUL", []string{"", "", `{"hookStatus":"FAILED"}`}, []string{
			"PRE_SCALE_UP", "POST_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT 100"}},
		{"a hook that fails a rollback", "ROLLBACK_FAILED", []string{"", "", "", `{"hookStatus":"FAILED"}`, `{"hookStatus":"FAILED"}`}, []string{
			"PRE_SCALE_UP", "POST_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT 100", "POST_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT 0"}},
		{"a member that nobody knows is no answer", "ROLLBACK_SUCCESSFUL", []string{`{"hookStatus":"SUCCEEDED","status":"fine"}`}, []string{"PRE_SCALE_UP"}},
		{"it is asked again, with what it said", "SUCCESSFUL", []string{`{"hookStatus":"IN_PROGRESS","callBackDelay":1,"hookDetails":{"own":1,"n":2}}`, "", "", "", ""}, []string{
			"PRE_SCALE_UP", `PRE_SCALE_UP n`, "POST_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT 100", "POST_PRODUCTION_TRAFFIC_SHIFT"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			moto := &fakeMoto{}
			server := httptest.NewServer(moto)
			defer server.Close()
			var asked []string
			answers := []string{"", "", "", ""} // of the first deployment
			s := newServices(server.URL, func(_ context.Context, payload []byte) (answer, error) {
				var e hookEvent
				if err := json.Unmarshal(payload, &e); err != nil {
					t.Error(err)
				}
				line := e.Stage
				if w, ok := e.Details.Production[e.Details.Revision]; ok {
					line += fmt.Sprintf(" %d", w)
				}
				if strings.Contains(string(e.Hook), `"n"`) {
					line += " n"
				}
				asked = append(asked, line)
				a := `{"hookStatus":"SUCCEEDED"}`
				if answers[0] != "" {
					a = answers[0]
				}
				answers = answers[1:]
				return answer{body: []byte(a)}, nil
			})
			call(t, s, "CreateService", `{"serviceName":"shop","taskDefinition":"shop:1",`+fmt.Sprintf(hooked, all)+`}`)
			s.wait.Wait()
			asked, answers = nil, c.answers
			call(t, s, "UpdateService", `{"service":"shop","taskDefinition":"shop:2"}`)
			s.wait.Wait()
			_, out := call(t, s, "ListServiceDeployments", `{"cluster":"prod","service":"shop"}`)
			var got struct {
				Deployments []deployment `json:"serviceDeployments"`
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Deployments) != 2 || got.Deployments[0].Status != c.status {
				t.Errorf("%s %v, want %s first", out, err, c.status)
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("asked %q, want %q", asked, c.asked)
			}
			if back := moto.asked[len(moto.asked)-1] == "UpdateService shop:1"; back != (c.status == "ROLLBACK_SUCCESSFUL") {
				t.Errorf("moto was asked %q", moto.asked)
			}
		})
	}
}

func TestTasksAreStartedByWhatTheirTagsNameThen(t *testing.T) {
	registry, err := devregistry.New(devregistry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, name := range []string{"v1", "other"} {
		d, err := registry.PutSample(shuin.Reference{Registry: "r.example", Repository: "shop", Tag: name})
		if err != nil {
			t.Fatal(err)
		}
		digests[name] = d.String()
	}
	s := newServices("", nil)
	s.tags = tags{registry}
	start := func() string {
		t.Helper()
		r := &revision{Images: []containerImage{{Container: "a", Image: "r.example/shop:v1"}, {Container: "b", Image: "r.example/shop@sha256:aa"}}}
		if err := s.started(r); err != nil || r.Images[1].Digest != "sha256:aa" {
			t.Fatalf("%+v, %v", r.Images, err)
		}
		return r.Images[0].Digest
	}
	if got := start(); got != digests["v1"] {
		t.Errorf("%s was started, want %s", got, digests["v1"])
	}
	s.moves = []move{{"shop:v1", "shop:other"}}
	if got := start(); got != digests["other"] || digests["other"] == digests["v1"] {
		t.Errorf("%s was started once the tag was moved, want %s", got, digests["other"])
	}
	s.moves = []move{{"shop:v1", "shop:gone"}}
	if err := s.started(&revision{}); err == nil {
		t.Error("a tag was moved to what is not there")
	}
}

func TestTheFakeRefusesWhatItDoesNotKnow(t *testing.T) {
	server := httptest.NewServer(&fakeMoto{})
	defer server.Close()
	s := newServices(server.URL, nil)
	for name, c := range map[string]struct{ operation, body string }{
		"a member of a request":          {"DescribeServiceRevisions", `{"serviceRevisionArns":[],"include":["TAGS"]}`},
		"a member of a listing":          {"ListServiceDeployments", `{"services":["shop"]}`},
		"a member of the configuration":  {"CreateService", `{"deploymentConfiguration":{"strategy":"BLUE_GREEN","lifecycleHook":[]}}`},
		"hooks where they are not known": {"CreateService", `{"deploymentConfiguration":{"strategy":"ROLLING","lifecycleHooks":[]}}`},
		"a stage without hooks":          {"CreateService", `{"deploymentConfiguration":{"strategy":"CANARY","lifecycleHooks":[{"hookTargetArn":"` + functionARN + `","roleArn":"arn:aws:iam::` + account + `:role/hook","lifecycleStages":["BAKE_TIME"]}]}}`},
		"another function":               {"CreateService", `{"deploymentConfiguration":{"strategy":"CANARY","lifecycleHooks":[{"hookTargetArn":"` + functionARN + `2"}]}}`},
	} {
		if status, out := call(t, s, c.operation, c.body); status != http.StatusBadRequest || !strings.Contains(out, "InvalidParameterException") {
			t.Errorf("%s: status %d, %s", name, status, out)
		}
	}
	if _, out := call(t, s, "DescribeServiceRevisions", `{"serviceRevisionArns":["arn:x"]}`); !strings.Contains(out, `"MISSING"`) {
		t.Errorf("a revision that is not there: %s", out)
	}
}

func TestATaskHasAllContainersOfItsTaskDefinition(t *testing.T) {
	server := httptest.NewServer(&fakeMoto{})
	defer server.Close()
	if _, out := call(t, newServices(server.URL, nil), "DescribeTasks", `{"tasks":["t"]}`); !strings.Contains(out, `"image":"r/shop@sha256:aa"`) || !strings.Contains(out, `"failures"`) {
		t.Errorf("%s", out)
	}
}

func TestOnlyWhatTheFunctionKeepsStaysInTheQueue(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		failed       bool
		deleted      []string
	}{
		{"nothing is given back", `{"batchItemFailures":[]}`, false, []string{"r1", "r2"}},
		{"one is given back", `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`, false, []string{"r2"}},
		{"the function fails", `{"errorMessage":"no"}`, true, nil},
		{"one is given back that was not given", `{"batchItemFailures":[{"itemIdentifier":"m3"}]}`, false, nil},
		{"it does not answer in that form", `"fine"`, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			moto := &fakeMoto{messages: []received{{ID: "m1", Receipt: "r1", Body: "{}"}, {ID: "m2", Receipt: "r2", Body: "{}"}}}
			server := httptest.NewServer(moto)
			defer server.Close()
			var noted []string
			s := &source{sqs: sqs{server.URL, func(action string) { noted = append(noted, action) }}, size: 10, invoke: func(_ context.Context, payload []byte) (answer, error) {
				if !strings.Contains(string(payload), `"messageId":"m2"`) {
					t.Errorf("given %s", payload)
				}
				return answer{body: []byte(c.answer), failed: c.failed}, nil
			}}
			n, err := s.batch(t.Context())
			if n != 2 || (err != nil) != (c.deleted == nil) {
				t.Errorf("%d messages, %v", n, err)
			}
			if !slices.Contains(noted, "sqs:ReceiveMessage") || slices.Contains(noted, "sqs:DeleteMessage") != (c.deleted != nil) {
				t.Errorf("noted %v", noted)
			}
			var deleted []string
			for _, one := range moto.asked {
				if receipt, ok := strings.CutPrefix(one, "DeleteMessage "); ok {
					deleted = append(deleted, receipt)
				}
			}
			if !slices.Equal(deleted, c.deleted) {
				t.Errorf("deleted %v, want %v", deleted, c.deleted)
			}
		})
	}
}

func TestWhatTheFunctionCallsIsTakenDownOnce(t *testing.T) {
	list, err := os.Create(filepath.Join(t.TempDir(), "calls"))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	c := &calls{file: list, seen: map[string]bool{}}
	ask := func(agent, service, method, target string) {
		r := httptest.NewRequest(method, "/", nil)
		r.Header.Set("User-Agent", agent)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEEXAMPLE00/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
		prefix, operation, _ := strings.Cut(target, ".")
		c.note(r, prefix, operation)
	}
	for range 2 {
		ask("shuin-lambda/1", "ecs", http.MethodPost, ecsTarget+".DescribeTasks")
		ask("aws-sdk-go-v2/1.0 shuin-lambda/1 m/E", "sns", http.MethodPost, "")
		ask("shuin-lambda/1", "s3", http.MethodGet, "")
		ask("shuin-lambda/1", "s3", http.MethodPut, "")
		ask("shuin/1", "ecs", http.MethodPost, ecsTarget+".ListTasks")
		ask("aws-cli/2", "ecs", http.MethodPost, ecsTarget+".RunTask")
	}
	got, err := os.ReadFile(list.Name())
	if err != nil || string(got) != "ecs:DescribeTasks\nsns:Publish\ns3:GetObject\ns3:PUT\n" {
		t.Errorf("%q, %v", got, err)
	}
}
