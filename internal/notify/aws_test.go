package notify

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// topic is SNS's Publish (SDK type PublishInput): it refuses what that has not.
type topic struct {
	t    *testing.T
	form url.Values
	fail func(w http.ResponseWriter) bool
}

func (s *topic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, _ := io.ReadAll(r.Body)
	s.form, _ = url.ParseQuery(string(data))
	if s.fail != nil && s.fail(w) {
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "/ap-northeast-1/sns/aws4_request") {
		s.t.Errorf("not signed for the topic's region: %s", r.Header.Get("Authorization"))
	}
	known := []string{"Action", "Version", "TopicArn", "Subject", "Message", "MessageGroupId", "MessageDeduplicationId"}
	for name, v := range s.form {
		attribute := strings.HasPrefix(name, "MessageAttributes.entry.") &&
			(strings.HasSuffix(name, ".Name") || strings.HasSuffix(name, ".Value.DataType") || strings.HasSuffix(name, ".Value.StringValue"))
		if !slices.Contains(known, name) && !attribute || len(v) != 1 || v[0] == "" {
			s.t.Errorf("SNS knows no %s=%q", name, v)
		}
	}
	_, _ = io.WriteString(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult><ResponseMetadata><RequestId>f187a3c1</RequestId></ResponseMetadata></PublishResponse>`)
}

const topicARN = "arn:aws:sns:ap-northeast-1:111122223333:findings"

func TestATopicGetsTheFindingAndWhatFiltersNeed(t *testing.T) {
	s := &topic{t: t}
	n := &SNS{Caller: newCaller(t, s), Topic: topicARN}
	f := finding()
	if err := n.Notify(ctx, f); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(f)
	if s.form.Get("Message") != string(want) {
		t.Errorf("message %s", s.form.Get("Message"))
	}
	sub := s.form.Get("Subject")
	if len(sub) > 100 || strings.ContainsFunc(sub, func(r rune) bool { return r < ' ' || r > '~' }) || !strings.HasPrefix(sub, "Shuin: high: ") {
		t.Errorf("subject %q", sub)
	}
	got := map[string]string{}
	for i := 1; s.form.Has(fmt.Sprintf("MessageAttributes.entry.%d.Name", i)); i++ {
		at := fmt.Sprintf("MessageAttributes.entry.%d", i)
		got[s.form.Get(at+".Name")] = s.form.Get(at + ".Value.StringValue")
		if s.form.Get(at+".Value.DataType") != "String" {
			t.Error("an attribute without a type")
		}
	}
	for k, v := range map[string]string{"status": "open", "kind": "image-not-admitted", "severity": "high", "outcome": "deny", "code": "stage-missing", "rule": "shop-production",
		"subject": "task", "account": "111122223333", "region": "eu-west-1", "cluster": "prod"} {
		if got[k] != v {
			t.Errorf("attribute %s is %q", k, got[k])
		}
	}
	if len(got) > 10 {
		t.Errorf("%d attributes: SQS drops a raw message with more than ten", len(got))
	}
	if s.form.Has("MessageGroupId") {
		t.Error("a group for a topic that is no FIFO")
	}
}

func TestATopicInOrderGetsAGroupForEachFinding(t *testing.T) {
	s := &topic{t: t}
	n := &SNS{Caller: newCaller(t, s), Topic: topicARN + ".fifo"}
	f := finding()
	ids := map[string]bool{}
	for range 2 { // the tries of one message are one
		if err := n.Notify(ctx, f); err != nil {
			t.Fatal(err)
		}
		ids[s.form.Get("MessageDeduplicationId")] = true
		if s.form.Get("MessageGroupId") != f.ID {
			t.Errorf("group %q", s.form.Get("MessageGroupId"))
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d ids of one message", len(ids))
	}
	for _, change := range []func(*watch.Finding){
		func(f *watch.Finding) { f.Resolved = true }, func(f *watch.Finding) { f.Reminder = true }, func(f *watch.Finding) { f.Time = f.Time.Add(time.Minute) },
	} {
		other := finding()
		change(&other)
		if err := n.Notify(ctx, other); err != nil {
			t.Fatal(err)
		}
		ids[s.form.Get("MessageDeduplicationId")] = true
	}
	if len(ids) != 4 {
		t.Errorf("%d ids of four messages", len(ids))
	}
}

func TestATopicThatRefusesIsAnError(t *testing.T) {
	const body = `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>1</RequestId></ErrorResponse>`
	for _, test := range []struct {
		name   string
		status int
		body   string
		code   shuin.Code
		words  string
	}{
		{"not allowed", 403, fmt.Sprintf(body, "AuthorizationError", "User: arn:aws:iam::111122223333:role/r is not authorized to perform: SNS:Publish"), shuin.CodeForbidden, "sns:Publish on " + topicARN},
		{"no such topic", 404, fmt.Sprintf(body, "NotFound", "Topic does not exist"), shuin.CodeNotFound, "no such topic"},
		{"throttled", 429, fmt.Sprintf(body, "Throttled", "Rate exceeded"), shuin.CodeThrottled, ""},
		{"no message in the answer", 200, "<html/>", shuin.CodeMalformed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &topic{t: t, fail: func(w http.ResponseWriter) bool {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
				return true
			}}
			err := (&SNS{Caller: newCaller(t, s), Topic: topicARN}).Notify(ctx, finding())
			if shuin.CodeOf(err) != test.code || !strings.Contains(shuin.HintOf(err), test.words) {
				t.Errorf("%s: %v; %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
		})
	}
	for _, arn := range []string{"", "findings", "arn:aws:sqs:eu-west-1:111122223333:q", "arn:aws:sns::111122223333:q", "arn:aws:sns:eu-west-1:1:q", topicARN + ":sub"} {
		if err := (&SNS{Topic: arn}).Notify(ctx, finding()); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%s: %v", arn, err)
		}
	}
}

func TestABusGetsTheFindingAsDetail(t *testing.T) {
	var in struct {
		Entries []struct {
			Source, DetailType, Detail, EventBusName string
			Time                                     int64
			Resources                                []string
		}
	}
	answer := `{"FailedEntryCount":0,"Entries":[{"EventId":"11710aed-b79e-4468-a20b-bb3c0c3b4860"}]}`
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in.Entries = nil
		if err := json.UnmarshalRead(r.Body, &in, json.RejectUnknownMembers(true)); err != nil || r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" {
			t.Errorf("%v %s", err, r.Header.Get("X-Amz-Target"))
		}
		_, _ = io.WriteString(w, answer)
	})
	n := &EventBridge{Caller: newCaller(t, h), Bus: "security"}
	f := finding()
	if err := n.Notify(ctx, f); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(f)
	if len(in.Entries) != 1 {
		t.Fatal(in)
	}
	if e := in.Entries[0]; e.Source != "shuin" || e.DetailType != "Shuin Finding" || e.Detail != string(want) || e.EventBusName != "security" ||
		e.Time != f.Time.Unix() || !slices.Equal(e.Resources, []string{f.Subject.ARN}) {
		t.Errorf("%+v", e)
	}
	for _, test := range []struct {
		answer string
		code   shuin.Code
	}{
		{`{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"Rate exceeded"}]}`, shuin.CodeThrottled},
		{`{"FailedEntryCount":1,"Entries":[{"ErrorCode":"InternalFailure","ErrorMessage":"Internal Service Failure"}]}`, shuin.CodeUnavailable},
		{`{"FailedEntryCount":1,"Entries":[{"ErrorCode":"NotAuthorizedForSourceException","ErrorMessage":"Not authorized for the source."}]}`, shuin.CodeInvalidInput},
		{`{"FailedEntryCount":1,"Entries":[{}]}`, shuin.CodeInvalidInput},
		{`{"FailedEntryCount":0,"Entries":[{"ErrorCode":"AccessDeniedException"}]}`, shuin.CodeForbidden},
		{`{"FailedEntryCount":0,"Entries":[]}`, shuin.CodeMalformed},
		{`{}`, shuin.CodeMalformed},
		{`null`, shuin.CodeMalformed},
		{``, shuin.CodeMalformed},
	} {
		answer = test.answer
		if err := n.Notify(ctx, f); shuin.CodeOf(err) != test.code {
			t.Errorf("%s: %s, %v", answer, shuin.CodeOf(err), err)
		}
	}
}

func TestABusIsANameOrAnARN(t *testing.T) {
	for bus, good := range map[string]bool{
		"": true, "default": true, "aws.partner/example.com/1": true, "arn:aws:events:eu-west-1:111122223333:event-bus/security": true,
		"arn:aws-us-gov:events:us-gov-west-1:111122223333:event-bus/x": true, "a b": false, "arn:aws:sns:eu-west-1:111122223333:x": false, "arn:aws:events:eu-west-1:111122223333:rule/x": false,
		"\x1b[31m": false, strings.Repeat("x", 257): false,
	} {
		if err := (&EventBridge{Bus: bus}).Check(); (err == nil) != good || err != nil && shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", bus, err)
		}
	}
}

func TestSecretsAreReadFromWhereTheyAreKept(t *testing.T) {
	var asked int
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		data, _ := io.ReadAll(r.Body)
		switch target := r.Header.Get("X-Amz-Target") + string(data); target {
		case `AmazonSSM.GetParameter{"Name":"/shuin/chat","WithDecryption":true}`:
			_, _ = io.WriteString(w, `{"Parameter":{"Name":"/shuin/chat","Type":"SecureString","Value":"hUnTeR2-ssm"}}`)
		case `secretsmanager.GetSecretValue{"SecretId":"shuin/chat"}`:
			_, _ = io.WriteString(w, `{"Name":"shuin/chat","SecretString":"hUnTeR2-sm"}`)
		case `AmazonSSM.GetParameter{"Name":"/shuin/none","WithDecryption":true}`:
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
		case `AmazonSSM.GetParameter{"Name":"/shuin/odd","WithDecryption":true}`:
			_, _ = io.WriteString(w, `{"Parameter":{"Value":"hUnTeR2-ssm"`)
		case `secretsmanager.GetSecretValue{"SecretId":"shuin/binary"}`:
			_, _ = io.WriteString(w, `{"Name":"shuin/binary","SecretBinary":"aFVuVGVSMg=="}`)
		default:
			t.Errorf("asked %s", target)
		}
	})
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caller := newCaller(t, h)
	now := t0
	s := &Secrets{Getenv: map2env(map[string]string{"CHAT": "hUnTeR2-env"}), Cloud: &Cloud{Caller: caller}}
	caller.Now = func() time.Time { return now }
	for _, test := range []struct {
		from  Secret
		want  string
		code  shuin.Code
		words string
	}{
		{Secret{File: write("good", "hUnTeR2-file\n")}, "hUnTeR2-file", "", ""},
		{Secret{File: write("crlf", "hUnTeR2-file\r\n")}, "hUnTeR2-file", "", ""},
		{Secret{Env: "CHAT"}, "hUnTeR2-env", "", ""},
		{Secret{Parameter: "/shuin/chat"}, "hUnTeR2-ssm", "", ""},
		{Secret{SecretID: "shuin/chat"}, "hUnTeR2-sm", "", ""},
		{Secret{File: write("empty", "\n")}, "", shuin.CodeInvalidInput, "empty"},
		{Secret{File: write("two", "hUnTeR2\nhUnTeR3\n")}, "", shuin.CodeInvalidInput, "white space"},
		{Secret{File: write("binary", "hUnTeR2\xff")}, "", shuin.CodeInvalidInput, ""},
		{Secret{File: write("long", strings.Repeat("hUnTeR2", limits.NotifySecretBytes))}, "", shuin.CodeLimit, "NotifySecretBytes"},
		{Secret{File: filepath.Join(dir, "none")}, "", shuin.CodeInvalidInput, "no such file"},
		{Secret{Env: "NONE"}, "", shuin.CodeInvalidInput, "environment variable NONE"},
		{Secret{Parameter: "/shuin/none"}, "", shuin.CodeNotFound, "/shuin/none"},
		{Secret{Parameter: "/shuin/odd"}, "", shuin.CodeMalformed, ""},
		{Secret{SecretID: "shuin/binary"}, "", shuin.CodeInvalidInput, "empty"},
		{Secret{}, "", shuin.CodeInvalidInput, "0 places"},
		{Secret{File: "a", Env: "b"}, "", shuin.CodeInvalidInput, "2 places"},
	} {
		got, err := s.read(ctx, test.from)
		if string(got) != test.want || test.code == "" && err != nil || test.code != "" && (shuin.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.words)) {
			t.Errorf("%s: %q, %s %v", test.from, string(got), shuin.CodeOf(err), err)
		}
		if err != nil {
			quiet(t, []string{"hUnTeR"}, err)
		}
	}
	chat := &Chat{Secrets: s, Address: Secret{Parameter: "/shuin/chat"}}
	if text := fmt.Sprintf("%v %s %q %+v %#v %+v", value("hUnTeR2"), value("hUnTeR2"), value("hUnTeR2"), s.Cloud.kept, s.Cloud.kept, chat); strings.Contains(text, "hUnTeR") {
		t.Error("a secret is printed:", text)
	}
	before := asked
	for range 3 {
		if _, err := s.read(ctx, Secret{Parameter: "/shuin/chat"}); err != nil {
			t.Fatal(err)
		}
	}
	if asked != before {
		t.Error("a secret that is kept is asked for again")
	}
	now = now.Add(limits.NotifySecretLife)
	if _, err := s.read(ctx, Secret{Parameter: "/shuin/chat"}); err != nil || asked != before+1 {
		t.Error("an old one is not asked for again", err)
	}
	s.forget(Secret{Parameter: "/shuin/chat"})
	if _, err := s.read(ctx, Secret{Parameter: "/shuin/chat"}); err != nil || asked != before+2 {
		t.Error("one that was refused is not asked for again", err)
	}
}

func map2env(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
