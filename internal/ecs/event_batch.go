package ecs

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// sqsRecord is one message of a queue ("Using Lambda with Amazon SQS", AWS
// Lambda Developer Guide), snsRecord one of a topic ("Invoking Lambda functions
// with Amazon SNS notifications").
type sqsRecord struct {
	MessageID  string `json:"messageId"`
	Body       string `json:"body"`
	SourceARN  string `json:"eventSourceARN"`
	Attributes struct {
		Received string `json:"ApproximateReceiveCount"`
		Sent     string `json:"SentTimestamp"` // milliseconds since 1970
	} `json:"attributes"`
}

type snsRecord struct {
	SNS notification `json:"Sns"`
}

// notification is what Amazon SNS puts around a message ("HTTP/HTTPS
// notification JSON format", Amazon SNS Developer Guide).
type notification struct {
	Type      string `json:"Type"`
	MessageID string `json:"MessageId"`
	Topic     string `json:"TopicArn"`
	Message   string `json:"Message"`
	Timestamp string `json:"Timestamp"`
}

// parseBatch reads a batch of messages. What is wrong with one message is that
// message's error.
func parseBatch(payload []byte, members map[string]jsontext.Value) (Event, error) {
	var raw []jsontext.Value
	if err := decode("Records", members["Records"], &raw); err != nil {
		return Event{}, err
	}
	switch {
	case len(raw) == 0:
		return Event{}, malformed("Records", "an empty batch")
	case len(raw) > limits.EventRecords:
		return Event{}, tooMuch("Records", len(raw), "messages", limits.EventRecords, "EventRecords")
	}
	ev := Event{Kind: KindBatch, Records: make([]Record, 0, len(raw))}
	for i, data := range raw {
		var source struct {
			SQS string `json:"eventSource"`
			SNS string `json:"EventSource"`
		}
		at := index("Records", i)
		if err := decode(at, data, &source); err != nil {
			return Event{}, err
		}
		read, what := readSQS, "messages of Amazon SQS"
		switch {
		case source.SQS == "aws:sqs" && source.SNS == "":
		case source.SNS == "aws:sns" && source.SQS == "":
			read, what = readSNS, "messages of Amazon SNS"
		default:
			return Event{}, malformed(at+".eventSource", "%q: only aws:sqs and aws:sns are read", awscall.Printable(source.SQS+source.SNS, 60))
		}
		if ev.What != "" && ev.What != what {
			return Event{}, malformed(at, "messages of queues and topics in one batch")
		}
		ev.What = what
		r, err := read(at, data)
		if err != nil {
			return Event{}, err
		}
		ev.Records = append(ev.Records, r)
	}
	return ev, nil
}

// readSQS reads one message of a queue. An error is one of the batch: the
// message could not be named in an answer.
func readSQS(at string, data []byte) (Record, error) {
	var m sqsRecord
	if err := decode(at, data, &m); err != nil {
		return Record{}, err
	}
	if err := check(text{at + ".messageId", m.MessageID}); err != nil {
		return Record{}, err
	}
	r := Record{ID: m.MessageID, Source: m.SourceARN}
	if n, err := strconv.Atoi(m.Attributes.Received); err == nil && n > 0 {
		r.Received = n
	}
	if ms, err := strconv.ParseInt(m.Attributes.Sent, 10, 64); err == nil && ms > 0 && ms < 1<<48 {
		r.Sent = time.UnixMilli(ms).UTC()
	}
	if r.Err = bounded(text{at + ".eventSourceARN", m.SourceARN}); r.Err == nil {
		r.Event, r.Err = parseMessage(at+".body", []byte(m.Body), true)
	}
	return r, nil
}

// readSNS reads one message of a topic.
func readSNS(at string, data []byte) (Record, error) {
	var m snsRecord
	if err := decode(at, data, &m); err != nil {
		return Record{}, err
	}
	at += ".Sns"
	if err := check(text{at + ".MessageId", m.SNS.MessageID}); err != nil {
		return Record{}, err
	}
	r := Record{ID: m.SNS.MessageID, Source: m.SNS.Topic, Topic: true}
	if m.SNS.Timestamp != "" {
		r.Sent, r.Err = moment(at+".Timestamp", m.SNS.Timestamp)
	}
	if r.Err == nil {
		r.Event, r.Err = parseMessage(at+".Message", []byte(m.SNS.Message), false)
	}
	return r, nil
}

// parseMessage reads the text of a message. wrapped: it may be in an envelope
// of Amazon SNS, once.
func parseMessage(at string, body []byte, wrapped bool) (Event, error) {
	if len(body) > limits.EventBytes {
		return Event{}, tooMuch(at, len(body), "bytes", limits.EventBytes, "EventBytes")
	}
	members, err := object(at, body)
	if err != nil {
		return Event{}, err
	}
	switch {
	case members["detail-type"] != nil:
		return parseEnvelope(at, body)
	case members["Type"] == nil || members["Message"] == nil:
		return Event{}, malformed(at, "neither an event of EventBridge (detail-type) nor a notification of Amazon SNS (Type, Message)")
	case !wrapped:
		return Event{}, malformed(at, "a notification of Amazon SNS inside of another")
	}
	var n notification
	if err := decode(at, body, &n); err != nil {
		return Event{}, err
	}
	if n.Type != "Notification" {
		return Event{}, malformed(at+".Type", "%q: only Notification is read", awscall.Printable(n.Type, 60))
	}
	return parseMessage(at+".Message", []byte(n.Message), false)
}

// Unsettled are the IDs of the messages to give back, in the form of the answer
// to Amazon SQS (batchItemFailures): those of failed, and of a FIFO queue all
// that follow the first of them, to keep their order.
func Unsettled(records []Record, failed func(*Record) bool) []string {
	ids := []string{}
	var stopped bool
	for i := range records {
		r := &records[i]
		if stopped || failed(r) {
			ids = append(ids, r.ID)
			stopped = stopped || r.FIFO()
		}
	}
	return ids
}
