package ecs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// sample is an event of the golden files.
func sample(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "events", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// changed is a sample with one text replaced, which has to be there.
func changed(t *testing.T, name, from, to string) string {
	t.Helper()
	s := sample(t, name)
	if !strings.Contains(s, from) {
		t.Fatalf("%s holds no %q", name, from)
	}
	return strings.Replace(s, from, to, 1)
}

func TestWhatCannotBeReadSaysWhatAndWhere(t *testing.T) {
	for _, c := range []struct {
		name, sample, from, to string
		want                   string
	}{
		{"nothing", "", "", "", "it is not JSON"},
		{"no object", "", "", "[]", "it is of another type"},
		{"null", "", "", "null", "null: a JSON object is wanted"},
		{"an empty object", "", "", "{}", "none of the known shapes"},
		{"something else", "", "", `{"body":"x","headers":{}}`, "none of the known shapes"},
		{"two shapes at once", "", "", `{"detail-type":"x","Records":[]}`, "it looks like"},
		{"text behind the event", "sweep", "}", "} {}", "it is not JSON"},
		{"not UTF-8", "", "", "{\"shuin\":\"\xff\"}", "it is not JSON"},
		{"a name twice at the top", "task-running", `"version": "0"`, `"version": "0", "version": "0"`, "version: it is there twice"},
		{"a name twice deep down", "task-running", `"type": "eni"`, `"type": "eni", "type": "eni"`, "detail.attachments[0].type: it is there twice"},

		{"an unknown version of the envelope", "task-running", `"version": "0"`, `"version": "1"`, `version: "1": the only version`},
		{"no version of the envelope", "task-running", `"version": "0",`, ``, `version: "": the only version`},
		{"no id", "task-running", `"id": "0a1b`, `"ID": "0a1b`, "id: missing"},
		{"a detail-type in another case", "task-running", `"detail-type"`, `"Detail-Type"`, "none of the known shapes"},
		{"a version that no task comes to", "task-running", `"version": 3`, `"version": 9223372036854775807`, "detail.version: 9223372036854775807: no task changes so often"},
		{"no source", "task-running", `"source": "aws.ecs"`, `"source": null`, "source: missing"},
		{"another source", "task-running", `"source": "aws.ecs"`, `"source": "shop"`, `"ECS Task State Change" from "shop": nothing here`},
		{"an unknown kind of event", "task-running", `ECS Task State Change`, `ECS Whatever`, `"ECS Whatever" from "aws.ecs": nothing here`},
		{"no time", "task-running", `"time"`, `"when"`, `time: "" is no time`},
		{"a time that is none", "task-running", `2026-11-20T08:15:30Z"`, `yesterday"`, `time: "yesterday" is no time`},
		{"an account that is none", "task-running", `"account": "210987654321"`, `"account": "me"`, `account: "me" is no account`},
		{"a region that is none", "task-running", `"region": "eu-west-1"`, `"region": ""`, `region: "" is no region`},
		{"detail is a text", "scheduler", `"Scheduled Event"`, `"AWS API Call via CloudTrail"`, "detail: missing, or no object"},

		{"a task without its ARN", "task-running", `"taskArn": "arn:aws:ecs:eu-west-1:210987654321:task/prod-a/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
  "taskDefinitionArn"`, `"taskDefinitionArn"`, "detail.taskArn: missing"},
		{"a task without its cluster", "task-running", `"clusterArn"`, `"cluster"`, "detail.clusterArn: missing"},
		{"a task without its task definition", "task-running", `"taskDefinitionArn"`, `"taskDefinition"`, "detail.taskDefinitionArn: missing"},
		{"a task without its state", "task-running", `"lastStatus": "RUNNING",
  "overrides"`, `"overrides"`, "detail.lastStatus: missing"},
		{"a state in another case", "task-running", `"lastStatus": "RUNNING",
  "overrides"`, `"lastStatus": "running", "overrides"`, `detail.lastStatus: "running" is no state`},
		{"a state nobody knows", "task-running", `"desiredStatus": "RUNNING"`, `"desiredStatus": "MAYBE"`, `detail.desiredStatus: "MAYBE" is neither`},
		{"a task without its version", "task-running", `"version": 3`, `"edition": 3`, "detail.version: missing"},
		{"a version that is a text", "task-running", `"version": 3`, `"version": "3"`, "detail.version: it is of another type than AWS documents (a string)"},
		{"a version that is no whole number", "task-running", `"version": 3`, `"version": 3.5`, "detail.version"},
		{"an ARN of something else", "task-running", `"clusterArn": "arn:aws:ecs:eu-west-1:210987654321:cluster/prod-a"`, `"clusterArn": "prod-a"`, `detail.clusterArn: "prod-a" is no ARN of a cluster`},
		{"a task of another account than the event", "task-running", `"account": "210987654321"`, `"account": "345678901234"`, "detail.taskArn: it is of account 210987654321"},
		{"a cluster in another region than the task", "task-running", `"clusterArn": "arn:aws:ecs:eu-west-1`, `"clusterArn": "arn:aws:ecs:us-west-2`, "detail.clusterArn: it is of account"},
		{"a digest that is none", "task-running", `"imageDigest": "sha256:1a1a`, `"imageDigest": "sha256:1a`, "detail.containers[0].imageDigest:"},
		{"an image that is a number", "task-running", `"image": "nginx:1.29"`, `"image": 7`, "detail.containers[1].image: it is of another type than AWS documents (a number)"},
		{"containers that are an object", "task-running", `"containers": [`, `"containers": {}, "others": [`, "detail.containers: it is of another type"},

		{"a call without the version of its record", "register", `"eventVersion": "1.11"`, `"eventVersion": ""`, "detail.eventVersion: missing"},
		{"a record of an unknown version", "register", `"eventVersion": "1.11"`, `"eventVersion": "2.0"`, `detail.eventVersion: "2.0": only 1.x`},
		{"a call without its name", "register", `"eventName"`, `"name"`, "detail.eventName: missing"},
		{"a call of another service", "register", `"ecs.amazonaws.com"`, `"ec2.amazonaws.com"`, `detail.eventSource: "ec2.amazonaws.com": only calls of`},
		{"a registration whose answer is left out", "register-omitted", `"taskDefinition": {`, `"omitted": true, "other": {`, "detail.responseElements.taskDefinition.taskDefinitionArn: missing"},
		{"a registration of no revision", "register-omitted", `task-definition/shop:7`, `task-definition/shop`, `"shop": which revision it was is not said`},
		{"a run of the newest revision, whose answer is left out", "run-task-default-cluster", `"taskDefinition": "batch:3"`, `"taskDefinition": "batch"`, `"batch": which revision it was is not said`},
		{"a run of no revision", "run-task-default-cluster", `"taskDefinition": "batch:3"`, `"taskDefinition": "batch:x"`, `which revision it was is not said`},
		{"a call that somebody put on the bus", "register", `"source": "aws.ecs"`, `"source": "my.app"`, `source: "my.app": calls of ecs.amazonaws.com come from "aws.ecs"`},
		{"a signer's call from elsewhere", "signer-sign-payload", `"source": "aws.signer"`, `"source": "aws.ecs"`, `source: "aws.ecs": calls of signer.amazonaws.com come from "aws.signer"`},
		{"a push that somebody put on the bus", "ecr-push", `"source": "aws.ecr"`, `"source": "my.app"`, `"ECR Image Action" from "my.app": nothing here`},
		{"a schedule that somebody put on the bus", "scheduled", `"source": "aws.events"`, `"source": "my.app"`, `"Scheduled Event" from "my.app": nothing here`},
		{"a registration in another account", "register", `"taskDefinitionArn": "arn:aws:ecs:eu-west-1:210987654321`, `"taskDefinitionArn": "arn:aws:ecs:eu-west-1:345678901234`, "responseElements.taskDefinition.taskDefinitionArn: it is of account"},
		{"a run of nothing", "run-task-default-cluster", `"taskDefinition": "batch:3"`, `"other": 1`, "detail.requestParameters.taskDefinition: missing"},
		{"a cluster that is none", "start-task", `"cluster": "arn:aws:ecs:eu-west-1:210987654321:cluster/prod-a"`, `"cluster": "a/b"`, `"a/b" is no cluster`},
		{"a service without a name", "create-service", `"serviceArn": "arn:aws:ecs:eu-west-1:210987654321:service/prod-a/shop"`, `"x": 1`, ""},
		{"an answer that is a list", "register", `"responseElements": {`, `"responseElements": [], "x": {`, "detail.responseElements: it is of another type"},
		{"a signature with nothing", "signer-sign-payload", `"profileName": "build"`, `"name": "build"`, ""},
		{"a revocation of nothing", "signer-revoke-signature", `"jobId"`, `"job"`, "detail.requestParameters.jobId: missing"},

		{"a push without a digest", "ecr-push", `"image-digest"`, `"digest"`, `detail.image-digest: "" is no digest`},
		{"a push to no repository", "ecr-push", `"shop/web"`, `"Shop/../web"`, `detail.repository-name: "Shop/../web" is no repository`},
		{"a push with a tag that is none", "ecr-push", `"1.4"`, `"a b"`, `detail.image-tag: "a b" is no tag`},
		{"a push in no account", "ecr-push", `"account": "210987654321",`, ``, "account: missing"},

		{"an empty batch", "", "", `{"Records":[]}`, "Records: an empty batch"},
		{"a batch that is null", "", "", `{"Records":null}`, "Records: an empty batch"},
		{"a message of something else", "", "", `{"Records":[{"eventSource":"aws:s3"}]}`, `Records[0].eventSource: "aws:s3": only`},
		{"a message without an ID", "sqs", `"messageId": "00000000-0000-4000-8000-000000000002"`, `"id": "x"`, "Records[1].messageId: missing"},
		{"queues and topics mixed", "", "", `{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":""},{"EventSource":"aws:sns","Sns":{"MessageId":"1"}}]}`, "Records[1]: messages of queues and topics"},

		{"a hook without its revision", "hook-pre-scale-up", `"targetServiceRevisionArn"`, `"revision"`, "executionDetails.targetServiceRevisionArn: missing"},
		{"a hook with an empty executionDetails", "", "", `{"executionDetails":{}}`, "executionDetails.targetServiceRevisionArn: missing"},
		{"a hook in both shapes", "hook-pre-scale-up", `"executionDetails"`, `"serviceArn":"x","executionDetails"`, "serviceArn: beside executionDetails"},
		{"a revision that is none", "hook-pre-scale-up", `:service-revision/`, `:service/`, "executionDetails.targetServiceRevisionArn:"},
		{"a revision of no service", "hook-pre-scale-up", `service-revision/prod-a/shop/`, `service-revision/shop/`, "does not name cluster, service and revision"},
		{"a revision of another service", "hook-pre-scale-up", `service-revision/prod-a/shop/`, `service-revision/prod-a/other/`, "executionDetails.serviceArn: the service is prod-a/shop, and the revision is one of prod-a/other"},
		{"a deployment of another service", "hook-pre-scale-up", `service-deployment/prod-a/shop/`, `service-deployment/prod-b/shop/`, "resourceArn: the deployment is of prod-b/shop"},
		{"more traffic than there is", "hook-rollback", `: 100`, `: 101`, "productionTrafficWeights: arn:"},
		{"weights that are texts", "hook-rollback", `: 100`, `: "100"`, "executionDetails.productionTrafficWeights"},
		{"half a hook of CodeDeploy", "codedeploy", `"DeploymentId"`, `"Deployment"`, "DeploymentId: missing"},
		{"a job without an ID", "codepipeline", `"id"`, `"ID"`, "CodePipeline.job.id: missing"},
		{"a job that is null", "", "", `{"CodePipeline.job":null}`, "CodePipeline.job.id: missing"},
		{"a question that is none", "", "", `{"shuin":"x"}`, `shuin: "x": it is`},
		{"a question with a member that is not ours", "", "", `{"shuin":"sweep","x":1}`, "x: there is no such member"},
		{"a question about nothing", "", "", `{"shuin":"decide","images":[]}`, "images: missing or empty"},
		{"a question about an empty image", "", "", `{"shuin":"decide","images":[{"image":""}]}`, "images[0].image: missing or empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := c.to
			if c.sample != "" {
				payload = changed(t, c.sample, c.from, c.to)
			}
			ev, err := Parse([]byte(payload))
			if c.want == "" { // what is missing is told elsewhere in the event
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "read the event: ") {
				t.Fatalf("%v, not %q (%s)", err, c.want, ev.Kind)
			}
			if code := shuin.CodeOf(err); code != shuin.CodeMalformed {
				t.Errorf("code %s", code)
			}
		})
	}
}

