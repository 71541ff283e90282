package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// verdict is what a decision says of each container.
type verdict struct {
	Images []struct {
		Name    string
		Outcome string
		Reason  struct{ Code string }
	}
}

// String is CONTAINER=admit, CONTAINER=CODE, …: each with its reason.
func (v *verdict) String() string {
	var out []string
	for _, i := range v.Images {
		what := i.Outcome
		if what != "admit" {
			what = i.Reason.Code
		}
		if i.Outcome == "undecided" {
			what = "undecided:" + what
		}
		out = append(out, i.Name+"="+what)
	}
	return strings.Join(out, " ")
}

// decisions reads the function's log, and writes a line for each decision:
// SUBJECT PHASE CONTAINER=admit|CODE…
func decisions(log io.Reader, w io.Writer) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var d struct {
			Msg, Subject, Event string
			Verdict             verdict
		}
		if json.Unmarshal(lines.Bytes(), &d) == nil && d.Msg == "decision" {
			fmt.Fprintln(w, d.Subject, strings.ReplaceAll(d.Event, " ", "-"), d.Verdict.String())
		}
	}
	return lines.Err()
}

// findings reads what `aws sqs receive-message --output json` printed, and
// writes a line for each finding: SUBJECT CONTAINER CODE SEVERITY STATUS.
func findings(messages io.Reader, w io.Writer) error {
	got, err := receivedFrom(messages)
	if err != nil {
		return err
	}
	for _, m := range got {
		var f struct {
			MediaType                   string
			Container, Severity, Status string
			Subject                     struct{ ARN string }
			Reason                      struct{ Code string }
		}
		if err := json.Unmarshal([]byte(m.Body), &f); err != nil || f.MediaType != "application/vnd.shuin.finding.v1+json" {
			return fmt.Errorf("no finding: %s (%v)", m.Body, err)
		}
		fmt.Fprintln(w, f.Subject.ARN, f.Container, f.Reason.Code, f.Severity, f.Status)
	}
	return nil
}

// receipts reads the same, and writes what `aws sqs delete-message-batch` wants.
func receipts(messages io.Reader, w io.Writer) error {
	got, err := receivedFrom(messages)
	if err != nil {
		return err
	}
	entries := []map[string]string{}
	for i, m := range got {
		entries = append(entries, map[string]string{"Id": fmt.Sprint(i), "ReceiptHandle": m.Receipt})
	}
	return json.NewEncoder(w).Encode(entries)
}

// receivedFrom are the messages of an answer; none: it is empty.
func receivedFrom(messages io.Reader) ([]received, error) {
	var got struct{ Messages []received }
	if err := json.NewDecoder(messages).Decode(&got); err != nil && err != io.EOF {
		return nil, err
	}
	return got.Messages, nil
}
