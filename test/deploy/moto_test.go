//go:build e2e

package deploy

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/shuintest"
)

// What moto_server 5.2 lacks of CloudFormation, beside what it does: these
// types become nothing, and neither policies nor outputs of a stack that a
// change set made are kept. The tests below say so where they meet it, and
// fail when moto has learnt it.
var motoLacks = []string{"DeadLetterAlarm", "ErrorAlarm", "UndecidedAlarm", "ErrorsAlarm", "QueuePolicy", "DeadLetterQueuePolicy", "TopicPolicy"}

const motoRegion = "ap-northeast-1"

// cloud is moto_server with the AWS CLI pointed at it.
type cloud struct {
	t        *testing.T
	dir      string
	endpoint string
}

// tool finds a program that the tests need.
func tool(t *testing.T, name, install string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is needed: %s", name, install)
	}
	return path
}

var (
	motoOnce sync.Once
	motoDir  string // a virtual environment, where PATH has no moto
)

// motoTool finds a program of moto's, or installs all of them once.
func motoTool(t *testing.T, name string) string {
	t.Helper()
	motoOnce.Do(func() {
		if dir, err := os.MkdirTemp("", "shuin-moto-"); err == nil {
			motoDir = dir
		}
	})
	paths, err := shuintest.FindMoto(context.Background(), motoDir, name)
	if err != nil {
		t.Fatal(err)
	}
	return paths[0]
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	server := motoTool(t, "moto_server")
	tool(t, "aws", "apt-get install awscli")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	_ = ln.Close()
	c := &cloud{t: t, dir: t.TempDir(), endpoint: "http://127.0.0.1:" + port}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, server, "-H", "127.0.0.1", "-p", port)
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	c.await()
	c.prepare()
	return c
}

// await asks until the server answers.
func (c *cloud) await() {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get(c.endpoint + "/moto-api/data.json"); err == nil {
			_ = resp.Body.Close()
			return
		}
	}
	c.t.Fatal("moto_server does not answer")
}

// prepare puts zip and policy where the template looks for them.
func (c *cloud) prepare() {
	c.t.Helper()
	out, err := os.Create(filepath.Join(c.dir, "shuin-lambda-arm64.zip"))
	if err != nil {
		c.t.Fatal(err)
	}
	z := zip.NewWriter(out)
	w, err := z.Create("bootstrap")
	if err == nil {
		_, err = w.Write([]byte("not run here"))
	}
	if err != nil || z.Close() != nil || out.Close() != nil {
		c.t.Fatal(err)
	}
	c.write("pipeline.yaml", `apiVersion: shuin.dev/v1
kind: PipelinePolicy
stages:
  build:
    signers:
      - signingProfile: arn:aws:signer:ap-northeast-1:123456789012:/signing-profiles/shop_build
        trustStores: [signingAuthority:aws-signer-ts]
rules:
  - name: all
    match: {images: ["123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/**"]}
    require: {all: [build]}
`)
	c.aws("s3", "mb", "s3://shuin-kit")
	c.aws("s3", "cp", "shuin-lambda-arm64.zip", "s3://shuin-kit/shuin/9.9.9/shuin-lambda-arm64.zip")
	c.aws("s3", "cp", "pipeline.yaml", "s3://shuin-kit/shuin/pipeline.yaml")
}

func (c *cloud) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "AWS_ENDPOINT_URL=" + c.endpoint, "AWS_REGION=" + motoRegion, "AWS_DEFAULT_REGION=" + motoRegion,
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY=example", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
	}
}

