package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/trust"
)

// unused are actions that are allowed and that no run of this file calls, each
// with its reason.
var unused = map[string]map[string]string{
	"events": {
		"sqs:ReceiveMessage":     "Lambda reads the queue, with the function's role",
		"sqs:DeleteMessage":      "likewise",
		"sqs:GetQueueAttributes": "likewise",
	},
	"role": {
		"sqs:ReceiveMessage":     "Lambda reads the queue, with the function's role",
		"sqs:DeleteMessage":      "likewise",
		"sqs:GetQueueAttributes": "likewise",
		"logs:CreateLogStream":   "Lambda writes the log, with the function's role",
		"logs:PutLogEvents":      "likewise",
	},
}

// iamStatement is one of `shuin aws iam-policy`.
type iamStatement struct {
	Sid, Effect      string
	Action, Resource []string
	Condition        map[string]map[string][]string
}

// allows says whether a call is what the statement is about ("How IAM
// evaluates policies", IAM User Guide).
func (s *iamStatement) allows(tb testing.TB, c call) bool {
	tb.Helper()
	if s.Effect != "Allow" || !slices.Contains(s.Action, c.Action) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if operator != "ArnEquals" || key != "ecs:cluster" {
				tb.Fatalf("statement %s: this test knows no condition %s of %s", s.Sid, operator, key)
			}
			if !slices.Contains(values, c.Cluster) {
				return false
			}
		}
	}
	return slices.ContainsFunc(s.Resource, func(pattern string) bool {
		// IAM's "*" is for slashes too.
		matches, err := path.Match(strings.ReplaceAll(pattern, "/", "\x01"), strings.ReplaceAll(c.Resource, "/", "\x01"))
		return pattern == "*" || err == nil && matches
	})
}

// printed is what `shuin aws iam-policy` prints.
func printed(t *testing.T, shuin, purpose string, flags ...string) []iamStatement {
	t.Helper()
	out, err := exec.Command(shuin, append([]string{"aws", "iam-policy", "--for", purpose}, flags...)...).Output()
	if err != nil {
		t.Fatalf("iam-policy --for %s: %v", purpose, err)
	}
	var policy struct{ Statement []iamStatement }
	if err := json.Unmarshal(out, &policy); err != nil {
		t.Fatal(err)
	}
	return policy.Statement
}

func actionsOf(statements []iamStatement) map[string]bool {
	out := map[string]bool{}
	for _, s := range statements {
		for _, a := range s.Action {
			out[a] = true
		}
	}
	return out
}

// iamWorld is an account in which everything that the function may ever call
// has a reason to be called.
type iamWorld struct {
	*world
	cloud     *cloud
	good, bad image
	tags      map[digest.Digest]string
	all       map[string]bool // actions of all runs
}

func newIAMWorld(t *testing.T) *iamWorld {
	w := &iamWorld{world: newWorld(t), all: map[string]bool{}}
	w.cloud = newCloud(t, w.world)
	w.cloud.withECR(w.world)
	w.write("notation/truststore/x509/signingAuthority/own/root.pem", string(ci().RootPEM()))
	w.cloud.policy = func() string {
		return `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers: [{signingProfile: "arn:aws:signer:` + region + `:` + account + `:/signing-profiles/build", trustStores: ["signingAuthority:own"]}]
rules:
  - name: shop
    match: {images: ["` + w.host + `/**"]}
    require: {all: [build]}
    mode: enforce
    tags: allowUnpinned
default: deny
signerAdmins: ["arn:aws:iam::` + account + `:role/signer-admin"]
`
	}
	w.good, w.bad = w.push("shop/web", "good", "v1"), w.push("shop/web", "bad", "v2")
	w.tags = map[digest.Digest]string{w.good.Digest: "v1", w.bad.Digest: "v2"}
	w.sealByProfile(w.good, "build", "good")
	w.runningIn(w.good)
	return w
}

// runningIn has ECS run images, each as a task of the service by its tag and
// as one on its own by its digest.
func (w *iamWorld) runningIn(images ...image) {
	s := &w.cloud.ecs
	*s = ecsState{definitions: map[string][]container{}, revised: "shop:7"}
	for i, im := range images {
		name := fmt.Sprint("shop:", 7+i)
		byTag, byDigest := container{"app", im.host + "/" + im.repository + ":" + w.tags[im.Digest], ""}, container{"app", im.String(), im.Digest}
		s.definitions[name], s.definitions[fmt.Sprint("job:", 1+i)], s.definitions[fmt.Sprint("idle:", 3+i)] = []container{byTag}, []container{byDigest}, []container{byDigest}
		running := byTag
		running.Digest = im.Digest
		if s.services = []ecsService{{service, name}}; i == 0 {
			s.families = []string{"idle:3", "job:1", "shop:7"}
		}
		s.tasks = append(s.tasks, ecsTask{fmt.Sprint("service", i), "service:" + service, name, []container{running}},
			ecsTask{fmt.Sprint("job", i), "family:job", fmt.Sprint("job:", 1+i), []container{byDigest}})
	}
}

