package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/notify"
)

const someHook = `{"lifecycleStage":"PRE_SCALE_UP","resourceArn":"x","executionDetails":{}}`

func newEdge(warn bool, handle func(context.Context, []byte) ([]byte, error)) (*edge, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return &edge{
		log: newLogger(log), warn: warn, margin: time.Second, now: time.Now, handle: handle, broken: errors.New("no configuration"),
		metrics: &notify.Metrics{W: log, Mode: "warn", Now: time.Now},
		release: func(context.Context, []byte) (bool, error) { return false, nil },
	}, log
}

func TestTheEdgeAnswersWhateverHappens(t *testing.T) {
	hang := func(ctx context.Context, _ []byte) ([]byte, error) { select {} }
	for _, c := range []struct {
		name    string
		handle  func(context.Context, []byte) ([]byte, error)
		payload string
		want    string // in enforce mode; empty: an error
		warned  string
		log     string
	}{
		{"an answer is handed on", func(context.Context, []byte) ([]byte, error) { return []byte("{}"), nil }, someHook, "{}", "{}", ""},
		{"an error of a hook", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("oh") }, someHook, "", `{"hookStatus":"SUCCEEDED"}`, "oh"},
		{"an error of an event stays one", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("oh") }, `{"detail-type":"x"}`, "", "", "oh"},
		{"an error of a batch that speaks of hooks stays one", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("oh") },
			`{"Records":[{"messageId":"1","eventSource":"aws:sqs","eventSourceARN":"a","body":"\"lifecycleStage\""}]}`, "", "", "oh"},
		{"a panic", func(context.Context, []byte) ([]byte, error) { panic("ouch") }, someHook, "", `{"hookStatus":"SUCCEEDED"}`, "ouch"},
		{"work that never ends", hang, someHook, "", `{"hookStatus":"SUCCEEDED"}`, errLate.Error()},
		{"nothing to work with", nil, someHook, "", `{"hookStatus":"SUCCEEDED"}`, "no configuration"},
	} {
		for _, warn := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				e, log := newEdge(warn, c.handle)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				body, err := e.Invoke(ctx, []byte(c.payload))
				want := c.want
				if warn {
					want = c.warned
				}
				if string(body) != want || (err == nil) != (want != "") {
					t.Errorf("warn %v: %q, %v; want %q", warn, body, err, want)
				}
				if ctx.Err() != nil {
					t.Error("the answer came too late")
				}
				if !strings.Contains(log.String(), c.log) {
					t.Errorf("no %q in the log: %s", c.log, log)
				}
			})
		}
	}
}

func TestWorkThatOutlivesItsAnswerKeepsItsEvent(t *testing.T) {
	goOn, read := make(chan struct{}), make(chan string, 1)
	e, _ := newEdge(true, func(_ context.Context, payload []byte) ([]byte, error) {
		<-goOn
		read <- string(payload)
		return nil, nil
	})
	e.margin = 0
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	payload := []byte(someHook)
	if _, err := e.Invoke(ctx, payload); err != nil {
		t.Fatal(err)
	}
	copy(payload, bytes.Repeat([]byte("x"), len(payload))) // the next event's, in the same memory
	close(goOn)
	if got := <-read; got != someHook {
		t.Errorf("it reads %q", got)
	}
}

func TestWhatFailsToBeLetGoOnIsAnError(t *testing.T) {
	for _, c := range []struct {
		name    string
		release func(context.Context, []byte) (bool, error)
		fails   bool
	}{
		{"it was let go on", func(context.Context, []byte) (bool, error) { return true, nil }, false},
		{"it could not be told", func(context.Context, []byte) (bool, error) { return true, errors.New("access denied") }, true},
		{"that panics", func(context.Context, []byte) (bool, error) { panic("ouch") }, true},
		{"nobody waits", func(context.Context, []byte) (bool, error) { return false, nil }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _ := newEdge(true, func(context.Context, []byte) ([]byte, error) { return nil, errors.New("oh") })
			e.release = c.release
			if _, err := e.Invoke(t.Context(), []byte(`{"DeploymentId":"d"}`)); (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAMessageThatPanicsIsItsOwn(t *testing.T) {
	var log bytes.Buffer
	f := &function{settings: &settings{config: newConfig()}} // without a watcher
	irrelevant := ecs.Event{Kind: ecs.KindIrrelevant, Reason: "of no interest"}
	records := []ecs.Record{{ID: "fine", Event: irrelevant}, {ID: "panics", Event: ecs.Event{Kind: ecs.KindSeen}}, {ID: "fine too", Event: irrelevant}}
	body, err := f.batch(withLogger(t.Context(), newLogger(&log)), records)
	if err != nil || string(body) != `{"batchItemFailures":[{"itemIdentifier":"panics"}]}` || !strings.Contains(log.String(), `"stack"`) {
		t.Errorf("%s, %v\n%s", body, err, &log)
	}
}

func TestMessagesThatTimeDoesNotReachAreGivenBack(t *testing.T) {
	f := &function{settings: &settings{config: newConfig()}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	records := []ecs.Record{{ID: "a", Event: ecs.Event{Kind: ecs.KindIrrelevant}}, {ID: "b", Event: ecs.Event{Kind: ecs.KindIrrelevant}}}
	body, err := f.batch(ctx, records)
	if err != nil || string(body) != `{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}` {
		t.Errorf("%s, %v", body, err)
	}
}

func TestTheNamesOfPlacesAreWhatIsConfigured(t *testing.T) {
	s := &settings{config: newConfig()}
	s.Tell = []tellConfig{{Log: true}, {SNS: "arn:aws:sns:eu-central-1:111122223333:shuin"}, {Name: "oncall", Chat: secretConfig{Env: "CHAT"}}, {EventBus: "security"},
		{Server: serverConfig{URL: "https://shuin.example.com", Token: secretConfig{Env: "TOKEN"}}, Outcomes: []string{"deny"}}}
	routes, err := newTeller(s, newCaller(newLogger(&bytes.Buffer{})), func(string) string { return "" }, &bytes.Buffer{}).routes()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range routes {
		names = append(names, r.Notifier.Name())
	}
	if want := []string{"log", "sns", "oncall", "eventBus", "server"}; !slices.Equal(names, want) || len(routes[4].Outcomes) != 1 {
		t.Errorf("%v, want %v", names, want)
	}
	if sns := routes[1].Notifier.(*notify.SNS); sns.As.Region != "eu-central-1" {
		t.Errorf("the topic's region is %q", sns.As.Region)
	}
}
