package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// poll is how long an empty queue is left alone.
const poll = 200 * time.Millisecond

// mapping is an event source mapping of a queue ("CreateEventSourceMapping",
// AWS Lambda API Reference): what is asked, and answered. Other members are
// refused.
type mapping struct {
	Function  string   `json:"FunctionName,omitempty"`
	Queue     string   `json:"EventSourceArn"`
	BatchSize int      `json:"BatchSize"`
	Responses []string `json:"FunctionResponseTypes"`
	// Of the answer.
	ID    string `json:"UUID,omitempty"`
	ARN   string `json:"FunctionArn,omitempty"`
	State string `json:"State,omitempty"`
}

// sqs asks moto's queues. It looks at no signature, only at whose region it is.
// note is told what is asked, in IAM's words: Lambda reads a queue with the
// function's role.
type sqs struct {
	moto string
	note func(action string)
}

func (q *sqs) call(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	q.note("sqs:" + operation)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.moto+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	sign(req, "sqs")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %s", operation, resp.StatusCode, data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// sign says to moto whose request it is.
func sign(r *http.Request, service string) {
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEEXAMPLE00/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
}

// mapped answers CreateEventSourceMapping, and has the function get what is in
// the queue from then on.
func (f *front) mapped(w http.ResponseWriter, r *http.Request) {
	var m mapping
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	name, queue := "", ""
	err := d.Decode(&m)
	if err == nil {
		part := strings.Split(m.Queue, ":")
		name, queue = m.Function, part[len(part)-1]
	}
	switch {
	case err != nil:
		awsError(w, http.StatusBadRequest, "InvalidParameterValueException", err.Error())
		return
	case name != "shuin" && name != functionARN, !strings.HasPrefix(m.Queue, "arn:aws:sqs:"+region+":"+account+":"):
		awsError(w, http.StatusNotFound, "ResourceNotFoundException", "there is the function shuin, and queues of "+account+" in "+region)
		return
	case m.BatchSize < 0 || m.BatchSize > 10 || !slices.Equal(m.Responses, []string{"ReportBatchItemFailures"}):
		awsError(w, http.StatusBadRequest, "InvalidParameterValueException", "BatchSize is 10 at most, and FunctionResponseTypes ReportBatchItemFailures")
		return
	}
	if m.BatchSize == 0 {
		m.BatchSize = 10
	}
	source := &source{sqs: sqs{f.moto, f.calls.add}, invoke: f.function.invoke, log: f.function.log, arn: m.Queue, url: f.moto + "/" + account + "/" + queue, size: m.BatchSize}
	// Lambda looks at the queue before it reads it.
	if err := source.call(r.Context(), "GetQueueAttributes", map[string]any{"QueueUrl": source.url, "AttributeNames": []string{"All"}}, nil); err != nil {
		awsError(w, http.StatusBadRequest, "InvalidParameterValueException", err.Error())
		return
	}
	f.atEnd(source.run())
	m.Function, m.ID, m.ARN, m.State = "", "a1b2c3d4-5678-90ab-cdef-11111EXAMPLE", functionARN, "Enabled"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(m)
}

// source is a queue whose messages the function gets.
type source struct {
	sqs
	invoke   func(context.Context, []byte) (answer, error)
	log      io.Writer
	arn, url string
	size     int
}

// received is a message ("ReceiveMessage", Amazon SQS API Reference).
type received struct {
	ID         string            `json:"MessageId"`
	Receipt    string            `json:"ReceiptHandle"`
	MD5        string            `json:"MD5OfBody"`
	Body       string            `json:"Body"`
	Attributes map[string]string `json:"Attributes"`
}

// run takes from the queue until the function that it gives is called.
func (s *source) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			n, err := s.batch(ctx)
			if err != nil && ctx.Err() == nil {
				fmt.Fprintln(s.log, "queue:", err)
			}
			if n == 0 {
				select {
				case <-ctx.Done():
				case <-time.After(poll):
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

// batch hands messages to the function, and deletes those that it does not give
// back. If it fails, or gives back what it was not given, all stay ("Handling
// errors for an SQS event source in Lambda").
func (s *source) batch(ctx context.Context) (int, error) {
	var got struct{ Messages []received }
	in := map[string]any{"QueueUrl": s.url, "MaxNumberOfMessages": s.size, "WaitTimeSeconds": 0, "AttributeNames": []string{"All"}}
	if err := s.call(ctx, "ReceiveMessage", in, &got); err != nil || len(got.Messages) == 0 {
		return 0, err
	}
	var records []map[string]any
	for _, m := range got.Messages {
		records = append(records, map[string]any{
			"messageId": m.ID, "receiptHandle": m.Receipt, "body": m.Body, "md5OfBody": m.MD5, "attributes": m.Attributes, "messageAttributes": map[string]any{},
			"eventSource": "aws:sqs", "eventSourceARN": s.arn, "awsRegion": region,
		})
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return 0, err
	}
	a, err := s.invoke(ctx, payload)
	if err == nil && a.failed {
		err = fmt.Errorf("the function answered %s", a.body)
	}
	var kept map[string]bool
	if err == nil {
		kept, err = keptOf(a.body, got.Messages)
	}
	if err != nil {
		return len(got.Messages), fmt.Errorf("all %d messages stay: %w", len(got.Messages), err)
	}
	for _, m := range got.Messages {
		if kept[m.ID] {
			continue
		}
		if err := s.call(ctx, "DeleteMessage", map[string]any{"QueueUrl": s.url, "ReceiptHandle": m.Receipt}, nil); err != nil {
			return len(got.Messages), err
		}
	}
	return len(got.Messages), nil
}

// keptOf reads which messages the function gives back.
func keptOf(body []byte, given []received) (map[string]bool, error) {
	var a struct {
		Failures []struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("the answer %s: %w", body, err)
	}
	kept := map[string]bool{}
	for _, one := range a.Failures {
		if !slices.ContainsFunc(given, func(m received) bool { return m.ID == one.ID }) {
			return nil, fmt.Errorf("the answer %s names a message that it was not given", body)
		}
		kept[one.ID] = true
	}
	return kept, nil
}