// run runs a program: its status and what it printed.
func (c *cloud) run(program string, args ...string) (int, string) {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = c.dir, c.env()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	if stderr.Len() > 0 {
		c.t.Logf("%s %s: %s", filepath.Base(program), strings.Join(args, " "), stderr.String())
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// aws runs the official AWS CLI, which has to succeed.
func (c *cloud) aws(args ...string) string {
	c.t.Helper()
	if args[0] == "sqs" { // the CLI asks queues at an address of its own
		args = append(args, "--endpoint-url", c.endpoint)
	}
	status, out := c.run("aws", args...)
	if status != 0 {
		c.t.Fatalf("aws %q: status %d", args, status)
	}
	return strings.TrimSpace(out)
}

// deploy deploys a template as docs/deploy-aws.md says, from what
// `shuin aws template` prints.
func (c *cloud) deploy(name, stack string, parameters ...string) {
	c.t.Helper()
	status, text := c.run(program(c.t), "aws", "template", name)
	if status != 0 {
		c.t.Fatalf("shuin aws template %s: status %d", name, status)
	}
	c.write(name+".yaml", text)
	args := []string{"cloudformation", "deploy", "--template-file", name + ".yaml", "--stack-name", stack, "--capabilities", "CAPABILITY_IAM"}
	if len(parameters) > 0 {
		args = append(append(args, "--parameter-overrides"), parameters...)
	}
	c.aws(args...)
}

// resource is the name on AWS of a resource of a stack; empty: moto made none.
func (c *cloud) resource(stack, logical string) string {
	c.t.Helper()
	out := c.aws("cloudformation", "list-stack-resources", "--stack-name", stack, "--output", "text",
		"--query", "StackResourceSummaries[?LogicalResourceId=='"+logical+"'].PhysicalResourceId")
	return strings.TrimPrefix(out, "None")
}

// part is one part of what `shuin aws status` says.
type part struct {
	Name, State, Says, Mend string
	Messages                *int
}

// status runs `shuin aws status`, and gives its parts by name.
func (c *cloud) status(stack string, want int) map[string]part {
	c.t.Helper()
	status, out := c.run(program(c.t), "aws", "status", "--stack", stack, "--output", "json")
	var answer struct {
		MediaType string
		Parts     []part
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		c.t.Fatalf("status %d, %v:\n%s", status, err, out)
	}
	if status != want {
		c.t.Errorf("shuin aws status: status %d, want %d:\n%s", status, want, out)
	}
	parts := map[string]part{}
	for _, p := range answer.Parts {
		parts[p.Name] = p
	}
	return parts
}

func kitParameters(more ...string) []string {
	return append([]string{"CodeBucket=shuin-kit", "CodeKey=shuin/9.9.9/shuin-lambda-arm64.zip", "PolicyBucket=shuin-kit", "Mode=warn"}, more...)
}

func TestTheKitIsDeployedAndItsStatusIsTold(t *testing.T) {
	c := newCloud(t)
	c.deploy("shuin", "shuin", kitParameters()...)
	stack := c.status("shuin", 1)
	well := []string{"stack", "function", "mode", "policy", "hook role", "rule: tasks", "rule: ECS calls", "rule: signer calls", "rule: sweep", "queue", "dead letters", "queue to function", "table"}
	for _, name := range well {
		if stack[name].State != "well" {
			t.Errorf("%s: %+v, want well", name, stack[name])
		}
	}
	c.sweepGoesThroughTheQueue()
	for name, state := range map[string]string{"rule: pushes": "off", "trail": "missing", "topic": "missing"} {
		if stack[name].State != state {
			t.Errorf("%s: %+v, want %s", name, stack[name], state)
		}
	}
	for _, logical := range motoLacks {
		if name := c.resource("shuin", logical); name != "" {
			t.Errorf("moto makes %s (%s) now: have this test hold it", logical, name)
		}
		if p, ok := stack["alarm: "+logical]; ok && p.State != "missing" {
			t.Errorf("%s, which moto does not make: %+v, want missing", logical, p)
		}
	}

	// What status says is done, and it is well.
	queue := c.aws("sqs", "get-queue-attributes", "--queue-url", c.resource("shuin", "Queue"), "--attribute-names", "QueueArn", "--query", "Attributes.QueueArn", "--output", "text")
	c.aws("sns", "subscribe", "--topic-arn", c.resource("shuin", "Topic"), "--protocol", "sqs", "--notification-endpoint", queue)
	c.aws("s3", "mb", "s3://shuin-trail")
	c.aws("cloudtrail", "create-trail", "--name", "all", "--s3-bucket-name", "shuin-trail")
	if p := c.status("shuin", 1)["trail"]; p.State != "missing" || !strings.Contains(p.Says, "1 trail was found") {
		t.Errorf("a trail that does not log: %+v", p)
	}
	c.aws("cloudtrail", "start-logging", "--name", "all")
	stack = c.status("shuin", 1) // the alarms alone, which moto lacks
	for name, p := range stack {
		if p.State == "missing" != strings.HasPrefix(name, "alarm: ") || p.State == "unknown" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	// Without them all is well. Not as an update: moto loses the log group in
	// one. And without a schedule: a rule that has no pattern takes every event
	// in moto.
	c.aws("cloudformation", "delete-stack", "--stack-name", "shuin")
	c.deploy("shuin", "shuin", kitParameters("Alarms=no", "CreateTopic=no", "SweepSchedule=")...)
	c.status("shuin", 0)

	c.eventsReachTheQueue()
	c.partsFail()
}

// sweepGoesThroughTheQueue asks what the schedule of a stack with nothing said
// of it starts, and whether a message outlasts a call.
func (c *cloud) sweepGoesThroughTheQueue() {
	c.t.Helper()
	attributes := map[string]string{}
	text := c.aws("sqs", "get-queue-attributes", "--queue-url", c.resource("shuin", "Queue"), "--attribute-names", "All", "--query", "Attributes", "--output", "json")
	if err := json.Unmarshal([]byte(text), &attributes); err != nil {
		c.t.Fatal(err)
	}
	rule := c.resource("shuin", "SweepRule")
	if got := c.aws("events", "describe-rule", "--name", rule, "--query", "ScheduleExpression", "--output", "text"); got != "rate(6 hours)" {
		c.t.Errorf("the sweep's schedule is %s", got)
	}
	if got := c.aws("events", "list-targets-by-rule", "--rule", rule, "--query", "Targets[].Arn", "--output", "text"); got != attributes["QueueArn"] {
		c.t.Errorf("the sweep's rule sends to %s, want the queue %s alone", got, attributes["QueueArn"])
	}
	var function struct {
		Timeout     int
		Environment struct{ Variables map[string]string }
	}
	var config struct {
		Events struct{ Receives int }
		Sweep  struct{ Interval string }
	}
	text = c.aws("lambda", "get-function-configuration", "--function-name", c.resource("shuin", "Function"), "--output", "json")
	if err := json.Unmarshal([]byte(text), &function); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(function.Environment.Variables["SHUIN_CONFIG"]), &config); err != nil {
		c.t.Fatal(err)
	}
	var redrive struct{ MaxReceiveCount any }
	if err := json.Unmarshal([]byte(attributes["RedrivePolicy"]), &redrive); err != nil {
		c.t.Fatal(err)
	}
	most, err := strconv.Atoi(fmt.Sprint(redrive.MaxReceiveCount))
	if err != nil || config.Events.Receives == 0 || most <= config.Events.Receives || config.Sweep.Interval != "" {
		c.t.Errorf("the function is told %+v, the queue's redrive policy is %s (%v)", config, attributes["RedrivePolicy"], err)
	}
	hidden, err := strconv.Atoi(attributes["VisibilityTimeout"])
	if err != nil || hidden <= function.Timeout || time.Duration(hidden*(config.Events.Receives-1))*time.Second <= leaseOf(time.Duration(function.Timeout)*time.Second) {
		c.t.Errorf("a message is hidden %d s, a call takes %d s, and there are %d receives (%v)", hidden, function.Timeout, config.Events.Receives, err)
	}
}

// eventsReachTheQueue sends events as AWS does, and asks how many the rules
// handed over.
func (c *cloud) eventsReachTheQueue() {
	c.t.Helper()
	send := func(source, kind, detail string) {
		c.t.Helper()
		entries, _ := json.Marshal([]map[string]string{{"Source": source, "DetailType": kind, "Detail": detail}})
		c.aws("events", "put-events", "--entries", string(entries))
	}
	// Nobody takes them: moto would start the function in Docker, where there is one.
	mapping := c.resource("shuin", "EventSource")
	c.aws("lambda", "update-event-source-mapping", "--uuid", mapping, "--no-enabled")
	defer c.aws("lambda", "update-event-source-mapping", "--uuid", mapping, "--enabled")
	n := 0
	for _, e := range []struct {
		name, source, kind, detail string
		taken                      bool
	}{
		{"a task that is provisioned", "aws.ecs", "ECS Task State Change", `{"desiredStatus":"RUNNING","lastStatus":"PROVISIONING"}`, true},
		{"a task that runs", "aws.ecs", "ECS Task State Change", `{"desiredStatus":"RUNNING","lastStatus":"RUNNING"}`, true},
		{"a task that stops", "aws.ecs", "ECS Task State Change", `{"desiredStatus":"STOPPED","lastStatus":"RUNNING"}`, true},
		{"a task that stopped", "aws.ecs", "ECS Task State Change", `{"desiredStatus":"STOPPED","lastStatus":"STOPPED"}`, true},
		{"a task that is being stopped", "aws.ecs", "ECS Task State Change", `{"desiredStatus":"STOPPED","lastStatus":"DEPROVISIONING"}`, false},
		{"a task definition", "aws.ecs", "AWS API Call via CloudTrail", `{"eventSource":"ecs.amazonaws.com","eventName":"RegisterTaskDefinition"}`, true},
		{"a list of clusters", "aws.ecs", "AWS API Call via CloudTrail", `{"eventSource":"ecs.amazonaws.com","eventName":"ListClusters"}`, false},
		{"a signature", "aws.signer", "AWS API Call via CloudTrail", `{"eventSource":"signer.amazonaws.com","eventName":"SignPayload"}`, true},
		{"a profile that is cancelled", "aws.signer", "AWS API Call via CloudTrail", `{"eventSource":"signer.amazonaws.com","eventName":"CancelSigningProfile"}`, true},
		{"a push, which is not watched", "aws.ecr", "ECR Image Action", `{"action-type":"PUSH","result":"SUCCESS"}`, false},
		{"somebody else's event", "com.example", "ECS Task State Change", `{"desiredStatus":"RUNNING","lastStatus":"RUNNING"}`, false},
	} {
		send(e.source, e.kind, e.detail)
		if e.taken {
			n++
		}
		if got := c.status("shuin", 1)["queue"]; got.Messages == nil || *got.Messages != n {
			c.t.Fatalf("%s: %s, want %d waiting", e.name, got.Says, n)
		}
	}
}

// partsFail breaks one part after the other.
func (c *cloud) partsFail() {
	c.t.Helper()
	function, mapping, rule := c.resource("shuin", "Function"), c.resource("shuin", "EventSource"), c.resource("shuin", "TaskRule")
	broken := func(name, text string) {
		c.t.Helper()
		if p := c.status("shuin", 1)[name]; p.State != "missing" || !strings.Contains(p.Says+p.Mend, text) || p.Mend == "" {
			c.t.Errorf("%s: %+v, want missing with %q", name, p, text)
		}
	}
	c.aws("sqs", "send-message", "--queue-url", c.resource("shuin", "DeadLetterQueue"), "--message-body", "{}")
	broken("dead letters", "--destination-arn "+c.aws("sqs", "get-queue-attributes", "--queue-url", c.resource("shuin", "Queue"), "--attribute-names", "QueueArn", "--query", "Attributes.QueueArn", "--output", "text")+"\"")
	c.aws("sqs", "purge-queue", "--queue-url", c.resource("shuin", "DeadLetterQueue"))
	c.aws("events", "disable-rule", "--name", rule)
	broken("rule: tasks", "aws events enable-rule --name "+rule)
	c.aws("events", "enable-rule", "--name", rule)
	c.aws("lambda", "update-event-source-mapping", "--uuid", mapping, "--no-enabled")
	broken("queue to function", "update-event-source-mapping --enabled")
	c.aws("lambda", "update-event-source-mapping", "--uuid", mapping, "--enabled")
	c.write("other.yaml", "kind: Nothing\n")
	c.aws("s3", "cp", "other.yaml", "s3://shuin-kit/shuin/pipeline.yaml")
	broken("policy", "it cannot be used")
	c.aws("s3", "rm", "s3://shuin-kit/shuin/pipeline.yaml")
	broken("policy", "aws s3 cp pipeline.yaml s3://shuin-kit/shuin/pipeline.yaml")
	c.aws("s3", "cp", "pipeline.yaml", "s3://shuin-kit/shuin/pipeline.yaml")
	c.status("shuin", 0)
	c.aws("lambda", "delete-function", "--function-name", function)
	broken("function", "deploy the stack again")
	if status, _ := c.run(program(c.t), "aws", "status", "--stack", "another"); status != 1 {
		c.t.Errorf("no stack: status %d, want 1", status)
	}
}

// everything is each parameter with something in it.
func everything(digest string) []string {
	return kitParameters(
		"PolicyDigest="+digest, "Mode=enforce", "Architecture=x86_64", "HookRetries=3", "UndecidedReceives=10", "Timeout=120", "TrustDirectory=trust",
		"RepositoryArns=arn:aws:ecr:ap-northeast-1:123456789012:repository/shop/api,arn:aws:ecr:ap-northeast-1:444455556666:repository/base/*",
		"SigningProfileArns=arn:aws:signer:ap-northeast-1:123456789012:/signing-profiles/shop_build,arn:aws:signer:ap-northeast-1:123456789012:/signing-profiles/shop_scan",
		"WatchEcr=yes", "SweepSchedule=cron(0 3 * * ? *)", "SweepInterval=24h", "RedriveArns=arn:aws:iam::123456789012:role/oncall",
		"SweepRoleArns="+sweepRoles(),
		"ClusterArns=arn:aws:ecs:ap-northeast-1:123456789012:cluster/prod", "Groups=service:api,family:batch", "Containers=api,worker",
		"CreateTopic=no", "TopicArn=arn:aws:sns:ap-northeast-1:123456789012:findings", "EventBusArn=arn:aws:events:ap-northeast-1:123456789012:event-bus/default",
		"ChatSecretArn=arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:chat-AbCdEf",
		"CodeDeployHook=yes", "CodePipelineAction=yes", "DangerouslyStopTasks=yes", "DangerouslyDeregisterTaskDefinitions=yes", "Reactions=off",
	)
}

// sweepRoles are as many as the parameter's description says.
func sweepRoles() string {
	var all []string
	for i := range 35 {
		all = append(all, fmt.Sprintf("arn:aws:iam::%d:role/shuin-sweep", 444455556666+i))
	}
	return strings.Join(all, ",")
}

func TestTheFunctionTakesTheConfigurationThatTheStackGivesIt(t *testing.T) {
	c := newCloud(t)
	lambda := filepath.Join(c.dir, "shuin-lambda")
	if out, err := exec.Command("go", "build", "-o", lambda, "github.com/shuin/shuin/cmd/shuin-lambda").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "trust"), 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.dir, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		stack      string
		parameters []string
		says       []string
	}{
		{"least", kitParameters("CreateTopic=no", "SweepSchedule=", "EcsHook=no", "WatchTasks=no", "WatchCloudTrail=no", "WatchSigner=no", "Alarms=no"), []string{"warn mode"}},
		{"usual", kitParameters(), []string{"warn mode", "sns"}},
		{"bundle", kitParameters("PolicyKind=bundle", "PolicyKey=shuin/policy.json", "TrustDirectory=trust", "PolicyTrustStores=ca:policy,tsa:corp", "PolicyLeastSequence=7",
			"PolicySignerIdentity=x509.subject: C=JP, ST=Tokyo, O=Example, CN=policy"), []string{"s3://shuin-kit/shuin/policy.json", "CN=policy"}},
		{"profile", kitParameters("PolicyKind=bundle", "PolicyKey=shuin/policy.json", "PolicyTrustStores=signingAuthority:aws-signer-ts",
			"PolicySigningProfileArn=arn:aws:signer:ap-northeast-1:444455556666:/signing-profiles/policy"), []string{"s3://shuin-kit/shuin/policy.json", "signing-profiles/policy"}},
		{"everything", everything(digestOf(text)), []string{"enforce mode", "pinned to " + digestOf(text), "sns", "eventBus", "chat", "STOPS TASKS"}},
	} {
		t.Run(v.stack, func(t *testing.T) {
			c.t = t
			c.deploy("shuin", v.stack, v.parameters...)
			config := c.aws("lambda", "get-function-configuration", "--function-name", c.resource(v.stack, "Function"), "--query", "Environment.Variables.SHUIN_CONFIG", "--output", "text")
			c.write("config.json", config)
			status, out := c.run(lambda, "--check-config", "config.json")
			if status != 0 {
				t.Fatalf("status %d:\n%s\n%s", status, out, config)
			}
			if v.stack == "everything" && !strings.Contains(config, `"sweep":{"interval":"24h",`) {
				t.Errorf("the function is not told how often it sweeps: %s", config)
			}
			if most := 4 << 10; len(config)+len("SHUIN_CONFIG SHUIN_MODE enforce SHUIN_REACTIONS off") > most {
				t.Errorf("the configuration has %d bytes, and Lambda's environment takes %d", len(config), most)
			}
			for _, want := range v.says {
				if !strings.Contains(out, want) {
					t.Errorf("the function does not say %q:\n%s", want, out)
				}
			}
		})
	}
	t.Run("a bundle is read with its signature", func(t *testing.T) {
		c.t = t
		for stack, wants := range map[string][]string{
			"usual":   {"shuin-kit/shuin/pipeline.yaml'"},
			"bundle":  {"shuin-kit/shuin/policy.json'", "shuin-kit/shuin/policy.json.jws.sig'", "shuin-kit/shuin/policy.json.sha256-*.jws.sig'"},
			"profile": {"policy.json.jws.sig'", "444455556666:/signing-profiles/policy'", "signing-profiles/policy/*'", "signer:*:444455556666:/signing-jobs/*'"},
		} {
			policy := c.aws("iam", "get-role-policy", "--role-name", c.resource(stack, "FunctionRole"), "--policy-name", "shuin", "--query", "PolicyDocument", "--output", "json")
			for _, want := range wants {
				if !strings.Contains(policy, want) {
					t.Errorf("the role of %s lacks %s:\n%s", stack, want, policy)
				}
			}
			if stack == "usual" && strings.Contains(policy, ".sig") {
				t.Errorf("the role may read the signature of a policy that has none:\n%s", policy)
			}
		}
	})
	t.Run("every statement of everything", func(t *testing.T) {
		c.t = t
		role := c.resource("everything", "FunctionRole")
		policy := c.aws("iam", "get-role-policy", "--role-name", role, "--policy-name", "shuin", "--query", "PolicyDocument", "--output", "json")
		for _, want := range []string{
			"secret:chat-AbCdEf", "repository/base/*", "signing-profiles/shop_scan/*", "role/shuin-sweep", "ecs:StopTask", "ecs:DeregisterTaskDefinition",
			"codepipeline:PutJobSuccessResult", "codedeploy:PutLifecycleEventHookExecutionStatus", "123456789012:findings", "event-bus/default",
		} {
			if !strings.Contains(policy, want) {
				t.Errorf("the role lacks %s:\n%s", want, policy)
			}
		}
		rule := c.aws("events", "describe-rule", "--name", c.resource("everything", "TaskRule"), "--query", "EventPattern", "--output", "text")
		for _, want := range []string{`"clusterArn": ["arn:aws:ecs:ap-northeast-1:123456789012:cluster/prod"]`, `"group": ["service:api", "family:batch"]`, `"containers": {"name": ["api", "worker"]}`} {
			if !strings.Contains(rule, want) {
				t.Errorf("the rule's pattern lacks %s:\n%s", want, rule)
			}
		}
		least := c.aws("events", "list-rules", "--name-prefix", "least-", "--query", "Rules[].Name", "--output", "text")
		if least != "" {
			t.Errorf("a stack without rules has %s", least)
		}
	})
}

