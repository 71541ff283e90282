package notify

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/watch"
)

// What rules of EventBridge match.
const (
	EventSource     = "shuin"
	EventDetailType = "Shuin Finding"
)

// EventBridge puts findings on an event bus, as the event's detail. Needs
// events:PutEvents on the bus. Source: Amazon EventBridge API Reference,
// PutEvents.
type EventBridge struct {
	Caller *awscall.Caller
	As     awscall.As // the region is the bus's
	Bus    string     // name or ARN; empty: the account's default bus
	Label  string     // its name; empty: made of the bus
}

// Name is watch.Notifier's.
func (e *EventBridge) Name() string { return name(e.Label, "eventbridge", e.As.Region+" "+e.Bus) }

// busPattern is EventBridge's own, of a name or an ARN.
var busPattern = regexp.MustCompile(`^(arn:aws[\w-]*:events:[a-z]+-[a-z\d-]+:\d{12}:event-bus/)?[/.\-_A-Za-z0-9]{1,256}$`)

// Check refuses a bus that is neither a name nor an ARN of one.
func (e *EventBridge) Check() error {
	if e.Bus != "" && !busPattern.MatchString(e.Bus) {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%q is no event bus", awscall.Printable(e.Bus, 200)),
			Hint: "write its name, or arn:aws:events:REGION:ACCOUNT:event-bus/NAME; nothing for the account's default bus",
		}
	}
	return CheckName(e.Name())
}

type putEvents struct {
	Entries []putEvent `json:"Entries"`
}

type putEvent struct {
	Source     string   `json:"Source"`
	DetailType string   `json:"DetailType"`
	Detail     string   `json:"Detail"`
	Bus        string   `json:"EventBusName,omitempty"`
	Time       int64    `json:"Time,omitempty"` // seconds
	Resources  []string `json:"Resources,omitempty"`
}

// Notify is watch.Notifier's.
func (e *EventBridge) Notify(ctx context.Context, f watch.Finding) error {
	if err := e.Check(); err != nil {
		return err
	}
	detail, err := body(f)
	if err != nil {
		return err
	}
	entry := putEvent{Source: EventSource, DetailType: EventDetailType, Detail: string(detail), Bus: e.Bus}
	if !f.Time.IsZero() {
		entry.Time = f.Time.Unix()
	}
	if strings.HasPrefix(f.Subject.ARN, "arn:") && len(f.Subject.ARN) <= 2048 {
		entry.Resources = []string{f.Subject.ARN}
	}
	in, err := json.Marshal(putEvents{[]putEvent{entry}})
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInternal, Message: "write an event", Err: err}
	}
	as, bus := e.As, e.Bus
	if p := strings.Split(e.Bus, ":"); len(p) == 6 && p[0] == "arn" {
		as.Region = p[3]
	}
	if bus == "" {
		bus = "default"
	}
	doing := "put a finding on event bus " + awscall.Printable(bus, 300)
	answer, err := e.Caller.Ask(ctx, as, awscall.Call{
		Doing: doing, Title: "Amazon EventBridge", Service: "events", ID: "EventBridge", Protocol: awscall.JSON11,
		Target: "AWSEvents.PutEvents", Body: in, Action: "events:PutEvents", Resource: "event bus " + bus,
		NotFound: "there is no such event bus: check its name, account and region",
		Absent:   func(e *awscall.ServiceError) bool { return e.Code == "ResourceNotFoundException" },
	})
	if err != nil {
		return err
	}
	return taken(doing, bus, answer.Body)
}

// taken reads what became of the one entry: a failed one comes with status 200.
func taken(doing, bus string, answer []byte) error {
	var got struct {
		Failed  *int `json:"FailedEntryCount"`
		Entries []struct {
			ID      string `json:"EventId"`
			Code    string `json:"ErrorCode"`
			Message string `json:"ErrorMessage"`
		} `json:"Entries"`
	}
	if err := json.Unmarshal(answer, &got); err != nil || got.Failed == nil || len(got.Entries) != 1 {
		return &shuin.Error{Code: shuin.CodeMalformed, Message: doing + ": the answer does not tell of one entry"}
	}
	one := got.Entries[0]
	if *got.Failed == 0 && one.Code == "" && one.ID != "" {
		return nil
	}
	code := one.Code
	if code == "" {
		code = "no error code"
	}
	service := &awscall.ServiceError{
		Service: "Amazon EventBridge", Operation: "PutEvents", Status: 200,
		Code: awscall.Printable(code, 200), Message: awscall.Printable(one.Message, 1000),
	}
	means := service.Means()
	if code == "InternalFailure" || code == "InternalException" {
		means = shuin.CodeUnavailable
	}
	return &shuin.Error{
		Code: means, Message: fmt.Sprintf("%s: it was not taken", doing), Err: service,
		Hint: service.Hint("events:PutEvents", "event bus "+bus),
	}
}