// run gives events to a function with this configuration, and what it called
// with its own credentials.
func (w *iamWorld) run(t *testing.T, config string, events ...any) []call {
	t.Helper()
	return w.runBy(t, "policy: {s3: \""+policyS3+"\"}\n"+config, events...)
}

// runBy is run with a policy of the configuration's own.
func (w *iamWorld) runBy(t *testing.T, config string, events ...any) []call {
	t.Helper()
	before := len(w.cloud.since(0))
	f := newLambda(t, shipped, 30*time.Second, w.env(w.cloud.env("SHUIN_CONFIG", config)...))
	for _, e := range events {
		f.invoke(e).mustBody(t)
	}
	f.stop()
	var own []call
	for _, c := range w.cloud.since(before) {
		if !c.Assumed {
			own = append(own, c)
			w.all[c.Action] = true
		}
	}
	return own
}

// Where a bundle is, and which profile signs it.
const (
	bundleS3       = "s3://example-shuin/bundles/policy.json"
	bundleProfile  = "arn:aws:signer:" + region + ":" + account + ":/signing-profiles/policy"
	bundleSignedBy = "policy: {bundle: \"" + bundleS3 + "\", signedBy: {signingProfile: \"" + bundleProfile + "\", trustStores: [\"signingAuthority:own\"]}}\n"
)

