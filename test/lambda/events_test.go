package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/devregistry"
)

// bridged is an event of EventBridge.
func bridged(source, kind string, detail map[string]any) map[string]any {
	return map[string]any{
		"version": "0", "id": "0a1b2c3d-0000-4000-8000-000000000001", "detail-type": kind, "source": source, "account": account,
		"time": "2026-11-20T08:15:30Z", "region": region, "resources": []any{}, "detail": detail,
	}
}

// taskEvent says that a task runs.
func taskEvent(id string, version int, containers ...container) map[string]any {
	task := "arn:aws:ecs:" + region + ":" + account + ":task/" + cluster + "/" + id
	var list []map[string]any
	for _, c := range containers {
		one := map[string]any{"name": c.Name, "image": c.Image, "lastStatus": "RUNNING", "taskArn": task}
		if c.Digest != "" {
			one["imageDigest"] = c.Digest
		}
		list = append(list, one)
	}
	return bridged("aws.ecs", "ECS Task State Change", map[string]any{
		"taskArn": task, "clusterArn": clusterARN, "taskDefinitionArn": familyARN, "group": "service:" + service, "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
		"launchType": "FARGATE", "version": version, "containers": list, "updatedAt": "2026-11-20T08:15:30.000Z",
	})
}

// message is one of a batch.
type message struct {
	id       string
	body     any // text, or what is written as JSON
	received int
}

// batchOf is what Lambda gives a function of a queue.
func batchOf(queue string, messages ...message) map[string]any {
	var records []any
	for _, m := range messages {
		body, ok := m.body.(string)
		if !ok {
			data, _ := json.Marshal(m.body)
			body = string(data)
		}
		records = append(records, map[string]any{
			"messageId": m.id, "receiptHandle": "AQEB", "body": body, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + region + ":" + account + ":" + queue,
			"awsRegion": region, "md5OfBody": "x", "messageAttributes": map[string]any{},
			"attributes": map[string]any{"ApproximateReceiveCount": fmt.Sprint(max(m.received, 1)), "SentTimestamp": "1795162530000"},
		})
	}
	return map[string]any{"Records": records}
}

