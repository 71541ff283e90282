package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/watch"
)

// SNS publishes findings to a topic: the message is the finding as JSON, the
// subject a line for people, the attributes are for filter policies. A topic
// whose name ends in ".fifo" gets the finding's id as its group. Needs
// sns:Publish on the topic, and of a key of KMS that encrypts it
// kms:GenerateDataKey and kms:Decrypt. Source: Amazon SNS API Reference, Publish.
type SNS struct {
	Caller *awscall.Caller
	As     awscall.As // the region is the topic's
	Topic  string     // its ARN
	Label  string     // its name; empty: made of the ARN
}

// Check refuses a topic that is no ARN of one.
func (s *SNS) Check() error {
	p := strings.Split(s.Topic, ":")
	if len(p) != 6 || p[0] != "arn" || p[2] != "sns" || p[3] == "" || len(p[4]) != 12 || p[5] == "" {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%q is no ARN of an SNS topic", awscall.Printable(s.Topic, 200)),
			Hint: "write arn:aws:sns:REGION:ACCOUNT:NAME",
		}
	}
	return CheckName(s.Name())
}

// Name is watch.Notifier's.
func (s *SNS) Name() string { return name(s.Label, "sns", s.Topic) }

// attributes are those of a message, for filter policies: ten at most, for
// SQS drops a message delivered raw that has more. What does not apply is left out.
func attributes(f watch.Finding) [][2]string {
	all := [][2]string{
		{"status", status(f)}, {"kind", string(f.Kind)}, {"severity", string(f.Severity)}, {"outcome", f.Outcome.String()}, {"code", string(f.Code)},
		{"rule", f.Rule}, {"subject", string(f.Subject.Kind)}, {"account", f.Subject.Account}, {"region", f.Subject.Region}, {"cluster", f.Subject.Cluster},
	}
	out := all[:0]
	for _, a := range all {
		if a[1] = awscall.Printable(a[1], 250); a[1] != "" {
			out = append(out, a)
		}
	}
	return out
}

// Notify is watch.Notifier's.
func (s *SNS) Notify(ctx context.Context, f watch.Finding) error {
	if err := s.Check(); err != nil {
		return err
	}
	data, err := body(f)
	if err != nil {
		return err
	}
	form := url.Values{"Version": {"2010-03-31"}, "TopicArn": {s.Topic}, "Subject": {subject(f)}, "Message": {string(data)}}
	for i, a := range attributes(f) {
		at := "MessageAttributes.entry." + strconv.Itoa(i+1)
		form.Set(at+".Name", a[0])
		form.Set(at+".Value.DataType", "String")
		form.Set(at+".Value.StringValue", a[1])
	}
	if strings.HasSuffix(s.Topic, ".fifo") {
		form.Set("MessageGroupId", f.ID)
		form.Set("MessageDeduplicationId", once(f))
	}
	as := s.As
	as.Region = strings.Split(s.Topic, ":")[3]
	answer, err := s.Caller.Ask(ctx, as, awscall.Call{
		Doing: "publish a finding to " + s.Topic, Title: "Amazon SNS", Service: "sns", ID: "SNS", Protocol: awscall.Query,
		Target: "Publish", Query: form, Action: "sns:Publish", Resource: s.Topic,
		NotFound: "there is no such topic: check its ARN, account and region",
		Absent:   func(e *awscall.ServiceError) bool { return e.Code == "NotFound" },
	})
	if err != nil {
		return err
	}
	var got struct {
		XMLName xml.Name `xml:"PublishResponse"`
		ID      string   `xml:"PublishResult>MessageId"`
	}
	if err := xml.Unmarshal(answer.Body, &got); err != nil || got.ID == "" {
		return &shuin.Error{Code: shuin.CodeMalformed, Message: "publish a finding to " + s.Topic + ": the answer names no message"}
	}
	return nil
}

// once is the same for one message and its tries, and another for each later
// telling: what is told again within minutes, because it changed back, is not
// to be dropped.
func once(f watch.Finding) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%t\n%d", f.ID, f.State, status(f), f.Reminder, f.Time.UnixNano()))
	return hex.EncodeToString(sum[:])
}
