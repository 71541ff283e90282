//go:build e2e

package awscli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/notify"
	"github.com/shuin/shuin/watch"
	"github.com/shuin/shuin/watch/storetest"
)

// newMoto is moto on loopback, and a caller whose AWS it is.
func newMoto(t *testing.T) (*ecsWorld, *awscall.Caller) {
	t.Helper()
	w := &ecsWorld{tools: theTools(t), dir: t.TempDir()}
	w.background(t, func(port string) *exec.Cmd {
		w.endpoint = "http://127.0.0.1:" + port
		return exec.Command(motoServer(t), "-H", "127.0.0.1", "-p", port)
	}, "/moto-api/")
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "never-to-be-shown", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": region,
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": w.endpoint,
	} {
		t.Setenv(k, v)
	}
	return w, &awscall.Caller{UserAgent: "shuin/test", Now: time.Now}
}

// cloud runs an `aws` command against moto, and gives what path names of its
// answer ("a.b").
func (w *ecsWorld) cloud(t *testing.T, path string, args ...string) string {
	t.Helper()
	stdout, stderr, status := w.run(t, filepath.Join(w.cli.Bin, "aws"), append([]string{"--endpoint-url", w.endpoint, "--output", "json"}, args...)...)
	if status != 0 {
		t.Fatalf("aws %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
	}
	if path == "" {
		return stdout
	}
	var at any
	if err := json.Unmarshal([]byte(stdout), &at); err != nil {
		t.Fatalf("aws %s: %v: %s", args[0], err, stdout)
	}
	for part := range strings.SplitSeq(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			t.Fatalf("aws %s: no %s in %s", args[0], path, stdout)
		}
		at = m[part]
	}
	s, ok := at.(string)
	if !ok {
		t.Fatalf("aws %s: no %s in %s", args[0], path, stdout)
	}
	return s
}

func randomToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// oneAtATime stands before moto: it looks at a condition and writes in two
// steps, and several requests at once come in between, where DynamoDB does both
// at once.
func oneAtATime(t *testing.T, moto string) string {
	t.Helper()
	to, err := url.Parse(moto)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// makeTable makes the table as docs/design/notify.md says.
func makeTable(t *testing.T, w *ecsWorld, name string) {
	t.Helper()
	w.cloud(t, "", "dynamodb", "create-table", "--table-name", name, "--billing-mode", "PAY_PER_REQUEST",
		"--attribute-definitions", "AttributeName=id,AttributeType=S", "--key-schema", "AttributeName=id,KeyType=HASH")
	w.cloud(t, "", "dynamodb", "update-time-to-live", "--table-name", name, "--time-to-live-specification", "Enabled=true,AttributeName=expires")
}

func TestATableOfDynamoDBIsAStore(t *testing.T) {
	w, caller := newMoto(t)
	makeTable(t, w, "shuin")
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", oneAtATime(t, w.endpoint))
	table := &awsstate.Table{Caller: caller, Name: "shuin", Random: randomToken}
	storetest.Run(t, func(*testing.T) watch.Store { return table })
	t.Run("reactions are off while somebody says so", func(t *testing.T) {
		w.cloud(t, "", "dynamodb", "put-item", "--table-name", "shuin", "--item", `{"id":{"S":"`+awsstate.ReactionsOffID+`"},"because":{"S":"incident 4711"}}`)
		if off, err := table.ReactionsOff(t.Context()); !off || err != nil {
			t.Error(off, err)
		}
		w.cloud(t, "", "dynamodb", "delete-item", "--table-name", "shuin", "--key", `{"id":{"S":"`+awsstate.ReactionsOffID+`"}}`)
		if off, err := table.ReactionsOff(t.Context()); off || err != nil {
			t.Error(off, err)
		}
	})
	t.Run("a table that is not there is told as such", func(t *testing.T) {
		none := &awsstate.Table{Caller: caller, Name: "none", Random: randomToken}
		_, err := none.Begin(t.Context(), watch.Claim{Key: "k", Version: 1}, time.Now(), time.Minute)
		if shuin.CodeOf(err) != shuin.CodeNotFound || errors.Is(err, watch.ErrBusy) {
			t.Error(err)
		}
		if _, err := none.ReactionsOff(t.Context()); shuin.CodeOf(err) != shuin.CodeNotFound {
			t.Error(err)
		}
	})
}

func TestAPolicyIsReadFromS3(t *testing.T) {
	w, caller := newMoto(t)
	put := func(text string) {
		t.Helper()
		path := filepath.Join(w.dir, "policy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.cloud(t, "", "s3api", "put-object", "--bucket", "shuin-policy", "--key", "prod/policy v1.yaml", "--body", path)
	}
	w.cloud(t, "", "s3api", "create-bucket", "--bucket", "shuin-policy", "--create-bucket-configuration", "LocationConstraint="+region)
	w.cloud(t, "", "s3api", "put-bucket-versioning", "--bucket", "shuin-policy", "--versioning-configuration", "Status=Enabled")
	put("first")
	objects := &awsstate.Objects{Caller: caller}
	address, err := awsstate.ParseAddress("s3://shuin-policy/prod/policy v1.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read := func(have *awsstate.Object) *awsstate.Object {
		t.Helper()
		got, err := objects.Read(t.Context(), address, 1000, have)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := read(nil)
	if string(first.Data) != "first" || first.Version == "" || first.ETag == "" {
		t.Fatalf("%+v", first)
	}
	if again := read(first); again != first {
		t.Error("what did not change was read again")
	}
	put("second")
	second := read(first)
	if string(second.Data) != "second" || second.Version == first.Version {
		t.Errorf("%+v", second)
	}
	address.Version = first.Version
	if old := read(nil); string(old.Data) != "first" {
		t.Errorf("%+v", old)
	}
	for where, words := range map[string]string{"s3://shuin-policy/none": "no object of this key", "s3://shuin-none/policy": "there is no bucket"} {
		a, err := awsstate.ParseAddress(where)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := objects.Read(t.Context(), a, 1000, nil); shuin.CodeOf(err) != shuin.CodeNotFound || !strings.Contains(shuin.HintOf(err), words) {
			t.Errorf("%s: %v; %s", where, err, shuin.HintOf(err))
		}
	}
}

func aFinding() watch.Finding {
	return watch.Finding{
		ID: "0123456789abcdef0123456789abcdef", State: digest.FromString("state"), Kind: watch.NotAdmitted, Severity: watch.High, Outcome: 2,
		Subject: watch.Subject{
			Kind: watch.Task, ARN: "arn:aws:ecs:" + region + ":" + account + ":task/prod/0123", Account: account, Region: region, Cluster: "prod", Group: "service:shop",
		},
		Time: time.Now(), Container: "api", Image: "registry.example/shop:v1", Repository: "registry.example/shop", Digest: digest.FromString("image"),
		Rule: "shop", Missing: []string{"scan"}, Code: shuin.CodeStageMissing, Message: "stage scan is missing", Hint: "seal it",
	}
}

// queue makes a queue, and gives its address and ARN.
func (w *ecsWorld) queue(t *testing.T, name string, attributes ...string) (address, arn string) {
	t.Helper()
	args := []string{"sqs", "create-queue", "--queue-name", name}
	if len(attributes) > 0 {
		args = append(args, "--attributes", strings.Join(attributes, ","))
	}
	address = w.cloud(t, "QueueUrl", args...)
	return address, w.cloud(t, "Attributes.QueueArn", "sqs", "get-queue-attributes", "--queue-url", address, "--attribute-names", "QueueArn")
}

// received are the bodies of what is in a queue.
func (w *ecsWorld) received(t *testing.T, address string) (bodies []string) {
	t.Helper()
	out := w.cloud(t, "", "sqs", "receive-message", "--queue-url", address, "--max-number-of-messages", "10", "--message-attribute-names", "All")
	if strings.TrimSpace(out) == "" {
		return nil
	}
	var got struct {
		Messages []struct {
			Body string `json:"Body"`
		} `json:"Messages"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err, out)
	}
	for _, m := range got.Messages {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

func TestAFindingGoesThroughATopicToWhoFiltersForIt(t *testing.T) {
	w, caller := newMoto(t)
	topic := w.cloud(t, "TopicArn", "sns", "create-topic", "--name", "findings")
	high, highARN := w.queue(t, "high")
	low, lowARN := w.queue(t, "low")
	for arn, filter := range map[string]string{highARN: `{"severity":["high"],"cluster":["prod"]}`, lowARN: `{"severity":["low"]}`} {
		attributes, _ := json.Marshal(map[string]string{"RawMessageDelivery": "true", "FilterPolicy": filter})
		w.cloud(t, "", "sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", arn, "--attributes", string(attributes))
	}
	f := aFinding()
	if err := (&notify.SNS{Caller: caller, Topic: topic}).Notify(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(f)
	if got := w.received(t, high); len(got) != 1 || got[0] != string(want) {
		t.Errorf("the queue for high ones has %q", got)
	}
	if got := w.received(t, low); len(got) != 0 {
		t.Errorf("the queue for low ones has %q", got)
	}
	t.Run("in order", func(t *testing.T) {
		topic := w.cloud(t, "TopicArn", "sns", "create-topic", "--name", "findings.fifo", "--attributes", "FifoTopic=true")
		queue, arn := w.queue(t, "ordered.fifo", "FifoQueue=true")
		w.cloud(t, "", "sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", arn, "--attributes", `{"RawMessageDelivery":"true"}`)
		if err := (&notify.SNS{Caller: caller, Topic: topic}).Notify(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if got := w.received(t, queue); len(got) != 1 || got[0] != string(want) {
			t.Errorf("the queue has %q", got)
		}
	})
	t.Run("a topic that is not there", func(t *testing.T) {
		err := (&notify.SNS{Caller: caller, Topic: topic + "-none"}).Notify(t.Context(), f)
		if shuin.CodeOf(err) != shuin.CodeNotFound {
			t.Error(err)
		}
	})
}

func TestAFindingGoesThroughABusToWhoseRuleMatches(t *testing.T) {
	w, caller := newMoto(t)
	w.cloud(t, "", "events", "create-event-bus", "--name", "security")
	queue, arn := w.queue(t, "denied")
	for _, bus := range []string{"default", "security"} {
		w.cloud(t, "", "events", "put-rule", "--name", "denied", "--event-bus-name", bus, "--event-pattern", `{"source":["shuin"],"detail-type":["Shuin Finding"],"detail":{"outcome":["deny"],"status":["open"]}}`)
		w.cloud(t, "", "events", "put-targets", "--rule", "denied", "--event-bus-name", bus, "--targets", "Id=q,Arn="+arn)
	}
	f := aFinding()
	for _, bus := range []string{"", "security"} {
		n := &notify.EventBridge{Caller: caller, Bus: bus}
		for _, f.Resolved = range []bool{true, false} { // the first matches no rule
			if err := n.Notify(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		got := w.received(t, queue)
		if len(got) != 1 {
			t.Fatalf("bus %q: the queue has %q", bus, got)
		}
		var event struct {
			Source     string `json:"source"`
			DetailType string `json:"detail-type"`
			Detail     struct {
				ID     string `json:"id"`
				Status string `json:"status"`
			} `json:"detail"`
		}
		if err := json.Unmarshal([]byte(got[0]), &event); err != nil || event.Source != "shuin" || event.DetailType != "Shuin Finding" || event.Detail.ID != f.ID || event.Detail.Status != "open" {
			t.Errorf("%+v %v", event, err)
		}
		w.cloud(t, "", "sqs", "purge-queue", "--queue-url", queue)
	}
	t.Log(f.Line())
}

func TestAnAddressIsReadFromParametersAndSecrets(t *testing.T) {
	w, caller := newMoto(t)
	const address = "slack://sEcReT-that-is-no-address"
	w.cloud(t, "", "ssm", "put-parameter", "--name", "/shuin/chat", "--type", "SecureString", "--value", address)
	w.cloud(t, "", "secretsmanager", "create-secret", "--name", "shuin/chat", "--secret-string", address)
	secrets := &notify.Secrets{Cloud: &notify.Cloud{Caller: caller}}
	for _, s := range []notify.Secret{{Parameter: "/shuin/chat"}, {SecretID: "shuin/chat"}} {
		err := (&notify.Chat{Secrets: secrets, Address: s}).Notify(context.Background(), aFinding())
		if err == nil || !strings.Contains(err.Error(), "of slack") || strings.Contains(err.Error()+shuin.HintOf(err), "sEcReT") {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []notify.Secret{{Parameter: "/shuin/none"}, {SecretID: "shuin/none"}} {
		if err := (&notify.Chat{Secrets: secrets, Address: s}).Notify(context.Background(), aFinding()); shuin.CodeOf(err) != shuin.CodeNotFound {
			t.Errorf("%s: %v", s, err)
		}
	}
}
