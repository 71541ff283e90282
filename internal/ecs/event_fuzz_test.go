package ecs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/watch"
)

func seeds(f *testing.F, add func(string)) {
	f.Helper()
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(string(data))
	}
}

// sound holds what was read to what everybody downstream takes for granted.
func sound(t *testing.T, ev Event, err error) {
	t.Helper()
	if err != nil {
		if code := shuin.CodeOf(err); code != shuin.CodeMalformed && code != shuin.CodeLimit {
			t.Fatalf("%s: %v", code, err)
		}
		return
	}
	set := map[Kind]bool{
		KindHook: ev.Hook != nil, KindCodeDeploy: ev.CodeDeploy != nil, KindCodePipeline: ev.CodePipeline != nil, KindSeen: ev.Seen != nil,
		KindSigner: ev.Signer != nil, KindBatch: len(ev.Records) > 0, KindDecide: ev.Decide != nil, KindIrrelevant: ev.Reason != "",
	}
	for kind, is := range set {
		if is != (kind == ev.Kind) {
			t.Fatalf("%s, and the member of %s is set: %t", ev.Kind, kind, is)
		}
	}
	if ev.Kind.String() == "none" || ev.What == "" {
		t.Fatalf("%+v", ev)
	}
	if s := ev.Seen; s != nil {
		o := s.Observation
		if o.Subject.ARN == "" || o.Subject.Kind == "" || o.Phase == "" || o.Version < 1 || o.Subject.Account == "" || o.Subject.Region == "" || o.At.IsZero() {
			t.Fatalf("%+v", o)
		}
		if len(o.Images) == 0 && s.Read == nil {
			t.Fatal("no images, and nothing to read them from")
		}
		for _, i := range o.Images {
			if i.Written == "" && s.Read == nil || i.Running != "" && i.Running.Validate() != nil {
				t.Fatalf("%+v", i)
			}
		}
		if s.Push != nil && (o.Phase != watch.Pushed || s.Push.Digest.Validate() != nil) {
			t.Fatalf("%+v", s.Push)
		}
	}
	if h := ev.Hook; h != nil {
		h.Rollback()
		if _, err := h.place(""); err != nil {
			t.Fatal(err)
		}
		if others, state, spoiled := readState(h.Details, hookNow); spoiled && len(others) == 0 && len(h.Details) == 0 || state.Attempts < 0 && !spoiled {
			t.Fatal(state)
		}
	}
	for _, r := range ev.Records {
		if r.ID == "" || r.Received < 0 {
			t.Fatalf("%+v", r)
		}
		switch r.Event.Kind {
		case KindHook, KindCodeDeploy, KindCodePipeline, KindBatch, KindDecide:
			t.Fatalf("%s came in a message", r.Event.Kind)
		}
		sound(t, r.Event, r.Err)
	}
}

func FuzzParse(f *testing.F) {
	seeds(f, func(s string) { f.Add([]byte(s)) })
	f.Fuzz(func(t *testing.T, payload []byte) {
		ev, err := Parse(payload)
		sound(t, ev, err)
		ProbablyHook(payload)
	})
}

func FuzzParseMessage(f *testing.F) {
	seeds(f, func(s string) { f.Add([]byte(s)) })
	f.Add([]byte(`{"Type":"Notification","Message":"{\"detail-type\":\"x\"}"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ev, err := ParseMessage(body)
		sound(t, ev, err)
	})
}

func FuzzHookDetails(f *testing.F) {
	for _, s := range []string{``, `{}`, `null`, `[1]`, `{"a":1,"shuin":{"attempts":3,"since":"2026-11-20T08:00:00Z"}}`, `{"shuin":{"attempts":-1}}`, `{"shuin":null}`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	h := &Hook{Gate: &decider{answer: undecided}, Now: func() time.Time { return hookNow }, Retries: 5}
	f.Fuzz(func(t *testing.T, details []byte) {
		e := &HookEvent{Details: details}
		for range 7 {
			answer := h.again(e, &HookRecord{})
			if answer.Status == HookFailed {
				return
			}
			if answer.Status != HookInProgress || !json.Valid(answer.Details) {
				t.Fatalf("%+v", answer)
			}
			e.Details = answer.Details
		}
		t.Fatalf("it never ends: %s", e.Details)
	})
}

func FuzzUserParameters(f *testing.F) {
	for _, s := range []string{``, `{"images":["nginx"],"cluster":"a"}`, `{"taskDefinition":"shop:7"}`, `{"images":["#{x}"]}`, `{"images":[],"images":[]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseParameters(s)
		if err == nil && (len(p.Images) == 0) == (p.TaskDefinition == "") {
			t.Fatalf("%+v", p)
		}
		if err != nil && shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Fatal(err)
		}
	})
}

func FuzzImage(f *testing.F) {
	for _, s := range []string{"nginx", "a/b:1", "localhost:5000/x", "index.docker.io/x", webImage + "@" + string(digestA), "a//b", "A/b", "[::1]:5000/a", strings.Repeat("u", 250)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := Image("", s, "").Written
		ref, err := shuin.ParseReference(once)
		if err != nil {
			if once != s {
				t.Fatalf("%q is no reference, and written out as %q", s, once)
			}
			return
		}
		if once != s && ref.Canonical() != ref {
			t.Fatalf("%q is written out as %q, whose name policies do not know", s, once)
		}
		// A registry known by its capitals alone ("A/b") is one no more in small letters.
		if again := Image("", once, "").Written; again != once && strings.ContainsAny(ref.Registry, ".:") {
			t.Fatalf("%q is written out as %q, and that as %q", s, once, again)
		}
	})
}