func TestTheOtherTemplatesAreDeployed(t *testing.T) {
	c := newCloud(t)
	c.deploy("ecr", "shop-api", "RepositoryName=shop/api", "PullerArns=arn:aws:iam::444455556666:role/shuin")
	if got := c.aws("ecr", "describe-repositories", "--query", "repositories[].repositoryName", "--output", "text"); got != "shop/api" {
		t.Errorf("repositories: %s", got)
	}
	c.deploy("signing", "shop-signing", "ProfilePrefix=shop", "Approve=yes", "RepositoryArns=arn:aws:ecr:ap-northeast-1:123456789012:repository/shop/api",
		"GitHubProviderArn=arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com", "GitHubRepository=example/shop")
	for _, stage := range []string{"Build", "UnitTest", "Scan", "Approve"} {
		role := c.resource("shop-signing", stage+"Role")
		trust := c.aws("iam", "get-role", "--role-name", role, "--query", "Role.AssumeRolePolicyDocument", "--output", "json")
		subject := "repo:example/shop:environment:" + map[string]string{"Build": "build", "UnitTest": "unit-test", "Scan": "scan", "Approve": "approve"}[stage]
		if !strings.Contains(trust, subject) || !strings.Contains(trust, "sts.amazonaws.com") {
			t.Errorf("%s may be taken by another than %s:\n%s", role, subject, trust)
		}
		if name := c.resource("shop-signing", stage+"Profile"); name != "" {
			t.Errorf("moto makes signing profiles (%s) now: have this test hold them", name)
		}
	}
}

func TestLintOfTheTemplates(t *testing.T) {
	lint := motoTool(t, "cfn-lint")
	files, err := filepath.Glob(filepath.Join(root, "deploy", "*", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v: %v", files, err)
	}
	slices.Sort(files)
	out, err := exec.Command(lint, append([]string{"--include-checks", "W", "--"}, files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}