func TestWhatIsTooMuchSaysWhichLimit(t *testing.T) {
	long := strings.Repeat("x", limits.EventStringBytes+1)
	for _, c := range []struct{ name, payload, want string }{
		{"the payload", `{"shuin":"` + strings.Repeat("x", limits.EventBytes) + `"}`, "EventBytes"},
		{"nesting", `{"shuin":` + strings.Repeat("[", limits.EventDepth+1), "EventDepth"},
		{"nesting of a message", `{"shuin":` + strings.Repeat(`{"a":`, limits.EventDepth+1), "EventDepth"},
		{"messages", `{"Records":[{}` + strings.Repeat(",{}", limits.EventRecords) + `]}`, "EventRecords"},
		{"images of a question", `{"shuin":"decide","images":[{"image":"a"}` + strings.Repeat(`,{"image":"a"}`, limits.EventContainers) + `]}`, "EventContainers"},
		{"containers of a task", taskOf(t, 1001), "EventContainers"},
		{"an ARN", changed(t, "task-running", "task-definition/shop:7", "task-definition/"+long), "EventStringBytes"},
		{"a container's name", changed(t, "task-running", `"name": "proxy"`, `"name": "`+long+`"`), "EventStringBytes"},
		{"an image", changed(t, "task-running", "nginx:1.29", long), "EventStringBytes"},
		{"an identity", changed(t, "register", "arn:aws:iam::210987654321:role/ci/deploy", long), "EventStringBytes"},
		{"what a service hands its hooks", changed(t, "hook-pre-scale-up", `"shop"`+"\n }", `"`+strings.Repeat("x", limits.HookDetailsBytes)+`"`+"\n }"), "HookDetailsBytes"},
		{"a job's parameters", `{"CodePipeline.job":{"id":"1","accountId":"210987654321","data":{"actionConfiguration":{"configuration":{"UserParameters":"` + strings.Repeat("x", limits.JobParameters+1) + `"}}}}}`, "JobParameters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.payload))
			if shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "(limit "+c.want+")") {
				t.Errorf("%v", err)
			}
		})
	}
}