// kept are the messages that the function gives back.
func (f *lambdaFunction) kept(batch map[string]any) []string {
	f.tb.Helper()
	var a struct {
		Failures []struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	body := f.invoke(batch).mustBody(f.tb)
	if err := json.Unmarshal(body, &a); err != nil || a.Failures == nil {
		f.tb.Fatalf("the answer %s is none to a batch (%v)", body, err)
	}
	ids := []string{}
	for _, one := range a.Failures {
		ids = append(ids, one.ID)
	}
	return ids
}

// findings counts the findings that the log tells, once all is in it: the last
// line of each invocation is that of its metrics.
func (f *lambdaFunction) findings(text string) int {
	f.tb.Helper()
	if !f.logs.wait(func(all string) bool { return strings.Count(all, `"CloudWatchMetrics"`) >= f.Events() }) {
		f.tb.Fatal("not every invocation wrote its metrics")
	}
	n := 0
	for line := range strings.Lines(f.logs.String()) {
		if strings.Contains(line, "vnd.shuin.finding") && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func TestMessagesOfAQueueAreSettledOneByOne(t *testing.T) {
	w := newWorld(t)
	good, bad, away := w.push("shop/web", "good"), w.push("shop/web", "unsigned"), w.push("shop/away", "away")
	w.seal(good, ci())
	w.registry.FailNext(devregistry.Fault{Path: "/v2/shop/away/", Times: -1, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3600"}}})
	f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_CONFIG", w.config("tell: [{log: true}]", "events: {receives: 3}")))

	kept := f.kept(batchOf("shuin",
		message{id: "good", body: taskEvent("a", 1, container{"web", good.String(), good.Digest})},
		message{id: "bad", body: taskEvent("b", 1, container{"web", good.String(), good.Digest}, container{"side", bad.String(), bad.Digest})},
		message{id: "away", body: taskEvent("c", 1, container{"web", away.String(), away.Digest})},
		message{id: "poison", body: "not JSON"},
		message{id: "nothing", body: `{"version":"0"}`},
		message{id: "stopped", body: strings.ReplaceAll(mustJSON(taskEvent("d", 9)), "RUNNING", "STOPPED")},
		message{id: "same again", body: taskEvent("e", 1, container{"web", good.String(), good.Digest}, container{"side", bad.String(), bad.Digest})},
	))
	if want := []string{"away", "poison", "nothing"}; !slices.Equal(kept, want) {
		t.Errorf("given back: %v, want %v", kept, want)
	}
	if f.findings(bad.Digest.String()) != 1 || f.findings(away.Digest.String()) != 0 {
		t.Errorf("%d findings of the unsigned image, %d of the one that could not be checked; want one, told once for the group, and none",
			f.findings(bad.Digest.String()), f.findings(away.Digest.String()))
	}

	if kept := f.kept(batchOf("shuin", message{id: "again", body: taskEvent("b", 1, container{"side", bad.String(), bad.Digest})})); len(kept) != 0 {
		t.Errorf("a duplicate was given back: %v", kept)
	}
	if kept := f.kept(batchOf("shuin", message{id: "away", received: 3, body: taskEvent("c", 1, container{"web", away.String(), away.Digest})})); len(kept) != 0 {
		t.Errorf("what cannot be checked is given back for ever: %v", kept)
	}
	if f.findings("undecided") != 1 || f.findings(`"unsigned"`) != 1 {
		t.Errorf("%d findings are undecided, want one", f.findings("undecided"))
	}
}

func mustJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestAQueueThatKeepsOrderGetsAllBackAfterAFailure(t *testing.T) {
	w := newWorld(t)
	good := w.push("shop/web", "good")
	w.seal(good, ci())
	f := newLambda(t, shipped, 20*time.Second, w.env())
	running := func(id string) message {
		return message{id: id, body: taskEvent(id, 1, container{"web", good.String(), good.Digest})}
	}
	if kept := f.kept(batchOf("shuin.fifo", running("a"), message{id: "poison", body: "no"}, running("b"))); !slices.Equal(kept, []string{"poison", "b"}) {
		t.Errorf("given back: %v, want the failure and what follows it", kept)
	}
}

func TestAnEventThatComesStraightIsAnErrorUntilItIsSettled(t *testing.T) {
	w := newWorld(t)
	bad := w.push("shop/web", "unsigned")
	away := w.push("shop/away", "away")
	w.registry.FailNext(devregistry.Fault{Path: "/v2/shop/away/", Times: -1, Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"3600"}}})
	w.runs(container{Name: "app", Image: bad.String()})
	f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_CONFIG", w.config("tell: [{log: true}]")))
	topic := func(body any) map[string]any {
		return map[string]any{"Records": []any{map[string]any{"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "arn:aws:sns:x", "Sns": map[string]any{
			"Type": "Notification", "MessageId": "99999999-0000-4000-8000-000000000009", "TopicArn": "arn:aws:sns:" + region + ":" + account + ":tasks",
			"Message": mustJSON(body), "Timestamp": "2026-11-20T08:15:31.123Z",
		}}}}
	}
	registered := registeredEvent()
	for _, c := range []struct {
		name    string
		payload any
		fails   bool
		log     string
	}{
		{"a task with an unsigned image is settled", taskEvent("a", 1, container{"web", bad.String(), bad.Digest}), false, `"disposition":"decided"`},
		{"the same of a topic is a duplicate, and settled", topic(taskEvent("a", 1, container{"web", bad.String(), bad.Digest})), false, "decided before"},
		{"a task that could not be checked comes again", taskEvent("b", 1, container{"web", away.String(), away.Digest}), true, `"disposition":"retry"`},
		{"a topic's as well", topic(taskEvent("b", 1, container{"web", away.String(), away.Digest})), true, ""},
		{"what is no event is an error", map[string]any{"hello": "world"}, true, ""},
		{"a task definition is read, whatever the event says of it", registered, false, familyARN},
		{"what is of no interest is settled", bridged("aws.ecs", "ECS Service Action", map[string]any{"eventName": "SERVICE_STEADY_STATE"}), false, "nothing has to be done"},
		{"a sweep is answered with what it saw", map[string]any{"shuin": "sweep"}, false, "a sweep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := f.invoke(c.payload)
			if (r.Error != nil) != c.fails {
				t.Errorf("answered %s (%+v)", r.Body, r.Error)
			}
			if !f.logs.has(c.log) {
				t.Errorf("the log has no %s", c.log)
			}
		})
	}
	if !slices.Contains(w.ecs.requests(), "DescribeTaskDefinition") {
		t.Errorf("ECS was asked %v", w.ecs.requests())
	}
}

// registeredEvent is CloudTrail's of a task definition.
func registeredEvent() map[string]any {
	return bridged("aws.ecs", "AWS API Call via CloudTrail", map[string]any{
		"eventVersion": "1.11", "userIdentity": map[string]any{"type": "AssumedRole", "arn": "arn:aws:sts::" + account + ":assumed-role/deploy/ci",
			"sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Role", "arn": "arn:aws:iam::" + account + ":role/deploy"}}},
		"eventTime": "2026-11-20T08:15:29Z", "eventSource": "ecs.amazonaws.com", "eventName": "RegisterTaskDefinition", "awsRegion": region,
		"requestParameters": map[string]any{"family": "shop", "omitted": true}, "responseElements": map[string]any{"taskDefinition": map[string]any{"taskDefinitionArn": familyARN}},
		"eventID": "bbbbbbbb-0000-4000-8000-000000000003", "eventType": "AwsApiCall", "recipientAccountId": account, "eventCategory": "Management",
	})
}