// publishBundle puts the policy into S3 as a bundle, with the signature of the
// profile that signs policies.
func (w *iamWorld) publishBundle(t *testing.T) {
	t.Helper()
	data, err := bundle.Build(bundle.Content{Sequence: 7, Policy: []byte(w.cloud.policy()), TrustStores: map[trust.StoreName][]*x509.Certificate{
		{Type: trust.SigningAuthority, Name: "own"}: {ci().Root()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := shuintest.HashOf(ci().Leaf().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := bundle.Artifact(data, hash)
	if err != nil {
		t.Fatal(err)
	}
	o := byProfile("policy", "policy-job")
	o.Payload = shuintest.Payload(bundle.MediaType, artifact.Digest().String(), int64(len(data)), nil)
	arn := "arn:aws:s3:::" + strings.TrimPrefix(bundleS3, "s3://")
	w.cloud.objects = map[string]string{arn: string(data), arn + bundle.JWSSuffix: string(shuintest.MustEnvelope(o))}
}

const telling = "state: {dynamodb: shuin}\ntell: [{sns: \"" + topicARN + "\"}, {eventBus: \"" + busARN + "\"}]\n"

// cloudTrail is a call of ECS as CloudTrail tells it, too large to be told
// whole.
func cloudTrail(name string, request map[string]any) map[string]any {
	e := registeredEvent()
	request["omitted"] = true
	d := e["detail"].(map[string]any)
	d["eventName"], d["requestParameters"], d["eventID"] = name, request, fmt.Sprintf("bbbbbbbb-0000-4000-8000-%012d", len(name))
	return e
}

// registration is CloudTrail's of a task definition, whose containers it leaves
// out.
func registration(name string) map[string]any {
	e := cloudTrail("RegisterTaskDefinition", map[string]any{})
	e["detail"].(map[string]any)["responseElements"] = map[string]any{"taskDefinition": map[string]any{"taskDefinitionArn": definitionARN(name)}}
	return e
}

func taskARN(id string) string {
	return "arn:aws:ecs:" + region + ":" + account + ":task/" + cluster + "/" + id
}

// taskOf is the event of a task with an image.
func (w *iamWorld) taskOf(id string, im image) map[string]any {
	return taskEvent(id, 1, container{"app", im.String(), im.Digest})
}

func pushed(im image) map[string]any {
	return bridged("aws.ecr", "ECR Image Action", map[string]any{
		"result": "SUCCESS", "action-type": "PUSH", "repository-name": im.repository, "image-digest": im.Digest, "image-tag": "v1", "manifest-media-type": im.MediaType,
	})
}

func codeDeployEvent() map[string]any {
	return map[string]any{"DeploymentId": "d-SHOP12345", "LifecycleEventHookExecutionId": "eyJlbmNyeXB0ZWREYXRhIjoiQUJDIn0="}
}

func job(id string, im image) map[string]any {
	return map[string]any{"CodePipeline.job": map[string]any{"id": id, "accountId": account, "data": map[string]any{
		"actionConfiguration": map[string]any{"configuration": map[string]any{"FunctionName": "shuin", "UserParameters": mustJSON(map[string]any{"images": []string{im.String()}, "cluster": cluster})}},
		"inputArtifacts":      []any{}, "outputArtifacts": []any{}, "artifactCredentials": map[string]any{"accessKeyId": "EXAMPLE", "secretAccessKey": "EXAMPLE", "sessionToken": "EXAMPLE"},
	}}}
}

func TestTheFunctionCallsWhatItsPoliciesAllowAndNothingElse(t *testing.T) {
	shuin := filepath.Join(t.TempDir(), "shuin")
	if out, err := exec.Command("go", "build", "-o", shuin, "github.com/shuin/shuin/cmd/shuin").CombinedOutput(); err != nil {
		t.Fatalf("build shuin: %v\n%s", err, out)
	}
	w := newIAMWorld(t)
	w.publishBundle(t)
	image := []string{"--cluster", clusterARN, "--registry", ecrHost + "/shop/web", "--profile", "arn:aws:signer:" + region + ":" + account + ":/signing-profiles/build"}
	bundled := append(slices.Clone(image), "--policy-bundle", bundleS3, "--profile", bundleProfile)
	image = append(image, "--policy-object", policyS3)
	told := []string{"--table", tableARN, "--topic", topicARN, "--event-bus", busARN}
	queue := []string{"--queue", "arn:aws:sqs:" + region + ":" + account + ":shuin"}
	events := printed(t, shuin, "events", slices.Concat(image, told, queue)...)
	for _, c := range []struct {
		purpose string
		allowed []iamStatement // with what it goes with
		own     []iamStatement // of the purpose alone
		run     func() []call
	}{
		{purpose: "hook", own: printed(t, shuin, "hook", image...), run: func() []call {
			return w.run(t, "", hookEvent("PRE_SCALE_UP", nil), hookEvent("POST_SCALE_UP", nil))
		}},
		{purpose: "hook", own: printed(t, shuin, "hook", bundled...), run: func() []call {
			calls := w.runBy(t, bundleSignedBy, hookEvent("PRE_SCALE_UP", nil), hookEvent("POST_SCALE_UP", nil))
			for object := range w.cloud.objects {
				if !slices.ContainsFunc(calls, func(c call) bool { return c.Resource == object }) {
					t.Errorf("%s was not read", object)
				}
			}
			return calls
		}},
		{purpose: "hook", own: printed(t, shuin, "hook", append(slices.Clone(image), "--deployment-group", groupARN, "--codepipeline")...), run: func() []call {
			calls := w.run(t, "", hookEvent("PRE_SCALE_UP", nil), codeDeployEvent(), job("good", w.good), job("bad", w.bad))
			w.cloud.event = "AfterAllowTestTraffic" // from then on the tasks are looked at
			return append(calls, w.run(t, "", codeDeployEvent())...)
		}},
		{purpose: "events", own: events, run: func() []call {
			return w.run(t, telling, w.taskOf("a", w.good), w.taskOf("b", w.bad), cloudTrail("RegisterTaskDefinition", map[string]any{"family": "shop"}), pushed(w.good),
				cloudTrail("UpdateService", map[string]any{"cluster": cluster, "service": service, "taskDefinition": "shop:7"}),
				cloudTrail("RunTask", map[string]any{"cluster": cluster, "taskDefinition": "job:1"}))
		}},
		{purpose: "sweep", own: printed(t, shuin, "sweep", slices.Concat(image, told, []string{"--assume-role", otherRole})...), run: func() []call {
			w.runningIn(w.good, w.bad)
			defer w.runningIn(w.good)
			return w.run(t, telling+"sweep: {targets: [{taskDefinitions: true}, {role: \""+otherRole+"\", taskDefinitions: true}]}\n", map[string]any{"shuin": "sweep"})
		}},
		{purpose: "stop", allowed: events, own: printed(t, shuin, "stop", "--cluster", clusterARN), run: func() []call {
			w.runningIn(w.bad)
			defer w.runningIn(w.good)
			const reacting = telling + "react: {dangerouslyStopTasks: true, dangerouslyDeregisterTaskDefinitions: true}\n"
			calls := w.run(t, reacting, w.taskOf("job0", w.bad), registration("idle:3"))
			w.cloud.gone = true
			defer func() { w.cloud.gone = false }()
			calls = append(calls, w.run(t, reacting, w.taskOf("service0", w.bad))...)
			if want := []string{taskARN("job0"), "idle:3"}; !slices.Equal(w.cloud.stopped, want) {
				t.Errorf("stopped and deregistered: %q, want %q", w.cloud.stopped, want)
			}
			return calls
		}},
	} {
		t.Run(c.purpose, func(t *testing.T) {
			calls := c.run()
			allowed := slices.Concat(c.own, c.allowed)
			called := map[string]bool{}
			for _, one := range calls {
				called[one.Action] = true
				if !slices.ContainsFunc(allowed, func(s iamStatement) bool { return s.allows(t, one) }) {
					t.Errorf("called, and not allowed: %+v", one)
				}
			}
			compareActions(t, "iam-policy --for "+c.purpose, actionsOf(c.own), called, unused[c.purpose])
			t.Logf("%d calls of %d actions", len(calls), len(called))
		})
	}
	t.Run("the role of deploy/aws/shuin.yaml", func(t *testing.T) {
		var got atomic.Int32
		chat := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
		defer chat.Close()
		w.cloud.secret = "generic+" + chat.URL
		w.run(t, "tell: [{chat: {secret: \""+secretARN+"\"}}]\n", w.taskOf("chat", w.bad), job("good", w.good), job("bad", w.bad),
			codeDeployEvent())
		if got.Load() != 1 {
			t.Errorf("the chat was told %d times", got.Load())
		}
		role := roleOfTemplate(t)
		for action := range w.all {
			if !role[action] {
				t.Errorf("called, and not allowed: %s", action)
			}
		}
		compareActions(t, "the role", role, w.all, unused["role"])
		t.Logf("%d actions", len(role))
	})
}

// compareActions holds what is allowed to what is called, and the list of
// exceptions to being of use.
func compareActions(t *testing.T, what string, allowed, called map[string]bool, exceptions map[string]string) {
	t.Helper()
	for _, action := range slices.Sorted(maps.Keys(allowed)) {
		if !called[action] && exceptions[action] == "" {
			t.Errorf("%s allows %s, which is never called", what, action)
		}
	}
	for action := range exceptions {
		switch {
		case called[action]:
			t.Errorf("%s: %s is called, and no exception", what, action)
		case !allowed[action]:
			t.Logf("%s allows %s no more: take it off the list of this test", what, action)
		}
	}
}

var (
	templateRole   = regexp.MustCompile(`(?ms)^  FunctionRole:$(.*?)^  [A-Za-z]`)
	templateAction = regexp.MustCompile(`Action: \[?([a-z0-9A-Z:, -]+)\]?`)
)

// roleOfTemplate are all actions that the function's role can have, under
// whichever parameters.
func roleOfTemplate(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("../../deploy/aws/shuin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role := templateRole.FindSubmatch(data)
	if role == nil {
		t.Fatal("the template has no FunctionRole")
	}
	_, policies, _ := strings.Cut(string(role[1]), "Policies:")
	out := map[string]bool{}
	for _, m := range templateAction.FindAllStringSubmatch(policies, -1) {
		for action := range strings.SplitSeq(m[1], ",") {
			out[strings.TrimSpace(action)] = true
		}
	}
	return out
}

func TestAPolicyThatDoesNotFitIsSeen(t *testing.T) {
	s := iamStatement{Effect: "Allow", Action: []string{"ecs:StopTask", "ecs:ListTasks"}, Resource: []string{"arn:aws:ecs:r:1:task/prod/*"}}
	inCluster := s
	inCluster.Resource, inCluster.Condition = []string{"*"}, map[string]map[string][]string{"ArnEquals": {"ecs:cluster": {clusterARN}}}
	for _, c := range []struct {
		name string
		s    iamStatement
		call call
		want bool
	}{
		{"the action on the resource", s, call{Action: "ecs:StopTask", Resource: "arn:aws:ecs:r:1:task/prod/a/b"}, true},
		{"another action", s, call{Action: "ecs:RunTask", Resource: "arn:aws:ecs:r:1:task/prod/a"}, false},
		{"another resource", s, call{Action: "ecs:StopTask", Resource: "arn:aws:ecs:r:1:task/dev/a"}, false},
		{"an action without a resource", s, call{Action: "ecs:ListTasks"}, false},
		{"in the cluster", inCluster, call{Action: "ecs:ListTasks", Cluster: clusterARN}, true},
		{"in another cluster", inCluster, call{Action: "ecs:ListTasks", Cluster: clusterARN + "2"}, false},
	} {
		if got := c.s.allows(t, c.call); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