// taskOf is a running task with n containers.
func taskOf(t *testing.T, n int) string {
	return changed(t, "task-running", `"containers": [`, `"containers": [`+containersOf(n-3, `"imageDigest":"`+string(digestA)+`",`))
}

func containersOf(n int, more string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{%s"name":"c%d","image":"quay.io/shop/c%d:1"},`, more, i, i)
	}
	return b.String()
}

func TestAThousandContainersAreAllThere(t *testing.T) {
	ev, err := Parse([]byte(taskOf(t, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	images := ev.Seen.Observation.Images
	if len(images) != 1000 || images[500].Written != "quay.io/shop/c500:1" || images[500].Name != "c500" || ev.Seen.Read != nil {
		t.Errorf("%d images, read %v", len(images), ev.Seen.Read)
	}
}

func TestWhatWasRegisteredIsReadAndNotTakenFromTheEvent(t *testing.T) {
	ev, err := Parse([]byte(sample(t, "register")))
	if err != nil || len(ev.Seen.Observation.Images) != 0 || ev.Seen.Read == nil || *ev.Seen.Read != (TaskDefinitionRef{"210987654321", "eu-west-1", strings.Replace(definitionARN, ":7", ":8", 1)}) {
		t.Errorf("%+v, %v", ev.Seen, err)
	}
}

func TestAnExpressServicesImageIsJudged(t *testing.T) {
	const request, image = `"cluster": "prod-a",
   "serviceName": "shop",
   "taskDefinition": "shop",
   "desiredCount": 2`, `"primaryContainer": {"image": "nginx:1.29"}`
	express := func(name, with, answer string) string {
		s := strings.Replace(changed(t, "create-service", request, with), `"CreateService"`, `"`+name+`"`, 1)
		return regexp.MustCompile(`(?s)"responseElements": \{.*?\n  \},`).ReplaceAllString(s, `"responseElements": `+answer+`,`)
	}
	const answered = `{"service": {"serviceArn": "` + serviceARN + `", "serviceName": "shop", "cluster": "prod-a"}}`
	for _, c := range []struct{ name, payload, want string }{
		{"it is created", express("CreateExpressGatewayService", image, answered), ""},
		{"it is updated", express("UpdateExpressGatewayService", `"serviceArn": "`+serviceARN+`", `+image, answered), ""},
		{"its answer is left out", express("UpdateExpressGatewayService", `"serviceArn": "`+serviceARN+`", `+image, `{"omitted": true}`), ""},
		{"by name alone", express("CreateExpressGatewayService", `"cluster": "prod-a", "serviceName": "shop", `+image, `{}`), ""},
		{"its size is changed", express("UpdateExpressGatewayService", `"serviceArn": "`+serviceARN+`", "cpu": "512"`, answered), "the update changes no image"},
		{"what was asked is left out", express("UpdateExpressGatewayService", `"omitted": true`, answered), "requestParameters.primaryContainer.image: missing"},
		{"nothing is asked for", express("CreateExpressGatewayService", `"cpu": "512"`, answered), "requestParameters.primaryContainer.image: missing"},
		{"of nothing", express("CreateExpressGatewayService", image, `{}`), "requestParameters.service: missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev, err := Parse([]byte(c.payload))
			if c.want != "" {
				if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && !strings.Contains(ev.Reason, c.want) {
					t.Errorf("%+v, %v", ev, err)
				}
				return
			}
			if err != nil || ev.Seen == nil {
				t.Fatalf("%+v, %v", ev, err)
			}
			o := ev.Seen.Observation
			if o.Phase != watch.Deployed || o.Subject.ARN != serviceARN || o.Subject.Kind != watch.Service || o.Where.Cluster != "prod-a" || ev.Seen.Read != nil ||
				len(o.Images) != 1 || o.Images[0] != (gate.Image{Written: "docker.io/library/nginx:1.29"}) {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestACallThatIsNotKnownIsNotCalledHarmless(t *testing.T) {
	for name, want := range map[string]string{
		"StartTaskOnTheMoon": "StartTaskOnTheMoon is no call that is known here: what it may bring to run is judged when its tasks start",
		"UpdateTaskSet":      "UpdateTaskSet brings nothing else to run", "DescribeTasks": "DescribeTasks brings nothing else to run",
		"PutClusterCapacityProviders": "brings nothing else to run", "UpdateServicePrimaryTaskSet": "brings nothing else to run",
		"CreateDaemon": "is no call that is known", "UpdateServiceOfSomeKind": "is no call that is known",
	} {
		ev, err := Parse([]byte(changed(t, "stop-task", `"StopTask"`, `"`+name+`"`)))
		if err != nil || ev.Kind != KindIrrelevant || !strings.Contains(ev.Reason, want) {
			t.Errorf("%s: %s %q, %v", name, ev.Kind, ev.Reason, err)
		}
	}
}

func TestWhatTheEventAndTheTaskDefinitionSayAreBothJudged(t *testing.T) {
	at := func(name string, d digest.Digest) gate.Image {
		return gate.Image{Name: "app", Written: name, Running: d}
	}
	byDigest := "quay.io/shop/web@" + digestA.String()
	for _, c := range []struct {
		name    string
		written []string // images of container app
		known   []gate.Image
		want    []gate.Image
	}{
		{"the same", []string{"quay.io/shop/web:1"}, []gate.Image{at("quay.io/shop/web:1", digestA)}, []gate.Image{at("quay.io/shop/web:1", digestA)}},
		{"a digest alone", []string{"quay.io/shop/web:1"}, []gate.Image{at("", digestA)}, []gate.Image{at("quay.io/shop/web:1", digestA)}},
		{"two digests", []string{"quay.io/shop/web:1"}, []gate.Image{at("", digestA), at("", digestB)}, []gate.Image{at("quay.io/shop/web:1", digestA), at("quay.io/shop/web:1", digestB)}},
		{"another image", []string{"quay.io/shop/evil:1"}, []gate.Image{at("quay.io/shop/web:1", digestA)}, []gate.Image{at("quay.io/shop/evil:1", ""), at("quay.io/shop/web:1", digestA)}},
		{"another tag", []string{"quay.io/shop/web:2"}, []gate.Image{at("quay.io/shop/web:1", "")}, []gate.Image{at("quay.io/shop/web:2", ""), at("quay.io/shop/web:1", "")}},
		{"what the tag was resolved to", []string{"quay.io/shop/web:1"}, []gate.Image{at(byDigest, "")}, []gate.Image{at(byDigest, "")}},
		{"a digest of another image", []string{"quay.io/shop/evil:1"}, []gate.Image{at(byDigest, "")}, []gate.Image{at("quay.io/shop/evil:1", ""), at(byDigest, "")}},
		{"another digest than is written", []string{"quay.io/shop/web@" + digestB.String()}, []gate.Image{at(byDigest, "")}, []gate.Image{at("quay.io/shop/web@"+digestB.String(), ""), at(byDigest, "")}},
		{"a container twice", []string{byDigest, "quay.io/shop/evil:1"}, []gate.Image{at("quay.io/shop/web:1", digestB)},
			[]gate.Image{at(byDigest, ""), at("quay.io/shop/web:1", digestB), at("quay.io/shop/evil:1", "")}},
		{"what is no reference", []string{"${IMAGE}"}, []gate.Image{at(byDigest, "")}, []gate.Image{at("${IMAGE}", ""), at(byDigest, "")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var written []ContainerImage
			for _, image := range c.written {
				written = append(written, ContainerImage{Container: "app", Image: image})
			}
			got, err := merged(written, c.known)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

func TestNothingIsJudgedWhereNothingBeginsToRun(t *testing.T) {
	for _, c := range []struct{ name, sample, from, to, want string }{
		{"a task on its way out", "task-stopping", "", "", "on its way out"},
		{"a task that is to stop before it started", "task-provisioning", `"desiredStatus": "RUNNING"`, `"desiredStatus": "STOPPED"`, "on its way out"},
		{"a task that was deleted", "task-running", "\"RUNNING\",\n  \"overrides\"", "\"DELETED\",\n  \"overrides\"", "on its way out (lastStatus DELETED"},
		{"a call that was refused", "register-denied", "", "", "the call failed (errorCode AccessDenied)"},
		{"a call that was not answered", "register-null-response", "", "", "the call failed (responseElements is null)"},
		{"a call without an answer", "register-null-response", `"responseElements": null,`, ``, "the call failed (responseElements is null)"},
		{"a run that started nothing", "run-task-failures", "", "", "no task was started (1 failures)"},
		{"a service that is scaled", "update-service-scale", "", "", "changes no task definition"},
		{"a service whose task sets come later", "create-service", `"taskDefinition": "shop"`, `"deploymentController":{"type":"EXTERNAL"}`, ""},
		{"another call of ECS", "stop-task", "", "", "StopTask brings nothing else to run"},
		{"a reading call of the signer", "signer-get-profile", "", "", "neither signs nor changes"},
		{"a deleted image", "ecr-delete", "", "", "nothing was pushed (action-type DELETE)"},
		{"a push that failed", "ecr-failure", "", "", "it did not succeed"},
		{"what is pushed as a signature, until its manifest was looked at", "ecr-push-signature", "", "", ""},
		{"how a service fares", "service-action", "", "", "it says how a service fares"},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := sample(t, c.sample)
			if c.from != "" {
				payload = changed(t, c.sample, c.from, c.to)
			}
			ev, err := Parse([]byte(payload))
			switch {
			case err != nil:
				t.Fatal(err)
			case c.want == "":
				if ev.Kind != KindSeen { // the answer names one all the same
					t.Error(ev.Kind, ev.Reason)
				}
			case ev.Kind != KindIrrelevant || !strings.Contains(ev.Reason, c.want) || ev.Seen != nil || ev.Signer != nil:
				t.Errorf("%s %q", ev.Kind, ev.Reason)
			}
		})
	}
}

func TestWhatRanIsJudgedWhenItIsOver(t *testing.T) {
	const stopped = `"lastStatus": "STOPPED",
  "overrides"`
	end := func(name, from, to string) string {
		return strings.Replace(changed(t, name, `"lastStatus": "RUNNING",
  "overrides"`, stopped), from, to, 1)
	}
	bare := strings.NewReplacer(`"imageDigest"`, `"x"`, `"startedAt"`, `"y"`, `"pullStartedAt"`, `"z"`)
	for _, c := range []struct {
		name, payload string
		want          watch.Phase // empty: nothing has to be done
	}{
		{"it runs and is to stop", changed(t, "task-running", `"desiredStatus": "RUNNING"`, `"desiredStatus": "STOPPED"`), watch.Running},
		{"it has stopped before it had started, and told a digest", end("task-running", `"startedAt"`, `"y"`), watch.Starting},
		{"it has stopped, and told when it started", strings.Replace(bare.Replace(end("task-running", "", "")), `"version": 3`, `"version": 3, "startedAt": "2026-11-20T08:15:20Z"`, 1), watch.Running},
		{"it has stopped, and told when it began to pull", strings.Replace(bare.Replace(end("task-running", "", "")), `"version": 3`, `"version": 3, "pullStartedAt": "2026-11-20T08:15:20Z"`, 1), watch.Starting},
		{"it has stopped, and never began", bare.Replace(end("task-running", "", "")), ""},
		{"it is stopping: there is more to come", sample(t, "task-stopping"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev, err := Parse([]byte(c.payload))
			switch {
			case err != nil:
				t.Fatal(err)
			case (ev.Seen != nil) != (c.want != ""):
				t.Errorf("%s %q", ev.Kind, ev.Reason)
			case c.want != "" && (!ev.Seen.Observation.Over || ev.Seen.Observation.Phase != c.want || len(ev.Seen.Observation.Images) != 3):
				t.Errorf("%+v", ev.Seen.Observation)
			}
		})
	}
	if ev, err := Parse([]byte(sample(t, "task-running"))); err != nil || ev.Seen.Observation.Over {
		t.Errorf("a task that runs is over: %+v, %v", ev, err)
	}
}

// TestAnInitContainerThatRanIsJudgedByWhatNobodyTells: the task never started,
// and what its tag names now is not what it ran.
func TestAnInitContainerThatRanIsJudgedByWhatNobodyTells(t *testing.T) {
	task := strings.NewReplacer(`"lastStatus": "RUNNING",
  "overrides"`, `"lastStatus": "STOPPED",
  "overrides"`, `"createdAt"`, `"pullStartedAt": "2026-11-20T08:15:10Z", "createdAt"`).Replace(sample(t, "task-running"))
	ran := func(container, code string) string {
		return strings.Replace(task, `"name": "`+container+`"`, `"name": "`+container+`", "exitCode": `+code, 1)
	}
	made := func(container, task string) string {
		return strings.Replace(task, `"name": "`+container+`"`, `"name": "`+container+`", "runtimeId": "0123-456"`, 1)
	}
	const undigested = `,
    "imageDigest": "sha256:1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a"`
	for name, c := range map[string]struct {
		payload string
		phase   watch.Phase
		images  string
	}{
		"others were made, and nobody tells how they ended": {strings.Replace(made("app", made("log", ran("proxy", "0"))), undigested, "", 1), watch.Running, "app proxy log"},
		"one was made, and nobody tells more":               {made("proxy", task), watch.Running, "app proxy log"},
		"one that is written by digest ran":                 {strings.Replace(ran("proxy", "0"), "nginx:1.29", "nginx@sha256:"+strings.Repeat("1a", 32), 1), watch.Starting, "app proxy log"},
		"one whose digest nobody tells ran":                 {ran("proxy", "0"), watch.Running, "app proxy log"},
		"and another was never pulled":                      {strings.Replace(ran("proxy", "1"), undigested, "", 1), watch.Running, "proxy log"},
		"one whose digest is told ran":                      {ran("app", "0"), watch.Starting, "app proxy log"},
		"none ran":                                          {task, watch.Starting, "app proxy log"},
		"an exit code that is null is of none":              {ran("proxy", "null"), watch.Starting, "app proxy log"},
		"the task definition has to be read for it":         {strings.Replace(ran("proxy", "0"), `"image": "nginx:1.29"`, `"x": 1`, 1), watch.Starting, "app proxy log"},
	} {
		ev, err := Parse([]byte(c.payload))
		if err != nil || ev.Seen == nil {
			t.Fatalf("%s: %+v, %v", name, ev, err)
		}
		var images []string
		for _, i := range ev.Seen.Observation.Images {
			images = append(images, i.Name)
		}
		if o := ev.Seen.Observation; o.Phase != c.phase || !o.Over || strings.Join(images, " ") != c.images {
			t.Errorf("%s: %s, over %t, %q", name, o.Phase, o.Over, images)
		}
	}
}

func TestWhatCloudTrailLeavesOutIsNotTakenForNothing(t *testing.T) {
	for name, payload := range map[string]string{
		"what was asked of a service": changed(t, "update-service-scale", `"desiredCount": 5`, `"omitted": true`),
		"what a run was answered":     changed(t, "run-task-failures", `"failures": [`, `"omitted": true, "failures": [`),
	} {
		ev, err := Parse([]byte(payload))
		if err != nil || ev.Kind != KindSeen || ev.Seen.Read == nil {
			t.Errorf("%s: %s %q, %v", name, ev.Kind, ev.Reason, err)
		}
	}
}

func TestAServiceThatIsDeployedAnewIsJudgedWithoutANewTaskDefinition(t *testing.T) {
	ev, err := Parse([]byte(changed(t, "update-service-scale", `"desiredCount": 5`, `"forceNewDeployment": true`)))
	if err != nil || ev.Kind != KindSeen || ev.Seen.Read == nil || !strings.HasSuffix(ev.Seen.Read.Name, "shop:9") {
		t.Errorf("%+v, %v", ev, err)
	}
}

func TestWhoDidItIsTheRoleThatWasAssumed(t *testing.T) {
	for name, c := range map[string]struct{ identity, principal string }{
		"a role":                  {`{"type":"AssumedRole","arn":"arn:aws:sts::210987654321:assumed-role/deploy/ci","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::210987654321:role/ci/deploy"}}}`, "arn:aws:iam::210987654321:role/ci/deploy"},
		"a role that is not told": {`{"type":"AssumedRole","arn":"arn:aws:sts::210987654321:assumed-role/deploy/ci"}`, "arn:aws:sts::210987654321:assumed-role/deploy/ci"},
		"a user":                  {`{"type":"IAMUser","arn":"arn:aws:iam::210987654321:user/admin"}`, "arn:aws:iam::210987654321:user/admin"},
		"a federated user":        {`{"type":"FederatedUser","arn":"arn:aws:sts::210987654321:federated-user/x","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::210987654321:user/admin"}}}`, "arn:aws:sts::210987654321:federated-user/x"},
		"the account's root":      {`{"type":"Root","arn":"arn:aws:iam::210987654321:root"}`, "arn:aws:iam::210987654321:root"},
		"a service for a role":    {`{"type":"AssumedRole","arn":"arn:aws:sts::210987654321:assumed-role/cfn/x","invokedBy":"cloudformation.amazonaws.com","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::210987654321:role/cfn"}}}`, "arn:aws:iam::210987654321:role/cfn"},
		"a service for itself":    {`{"type":"AWSService","invokedBy":"ecs.amazonaws.com"}`, ""},
		"nobody":                  {`{}`, ""},
		"a context that is null":  {`{"type":"AssumedRole","arn":"a","sessionContext":null}`, "a"},
	} {
		var u userIdentity
		if err := decode("userIdentity", []byte(c.identity), &u); err != nil || u.principal() != c.principal {
			t.Errorf("%s: %q, %v", name, u.principal(), err)
		}
	}
	for name, c := range map[string]struct{ identity, caller string }{
		"with an ARN":              {`{"type":"IAMUser","arn":"arn:aws:iam::210987654321:user/admin","principalId":"AIDA1"}`, ""},
		"another account's role":   {`{"type":"AWSAccount","principalId":"AROA1:session-1","accountId":"444455556666"}`, "AWSAccount 444455556666 AROA1"},
		"another account's user":   {`{"type":"AWSAccount","principalId":"AIDA2","accountId":"777788889999"}`, "AWSAccount 777788889999 AIDA2"},
		"a web's identity":         {`{"type":"WebIdentityUser","principalId":"arn:aws:iam::1:oidc-provider/x:y","userName":"eve"}`, "WebIdentityUser arn:aws:iam::1:oidc-provider/x:y"},
		"a service for itself":     {`{"type":"AWSService","invokedBy":"ecs.amazonaws.com"}`, ""},
		"with lines of somebody's": {`{"type":"AWSAccount","principalId":"a\nhigh: b"}`, "AWSAccount a high: b"},
	} {
		var u userIdentity
		if err := decode("userIdentity", []byte(c.identity), &u); err != nil || u.caller() != c.caller {
			t.Errorf("%s: %q, %v", name, u.caller(), err)
		}
	}
	ev, err := Parse([]byte(sample(t, "run-task-default-cluster")))
	if err != nil || ev.Seen.Observation.By != "scheduler.amazonaws.com" || ev.Seen.Observation.Where.Cluster != "default" {
		t.Errorf("%+v, %v", ev.Seen, err)
	}
}

func TestImagesAreWrittenOutAsDockerDoes(t *testing.T) {
	d := "@" + string(digestA)
	for from, to := range map[string]string{
		"nginx":                               "docker.io/library/nginx:latest",
		"nginx:1.29":                          "docker.io/library/nginx:1.29",
		"shop/web":                            "docker.io/shop/web:latest",
		"docker.io/nginx":                     "docker.io/library/nginx:latest",
		"index.docker.io/nginx":               "docker.io/library/nginx:latest",
		"localhost/web":                       "localhost/web:latest",
		"localhost:5000/web:1":                "localhost:5000/web:1",
		"quay.io/a/b:1":                       "quay.io/a/b:1",
		"Quay.IO/a/b:1":                       "quay.io/a/b:1",
		"public.ecr.aws/a/b" + d:              "public.ecr.aws/a/b" + d,
		"public.ecr.aws:443/a/b:1" + d:        "public.ecr.aws/a/b:1" + d,
		webImage:                              webImage,
		"a b":                                 "a b",
		"${IMAGE}":                            "${IMAGE}",
		"Nginx":                               "Nginx",
		"nginx@sha256:short":                  "nginx@sha256:short",
		strings.Repeat("0123456789abcdef", 4): strings.Repeat("0123456789abcdef", 4),
	} {
		if got := Image("app", from, "").Written; got != to {
			t.Errorf("%s is written out as %s, not %s", from, got, to)
		}
	}
}

func TestATaskDefinitionThatIsReadFillsInWhatTheEventLeavesOut(t *testing.T) {
	got := RevisionImages{TaskDefinition: definitionARN, Images: []ContainerImage{{Container: "app", Image: webImage}, {Container: "proxy", Image: "nginx:1.29"}, {Container: "init", Image: "busybox"}}}
	ev, err := Parse([]byte(sample(t, "task-without-images")))
	if err != nil || ev.Seen.Read == nil || ev.Seen.Read.Name != definitionARN {
		t.Fatalf("%+v, %v", ev.Seen, err)
	}
	o, err := ev.Seen.WithTaskDefinition(got)
	if err != nil {
		t.Fatal(err)
	}
	want := []gate.Image{
		{Name: "app", Written: webImage, Running: digestA}, {Name: "proxy", Written: "docker.io/library/nginx:1.29"},
		{Name: "init", Written: "docker.io/library/busybox:latest"}, // not "log", which AWS added, and does not tell the image of
	}
	if diff := cmp.Diff(want, o.Images); diff != "" || o.Version != 3 || o.Subject.Kind != watch.Task {
		t.Errorf("%+v: %s", o.Subject, diff)
	}

	if ev, err = Parse([]byte(sample(t, "register-omitted"))); err != nil {
		t.Fatal(err)
	}
	if o, err = ev.Seen.WithTaskDefinition(got); err != nil || o.Subject.ARN != definitionARN || o.Version != 7 || len(o.Images) != 3 {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err = ev.Seen.WithTaskDefinition(RevisionImages{TaskDefinition: definitionARN}); err == nil {
		t.Error("a task definition without containers is taken for one")
	}
	if ev, err = Parse([]byte(sample(t, "update-service"))); err != nil {
		t.Fatal(err)
	}
	if o, err = ev.Seen.WithTaskDefinition(got); err != nil || o.Subject.ARN != serviceARN || o.Phase != watch.Deployed || o.Subject.Cluster != "prod-a" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestOneBadMessageLeavesTheOthersAlone(t *testing.T) {
	ev, err := Parse([]byte(sample(t, "sqs")))
	if err != nil || len(ev.Records) != 4 {
		t.Fatalf("%+v, %v", ev, err)
	}
	for i, r := range ev.Records {
		if (r.Err != nil) != (i == 1) {
			t.Errorf("message %d: %v", i, r.Err)
		}
	}
	bad := func(r *Record) bool { return r.Err != nil }
	if diff := cmp.Diff([]string{ev.Records[1].ID}, Unsettled(ev.Records, bad)); diff != "" {
		t.Error(diff)
	}
	for i := range ev.Records {
		ev.Records[i].Source += ".fifo"
	}
	if got := Unsettled(ev.Records, bad); len(got) != 3 || got[0] != ev.Records[1].ID || got[2] != ev.Records[3].ID {
		t.Errorf("of a FIFO queue %q come again", got)
	}
	if got := Unsettled(ev.Records, func(*Record) bool { return false }); got == nil || len(got) != 0 {
		t.Errorf("%#v: null would fail the whole batch", got)
	}
}

func TestOnlyEventsComeInMessages(t *testing.T) {
	quoted := func(s string) string {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	message := func(inner string) string { return `{"Type":"Notification","Message":` + quoted(inner) + `}` }
	run := sample(t, "task-running")
	for _, c := range []struct{ name, body, want string }{
		{"an event", run, ""},
		{"an event in a notification", message(run), ""},
		{"a notification in a notification", message(message(run)), "body.Message: a notification of Amazon SNS inside of another"},
		{"a confirmation", `{"Type":"SubscriptionConfirmation","Message":"x"}`, `body.Type: "SubscriptionConfirmation": only Notification`},
		{"a hook", sample(t, "hook-pre-scale-up"), "neither an event"},
		{"a job", sample(t, "codepipeline"), "neither an event"},
		{"a batch", sample(t, "sqs"), "neither an event"},
		{"a question", sample(t, "decide"), "neither an event"},
		{"a fault deep down", message(strings.Replace(run, `"version": 3`, `"version": []`, 1)), "body.Message.detail.version: it is of another type"},
		{"a name twice deep down", message(strings.Replace(run, `"type": "eni"`, `"type":"eni","type":"eni"`, 1)), "twice"},
		{"too deep", message(`{"detail-type":` + strings.Repeat("[", limits.EventDepth+1)), "EventDepth"},
		{"nothing", "", "not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev, err := ParseMessage([]byte(c.body))
			if c.want == "" {
				if err != nil || ev.Kind != KindSeen {
					t.Errorf("%s, %v", ev.Kind, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
}

func TestAHookThatCannotBeReadIsKnownForOne(t *testing.T) {
	for payload, want := range map[string]bool{
		sample(t, "hook-pre-scale-up"):                                 true,
		`{"executionDetails":{`:                                        true,
		`{"lifecycleStage":7}`:                                         true,
		`{"lifecycleStage":"PRE_SCALE_UP","lifecycleStage":1}`:         true,
		`{"Records":[{"body":{"lifecycleStage":1}}]}`:                  false,
		`{"Records":[{"body":"{\"executionDetails\":{}}"}]}`:           false,
		`{"a":{"executionDetails":{}},"b":"\"lifecycleStage\""}`:       false,
		`{"x":"detail-type","executionDetails":{"detail-type":1}}`:     true,
		`["executionDetails"]`:                                         false,
		sample(t, "task-running"):                                      false,
		sample(t, "codedeploy"):                                        false,
		`{"detail-type":1,"detail":{"lifecycleStage":"PRE_SCALE_UP"}}`: false,
		`{}`: false,
	} {
		if ProbablyHook([]byte(payload)) != want {
			t.Errorf("%.60s", payload)
		}
	}
}

func TestAPushWithoutAnAccountIsOfTheRepositorysThatItNames(t *testing.T) {
	for to, want := range map[string]string{
		`"arn:aws:ecr:eu-west-1:345678901234:repository/shop/web"`:   "345678901234.dkr.ecr.eu-west-1.amazonaws.com",
		`"arn:aws:ecr:eu-west-1:345678901234:repository/shop/other"`: "",
		`"arn:aws:ecr:us-west-2:345678901234:repository/shop/web"`:   "",
	} {
		payload := strings.Replace(changed(t, "ecr-push", `"resources": []`, `"resources": [`+to+`]`), `"account": "210987654321",`, ``, 1)
		ev, err := Parse([]byte(payload))
		if (err == nil) != (want != "") || err == nil && ev.Seen.Push.Registry != want {
			t.Errorf("%s: %+v, %v", to, ev.Seen, err)
		}
	}
	if ev, err := Parse([]byte(changed(t, "ecr-push", `"resources": []`, `"resources": ["arn:aws:ecr:eu-west-1:345678901234:repository/shop/web"]`))); err != nil || ev.Account != "210987654321" {
		t.Errorf("%+v, %v", ev, err)
	}
}

func TestACallOfTheSignerThatFailedIsAnAttemptWhateverItNames(t *testing.T) {
	s := sample(t, "signer-add-permission-denied")
	at := strings.Index(s, `"requestParameters": {`)
	payload := s[:at] + `"requestParameters": null, "x": {` + s[at+len(`"requestParameters": {`):]
	ev, err := Parse([]byte(payload))
	if err != nil || ev.Kind != KindSigner || ev.Signer.ErrorCode != "AccessDenied" || ev.Signer.Action != "AddProfilePermission" || ev.Signer.Profile != "" {
		t.Errorf("%+v, %v", ev, err)
	}
}

func TestATaskSetIsJudgedAsItsService(t *testing.T) {
	answer := `"taskSet": {"serviceArn": "` + serviceARN + `", "clusterArn": "arn:aws:ecs:eu-west-1:210987654321:cluster/prod-a", "taskDefinition": "` + definitionARN + `"}, "service": {"x": {`
	payload := strings.Replace(strings.Replace(changed(t, "create-service", `"CreateService"`, `"CreateTaskSet"`), `"service": {`, answer, 1), "\"deployments\": []\n   }", "\"deployments\": []\n   }}", 1)
	ev, err := Parse([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if o := ev.Seen.Observation; o.Subject.ARN != serviceARN || o.Subject.TaskDefinition != definitionARN || ev.Seen.Read.Name != definitionARN || o.Where.Cluster != "prod-a" {
		t.Errorf("%+v", ev.Seen)
	}
}

func TestAServiceWhoseTaskSetsComeLaterIsNotJudgedYet(t *testing.T) {
	payload := strings.Replace(changed(t, "create-service", `"taskDefinition": "shop",`, ``), `"taskDefinition": "arn:aws:ecs:eu-west-1:210987654321:task-definition/shop:8",`, ``, 1)
	if ev, err := Parse([]byte(payload)); err != nil || ev.Kind != KindIrrelevant || !strings.Contains(ev.Reason, "CreateTaskSet") {
		t.Errorf("%s %s, %v", ev.Kind, ev.Reason, err)
	}
}

func TestRegistriesLieUnderTheDomainOfTheirPartition(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "amazonaws.com", "us-gov-west-1": "amazonaws.com", "cn-north-1": "amazonaws.com.cn", "us-iso-east-1": "c2s.ic.gov",
		"us-isob-east-1": "sc2s.sgov.gov", "eu-isoe-west-1": "cloud.adc-e.uk", "us-isof-south-1": "csp.hci.ic.gov", "eusc-de-east-1": "amazonaws.eu",
	} {
		ev, err := Parse([]byte(changed(t, "ecr-push", `"eu-west-1"`, `"`+region+`"`)))
		if err != nil || ev.Seen.Push.Registry != "210987654321.dkr.ecr."+region+"."+want {
			t.Errorf("%s: %+v, %v", region, ev.Seen, err)
		}
	}
}