func TestATaskDefinitionThatCannotBeReadIsForTheDeadLettersUntilItCan(t *testing.T) {
	w := newWorld(t)
	f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_CONFIG", w.config("tell: [{log: true}]", "events: {receives: 3}")))
	w.ecs.fails = func(operation string, rw http.ResponseWriter) bool {
		answerECS(rw, http.StatusBadRequest, map[string]any{"__type": "AccessDeniedException", "message": "not authorized to perform " + operation})
		return true
	}
	for _, received := range []int{2, 3, 4} { // the third is the last, and the queue's to end
		if kept := f.kept(batchOf("shuin", message{id: "a", received: received, body: registeredEvent()})); !slices.Equal(kept, []string{"a"}) || !f.logs.has("ecs:DescribeTaskDefinition") {
			t.Errorf("receive %d: given back: %v, want the message, and the permission in the log", received, kept)
		}
	}
	if f.findings("image-not-admitted") != 0 {
		t.Error("there is a finding of an image that nobody knows")
	}
	w.ecs.mu.Lock()
	w.ecs.fails = nil
	w.ecs.mu.Unlock()
	w.runs(container{Name: "web", Image: w.push("shop/web", "unsigned").String()})
	if kept := f.kept(batchOf("shuin", message{id: "a", received: 1, body: registeredEvent()})); len(kept) != 0 || f.findings("image-not-admitted") != 1 {
		t.Errorf("brought again from the dead letters it is given back: %v; %d findings, want one", kept, f.findings("image-not-admitted"))
	}
}

// administeredEvent is CloudTrail's, of a role that changes a signing profile.
func administeredEvent(role, id string) map[string]any {
	return bridged("aws.signer", "AWS API Call via CloudTrail", map[string]any{
		"eventVersion": "1.11", "userIdentity": map[string]any{"type": "AssumedRole", "arn": "arn:aws:sts::" + account + ":assumed-role/" + role + "/x",
			"sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Role", "arn": "arn:aws:iam::" + account + ":role/" + role}}},
		"eventTime": "2026-11-20T08:15:29Z", "eventSource": "signer.amazonaws.com", "eventName": "PutSigningProfile", "awsRegion": region,
		"requestParameters": map[string]any{"profileName": "build", "platformId": "Notation-OCI-SHA384-ECDSA"}, "responseElements": nil,
		"eventID": id, "eventType": "AwsApiCall", "recipientAccountId": account, "eventCategory": "Management",
	})
}

func TestACallOfTheSignerIsNoDeadLetterWhereThereIsNoPolicy(t *testing.T) {
	w := newWorld(t)
	w.write("pipeline.yaml", "kind: Nothing\n")
	f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_CONFIG", w.config("tell: [{log: true}]", "events: {receives: 3}")))
	event := administeredEvent("deploy", "bbbbbbbb-0000-4000-8000-000000000001")
	if kept := f.kept(batchOf("shuin", message{id: "a", received: 2, body: event})); !slices.Equal(kept, []string{"a"}) || f.findings("signer-not-judged") != 0 {
		t.Errorf("given back: %v, want the message; %d findings", kept, f.findings("signer-not-judged"))
	}
	if kept := f.kept(batchOf("shuin", message{id: "a", received: 3, body: event})); len(kept) != 0 || f.findings("undecided") != 1 || f.findings("there is no policy to decide by") != 1 {
		t.Errorf("given back: %v; %d findings; want none and one, which says why", kept, f.findings("undecided"))
	}
}

func TestTheSignersPeopleAreWatched(t *testing.T) {
	w := newWorld(t)
	w.write("pipeline.yaml", w.policy()+"signerAdmins: [\"arn:aws:iam::"+account+":role/signer-admin\"]\n")
	f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_CONFIG", w.config("tell: [{log: true}]")))
	act := administeredEvent
	f.invoke(act("signer-admin", "bbbbbbbb-0000-4000-8000-000000000001")).mustBody(t)
	f.invoke(act("deploy", "bbbbbbbb-0000-4000-8000-000000000002")).mustBody(t)
	if f.findings("signer-not-admin") != 1 || f.findings("role/signer-admin\"") != 0 {
		t.Errorf("%d findings of who is no admin, want one", f.findings("signer-not-admin"))
	}
}

func TestADecisionCanBeAskedFor(t *testing.T) {
	w := newWorld(t)
	good := w.push("shop/web", "good", "v1")
	w.seal(good, ci())
	f := newLambda(t, shipped, 20*time.Second, w.env())
	var v struct {
		MediaType string `json:"mediaType"`
		Outcome   string `json:"outcome"`
		Policy    string `json:"policy"`
	}
	for image, want := range map[string]string{w.host + "/shop/web:v1": "admit", "docker.io/library/nginx": "deny"} {
		body := f.invoke(map[string]any{"shuin": "decide", "cluster": cluster, "images": []any{map[string]any{"name": "app", "image": image}}}).mustBody(t)
		if err := json.Unmarshal(body, &v); err != nil || v.Outcome != want || v.MediaType != "application/vnd.shuin.verdict.v1+json" || !strings.HasPrefix(v.Policy, "sha256:") {
			t.Errorf("%s: %s", image, body)
		}
	}
}

func TestWarnModeLetsWhatIsAnsweredByACallGoOn(t *testing.T) {
	for _, c := range []struct{ mode, told string }{{"warn", "d-SHOP12345 Succeeded"}, {"enforce", ""}} {
		w := newWorld(t)
		f := newLambda(t, shipped, 20*time.Second, w.env("SHUIN_MODE", c.mode, "SHUIN_CONFIG", "policy: ["))
		r := f.invoke(map[string]any{"DeploymentId": "d-SHOP12345", "LifecycleEventHookExecutionId": "eyJlbmNyeXB0ZWREYXRhIjoiQUJDIn0="})
		w.ecs.mu.Lock()
		told := strings.Join(w.ecs.told, ", ")
		w.ecs.mu.Unlock()
		if told != c.told || (r.Error == nil) != (c.mode == "warn") {
			t.Errorf("%s: CodeDeploy was told %q, want %q (%+v)", c.mode, told, c.told, r.Error)
		}
	}
}

func TestAPipelineIsToldWhatBecameOfItsImages(t *testing.T) {
	w := newWorld(t)
	good, bad := w.push("shop/web", "good"), w.push("shop/web", "unsigned")
	w.seal(good, ci())
	f := newLambda(t, shipped, 20*time.Second, w.env())
	for id, image := range map[string]image{"good": good, "bad": bad} {
		f.invoke(map[string]any{"CodePipeline.job": map[string]any{"id": id, "accountId": account, "data": map[string]any{
			"actionConfiguration": map[string]any{"configuration": map[string]any{"FunctionName": "shuin", "UserParameters": mustJSON(map[string]any{"images": []string{image.String()}, "cluster": cluster})}},
			"inputArtifacts":      []any{}, "outputArtifacts": []any{}, "artifactCredentials": map[string]any{"accessKeyId": "EXAMPLE", "secretAccessKey": "a secret of the pipeline", "sessionToken": "EXAMPLE"},
		}}}).mustBody(t)
	}
	w.ecs.mu.Lock()
	defer w.ecs.mu.Unlock()
	slices.Sort(w.ecs.told)
	if want := []string{"bad PutJobFailureResult JobFailed", "good PutJobSuccessResult"}; !slices.Equal(w.ecs.told, want) {
		t.Errorf("CodePipeline was told %q, want %q", w.ecs.told, want)
	}
	if strings.Contains(f.logs.String(), "a secret of the pipeline") {
		t.Error("the log has the pipeline's credentials")
	}
}
